"""The offline drafter: deterministic, about the input, valid where it promises code, and plain about what it is."""

import ast
import json
import shutil
import sqlite3
import subprocess
from datetime import UTC, date, datetime
from enum import StrEnum
from html.parser import HTMLParser
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field, field_validator

from orchestrator.agents.artifacts import ARTIFACTS
from orchestrator.agents.registry import AGENTS
from orchestrator.domain.agents import Agent, AgentOutput, StepOutput
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.ids import JobKind
from orchestrator.domain.plans import Step, WorkflowDefinition
from orchestrator.runtime.models import ModelConfig, ModelSource
from orchestrator.runtime.offline import draft
from orchestrator.runtime.offline.subject import subject_of
from orchestrator.runtime.run import AgentRunner
from tests.fakes.sink import Sink
from workflows.registry import DEFINITIONS

BY_ID = {agent.id: agent for agent in AGENTS}
STORE = {
    "project_name": "Book Store API",
    "description": "A REST API that sells books online. It has to be fast.",
    "requirements": ["Users can browse the catalog", "JWT authentication", "Shopping cart with checkout"],
    "tech_stack": ["FastAPI", "PostgreSQL"],
    "audience": "small publishers",
}
HOSTILE = {
    "project_name": 'x""" */ --> ]]> {evil} $(rm) `id` \'; DROP TABLE t; -- \\N{oops}\n# é 漢 🚀 \u2028\x00\ud800',
    "description": "class import def; \\ \"\"\" '''\n${x} {0} %s <script>alert(1)</script>",
    "requirements": ["class", "漢字だけ", '"quoted" {brace}', "-- drop\nall", "3d view", "*/ end", "", "`$(rm -rf /)`"],
    "tech_stack": {"language": 'Type"Script', "database": ["Post'gres"]},
    "nested": {"deep": {"list": [{"name": "n", "description": "d"}, {"a": 1}], "flag": True, "none": None}},
    "9 odd key!": 4.5,
}
INPUTS = {
    "store": STORE,
    "prd": {"task_type": "prd", "context": "Une app mobile pour gérer les commandes.\n- paiement\n- livraison"},
    "hostile": HOSTILE,
    "empty": {},
    "long": {"context": "An endless wish. " * 5000, "requirements": [f"wish {n} " + "x" * 500 for n in range(200)]},
}


class Anything(BaseModel):
    """Any input."""


def make_agent(**more: Any) -> Agent:
    defaults = {
        "id": "plugin_agent",
        "name": "Plugin Agent",
        "squad": "custom_squad",
        "description": "Does what a plugin does.",
        "capabilities": ("custom_work",),
        "input_model": Anything,
    }
    return Agent(**(defaults | more))


def make_task(agent: str, given: dict[str, Any], context: list[StepOutput] | None = None) -> AgentTask:
    return AgentTask(
        job_id="job_1",
        definition="d",
        kind=JobKind.WORKFLOW,  # whose input an agent is shown as it is
        step=Step(id="work", name="Work", squad="custom", agents=(agent,)),
        agent=agent,
        input=given,
        context=context or [],
    )


def drafted(agent: str, given: dict[str, Any]) -> dict[str, Any]:
    return draft(BY_ID[agent], make_task(agent, given))


def of_type(media_type: str) -> list[tuple[str, str]]:
    """`(agent, path)` of every promised file of a media type."""
    return [(agent, file.path) for agent, files in ARTIFACTS.items() for file in files if file.media_type == media_type]


def content(agent: str, path: str, given: dict[str, Any]) -> str:
    return next(file["content"] for file in drafted(agent, given)["deliverables"] if file["path"] == path)


@pytest.fixture(params=INPUTS)
def given(request: pytest.FixtureRequest) -> dict[str, Any]:
    return INPUTS[request.param]


@pytest.mark.parametrize("agent", BY_ID)
def test_every_agent_drafts_its_promised_files_in_a_sensible_size(agent, given):
    output = drafted(agent, given)
    files = {file["path"]: file["media_type"] for file in output["deliverables"]}
    assert files == {artifact.path: artifact.media_type for artifact in ARTIFACTS[agent]}
    assert 1000 < len(json.dumps(output, ensure_ascii=False).encode()) < 20_000
    BY_ID[agent].output_model.model_validate(output)


@pytest.mark.parametrize("agent", BY_ID)
def test_the_same_task_gives_the_same_draft(agent):
    assert drafted(agent, STORE) == drafted(agent, STORE)


