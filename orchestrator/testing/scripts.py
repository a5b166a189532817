"""Scripted answers of a language model, for tests of prompted agents.

A local server answers in the place of a provider, with its protocol and its streams, so that tokens, corrections, tool
calls and repeated attempts are real. Agents without a script keep the offline drafter.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from orchestrator.domain.agents import Agent, AgentOutput
from orchestrator.runtime.turn_messages import ANSWER_TOOL

_USAGE: Final = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call of a tool that the model asks for. Make it with `tool`."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Calls:
    """The model asks for these tools. Make it with `calls`."""

    tools: tuple[ToolUse, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """The provider answers with an error. Make it with `fails`."""

    status: int
    retry_after: float | None = None
    message: str = "scripted failure"


@dataclass(frozen=True, slots=True)
class Silence:
    """The provider never answers. Make it with `hangs`."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request as the model received it. `number` counts the requests of the script from 1."""

    call: str
    number: int
    messages: list[dict[str, Any]]
    tools: list[str]

    @property
    def prompt(self) -> str:
        """The text of the last message of the user."""
        texts = [_text(message) for message in self.messages if message.get("role") == "user"]
        return texts[-1] if texts else ""

    @property
    def tool_results(self) -> list[str]:
        """The results of tools that the model has received, in order."""
        return [_text(message) for message in self.messages if message.get("role") == "tool"]


Reply = AgentOutput | Mapping[str, Any] | Calls | Failure | Silence
Answerer = Callable[[ModelRequest], Reply]
"""A function that answers a request."""
Entry = Reply | Answerer
"""One entry of a script: an answer, an instruction, or a function that returns one of them."""


def tool(name: str, /, **arguments: Any) -> ToolUse:
    """One use of a tool, for `calls`."""
    return ToolUse(name, arguments)


def calls(*tools: ToolUse) -> Calls:
    """The model asks for these tools at once: `calls(tool("refund", number="7", amount=5.0))`."""
    return Calls(tools)


def fails(status: int = 500, *, retry_after: float | None = None, message: str = "scripted failure") -> Failure:
    """The provider answers with an HTTP error, with a `Retry-After` in seconds if given."""
    return Failure(status, retry_after, message)


def hangs() -> Silence:
    """The provider accepts the request and never answers."""
    return Silence()


class ScriptOver(Exception):
    """A call has no entry of its script left."""


