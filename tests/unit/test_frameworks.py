"""Adapters of frameworks: what they receive and what is made of what they return; LangGraph, programs, loading."""

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.domain.agents import Agent, Pricing, StepOutput
from orchestrator.domain.commands import AgentResult, AgentTask, JobConfig
from orchestrator.domain.errors import AgentError, CatalogueError
from orchestrator.domain.frameworks import FrameworkResult, FrameworkTask, Question
from orchestrator.domain.ids import JobKind
from orchestrator.domain.names import framework_queue
from orchestrator.domain.plans import Step, Timeouts
from orchestrator.domain.ports import TextSink
from orchestrator.domain.usage import Usage
from orchestrator.frameworks import FrameworkCall, persona
from orchestrator.frameworks.langgraph import ADAPTER
from orchestrator.frameworks.loading import load_adapter
from orchestrator.frameworks.process import ProcessAdapter
from orchestrator.frameworks.runtime import FrameworkRuntime
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.run import AgentRunner
from orchestrator.testing import eventually
from tests.fakes.sink import Sink
from tests.ledger import ledger

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


class Anything(BaseModel):
    """Any input."""


AGENT = Agent(
    id="user_agent",
    name="User Agent",
    squad="user",
    description="Performs a user's agent",
    capabilities=("all",),
    input_model=Anything,
    pricing=Pricing(per_1k_tokens=1.0),
)


