"""Which finished calls and approvals of a job a retry with another plan can reuse. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from orchestrator.domain.plans import Plan, Step

Call = tuple[str, str]
"""Step and agent."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """The reusable calls, and the steps whose approval is reusable."""

    calls: frozenset[Call] = field(default_factory=frozenset)
    approvals: frozenset[str] = field(default_factory=frozenset)


def reuse(old: Plan, new: Plan, *, done: Collection[Call], approved: Collection[str]) -> Reuse:
    """The calls and approvals of the old plan that the new plan can reuse.

    A finished call is reusable if its step still exists with that agent, has the same instruction and needs the same
    steps, all of which are reusable as a whole. So a step that runs again makes all steps that depend on it run again.
    An approval is reusable if all steps that its step needs are: the person saw the same inputs of the step.
    """
    calls: set[Call] = set()
    approvals: set[str] = set()
    reusable_steps: set[str] = set()
    by_id = {step.id: step for step in new.steps}
    for step_id in TopologicalSorter({step.id: step.needs for step in new.steps}).static_order():
        step, before = by_id[step_id], old.step(step_id)
        if before is None or not _asks_the_same(before, step) or not reusable_steps.issuperset(step.needs):
            continue
        calls |= {(step_id, agent) for agent in step.agents if (step_id, agent) in done}
        # The answers of all agents of a step go to the steps that need it.
        if set(before.agents) == set(step.agents) and calls.issuperset((step_id, agent) for agent in step.agents):
            reusable_steps.add(step_id)
        if step.approval is not None and before.approval is not None and step_id in approved:
            approvals |= {step_id} if step.approval.message == before.approval.message else set()
    return Reuse(frozenset(calls), frozenset(approvals))


def _asks_the_same(before: Step, now: Step) -> bool:
    return before.instruction == now.instruction and set(before.needs) == set(now.needs)
