"""Plugins are loaded from where they may come from; a faulty one is refused with file and fault."""

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from temporalio import workflow as temporal

from orchestrator import plugins
from orchestrator.agents.registry import AGENTS
from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.commands import JobInput, JobResult
from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition
from orchestrator.plugins import BUILT_IN, build_catalogue, load_plugins
from tests.code_workflow import CountdownWorkflow
from workflows import definitions, registry
from workflows.registry import DEFINITIONS


class AnyInput(BaseModel):
    """Takes anything."""


def agent(id: str = "helper", **more: Any) -> Agent:
    values = {"name": "Helper", "squad": "testing", "description": "Helps", "capabilities": ("helping",)}
    return Agent(**{"id": id, "instructions": "Help.", "input_model": AnyInput, "source": "a.py", **values, **more})


def workflow(id: str = "flow", *, agents: tuple[str, ...] = ("helper",), **more: Any) -> WorkflowDefinition:
    values: dict[str, Any] = {
        "id": id,
        "name": "Flow",
        "description": "Flows",
        "estimated_time": "1-2 minutes",
        "estimated_cost": "$0.01-$0.02",
        "input_schema": {"type": "object"},
        "output_schema": {"type": "object"},
        "plan": Plan(steps=(Step(id="go", name="Go", squad="testing", agents=agents),)),
        "source": "w.py",
    }
    return WorkflowDefinition(**{**values, **more})


@temporal.defn(name="flow")
class Forgetful:
    """Returns nothing."""

    @temporal.run
    async def run(self, job: JobInput) -> None:
        """Forget the result."""


async def yields(call: FunctionCall) -> Any:
    """An asynchronous generator."""
    yield call


def yields_plainly(call: FunctionCall) -> Any:
    """A generator."""
    yield call


async def takes_nothing() -> Any:
    """Takes no call."""


async def takes_more(call: FunctionCall, other: str) -> Any:
    """Takes more than a call."""


class Called:
    """An object that is called like a function."""

    async def __call__(self, call: FunctionCall) -> AgentOutput:
        return AgentOutput(summary="s", output=call.step)


def plain(call: FunctionCall) -> AgentOutput:
    """Not asynchronous: it runs in a thread."""
    return AgentOutput(summary="s", output=call.step)


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (yields, "is a generator (it has a yield): it must return one AgentOutput"),
        (yields_plainly, "is a generator (it has a yield): it must return one AgentOutput"),
        (functools.partial(takes_more, other="x"), None),
        (functools.partial(yields), "is a generator"),
        (takes_nothing, "cannot be called with one FunctionCall: too many positional arguments"),
        (takes_more, "cannot be called with one FunctionCall: missing a required argument: 'other'"),
        (Called(), None),
        (plain, None),
        (print, None),
    ],
)
def test_a_function_that_can_never_answer_is_refused_by_the_name_of_its_agent(function: Any, fault: str | None) -> None:
    plugins = [Plugin("p", agents=(agent(instructions="", function=function),))]
    if fault is None:
        assert build_catalogue(plugins).agents["helper"].function is function
        return
    with pytest.raises(CatalogueError) as refused:
        build_catalogue(plugins)
    assert f"a.py: agent 'helper': its function {fault}" in refused.value.message


@pytest.mark.parametrize("function", ["not a function", 3, object()])
def test_what_is_no_function_is_refused_where_the_agent_is_made(function: Any) -> None:
    with pytest.raises(ValidationError, match="callable"):
        agent(function=function)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('x' * 5_000_000)", "ValueError: xxx"),
        ("class Silent(Exception):\n    def __str__(self): raise KeyError\nraise Silent", "its text cannot be read"),
        ("raise ImportError('x' * 5_000_000)", "cannot be imported: xxx"),
    ],
)
def test_what_a_plugin_says_when_it_cannot_be_imported_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    (tmp_path / "loud_plugin.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loud_plugin", raising=False)
    with pytest.raises(CatalogueError) as refused:
        load_plugins(["loud_plugin"])
    assert said in refused.value.message
    assert len(refused.value.message) < 3000


