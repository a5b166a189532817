"""Plans are data: validated before a start and passed in as the workflow's input (A1)."""

from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.domain.backoff import Backoff

StepId = str
_DAY = 86_400.0


class Part(BaseModel):
    """An immutable part of a plan. A plan travels with its job, so it keeps the unknown keys of a newer version."""

    model_config = ConfigDict(frozen=True, extra="allow")


class RetryPolicy(Part):
    """How an agent call is retried. Intervals are seconds. Always bounded (A8)."""

    initial_interval: float = Field(default=1.0, gt=0)
    backoff_coefficient: float = Field(default=2.0, ge=1)
    maximum_interval: float = Field(default=60.0, gt=0)
    maximum_attempts: int = Field(
        default=5,
        ge=1,
        le=100,
        description="Attempts of the agent: a worker that dies, stops or lacks the agent does not count.",
    )

    def pause(self, failures: int) -> float:
        """Seconds between the failure of that number and the next attempt."""
        return Backoff(self.initial_interval, self.maximum_interval, self.backoff_coefficient).pause(failures)


class Timeouts(Part):
    """Limits of one agent call in seconds. A dead worker is noticed after `heartbeat` seconds."""

    start_to_close: float = Field(default=300.0, gt=0)
    schedule_to_close: float = Field(default=3600.0, gt=0)
    heartbeat: float = Field(default=8.0, gt=0)


class Approval(Part):
    """The step waits for an approval before it runs; after `timeout` seconds without one it fails."""

    message: str = "Approve this step to go on."
    timeout: float = Field(default=7 * _DAY, gt=0)


class Step(Part):
    """One step: its agents run in parallel once every step in `needs` is done."""

    id: StepId = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    name: str = Field(min_length=1)
    squad: str
    agents: tuple[str, ...] = Field(min_length=1)
    needs: tuple[StepId, ...] = ()
    estimated_time: str = "1-2 minutes"
    instruction: str = ""
    short: bool = Field(default=False, description="Run as a local activity: only for work under a second.")
    task_queue: str | None = Field(
        default=None, min_length=1, description="The task queue of the step's calls, if it is not the workflow's."
    )
    approval: Approval | None = None
    retry: RetryPolicy = RetryPolicy()
    timeouts: Timeouts = Timeouts()

    @model_validator(mode="after")
    def _agents_are_unique(self) -> Self:
        if len(set(self.agents)) != len(self.agents):
            raise ValueError(f"step {self.id!r} names an agent twice")
        return self

    @model_validator(mode="after")
    def _short_steps_have_no_queue(self) -> Self:
        if self.short and self.task_queue is not None:
            raise ValueError(f"step {self.id!r} is short, so it runs beside its workflow: remove its task_queue")
        return self


class Plan(Part):
    """An acyclic graph of steps. Only that of a workflow in code may be empty: its calls are those that it makes."""

    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _graph_is_sound(self) -> Self:
        ids = [step.id for step in self.steps]
        doubles = sorted({i for i in ids if ids.count(i) > 1})
        if doubles:
            raise ValueError(f"step ids are not unique: {', '.join(doubles)}")
        for step in self.steps:
            unknown = sorted(set(step.needs) - set(ids))
            if unknown:
                raise ValueError(f"step {step.id!r} needs unknown steps: {', '.join(unknown)}")
        try:
            TopologicalSorter({s.id: s.needs for s in self.steps}).prepare()
        except CycleError as error:
            raise ValueError(f"steps need each other in a circle: {' -> '.join(error.args[1])}") from error
        return self

    def calls(self) -> list[tuple[StepId, str]]:
        """Every planned agent call as `(step, agent)`, in the plan's order."""
        return [(step.id, agent) for step in self.steps for agent in step.agents]

    def in_sequence(self) -> "Plan":
        """The same plan with its steps in sequence, in an order that their needs allow."""
        order = list(TopologicalSorter({s.id: s.needs for s in self.steps}).static_order())
        by_id = {step.id: step for step in self.steps}
        chained = [
            by_id[step].model_copy(update={"needs": (*by_id[step].needs, order[at - 1])}) if at else by_id[step]
            for at, step in enumerate(order)
        ]
        return Plan(steps=tuple(chained))

    def step(self, step_id: StepId) -> Step | None:
        """The step of that id, or None."""
        return next((s for s in self.steps if s.id == step_id), None)


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
        parts: list[Part] = [self.plan, *self.plan.steps]
        for step in self.plan.steps:
            parts += [step.retry, step.timeouts, *([step.approval] if step.approval else [])]
        unknown = sorted({f"{type(part).__name__}.{key}" for part in parts for key in part.model_extra or ()})
        if unknown:
            raise ValueError(f"the plan has unknown keys: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _declared_plan_has_steps(self) -> Self:
        if not self.code and not self.plan.steps:
            raise ValueError("a declared workflow needs at least one step")
        return self

    @property
    def squads(self) -> list[str]:
        """Squads in the order in which the steps first use them."""
        return list(dict.fromkeys(step.squad for step in self.plan.steps))

    @property
    def agents_count(self) -> int:
        """How many different agents take part (C-57)."""
        return len({agent for step in self.plan.steps for agent in step.agents})
