"""What a plan does, written as a second, sequential program: random plans, and the calls that each of them makes."""

import random
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any
from zlib import crc32

from orchestrator.domain.expressions import cel
from orchestrator.domain.plans import Plan, Repeat, RetryPolicy, Step

SEED = {"seed": cel("input.seed"), "child": ""}
CHILD = "random_child"
CHILD_STEPS = ("c0", "c1")
ONCE = RetryPolicy(initial_interval=0.05, maximum_attempts=1)


def flag_of(place: str) -> bool:
    """The answer `flag` of the call in a place."""
    return crc32(f"flag {place}".encode()) % 2 == 0


def names_of(place: str) -> list[str]:
    """The answer `names` of the call in a place."""
    return ["x", "y", "z"][: crc32(f"names {place}".encode()) % 4]


def place_of(step: str, key: str) -> str:
    return f"{step}[{key}]" if key else step


class NoValue(Exception):
    """A step fails: its agent does, or an expression has no value."""


@dataclass
class Model:
    """Walks a plan one step after the other. `made` are the calls, those of children by the place of the child; `ended`
    says of each child whether it succeeded; `successes` counts calls and children.
    """

    fails: set[str]
    names: list[str]
    made: list[str] = field(default_factory=list)
    ended: dict[str, bool] = field(default_factory=dict)
    successes: int = 0
    failures: int = 0

    def run(self, plan: Plan) -> "Model":
        self.scope(plan.steps, "", {})
        return self

    def scope(self, steps: tuple[Step, ...], key: str, around: dict[str, Any]) -> dict[str, Any]:
        """The ends of steps: a value, or one of the words failed, skipped and handled. Raises `NoValue`."""
        sources = {step.id: [other.id for other in steps if other.goto == step.id] for step in steps}
        order = TopologicalSorter({step.id: [*step.needs, *sources[step.id]] for step in steps}).static_order()
        ends: dict[str, Any] = {}
        for step in (next(step for step in steps if step.id == id) for id in order):
            ends[step.id] = self.end(step, key, {**around, **ends}, sources[step.id])
        return ends

    def end(self, step: Step, key: str, ends: dict[str, Any], sources: list[str]) -> Any:
        if sources and not any(ends[source] == "handled" for source in sources):
            return "skipped"
        ran = sum(ends[need] not in ("skipped", "handled") for need in step.needs)
        if ran < (min(1, len(step.needs)) if step.join == "any" else len(step.needs)):
            return "skipped"
        try:
            if step.when is not None and not self.flag(step.when.cel, ends):
                return "skipped"
            return self.items(step, key, ends) if step.for_each else self.once(step, key, ends)
        except NoValue:
            if step.on_error is None:
                raise
            self.failures += step.on_error == "continue"
            return "handled" if step.on_error == "goto" else "failed"

    def flag(self, expression: str, ends: dict[str, Any]) -> bool:
        """The value of `steps.x.flag`, or of its negation."""
        end = ends[expression.lstrip("!").split(".")[1]]
        if not isinstance(end, dict):
            raise NoValue(expression)
        return bool(end["flag"]) != expression.startswith("!")

    def items(self, step: Step, key: str, ends: dict[str, Any]) -> dict[str, Any]:
        names = self.names
        if step.for_each is not None and step.for_each.cel != "input.names":
            end = ends[step.for_each.cel.split(".")[1]]
            if not isinstance(end, dict):
                raise NoValue(step.for_each.cel)
            names = end["names"]
        for name in names:
            try:
                self.once(step, f"{key}/{name}" if key else name, ends)
            except NoValue:
                self.failures += 1
        return {}

    def once(self, step: Step, key: str, ends: dict[str, Any]) -> dict[str, Any]:
        if step.repeat is None:
            return self.body(step, key, ends)
        for number in range(1, step.repeat.max_rounds + 1):
            inner = self.body(step, f"{key}/{number}" if key else str(number), ends)
            if self.flag(step.repeat.until.cel, inner):
                return inner
        if step.repeat.on_limit == "fail":
            raise NoValue(step.id)
        return inner

    def body(self, step: Step, key: str, ends: dict[str, Any]) -> dict[str, Any]:
        if step.steps:
            return self.scope(step.steps, key, ends)
        place = place_of(step.id, key)
        if step.workflow:
            self.child(place)
            return {}
        self.made.append(f"{place}/oracle")
        if place in self.fails:
            if not step.fallback:
                raise NoValue(place)
            self.made.append(f"{place}/spare")
        self.successes += 1
        return {"flag": flag_of(place), "names": names_of(place)}

    def child(self, place: str) -> None:
        """The calls of a child job, which ends with the first of them that fails."""
        for step in CHILD_STEPS:
            self.made.append(f"{place}:{step}/oracle")
            if f"{place}:{step}" in self.fails:
                self.ended[place] = False
                raise NoValue(place)
        self.ended[place] = True
        self.successes += 1