def test_plugins_add_up() -> None:
    async def post(_: str) -> None:
        return None

    code = CodeWorkflow(workflow("t_countdown", code=True), CountdownWorkflow)
    extra = Plugin("extra", (agent(),), (workflow(agents=("helper", "api_architect")),), (code,), (post,))

    catalogue = build_catalogue([BUILT_IN, extra])

    assert (len(catalogue.agents), len(catalogue.workflows)) == (29, 12)
    assert catalogue.workflow("t_countdown").code
    assert catalogue.code_workflows == (replace(code, signals={"go": None}),)
    assert catalogue.activities == (post,)


class Unpublishable(BaseModel):
    """Has no JSON Schema."""

    callback: Callable[[], None]


def test_what_an_author_leaves_out_is_published_with_defaults() -> None:
    plan = Plan(steps=(Step(id="go", name="Go", squad="testing", agents=("helper",)),))
    bare = WorkflowDefinition(id="bare", name="Bare", description="Says nothing more", plan=plan)

    published = build_catalogue([Plugin("p", (agent(),), (bare,))]).workflow("bare")

    assert published.input_schema == {"type": "object"}
    assert published.output_schema == JobResult.model_json_schema()
    assert (published.estimated_time, published.estimated_cost) == ("not estimated", "not estimated")


