"""The built-in catalogue keeps what it promises (D-016..D-022, D-032..D-039)."""

import importlib
import json
import re
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator.agents.artifacts import ARTIFACTS
from orchestrator.agents.registry import AGENTS
from orchestrator.domain.agents import Agent, AgentOutput, Deliverable
from orchestrator.domain.commands import JobDeliverable, JobResult
from orchestrator.domain.errors import NotFound
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.plugins import BUILT_IN, build_catalogue
from tests.ledger import ledger
from workflows.registry import DEFINITIONS

CODE_TYPES = {"text/x-python", "text/typescript", "text/x-sql", "text/css", "text/x-shellscript", "text/x-dockerfile"}
BY_ID = {agent.id: agent for agent in AGENTS}
WORKFLOWS = {definition.id: definition for definition in DEFINITIONS}
each_agent = pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.id)
each_workflow = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.id)


# The built-in agents


@ledger("D-009", "D-020")
def test_28_agents_in_seven_squads() -> None:
    assert Counter(agent.squad for agent in AGENTS) == {
        "business": 4,
        "frontend": 4,
        "backend": 5,
        "data": 4,
        "qa": 4,
        "devops": 4,
        "documentation": 3,
    }
    assert len({agent.id for agent in AGENTS}) == len({agent.name for agent in AGENTS}) == 28


@pytest.mark.parametrize(
    ("agent_id", "name", "squad", "capabilities"),
    [
        ("product_manager", "Product Manager", "business", "prd_generation user_stories roadmap prioritization"),
        ("ui_ux_designer", "UI/UX Designer", "frontend", "design_system wireframes user_flows accessibility_audit"),
        ("business_analyst", "Business Analyst", "business", None),
        ("api_architect", "API Architect", "backend", None),
    ],
)
@ledger("D-019")
def test_the_documented_agents(agent_id: str, name: str, squad: str, capabilities: str | None) -> None:
    found = BY_ID[agent_id]

    assert (found.name, found.squad) == (name, squad)
    assert capabilities is None or " ".join(found.capabilities) == capabilities


@ledger("D-022")
def test_the_product_manager_is_published_as_documented() -> None:
    found = BY_ID["product_manager"]
    schema = found.input_schema()

    assert found.description == "Generates PRD, user stories, roadmap"
    assert schema["type"] == "object"
    assert schema["required"] == ["task_type", "context"]
    assert schema["properties"]["task_type"]["type"] == "string"
    assert schema["properties"]["task_type"]["enum"] == ["prd", "user_story", "roadmap", "prioritization"]
    assert schema["properties"]["context"]["type"] == "string"
    assert schema["properties"]["context"]["description"] == "Description of the need"
    assert found.settings.model_dump() == {
        "default_model": "anthropic/claude-3.5-sonnet",
        "default_temperature": 0.7,
        "max_tokens": 4096,
    }
    assert found.pricing.model_dump() == {"per_request": 0.05, "per_1k_tokens": 0.012}


@each_agent
def test_an_agents_published_answer_fits_what_a_job_answers(agent: Agent) -> None:
    schema = agent.output_schema()
    data = agent.output_model(summary="s", output="o").model_dump(mode="json", exclude=set(AgentOutput.model_fields))
    file = JobDeliverable(path="a.md", media_type="text/markdown", content="x", step="execute", agent=agent.id)
    answer = JobResult(output="o", deliverables=[file], metadata={"model": "m", "data": data})

    Draft202012Validator(schema).validate(answer.model_dump(mode="json"))
    types = {name: schema["properties"][name]["type"] for name in ("status", "output", "metadata")}
    assert types == {"status": "string", "output": "string", "metadata": "object"}
    assert set(schema["properties"]["metadata"]["properties"]["data"]["properties"]) == set(data)
    wrong = {**answer.model_dump(mode="json"), "metadata": {"data": {name: {} for name in data}}}
    assert not Draft202012Validator(schema).is_valid(wrong)


@each_agent
def test_an_agent_has_models_of_its_own(agent: Agent) -> None:
    own_fields = set(agent.output_model.model_fields) - set(AgentOutput.model_fields)

    assert 1 <= len(own_fields) <= 4
    assert agent.input_schema()["required"]
    assert agent.input_model.model_config.get("extra") == "allow"
    others = [one for one in AGENTS if one.id != agent.id]
    assert agent.input_model not in [one.input_model for one in others]
    assert agent.output_model not in [one.output_model for one in others]


@each_agent
def test_an_agents_instructions_name_every_promised_file(agent: Agent) -> None:
    own, _, promised = agent.instructions.partition("## Files to deliver")

    assert 15 <= len(own.splitlines()) <= 40
    assert own.startswith(f"# {agent.name}\n")
    assert ARTIFACTS[agent.id]
    assert re.findall(r"^- `([^`]+)`", promised, re.MULTILINE) == [a.path for a in ARTIFACTS[agent.id]]


def test_the_prompt_folder_holds_the_agents_and_nothing_else() -> None:
    folder = Path(sys.modules["orchestrator.agents.prompted"].__file__ or "").parent / "prompts"

    assert {path.name for path in folder.iterdir()} == {f"{agent.id}.md" for agent in AGENTS}
    assert set(ARTIFACTS) == {agent.id for agent in AGENTS}


def test_promised_files_are_valid_and_distinct() -> None:
    files = [artifact for promised in ARTIFACTS.values() for artifact in promised]

    for file in files:
        assert Deliverable(path=file.path, media_type=file.media_type, content="x").path == file.path
    assert len({file.path for file in files}) == len(files)


# The built-in workflows


