"""The adapters that `docs/frameworks.md` shows work as they are printed; CrewAI itself is stood in for."""

import importlib
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from orchestrator.frameworks.langgraph import Graph
from orchestrator.frameworks.loading import ENTRY_POINT_GROUP, load_adapter
from orchestrator.frameworks.process import ProcessAdapter
from tests.ledger import ledger
from tests.unit.test_frameworks import Native, agent_task, run

GUIDE = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text()
SHOWN = dict(re.findall(r"^\*\*`([^`]+)`\*\*[^\n]*\n\n```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))

# What the program uses of CrewAI, with an agent that chats on standard output as the real one does.
CREWAI = """
class BaseLLM:
    def __init__(self, model):
        self.model = model

class Agent:
    def __init__(self, role, goal, backstory, llm):
        self.role, self.goal, self.llm = role, goal, llm

class Task:
    def __init__(self, description, expected_output, agent):
        self.description, self.agent = description, agent

class Result:
    def __init__(self, raw):
        self.raw = raw

class Crew:
    def __init__(self, agents, tasks):
        self.tasks = tasks

    def kickoff(self):
        print("Crew execution started")
        (task,) = self.tasks
        role = {"role": "system", "content": f"You are {task.agent.role}, you want {task.agent.goal}"}
        return Result("crew: " + task.agent.llm.call([role, {"role": "user", "content": task.description}], tools=None))
"""


def test_the_guide_shows_three_files() -> None:
    assert set(SHOWN) == {"acme_frameworks.py", "crew_frameworks.py", "crew.py"}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's files in a folder from which they can be imported."""
    for name, text in SHOWN.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


@ledger("O-018")
async def test_the_adapter_of_the_guide_works(written: Path) -> None:
    native = Native(list=["read\n\nwrite\nsend"])
    result = await run(load_adapter("babyagi", "acme_frameworks:babyagi"), native, agent_task({"maxTasks": 2}))
    assert native.order == ["list", "task 1", "task 2"]
    assert (result.output, result.data) == ("TASK 1\n\nTASK 2", {"tasks": 2})


@ledger("O-018")
async def test_the_program_of_the_guide_works_in_an_environment_without_the_product(written: Path) -> None:
    shown = load_adapter("crewai", "crew_frameworks:crewai")
    assert isinstance(shown, ProcessAdapter)
    (written / "crewai.py").write_text(CREWAI)
    native = Native(CrewAI=["because"])
    adapter = ProcessAdapter(shown.name, [sys.executable, "-I", "-c", _isolated(written)])
    result = await run(adapter, native, agent_task({"role": "Historian"}))
    assert result.output == "crew: because"
    asked = native.asked[0][1].step.instruction
    assert asked == 'You are Historian, you want Explains engines\n\n{"question": "why?"}'


def _isolated(folder: Path) -> str:
    """Runs the guide's program with the stand-in, and makes sure that it finds nothing of the product."""
    program = str(folder / "crew.py")
    return (
        f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); sys.modules['orchestrator'] = None\n"
        f"runpy.run_path({program!r}, run_name='__main__')"
    )


def test_the_entry_point_of_the_guide_is_in_the_group_that_is_read() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    points = tomllib.loads(block)["project"]["entry-points"]
    assert points == {ENTRY_POINT_GROUP: {"babyagi": "acme_frameworks:babyagi"}}


def test_the_graph_of_the_guide_is_one() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    graph = Graph.model_validate(json.loads(block))
    assert [node.id for node in graph.nodes] == ["write", "check", "publish"]
    assert graph.recursion_limit == 12
