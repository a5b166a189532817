"""Plugins: what they are loaded from, and the check of everything that they bring together (A13)."""

import functools
import inspect
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from orchestrator.agents.registry import AGENTS, UNLISTED
from orchestrator.author_modules import import_fault, import_module
from orchestrator.domain.agents import Agent, AgentFunction
from orchestrator.domain.catalogue import Catalogue, CodeWorkflow, Plugin
from orchestrator.domain.commands import JobResult
from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.names import OWN_ACTIVITIES
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.domain.text import error_message
from orchestrator.engine.workflow_types import workflow_type
from orchestrator.logs import log_details_of
from workflows.registry import DEFINITIONS, WORKFLOWS

ENTRY_POINT_GROUP: Final = "orchestrator.plugins"
BUILT_IN: Final = Plugin(name="built-in", agents=(*AGENTS, *UNLISTED), workflows=DEFINITIONS)
_KINDS: Final = {"agents": Agent, "workflows": WorkflowDefinition, "code_workflows": CodeWorkflow, "activities": object}
_NO_SOURCE: Final = "built-in"


def load_plugins(modules: Sequence[str]) -> list[Plugin]:
    """The built-in plugin, those of installed packages (entry points), and the `plugin` of each module named.

    A plugin that is found in two of these ways counts once.
    Raises `CatalogueError` when one cannot be imported, has no `plugin`, or defines something invalid.
    """
    loaded = [BUILT_IN]
    found = [_from_entry_point(point) for point in entry_points(group=ENTRY_POINT_GROUP)]
    found += [(_import(name), "plugin") for name in modules]
    seen: list[object] = []
    for module, attribute in found:
        plugin = getattr(module, attribute, None)
        if not isinstance(plugin, Plugin):
            raise CatalogueError(_file(module), f"has no top-level {attribute!r} of type orchestrator Plugin")
        if not any(plugin is one for one in seen):
            seen.append(plugin)
            loaded.append(_with_source(plugin, _file(module)))
    return loaded


