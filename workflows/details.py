"""The page of a running plan in the Temporal UI: steps, progress and cost, as Markdown."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from temporalio import workflow

from workflows.run_state import RunState

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.call_ids import CallId
    from orchestrator.domain.plans import Plan, Step
    from orchestrator.domain.step_ends import EndStatus, StepEnd
    from orchestrator.domain.text import inert
    from orchestrator.domain.usage import Usage


class _Counts(NamedTuple):
    """Calls by step: those that are done, and those that run."""

    done: Counter[str]
    running: Counter[str]


def describe(plan: Plan, state: RunState, ends: Mapping[str, StepEnd], active: Collection[str]) -> str:
    """A short page: a line with the progress and a list of the steps. It stays true after the end of the job."""
    results = state.results
    total = "" if any(step.dynamic for step in plan.steps) else f" of {len(plan.calls())}"
    usage = Usage.total(result.usage for result in results)
    cost = "unknown" if usage.cost is None else f"${usage.cost:.4f}"
    head = f"**{len(results)}{total} agent calls**, {usage.total_tokens} tokens, cost {cost}"
    if state.paused:
        head += ", **paused**"
    # A list, because the Temporal UI shows table cells without a gap.
    # Counted once: a plan of hundreds of steps updates its page for each call.
    counts = _Counts(
        Counter(result.step for result in results),
        Counter(call.step for call in map(CallId.parse, active) if call is not None),
    )
    steps = [f"- {inert(step.name)}: {_status(step, state, ends, counts)}" for step in plan.steps]
    return "\n".join([head, "", *steps])


def _status(step: Step, state: RunState, ends: Mapping[str, StepEnd], counts: "_Counts") -> str:
    """The status in words that stay true if the job ends now: the page is not updated after a cancellation."""
    end = ends.get(step.id)
    error = state.failures.get(step.id) or (end.error if end else None)
    if error is not None:
        return f"**failed** ({inert(error.type)})"
    if end is not None:
        return f"skipped ({inert(end.why)})" if end.status is EndStatus.SKIPPED else "done"
    bodies = {body.id for body in step.bodies}
    done, running = sum(counts.done[body] for body in bodies), sum(counts.running[body] for body in bodies)
    if done or running:
        share = f"{done}" if step.dynamic else f"{done} of {sum(len(body.agents) for body in step.bodies)}"
        return f"{share} calls done" + (f", {running} running" if step.dynamic else "")
    return "**waits for approval**" if step.id in state.approval_deadlines else "not started"
