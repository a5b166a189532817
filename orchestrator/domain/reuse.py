"""Which finished calls and approvals of a job a retry with another plan can reuse. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from orchestrator.domain.plans import Plan, Step
from orchestrator.domain.steps import DECIDING_FIELDS

Call = tuple[str, str]
"""Step and agent."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """The reusable calls, and the steps whose approval is reusable."""

    calls: frozenset[Call] = field(default_factory=frozenset)
    approvals: frozenset[str] = field(default_factory=frozenset)


def reuse(
    old: Plan, new: Plan, *, done: Collection[Call], approved: Collection[str], settled: Collection[str] = ()
) -> Reuse:
    """The calls and approvals of the old plan that the new plan can reuse.

    A finished call is reusable if its step still exists with that agent, has the same instruction and needs the same
    steps, all of which are reusable as a whole. So a step that runs again makes all steps that depend on it run again.
    A step that decides, or is a group, counts as a whole if it is `settled`: all its calls have completed or were
    skipped. The new job decides again, with the same answers.
    An approval is reusable if all steps that its step needs are: the person saw the same inputs of the step.
    """
    calls: set[Call] = set()
    approvals: set[str] = set()
    reusable_steps: set[str] = set()
    by_id = {step.id: step for step in new.steps}
    after = {step.id: _earlier(step, new) for step in new.steps}
    for step_id in TopologicalSorter(after).static_order():
        step, before = by_id[step_id], old.step(step_id)
        if before is None or not _asks_the_same(before, step) or not reusable_steps.issuperset(after[step_id]):
            continue
        calls |= {call for body in step.bodies for call in _calls(body) if call in done}
        if step.decides:
            reusable_steps |= {step_id} if all(body.id in settled for body in step.bodies) else set()
        # The answers of all agents of a step go to the steps that need it.
        elif set(before.agents) == set(step.agents) and calls.issuperset(_calls(step)):
            reusable_steps.add(step_id)
        if step.approval is not None and before.approval is not None and step_id in approved:
            same = (step.approval.message, step.approval.by) == (before.approval.message, before.approval.by)
            approvals |= {step_id} if same else set()
    return Reuse(frozenset(calls), frozenset(approvals))


def _asks_the_same(before: Step, now: Step) -> bool:
    """Whether a step asks its agents the same, and decides the same."""
    if before.instruction != now.instruction or set(before.needs) != set(now.needs):
        return False
    decided = (field for field in DECIDING_FIELDS if field != "steps")
    if any(getattr(before, field) != getattr(now, field) for field in decided):
        return False
    if not before.steps and not now.steps:
        return True
    same = [(one.id, one.agents) for one in before.steps] == [(other.id, other.agents) for other in now.steps]
    return same and all(_asks_the_same(one, other) for one, other in zip(before.steps, now.steps, strict=True))


def _earlier(step: Step, plan: Plan) -> set[str]:
    """The steps that a step needs, and those whose failure it handles."""
    return {*step.needs, *(other.id for other in plan.steps if other.goto == step.id)}


def _calls(step: Step) -> set[Call]:
    """All calls that the step itself can make, by step and agent."""
    others = [other for other in step.fallback if isinstance(other, str)]
    return {(step.id, each) for each in (*step.agents, *others, *([step.workflow] if step.workflow else []))}
