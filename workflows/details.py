"""What the Temporal UI shows of a running plan: steps, progress and cost, as Markdown."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.commands import Carried
    from orchestrator.domain.plans import Plan, Step
    from orchestrator.domain.text import inert
    from orchestrator.domain.usage import Usage


def describe(plan: Plan, state: Carried, settled: set[str], active: set[str]) -> str:
    """A short page: one line of progress, one list item for each step. True of a job that has ended, too."""
    total = len(plan.calls())
    usage = Usage.total(result.usage for result in state.results)
    cost = "unknown" if usage.cost is None else f"${usage.cost:.4f}"
    head = f"**{len(state.results)} of {total} agent calls**, {usage.total_tokens} tokens, cost {cost}"
    if state.paused:
        head += ", **paused**"
    # A list: the Temporal UI sets the cells of a table without a gap.
    steps = [f"- {inert(step.name)}: {_status(step, state, settled, active)}" for step in plan.steps]
    return "\n".join([head, "", *steps])


def _status(step: Step, state: Carried, settled: set[str], active: set[str]) -> str:
    """Words that stay true when the job ends here: a call under way may be cancelled, and nothing says so again."""
    if step.id in state.failures:
        return f"**failed** ({inert(state.failures[step.id].type)})"
    if step.id in settled:
        return "done"
    if step.id in active:
        done = sum(result.step == step.id for result in state.results)
        return f"{done} of {len(step.agents)} calls done"
    return "**waits for approval**" if step.id in state.approval_deadlines else "not started"
