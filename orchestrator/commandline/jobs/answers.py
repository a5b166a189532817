"""Answers the question of a job that waits for a person: values as FIELD=VALUE, read as its form has them."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from orchestrator.commandline.jobs.client import JobsClient
from orchestrator.commandline.options import Connection
from orchestrator.commandline.run.client import parsed
from orchestrator.commandline.run.job_view import FollowedJob, ShownQuestion
from orchestrator.commandline.run.requests import with_client
from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.commandline.terminal.plain_text import one_line


def answer(api: Connection, job_id: str, fields: Sequence[str], *, step: str | None, note: str, as_json: bool) -> int:
    """Answer a question of a job. Raises `Refused`, also if several questions wait and none is named."""

    async def request(client: JobsClient) -> int:
        question = _question(parsed(FollowedJob, await client.job_json(job_id)), step)
        body = {"step": question.id, "values": values_of(question, fields), "note": note}
        result = await client.answer(job_id, body, uuid.uuid4().hex)
        if as_json:
            exits.say_json(result)
        else:
            exits.say(f"{job_id}  answered {one_line(question.id)}")
        return exits.OK

    return with_client(JobsClient(api.url, api.key), request)


def values_of(question: ShownQuestion, fields: Sequence[str]) -> dict[str, Any]:
    """The values of FIELD=VALUE. A text field takes the text as it is, any other field JSON. Raises `Refused`."""
    values: dict[str, Any] = {}
    for field in fields:
        name, separator, text = field.partition("=")
        if not separator or not name:
            raise Refused(
                f"invalid value {one_line(field)!r}: expected FIELD=VALUE, with a field of: {_names(question)}"
            )
        values[name] = text if question.fields.get(name, {}).get("type") == "string" else _read(text)
    return values


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _question(job: FollowedJob, step: str | None) -> ShownQuestion:
    waiting = [question for question in job.questions if question.status == "open"]
    matches = [question for question in waiting if step in (None, question.id, question.step)]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(one_line(question.id) for question in waiting)
    if not waiting:
        raise Refused(f"{job.job_id} asks nothing now", exits.FAILED)
    raise Refused(
        f"{job.job_id} asks several questions: name one with --step: {names}"
        if step is None
        else f"{job.job_id} asks no question {one_line(step)!r}; it asks: {names}"
    )


def _names(question: ShownQuestion) -> str:
    return ", ".join(map(one_line, question.fields)) or "(none)"
