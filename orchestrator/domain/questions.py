"""Questions to people: a form, an approval, or a tool call that needs a yes. One model for plans, code and tools."""

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from orchestrator.domain.access import Principal, Role
from orchestrator.domain.expressions import Template
from orchestrator.domain.json_schema import rewritten, schema_fault

Form = TypeVar("Form", bound=BaseModel)
OnTimeout = Literal["fail", "default", "skip"]
DAY: Final = 86_400.0
MAX_FORM_BYTES: Final = 6 * 1024
"""A question is one note in the job's history, and notes are small."""
MAX_VALUES_BYTES: Final = 32 * 1024
_MAX_DETAILS_BYTES: Final = 6 * 1024
_OWNER: Final = "owner"
INVALID_QUESTION: Final = "invalid_question"
"""The failure type of a question that workflow code asks wrongly, such as of people who cannot exist."""


def check_people(by: tuple[str, ...]) -> tuple[str, ...]:
    """The entries of `by`. Raises `ValueError` if one names nobody."""
    for name in by:
        kind, colon, rest = name.partition(":")
        if kind == "role" and rest not in set(Role):
            raise ValueError(f"{name!r}: there is no such role; roles are {', '.join(Role)}")
        if name != _OWNER and (kind not in (_OWNER, "role", "key") or not colon or not rest):
            raise ValueError(f"{name!r} names nobody: use 'owner', 'owner:ID', 'role:ROLE' or 'key:NAME'")
    return by


People = Annotated[tuple[str, ...], AfterValidator(check_people)]
"""Who may answer: `owner`, `owner:ID`, `role:ROLE` or `key:NAME`; empty for everyone who may control the job."""


class QuestionKind(StrEnum):
    """What a question asks for: values, a yes or no, or a yes or no to one tool call."""

    FORM = "form"
    APPROVAL = "approval"
    TOOL = "tool"


class QuestionStatus(StrEnum):
    """Whether a question waits. `expired`: its deadline passed; `withdrawn`: nothing waits for its answer any more."""

    OPEN = "open"
    ANSWERED = "answered"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Ask(BaseModel):
    """A step that asks a person. Its output is the values of the answer.

    `form` is a pydantic model or a JSON Schema of an object. Without an answer within `timeout` seconds, the step fails
    (`answer_timeout`), goes on with the form's `default` values, or is skipped. `by` restricts who may answer: `owner`,
    `owner:ID`, `role:ROLE` and `key:NAME`; without it, everyone who may control the job. `show` is a mapping like a
    step's `input`: the person sees its values, long texts by their beginnings.
    """

    # A plan travels with its job, so it keeps the unknown keys of a newer version.
    model_config = ConfigDict(frozen=True, extra="allow")

    form: dict[str, Any]
    model: SkipJsonSchema[type[BaseModel] | None] = Field(default=None, exclude=True, repr=False)
    message: str = Field(min_length=1, max_length=1000)
    timeout: float = Field(default=7 * DAY, gt=0)
    by: People = ()
    on_timeout: OnTimeout = "fail"
    show: Template | None = Field(
        default=None, exclude_if=lambda value: value is None, description="What the person decides on."
    )

    @model_validator(mode="before")
    @classmethod
    def _form_of_model(cls, data: Any) -> Any:
        form = data.get("form") if isinstance(data, dict) else None
        if isinstance(form, type) and issubclass(form, BaseModel):
            return {**data, "form": form.model_json_schema(), "model": form}
        return data

    @field_validator("form")
    @classmethod
    def _is_form(cls, form: dict[str, Any]) -> dict[str, Any]:
        check_form(form)
        return form

    @model_validator(mode="after")
    def _has_defaults(self) -> "Ask":
        if self.on_timeout == "default" and (required := self.form.get("required")):
            raise ValueError(f"on_timeout is 'default', but the form has fields without one: {', '.join(required)}")
        return self

    def question(self, id: str, step: str, details: Any = None) -> "PersonQuestion":
        """The question of the step. `id` is the step, with the key of its item or round if it has one."""
        check_details(details)
        return PersonQuestion(
            id=id,
            step=step,
            message=self.message,
            form=self.form,
            details=details,
            timeout=self.timeout,
            by=self.by,
            on_timeout=self.on_timeout,
        )


class PersonQuestion(BaseModel):
    """One question of a job. `id` is unique in the job; `form` is the JSON Schema of the values of an answer.

    `details` is what the person decides on, such as the arguments of a tool call. `default` replaces the defaults of
    the form after the deadline, if `on_timeout` is `default`. The workflow sets the times.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    step: str
    agent: str | None = None
    kind: QuestionKind = QuestionKind.FORM
    message: str
    form: dict[str, Any]
    details: Any = None
    timeout: float | None = 7 * DAY
    by: tuple[str, ...] = ()
    on_timeout: OnTimeout = "fail"
    default: dict[str, Any] | None = None
    asked_at: datetime | None = None
    deadline: datetime | None = None

    def values_at_deadline(self) -> dict[str, Any]:
        """The values that count if nobody answers and `on_timeout` is `default`."""
        return with_defaults(self.form, {}) if self.default is None else self.default

    def admits(self, principal: Principal, owner: str) -> bool:
        """Whether the caller may answer. `owner` owns the job. Administrators always may."""
        if principal.admin or not self.by:
            return principal.can_see(owner)
        return not people_of(principal, owner).isdisjoint(self.by)


class AnswerInput(BaseModel):
    """The Update `answer`: the id of the question, the values, and who answers. From outside the API, the sender may be
    left out. Unknown fields are refused: nothing of an answer is dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    values: dict[str, Any] = Field(default_factory=dict)
    actor: str = "an operator"
    note: str = ""


