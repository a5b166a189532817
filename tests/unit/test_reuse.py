"""Which finished calls of a job stand in a retry of it."""

from orchestrator.domain.plans import Approval, Plan, Step
from orchestrator.domain.reuse import Reuse, reuse


def step(id: str, *agents: str, needs: tuple[str, ...] = (), **more: object) -> Step:
    return Step.model_validate({"id": id, "name": id, "squad": "s", "agents": agents or ("x",), "needs": needs, **more})


def kept(old: Plan, new: Plan, *done: str) -> set[str]:
    calls = {(name.split(".")[0], name.split(".")[1]) for name in done}
    return {".".join(call) for call in reuse(old, new, done=calls, approved=()).calls}


CHAIN = Plan(steps=(step("a"), step("b", "x", "y", needs=("a",)), step("c", needs=("b",))))


def test_on_the_same_plan_every_finished_call_stands() -> None:
    assert kept(CHAIN, CHAIN, "a.x", "b.x") == {"a.x", "b.x"}


def test_what_needs_a_step_that_runs_again_runs_again() -> None:
    assert kept(CHAIN, CHAIN, "a.x", "b.x", "c.x") == {"a.x", "b.x"}
    assert kept(CHAIN, CHAIN, "b.x", "b.y", "c.x") == set()


def test_a_step_that_asks_for_something_else_runs_again_with_all_that_needs_it() -> None:
    done = ("a.x", "b.x", "b.y", "c.x")
    asks = Plan(steps=(step("a", instruction="new"), *CHAIN.steps[1:]))
    assert kept(CHAIN, asks, *done) == set()
    more = Plan(steps=(CHAIN.steps[0], step("b", "x", "y", "z", needs=("a",)), CHAIN.steps[2]))
    assert kept(CHAIN, more, *done) == {"a.x", "b.x", "b.y"}
    less = Plan(steps=(CHAIN.steps[0], step("b", "x", needs=("a",)), CHAIN.steps[2]))
    assert kept(CHAIN, less, *done) == {"a.x", "b.x"}
    other = Plan(steps=(*CHAIN.steps[:2], step("c", needs=("a", "b"))))
    assert kept(CHAIN, other, *done) == {"a.x", "b.x", "b.y"}
    gone = Plan(steps=(step("b", "x", "y"),))
    assert kept(CHAIN, gone, *done) == set()


def test_an_approval_stands_if_all_that_the_step_needs_does() -> None:
    def asking(message: str) -> Plan:
        approval = Approval(message=message)
        return Plan(steps=(step("a"), step("b", needs=("a",), approval=approval), step("c", approval=approval)))

    old = asking("Go on?")
    assert reuse(old, old, done={("a", "x")}, approved={"b"}) == Reuse(frozenset({("a", "x")}), frozenset({"b"}))
    assert reuse(old, old, done=(), approved={"b", "c"}).approvals == {"c"}
    assert reuse(old, asking("Sure?"), done={("a", "x")}, approved={"b"}).approvals == set()
