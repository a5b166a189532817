"""The plan of eighteen agents, and their calls by hand: one prompt, one request, one validation.

The bare app and the peers share this module, so that only the engine differs.
"""

import json
from functools import cache
from typing import Any, Final

from openai import AsyncOpenAI
from pydantic import BaseModel

from bench.agent_names import MODEL, TOOL_MODEL
from orchestrator.agents.registry import AGENTS
from workflows.definitions.full_stack_development import DEFINITION

WORKFLOW: Final = DEFINITION.id
STEPS: Final = DEFINITION.plan.steps
CALLS: Final = sum(len(step.agents) for step in STEPS)
PATH: Final = 4  # calls in sequence
INPUT: Final[dict[str, Any]] = {
    "project_name": "TaskFlow",
    "description": "A shared task board for small teams: lists, assignments and due dates that all see at once.",
    "tech_stack": {"frontend": ["React", "TypeScript"], "backend": ["FastAPI", "PostgreSQL"]},
    "requirements": ["JWT authentication", "CRUD tasks", "Real-time collaboration"],
}
LOOK_UP: Final = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look an item up.",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}
ANSWER: Final = {
    "type": "function",
    "function": {
        "name": "answer",
        "description": "Give the complete answer.",
        "parameters": {
            "type": "object",
            "properties": {"summary": {"type": "string"}, "output": {"type": "string"}},
            "required": ["summary", "output"],
        },
    },
}

_AGENTS: Final = {agent.id: agent for agent in AGENTS}


class Answer(BaseModel):
    """The answer of an agent."""

    step: str
    agent: str
    summary: str
    output: str
    data: dict[str, Any]


class Call(BaseModel):
    """All that one agent call needs."""

    step: str
    title: str
    instruction: str
    agent: str
    input: dict[str, Any]
    context: list[Answer]


def client(url: str) -> AsyncOpenAI:
    """A client without retries of its own: the engine repeats a call."""
    return AsyncOpenAI(base_url=url, api_key="none", max_retries=0)


def warm() -> None:
    """Build every schema once, as a service does at its start."""
    for agent in _AGENTS:
        _tool(agent)


async def ask(model: AsyncOpenAI, call: Call) -> Answer:
    """Ask the model for one agent's answer, and validate it."""
    agent = _AGENTS[call.agent]
    response = await model.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": agent.instructions}, {"role": "user", "content": _prompt(call)}],
        tools=[_tool(call.agent)],
        tool_choice={"type": "function", "function": {"name": "answer"}},
        temperature=agent.settings.default_temperature,
        max_tokens=agent.settings.max_tokens,
        timeout=300,
    )
    calls: Any = response.choices[0].message.tool_calls
    output = agent.output_model.model_validate_json(calls[0].function.arguments)
    data = output.model_dump(mode="json", exclude={"summary", "output"})
    return Answer(step=call.step, agent=call.agent, summary=output.summary, output=output.output, data=data)


async def turn(model: AsyncOpenAI, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """One turn of an agent with a tool: the message of the model."""
    history: Any = messages
    tools: Any = [LOOK_UP, ANSWER]
    response = await model.chat.completions.create(model=TOOL_MODEL, messages=history, tools=tools, timeout=300)
    return response.choices[0].message.model_dump(mode="json", exclude_none=True)


def _prompt(call: Call) -> str:
    parts = [f"# Task: {call.title}", call.instruction, f"## Input\n\n```json\n{_json(call.input)}\n```"]
    parts += [
        f"### {answer.step} ({answer.agent})\n\nSummary: {answer.summary}\n\n{answer.output}\n\n{_json(answer.data)}"
        for answer in call.context
    ]
    return "\n\n".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


@cache
def _tool(agent: str) -> Any:
    schema = _AGENTS[agent].output_model.model_json_schema()
    function = {"name": "answer", "description": "Give the complete answer.", "parameters": schema}
    return {"type": "function", "function": function}