@pytest.mark.parametrize(
    ("plugin", "source", "fault"),
    [
        (
            Plugin("p", agents=(agent(), agent(source="b.py"))),
            "b.py",
            "agent id 'helper' is defined twice (in a.py, b.py)",
        ),
        (
            Plugin("p", agents=(agent(),), workflows=(workflow(), workflow(source="v.py"))),
            "v.py",
            "workflow id 'flow' is defined twice (in v.py, w.py)",
        ),
        (
            Plugin("p", workflows=(workflow(agents=("nobody",)),)),
            "w.py",
            "workflow 'flow', step 'go': unknown agents: nobody",
        ),
        (
            Plugin("p", agents=(agent(),), workflows=(workflow(agents=("helpr",)),)),
            "w.py",
            "workflow 'flow', step 'go': unknown agents: helpr. Did you mean 'helper'?",
        ),
        (
            Plugin("p", agents=(agent(),), workflows=(workflow(), workflow("other", agents=("flow",)))),
            "w.py",
            "workflow 'other', step 'go': unknown agents: flow (it is a workflow: make it a step of its own",
        ),
        (
            Plugin("p", agents=(agent(),), workflows=(workflow(input_schema={"type": "text"}),)),
            "w.py",
            "input schema of workflow 'flow' is not JSON Schema: at $.type: ",
        ),
        (
            Plugin("p", agents=(agent(),), workflows=(workflow(output_schema={"required": "status"}),)),
            "w.py",
            "output schema of workflow 'flow' is not JSON Schema: at $.required: ",
        ),
        (
            Plugin("p", agents=(agent(instructions=" "),)),
            "a.py",
            "agent 'helper' has neither instructions nor a function",
        ),
        (
            Plugin("p", agents=(agent("record_outcome"),)),
            "a.py",
            "agent id 'record_outcome' is reserved by the engine",
        ),
        (
            Plugin("p", agents=(agent(input_model=Unpublishable),)),
            "a.py",
            "agent 'helper' has a model without a schema",
        ),
        (
            Plugin("p", agents=(agent(),), workflows=(workflow(code=True),)),
            "w.py",
            "workflow 'flow' has code=True but no class",
        ),
        (
            Plugin("p", agents=(agent(),), code_workflows=(CodeWorkflow(workflow(), CountdownWorkflow),)),
            "w.py",
            "workflow 'flow' has a class: set code=True",
        ),
        (
            Plugin(
                "p", agents=(agent(),), code_workflows=(CodeWorkflow(workflow("flow", code=True), CountdownWorkflow),)
            ),
            "w.py",
            "workflow 'flow': class CountdownWorkflow must be decorated with @workflow.defn(name='flow')",
        ),
        (
            Plugin("p", agents=(agent(),), code_workflows=(CodeWorkflow(workflow("flow", code=True), Forgetful),)),
            "w.py",
            "workflow 'flow': class Forgetful returns nothing (`-> None`): return the job's result",
        ),
        (
            Plugin("p", agents=(agent(),), code_workflows=(CodeWorkflow(workflow("flow", code=True), object),)),
            "w.py",
            "workflow 'flow': class object must be decorated with @workflow.defn(name='flow')",
        ),
        (
            Plugin(
                "p",
                (agent("t_countdown"),),
                (),
                (CodeWorkflow(workflow("t_countdown", code=True, agents=("t_countdown",)), CountdownWorkflow),),
            ),
            "a.py",
            "id 't_countdown' is taken by the workflow class CountdownWorkflow",
        ),
        (
            Plugin("p", (agent(),), (workflow("reconcile"),)),
            "w.py",
            "id 'reconcile' is taken by the workflow class ReconcileWorkflow",
        ),
    ],
)
def test_a_faulty_catalogue_is_refused_with_file_and_fault(plugin: Plugin, source: str, fault: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        build_catalogue([plugin])

    assert caught.value.details["source"] == source
    assert caught.value.message.startswith(f"{source}: {fault}")


def test_a_plugin_cannot_take_a_built_in_id() -> None:
    with pytest.raises(CatalogueError, match=r"a\.py: agent id 'api_architect' is defined twice"):
        build_catalogue([BUILT_IN, Plugin("p", agents=(agent("api_architect"),))])


def test_a_built_in_agent_without_a_workflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Plugin("built-in", AGENTS, tuple(d for d in DEFINITIONS if d.id != "data_platform"))
    monkeypatch.setattr(plugins, "BUILT_IN", idle)

    with pytest.raises(
        CatalogueError, match=r"orchestrator/agents/data\.py: agent 'ml_engineer' is used by no workflow"
    ):
        build_catalogue([idle])


# Loading

MODULE = """
from orchestrator.domain.agents import Agent
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.plans import Plan, Step
from pydantic import BaseModel

class AnyInput(BaseModel):
    pass

agent = Agent(id="helper", name="Helper", squad="s1", description="Helps", capabilities=("helping",),
              instructions="Help.", input_model=AnyInput)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Writes a module that can be imported for the length of the test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        importlib.invalidate_caches()
        return path

    before = set(sys.modules)
    yield write
    for name in set(sys.modules) - before:
        if (file := getattr(sys.modules[name], "__file__", None)) and file.startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_module_adds_its_plugin_and_names_its_file(module: Any) -> None:
    path = module("acme_plugin", MODULE + 'plugin = Plugin("acme", agents=(agent,))\n')

    loaded = load_plugins(["acme_plugin"])

    assert loaded[0] is BUILT_IN
    assert [plugin.name for plugin in loaded[1:]] == ["acme"]
    assert build_catalogue(loaded).agent("helper").source == str(path)


def test_an_installed_plugin_counts_once(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module("acme_installed", MODULE + 'plugin = Plugin("acme", agents=(agent,))\n')
    point = EntryPoint("acme", "acme_installed:plugin", plugins.ENTRY_POINT_GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: [point] if group == point.group else [])

    assert [plugin.name for plugin in load_plugins([])[1:]] == ["acme"]
    assert [plugin.name for plugin in load_plugins(["acme_installed", "acme_installed"])[1:]] == ["acme"]


def test_a_setting_can_name_a_plugin_like_an_entry_point(module: Any) -> None:
    module("acme_desk", MODULE + 'desk = Plugin("acme", agents=(agent,))\n')

    assert [plugin.name for plugin in load_plugins(["acme_desk:desk"])[1:]] == ["acme"]
    with pytest.raises(CatalogueError, match=r"acme_desk\.py: has no top-level 'other' of type orchestrator Plugin"):
        load_plugins(["acme_desk:other"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (MODULE + 'Step(id="a", name="A", squad="s", agents="helper")\n', "Write ('helper',) with a comma"),
        (MODULE + 'Step(id="a", name="A", squad="s", agents=("helper",), needs="b")\n', "Write ('b',) with a comma"),
        (
            MODULE + 'Step(id="a", name="A", squad="s", agents=("helper",), retry=3)\n',
            "Write retry=RetryPolicy(maximum_attempts=3)",
        ),
        (
            MODULE + 'Step(id="a", name="A", squad="s", agents=("helper",), approval=True)\n',
            "Write approval=Approval()",
        ),
        (
            MODULE
            + "from orchestrator.domain.plans import WorkflowDefinition\n"
            + 'step = Step(id="a", name="A", squad="s", agents=("helper",))\n'
            + 'WorkflowDefinition(id="fl", name="F", description="d", plan=Plan(steps=[step]), input_schema=Step)\n',
            "Give the model as input_model=Step",
        ),
        (
            MODULE
            + "from orchestrator.domain.plans import WorkflowDefinition\n"
            + 'step = Step(id="a", name="A", squad="s", agents=("helper",))\n'
            + 'WorkflowDefinition(id="flow", name="F", describtion="d", description="d", plan=Plan(steps=(step,)))\n',
            "Did you mean 'description'?",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_its_remedy(module: Any, text: str, fault: str) -> None:
    path = module("acme_mistaken", text)

    with pytest.raises(CatalogueError) as caught:
        load_plugins(["acme_mistaken"])

    assert caught.value.details["source"] == str(path)
    assert caught.value.details["fault"].startswith(f"line {len(text.splitlines())}: ")
    assert fault in caught.value.details["fault"]


def test_a_fault_of_the_whole_catalogue_is_named_with_its_line(module: Any) -> None:
    text = MODULE + (
        "from orchestrator.domain.plans import WorkflowDefinition\n"
        'step = Step(id="a", name="A", squad="s", agents=("helpr",))\n'
        'flow = WorkflowDefinition(id="flow", name="F", description="d", plan=Plan(steps=(step,)))\n'
        'plugin = Plugin("acme", agents=(agent,), workflows=(flow,))\n'
    )
    module("acme_misspelt", text)

    with pytest.raises(CatalogueError) as caught:
        build_catalogue(load_plugins(["acme_misspelt"]))

    line = 1 + next(number for number, each in enumerate(text.splitlines()) if "helpr" in each)
    assert caught.value.details["fault"].startswith(f"line {line}: workflow 'flow', step 'a': unknown agents: helpr")


def test_the_same_plugin_from_two_modules_says_how_installed_ones_are_loaded() -> None:
    plugin = Plugin("p", agents=(agent(), agent(source="b.py")))
    with pytest.raises(CatalogueError, match="loaded by their entry points: name only others in ORCHESTRATOR_PLUGINS"):
        build_catalogue([plugin])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import acme_is_not_installed\n", "cannot be imported: No module named 'acme_is_not_installed'"),
        ("def broken(:\n", "cannot be imported: invalid syntax"),
        ("import os\nos.environ['ACME_TOKEN']\n", "cannot be imported: KeyError: 'ACME_TOKEN' ("),
        ("1 / 0\n", "acme_faulty.py, line 1)"),
        (MODULE, "has no top-level 'plugin'"),
        ("plugin = 'mine'\n", "has no top-level 'plugin'"),
        (MODULE + 'agent = Agent(id="Bad Id", name="x")\n', "Agent: id: String should match pattern"),
        (
            MODULE
            + 'plan = Plan(steps=(Step(id="a", name="A", squad="s", agents=("helper",), needs=("b",)),\n'
            + '                   Step(id="b", name="B", squad="s", agents=("helper",), needs=("a",))))\n',
            "steps need each other in a circle: ",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_named_with_its_fault(module: Any, text: str, fault: str) -> None:
    module("acme_faulty", text)

    with pytest.raises(CatalogueError) as caught:
        load_plugins(["acme_faulty"])

    assert "acme_faulty" in caught.value.details["source"]
    assert fault in caught.value.details["fault"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("raise SystemExit('ACME_TOKEN is not set')\n", "SystemExit: ACME_TOKEN is not set ("),
        ("import sys\n\nsys.exit(0)\n", "SystemExit: 0 ("),
        ("import sys\n\nsys.exit(0)\n", "acme_faulty.py, line 3)"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt ("),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--unknown'])\n", "acme_faulty.py, line 2)"),
    ],
)
def test_a_module_that_ends_the_program_is_named(module: Any, text: str, fault: str) -> None:
    module("acme_faulty", text)

    with pytest.raises(CatalogueError) as caught:
        load_plugins(["acme_faulty"])

    assert caught.value.details["source"] == "acme_faulty"
    assert caught.value.details["fault"].startswith("cannot be imported: ")
    assert fault in caught.value.details["fault"]


def test_an_import_leaves_the_process_as_it_was(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text = "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.chdir('/')\nprint('hello')\n"
    module("acme_busy", text + MODULE + "plugin = Plugin(name='acme')\n")
    folder, handler = os.getcwd(), signal.getsignal(signal.SIGTERM)

    load_plugins(["acme_busy"])

    assert os.getcwd() == folder
    assert signal.getsignal(signal.SIGTERM) is handler
    assert capsys.readouterr() == ("", "hello\n")


def test_a_schema_that_ends_the_program_is_named() -> None:
    class Silent(BaseModel):
        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> Any:
            raise SystemExit(3)

    with pytest.raises(CatalogueError, match="agent 'helper' has a model without a schema: SystemExit: 3"):
        build_catalogue([Plugin("acme", (agent(input_model=Silent),))])


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(CatalogueError, match=r"^no_such_plugin_module: cannot be imported: No module named"):
        load_plugins(["no_such_plugin_module"])


def test_the_fault_of_an_imported_part_names_the_part(module: Any) -> None:
    part = module("acme_part", MODULE + "plan = Plan(steps=(None,))\n")
    module("acme_whole", "import acme_part\n")

    with pytest.raises(CatalogueError) as caught:
        load_plugins(["acme_whole"])

    assert caught.value.details["source"] == str(part)


FILE = """
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION = WorkflowDefinition(id="{id}", name="X", description="x", estimated_time="", estimated_cost="",
    input_schema={{}}, output_schema={{}}, plan=Plan(steps=({steps})))
"""
LOOP = 'Step(id="a", name="A", squad="s", agents=("x",), needs=("a",)),'
SOUND = 'Step(id="a", name="A", squad="s", agents=("x",)),'
MISSPELT = 'Step(id="a", name="A", squad="s", agents=("x",), need=("b",)),'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (FILE.format(id="new", steps=LOOP), "steps need each other in a circle: a -> a"),
        (FILE.format(id="new", steps=MISSPELT), "the plan has unknown keys: Step.need"),
        (FILE.format(id="other", steps=SOUND), "defines 'other'; the file must have the definition's id as its name"),
        ("definition = None\n", "has no top-level DEFINITION"),
    ],
)
def test_a_faulty_definition_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, fault: str
) -> None:
    (tmp_path / "new.py").write_text(text)
    monkeypatch.setattr(definitions, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "workflows.definitions.new", raising=False)

    with pytest.raises(CatalogueError) as caught:
        registry._definition("new")

    assert caught.value.details["source"] == "workflows/definitions/new.py"
    assert fault in caught.value.details["fault"]
