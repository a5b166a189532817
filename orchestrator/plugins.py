"""Loads plugins and checks the catalogue that they form together (A13)."""

import functools
import inspect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from orchestrator.agents.registry import AGENTS, UNLISTED
from orchestrator.author_modules import import_fault, import_module
from orchestrator.authoring_faults import at_line, invalid_definition, unknown_agents
from orchestrator.domain.agents import Agent, AgentFunction
from orchestrator.domain.catalogue import Catalogue, CodeWorkflow, Plugin
from orchestrator.domain.commands import JobResult
from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.json_schema import schema_fault
from orchestrator.domain.names import OWN_ACTIVITIES
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.plan_checks import plan_faults, with_squads
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.domain.schemas import has_schema
from orchestrator.domain.text import error_message
from orchestrator.domain.tools import AgentTool, AskPerson, Tool
from orchestrator.engine.workflow_types import returns_nothing, signals_of, workflow_type
from orchestrator.logs import log_details_of
from workflows.registry import DEFINITIONS, WORKFLOWS

ENTRY_POINT_GROUP: Final = "orchestrator.plugins"
BUILT_IN: Final = Plugin(name="built-in", agents=(*AGENTS, *UNLISTED), workflows=DEFINITIONS)
_KINDS: Final = {"agents": Agent, "workflows": WorkflowDefinition, "code_workflows": CodeWorkflow, "activities": object}
_NO_SOURCE: Final = "built-in"
_INSTALLED: Final = (
    "Plugins of installed packages are loaded by their entry points: name only others in ORCHESTRATOR_PLUGINS"
)


def load_plugins(modules: Sequence[str]) -> list[Plugin]:
    """The built-in plugin, the plugins of installed packages (entry points), and the plugin of each named module.

    A module is named as `package.module`, with the attribute `plugin`, or as `package.module:attribute`.
    A plugin that is found in two of these ways is loaded once.
    Raises `CatalogueError` if a module cannot be imported, has no `plugin`, or defines something invalid.
    """
    plugins = [BUILT_IN]
    places = [_from_entry_point(point) for point in entry_points(group=ENTRY_POINT_GROUP)]
    places += [_from_setting(name) for name in modules]
    originals: list[object] = []
    for module, attribute in places:
        plugin = getattr(module, attribute, None)
        if not isinstance(plugin, Plugin):
            raise CatalogueError(_file(module), f"has no top-level {attribute!r} of type orchestrator Plugin")
        if not any(plugin is original for original in originals):
            originals.append(plugin)
            plugins.append(_with_source(plugin, _file(module)))
    return plugins


def build_catalogue(plugins: Sequence[Plugin]) -> Catalogue:
    """The catalogue of all plugins, checked as a whole.

    Raises `CatalogueError` with the file and the fault: ids that are not unique or are the type of a workflow class,
    steps with unknown agents, schemas that are not JSON Schema, agents without instructions and function, classes whose
    type is not their entry's id, built-in agents that no workflow uses.
    """
    agents = [agent for plugin in plugins for agent in plugin.agents]
    code = tuple(entry for plugin in plugins for entry in plugin.code_workflows)
    declared = [definition for plugin in plugins for definition in plugin.workflows]
    definitions = [*declared, *(entry.definition for entry in code)]
    _check_unique("agent", agents)
    _check_unique("workflow", definitions)
    for agent in agents:
        _check_agent(agent)
        _check_agent_tools(agent, {other.id for other in agents})
    for definition in definitions:
        _check_workflow(definition, {agent.id: agent for agent in agents}, {other.id for other in definitions})
    for plugin in plugins:
        if plugin is not BUILT_IN:  # A test checks the built-in schemas: here it would cost 0.3 seconds at each start.
            _check_schemas(plugin)
    _check_code(declared, code)
    _check_types([*agents, *declared], [*WORKFLOWS, *(entry.workflow for entry in code)])
    if any(plugin is BUILT_IN for plugin in plugins):
        _check_used(BUILT_IN.agents, definitions)
    return Catalogue(
        agents={agent.id: agent for agent in agents if agent.listed},
        unlisted={agent.id: agent for agent in agents if not agent.listed},
        workflows={definition.id: _described(definition, agents) for definition in definitions},
        code_workflows=tuple(map(_with_signals, code)),
        activities=tuple(activity for plugin in plugins for activity in plugin.activities),
    )


def _import(name: str) -> ModuleType:
    log_details_of(name)
    try:
        return import_module(name)
    except CatalogueError:
        raise
    except (ImportError, SyntaxError) as error:
        raise CatalogueError(name, f"cannot be imported: {error_message(error)}") from error
    except ValidationError as error:
        raise invalid_definition(error, name) from error
    except Exception as error:  # the edge of author code, which may raise anything
        raise CatalogueError(name, import_fault(error)) from error


def _from_entry_point(point: EntryPoint) -> tuple[ModuleType, str]:
    return _import(point.module), point.attr or "plugin"


