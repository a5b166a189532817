"""A step of a plan: what it runs, when, how often, and what happens when it fails."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.domain.backoff import Backoff
from orchestrator.domain.expressions import Cel, Template
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.questions import Ask, People

StepId = str
_DAY: Final = 86_400.0
_KINDS: Final = ("agents", "workflow", "ask", "steps")
DECIDING_FIELDS: Final = frozenset(
    {
        "workflow",
        "ask",
        "steps",
        "input",
        "when",
        "for_each",
        "key",
        "max_parallel",
        "max_items",
        "enough",
        "repeat",
        "join",
    }
    | {"fallback", "delay", "until_time", "on_error", "goto"}
)


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

    @property
    def longest_interval(self) -> float:
        """The maximum interval, or the initial one if it is longer: Temporal refuses a maximum below the initial."""
        return max(self.initial_interval, self.maximum_interval)

    def pause(self, failures: int) -> float:
        """Seconds between the failure of that number and the next attempt."""
        return Backoff(self.initial_interval, self.longest_interval, self.backoff_coefficient).pause(failures)


TIME_SHARE: Final = 0.95
"""An attempt ends after this share of Temporal's limit, so that the error is ours."""


class Timeouts(Part):
    """Limits of one agent call in seconds. A dead worker is noticed after `heartbeat` seconds."""

    start_to_close: float = Field(default=300.0, gt=0)
    schedule_to_close: float = Field(default=3600.0, gt=0)
    heartbeat: float = Field(default=8.0, gt=0)


class Approval(Part):
    """The step waits for an approval before it runs; after `timeout` seconds without one it fails.

    `by` restricts who may decide, as that of `Ask`. Such an approval is a question of the job.
    """

    message: str = "Approve this step to go on."
    timeout: float = Field(default=7 * _DAY, gt=0)
    by: People = Field(default=(), exclude_if=lambda by: not by)


class Repeat(Part):
    """The step runs again, round after round, until the condition is true, at most `max_rounds` times."""

    until: Cel
    max_rounds: int = Field(ge=1, le=1000)
    on_limit: Literal["fail", "continue"] = "fail"


class FallbackModel(Part):
    """The step's agent with another model, after its own model failed for good."""

    model: str = Field(min_length=1)


def unset(value: object) -> bool:
    """Whether a field is left out of history: plans of earlier releases had no such field."""
    return value is None or value == ()


