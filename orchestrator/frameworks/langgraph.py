"""Runs agents on LangGraph: a graph from the agent's configuration, in which each node is one model call.

Needs the extra `langgraph`; no other module imports this one.
"""

import operator
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Annotated, Any, Final, Protocol, Self, TypedDict

from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.domain.agents import StepOutput
from orchestrator.domain.errors import AgentError
from orchestrator.domain.frameworks import FrameworkResult, FrameworkTask, Question
from orchestrator.frameworks import FrameworkAdapter, FrameworkCall, persona

_NODE_LIMIT: Final = 50
# Model calls in one attempt. The recursion limit counts rounds, and each round of a fan-out has many calls.
_CALL_LIMIT: Final = 200
_GRAPH_KEYS: Final = ("nodes", "edges", "recursionLimit", "recursion_limit")


class Node(BaseModel):
    """One model call."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_\-]{0,62}$")
    instructions: str = ""


class Edge(BaseModel):
    """A transition. `when` is a text that the answer of `from` must contain; without it: the default."""

    model_config = ConfigDict(frozen=True)

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    when: str | None = Field(default=None, min_length=1)


class Graph(BaseModel):
    """The graph in an agent's configuration; by default plan, act, review."""

    nodes: tuple[Node, ...] = Field(
        default=(
            Node(id="plan", instructions="Plan how to do the task: the steps, and what a good result must have."),
            Node(id="act", instructions="Do the task after the plan. Give the complete result."),
            Node(
                id="review",
                instructions="Check the result against the task and the plan, fix its faults, "
                "and give the complete final result.",
            ),
        ),
        min_length=1,
        max_length=_NODE_LIMIT,
    )
    edges: tuple[Edge, ...] = Field(default=(), description="By default each node follows the one before it.")
    recursion_limit: int = Field(
        default=25, ge=1, le=200, validation_alias=AliasChoices("recursionLimit", "recursion_limit")
    )

    @model_validator(mode="after")
    def _edges_join_nodes(self) -> Self:
        ids = [node.id for node in self.nodes]
        if len(set(ids)) != len(ids):
            raise ValueError("node ids are not unique")
        for edge in self.edges:
            for end, nodes in ((edge.source, {*ids, START}), (edge.target, {*ids, END})):
                if end not in nodes:
                    raise ValueError(f"an edge names {end!r}, which is not a node")
            if edge.source == START and (edge.target == END or edge.when is not None):
                raise ValueError(f"an edge from {START} must lead to a node, without a condition")
        return self

    def all_edges(self) -> tuple[Edge, ...]:
        """Every edge, including the defaults: the order of the nodes, and the start at the first node."""
        if not self.edges:
            ids = [START, *(node.id for node in self.nodes)]
            return tuple(Edge(**{"from": a, "to": b}) for a, b in pairwise(ids))
        if any(edge.source == START for edge in self.edges):
            return self.edges
        return (Edge(**{"from": START, "to": self.nodes[0].id}), *self.edges)


class State(TypedDict):
    """The state that nodes share: all answers so far, in order."""

    answers: Annotated[list[StepOutput], operator.add]


class LangGraphAdapter:
    """The adapter of the framework `langgraph`."""

    name: Final = "langgraph"

    async def run(self, task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        """Run the agent's graph. Raises `AgentError` of kind `invalid_configuration` or `recursion_limit`."""
        graph = _graph(task.configuration)
        try:
            state = (
                await _builder(graph, task, call)
                .compile()
                .ainvoke({"answers": []}, {"recursion_limit": graph.recursion_limit})
            )
        except GraphRecursionError:
            raise _endless(f"{graph.recursion_limit} rounds (recursionLimit)") from None
        return _result(graph, state["answers"])


ADAPTER: Final[FrameworkAdapter] = LangGraphAdapter()


def _graph(configuration: dict[str, Any]) -> Graph:
    try:
        return Graph.model_validate(configuration)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)[:3]
        raise _invalid(
            "; ".join(f"{'.'.join(map(str, item['loc'])) or 'graph'}: {item['msg']}" for item in faults)
        ) from None


def _invalid(fault: str) -> AgentError:
    message = f"The agent's configuration is not a graph that LangGraph can run: {fault}"
    return AgentError(message, kind="invalid_configuration", retryable=False)


def _endless(limit: str) -> AgentError:
    return AgentError(f"The graph did not end within {limit}.", kind="recursion_limit", retryable=False)


def _builder(graph: Graph, task: FrameworkTask, call: FrameworkCall) -> "StateGraph[State]":
    builder = StateGraph(State)
    for node in graph.nodes:
        builder.add_node(node.id, _runner(node, task, call))
    edges = graph.all_edges()
    for source in dict.fromkeys(edge.source for edge in edges):
        leaving = [edge for edge in edges if edge.source == source]
        if any(edge.when is not None for edge in leaving):
            builder.add_conditional_edges(source, _chooser(source, leaving))
            continue
        for edge in leaving:
            builder.add_edge(source, edge.target)
    return builder


class _Step(Protocol):
    def __call__(self, state: State) -> Awaitable[State]: ...


def _runner(node: Node, task: FrameworkTask, call: FrameworkCall) -> _Step:
    async def run(state: State) -> State:
        if len(state["answers"]) >= _CALL_LIMIT:
            raise _endless(f"{_CALL_LIMIT} model calls")
        latest = {answer.step: answer for answer in state["answers"]}
        answer = await call.ask(
            Question(
                title=node.id,
                instructions=persona(task, without=_GRAPH_KEYS),
                instruction=node.instructions,
                context=[*task.context, *latest.values()],
            )
        )
        return {"answers": [StepOutput(step=node.id, agent=task.agent, summary=answer.summary, output=answer.output)]}

    return run


def _chooser(source: str, edges: list[Edge]) -> Callable[[State], list[str]]:
    """Chooses the next nodes: the edges whose text is in the node's last answer, else the edges without a text."""

    def choose(state: State) -> list[str]:
        text = next((answer.output or "" for answer in reversed(state["answers"]) if answer.step == source), "")
        matches = [edge.target for edge in edges if edge.when is not None and edge.when in text]
        return matches or [edge.target for edge in edges if edge.when is None] or [END]

    return choose


def _result(graph: Graph, answers: list[StepOutput]) -> FrameworkResult:
    """The last answer of each node at which the graph may end; if it ended elsewhere, the last answer of all."""
    edges = graph.all_edges()
    inner = {edge.source for edge in edges if edge.target != END} - {
        edge.source for edge in edges if edge.target == END
    }
    last = {answer.step: answer for answer in answers}
    final = [answer for step, answer in last.items() if step not in inner] or answers[-1:]
    return FrameworkResult(
        output="\n\n".join(answer.output or "" for answer in final),
        summary=final[-1].summary,
        data={"nodes": [{"node": answer.step, "summary": answer.summary} for answer in answers]},
        metadata={"rounds": len(answers)},
    )
