"""The filters of `orchestrator jobs`: one option each, the same for every command that selects jobs."""

import functools
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from orchestrator.commandline.jobs import completion
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.jobs.times import moment
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.jobs import JobStatus

WHICH: Final = "Which jobs"

Statuses = Annotated[
    list[JobStatus] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only queued, running, completed, failed or cancelled jobs; repeat it for several.",
        show_default="any",
        rich_help_panel=WHICH,
    ),
]
Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        help="Only open jobs with this reason, such as stuck or waiting_for_approval; repeat it for several.",
        autocompletion=completion.reasons,
        show_default="any",
        rich_help_panel=WHICH,
    ),
]
Attention = Annotated[
    bool,
    typer.Option(
        "--needs-attention",
        help="Only jobs that need a person: stuck, failed and not retried, waiting for approval, or without a worker.",
        rich_help_panel=WHICH,
    ),
]
Workflow = Annotated[
    str | None,
    typer.Option(
        help="Only jobs of this workflow.",
        autocompletion=completion.workflows,
        show_default="any",
        rich_help_panel=WHICH,
    ),
]
Agent = Annotated[
    str | None,
    typer.Option(
        help="Only jobs of this agent.", autocompletion=completion.agents, show_default="any", rich_help_panel=WHICH
    ),
]
Owner = Annotated[
    str | None,
    typer.Option(help="Only jobs of this owner; needs an admin key.", show_default="any", rich_help_panel=WHICH),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="AGE|TIME",
        help="Only jobs accepted since then: an age such as 30m, 2h or 7d, or a time (UTC).",
        show_default=False,
        rich_help_panel=WHICH,
    ),
]
Before = Annotated[
    str | None,
    typer.Option(
        metavar="AGE|TIME",
        help="Only jobs accepted before then: an age or a time, as for --since.",
        show_default=False,
        rich_help_panel=WHICH,
    ),
]


def selection(
    *,
    status: Statuses = None,
    reason: Reasons = None,
    needs_attention: Attention = False,
    workflow: Workflow = None,
    agent: Agent = None,
    owner: Owner = None,
    since: Since = None,
    before: Before = None,
) -> Selection:
    """The filters of the options. Raises `Refused`."""
    if workflow and agent:
        raise Refused("pass --workflow or --agent, not both: a job runs one of them")
    now = datetime.now(UTC)
    return Selection(
        statuses=tuple(dict.fromkeys(status or ())),
        reasons=tuple(dict.fromkeys(code for text in reason or () for code in text.split(",") if code)),
        needs_attention=needs_attention,
        workflow=workflow,
        agent=agent,
        owner=owner,
        since=moment(since, "--since", now) if since else None,
        before=moment(before, "--before", now) if before else None,
    )


def with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each parameter of `selection` in place of its parameter `filters`."""
    options = inspect.signature(selection).parameters
    signature = inspect.signature(command)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        filters = selection(**{name: values.pop(name) for name in options})
        command(filters=filters, **values)

    # Typer reads the options from the signature and the annotations.
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += options.values() if parameter.name == "filters" else [parameter]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
