"""Converts answers of agents, models and frameworks into results that Temporal can store (decision 0018).

The call is already billed or has had its effect, so its answer is repaired if possible. An answer that cannot be stored
fails the call without a retry.
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
    """The answer as plain, sound data. `summary` is used if the answer has none.

    Raises `AgentError` of kind `malformed_output`, never retryable, for an answer that cannot be serialized.
    """
    usage = without_implausible_counts(usage, agent.id)
    try:
        fields = sound_data(_plain(answer))
        is_framework = isinstance(answer, FrameworkResult)
        task_type = {"task_type": task.input["task_type"]} if "task_type" in task.input else {}
        return AgentResult(
            step=task.step.id,
            agent=agent.id,
            call=task.call,
            key=task.key,
            summary=cut(fields["summary"] or summary),
            output=fields["output"],
            deliverables=_deliverables(fields["deliverables"]),
            data=fields["data"]
            if is_framework
            else {key: value for key, value in fields.items() if key not in _OWN_FIELDS},
            metadata={**task_type, **(fields["metadata"] if is_framework else {}), **metadata},
            usage=usage,
            model=name(model),
        )
    except Exception as fault:  # noqa: BLE001 - the edge of author code: values and serializers raise anything
        reason = f"{error_name(fault)}: {error_message(fault)}"
        raise AgentError(
            f"The answer of agent {agent.id} cannot be serialized: {reason}",
            kind=MALFORMED,
            retryable=False,
            usage=usage,
        ) from None


def without_implausible_counts(usage: Usage, agent_id: str) -> Usage:
    """The usage without implausible counts, which are logged."""
    checked_usage = usage.believable()
    if checked_usage != usage:
        structlog.get_logger().warning("usage_left_out", agent=agent_id, reported=name(repr(usage), 300))
    return checked_usage


def _plain(answer: BaseModel) -> dict[str, Any]:
    try:
        return answer.model_dump(mode="json", warnings=False)
    except UnicodeEncodeError:  # Half a surrogate pair in a key, such as the name of a file.
        plain: dict[str, Any] = to_jsonable_python(sound_data(answer.model_dump(mode="python", warnings=False)))
        return plain


def _deliverables(files: list[dict[str, Any]]) -> list[Deliverable]:
    deliverables: list[Deliverable] = []
    taken_paths: set[str] = set()
    for file in files:
        path = unique_path(safe_path(file["path"]), taken_paths)
        taken_paths.add(path_key(path))
        deliverables.append(Deliverable(path=path, media_type=name(file["media_type"]), content=file["content"]))
    return deliverables