@ledger("D-033")
def test_ten_workflows_each_in_the_file_of_its_name() -> None:
    folder = Path(importlib.import_module("workflows.definitions").__path__[0])

    assert len(DEFINITIONS) == 10
    assert {definition.source for definition in DEFINITIONS} == {
        f"workflows/definitions/{path.name}" for path in folder.glob("[a-z]*.py")
    }


@each_workflow
def test_a_workflow_is_complete(definition: WorkflowDefinition) -> None:
    assert definition.input_schema["type"] == "object"
    assert set(definition.input_schema["required"]) <= set(definition.input_schema["properties"])
    assert {"status", "output", "deliverables", "metadata"} == set(definition.output_schema["properties"])
    assert re.fullmatch(r"\$\d+\.\d\d-\$\d+\.\d\d", definition.estimated_cost)
    for step in definition.plan.steps:
        assert step.id == re.sub(r"[^a-z0-9]+", "_", step.name.lower())
        assert len(step.instruction) > 60
        assert {BY_ID[agent].squad for agent in step.agents} == {step.squad}
        assert re.fullmatch(r"\d+-\d+ minutes", step.estimated_time)


@each_workflow
def test_steps_come_after_those_they_need_and_work_runs_in_parallel(definition: WorkflowDefinition) -> None:
    steps = definition.plan.steps
    order = [step.id for step in steps]
    sorter = TopologicalSorter({step.id: step.needs for step in steps})
    sorter.prepare()
    waves = 0
    while ready := sorter.get_ready():
        sorter.done(*ready)
        waves += 1

    assert all(order.index(need) < order.index(step.id) for step in steps for need in step.needs)
    assert waves < len(definition.plan.calls()), "nothing runs in parallel"


@pytest.mark.parametrize("id", ["full_stack_development", "api_development", "design_system", "data_platform"])
def test_workflows_that_promise_code_have_agents_that_deliver_it(id: str) -> None:
    agents = {agent for step in WORKFLOWS[id].plan.steps for agent in step.agents}

    assert {a.media_type for agent in agents for a in ARTIFACTS[agent]} & CODE_TYPES


@ledger("D-034", "D-038", "D-041")
def test_full_stack_development_is_as_documented() -> None:
    found = WORKFLOWS["full_stack_development"]
    properties = found.input_schema["properties"]

    assert (found.name, found.description) == ("Full Stack Development", "Complete development of an application")
    assert found.squads == ["business", "frontend", "backend", "data", "qa", "devops"]
    assert (found.agents_count, len(found.plan.steps)) == (18, 6)
    assert (found.estimated_time, found.estimated_cost) == ("20-40 minutes", "$1.00-$2.00")
    assert (found.complexity, found.version) == ("high", "1.0")
    assert found.input_schema["required"] == ["project_name", "description"]
    assert properties["requirements"]["items"] == {"type": "string"}
    assert properties["tech_stack"]["properties"]["frontend"] == {"type": "array", "items": {"type": "string"}}
    assert properties["tech_stack"]["properties"]["backend"] == {"type": "array", "items": {"type": "string"}}


@ledger("D-034", "D-036", "C-57", "C-58")
def test_api_development_is_as_documented() -> None:
    found = WORKFLOWS["api_development"]
    first, second, *_ = found.plan.steps

    assert found.agents_count == len({agent for step in found.plan.steps for agent in step.agents}) > 4
    assert (found.name, found.description) == ("API Development", "Design and development of a REST/GraphQL API")
    assert found.squads == ["business", "backend", "documentation", "qa"]
    assert (found.estimated_time, found.estimated_cost, found.complexity) == ("5-10 minutes", "$0.25-$0.50", "medium")
    assert (first.name, first.squad, first.agents, first.estimated_time) == (
        "Requirements Analysis",
        "business",
        ("product_manager", "business_analyst"),
        "2-3 minutes",
    )
    assert (second.name, second.squad, second.agents, second.estimated_time) == (
        "API Design",
        "backend",
        ("api_architect",),
        "3-5 minutes",
    )
    assert found.input_schema == {
        "type": "object",
        "properties": {
            "api_name": {"type": "string"},
            "description": {"type": "string"},
            "api_type": {"type": "string", "enum": ["rest", "graphql"]},
        },
        "required": ["api_name", "description", "api_type"],
    }


def test_only_the_cutover_waits_for_approval() -> None:
    waiting = [(d.id, step.id) for d in DEFINITIONS for step in d.plan.steps if step.approval]

    assert waiting == [("cloud_migration", "cutover")]


def test_the_built_in_catalogue_stands() -> None:
    catalogue = build_catalogue([BUILT_IN])

    assert (len(catalogue.agents), len(catalogue.workflows)) == (28, 10)
    assert catalogue.agent("api_architect").squad == "backend"
    with pytest.raises(NotFound, match=r"Unknown workflow: market_reserch\. Did you mean 'market_research'\?"):
        catalogue.workflow("market_reserch")
    with pytest.raises(NotFound, match=r"Unknown agent: market_research\. There is a workflow of this id\."):
        catalogue.agent("market_research")
    with pytest.raises(NotFound, match=r"Unknown workflow: nothing$"):
        catalogue.workflow("nothing")
    json.dumps([definition.model_dump(mode="json") for definition in catalogue.workflows.values()])


def test_the_schemas_of_the_built_in_catalogue_are_json_schema() -> None:
    for agent in BUILT_IN.agents:
        Draft202012Validator.check_schema(agent.input_schema())
        Draft202012Validator.check_schema(agent.output_schema())
    for definition in build_catalogue([BUILT_IN]).workflows.values():
        Draft202012Validator.check_schema(definition.input_schema)
        Draft202012Validator.check_schema(definition.output_schema)
