"""The drawings and forms of the page, without a server."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.page import formats
from api.page.comparison import changed_fields, compared, ratio
from api.page.forms import fields_of_form, value_of_form
from api.page.gantt import WIDTH, CallLine, QuestionLine, chart
from api.page.graph import graph, states_of
from api.page.lists import _moment
from api.page.visitors import Form
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.expressions import cel
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import (
    AgentCall,
    Approved,
    Attempt,
    AttemptStatus,
    CallStatus,
    Job,
    JobError,
    JobState,
)
from orchestrator.domain.plans import Plan, Repeat, Step
from orchestrator.domain.questions import Ask, JobQuestion, PersonAnswer, QuestionKind, QuestionStatus
from orchestrator.domain.usage import Usage

BEGIN = datetime(2026, 11, 26, 21, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def job(*calls: AgentCall, closed: float | None = None) -> Job:
    return Job(
        id="wf_job_1",
        run_id="r",
        kind=JobKind.WORKFLOW,
        definition="nightly",
        name="Nightly",
        owner="ada",
        state=JobState.RUNNING if closed is None else JobState.COMPLETED,
        progress=0,
        input={},
        config={},
        calls=list(calls),
        created_at=BEGIN,
        started_at=BEGIN,
        closed_at=None if closed is None else at(closed),
    )


def call(step: str = "a", **more: Any) -> AgentCall:
    return AgentCall(step=step, agent="writer", title=step, **{"status": CallStatus.COMPLETED, **more})


def test_attempts_and_waits_are_bars_in_their_place():
    attempts = [
        Attempt(number=1, status=AttemptStatus.FAILED, started_at=at(10), completed_at=at(20)),
        Attempt(number=2, status=AttemptStatus.COMPLETED, started_at=at(50), completed_at=at(100)),
    ]
    line = chart(job(call(scheduled_at=BEGIN, attempts=attempts), closed=100), at(500)).lines[0]
    assert [(bar.kind, bar.x, bar.width) for bar in line.bars] == [
        ("wait", 0, 100),
        ("failed", 100, 100),
        ("wait", 200, 300),
        ("completed", 500, 500),
    ]
    assert line.bars[2].title == "waits for the next attempt, 30 s"


def test_a_running_attempt_lasts_until_now_and_one_on_a_dead_worker_until_the_next():
    attempts = [
        Attempt(number=1, status=AttemptStatus.UNKNOWN, started_at=at(0)),
        Attempt(number=2, status=AttemptStatus.RUNNING, started_at=at(30)),
    ]
    line = chart(job(call(status=CallStatus.RUNNING, attempts=attempts)), at(60)).lines[0]
    assert [(bar.kind, bar.x, bar.width) for bar in line.bars] == [("unknown", 0, 500), ("running", 500, 500)]


def test_a_short_attempt_of_a_long_job_can_be_seen():
    attempts = [Attempt(number=1, status=AttemptStatus.COMPLETED, started_at=at(99_999.99), completed_at=at(100_000))]
    for logarithmic in (False, True):
        bar = chart(job(call(attempts=attempts), closed=100_000), at(0), logarithmic=logarithmic).lines[0].bars[0]
        assert bar.width == 4
        assert bar.x + bar.width <= WIDTH


def test_a_logarithmic_scale_spreads_the_beginning():
    attempts = [Attempt(number=1, status=AttemptStatus.COMPLETED, started_at=at(0), completed_at=at(10))]
    linear, spread = (
        chart(job(call(attempts=attempts), closed=1000), at(0), logarithmic=scale) for scale in (False, True)
    )
    assert spread.lines[0].bars[0].width > 4 * linear.lines[0].bars[0].width


@pytest.mark.parametrize(
    ("calls", "now"),
    [
        ([], 0),
        ([call(status=CallStatus.PENDING)], 10),
        ([call(), call("b", status=CallStatus.WAITING_FOR_APPROVAL)], 10),
        ([call(status=CallStatus.SCHEDULED, scheduled_at=at(1))], 10),
        ([call(attempts=[Attempt(number=1, status=AttemptStatus.RUNNING)])], -5),
        ([call(reused_from="job_2", attempts=[Attempt(number=1, status=AttemptStatus.COMPLETED)])], 1),
    ],
)
def test_every_job_can_be_drawn(calls: list[AgentCall], now: float):
    drawing = chart(job(*calls), at(now))
    assert len(drawing.lines) == len(calls)
    assert all(0 <= bar.x <= bar.x + bar.width <= WIDTH for line in drawing.lines for bar in line.bars)
    assert len(drawing.ticks) <= 6


def test_two_hundred_steps_are_two_hundred_lines():
    assert len(chart(job(*(call(f"s{number}") for number in range(200)), closed=10), at(0)).lines) == 200


def test_turns_of_an_agent_with_tools_are_no_further_tries():
    kinds = [AttemptStatus.CONTINUED, AttemptStatus.FAILED, AttemptStatus.CONTINUED, AttemptStatus.COMPLETED]
    attempts = [
        Attempt(number=number, status=status, started_at=at(number), completed_at=at(number + 1))
        for number, status in enumerate(kinds, 1)
    ]
    line = chart(job(call(attempts=attempts), closed=10), at(10)).lines[0]
    assert isinstance(line, CallLine)
    assert line.tries == 2
    assert [bar.kind for bar in line.bars if bar.kind != "wait"] == ["continued", "failed", "continued", "completed"]


def test_what_people_were_asked_is_on_the_time_line_with_their_answers():
    answered = PersonAnswer(values={"approved": False}, actor="ada", note="too dear", at=at(40))
    asked = JobQuestion(id="tool", step="b", kind=QuestionKind.TOOL, message="Buy?", form={}, asked_at=at(30))
    asked = asked.model_copy(update={"status": QuestionStatus.ANSWERED, "answer": answered, "ended_at": at(40)})
    form = JobQuestion(id="form", step="form", message="Where?", form={}, asked_at=at(60))
    ran = Attempt(number=1, status=AttemptStatus.COMPLETED, started_at=at(20), completed_at=at(30))
    calls = [call("b", scheduled_at=at(20), attempts=[ran]), call("c", status=CallStatus.SKIPPED)]
    waiting = job(*calls).model_copy(
        update={
            "questions": [asked, form],
            "approvals": [Approved(step="b", actor="grace", note="go")],
            "error": JobError(type="rejected", message="not now", step="c"),
        }
    )
    first, tool, form_line, last = chart(waiting, at(100)).lines
    assert isinstance(first, CallLine)
    assert isinstance(last, CallLine)
    assert isinstance(tool, QuestionLine)
    assert isinstance(form_line, QuestionLine)
    assert first.decision == "Approved by grace: go"
    assert [(bar.kind, bar.x, bar.width) for bar in first.bars] == [("waiting", 0, 200), ("completed", 200, 100)]
    assert (tool.state, tool.outcome) == ("refused", "Rejected by ada: too dear")
    assert [(bar.x, bar.width) for bar in tool.bars] == [(300, 100)]
    assert (form_line.state, [(bar.x, bar.width) for bar in form_line.bars]) == ("waiting_for_input", [(600, 400)])
    assert (last.decision, last.is_rejected) == ("Rejected: not now", True)


def test_a_job_whose_calls_never_began_says_so():
    skipped, waited = call(status=CallStatus.SKIPPED), call(status=CallStatus.CANCELLED, scheduled_at=at(1))
    for calls, state, words in (
        ((skipped,), JobState.CANCELLED, "No call was made: the job was cancelled before its first one."),
        (
            (waited, skipped),
            JobState.CANCELLED,
            "No call began: the job was cancelled while a call waited for a worker.",
        ),
        ((skipped,), JobState.FAILED, "No call was made: the job ended before its first one."),
        ((skipped,), JobState.COMPLETED, "No call was made: every step was skipped."),
        ((call(attempts=[Attempt(number=1, status=AttemptStatus.FAILED)]),), JobState.FAILED, ""),
        ((waited,), JobState.RUNNING, ""),
    ):
        ended = job(*calls, closed=5).model_copy(update={"state": state})
        assert chart(ended, at(9)).nothing_ran == words
    (line,) = chart(job(waited, closed=5), at(9)).lines
    assert [(bar.kind, bar.title) for bar in line.bars] == [("wait", "waited for a worker, 4.0 s")]


def test_steps_are_in_the_order_of_their_starts():
    calls = [
        call("late", scheduled_at=at(9)),
        call("never", status=CallStatus.PENDING),
        call("soon", scheduled_at=at(1)),
    ]
    lines = chart(job(*calls), at(10)).lines
    assert [line.call.step for line in lines if isinstance(line, CallLine)] == ["soon", "late", "never"]


def test_of_very_many_calls_those_that_need_a_look_are_drawn():
    calls = [call(f"s{number}") for number in range(50)]
    calls[40] = call("s40", status=CallStatus.FAILED)
    calls[45] = call("s45", status=CallStatus.RUNNING)
    drawing = chart(job(*calls), at(10), most=4)
    assert [line.call.step for line in drawing.lines if isinstance(line, CallLine)] == ["s0", "s1", "s40", "s45"]
    assert drawing.hidden == 46


def steps(**needs: tuple[str, ...]) -> list[Step]:
    return [Step(id=id, name=id.title(), squad="x", agents=("writer",), needs=needed) for id, needed in needs.items()]


def test_a_graph_has_its_steps_in_columns_and_no_line_that_others_imply():
    drawing = graph(steps(a=(), b=("a",), c=("a",), d=("b", "c", "a")))
    columns = {box.step.id: box.x for box in drawing.boxes}
    assert columns["a"] < columns["b"] == columns["c"] < columns["d"]
    assert len(drawing.lines) == 4
    assert all(box.x + box.width <= drawing.width for box in drawing.boxes)
    assert all(box.y + box.height <= drawing.height for box in drawing.boxes)


DECIDING = Plan(
    steps=(
        Step(id="topics", agents=("writer",), goto="sorry", on_error="goto"),
        Step(id="sorry", agents=("writer",)),
        Step(
            id="each",
            needs=("topics",),
            for_each=cel("steps.topics.topics"),
            enough=2,
            steps=(
                Step(id="draft", agents=("writer", "checker")),
                Step(id="refine", needs=("draft",), agents=("writer",), repeat=Repeat(until=cel("ok"), max_rounds=3)),
                Step(id="inner", needs=("refine",), steps=(Step(id="child", workflow="api_development"),)),
            ),
        ),
        Step(id="form", needs=("each",), ask=Ask(form={"type": "object", "properties": {}}, message="Where?")),
        Step(id="wait", needs=("each",), delay=90.0),
        Step(id="end", needs=("form", "wait"), join="any", when=cel("input.publish"), agents=("writer",)),
    )
)


def test_a_graph_of_many_steps_has_no_line_that_others_imply():
    far = [
        Step(id=f"s{n}", agents=("writer",), needs=("s0", f"s{n - 1}") if n > 1 else ("s0",)) for n in range(1, 1500)
    ]
    assert len(graph([Step(id="s0", agents=("writer",)), *far]).lines) == 1499


def test_a_graph_has_groups_forms_children_and_rules():
    drawing = graph(DECIDING.steps)
    boxes = {box.step.id: box for box in drawing.boxes}
    assert list(boxes) == ["topics", "sorry", "each", "draft", "refine", "inner", "child", "form", "wait", "end"]
    assert {id: box.what for id, box in boxes.items() if not box.step.agents} == {
        "each": "a group of 3 steps",
        "inner": "a group of 1 step",
        "child": "workflow api_development",
        "form": "a form for a person",
        "wait": "waits",
    }
    assert {id: box.rules for id, box in boxes.items() if box.rules} == {
        "each": ["for each of steps.topics.topics, 2 suffice"],
        "refine": ["until ok, at most 3 times"],
        "wait": ["after 1m 30s"],
        "end": ["after any of 2", "when input.publish"],
    }
    assert [box.level for box in boxes.values()] == [0, 0, 0, 1, 1, 1, 2, 0, 0, 0]
    for outer, inner in (("each", "draft"), ("each", "inner"), ("inner", "child")):
        around, box = boxes[outer], boxes[inner]
        assert around.x < box.x
        assert around.y < box.y
        assert box.x + box.width < around.x + around.width
        assert box.y + box.height < around.y + around.height
    assert boxes["topics"].x < boxes["sorry"].x
    assert (len(drawing.lines), len(drawing.errors)) == (7, 1)
    assert boxes["form"].asks
    assert all(box.x + box.width <= drawing.width for box in drawing.boxes)
    assert all(box.y + box.height <= drawing.height for box in drawing.boxes)


def test_a_graph_shows_what_a_job_has_done():
    calls = [
        call("topics"),
        call("draft", key="0", status=CallStatus.FAILED),
        call("draft", key="1"),
        call("refine", key="0", status=CallStatus.RUNNING),
        call("refine", key="1"),
    ]
    asked = JobQuestion(id="form", step="form", message="Where?", form={})
    states = states_of(job(*calls).model_copy(update={"questions": [asked]}))
    assert {step: (state.code, state.ended, state.total) for step, state in states.items()} == {
        "topics": ("completed", 1, 1),
        "draft": ("failed", 2, 2),
        "refine": ("running", 1, 2),
        "form": ("waiting_for_input", 0, 0),
    }
    drawing = graph(DECIDING.steps, states)
    assert {box.step.id for box in drawing.boxes if box.state} == set(states)


def test_steps_that_handle_each_other_can_be_drawn():
    circle = [
        Step(id="a", agents=("writer",), goto="b", on_error="goto"),
        Step(id="b", agents=("writer",), goto="a", on_error="goto"),
    ]
    assert len(graph(circle).errors) == 2


def test_groups_thirty_levels_deep_can_be_drawn():
    nested = Step(id="s0", agents=("writer",))
    for level in range(1, 31):
        nested = Step(id=f"s{level}", steps=(nested,))
    drawing = graph([nested])
    assert [(box.step.id, box.level) for box in drawing.boxes] == [(f"s{30 - level}", level) for level in range(31)]
    for around, box in itertools.pairwise(drawing.boxes):
        assert around.x < box.x < box.x + box.width < around.x + around.width
        assert around.y < box.y < box.y + box.height < around.y + around.height
    assert drawing.boxes[0].x + drawing.boxes[0].width <= drawing.width


def test_a_chain_of_many_steps_in_reverse_order_can_be_drawn():
    chain = [Step(id=f"s{number}", agents=("writer",), needs=(f"s{number - 1}",)) for number in range(1499, 0, -1)]
    drawing = graph([*chain, Step(id="s0", agents=("writer",))])
    assert [box.step.id for box in drawing.boxes] == [f"s{number}" for number in range(1500)]
    assert all(one.x + one.width < next.x for one, next in itertools.pairwise(drawing.boxes))
    assert len(drawing.lines) == 1499


SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "kind": {"enum": ["a", 2]},
        "size": {"type": "integer", "minimum": 1},
        "rate": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "fast": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "more": {"$ref": "#/$defs/More"},
    },
    "$defs": {"More": {"type": "object", "description": "Anything else"}},
}


def form(**values: str) -> Form:
    return Form([(f"f.{name}", value) for name, value in values.items()])


def test_a_schema_becomes_fields():
    fields = {field.name: field for field in fields_of_form(SCHEMA, {"tags": ["x", "y"], "size": 3})}
    kinds = {name: field.kind for name, field in fields.items()}
    assert kinds == {
        "name": "text",
        "kind": "select",
        "size": "integer",
        "rate": "number",
        "fast": "checkbox",
        "tags": "lines",
        "more": "json",
    }
    assert (fields["name"].is_required, fields["name"].limits) == (True, {"maxlength": 40})
    assert (fields["tags"].text, fields["size"].text, fields["kind"].options) == ("x\ny", "3", ["a", "2"])
    assert fields["more"].hint == "Anything else"


def test_a_form_becomes_the_value_of_its_schema():
    texts = form(name="n", kind="2", size="3", rate="0.5", fast="true", tags=" x \n\ny", more='{"z": 1}')
    value = value_of_form(SCHEMA, texts)
    assert value == {
        "name": "n", "kind": 2, "size": 3, "rate": 0.5, "fast": True, "tags": ["x", "y"], "more": {"z": 1}
    }  # fmt: skip
    assert value_of_form(SCHEMA, form(name="")) == {"fast": False}
    assert value_of_form({"type": "object"}, Form([("input", '{"a": 1}')])) == {"a": 1}


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        (form(size="1.5"), "size"),
        (form(rate="x"), "rate"),
        (form(more="{"), "more"),
        (form(more="[" * 100_000), "more"),
    ],
)
def test_a_wrong_text_names_its_field(texts: Form, field: str):
    with pytest.raises(InvalidInput) as refused:
        value_of_form(SCHEMA, texts)
    assert refused.value.details["field"] == field


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0123, "12 ms"),
        (1.26, "1.3 s"),
        (59.4, "59 s"),
        (61, "1m 01s"),
        (7260, "2h 01m"),
        (90_000, "1d 01h"),
    ],
)
def test_durations(seconds: float | None, text: str):
    assert formats.duration(seconds) == text


def test_other_formats():
    assert formats.money(0.01234) == "$0.0123"
    assert formats.money(1234.5) == "$1,234.50"
    assert formats.money(0.00001) == "<$0.0001"
    assert formats.ago(at(-300), BEGIN) == "5 min ago"
    assert formats.ago(at(300), BEGIN) == "in 5 min"
    assert formats.shortened("a  b\nc", 4) == "a b…"


@pytest.mark.parametrize(
    ("usage", "texts"),
    [
        (None, ("–", "–")),
        (Usage(), ("–", "–")),
        (Usage(cost=0.0, provider_cost=0.0), ("0", "$0.00")),
        (Usage(prompt_tokens=900, completion_tokens=300), ("1,200", "–")),
        (Usage(prompt_tokens=900, completion_tokens=300, cost=0.0), ("1,200", "$0.00")),
        (Usage(prompt_tokens=900, completion_tokens=300, cost=1.5), ("1,200", "$1.50")),
    ],
)
def test_unknown_usage_is_a_dash_and_known_usage_a_number(usage: Usage | None, texts: tuple[str, str]) -> None:
    assert (formats.tokens(usage), formats.cost(usage)) == texts


def test_a_comparison_names_what_differs() -> None:
    assert changed_fields({"pages": 1, "topic": "x", "old": 2}, {"pages": 6, "topic": "x"}) == [
        ("pages", 1, 6),
        ("old", 2, None),
    ]
    assert (ratio(2.0, 4.2), ratio(None, 1.0), ratio(0, 3)) == ("2.1 ×", "", "")


def test_a_reused_call_is_compared_by_the_usage_of_the_job_that_made_it() -> None:
    spent = Usage(prompt_tokens=900, completion_tokens=300, cost=0.02)
    made = call(usage=spent, started_at=at(0), completed_at=at(9))
    [same] = compared(job(made), job(call(reused_from="job_1", reused=spent)))
    assert (same.usages, same.cost_ratio) == ([spent, spent], "1.0 ×")
    assert not same.is_slower
    assert not same.is_dearer
    [other] = compared(job(made), job(call(usage=Usage())))
    assert (other.is_slower, other.is_dearer, other.cost_ratio) == (True, True, "")


def test_items_of_one_step_are_compared_each_with_its_own() -> None:
    one, other = job(call(key="a"), call(key="b")), job(call(key="b"))
    assert [(each.title, each.first is None, each.second is None) for each in compared(one, other)] == [
        ("a [a]", False, True),
        ("a [b]", False, False),
    ]


@pytest.mark.parametrize("text", ['{"b": NaN}', '{"b": 1e999}', '{"b": "\\ud800"}', "[" * 400 + "]" * 400])
def test_json_that_cannot_be_stored_is_refused_at_its_field(text: str) -> None:
    schema = {"type": "object", "properties": {"extra": {"type": "object"}}}
    with pytest.raises(InvalidInput) as fault:
        value_of_form(schema, form(extra=text))
    assert fault.value.details["field"] == "extra"


@pytest.mark.parametrize(
    "part", [{"anyOf": [True, {"type": "string"}]}, {"$ref": "#/$defs/A"}, {"anyOf": [True, {"type": "null"}]}]
)
def test_a_schema_that_is_true_is_a_field_for_json(part: dict[str, Any]) -> None:
    [field] = fields_of_form({"type": "object", "properties": {"x": part}, "$defs": {"A": True}}, {})
    assert field.kind == "json"


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "soon"])
def test_a_time_at_the_edge_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        _moment("since", text)