def test_agents_differ_from_each_other():
    outputs = [drafted(agent, STORE)["output"] for agent in BY_ID]
    assert len(set(outputs)) == len(BY_ID)
    bodies = [file["content"] for agent in BY_ID for file in drafted(agent, STORE)["deliverables"]]
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("agent", BY_ID)
def test_the_input_appears_in_the_answer(agent):
    text = drafted(agent, STORE)["output"]
    for part in ("Book Store API", "sells books online", "Shopping cart with checkout", "PostgreSQL", "publishers"):
        assert part in text


@pytest.mark.parametrize(("agent", "path"), [(a, f.path) for a, files in ARTIFACTS.items() for f in files])
def test_the_input_and_the_notice_appear_in_every_file(agent, path):
    text = content(agent, path, STORE)
    assert "Book Store API" in text or "book-store-api" in text
    assert "offline draft" in text.lower()


@pytest.mark.parametrize("agent", BY_ID)
def test_an_answer_says_that_no_model_wrote_it(agent, given):
    output = drafted(agent, given)
    assert "not by a language model" in output["output"]
    assert "without a language model" in output["summary"]


def given_to(definition: WorkflowDefinition) -> dict[str, Any]:
    """An input with a text of its own under every name that a workflow takes."""
    made: dict[str, Any] = {}
    for name, schema in definition.input_schema["properties"].items():
        match schema["type"]:
            case "array":
                made[name] = [f"first of {name}", f"second of {name}"]
            case "object":
                made[name] = {inner: [f"a {inner}"] for inner in schema["properties"]}
            case _:
                made[name] = schema["enum"][0] if "enum" in schema else f"The {name} given"
    return made


def leaves(value: Any) -> list[str]:
    """Every text in an input."""
    if isinstance(value, str):
        return [value]
    return [text for inner in (value.values() if isinstance(value, dict) else value) for text in leaves(inner)]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.id)
def test_a_workflows_draft_is_about_the_name_that_it_was_given(definition):
    given = given_to(definition)
    subject = subject_of(make_task(definition.plan.steps[0].agents[0], given))
    assert subject.name == given[definition.input_schema["required"][0]]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.id)
def test_everything_that_a_workflow_takes_stands_in_its_documents(definition):
    given = given_to(definition)
    texts = leaves(given)
    documents = [
        file["content"]
        for step in definition.plan.steps
        for agent in step.agents
        for file in drafted(agent, given)["deliverables"]
        if file["media_type"] == "text/markdown"
    ]
    assert documents
    for document in documents:
        assert [text for text in texts if text not in document] == []


def test_what_is_given_beside_the_work_is_no_part_of_it():
    given = {"brand_name": "Northwind", "description": "Calm.", "components": ["button"], "colors": ["#0a3d62", "red"]}
    subject = subject_of(make_task("design_system_engineer", given))
    assert [point.text for point in subject.points] == ["button"]
    assert ("colors", "#0a3d62, red") in subject.notes


def test_earlier_steps_are_named():
    context = [StepOutput(step="research", agent="market_researcher", summary="Readers want paper.")]
    text = draft(BY_ID["product_manager"], make_task("product_manager", STORE, context))["output"]
    assert "research (market_researcher): Readers want paper." in text


@pytest.mark.parametrize(("agent", "path"), of_type("text/x-python"))
def test_python_runs_and_holds_the_points(agent, path, given):
    source = content(agent, path, given)
    assert any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(source)))
    scope: dict[str, Any] = {"__name__": "drafted"}
    exec(compile(source, path, "exec"), scope)
    points = subject_of(make_task(agent, given)).points
    assert [scope["point"](point.id) for point in points] == [point.text for point in points]


@pytest.mark.parametrize(("agent", "path"), of_type("application/json"))
def test_json_parses(agent, path, given):
    assert json.loads(content(agent, path, given))["draft"]


@pytest.mark.parametrize(("agent", "path"), of_type("text/yaml"))
def test_yaml_parses(agent, path, given):
    assert isinstance(yaml.safe_load(content(agent, path, given)), dict)


@pytest.mark.parametrize(("agent", "path"), of_type("text/x-sql"))
def test_sql_runs_on_an_empty_database(agent, path, given):
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(content(agent, path, given))
        assert connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0] >= 1


