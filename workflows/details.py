"""The page of a running plan in the Temporal UI: steps, progress and cost, as Markdown."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.commands import Carried
    from orchestrator.domain.plans import Plan, Step
    from orchestrator.domain.text import inert
    from orchestrator.domain.usage import Usage


def describe(plan: Plan, state: Carried, settled: set[str], active: set[str]) -> str:
    """A short page: a line with the progress and a list of the steps. It stays true after the end of the job."""
    total = len(plan.calls())
    usage = Usage.total(result.usage for result in state.results)
    cost = "unknown" if usage.cost is None else f"${usage.cost:.4f}"
    head = f"**{len(state.results)} of {total} agent calls**, {usage.total_tokens} tokens, cost {cost}"
    if state.paused:
        head += ", **paused**"
    # A list, because the Temporal UI shows table cells without a gap.
    steps = [f"- {inert(step.name)}: {_status(step, state, settled, active)}" for step in plan.steps]
    return "\n".join([head, "", *steps])


def _status(step: Step, state: Carried, settled: set[str], active: set[str]) -> str:
    """The status in words that stay true if the job ends now: the page is not updated after a cancellation."""
    if step.id in state.failures:
        return f"**failed** ({inert(state.failures[step.id].type)})"
    if step.id in settled:
        return "done"
    if step.id in active:
        done = sum(result.step == step.id for result in state.results)
        return f"{done} of {len(step.agents)} calls done"
    return "**waits for approval**" if step.id in state.approval_deadlines else "not started"
