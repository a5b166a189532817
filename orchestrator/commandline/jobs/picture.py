"""One job as text: its state and reason, and each call with its attempts, time, cost and place on a time line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.text import Text

from orchestrator.commandline.jobs.table import STYLES, state_word
from orchestrator.commandline.jobs.times import age, span
from orchestrator.commandline.run import deliverables
from orchestrator.commandline.run.job_view import FollowedJob, ShownAttempt, ShownCall, ShownFault, Used
from orchestrator.commandline.terminal.plain_text import one_line, plain
from orchestrator.commandline.terminal.progress import next_command
from orchestrator.domain.jobs import CallStatus
from orchestrator.domain.schemas import expected_by

_SIGNS: Final[dict[str, str]] = {
    CallStatus.COMPLETED: "✓",
    CallStatus.FAILED: "✗",
    CallStatus.CANCELLED: "–",
    CallStatus.SKIPPED: "–",
    CallStatus.RUNNING: "▶",
    CallStatus.RETRYING: "↻",
    CallStatus.WAITING_FOR_APPROVAL: "?",
    CallStatus.SCHEDULED: "…",
}
_MAX_NAME_LENGTH: Final = 34
_SHORTEST_BAR: Final = 10.0  # Seconds. The API's times are whole seconds: for a shorter job a time line would mislead.


@dataclass(frozen=True, slots=True)
class Frame:
    """How to draw: `bar` columns for the time line, 0 for none; `flag` is added to suggested commands."""

    now: datetime
    bar: int = 0
    flag: str = ""


def picture(job: FollowedJob, frame: Frame) -> list[Text]:
    """The lines that show a job."""
    return [*_head(job, frame), *_questions(job, frame), *_calls(job, frame), *_foot(job, frame)]


def _head(job: FollowedJob, frame: Frame) -> Iterator[Text]:
    where = state_word(job)
    failed = f", {job.failed_calls} of its calls failed" if job.failed_calls and job.error is None else ""
    yield Text.assemble((job.job_id, "bold"), "  ", one_line(job.name), f"  ({one_line(job.target)})")
    yield Text.assemble(
        (where.replace("_", " "), f"bold {STYLES.get(where, '')}".strip()),
        (failed, "bold red"),
        f"  {job.progress_text}",
        _age(job, frame),
    )
    if job.reason is not None:
        since = job.reason.since
        lasting = f" (for {span((frame.now - since).total_seconds())})" if since else ""
        yield Text(f"  {one_line(job.reason.message)}{lasting}")
    if job.error is not None:
        place = " / ".join(one_line(part) for part in (job.error.step, job.error.agent) if part)
        yield Text.assemble("  ", (one_line(job.error.type), "red"), f" in {place}" if place else "")
        yield from (Text(f"    {line}") for line in plain(job.error.message).splitlines())
    command = next_command(job)
    if command:
        yield Text.assemble("  → ", (f"{command}{frame.flag}", "bold"))


def _questions(job: FollowedJob, frame: Frame) -> Iterator[Text]:
    """The open questions, each with its fields, what to decide on, and the time that is left."""
    for question in job.questions:
        if question.status != "open":
            continue
        left = f" (for {span((question.deadline - frame.now).total_seconds())})" if question.deadline else ""
        yield Text.assemble("  ? ", (one_line(question.id), "bold"), f": {one_line(question.message)}{left}")
        if isinstance(question.details, str):
            yield from (Text(f"      {line}") for line in plain(question.details).splitlines())
        elif question.details is not None:
            yield Text(f"      {one_line(json.dumps(question.details, ensure_ascii=False))}")
        required = question.input_schema.get("required", [])
        for name, schema in question.fields.items():
            kind = expected_by(question.input_schema, schema)
            optional = "" if name in required else ", optional"
            text = one_line(schema.get("description", ""))
            yield Text(f"      {one_line(name)} ({one_line(kind)}{optional}) {text}".rstrip())


def _title(call: ShownCall) -> str:
    title = call.title or call.step
    return f"{title} [{call.key}]" if call.key else title


def _age(job: FollowedJob, frame: Frame) -> str:
    created = f"  created {age(job.created_at, frame.now)} ago" if job.created_at else ""
    if job.started_at is None:
        return created
    until = job.completed_at or frame.now
    duration = span((until - job.started_at).total_seconds())
    return f"{created}, {'took' if job.completed_at else 'running for'} {duration}"


def _calls(job: FollowedJob, frame: Frame) -> Iterator[Text]:
    if not job.steps:
        return
    yield Text()
    titles = [_cut(_title(call)) for call in job.steps]
    agents = [_cut(f"{call.agent} #{call.call}" if call.call > 1 else call.agent) for call in job.steps]
    title_width, agent_width = max(map(len, titles)), max(map(len, agents))
    for call, title, agent in zip(job.steps, titles, agents, strict=True):
        style = STYLES.get(call.status, "")
        yield Text.assemble(
            ("  " + _SIGNS.get(call.status, "·"), style),
            f" {title:<{title_width}}  {agent:<{agent_width}}  ",
            (f"{call.status.replace('_', ' '):<10.20}", style),
            f" {_effort(call):<46}",
            (_bar(call, job, frame), style),
        )
        yield from _errors(call, frame)


def _effort(call: ShownCall) -> str:
    """Attempts and turns if there were several, and the call's time, tokens and cost."""
    parts = ["reused"] if call.reused else []
    parts += [f"{len(call.tries)} attempts"] if len(call.tries) > 1 else []
    parts += [f"{call.turns} turns"] if call.turns and call.turns > 1 else []
    if call.duration is not None:
        parts.append(span(call.duration))
    if call.tokens:
        parts.append(f"{call.tokens:,} tokens")
    if call.cost is not None and call.tokens:
        parts.append(f"${call.cost:.4f}")
    return " " + "  ".join(parts)


