"""A plan, or one round or item of a group: its steps, how they ended, and the names that their expressions see."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Optional

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.cel import CelFault, evaluate, references, uses
    from orchestrator.domain.expressions import Cel, filled
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.plans import Step
    from orchestrator.domain.step_ends import EndStatus, StepEnd, error_view

_SHOWN: Final = 300  # Characters of the values in an error.


@dataclass(slots=True)
class StepScope:
    """Steps that run together. `key` is their place in the rounds and items of the groups around them."""

    steps: Sequence[Step]
    key: str = ""
    names: Mapping[str, Any] = field(default_factory=dict)
    parent: Optional["StepScope"] = None
    ends: dict[str, StepEnd] = field(default_factory=dict)
    caught: dict[str, JobError] = field(default_factory=dict)

    def end_of(self, step_id: str) -> StepEnd | None:
        """The end of a step here or around this scope."""
        if step_id in self.ends:
            return self.ends[step_id]
        return self.parent.end_of(step_id) if self.parent else None

    def view(self) -> dict[str, Any]:
        """The values of the scope's steps by their ids."""
        return {step.id: self.ends[step.id].view() for step in self.steps if step.id in self.ends}

    def name(self, name: str) -> Any:
        """The value of `item`, `key`, `round` or `previous` in the innermost scope that has one."""
        if name in self.names:
            return self.names[name]
        return self.parent.name(name) if self.parent else None

    def sources(self, step: Step) -> Sequence[Step]:
        """The steps whose failure starts this step."""
        return [other for other in self.steps if other.goto == step.id]


def value_of(
    expression: Cel | str, what: str, scope: StepScope, step: Step, input: Mapping[str, Any], **names: Any
) -> Any:
    """The value of an expression of a step. Raises `condition_failed` with the expression and the values it uses."""
    text = expression.cel if isinstance(expression, Cel) else expression
    values = {"input": input, **names} if uses(text, "input") else dict(names)
    values |= {name: scope.name(name) for name in ("item", "key", "round", "previous") if uses(text, name)} | names
    if uses(text, "steps"):
        ends = {id: scope.end_of(id) for id in sorted(references(text, "steps"))}
        values["steps"] = {id: end.view() for id, end in ends.items() if end is not None}
    if uses(text, "ran"):
        needs = [scope.end_of(id) for id in step.needs]
        values["ran"] = [end.view() for end in needs if end is not None and end.ran]
    if uses(text, "error") and step.id in scope.caught:
        values["error"] = error_view(scope.caught[step.id])
    try:
        return evaluate(text, values)
    except CelFault as fault:
        if "input" in values:
            values["input"] = {name: input[name] for name in sorted(references(text, "input")) if name in input}
        text_of_values = json.dumps(values, ensure_ascii=False, default=str)
        message = f"{what} of step {step.id!r} has no value: {text}: {fault}; with {text_of_values[:_SHOWN]}"
        raise ApplicationError(message, type="condition_failed", non_retryable=True) from None


def condition(expression: Cel, what: str, scope: StepScope, step: Step, input: Mapping[str, Any]) -> bool:
    """The value of a condition. Raises `condition_failed` if it is neither true nor false."""
    value = value_of(expression, what, scope, step, input)
    if not isinstance(value, bool):
        message = f"{what} of step {step.id!r} is neither true nor false: {expression.cel} gave {str(value)[:_SHOWN]!r}"
        raise ApplicationError(message, type="condition_failed", non_retryable=True)
    return value


def own_input(step: Step, scope: StepScope, input: Mapping[str, Any], **names: Any) -> dict[str, Any] | None:
    """The input that a step maps, or None if it has the job's. Raises `condition_failed`."""
    return None if step.input is None else mapped(step.input, step, scope, input, **names)


def mapped(template: Any, step: Step, scope: StepScope, input: Mapping[str, Any], **names: Any) -> dict[str, Any]:
    """The values of a mapping. Raises `condition_failed`."""
    value = filled(template, lambda text: value_of(text, "an input", scope, step, input, **names))
    if not isinstance(value, dict):
        message = f"the input of step {step.id!r} is no object: {str(value)[:_SHOWN]!r}"
        raise ApplicationError(message, type="condition_failed", non_retryable=True)
    return value


def reason_to_skip(step: Step, scope: StepScope, input: Mapping[str, Any]) -> str | None:
    """Why the step does not run, or None. Raises `condition_failed`."""
    if (sources := scope.sources(step)) and step.id not in scope.caught:
        return f"{', '.join(source.id for source in sources)} did not fail"
    needs = {need: end for need in step.needs if (end := scope.ends.get(need)) is not None}
    # A failure that another step handles is no result: what follows it does not run.
    missing = [need for need, end in needs.items() if not end.ran or end.why]
    if len(needs) - len(missing) < needed(step) and missing:
        return f"{', '.join(missing)} did not run"
    if step.when is not None and not condition(step.when, "the condition", scope, step, input):
        return f"the condition is false: {step.when.cel}"
    return None


def needed(step: Step) -> int:
    """How many of its needs must have run."""
    if step.join == "any":
        return min(1, len(step.needs))
    return step.join if isinstance(step.join, int) else len(step.needs)


def may_begin(step: Step, scope: StepScope) -> bool:
    """Whether its needs have ended, or as many as it needs have run, and it is known whether it handles a failure."""
    ends = [scope.ends.get(need) for need in step.needs]
    ran = sum(end is not None and end.ran and not end.why for end in ends)
    sources = scope.sources(step)
    decided = not sources or step.id in scope.caught or all(source.id in scope.ends for source in sources)
    return decided and (all(end is not None for end in ends) or (step.join is not None and ran >= needed(step)))


def skipped(why: str) -> StepEnd:
    """The end of a step that does not run."""
    return StepEnd(EndStatus.SKIPPED, why=why)