class Native:
    """The product's runtime: answers with the step's name, in upper case, or as configured; records each request."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[tuple[Agent, AgentTask]] = []
        self.fault: AgentError | None = None
        self.together: asyncio.Barrier | None = None

    async def run(self, agent: Agent, task: AgentTask, *, attempt: int, progress: Any, sink: TextSink) -> AgentResult:
        self.asked.append((agent, task))
        if self.together is not None:
            await asyncio.wait_for(self.together.wait(), 10)
        if self.fault is not None and len(self.asked) > 1:
            raise self.fault
        text = self.answers[task.step.name].pop(0) if self.answers.get(task.step.name) else task.step.name.upper()
        progress(10)
        return AgentResult(
            step=task.step.id,
            agent=agent.id,
            summary=f"{task.step.name} done",
            output=text,
            metadata={"timestamp": "then", "offline": True},
            usage=Usage(prompt_tokens=3, completion_tokens=7, cost=0.01),
            model="fake/model",
        )

    @property
    def order(self) -> list[str]:
        return [task.step.name for _, task in self.asked]


def agent_task(configuration: dict[str, Any] | None = None, **more: Any) -> AgentTask:
    given = {
        "agent": "Ada",
        "description": "Explains engines",
        "framework": "langgraph",
        "configuration": configuration or {},
        "input": {"question": "why?"},
    }
    return AgentTask(
        job_id="job_1",
        definition="user_agent",
        kind=JobKind.AGENT,
        step=Step(id="execute", name="Execute", squad="user", agents=("user_agent",), timeouts=Timeouts(**more)),
        agent="user_agent",
        input=given,
        config=JobConfig(model="openai:gpt", temperature=0.1),
    )


async def run(
    adapter: Any, native: Any, task: AgentTask | None = None, received: list[int] | None = None
) -> AgentResult:
    runtime = FrameworkRuntime(adapter, native, lambda: NOW)
    seen = [] if received is None else received
    return await runtime.run(AGENT, task or agent_task(), attempt=2, progress=seen.append, sink=Sink())


class Adapter:
    """An adapter that does what the test says."""

    name = "f"

    def __init__(self, work: Any) -> None:
        self.work = work

    async def run(self, task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        result: FrameworkResult = await self.work(task, call)
        return result


@ledger("O-018")
async def test_an_adapter_receives_the_users_agent_in_plain_data() -> None:
    entries: list[FrameworkTask] = []

    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        entries.append(task)
        return FrameworkResult(output="# Title\n\nThe first line.\n\nMore.", metadata={"rounds": 3})

    result = await run(Adapter(work), Native(), agent_task({"goal": "be brief"}, start_to_close=100))
    (task,) = entries
    assert (task.agent, task.description, task.configuration) == ("Ada", "Explains engines", {"goal": "be brief"})
    assert (task.input, task.attempt, task.effect_id) == ({"question": "why?"}, 2, "job_1/execute/user_agent")
    assert (task.model, task.temperature, task.seconds) == ("openai:gpt", 0.1, 95.0)
    assert result.summary == "The first line."
    assert result.metadata == {"rounds": 3, "timestamp": "2026-11-20T10:00:00Z", "executed_by": "f"}
    assert (result.model, result.usage) == ("framework/f", Usage())


async def test_a_frameworks_answer_is_repaired_like_any_other() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        return FrameworkResult(
            output="half \ud83d",
            deliverables=[{"path": "../Bericht für Q3.md", "content": "n\0ul"}],
            data={"x": float("nan"), "k": ["\ud83d"]},
            metadata={"note": "\ude00"},
            usage=Usage(prompt_tokens=2**63, completion_tokens=-1),
            model="m\n" * 500,
        )

    result = await run(Adapter(work), Native())
    assert (result.output, result.data) == ("half \ufffd", {"x": None, "k": ["\ufffd"]})
    assert [(file.path, file.content) for file in result.deliverables] == [("Bericht für Q3.md", "nul")]
    assert result.metadata["note"] == "\ufffd"
    assert result.usage == Usage()
    assert len(result.model) == 100
    AgentResult.model_validate_json(result.model_dump_json())


async def test_a_framework_whose_answer_is_no_data_is_not_asked_again() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        await call.ask(Question(title="t"))
        return FrameworkResult(output="o", data={"x": object()})

    with pytest.raises(AgentError) as failed:
        await run(Adapter(work), Native())
    assert (failed.value.kind, failed.value.retryable) == ("malformed_output", False)
    assert failed.value.usage == Usage(prompt_tokens=3, completion_tokens=7, cost=0.01)


async def test_a_framework_that_raises_a_page_is_cut() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        raise type("Loud" * 1000, (Exception,), {})("x" * 5_000_000)

    with pytest.raises(AgentError) as failed:
        await run(Adapter(work), Native())
    assert failed.value.kind == "framework_failed"
    assert len(failed.value.message) <= 300


async def test_an_agent_of_the_catalogue_is_listed_with_its_own_input() -> None:
    seen: list[FrameworkTask] = []

    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        seen.append(task)
        return FrameworkResult(output="done", summary="short")

    await run(Adapter(work), Native(), agent_task().model_copy(update={"input": {"topic": "tea", "task_type": "x"}}))
    assert (seen[0].agent, seen[0].input) == ("User Agent", {"topic": "tea", "task_type": "x"})
    assert seen[0].configuration == {}


async def test_questions_go_to_the_products_own_runtime_and_their_cost_is_summed() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        before = StepOutput(step="x", agent="y", summary="s", output="o")
        first, second = await asyncio.gather(
            call.ask(Question(title="one", instructions="be one", instruction="do it", context=[before])),
            call.ask(Question(title="two")),
        )
        own = Usage(prompt_tokens=600, completion_tokens=400, provider_cost=0.5)
        return FrameworkResult(output=first.output + second.output, usage=own)

    native, received = Native(), list[int]()
    result = await run(Adapter(work), native, received=received)
    (agent, task), (other, _) = native.asked
    assert (agent.instructions, task.step.name, task.step.instruction) == ("be one", "one", "do it")
    assert [given.step for given in task.context] == ["x"]
    assert (task.input, task.config.model) == ({"question": "why?"}, "openai:gpt")
    assert "You are Ada." in other.instructions
    assert received == [10, 20]
    assert result.usage == Usage(prompt_tokens=606, completion_tokens=414, cost=1.02, provider_cost=0.5)
    assert (result.output, result.model, result.metadata["offline"]) == ("ONETWO", "fake/model", True)


async def test_questions_share_the_tokens_of_their_call() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        both = await asyncio.gather(call.ask(Question(title="one")), call.ask(Question(title="two")))
        native.together = None
        last = await call.ask(Question(title="three"))
        return FrameworkResult(output=both[0].output + last.output)

    task = agent_task()
    config = task.config.model_copy(update={"max_tokens": 1000})
    native = Native()
    native.together = asyncio.Barrier(2)
    await run(Adapter(work), native, task.model_copy(update={"allowance": 2500, "config": config}))
    first, second, third = (task.allowance for _, task in native.asked)
    assert first is not None
    assert 1500 < first < 2000
    assert second == 2500 - first
    assert first <= third <= 2500 - 20


async def test_a_failure_is_billed_for_what_was_asked_before_it() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        await call.ask(Question(title="one"))
        await call.ask(Question(title="two"))
        raise AssertionError("not reached")

    native = Native()
    native.fault = AgentError("slow down", kind="provider_rate_limited", retryable=True, usage=Usage(prompt_tokens=5))
    with pytest.raises(AgentError) as caught:
        await run(Adapter(work), native)
    assert (caught.value.kind, caught.value.retryable) == ("provider_rate_limited", True)
    assert caught.value.usage == Usage(prompt_tokens=8, completion_tokens=7, cost=0.01)


async def test_what_a_framework_raises_is_reported_without_secrets_and_tried_again() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        raise ValueError("bad key sk-proj-1234567890")

    with pytest.raises(AgentError, match=r"f failed: ValueError: bad key \*\*\*") as caught:
        await run(Adapter(work), Native())
    assert (caught.value.kind, caught.value.retryable) == ("framework_failed", True)


async def test_an_adapter_that_takes_too_long_is_stopped_before_temporal_does() -> None:
    stopped = asyncio.Event()

    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()
        raise AssertionError("not reached")

    with pytest.raises(AgentError) as caught:
        await run(Adapter(work), Native(), agent_task(start_to_close=0.05))
    assert (caught.value.kind, caught.value.retryable, stopped.is_set()) == ("framework_timeout", True, True)


async def test_an_adapter_that_gives_something_else_is_refused() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> Any:
        return {"output": "x"}

    with pytest.raises(AgentError, match="dict instead of a FrameworkResult"):
        await run(Adapter(work), Native())


def test_a_persona_leaves_out_what_is_the_frameworks_own() -> None:
    task = FrameworkTask(
        framework="f",
        job_id="j",
        step="s",
        attempt=1,
        effect_id="e",
        agent="Ada",
        configuration={"a": 1, "nodes": 2},
        seconds=1,
    )
    assert '"a": 1' in persona(task, without=("nodes",))
    assert "nodes" not in persona(task, without=("nodes",))


# LangGraph


@ledger("O-018")
async def test_langgraph_plans_acts_and_reviews_by_default_each_with_the_earlier_answers() -> None:
    native = Native()
    result = await run(ADAPTER, native)
    assert native.order == ["plan", "act", "review"]
    assert [given.output for given in native.asked[2][1].context] == ["PLAN", "ACT"]
    assert "You are Ada." in native.asked[0][0].instructions
    assert (result.output, result.summary, result.metadata["executed_by"]) == ("REVIEW", "review done", "langgraph")
    assert [one["node"] for one in result.data["nodes"]] == ["plan", "act", "review"]


@ledger("O-018")
async def test_langgraph_runs_the_graph_of_the_configuration() -> None:
    native = Native(check=["REVISE: too long", "fine"])
    graph = {
        "role": "editor",
        "nodes": [{"id": "write", "instructions": "Write."}, {"id": "check"}, {"id": "publish"}],
        "edges": [
            {"from": "write", "to": "check"},
            {"from": "check", "to": "write", "when": "REVISE"},
            {"from": "check", "to": "publish"},
        ],
    }
    result = await run(ADAPTER, native, agent_task(graph))
    assert native.order == ["write", "check", "write", "check", "publish"]
    assert native.asked[0][1].step.instruction == "Write."
    assert [given.output for given in native.asked[-1][1].context] == ["WRITE", "fine"]
    assert '"role": "editor"' in native.asked[0][0].instructions
    assert "REVISE" not in native.asked[0][0].instructions
    assert result.output == "PUBLISH"


async def test_langgraph_runs_branches_side_by_side_and_gives_the_answers_of_all_ends() -> None:
    graph = {
        "nodes": [{"id": "split"}, {"id": "left"}, {"id": "right"}],
        "edges": [{"from": "split", "to": "left"}, {"from": "split", "to": "right"}],
    }
    result = await run(ADAPTER, Native(), agent_task(graph))
    assert sorted(result.output.split()) == ["LEFT", "RIGHT"]


@pytest.mark.parametrize(
    ("graph", "fault"),
    [
        ({"nodes": []}, "nodes"),
        ({"nodes": "plan"}, "nodes"),
        ({"nodes": [{"id": "a"}, {"id": "a"}]}, "not unique"),
        ({"nodes": [{"id": "a"}], "edges": [{"from": "a", "to": "b"}]}, "'b', which is not a node"),
        ({"nodes": [{"id": "a"}], "edges": [{"from": "__start__", "to": "__end__"}]}, "must lead to a node"),
        ({"nodes": [{"id": "a"}], "edges": [{"from": "__start__", "to": "a", "when": "x"}]}, "without a condition"),
        ({"nodes": [{"id": "a"}], "recursionLimit": 0}, "recursionLimit"),
    ],
)
async def test_langgraph_refuses_what_is_no_graph_for_good(graph: dict[str, Any], fault: str) -> None:
    native = Native()
    with pytest.raises(AgentError, match=fault) as caught:
        await run(ADAPTER, native, agent_task(graph))
    assert (caught.value.kind, caught.value.retryable, native.asked) == ("invalid_configuration", False, [])


async def test_langgraph_ends_a_circle_at_its_limit() -> None:
    graph = {"nodes": [{"id": "a"}], "edges": [{"from": "a", "to": "a"}], "recursionLimit": 4}
    native = Native()
    with pytest.raises(AgentError) as caught:
        await run(ADAPTER, native, agent_task(graph))
    assert (caught.value.kind, caught.value.retryable) == ("recursion_limit", False)
    assert caught.value.usage is not None
    assert caught.value.usage.total_tokens == 10 * len(native.asked) > 0


async def test_langgraph_ends_a_circle_that_fans_out_before_it_costs_too_much() -> None:
    leaves = [f"n{number}" for number in range(49)]
    edges = [edge for leaf in leaves for edge in ({"from": "a", "to": leaf}, {"from": leaf, "to": "a"})]
    graph = {"nodes": [{"id": name} for name in ("a", *leaves)], "edges": edges, "recursionLimit": 200}
    native = Native()
    with pytest.raises(AgentError, match="200 model calls") as caught:
        await run(ADAPTER, native, agent_task(graph))
    assert (caught.value.kind, caught.value.retryable) == ("recursion_limit", False)
    assert 200 <= len(native.asked) < 250


async def test_a_models_failure_passes_through_langgraph_unchanged() -> None:
    native = Native()
    native.fault = AgentError("come back", kind="provider_rate_limited", retryable=True, retry_after=7)
    with pytest.raises(AgentError) as caught:
        await run(ADAPTER, native)
    assert (caught.value.kind, caught.value.retry_after) == ("provider_rate_limited", 7)


async def test_langgraph_works_with_the_offline_drafter_which_says_so() -> None:
    models = ModelSource(ModelConfig(drafted=frozenset({"*"})))
    result = await run(ADAPTER, AgentRunner(models, lambda: NOW))
    await models.aclose()
    assert (result.model, result.metadata["offline"]) == ("offline/drafter", True)
    assert "why?" in result.output
    assert result.usage.total_tokens > 0


# Programs in environments of their own


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be noticed does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def program(folder: Path, body: str) -> ProcessAdapter:
    path = folder / "program.py"
    path.write_text(
        "import json, os, sys, time\ntask = json.loads(sys.stdin.readline())['task']\n" + textwrap.dedent(body)
    )
    command = [sys.executable, "-u", str(path)]
    return ProcessAdapter("f", command, variables=["OPENAI_API_KEY"], environment={"MINE": "yes"})


@ledger("O-018")
async def test_a_program_of_another_environment_asks_reports_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ORCHESTRATOR_SECRET_KEY", "POSTGRES_PASSWORD", "ANTHROPIC_API_KEY", "ANY_TOKEN", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "not for frameworks")
    monkeypatch.setenv("OPENAI_API_KEY", "named")
    adapter = program(
        tmp_path,
        """
        print(json.dumps({"progress": 120}))
        print(json.dumps({"ask": {"title": "one", "instruction": "go"}}))
        answer = json.loads(sys.stdin.readline())["answer"]
        strange = [name for name, value in os.environ.items() if value == "not for frameworks"]
        output = f"{task['agent']} {answer['output']} {os.environ['MINE']} {os.environ['OPENAI_API_KEY']} {strange}"
        print(json.dumps({"result": {"output": output, "usage": {"prompt_tokens": 1000}, "model": "their/model"}}))
        """,
    )
    received = list[int]()
    result = await run(adapter, Native(), received=received)
    assert result.output == "Ada ONE yes named []"
    assert received == [120, 10]
    assert (result.model, result.usage.cost) == ("their/model", 1.01)


@pytest.mark.parametrize(
    ("body", "kind", "retryable", "says"),
    [
        ("print(json.dumps({'error': {'message': 'no', 'kind': 'x_y', 'retryable': False}}))", "x_y", False, "no"),
        ("print(json.dumps({'error': {'message': 'perhaps'}}))", "framework_failed", True, "perhaps"),
        ("print(json.dumps({'error': {'message': 'bad sk-abc123'}}))", "framework_failed", True, r"bad \*\*\*$"),
        ("sys.exit(3)", "framework_failed", True, "ended with code 3"),
        ("print('Thinking ...')", "framework_failed", True, "outside the protocol"),
        ("print(json.dumps({'result': {}}))", "framework_failed", True, "result.output"),
    ],
)
async def test_what_goes_wrong_in_a_program_is_reported(
    tmp_path: Path, body: str, kind: str, retryable: bool, says: str
) -> None:
    with pytest.raises(AgentError, match=says) as caught:
        await run(program(tmp_path, body), Native())
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)


async def test_a_missing_program_fails_without_retry() -> None:
    with pytest.raises(AgentError, match="No such file") as caught:
        await run(ProcessAdapter("f", ["/nowhere/python"]), Native())
    assert (caught.value.kind, caught.value.retryable) == ("framework_misconfigured", False)


async def test_a_cancelled_call_ends_its_program_and_what_that_started(tmp_path: Path) -> None:
    adapter = program(
        tmp_path,
        """
        import signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        inner = subprocess.Popen(["sleep", "60"])
        print(json.dumps({"progress": inner.pid}))
        print(json.dumps({"progress": os.getpid()}))
        time.sleep(60)
        """,
    )
    received = list[int]()
    running = asyncio.create_task(run(adapter, Native(), received=received))

    async def seen() -> int:
        return len(received)

    await eventually(seen, lambda count: count == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    async def left() -> list[int]:
        return [pid for pid in received if alive(pid)]

    await eventually(left, lambda pids: not pids)  # its group was killed; the kernel takes a moment


# Loading


@ledger("O-018")
def test_the_adapter_of_langgraph_is_installed_as_an_entry_point() -> None:
    assert load_adapter("langgraph") is ADAPTER


def test_an_adapter_is_loaded_by_module_and_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_adapters_1.py").write_text(
        "from orchestrator.frameworks.process import ProcessAdapter\ncrewai = ProcessAdapter('crewai', ['true'])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_adapter("crewai", "my_adapters_1:crewai").name == "crewai"


@pytest.mark.parametrize(
    ("framework", "where", "fault"),
    [
        ("crewai", None, r"\(installed: langgraph\); name one with --adapter MODULE:ATTRIBUTE"),
        ("No Name", None, "is not a valid name of a framework"),
        ("crewai", "orchestrator.frameworks.langgraph:ADAPTER", "is the adapter of 'langgraph', not of 'crewai'"),
        ("langgraph", "orchestrator.frameworks.langgraph", "module:attribute"),
        ("langgraph", "orchestrator.frameworks.langgraph:LangGraphAdapter", "is not a framework adapter"),
        ("langgraph", "orchestrator.frameworks.langgraph:nothing", "is not a framework adapter"),
        ("langgraph", "no_such_module:x", "cannot be imported"),
    ],
)
def test_what_is_no_adapter_is_refused(framework: str, where: str | None, fault: str) -> None:
    with pytest.raises(CatalogueError, match=fault):
        load_adapter(framework, where)


def test_what_takes_long_to_import_is_imported_where_it_is_used() -> None:
    code = (
        "import sys, api.orchestrator_api, orchestrator.commandline.worker, orchestrator.commandline.doctor.command\n"
        "import orchestrator.composition.agent_runtime\n"
        "print({'langgraph', 'openai', 'anthropic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_the_product_names_the_extra_that_a_framework_of_its_own_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langgraph.graph", None)
    monkeypatch.delitem(sys.modules, "orchestrator.frameworks.langgraph")
    with pytest.raises(CatalogueError, match=r"install orchestrator\[langgraph\]"):
        load_adapter("langgraph")


# Queues


@ledger("O-018")
def test_the_queue_of_a_framework_carries_the_installations_own_name_unless_that_is_the_default() -> None:
    assert framework_queue("orchestrator", "langgraph") == "agents-langgraph"
    assert framework_queue("blue", "langgraph") == "blue-agents-langgraph"


def test_a_short_step_can_name_no_queue() -> None:
    with pytest.raises(ValueError, match="remove its task_queue"):
        Step(id="a", name="A", squad="s", agents=("x",), short=True, task_queue="q")
    assert json.loads(Step(id="a", name="A", squad="s", agents=("x",)).model_dump_json())["task_queue"] is None


async def test_an_adapter_runs_beside_the_loop_and_asks_models_in_it() -> None:
    asking: list[int] = []

    class Listening(Native):
        async def run(self, *arguments: Any, **more: Any) -> AgentResult:
            asking.append(threading.get_ident())
            return await super().run(*arguments, **more)

    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        answer = await call.ask(Question(title="draft"))
        return FrameworkResult(output=f"{answer.output} {threading.get_ident()}")

    result = await run(Adapter(work), Listening())

    here = str(threading.get_ident())
    assert [str(thread) for thread in asking] == [here]
    assert result.output.split()[-1] != here


async def test_an_adapter_that_exits_fails_its_call_under_its_own_name() -> None:
    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        async def leave() -> None:
            sys.exit(3)

        await asyncio.gather(asyncio.sleep(10), leave())
        return FrameworkResult(output="went on")

    with pytest.raises(AgentError) as caught:
        await run(Adapter(work), Native())
    assert (caught.value.kind, caught.value.retryable) == ("SystemExit", False)


async def test_an_adapter_that_blocks_is_named() -> None:
    block = time.sleep

    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        block(2)
        return FrameworkResult(output="went on")

    runtime = FrameworkRuntime(Adapter(work), Native(), lambda: NOW, Bulkhead(0.3))
    with pytest.raises(AgentError) as caught:
        await runtime.run(AGENT, agent_task(), attempt=1, progress=lambda _: None, sink=Sink())
    assert (caught.value.kind, caught.value.retryable) == ("agent_blocked", False)
    assert "in work)" in caught.value.message


async def test_a_cancelled_adapter_stops_asking() -> None:
    began = asyncio.Event()
    ended: list[str] = []

    class Endless(Native):
        async def run(self, *_: Any, **__: Any) -> AgentResult:
            began.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("cancelled")
            raise AssertionError

    async def work(task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        await call.ask(Question(title="draft"))
        return FrameworkResult(output="went on")

    running = asyncio.create_task(run(Adapter(work), Endless()))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    async def seen() -> list[str]:
        return ended

    assert await eventually(seen, bool) == ["cancelled"]


def test_an_adapters_module_that_exits_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exiting_adapters.py").write_text("raise SystemExit('no licence')\n")
    (tmp_path / "failing_adapters.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CatalogueError, match="exiting_adapters: cannot be imported: SystemExit: no licence"):
        load_adapter("f", "exiting_adapters:x")
    with pytest.raises(CatalogueError, match="cannot be imported: ZeroDivisionError"):
        load_adapter("f", "failing_adapters:x")
