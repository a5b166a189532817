"""Plans are data: validated before a start and passed in as the workflow's input (A1)."""

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.domain.near_matches import near_match
from orchestrator.domain.steps import Approval, FallbackModel, Part, Repeat, RetryPolicy, Step, StepId, Timeouts, unset

__all__ = [
    "Approval",
    "FallbackModel",
    "Part",
    "Plan",
    "Repeat",
    "RetryPolicy",
    "Step",
    "StepId",
    "Timeouts",
    "WorkflowDefinition",
]


class Plan(Part):
    """An acyclic graph of steps. Only that of a workflow in code may be empty: its calls are those that it makes."""

    steps: tuple[Step, ...] = ()
    answer: StepId | None = Field(
        default=None, exclude_if=unset, description="The step whose answer is the job's output; else a digest of all."
    )

    @model_validator(mode="after")
    def _graph_is_sound(self) -> Self:
        ids = [step.id for step in self.all_steps()]
        doubles = sorted({i for i in ids if ids.count(i) > 1})
        if doubles:
            raise ValueError(f"step ids are not unique: {', '.join(doubles)}")
        if self.answer is not None and self.answer not in ids:
            raise ValueError(f"the plan's answer names an unknown step: {self.answer}.{near_match(self.answer, ids)}")
        named = next((step for step in self.all_steps() if step.id == self.answer), None)
        if named is not None and not (named.agents or named.workflow):
            kind = "a group: name one of its steps" if named.steps else "no step with agents or a workflow"
            raise ValueError(f"the plan's answer names {named.id!r}, which is {kind}")
        _check_graph(self.steps)
        return self

    @property
    def decides(self) -> bool:
        """Whether a step has a condition, items, rounds, or anything else that plans of earlier releases lack."""
        return any(step.decides for step in self.steps)

    def calls(self) -> list[tuple[StepId, str]]:
        """Every agent call that is known before a start as `(step, agent)`, in the plan's order."""
        steps = [body for step in self.steps if not step.dynamic for body in step.bodies]
        return [(step.id, agent) for step in steps for agent in step.agents]

    @property
    def known_calls(self) -> int:
        """The number of its calls; 0 if it is known only once the plan has decided, or in a workflow in code."""
        return 0 if any(step.dynamic for step in self.steps) else len(self.calls())

    def all_steps(self) -> Iterator[Step]:
        """Every step in the plan's order, a group before its own steps."""
        return _all_steps(self.steps)

    def in_sequence(self) -> "Plan":
        """The same plan with its steps in sequence, in an order that their needs allow."""
        order = list(TopologicalSorter({s.id: s.needs for s in self.steps}).static_order())
        by_id = {step.id: step for step in self.steps}
        chained = [
            by_id[step].model_copy(update={"needs": (*by_id[step].needs, order[at - 1])}) if at else by_id[step]
            for at, step in enumerate(order)
        ]
        return self.model_copy(update={"steps": tuple(chained)})

    def step(self, step_id: StepId) -> Step | None:
        """The step of that id, or None."""
        return next((s for s in self.all_steps() if s.id == step_id), None)


def _all_steps(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _all_steps(step.steps)


def _check_graph(steps: Sequence[Step]) -> None:
    """Check the needs and the handlers of the steps of a plan or of a group. Raises `ValueError`."""
    ids = {step.id for step in steps}
    for step in steps:
        unknown = sorted(set(step.needs) - ids)
        if unknown:
            hint = near_match(unknown[0], ids - {step.id})
            raise ValueError(f"step {step.id!r} needs unknown steps: {', '.join(unknown)}.{hint}")
        _check_handler(step, steps)
        _check_graph(step.steps)
    try:
        TopologicalSorter({s.id: s.needs for s in steps}).prepare()
    except CycleError as error:
        raise ValueError(f"steps need each other in a circle: {' -> '.join(error.args[1])}") from error


def _check_handler(step: Step, steps: Sequence[Step]) -> None:
    """Check the step that handles a failure: it stands beside the step, needs nothing, and nothing needs it."""
    if step.goto is None:
        return
    handler = next((other for other in steps if other.id == step.goto), None)
    if handler is None or handler.id == step.id:
        raise ValueError(f"step {step.id!r} goes to {step.goto!r}, which is not another step beside it")
    users = sorted(other.id for other in steps if handler.id in other.needs)
    if users or handler.needs:
        fault = f"{', '.join(users)} needs it" if users else f"it needs {', '.join(handler.needs)}"
        raise ValueError(f"step {step.id!r} goes to {step.goto!r}, but {fault}: a handler stands alone")


class WorkflowDefinition(BaseModel):
    """A catalogue entry (D-032, D-035). `code` entries are workflow classes; their steps are for display.

    Unknown keys, those of its plan included, are a fault.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{1,62}$")
    name: str = Field(min_length=1)
    description: str = Field(min_length=1)
    version: str = "1.0"
    complexity: Literal["low", "medium", "high"] = "medium"
    estimated_time: str = Field(default="not estimated", description='For display, such as "5-10 minutes".')
    estimated_cost: str = Field(default="not estimated", description='For display, such as "$0.25-$0.50".')
    input_schema: dict[str, Any] = Field(default={"type": "object"}, description="Default: any object.")
    input_model: type[BaseModel] | None = Field(
        default=None, description="Instead of `input_schema`: applied whole, with its validators, before a start."
    )
    output_schema: dict[str, Any] = Field(default={}, description="Default: the schema of `JobResult`.")
    plan: Plan = Plan()
    code: bool = False
    source: str = "built-in"

    @model_validator(mode="before")
    @classmethod
    def _schema_of_model(cls, data: Any) -> Any:
        model = data.get("input_model") if isinstance(data, dict) else None
        if model is None or not hasattr(model, "model_json_schema"):
            return data
        if "input_schema" in data:
            raise ValueError("give input_model or input_schema, not both: the model defines the schema")
        return {**data, "input_schema": model.model_json_schema()}

    @model_validator(mode="after")
    def _plan_has_no_unknown_keys(self) -> Self:
        steps = list(self.plan.all_steps())
        parts: list[BaseModel] = [self.plan, *steps]
        for step in steps:
            parts += [step.retry, step.timeouts, *(part for part in (step.approval, step.repeat, step.ask) if part)]
            parts += [part for part in step.fallback if isinstance(part, FallbackModel)]
        unknown = {(type(part), key) for part in parts for key in part.model_extra or ()}
        if unknown:
            keys = sorted(f"{part.__name__}.{key}.{near_match(key, part.model_fields)}" for part, key in unknown)
            raise ValueError(f"the plan has unknown keys: {' '.join(keys)}")
        return self

    @model_validator(mode="after")
    def _declared_plan_has_steps(self) -> Self:
        if not self.code and not self.plan.steps:
            raise ValueError("a declared workflow needs at least one step")
        return self

    @property
    def squads(self) -> list[str]:
        """Squads in the order in which the steps first use them."""
        return list(dict.fromkeys(step.squad for step in self.plan.all_steps() if step.squad))

    @property
    def agents_count(self) -> int:
        """How many different agents take part (C-57)."""
        return len({agent for step in self.plan.all_steps() for agent in step.agents})