@dataclass(slots=True)
class Script:
    """The answers of one agent, or of one call, and the requests so far. `answerer` answers all that have no entry."""

    name: str
    agent: Agent
    entries: list[Entry]
    unused: bool = False
    answerer: Answerer | None = None
    requests: list[ModelRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check every answer against the agent's output model. Raises `ValueError`, `TypeError`."""
        self.entries = [entry if callable(entry) else self._checked(entry) for entry in self.entries]

    @property
    def left(self) -> int:
        """How many entries no request has used."""
        return max(0, len(self.entries) - len(self.requests))

    def next(self, call: str, body: Mapping[str, Any]) -> Reply:
        """The reply to the next request. Raises `ScriptOver`."""
        request = ModelRequest(call, len(self.requests) + 1, body["messages"], offered(body))
        self.requests.append(request)
        if request.number > len(self.entries):
            if self.answerer is not None:
                return self._checked(self.answerer(request))
            answers = f"{len(self.entries)} answer" + "s" * (len(self.entries) != 1)
            raise ScriptOver(
                f"the script of {self.name!r} has {answers}, this is request {request.number}, of {call}: "
                f"{request.prompt[:500]}"
            )
        entry = self.entries[request.number - 1]
        return self._checked(entry(request)) if callable(entry) else entry

    def _checked(self, reply: Reply) -> Reply:
        if isinstance(reply, Calls | Failure | Silence):
            return reply
        if isinstance(reply, BaseModel):
            if not isinstance(reply, self.agent.output_model):
                raise TypeError(
                    f"script of {self.name!r}: {type(reply).__name__} is not the output model of agent "
                    f"{self.agent.id}, {self.agent.output_model.__name__}"
                )
            return reply
        text = f"Scripted answer of {self.agent.id}."
        return self.agent.output_model.model_validate({"summary": text, "output": text, **reply})


class Scripts:
    """The scripts of one engine, by the id of an agent or of a call (`step.agent`, `step[key].agent`)."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._checked = True

    def add(self, name: str, agent: Agent, entries: Sequence[Entry] | Answerer, *, unused: bool) -> Script:
        """Add a script. Raises `ValueError` or `TypeError` for a second one of that name, or for an unfit answer."""
        if name in self._scripts:
            raise ValueError(f"{name!r} has a script already")
        if not callable(entries) and (isinstance(entries, str) or not isinstance(entries, Sequence)):
            raise TypeError(f"script of {name!r}: give a list of entries, or a function that answers every request")
        fixed, answerer = ([], entries) if callable(entries) else (list(entries), None)
        script = self._scripts[name] = Script(name, agent, fixed, unused, answerer)
        return script

    def leave_unchecked(self) -> None:
        """Of a test that has failed: what it left unused is no fault of its own."""
        self._checked = False

    def of(self, agent_id: str, call: str) -> Script | None:
        """The script of a call, else that of its agent, else None."""
        return self._scripts.get(call) or self._scripts.get(agent_id)

    def requests(self, name: str) -> list[ModelRequest]:
        """The requests that the script of that name has received."""
        return self._scripts[name].requests

    def check(self) -> None:
        """Raise `AssertionError` if a script has entries that no request has used."""
        checked = self._scripts.values() if self._checked else ()
        scripts = [script for script in checked if script.left and not script.unused]
        left = ", ".join(f"{script.left} of {script.name!r}" for script in scripts)
        assert not left, f"answers of scripts were not used: {left}. Give `unused=True` if that is right."


def offered(body: Mapping[str, Any]) -> list[str]:
    """The names of the tools that a request offers."""
    return [offer["function"]["name"] for offer in body.get("tools", [])]


def chunks(reply: Reply, tools: Sequence[str]) -> list[dict[str, Any]]:
    """The stream of an answer or of calls, as objects of the chat completions protocol."""
    uses = reply.tools if isinstance(reply, Calls) else (ToolUse(ANSWER_TOOL, _plain(reply)),)
    as_text = not isinstance(reply, Calls) and ANSWER_TOOL not in tools
    deltas: list[dict[str, Any]] = []
    for index, use in enumerate(uses):
        arguments = json.dumps(use.arguments)
        if as_text:
            deltas.append({"content": arguments})
            continue
        opening = {"index": index, "id": f"call_{index + 1}", "type": "function"}
        deltas.append({"tool_calls": [{**opening, "function": {"name": use.name, "arguments": ""}}]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
    finish = "stop" if as_text else "tool_calls"
    ends: list[tuple[dict[str, Any], str | None]] = [*((delta, None) for delta in deltas), ({}, finish)]
    return [_chunk(choices=[{"index": 0, "delta": delta, "finish_reason": reason}]) for delta, reason in ends] + [
        _chunk(choices=[], usage=_USAGE)
    ]


def document(reply: Reply, tools: Sequence[str]) -> dict[str, Any]:
    """The same answer in one piece, for a request that is not for a stream."""
    uses = reply.tools if isinstance(reply, Calls) else (ToolUse(ANSWER_TOOL, _plain(reply)),)
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if not isinstance(reply, Calls) and ANSWER_TOOL not in tools:
        message["content"], finish = json.dumps(uses[0].arguments), "stop"
    else:
        functions = [{"name": use.name, "arguments": json.dumps(use.arguments)} for use in uses]
        message["tool_calls"] = [
            {"id": f"call_{index}", "type": "function", "function": function}
            for index, function in enumerate(functions, 1)
        ]
        finish = "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return _chunk(choices=[choice], usage=_USAGE) | {"object": "chat.completion"}


def _plain(reply: object) -> dict[str, Any]:
    if not isinstance(reply, BaseModel):
        raise TypeError(f"{type(reply).__name__} is not an answer")
    return reply.model_dump(mode="json")


def _chunk(**fields: Any) -> dict[str, Any]:
    return {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": "scripted", **fields}


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