def _from_setting(name: str) -> tuple[ModuleType, str]:
    """The place of a plugin that is named as `package.module`, or as `package.module:attribute` like an entry point."""
    module, _, attribute = name.partition(":")
    return _import(module), attribute or "plugin"


def _file(module: ModuleType) -> str:
    return module.__file__ or module.__name__


def _with_source(plugin: Plugin, file: str) -> Plugin:
    """The plugin with its file as the source of entries without one. Raises `CatalogueError` for a wrong type."""
    for name, kind in _KINDS.items():
        _check_kind(file, name, getattr(plugin, name), kind)

    def named(definition: WorkflowDefinition) -> WorkflowDefinition:
        return definition.model_copy(update={"source": file}) if definition.source == _NO_SOURCE else definition

    return replace(
        plugin,
        agents=tuple(a.model_copy(update={"source": file}) if a.source == _NO_SOURCE else a for a in plugin.agents),
        workflows=tuple(map(named, plugin.workflows)),
        code_workflows=tuple(replace(entry, definition=named(entry.definition)) for entry in plugin.code_workflows),
    )


def _check_kind(file: str, name: str, entries: object, kind: type) -> None:
    if not isinstance(entries, tuple | list):
        fault = f"`{name}` of the plugin is a {type(entries).__name__}: use a tuple, also for one entry: ({name[:-1]},)"
        raise CatalogueError(file, fault)
    for entry in entries:
        if not isinstance(entry, kind):
            fault = f"`{name}` of the plugin contains a {type(entry).__name__}: expected {kind.__name__}"
            raise CatalogueError(file, fault)


def _check_unique(what: str, entries: Sequence[Agent | WorkflowDefinition]) -> None:
    counts = Counter(entry.id for entry in entries)
    for entry in reversed(entries):
        if counts[entry.id] > 1:
            sources = sorted({other.source for other in entries if other.id == entry.id})
            fault = f"{what} id {entry.id!r} is defined twice (in {', '.join(sources)})"
            if len(sources) > 1:
                fault += f". {_INSTALLED}"
            raise at_line(entry.source, fault, entry.id)


def _check_agent(agent: Agent) -> None:
    if agent.id in OWN_ACTIVITIES:
        raise at_line(agent.source, f"agent id {agent.id!r} is reserved by the engine: choose another id", agent.id)
    if agent.function is None and not agent.instructions.strip():
        raise at_line(agent.source, f"agent {agent.id!r} has neither instructions nor a function", agent.id)
    if agent.function is not None and (fault := _function_fault(agent.function)):
        raise at_line(agent.source, f"agent {agent.id!r}: its function {fault}", agent.id)


def _check_agent_tools(agent: Agent, agent_ids: set[str]) -> None:
    """Check that the agents exist that an agent has as tools."""
    for tool in agent.tools:
        if isinstance(tool, AgentTool) and tool.agent not in agent_ids:
            fault = f"agent {agent.id!r} has an unknown agent as a tool: {tool.agent}"
            raise at_line(agent.source, f"{fault}.{near_match(tool.agent, agent_ids)}", tool.agent, agent.id)


def _function_fault(function: AgentFunction) -> str | None:
    """Why an agent's function can never return an answer, or None. Checked before the first call."""
    target = function
    while isinstance(target, functools.partial):
        target = target.func
    function_code = target if inspect.isroutine(target) else getattr(target, "__call__", target)  # noqa: B004 - for its code
    if inspect.isgeneratorfunction(function_code) or inspect.isasyncgenfunction(function_code):
        return "is a generator (it has a yield): it must return one AgentOutput"
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        return f"cannot be called with one FunctionCall: {error}"
    except ValueError:  # a function in C without a signature
        return None
    return None


def _check_workflow(definition: WorkflowDefinition, agents: Mapping[str, Agent], workflow_ids: set[str]) -> None:
    for step in definition.plan.all_steps():
        where = f"workflow {definition.id!r}, step {step.id!r}"
        unknown = sorted(set(step.agents) - agents.keys())
        if unknown:
            fault = unknown_agents(unknown, agents, workflow_ids)
            raise at_line(definition.source, f"{where}: {fault}", *unknown, definition.id)
        acting = [agent for agent in step.agents if agents[agent].acts or agents[agent].fallback_models]
        if step.short and acting:
            fault = f"it is short, but {acting[0]} has tools or fallback models: remove short=True"
            raise at_line(definition.source, f"{where}: {fault}", definition.id)
        if step.workflow is not None and step.workflow not in workflow_ids:
            fault = f"unknown workflow {step.workflow!r}.{near_match(step.workflow, workflow_ids)}"
            raise at_line(definition.source, f"{where}: {fault}", step.workflow, definition.id)
    if definition.plan.decides:
        for step, fault in plan_faults(definition, agents):
            where = f"workflow {definition.id!r}, step {step.id!r}"
            raise at_line(definition.source, f"{where}: {fault}", step.id, definition.id)