def build_catalogue(plugins: Sequence[Plugin]) -> Catalogue:
    """Everything that the plugins add, checked as a whole.

    Raises `CatalogueError`, which names the file and the fault: ids that are not unique or would start another
    workflow's class, steps that name unknown agents, schemas that are not JSON Schema, agents with nothing to run,
    classes that do not run under their entry's id, built-in agents that no workflow uses.
    """
    agents = [agent for plugin in plugins for agent in plugin.agents]
    code = tuple(entry for plugin in plugins for entry in plugin.code_workflows)
    declared = [definition for plugin in plugins for definition in plugin.workflows]
    definitions = [*declared, *(entry.definition for entry in code)]
    _check_unique("agent", agents)
    _check_unique("workflow", definitions)
    for agent in agents:
        _check_agent(agent)
    for definition in definitions:
        _check_workflow(definition, {agent.id for agent in agents})
    for plugin in plugins:
        if plugin is not BUILT_IN:  # A test checks the built-in ones, which would take each start 0.3 seconds.
            _check_schemas(plugin)
    _check_code(declared, code)
    _check_types([*agents, *declared], [*WORKFLOWS, *(entry.workflow for entry in code)])
    if any(plugin is BUILT_IN for plugin in plugins):
        _check_used(BUILT_IN.agents, definitions)
    return Catalogue(
        agents={agent.id: agent for agent in agents if agent.listed},
        unlisted={agent.id: agent for agent in agents if not agent.listed},
        workflows={definition.id: _described(definition) for definition in definitions},
        code_workflows=code,
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
        raise CatalogueError(_faulty_file(error, name), _fault(error)) from error
    except Exception as error:  # the edge to an author's code, which can raise anything
        raise CatalogueError(name, import_fault(error)) from error


def _from_entry_point(point: EntryPoint) -> tuple[ModuleType, str]:
    return _import(point.module), point.attr or "plugin"


def _file(module: ModuleType) -> str:
    return module.__file__ or module.__name__


def _faulty_file(error: ValidationError, default: str) -> str:
    """The file whose top-level code made the invalid object: the innermost module frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.filename for frame in reversed(frames) if frame.name == "<module>"), default)


def _fault(error: ValidationError) -> str:
    places = ((".".join(map(str, one["loc"])), one["msg"]) for one in error.errors())
    return f"{error.title}: " + "; ".join(f"{place}: {message}" if place else message for place, message in places)


def _with_source(plugin: Plugin, file: str) -> Plugin:
    """The plugin with its file as the source of all that names none. Raises `CatalogueError` for another kind."""
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
        fault = f"`{name}` of the plugin is {type(entries).__name__}: it takes a tuple, also for one: ({name[:-1]},)"
        raise CatalogueError(file, fault)
    for entry in entries:
        if not isinstance(entry, kind):
            fault = f"`{name}` of the plugin holds {type(entry).__name__} where {kind.__name__} belongs"
            raise CatalogueError(file, fault)


def _check_unique(what: str, entries: Sequence[Agent | WorkflowDefinition]) -> None:
    counts = Counter(entry.id for entry in entries)
    for entry in reversed(entries):
        if counts[entry.id] > 1:
            sources = sorted({one.source for one in entries if one.id == entry.id})
            raise CatalogueError(entry.source, f"{what} id {entry.id!r} is defined twice (in {', '.join(sources)})")


def _check_agent(agent: Agent) -> None:
    if agent.id in OWN_ACTIVITIES:
        raise CatalogueError(agent.source, f"agent id {agent.id!r} is the name of an activity of the engine's own")
    if agent.function is None and not agent.instructions.strip():
        raise CatalogueError(agent.source, f"agent {agent.id!r} has neither instructions nor a function")
    if agent.function is not None and (fault := _function_fault(agent.function)):
        raise CatalogueError(agent.source, f"agent {agent.id!r}: its function {fault}")


def _function_fault(function: AgentFunction) -> str | None:
    """Why an agent's function can never answer, found before it has an effect; None if it can."""
    target = function
    while isinstance(target, functools.partial):
        target = target.func
    called = target if inspect.isroutine(target) else getattr(target, "__call__", target)  # noqa: B004 - its code
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        return "is a generator (it has a yield): it must return one AgentOutput"
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        return f"cannot be called with one FunctionCall: {error}"
    except ValueError:  # a function in C that does not tell
        return None
    return None


def _check_workflow(definition: WorkflowDefinition, known: set[str]) -> None:
    for step in definition.plan.steps:
        unknown = sorted(set(step.agents) - known)
        if unknown:
            fault = f"workflow {definition.id!r}, step {step.id!r}: unknown agents: {', '.join(unknown)}"
            raise CatalogueError(definition.source, fault)


def _check_schemas(plugin: Plugin) -> None:
    for agent in plugin.agents:
        try:
            schemas = {"input": agent.input_schema(), "output": agent.output_schema()}
        except PydanticUserError as error:
            raise CatalogueError(
                agent.source, f"agent {agent.id!r} has a model without a schema: {error.message}"
            ) from error
        except BaseException as error:  # the edge to an author's code: a model may write its schema itself
            fault = f"agent {agent.id!r} has a model without a schema: {type(error).__name__}: {error}"
            raise CatalogueError(agent.source, fault) from error
        for which, schema in schemas.items():
            _check_schema(schema, agent.source, f"{which} schema of agent {agent.id!r}")
    for definition in (*plugin.workflows, *(entry.definition for entry in plugin.code_workflows)):
        _check_schema(definition.input_schema, definition.source, f"input schema of workflow {definition.id!r}")
        _check_schema(definition.output_schema, definition.source, f"output schema of workflow {definition.id!r}")


def _check_schema(schema: dict[str, Any], source: str, what: str) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise CatalogueError(source, f"{what} is not JSON Schema: at {error.json_path}: {error.message}") from error


def _check_code(declared: Iterable[WorkflowDefinition], code: Iterable[CodeWorkflow]) -> None:
    for definition in declared:
        if definition.code:
            fault = f"workflow {definition.id!r} says code=True but comes without a class; list it in code_workflows"
            raise CatalogueError(definition.source, fault)
    for entry in code:
        if not entry.definition.code:
            fault = f"workflow {entry.definition.id!r} has a class of its own: its definition must say code=True"
            raise CatalogueError(entry.definition.source, fault)

        if workflow_type(entry.workflow) != entry.definition.id:
            wanted = f"@workflow.defn(name={entry.definition.id!r})"
            fault = f"workflow {entry.definition.id!r}: class {entry.workflow.__name__} must be decorated with {wanted}"
            raise CatalogueError(entry.definition.source, fault)


def _check_types(interpreted: Iterable[Agent | WorkflowDefinition], classes: Iterable[type]) -> None:
    """What is started under its own id to be interpreted must not find a class of that name."""
    taken = {workflow_type(one): one for one in classes}
    for entry in interpreted:
        if entry.id in taken:
            fault = f"id {entry.id!r} is taken by the workflow class {taken[entry.id].__name__}"
            raise CatalogueError(entry.source, fault)


def _described(definition: WorkflowDefinition) -> WorkflowDefinition:
    """The definition with an output schema: what every job answers, unless the author says more."""
    if definition.output_schema:
        return definition
    return definition.model_copy(update={"output_schema": JobResult.model_json_schema()})


def _check_used(agents: Iterable[Agent], definitions: Iterable[WorkflowDefinition]) -> None:
    used = {agent for definition in definitions for step in definition.plan.steps for agent in step.agents}
    for agent in agents:
        if agent.listed and agent.id not in used:
            raise CatalogueError(agent.source, f"agent {agent.id!r} is used by no workflow")
