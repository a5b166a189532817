"""Pure mapping between sessions and jobs (C-29, C-32, C-43)."""

import re
import uuid
from collections.abc import Iterable
from typing import Any, Final, cast

from api.dialects.orchestrator.models import SessionStatus, WorkflowProgressResponse, WorkflowRequest
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.ids import JobKind, job_id, session_digest
from orchestrator.domain.jobs import CallStatus, Job, JobState
from orchestrator.domain.labels import JobLabel, JobPriority
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.services.jobs.start import StartRequest

SURFACE: Final = "orchestrator"
FULL: Final = "full"
ALIASES: Final = {FULL: "full_stack_development"}

_OVERRIDES: Final = frozenset({"model", "temperature", "max_tokens", "parallel_execution", "stop_on_error"})
_TITLE_WORDS: Final = 6
_CODE: Final = re.compile(
    r".*\.(py|jsx?|tsx?|vue|svelte|html|css|go|rs|java|kt|rb|php|cs|sql|sh|tf|ya?ml)|(.*/)?(Dockerfile|Makefile)"
)


def workflow_types(definitions: Iterable[WorkflowDefinition]) -> list[str]:
    """Return every workflow type: the alias first, then the workflows by id (M-017)."""
    return [*ALIASES, *(definition.id for definition in definitions)]


def to_command(request: WorkflowRequest, definition: WorkflowDefinition, session_id: str) -> StartRequest:
    """Return the start that a request describes. Raises `InvalidInput` for invalid overrides."""
    configuration = request.configuration or {}
    return StartRequest(
        kind=JobKind.WORKFLOW,
        target=definition.id,
        input=workflow_input(definition.input_schema, request.requirements, configuration),
        config=_config(configuration),
        model_field="configuration.model",
        webhook_url=getattr(request, "webhook_url", None),
        labels={
            JobLabel.SURFACE: SURFACE,
            JobLabel.WORKFLOW_TYPE: request.workflow_type,
            JobLabel.PRIORITY: request.priority or JobPriority.NORMAL,
            # The id of this job does not reveal the id of its session.
            JobLabel.SESSION_ID_HIDDEN: "true",
        },
        id_tail=session_digest(session_id)[:32],
    )


