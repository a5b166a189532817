"""Assembles the result of a job from the results of its agent calls. Pure."""

from datetime import datetime
from typing import Any

from orchestrator.domain.commands import AgentResult, JobDeliverable, JobInput, JobResult
from orchestrator.domain.file_names import path_key, unique_path
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobError
from orchestrator.domain.moments import stamp
from orchestrator.domain.names import OFFLINE_MODEL


def assemble(job: JobInput, results: list[AgentResult], failures: dict[str, JobError], at: datetime) -> JobResult:
    """The result of a plan: a digest for people, all files, and the failures. `at` is the time of its end."""
    ordered = _in_plan_order(job, results)
    if job.kind is JobKind.AGENT:
        only = ordered[0]
        metadata = {**only.metadata, "model": only.model, "data": only.data}
        return JobResult(output=only.output, deliverables=_deliverables(ordered, reports=False), metadata=metadata)
    return JobResult(
        status="partial" if failures else "success",
        output=_answer(job, ordered) or _digest(job, ordered, failures),
        deliverables=_deliverables(ordered, reports=True),
        metadata=_metadata(job, ordered, failures, at),
    )


def partial(job: JobInput, results: list[AgentResult], failures: dict[str, JobError], at: datetime) -> JobResult:
    """The partial result of a job that ended without a result, in the same form."""
    return assemble(job, results, failures, at).model_copy(update={"status": "partial"})


def _answer(job: JobInput, results: list[AgentResult]) -> str | None:
    answer = job.answer or job.plan.answer
    # A step with rounds has several answers: the last one counts.
    return next((result.output for result in reversed(results) if result.step == answer), None)


def _in_plan_order(job: JobInput, results: list[AgentResult]) -> list[AgentResult]:
    planned = [(step.id, agent) for step in job.plan.all_steps() for agent in step.agents]
    place = {call: index for index, call in enumerate(planned)}
    # Calls of one step with keys stay in the order in which they ended.
    return sorted(results, key=lambda result: (place.get((result.step, result.agent), len(place)), result.call))


def _digest(job: JobInput, results: list[AgentResult], failures: dict[str, JobError]) -> str:
    lines = [f"# {job.name}", ""]
    for step, name in _steps(job, results, failures).items():
        lines.append(f"## {name}")
        lines += [f"- **{_who(r)}**: {r.summary}" for r in results if r.step == step]
        lines += [f"- failed: {error.message}" for key, error in failures.items() if step in (error.step, key)]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _steps(job: JobInput, results: list[AgentResult], failures: dict[str, JobError]) -> dict[str, str]:
    """The steps of a digest with their names: those of the plan, or the steps of the calls that workflow code made."""
    steps = {step.id: step.name for step in job.plan.all_steps()}
    if not job.code:
        return steps
    called = [result.step for result in results] + [error.step or key for key, error in failures.items()]
    return {step: steps.get(step, step.replace("_", " ").capitalize()) for step in called}


def _who(result: AgentResult) -> str:
    return f"{result.agent} ({result.key})" if result.key else result.agent


def _deliverables(results: list[AgentResult], *, reports: bool) -> list[JobDeliverable]:
    """All files, each under a unique path; with `reports`, each agent's full answer is a file, too."""
    files: list[JobDeliverable] = []
    taken: set[str] = set()

    def add(result: AgentResult, path: str, media_type: str, content: str | None, artifact: str | None) -> None:
        if path_key(path) in taken:
            path = unique_path(f"{result.step}/{result.call_id.caller}/{path}", taken)
        taken.add(path_key(path))
        files.append(
            JobDeliverable(
                path=path,
                media_type=media_type,
                content=content,
                step=result.step,
                agent=result.agent,
                artifact=artifact,
            )
        )

    for result in results:
        for item in result.deliverables:
            add(result, item.path, item.media_type, item.content, None)
        if reports or result.artifact:
            content = None if result.artifact else result.output
            add(result, f"reports/{result.step}/{result.call_id.caller}.md", "text/markdown", content, result.artifact)
    return files


def _models(result: AgentResult) -> list[str]:
    """The models of an answer: those of all calls of a child job."""
    return [str(model) for model in result.metadata.get("models", [])] if result.child else [result.model]


def _key(place: str, error: JobError) -> str:
    """The item or the round of a failed call: of `work[alpha]` it is `alpha`; empty for a plain step."""
    step, bracket, key = place.partition("[")
    if bracket and step == error.step:
        return key.removesuffix("]")
    return "" if place == error.step else place


def _metadata(job: JobInput, results: list[AgentResult], failures: dict[str, JobError], at: datetime) -> dict[str, Any]:
    return {
        "workflow": job.definition,
        "timestamp": stamp(at),
        "models": (models := sorted({model for result in results for model in _models(result)})),
        **({"offline": True} if OFFLINE_MODEL in models else {}),
        **({"truncated": True} if any(result.metadata.get("truncated") for result in results) else {}),
        "agents": [result.agent for result in results],
        "failed": [{**error.model_dump(mode="json"), "key": _key(place, error)} for place, error in failures.items()],
        **({"data": {str(r.call_id): r.data for r in results if r.data}} if job.answer or job.plan.answer else {}),
    }
