"""Which models run no author code: those are read in the worker's own event loop."""

import threading
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from orchestrator.agents.registry import AGENTS
from orchestrator.domain.agents import AgentOutput, Deliverable
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.plain_models import runs_no_author_code


class Part(BaseModel):
    name: str = Field(min_length=1)
    number: int | None = None
    inner: "list[Part]" = Field(default_factory=list)


class Plain(AgentOutput):
    model_config = ConfigDict(extra="forbid")

    parts: list[Part] = Field(default_factory=list)
    extra: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    at: datetime | None = None
    kind: Literal["a", "b"] = "a"
    either: int | str = 1


class FieldValidator(AgentOutput):
    @field_validator("summary")
    @classmethod
    def check(cls, value: str) -> str:
        return value


class ModelValidator(AgentOutput):
    @model_validator(mode="after")
    def check(self) -> Self:
        return self


class InAnnotation(AgentOutput):
    name: Annotated[str, AfterValidator(str.strip)]


class InPart(AgentOutput):
    parts: list[ModelValidator]


class SerializedField(AgentOutput):
    @field_serializer("summary")
    def short(self, value: str) -> str:
        return value


class SerializedModel(AgentOutput):
    @model_serializer
    def short(self) -> dict[str, Any]:
        return {}


class SerializedType(AgentOutput):
    name: Annotated[str, PlainSerializer(str.upper)]


class Computed(AgentOutput):
    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return 1


class Factory(AgentOutput):
    name: str = Field(default_factory=lambda: "x")


class PostInit(AgentOutput):
    def model_post_init(self, _context: Any) -> None:
        return


class Init(AgentOutput):
    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Overridden(AgentOutput):
    def model_dump(self, **options: Any) -> dict[str, Any]:
        return super().model_dump(**options)


class Read(AgentOutput):
    @classmethod
    def model_validate_json(cls, *arguments: Any, **options: Any) -> Self:
        return super().model_validate_json(*arguments, **options)


class Kind(Enum):
    A = "a"

    @classmethod
    def _missing_(cls, _value: object) -> "Kind":
        return cls.A


class WithEnum(AgentOutput):
    kind: Kind


class Pattern(AgentOutput):
    model_config = ConfigDict(regex_engine="python-re")

    name: str = Field(pattern="(a+)+$")


class OwnFile(Deliverable):
    @field_validator("content")
    @classmethod
    def check(cls, value: str) -> str:
        return value


class OwnFiles(AgentOutput):
    files: list[OwnFile]


class Meta(type(BaseModel)):  # type: ignore[misc]
    pass


class OfMeta(AgentOutput, metaclass=Meta):
    pass


@pytest.mark.parametrize("model", [AgentOutput, Part, Plain, *(agent.output_model for agent in AGENTS)])
def test_plain_models(model: type[BaseModel]) -> None:
    assert runs_no_author_code(model)


AUTHORS = [
    *(FieldValidator, ModelValidator, InAnnotation, InPart, SerializedField, SerializedModel, SerializedType, Computed),
    *(Factory, PostInit, Init, Overridden, Read, WithEnum, Pattern, OwnFiles, OfMeta),
]


@pytest.mark.parametrize("model", AUTHORS)
def test_models_with_code_of_an_author(model: type[BaseModel]) -> None:
    assert not runs_no_author_code(model)


@pytest.mark.parametrize(("model", "here"), [(Plain, True), (FieldValidator, False), (None, False)])
async def test_only_a_plain_model_is_read_in_the_loop_of_the_worker(model: Any, here: bool) -> None:
    bulkhead = Bulkhead()
    thread = await bulkhead.watch("acme", threading.get_ident, model=model)
    bulkhead.close()
    assert (thread == threading.get_ident()) is here
