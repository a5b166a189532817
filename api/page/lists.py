"""The query of the list of jobs: search and filters from the address, and the same as a filter of the service."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, Field, field_validator

from api.v1.pages import Listing, position_of
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.ids import ID_END_LENGTH, JobKind
from orchestrator.domain.jobs import OPEN_STATES, JobState, ReasonCode
from orchestrator.domain.labels import parsed_label
from orchestrator.domain.pages import CostPosition
from orchestrator.services.jobs.reader import JobFilter

PERSON: Final = "person"
"""Instead of a reason: both reasons of jobs that wait for a person."""
WAITING: Final = (ReasonCode.WAITING_FOR_APPROVAL, ReasonCode.WAITING_FOR_INPUT)
_ID_START: Final = re.compile(r"(wf_)?job_[0-9a-f]{1,32}")
_ID_PART: Final = re.compile(rf"[….]{{0,3}}[0-9a-f]{{{ID_END_LENGTH},32}}")
_AGES: Final = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}


class BulkAction(StrEnum):
    """The actions on many jobs."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"

    @property
    def states(self) -> list[JobState]:
        """The states in which a job can take the action."""
        match self:
            case BulkAction.CANCEL:
                return sorted(OPEN_STATES)
            case BulkAction.PAUSE:
                return sorted(OPEN_STATES - {JobState.PAUSED})
            case BulkAction.RESUME:
                return [JobState.PAUSED]
            case BulkAction.RETRY:
                return [state for state in JobState if state.retryable]

    def among(self, states: Sequence[JobState] | None) -> list[JobState]:
        """The states in which jobs of a list can take the action. `states` are those that the list names, if it does.

        Cancelled jobs are retried only if the list names them, as on the command line: somebody wanted them to end.
        """
        if states is None:
            return [state for state in self.states if self is not BulkAction.RETRY or state.failed]
        return [state for state in self.states if state in states]


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions of the catalogue by id: the kind of their jobs, and their displayed names."""

    kinds: Mapping[str, JobKind]
    names: Mapping[str, str]


class ListQuery(BaseModel):
    """The filters of the list, as its address has them. Empty fields do not filter."""

    q: str = Field(default="", max_length=200)
    state: str = Field(default="", max_length=20)
    definition: str = Field(default="", max_length=128)
    owner: str = Field(default="", max_length=200)
    label: str = Field(default="", max_length=300)
    reason: str = Field(default="", max_length=40)
    age: str = Field(default="", max_length=3)
    since: str = Field(default="", max_length=40)
    until: str = Field(default="", max_length=40)
    sort: str = Field(default="", max_length=8)
    after: str = Field(default="", max_length=1000)

    def values(self, **changes: str) -> dict[str, str]:
        """The fields that filter, some of them changed, without the place in the list."""
        fields = {**self.model_dump(exclude={"after"}), **changes}
        return {name: value for name, value in fields.items() if value}

    @field_validator("state")
    @classmethod
    def _upper(cls, state: str) -> str:
        """The state as the list writes it: an address that is typed may have it in any case."""
        return state.upper()

    @property
    def chips(self) -> list[tuple[str, str]]:
        """The filters beside the state, each with its value."""
        return [(name, value) for name, value in self.values().items() if name not in ("state", "sort")]

    @property
    def by_cost(self) -> bool:
        """Whether the list begins with the most expensive jobs. Raises `InvalidInput`."""
        if self.sort not in ("", "cost"):
            raise InvalidInput(
                f"There is no order {self.sort!r}", field="sort", expected="cost, or nothing for the newest"
            )
        return self.sort == "cost" and not self.reason  # jobs with a reason are open: their cost is not final

    @property
    def cost_position(self) -> CostPosition | None:
        """The place in a list by cost. Raises `InvalidInput`."""
        if not self.after:
            return None
        cost, _, id = self.after.partition("|")
        try:
            return CostPosition(float(cost), id)
        except ValueError as error:
            raise InvalidInput(
                "This is not a place in this list", field="after", expected="the link Less expensive"
            ) from error

    def filter(self, catalogue: Definitions, now: datetime, *, limit: int) -> JobFilter:
        """The filter for the service. Raises `InvalidInput`."""
        kinds = catalogue.kinds
        words = _search(self.q, kinds, catalogue.names)
        labels = dict(filter(None, [_label(self.label), *words.get("labels", {}).items()]))
        definition = self.definition or words.get("definition")
        since = _moment("since", self.since)
        if self.age:
            length = _AGES.get(self.age)
            if length is None:
                raise InvalidInput(f"There is no age {self.age!r}", field="age", expected=", ".join(_AGES))
            since = now - length
        return JobFilter(
            owner=self.owner or words.get("owner"),
            states=None if not self.state else [_state(self.state)],
            kind=kinds.get(definition) if definition else None,
            definition=definition,
            reasons=_reasons(self.reason) if self.reason else None,
            since=since,
            until=_moment("until", self.until),
            labels=labels,
            id_start=words.get("id_start"),
            id_part=words.get("id_part"),
            after=position_of(Listing.JOBS, self.after) if self.after and not self.by_cost else None,
            limit=limit,
        )


def _search(text: str, kinds: Mapping[str, JobKind], names: Mapping[str, str]) -> dict[str, Any]:
    """What a search means: words that each narrow it. `names` are the displayed names of the definitions."""
    whole = text.strip().lower()
    if (exact := next((id for id, name in names.items() if whole in (id.lower(), name.lower())), None)) is not None:
        return {"definition": exact}
    meaning: dict[str, Any] = {"labels": {}}
    for word in text.split():
        name, colon, value = word.partition(":")
        if _ID_START.fullmatch(word):
            meaning["id_start"] = word
        elif _ID_PART.fullmatch(word) and word not in kinds:
            meaning["id_part"] = word.lstrip("….")
        elif colon and name == "owner" and value:
            meaning["owner"] = value
        elif colon and value:
            meaning["labels"][name] = value
        else:
            candidates = matching(word, names)
            meaning["definition"] = candidates[0] if len(candidates) == 1 else word
    return meaning


def matching(text: str, names: Mapping[str, str]) -> list[str]:
    """The definitions whose id or displayed name contains a text."""
    part = text.strip().lower()
    return [id for id, name in names.items() if part in id.lower() or part in name.lower()] if part else []


def _label(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    label = parsed_label(text)
    if label is None:
        raise InvalidInput(f"invalid label {text[:80]!r}: expected NAME:VALUE", field="label", expected="NAME:VALUE")
    return label


def _state(text: str) -> JobState:
    state = next((state for state in JobState if state == text.upper()), None)
    if state is None:
        states = ", ".join(JobState)
        raise InvalidInput(f"There is no state {text!r}: expected one of {states}", field="state", expected=states)
    return state


def _reasons(text: str) -> list[ReasonCode]:
    if text == PERSON:
        return list(WAITING)
    reason = next((reason for reason in ReasonCode if reason == text.lower()), None)
    if reason is None:
        reasons = ", ".join(ReasonCode)
        raise InvalidInput(f"There is no reason {text!r}: expected one of {reasons}", field="reason", expected=reasons)
    return [reason]


def _moment(field: str, text: str) -> datetime | None:
    """A moment of a form or an address; without a zone it is in UTC."""
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        expected = "a time such as 2026-11-26T21:00"
        raise InvalidInput(f"{field} is no time: {text[:40]!r}", field=field, expected=expected) from error
