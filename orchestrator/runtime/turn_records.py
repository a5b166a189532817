"""Stored turns and tool results: the conversation of an agent with tools, beside its job and never in its history."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, Field

from orchestrator.domain.commands import AgentResult, AgentTask
from orchestrator.domain.ports import ArtifactStore
from orchestrator.domain.turns import ChangedTool, ToolAnswer, result_digest
from orchestrator.runtime.recent import Recent

_TURN: Final = "turn:"
_RESULT: Final = "result:"
_TOOLS: Final = "tools:"
_DEFINITIONS: Final = "definitions:"
_MOST: Final = 4_000_000  # Characters of the results in memory.


class TurnRecord(BaseModel):
    """One turn: its request and response, and what it returned to the workflow.

    `digest` is that of everything the model had been sent by then, so that a turn is not taken for another one. The
    model hears `faults` of its tool calls, by their place, and the `correction` of its answer in the next turn.
    """

    digest: str
    messages: list[dict[str, Any]]
    faults: dict[int, str] = Field(default_factory=dict)
    correction: str = ""
    cut: bool = False
    result: AgentResult


class StoredResult(BaseModel):
    """The whole result of one tool call. `run_id` is the workflow run that made it."""

    run_id: str
    text: str


class ListedTools(BaseModel):
    """The tools of an agent's MCP servers, as one agent call listed them, and what had changed by then."""

    servers: dict[str, list[dict[str, Any]]] = Field(default_factory=dict)
    changed: list[ChangedTool] = Field(default_factory=list)


class TurnRecords:
    """Reads and writes the turns, tool results and lists of tools of jobs."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._recent_results: Recent[tuple[str, str, str], StoredResult] = Recent(_MOST)

    async def turns(self, task: AgentTask, last: int) -> list[TurnRecord]:
        """The first turns of a call, in order. Raises `LookupError` if one is missing, `Unavailable`."""
        names = [_TURN + turn_id(task, number) for number in range(1, last + 1)]
        bodies = await self._store.named(task.job_id, names)
        missing = [name for name in names if name not in bodies]
        if missing:
            raise LookupError(f"{missing[0].removeprefix(_TURN)} of {task.job_id}")
        return [TurnRecord.model_validate(bodies[name]) for name in names]

    async def turn(self, job_id: str, id: str) -> TurnRecord | None:
        """One turn by its id. Raises `Unavailable`."""
        body = (await self._store.named(job_id, [_TURN + id])).get(_TURN + id)
        return None if body is None else TurnRecord.model_validate(body)

    async def keep_turn(self, task: AgentTask, number: int, record: TurnRecord) -> int:
        """Store a turn and return the characters of its JSON. Raises `Unavailable`."""
        text = record.model_dump_json()
        await self._store.put(task.job_id, _TURN + turn_id(task, number), json.loads(text))
        return len(text)

    async def result(self, job_id: str, id: str) -> StoredResult | None:
        """The result of a tool call by the id of its activity. Raises `Unavailable`."""
        return (await self.results(job_id, [id])).get(id)

    async def results(self, job_id: str, ids: Sequence[str]) -> dict[str, StoredResult]:
        """Results by the ids of their activities. Raises `Unavailable`."""
        bodies = await self._store.named(job_id, [_RESULT + id for id in ids])
        return {name.removeprefix(_RESULT): StoredResult.model_validate(body) for name, body in bodies.items()}

    async def results_of(self, job_id: str, answers: Sequence[ToolAnswer]) -> dict[str, StoredResult]:
        """The results of answered tool calls by the ids of their activities. Raises `Unavailable`.

        Those in memory are used if their digest is that of the answer: a reset may have made a call again elsewhere.
        """
        results: dict[str, StoredResult] = {}
        for answer in answers:
            recent = self._recent_results.get((job_id, answer.stored, answer.digest))
            if recent is not None:
                results[answer.stored] = recent
        missing = [answer.stored for answer in answers if answer.stored and answer.stored not in results]
        return results | await self.results(job_id, missing)

    async def keep_result(self, job_id: str, id: str, result: StoredResult) -> None:
        """Store the result of a tool call. Raises `Unavailable`."""
        await self._store.put(job_id, _RESULT + id, result.model_dump())
        self._recent_results.add((job_id, id, result_digest(result.text)), result, len(result.text))

    async def tools(self, job_id: str, call: str, agent: str) -> ListedTools | None:
        """The tools that a call listed, or None; earlier releases stored one list per agent. Raises `Unavailable`."""
        bodies = await self._store.named(job_id, [_TOOLS + call, _TOOLS + agent])
        body = bodies.get(_TOOLS + call) or bodies.get(_TOOLS + agent)
        return None if body is None else ListedTools.model_validate(body)

    async def keep_tools(self, job_id: str, call: str, tools: ListedTools) -> None:
        """Store the tools of an agent's MCP servers for the rest of a call. Raises `Unavailable`."""
        await self._store.put(job_id, _TOOLS + call, tools.model_dump(mode="json"))

    async def definitions(self, job_id: str, places: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The digests of the tools of servers by tool, as the job listed them last. Raises `Unavailable`."""
        bodies = await self._store.named(job_id, [_DEFINITIONS + place for place in places])
        return {name.removeprefix(_DEFINITIONS): body["tools"] for name, body in bodies.items()}

    async def keep_definitions(self, job_id: str, place: str, tools: dict[str, Any]) -> None:
        """Store the digests of a server's tools. Raises `Unavailable`."""
        await self._store.put(job_id, _DEFINITIONS + place, {"tools": tools})


def turn_id(task: AgentTask, number: int) -> str:
    """The id of one turn: that of the call, with the number."""
    return str(task.call_id._replace(path=f"t{number}"))


def digest_of(prompt: str, before: TurnRecord | None, answers: Sequence[ToolAnswer]) -> str:
    """The digest of everything that a turn's model gets."""
    parts = [before.digest if before else prompt, [answer.model_dump(mode="json") for answer in answers]]
    return hashlib.sha256(json.dumps(parts).encode(errors="replace")).hexdigest()[:32]