class PersonAnswer(BaseModel):
    """The answer to a question. `how` is `default` or `skipped` if nobody answered in time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    values: dict[str, Any] = Field(default_factory=dict)
    actor: str = ""
    note: str = ""
    at: datetime
    how: Literal["answered", "default", "skipped"] = "answered"

    @property
    def approved(self) -> bool:
        """Whether it is a yes to an approval or a tool call."""
        return self.values.get("approved") is True

    @property
    def arguments(self) -> dict[str, Any] | None:
        """The arguments that a person edited; None if the call is made unchanged."""
        arguments = self.values.get("arguments")
        return arguments if isinstance(arguments, dict) else None


class JobQuestion(PersonQuestion):
    """A question of a job and what became of it."""

    status: QuestionStatus = QuestionStatus.OPEN
    ended_at: datetime | None = None
    answer: PersonAnswer | None = None

    @property
    def open(self) -> bool:
        """Whether it waits for an answer."""
        return self.status is QuestionStatus.OPEN


class CarriedQuestions(BaseModel):
    """The questions of a run, for the run that continues it. Decisions by signal can arrive before their question."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    open: list[PersonQuestion] = Field(default_factory=list)
    answers: dict[str, PersonAnswer] = Field(default_factory=dict)
    early: dict[str, AnswerInput] = Field(default_factory=dict)
    expired: list[str] = Field(default_factory=list)


def approval_question(
    id: str, step: str, message: str, *, details: Any = None, timeout: float | None = 7 * DAY, by: tuple[str, ...] = ()
) -> PersonQuestion:
    """A question for a yes or no. Without an answer in time, it fails with `approval_timeout`."""
    check_details(details)
    form = _decision({})
    return PersonQuestion(
        id=id,
        step=step,
        kind=QuestionKind.APPROVAL,
        message=message,
        form=form,
        details=details,
        timeout=timeout,
        by=by,
    )


def tool_question(
    id: str,
    step: str,
    agent: str,
    message: str,
    *,
    arguments: dict[str, Any],
    schema: dict[str, Any],
    timeout: float | None = 7 * DAY,
    by: tuple[str, ...] = (),
) -> PersonQuestion:
    """A question for a yes to a tool call. The person may send edited `arguments`, which match `schema`.

    Without an answer in time, it is a no.
    """
    inner = rewritten(schema, _moved)
    definitions = inner.pop("$defs", None)
    form = _decision({"arguments": inner}) | ({"$defs": definitions} if definitions else {})
    if len(json.dumps(form).encode()) > MAX_FORM_BYTES or schema_fault(form):
        form = _decision({"arguments": {"type": "object"}})  # The tool itself checks edited arguments, too.
    return PersonQuestion(
        id=id,
        step=step,
        agent=agent,
        kind=QuestionKind.TOOL,
        message=message,
        form=form,
        details=shortened(arguments),
        timeout=timeout,
        by=by,
        on_timeout="default",
        default={"approved": False},
    )


def _moved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a schema with the references that it needs as the property `arguments`, its `$defs` at the top."""
    ref = part.get("$ref")
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")) or ref.startswith("#/$defs/"):
        return part
    return {**part, "$ref": f"#/properties/arguments{ref[1:]}"}


def _decision(more: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"approved": {"type": "boolean"}, **more},
        "required": ["approved"],
        "additionalProperties": False,
    }


def shortened(arguments: dict[str, Any]) -> dict[str, Any]:
    """The values; if they are too long, the beginning of each long one, so that a person sees what they decide on."""
    if fits(arguments):
        return arguments
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in arguments.items()}
    room = max(100, _MAX_DETAILS_BYTES // 4 // max(1, len(texts)))
    details = {
        name: arguments[name] if len(text) <= room else f"{text[:room]}… ({len(text)} characters)"
        for name, text in texts.items()
    }
    return details if fits(details) else {"arguments": f"{len(texts)} values, too long to show"}


def check_form(form: dict[str, Any]) -> None:
    """Raises `ValueError` if the schema is not that of an object, or is too large."""
    if form.get("type") != "object" or not isinstance(form.get("properties"), dict):
        raise ValueError("a form is a pydantic model with fields, or a JSON Schema of an object with properties")
    if (size := len(json.dumps(form).encode())) > MAX_FORM_BYTES:
        raise ValueError(f"the form's JSON Schema has {size} bytes: at most {MAX_FORM_BYTES}. Ask for fewer fields")


def check_details(details: Any) -> None:
    """Raises `ValueError` if a value is too long to show in a question."""
    if not fits(details):
        raise ValueError(f"what a question shows has at most {_MAX_DETAILS_BYTES} bytes as JSON")


def fits(details: Any) -> bool:
    """Whether a value is short enough to show in a question."""
    return len(json.dumps(details).encode()) <= _MAX_DETAILS_BYTES


def beginning(text: str) -> str:
    """A text, or as much of its beginning as a question can show."""
    if fits(text):
        return text
    start = text[:_MAX_DETAILS_BYTES]
    while not fits(f"{start} …"):
        start = start[: len(start) * 9 // 10]
    return f"{start} …"


def with_defaults(form: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values, with the defaults of the form's other fields."""
    fields = form.get("properties", {})
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    return {**defaults, **values}


def people_of(principal: Principal, owner: str | None = None) -> set[str]:
    """The entries of `by` that name a caller. `owner` owns the job."""
    keys = [key for key in (principal.key, principal.key_name) if principal.key is not None and key is not None]
    names = {f"{_OWNER}:{principal.id}", *(f"role:{role}" for role in principal.roles), *(f"key:{key}" for key in keys)}
    return names | {_OWNER} if principal.id == owner else names
