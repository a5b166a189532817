"""What an agent, a model or a framework has answered, in the form that crosses Temporal (decision 0018).

An answer has been paid for, or has had its effect: it is mended where it can be, and what cannot be carried fails the
call once, never to be repeated.
"""

from typing import Any, Final

import structlog
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from orchestrator.domain.agents import Agent, AgentOutput, Deliverable
from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.file_names import path_key, safe_path, unique_path
from orchestrator.domain.frameworks import FrameworkResult
from orchestrator.domain.text import cut, error_message, error_name, name, sound_data
from orchestrator.domain.usage import Usage

MALFORMED: Final = "malformed_output"

_OWN_FIELDS: Final = frozenset(AgentOutput.model_fields)


def agent_result(
    agent: Agent,
    task: AgentTask,
    answer: AgentOutput | FrameworkResult,
    *,
    usage: Usage,
    model: str,
    metadata: dict[str, Any],
    summary: str = "",
) -> AgentResult:
    """The answer as plain, sound data. `summary` stands for one that the answer lacks.

    Raises `AgentError` of kind `malformed_output`, never retryable, for what is no data.
    """
    usage = believable(usage, agent.id)
    try:
        fields = sound_data(_plain(answer))
        own = isinstance(answer, FrameworkResult)
        task_type = {"task_type": task.input["task_type"]} if "task_type" in task.input else {}
        return AgentResult(
            step=task.step.id,
            agent=agent.id,
            call=task.call,
            summary=cut(fields["summary"] or summary),
            output=fields["output"],
            deliverables=_deliverables(fields["deliverables"]),
            data=fields["data"] if own else {key: value for key, value in fields.items() if key not in _OWN_FIELDS},
            metadata={**task_type, **(fields["metadata"] if own else {}), **metadata},
            usage=usage,
            model=name(model),
        )
    except Exception as fault:  # noqa: BLE001 - the edge of an author's code: values and serializers raise anything
        why = f"{error_name(fault)}: {error_message(fault)}"
        raise AgentError(
            f"The answer of agent {agent.id} is no data that can be carried: {why}",
            kind=MALFORMED,
            retryable=False,
            usage=usage,
        ) from None


def believable(usage: Usage, agent_id: str) -> Usage:
    """The usage without counts that no call can have had; they are logged."""
    counted = usage.believable()
    if counted != usage:
        structlog.get_logger().warning("usage_left_out", agent=agent_id, reported=name(repr(usage), 300))
    return counted


def _plain(answer: BaseModel) -> dict[str, Any]:
    try:
        return answer.model_dump(mode="json", warnings=False)
    except UnicodeEncodeError:  # half a surrogate pair in a key, such as the name of a file
        plain: dict[str, Any] = to_jsonable_python(sound_data(answer.model_dump(mode="python", warnings=False)))
        return plain


def _deliverables(files: list[dict[str, Any]]) -> list[Deliverable]:
    named: list[Deliverable] = []
    taken: set[str] = set()
    for file in files:
        path = unique_path(safe_path(file["path"]), taken)
        taken.add(path_key(path))
        named.append(Deliverable(path=path, media_type=name(file["media_type"]), content=file["content"]))
    return named