def workflow_input(schema: dict[str, Any], requirements: str, configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a workflow's input: the values of the configuration by name, and the requirements in each required text.

    If no required field has them, the requirements are added under their own name. They are not added twice, because
    the size of the input is limited.
    """
    properties: dict[str, Any] = schema.get("properties", {})
    values = {name: value for name, value in configuration.items() if name not in _OVERRIDES}
    filled = {
        name: _filled(name, properties.get(name, {}), requirements)
        for name in schema.get("required", [])
        if name not in values
    }
    included = requirements in filled.values() or [requirements] in filled.values()
    return {**({} if included else {"requirements": [requirements]}), **filled, **values}


def job_of(session_id: str) -> str:
    """Return the job id of a session; it does not reveal the session id. Raises `NotFound` if it is no UUID (M-016)."""
    return job_id(JobKind.WORKFLOW, session_digest(_hex(session_id))[:32])


def former_job_of(session_id: str) -> str:
    """Return the job id of a session of an earlier release, which contains the session id. Raises `NotFound`."""
    return job_id(JobKind.WORKFLOW, _hex(session_id))


def is_session(job: Job, session_id: str) -> bool:
    """Return whether a job belongs to a session of this surface."""
    matches = job.id == job_of(session_id) or JobLabel.SESSION_ID_HIDDEN not in job.labels
    return matches and job.labels.get(JobLabel.SURFACE) == SURFACE


def _hex(session_id: str) -> str:
    try:
        return uuid.UUID(session_id).hex
    except ValueError:
        raise NotFound(f"Unknown session: {session_id[:80]}") from None


def from_job(session_id: str, job: Job, output: dict[str, Any] | None) -> WorkflowProgressResponse:
    """Return the state of a session. `output` is the job's whole output or None."""
    failed = status_of(job.state) == "failed"
    done = [step for step, calls in job.steps().items() if all(call.status is CallStatus.COMPLETED for call in calls)]
    return WorkflowProgressResponse.model_validate(
        {
            "session_id": str(uuid.UUID(session_id)),
            "status": status_of(job.state),
            "progress": job.progress,
            "current_phase": current_phase(job),
            "phases_completed": done,
            "errors": _errors(job),
            "partial_results": _partial(job, output),
            "workflow_type": job.labels.get(JobLabel.WORKFLOW_TYPE, job.definition),
            "reason": job.reason.message if job.reason else None,
            "created_at": job.created_at,
            "started_at": job.started_at,
            "completed_at": job.closed_at if job.state.succeeded else None,
            "failed_at": job.closed_at if failed else None,
            "error": error_text(job) if failed else None,
            "results": output,
            "generated_code": generated_code(output) if output and job.state.succeeded else None,
        }
    )


def status_of(state: JobState) -> SessionStatus:
    """A job's state in the words of this surface, which has none for a cancellation."""
    return "failed" if state is JobState.CANCELLED else cast("SessionStatus", state.status.value)


def current_phase(job: Job) -> str | None:
    """Return the first step that has started and not ended, or None."""
    if job.state.terminal:
        return None
    pending = CallStatus.PENDING
    busy = (
        step
        for step, calls in job.steps().items()
        if any(call.status is not pending and not call.status.ended for call in calls)
    )
    return next(busy, None)


def error_text(job: Job) -> str:
    """Return why a session failed. Cancelled and timed-out sessions have no status of their own on this surface."""
    if job.state is JobState.CANCELLED:
        return f"cancelled: {job.cancel_reason}" if job.cancel_reason else "cancelled"
    if job.state is JobState.TIMEOUT:
        return "timeout"
    return job.error.message if job.error else "failed"


def generated_code(output: dict[str, Any]) -> dict[str, str]:
    """Return the code among a job's deliverables, by path (M-014, C-63)."""
    files = output.get("deliverables", [])
    return {file["path"]: file["content"] for file in files if file.get("content") and _CODE.fullmatch(file["path"])}


def _errors(job: Job) -> list[dict[str, str]]:
    """Return the errors so far, including those of attempts that later succeeded."""
    errors = [
        {"phase": call.step, "agent": call.agent, "type": error.type, "message": error.message}
        for call in job.calls
        if (error := call.error) is not None
    ]
    if job.error is not None and not errors:
        errors.append({"phase": job.error.step or "", "type": job.error.type, "message": job.error.message})
    return errors


def _partial(job: Job, output: dict[str, Any] | None) -> dict[str, Any] | None:
    if output is not None:
        return {"status": output.get("status"), "deliverables": [file["path"] for file in output["deliverables"]]}
    finished = [f"{call.step}.{call.agent}" for call in job.calls if call.status is CallStatus.COMPLETED]
    return {"calls_completed": finished} if finished else None


def _filled(name: str, schema: dict[str, Any], requirements: str) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "array":
            return [requirements]
        case "object":
            return {}
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
    return _title(requirements) if name.endswith("_name") or name == "name" else requirements


def _title(requirements: str) -> str:
    words = re.findall(r"\w[\w'-]*", requirements)[:_TITLE_WORDS]
    return " ".join(words) or "Untitled"


def _config(configuration: dict[str, Any]) -> JobConfig:
    overrides = {name: configuration[name] for name in _OVERRIDES & configuration.keys()}
    try:
        return JobConfig.model_validate(overrides)
    except ValueError:
        raise InvalidInput(
            "The job settings in `configuration` are not valid",
            field="configuration",
            provided=overrides,
            expected="model: string, temperature: 0 to 2, max_tokens: 1 to 1000000, "
            "parallel_execution and stop_on_error: boolean",
        ) from None