def _errors(call: ShownCall, frame: Frame) -> Iterator[Text]:
    """The error of each failed attempt, or else the error of the call; then those of its tool calls."""
    failed_attempts = [(attempt, attempt.error) for attempt in call.attempts if attempt.error is not None]
    for attempt, error in failed_attempts:
        yield _error_line(f"attempt {attempt.number} {_when(attempt, frame)}".strip(), error)
    if call.error is not None and not failed_attempts:
        yield _error_line("", call.error)
    for use in call.tool_calls:
        if use.error is not None:
            yield _error_line(f"{one_line(use.tool)}({one_line(use.arguments)})", use.error)


def _error_line(place: str, fault: ShownFault) -> Text:
    words = one_line(fault.message)
    text = f"{one_line(fault.type)}: {words if len(words) <= 300 else words[:299] + '…'}"
    return Text.assemble("      └ ", (f"{place}  " if place else "", "dim"), text)


def _when(attempt: ShownAttempt, frame: Frame) -> str:
    return f"{age(attempt.completed_at, frame.now)} ago" if attempt.completed_at else ""


def _bar(call: ShownCall, job: FollowedJob, frame: Frame) -> str:
    """The attempts of a call on the time line of the job."""
    begin = job.started_at or job.created_at
    if not frame.bar or begin is None:
        return ""
    end = job.completed_at or frame.now
    seconds = (end - begin).total_seconds()
    if seconds < _SHORTEST_BAR:
        return ""
    cells = [" "] * frame.bar
    # The end of an attempt on a dead worker is unknown: it is drawn until the next attempt.
    limits = [*(attempt.started_at for attempt in call.attempts[1:]), None]
    for attempt, limit in () if call.reused else zip(call.attempts, limits, strict=False):
        if attempt.started_at is None:
            continue
        first = (attempt.started_at - begin).total_seconds() / seconds
        last = ((attempt.completed_at or limit or end) - begin).total_seconds() / seconds
        start_cell = min(max(int(first * frame.bar), 0), frame.bar - 1)
        end_cell = min(max(round(last * frame.bar), start_cell + 1), frame.bar)
        cells[start_cell:end_cell] = ("▒" if attempt.error else "█") * (end_cell - start_cell)
    return "".join(cells).rstrip()


def _foot(job: FollowedJob, frame: Frame) -> Iterator[Text]:
    yield Text()
    models = ", ".join(sorted({one_line(call.model) for call in job.steps if call.model}))
    yield Text(f"{job.metrics.total_tokens:,} tokens  {cost(job.metrics)}{f'  {models}' if models else ''}")
    files = len(deliverables.deliverables_of(job.output))
    if job.output is not None:
        yield Text(f"{files} files: orchestrator jobs output {job.job_id}{frame.flag}{' --to FOLDER' if files else ''}")
    if job.retry_of:
        yield Text(f"retry of {job.retry_of}")
    if job.retried_by:
        yield Text(f"retried as {', '.join(job.retried_by)}")
    if job.run_page:
        yield Text(job.run_page)


def cost(used: Used) -> str:
    """The known costs of a job: at the agents' prices, and to the provider."""
    price = "price unknown" if used.cost is None else f"${used.cost:.4f} at the agents' prices"
    if used.provider_cost is not None:
        nothing = used.cost and not used.provider_cost
        price += " (list price; nothing was charged)" if nothing else f", ${used.provider_cost:.4f} to the provider"
    return f"{price}, ${used.reused_cost:.4f} reused and not charged" if used.reused_cost else price


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _MAX_NAME_LENGTH else line[: _MAX_NAME_LENGTH - 1] + "…"
