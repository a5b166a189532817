"""The offline drafter: a deterministic model that answers from the input, and says that the answer is a draft."""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from orchestrator.agents.artifacts import ARTIFACTS
from orchestrator.agents.decisions import DECISION_STRATEGIST
from orchestrator.domain.agents import Agent, AgentOutput
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.offline.answer import answer, summary
from orchestrator.runtime.offline.decision import decision_fields
from orchestrator.runtime.offline.fields import FieldFiller
from orchestrator.runtime.offline.files import draft_files
from orchestrator.runtime.offline.subject import Subject, subject_of

_PIECE: Final = 500
_COMMON: Final = frozenset(AgentOutput.model_fields)


def draft(agent: Agent, task: AgentTask) -> dict[str, Any]:
    """The draft of a call's output as JSON data. The same task always has the same draft.

    Raises `AgentError` of kind `offline_unsupported` if the agent's output model refuses the draft.
    """
    subject = subject_of(task)
    artifacts = ARTIFACTS.get(agent.id, ())
    output = {
        "summary": summary(agent, subject),
        "output": answer(agent, subject, artifacts),
        "deliverables": [file.model_dump() for file in draft_files(subject, artifacts)],
        **_own_fields(agent, subject),
    }
    try:
        agent.output_model.model_validate(output)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise AgentError(
            f"The offline drafter cannot fill {'.'.join(map(str, fault['loc']))} of agent {agent.id} ({fault['msg']}); "
            "configure a model provider.",
            kind="offline_unsupported",
            retryable=False,
        ) from None
    return output


def _own_fields(agent: Agent, subject: Subject) -> dict[str, Any]:
    if agent.id == DECISION_STRATEGIST:
        return decision_fields(subject)
    return FieldFiller(agent.output_model.model_json_schema(), subject).fields(leave=_COMMON)


def offline_model(agent: Agent, task: AgentTask, bulkhead: Bulkhead) -> FunctionModel:
    """A model that answers this call with its draft, streamed in pieces."""

    async def stream(_: list[ModelMessage], info: AgentInfo) -> AsyncIterator[DeltaToolCalls]:
        output = await bulkhead.watch(agent.id, partial(draft, agent, task), model=agent.output_model)
        text = json.dumps(output, ensure_ascii=False)
        yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args="", tool_call_id="draft")}
        for start in range(0, len(text), _PIECE):
            yield {0: DeltaToolCall(json_args=text[start : start + _PIECE])}

    return FunctionModel(stream_function=stream, model_name=OFFLINE_MODEL)