def _check_schemas(plugin: Plugin) -> None:
    for agent in plugin.agents:
        try:
            schemas = {"input": agent.input_schema(), "output": agent.output_schema()}
        except PydanticUserError as error:
            raise CatalogueError(
                agent.source, f"agent {agent.id!r} has a model without a schema: {error.message}"
            ) from error
        except BaseException as error:  # the edge of author code: a model may build its schema itself
            fault = f"agent {agent.id!r} has a model without a schema: {type(error).__name__}: {error}"
            raise CatalogueError(agent.source, fault) from error
        for which, schema in schemas.items():
            _check_schema(schema, agent.source, f"{which} schema of agent {agent.id!r}")
        for tool in agent.tools:
            if isinstance(tool, Tool):
                _check_schema(tool.signature.schema(), agent.source, f"schema of tool {tool.name!r} of {agent.id!r}")
        for toolset in agent.toolsets:
            if isinstance(toolset, AskPerson):
                _check_schema(toolset.form.model_json_schema(), agent.source, f"form of agent {agent.id!r}")
    for definition in (*plugin.workflows, *(entry.definition for entry in plugin.code_workflows)):
        _check_schema(definition.input_schema, definition.source, f"input schema of workflow {definition.id!r}")
        _check_schema(definition.output_schema, definition.source, f"output schema of workflow {definition.id!r}")
        for step in definition.plan.all_steps():
            if step.ask is not None:
                where = f"workflow {definition.id!r}, step {step.id!r}: its form"
                _check_schema(step.ask.form, definition.source, where)


def _check_schema(schema: dict[str, Any], source: str, what: str) -> None:
    if fault := schema_fault(schema):
        raise CatalogueError(source, f"{what} {fault}")


def _check_code(declared: Iterable[WorkflowDefinition], code: Iterable[CodeWorkflow]) -> None:
    for definition in declared:
        if definition.code:
            fault = f"workflow {definition.id!r} has code=True but no class: list it in code_workflows"
            raise at_line(definition.source, fault, definition.id)
    for entry in code:
        if not entry.definition.code:
            fault = f"workflow {entry.definition.id!r} has a class: set code=True in its definition"
            raise at_line(entry.definition.source, fault, entry.definition.id)

        if workflow_type(entry.workflow) != entry.definition.id:
            decorator = f"@workflow.defn(name={entry.definition.id!r})"
            fault = (
                f"workflow {entry.definition.id!r}: class {entry.workflow.__name__} must be decorated with {decorator}"
            )
            raise at_line(entry.definition.source, fault, entry.definition.id)
        if returns_nothing(entry.workflow):
            fault = (
                f"workflow {entry.definition.id!r}: class {entry.workflow.__name__} returns nothing (`-> None`): "
                "return the job's result, for example `-> JobResult` with flow.result(answer)"
            )
            raise at_line(entry.definition.source, fault, entry.definition.id)


def _with_signals(entry: CodeWorkflow) -> CodeWorkflow:
    """The entry with the signals that its class declares. Raises `CatalogueError` for a signal that it does not."""
    signals = signals_of(entry.workflow)
    unknown = sorted(entry.signals.keys() - signals.keys())
    if unknown:
        fault = (
            f"workflow {entry.definition.id!r}: class {entry.workflow.__name__} has no signal {unknown[0]!r}; "
            f"it declares: {', '.join(sorted(signals)) or 'none'}"
        )
        raise CatalogueError(entry.definition.source, fault)
    readable = {name: kind for name, kind in {**signals, **entry.signals}.items() if has_schema(kind)}
    return replace(entry, signals=readable)


def _check_types(interpreted: Iterable[Agent | WorkflowDefinition], classes: Iterable[type]) -> None:
    """Check that no class has the id of an interpreted workflow or agent as its type: it would run in its place."""
    class_by_type = {workflow_type(workflow): workflow for workflow in classes}
    for entry in interpreted:
        if entry.id in class_by_type:
            fault = f"id {entry.id!r} is taken by the workflow class {class_by_type[entry.id].__name__}"
            raise at_line(entry.source, fault, entry.id)


def _described(definition: WorkflowDefinition, agents: Iterable[Agent]) -> WorkflowDefinition:
    """The definition with the squads of its steps and an output schema: the author's, or that of every job's result."""
    plan = with_squads(definition.plan, {agent.id: agent for agent in agents})
    schema = definition.output_schema or JobResult.model_json_schema()
    return definition.model_copy(update={"plan": plan, "output_schema": schema})


def _check_used(agents: Iterable[Agent], definitions: Iterable[WorkflowDefinition]) -> None:
    used = {agent for definition in definitions for step in definition.plan.all_steps() for agent in step.agents}
    for agent in agents:
        if agent.listed and agent.id not in used:
            raise CatalogueError(agent.source, f"agent {agent.id!r} is used by no workflow")
