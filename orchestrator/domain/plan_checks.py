"""Checks of a plan before any start: expressions against the types of agents, inputs against their input models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.domain.agents import Agent
from orchestrator.domain.cel import CelFault, CelType, json_type, references, result_type
from orchestrator.domain.expressions import Cel, expression_of, expressions_in
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.plans import FallbackModel, Plan, Step, WorkflowDefinition

_END: Final = {"status": CelType.STRING, "data": CelType.DYN}
_CONDITION: Final = (CelType.BOOL, CelType.DYN)
_LIST: Final = (CelType.LIST, CelType.DYN)

Types = Mapping[str, CelType]


@dataclass(frozen=True, slots=True)
class _Names:
    """What the expressions of a step see: values by step, and names such as `item`."""

    steps: Mapping[str, Types] = field(default_factory=dict)
    others: Types = field(default_factory=dict)

    def typed(self) -> dict[str, CelType]:
        flat = {f"steps.{step}.{name}": kind for step, fields in self.steps.items() for name, kind in fields.items()}
        return {"input": CelType.DYN, **self.others, **flat}

    def having(self, **others: CelType) -> "_Names":
        return replace(self, others={**self.others, **others})


def plan_faults(definition: WorkflowDefinition, agents: Mapping[str, Agent]) -> Iterator[tuple[Step, str]]:
    """The faults of a plan whose agents all exist, each with its step."""
    yield from _Checker(definition, agents).scope(definition.plan.steps, _Names())


def with_squads(plan: Plan, agents: Mapping[str, Agent]) -> Plan:
    """The plan with the squad of its first agent in each step that names none."""

    def named(step: Step) -> Step:
        inner = tuple(named(each) for each in step.steps)
        bodies = [agent for body in step.bodies for agent in body.agents]
        squad = step.squad or next((agents[agent].squad for agent in bodies if agent in agents), "")
        changes: dict[str, Any] = {"squad": squad, **({"steps": inner} if inner else {})}
        return step.model_copy(update=changes) if (squad, inner) != (step.squad, step.steps) else step

    steps = tuple(named(step) for step in plan.steps)
    return plan if steps == plan.steps else plan.model_copy(update={"steps": steps})


class _Checker:
    def __init__(self, definition: WorkflowDefinition, agents: Mapping[str, Agent]) -> None:
        self._agents = agents
        schema = definition.input_schema
        properties = schema.get("properties")
        self._inputs = properties if isinstance(properties, dict) and properties else None

    def scope(self, steps: Sequence[Step], around: _Names) -> Iterator[tuple[Step, str]]:
        """The faults of steps that run together."""
        for step in steps:
            earlier = {other.id: self._fields(other) for other in steps if other.id in _ancestors(step, steps)}
            names = replace(around, steps={**around.steps, **earlier})
            if step.needs:
                names = names.having(ran=CelType.LIST)
            if any(other.goto == step.id for other in steps):
                names = names.having(error=CelType.DYN)
            for fault in self._step(step, names):
                yield step, fault
            if step.steps:
                yield from self.scope(step.steps, _inside(step, names))

    def _step(self, step: Step, names: _Names) -> Iterator[str]:
        inside = _inside(step, names)
        item = names.having(item=CelType.DYN)
        yield from self._expression("when", step.when, names, _CONDITION)
        yield from self._expression("for_each", step.for_each, names, _LIST)
        yield from self._expression("key", step.key, item, (CelType.STRING, CelType.NUMBER, CelType.DYN))
        if isinstance(step.delay, Cel):
            yield from self._expression("delay", step.delay, names, (CelType.NUMBER, CelType.DYN))
        if isinstance(step.until_time, Cel):
            yield from self._expression("until_time", step.until_time, names, (CelType.STRING, CelType.DYN))
        if step.repeat is not None:
            ends = {inner.id: self._fields(inner) for inner in step.steps} or {step.id: self._own(step)}
            round = replace(inside, steps={**inside.steps, **ends})
            yield from self._expression("repeat.until", step.repeat.until, round, _CONDITION)
        if step.input is not None:
            yield from self._input(step, inside)
        if step.ask is not None and step.ask.show is not None:
            for expression in expressions_in(step.ask.show):
                yield from self._expression("ask.show", Cel(cel=expression), inside, tuple(CelType))
        for other in step.fallback:
            if not isinstance(other, FallbackModel) and other not in self._agents:
                yield f"unknown fallback agent {other}.{near_match(other, self._agents)}"

    def _input(self, step: Step, names: _Names) -> Iterator[str]:
        """Faults of the mapped input: of its expressions, and for the input models of the step's agents."""
        kinds: dict[str, CelType] = {}
        template = step.input or {}
        for expression in expressions_in(template):
            yield from self._expression("input", Cel(cel=expression), names, tuple(CelType))
        if expression_of(template) is not None:
            return
        for name, value in template.items():
            text = expression_of(value)
            if text is not None:
                kinds[name] = self._kind(text, names)
        candidates = [*step.agents, *(other for other in step.fallback if isinstance(other, str))]
        for agent in (self._agents[id] for id in candidates if id in self._agents):
            yield from _input_faults(agent, template, kinds)

    def _expression(self, what: str, expression: Cel | None, names: _Names, kinds: Sequence[CelType]) -> Iterator[str]:
        if expression is None:
            return
        text = expression.cel
        if unknown := sorted(references(text, "steps") - names.steps.keys()):
            hint = near_match(unknown[0], names.steps) or " Add it to needs, or name a step that this one needs."
            yield f"{what} {text!r}: step {unknown[0]!r} is not a step that runs before this one.{hint}"
            return
        if self._inputs is not None and (unknown := sorted(references(text, "input") - self._inputs.keys())):
            hint = near_match(unknown[0], self._inputs)
            yield f"{what} {text!r}: the workflow's input has no field {unknown[0]!r}.{hint}"
            return
        try:
            kind = self._type(text, names)
        except CelFault as fault:
            yield f"{what} {text!r}: {fault}"
            return
        if kind not in kinds:
            yield f"{what} {text!r} gives a {kind.value}: expected {kinds[0].value}"

    def _type(self, expression: str, names: _Names) -> CelType:
        """The type of the value. That of `input.x` alone is in the schema. Raises `CelFault`."""
        root, _, name = expression.strip().partition(".")
        if root == "input" and self._inputs is not None and name in self._inputs:
            return json_type(self._inputs[name])
        return result_type(expression, names.typed())

    def _kind(self, expression: str, names: _Names) -> CelType:
        try:
            return self._type(expression, names)
        except CelFault:  # reported where the expression is checked
            return CelType.DYN

    def _fields(self, step: Step) -> Types:
        """The values of a step that has ended."""
        if step.for_each is not None:
            return _END
        return {**self._own(step), **_END}

    def _own(self, step: Step) -> dict[str, CelType]:
        if step.steps:
            fields: dict[str, CelType] = {}
            for inner in step.steps:
                fields |= {f"{inner.id}.{name}": kind for name, kind in self._fields(inner).items()}
            return {**fields, **({"rounds": CelType.DYN} if step.repeat else {})}
        if step.workflow is not None:
            return {"output": CelType.STRING, "summary": CelType.STRING, "deliverables": CelType.LIST}
        if step.ask is not None:
            return {name: json_type(each) for name, each in step.ask.form.get("properties", {}).items()}
        agents = [(id, self._agents[id]) for id in step.agents if id in self._agents]
        if len(step.agents) == 1:
            return _output_types(agents[0][1]) if agents else {}
        return {f"{id}.{name}": kind for id, agent in agents for name, kind in _output_types(agent).items()}