class Step(Part):
    """One step: its agents run in parallel once every step in `needs` is done.

    A step is one of four: `agents`, another `workflow`, a question to a person (`ask`), or a group of `steps`. A step
    with `delay` or `until_time` alone only waits.
    """

    id: StepId = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    name: str = Field(default="", min_length=1, description="For display; by default made of the id.")
    squad: str = ""
    agents: tuple[str, ...] = ()
    workflow: str | None = Field(default=None, exclude_if=unset, description="The id of a workflow, run as a child.")
    ask: Ask | None = Field(default=None, exclude_if=unset, description="A form for a person, whose values it gives.")
    steps: tuple["Step", ...] = Field(default=(), exclude_if=unset, description="A group, the body of its step.")
    input: Template | None = Field(
        default=None, exclude_if=unset, description="The input of the agents or of the workflow, instead of the job's."
    )
    when: Cel | None = Field(default=None, exclude_if=unset, description="The step is skipped if it is false.")
    for_each: Cel | None = Field(default=None, exclude_if=unset, description="A list: the step runs for each item.")
    key: Cel | None = Field(default=None, exclude_if=unset, description="A unique name of the item; else its index.")
    max_parallel: int | None = Field(default=None, ge=1, le=1000, exclude_if=unset, description="Items at once: 10.")
    max_items: int | None = Field(default=None, ge=1, le=10_000, exclude_if=unset, description="1000 by default.")
    enough: int | None = Field(default=None, ge=1, exclude_if=unset, description="So many items suffice.")
    repeat: Repeat | None = Field(default=None, exclude_if=unset)
    join: Literal["all", "any"] | int | None = Field(
        default=None, exclude_if=unset, description="How many of `needs` must have run; all by default."
    )
    fallback: tuple[str | FallbackModel, ...] = Field(
        default=(), exclude_if=unset, description="Agents or models, in order, after the agent failed for good."
    )
    delay: float | Cel | None = Field(default=None, exclude_if=unset, description="Seconds before the step begins.")
    until_time: datetime | Cel | None = Field(default=None, exclude_if=unset, description="When the step may begin.")
    on_error: Literal["fail", "continue", "goto"] | None = Field(
        default=None, exclude_if=unset, description="Without it, the job's `stop_on_error` decides."
    )
    goto: StepId | None = Field(default=None, exclude_if=unset, description="The step that handles a failure.")
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

    @model_validator(mode="before")
    @classmethod
    def _has_a_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" not in data and isinstance(id := data.get("id"), str):
            return {**data, "name": id.replace("_", " ").capitalize()}
        return data

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        faults = [fault for broken, fault in _faults(self) if broken]
        if faults:
            unknown = next(iter(self.model_extra or ()), None)
            hint = f". Unknown key: {unknown}.{near_match(unknown, Step.model_fields)}" if unknown else ""
            raise ValueError(f"step {self.id!r} {faults[0]}{hint}")
        return self

    @property
    def decides(self) -> bool:
        """Whether the step has a field that plans of earlier releases did not have."""
        return any(getattr(self, field) not in (None, ()) for field in DECIDING_FIELDS)

    @property
    def dynamic(self) -> bool:
        """Whether its calls are known only once it runs."""
        return bool(self.for_each or self.repeat or self.workflow or any(step.dynamic for step in self.steps))

    @property
    def bodies(self) -> tuple["Step", ...]:
        """The step, or all steps of its group, groups within it included."""
        return tuple(body for step in self.steps for body in step.bodies) if self.steps else (self,)

    def decisions(self) -> dict[str, Any]:
        """What the step decides, as JSON: its deciding fields that are set, without the steps of a group."""
        return self.model_dump(mode="json", include=set(DECIDING_FIELDS - {"steps"}), exclude_defaults=True)

    def bare(self) -> "Step":
        """The step as its calls need it: what it decides is decided, and does not travel with every call."""
        return self.model_copy(update=dict.fromkeys(DECIDING_FIELDS - {"steps", "fallback"}) | {"fallback": ()})

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


def _faults(step: Step) -> Iterator[tuple[bool, str]]:
    """What fields of a step do not fit each other."""
    kinds = [kind for kind in _KINDS if getattr(step, kind)]
    waits = step.delay is not None or step.until_time is not None
    of_items = [name for name in ("key", "max_parallel", "max_items", "enough") if getattr(step, name) is not None]
    yield len(kinds) > 1, f"has {' and '.join(kinds)}: a step is one of them, so split it"
    yield not kinds and not waits, "does nothing: give it agents, a workflow, a question (ask), or steps"
    yield (
        not kinds and bool(step.for_each or step.repeat),
        "repeats nothing: give it agents, a workflow, a question (ask), or steps",
    )
    yield bool(of_items) and step.for_each is None, f"has {', '.join(of_items)}, but no for_each"
    yield (
        step.for_each is not None and kinds in (["agents"], ["workflow"]) and step.input is None,
        "runs for each item, but no input names the item: add input=cel('item'), or a mapping with it",
    )
    yield bool(step.steps) and step.input is not None, "is a group: its own steps have inputs, the group has none"
    yield step.ask is not None and step.input is not None, "asks a person, so it has no input"
    yield bool(step.fallback) and len(step.agents) != 1, "has a fallback: that needs exactly one agent"
    yield bool(set(step.agents) & set(step.fallback)), "names its agent as its own fallback"
    yield (step.on_error == "goto") != (step.goto is not None), 'needs both on_error="goto" and goto=, or neither'
    yield step.short and kinds != ["agents"], "is short, but only agents can be short"
    yield (
        isinstance(step.join, int) and not 1 <= step.join <= len(step.needs),
        f"joins {step.join} of {len(step.needs)} needs",
    )
    yield step.delay is not None and step.until_time is not None, "has delay and until_time: give one of them"
    nested = [body.id for body in step.bodies if step.steps and body.approval is not None]
    yield bool(nested), f"is a group with an approval in it ({', '.join(nested)}): put the approval on the group"
