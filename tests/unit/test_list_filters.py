"""Every filter of the list of jobs leads from the request to the statement that reads the rows."""

from dataclasses import fields
from typing import Any

import pytest

from api.v1.jobs import JobQuery
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState, JobStatus, ReasonCode
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.storage.lists import Filter, job_page
from orchestrator.storage.tables import jobs

PARAMETERS: dict[str, Any] = {
    "status": "failed",
    "state": ["PAUSED"],
    "since": "2026-01-02T03:04:05Z",
    "until": "2026-01-02T03:04:05Z",
    "reason": ["stuck"],
    "needs_attention": True,
    "limit": 7,
    "offset": 7,
}
CHOICES: dict[str, Any] = {
    "states": [JobState.FAILED],
    "kind": JobKind.AGENT,
    "reasons": [ReasonCode.STUCK],
    "attention": True,
    "unattended": True,
}
SELECTED: dict[str, Any] = {"statuses": (JobStatus.FAILED,), "reasons": ("stuck",), "needs_attention": True}
BY_COMMAND = {"since", "before"}  # the command applies them itself
BY_PAGE = {"limit", "offset", "after"}


@pytest.mark.parametrize("name", sorted(JobQuery.model_fields.keys() - {"after"}))
def test_every_parameter_changes_the_filter(name: str) -> None:
    query = JobQuery.model_validate({name: PARAMETERS.get(name, "x")})
    assert query.filter() != JobQuery().filter()


@pytest.mark.parametrize("name", [field.name for field in fields(Filter)])
def test_every_field_of_a_filter_changes_the_statement(name: str) -> None:
    others: dict[str, Any] = {"attention": True} if name == "unattended" else {}
    chosen = Filter(**{**others, name: CHOICES.get(name, "x")})
    statements = [str(job_page([jobs.c.id], each, limit=1, offset=0)[0]) for each in (chosen, Filter(**others))]
    assert statements[0] != statements[1]


def test_the_service_and_the_index_have_the_same_filters() -> None:
    service, index = ({field.name for field in fields(kind)} for kind in (JobFilter, Filter))
    assert service - BY_PAGE == index - {"unattended"}


@pytest.mark.parametrize("name", [field.name for field in fields(Selection) if field.name not in BY_COMMAND])
def test_every_option_of_the_command_is_a_parameter_of_the_list(name: str) -> None:
    (query,) = Selection(**{name: SELECTED.get(name, "x")}).queries()
    assert query.keys() <= JobQuery.model_fields.keys()
    assert query