def _inside(step: Step, names: _Names) -> _Names:
    """The names of a step's own body: its item, its round."""
    if step.for_each is not None:
        names = names.having(item=CelType.DYN, key=CelType.STRING)
    if step.repeat is not None:
        names = names.having(round=CelType.DYN, previous=CelType.DYN)
    return names


def _ancestors(step: Step, steps: Sequence[Step]) -> set[str]:
    """The steps that end before this one begins, those before them included; of a handler, what failed into it."""
    by_id = {other.id: other for other in steps}
    ancestors: set[str] = set()
    open_ids = [*step.needs, *(other.id for other in steps if other.goto == step.id)]
    while open_ids:
        id = open_ids.pop()
        if id not in ancestors and id in by_id:
            ancestors.add(id)
            open_ids += by_id[id].needs
    return ancestors


def _output_types(agent: Agent) -> dict[str, CelType]:
    schema = agent.output_model.model_json_schema()
    fields = {name: json_type(each) for name, each in schema.get("properties", {}).items()}
    return {**fields, "summary": CelType.STRING, "output": CelType.STRING, "deliverables": CelType.LIST}


def _input_faults(agent: Agent, template: Mapping[str, Any], kinds: Types) -> Iterator[str]:
    """Faults of a mapping for one agent: unknown and missing fields, and types that can never fit."""
    schema = agent.input_schema()
    properties: Mapping[str, Any] = schema.get("properties", {})
    open_model = not properties or schema.get("additionalProperties") is True
    unknown = sorted(set(template) - set(properties))
    if unknown and not open_model:
        yield f"input: agent {agent.id!r} has no input {unknown[0]!r}.{near_match(unknown[0], properties)}"
    missing = sorted(set(schema.get("required", ())) - set(template))
    if missing:
        yield f"input: agent {agent.id!r} needs {', '.join(missing)}: add it to the mapping"
    for name, kind in kinds.items():
        expected = json_type(properties.get(name, {}))
        if CelType.DYN not in (kind, expected) and kind is not expected:
            yield f"input: {name} is a {kind.value}, but agent {agent.id!r} expects a {expected.value}"
    for name, value in template.items():
        if name not in kinds and not any(expressions_in(value)):
            yield from _literal_faults(agent, name, value)


def _literal_faults(agent: Agent, name: str, value: Any) -> Iterator[str]:
    """The fault of a literal that the field of the agent's input model can never take."""
    fields = agent.input_model.model_fields.items()
    field = next((each for key, each in fields if name in (key, each.alias, each.validation_alias)), None)
    if field is None:
        return
    kind: Any = Annotated[field.annotation, field]
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as fault:
        yield f"input: {name} cannot be {value!r} for agent {agent.id!r}: {fault.errors()[0]['msg']}"
