"""Which finished calls and approvals of a job still hold on another plan. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from orchestrator.domain.plans import Plan, Step

Call = tuple[str, str]
"""Step and agent."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """What need not be done again: calls, and steps whose approval stands."""

    calls: frozenset[Call] = field(default_factory=frozenset)
    approvals: frozenset[str] = field(default_factory=frozenset)


def reuse(old: Plan, new: Plan, *, done: Collection[Call], approved: Collection[str]) -> Reuse:
    """What the new plan can take over of the old one.

    A finished call stands if its step is still there with that agent, asks for the same and needs the same steps, all
    of which stand as a whole. So whatever depends on a step that runs again runs again, by the plan's edges. An
    approval stands if all that the step needs does: the person saw what the step will work with.
    """
    calls: set[Call] = set()
    approvals: set[str] = set()
    whole: set[str] = set()
    by_id = {step.id: step for step in new.steps}
    for step_id in TopologicalSorter({step.id: step.needs for step in new.steps}).static_order():
        step, before = by_id[step_id], old.step(step_id)
        if before is None or not _asks_the_same(before, step) or not whole.issuperset(step.needs):
            continue
        calls |= {(step_id, agent) for agent in step.agents if (step_id, agent) in done}
        # The answers of all agents of a step go to the steps that need it.
        if set(before.agents) == set(step.agents) and calls.issuperset((step_id, agent) for agent in step.agents):
            whole.add(step_id)
        if step.approval is not None and before.approval is not None and step_id in approved:
            approvals |= {step_id} if step.approval.message == before.approval.message else set()
    return Reuse(frozenset(calls), frozenset(approvals))


def _asks_the_same(before: Step, now: Step) -> bool:
    return before.instruction == now.instruction and set(before.needs) == set(now.needs)
