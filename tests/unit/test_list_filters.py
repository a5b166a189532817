"""Every filter of the list of jobs leads from the request to the statement that reads the rows."""

import inspect
from dataclasses import asdict, fields
from typing import Any

import pytest
import typer

from api.v1.jobs import JobQuery
from orchestrator.commandline.jobs.app import jobs as jobs_app
from orchestrator.commandline.jobs.client import NEW_FILTERS
from orchestrator.commandline.jobs.controls import add_controls
from orchestrator.commandline.jobs.filters import selection
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState, JobStatus, ReasonCode
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.storage.lists import Filter, job_page
from orchestrator.storage.tables import jobs

PARAMETERS: dict[str, Any] = {
    "status": "failed",
    "state": ["PAUSED"],
    "label": ["team:blue"],
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
    "labels": {"team": "blue"},
}
SELECTED: dict[str, Any] = {"statuses": (JobStatus.FAILED,), "reasons": ("stuck",), "needs_attention": True}
OPTIONS: dict[str, Any] = {"status": [JobStatus.FAILED], "needs_attention": True, "since": "2d", "before": "2d"}
OLD_FILTERS = {"status", "workflow_id", "agent_id"}  # every API knows them
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


def test_every_option_of_the_commands_fills_a_field_of_the_selection_and_every_field_has_one() -> None:
    none = asdict(selection())
    filled: set[str] = set()
    for name in inspect.signature(selection).parameters:
        selected = asdict(selection(**{name: OPTIONS.get(name, ["x"] if name == "reason" else "x")}))
        changed = {field for field, value in selected.items() if value != none[field]}
        assert changed, name
        filled |= changed
    assert filled == none.keys()


def test_every_command_that_selects_jobs_has_every_filter() -> None:
    commands = typer.Typer()
    add_controls(commands)
    for command in (*commands.registered_commands, *jobs_app.registered_commands[:1]):
        assert command.callback is not None
        assert inspect.signature(selection).parameters.keys() <= inspect.signature(command.callback).parameters.keys()


def test_every_filter_that_an_older_api_ignores_is_named() -> None:
    names = [field.name for field in fields(Selection) if field.name not in BY_COMMAND]
    queries = [query for name in names for query in Selection(**{name: SELECTED.get(name, "x")}).queries()]
    assert {name for query in queries for name in query} == NEW_FILTERS.keys() | OLD_FILTERS