@pytest.mark.parametrize(("agent", "path"), of_type("text/x-shellscript"))
def test_shell_scripts_parse(agent, path, given):
    bash = shutil.which("bash")
    assert bash is not None
    checked = subprocess.run(
        [bash, "-n"], input=content(agent, path, given), text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(("agent", "path"), [*of_type("text/typescript"), *of_type("text/css")])
def test_brackets_of_web_code_are_balanced(agent, path, given):
    code = "\n".join(line for line in content(agent, path, given).splitlines() if not line.startswith(("//", "/*")))
    assert _unbalanced(code) == ""


@pytest.mark.parametrize(("agent", "path"), of_type("text/html"))
def test_html_is_closed_and_escapes_the_input(agent, path, given):
    page = content(agent, path, given)
    checker = _Tags()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.seen


@pytest.mark.parametrize(("agent", "path"), of_type("text/x-dockerfile"))
def test_container_files_hold_instructions_only(agent, path, given):
    lines = [line for line in content(agent, path, given).splitlines() if not line.startswith("#")]
    known = {"FROM", "LABEL", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert {line.split()[0] for line in lines} <= known
    assert lines[0].startswith("FROM ")


class Level(StrEnum):
    LOW = "low"
    HIGH = "high"


class Item(BaseModel):
    id: str = Field(pattern=r"^R\d+$")
    name: str = Field(max_length=20)
    due: date
    parts: "list[Item]" = Field(default_factory=list)


class Rich(AgentOutput):
    """Every kind of field that an author may promise."""

    title: str
    level: Level
    kind: Literal["only"]
    hours: int = Field(ge=3, le=5)
    share: float = Field(gt=0, lt=1)
    sure: bool
    maybe: str | None
    at: datetime
    items: list[Item] = Field(min_length=2)
    pair: tuple[int, str]
    by_name: dict[str, Item]
    tags: set[str] = Field(min_length=3)
    note: str = Field(min_length=500)
    below: int = Field(lt=0)
    between: float = Field(gt=-1, lt=-0.5)
    sevens: int = Field(multiple_of=7, ge=10)
    grade: str = Field(pattern="^(good|bad)$")
    by_number: dict[int, int] = Field(min_length=9)
    by_level: dict[Level, int]


async def run_offline(agent: Agent, given: dict[str, Any]) -> Any:
    models = ModelSource(ModelConfig())
    try:
        runner = AgentRunner(models, lambda: datetime(2026, 11, 20, tzinfo=UTC))
        return await runner.run(agent, make_task(agent.id, given), attempt=1, progress=lambda _: None, sink=Sink())
    finally:
        await models.aclose()


async def test_an_authors_agent_is_drafted_without_promised_files():
    result = await run_offline(make_agent(), STORE)
    assert result.model == "offline/drafter"
    assert result.deliverables == []
    assert "Plugin Agent: Book Store API" in result.output
    assert "custom work" in result.output.lower()


async def test_typed_fields_of_an_output_model_are_filled_from_the_input(given):
    result = await run_offline(make_agent(output_model=Rich), given)
    assert result.data["level"] in {"low", "high"}
    assert 3 <= result.data["hours"] <= 5
    assert len(result.data["items"]) >= 2
    assert len(json.dumps(result.data)) < 20_000


async def test_filled_texts_are_about_the_input():
    result = await run_offline(BY_ID["product_manager"], STORE)
    assert any("Shopping cart with checkout" in story for story in result.data["user_stories"])


async def test_a_field_that_cannot_be_drafted_is_a_clear_final_error():
    class Demanding(AgentOutput):
        code: str

        @field_validator("code")
        @classmethod
        def _only_one(cls, value: str) -> str:
            if value != "open sesame":
                raise ValueError("wrong code")
            return value

    with pytest.raises(AgentError) as failed:
        await run_offline(make_agent(output_model=Demanding), STORE)
    assert (failed.value.kind, failed.value.retryable) == ("offline_unsupported", False)
    assert "code" in failed.value.message


def _unbalanced(code: str) -> str:
    """Brackets left open outside of strings, or the first one that closes nothing."""
    pairs, stack, quote, escaped = {")": "(", "]": "[", "}": "{"}, [], "", False
    for character in code:
        if quote:
            escaped, quote = character == "\\" and not escaped, "" if character == quote and not escaped else quote
        elif character in "\"'`":
            quote = character
        elif character in "([{":
            stack.append(character)
        elif character in pairs and (not stack or stack.pop() != pairs[character]):
            return character
    return "".join(stack) + quote


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