def child_plan() -> Plan:
    """The plan of every child: two calls, which know the place of the child in its parent."""
    first, second = CHILD_STEPS
    input = {"seed": cel("input.seed"), "child": cel("input.child")}
    steps = (
        Step(id=first, agents=("oracle",), input=input, retry=ONCE),
        Step(id=second, agents=("oracle",), input=input, needs=(first,), retry=ONCE),
    )
    return Plan(steps=steps)


def random_plan(seed: int) -> tuple[Plan, set[str]]:
    """A plan, and the places whose agent fails."""
    rng = random.Random(seed)
    steps: list[Step] = []
    plain: list[str] = []
    for number in range(rng.randint(2, 5)):
        id = f"s{number}"
        needs = tuple(sorted(rng.sample([step.id for step in steps], min(len(steps), rng.randint(0, 2)))))
        typed = [need for need in needs if need in plain]
        more: dict[str, Any] = {"needs": needs, "on_error": "continue", "retry": ONCE}
        if len(needs) > 1 and rng.random() < 0.4:
            more["join"] = "any"
        elif typed and rng.random() < 0.5:
            more["when"] = cel(rng.choice(("", "!")) + f"steps.{rng.choice(typed)}.flag")
        kind = rng.choice(("plain", "plain", "items", "rounds", "both", "fallback", "child", "children"))
        if kind in ("items", "both", "children"):
            source = f"steps.{typed[0]}.names" if typed and "join" not in more and rng.random() < 0.5 else "input.names"
            more |= {"for_each": cel(source), "key": cel("item"), "max_parallel": rng.randint(1, 3)}
        if kind in ("rounds", "both"):
            last = f"{id}_b"
            inner = (
                Step(id=f"{id}_a", agents=("oracle",), input=SEED, retry=ONCE),
                Step(id=last, agents=("oracle",), input=SEED, needs=(f"{id}_a",), retry=ONCE),
            )
            until = cel(rng.choice(("", "!")) + f"steps.{last}.flag")
            limit = rng.choice(("fail", "continue"))
            more |= {"steps": inner, "repeat": Repeat(until=until, max_rounds=rng.randint(1, 3), on_limit=limit)}
        elif kind in ("child", "children"):
            place = id if kind == "child" else cel(f"'{id}[' + item + ']'")
            more |= {"workflow": CHILD, "input": {"seed": cel("input.seed"), "child": place}}
        else:
            more |= {"agents": ("oracle",), "input": SEED, "fallback": ("spare",) if kind == "fallback" else ()}
            plain += [id] if kind in ("plain", "fallback") else []
        steps.append(Step(id=id, **more))
    if rng.random() < 0.4:
        at = rng.randrange(len(steps))
        steps[at] = steps[at].model_copy(update={"on_error": "goto", "goto": "rescue"})
        if steps[at].for_each is None:
            steps.append(Step(id="rescue", agents=("oracle",), input=SEED, on_error="continue", retry=ONCE))
        else:
            steps[at] = steps[at].model_copy(update={"on_error": "continue", "goto": None})
    ids = [body.id for step in steps for body in step.bodies]
    places = [place_of(id, key) for id in ids for key in ("", "1", "x", "y", "x/1", "z/2")]
    inner = [f"{place_of(step.id, key)}:{id}" for step in steps for key in ("", "x", "y", "z") for id in CHILD_STEPS]
    fails = {*rng.sample(places, len(places) // 4), *rng.sample(inner, len(inner) // 5)}
    return Plan(steps=tuple(steps)), fails
