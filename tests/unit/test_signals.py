"""One decoder, two readers: whatever the interpreter does with a signal, the API reports that and nothing else."""

import json
from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.common import RawValue

from orchestrator.domain.commands import Control, Decision
from orchestrator.domain.plans import Approval
from orchestrator.domain.signals import MAX_INPUT_BYTES, SignalInput, read_control
from orchestrator.projection.events import EventFold
from orchestrator.projection.facts import fact_of
from tests.unit.histories import History, job_input, step
from workflows.plan import PlanWorkflow

STEPS = ("a", "b")
ENCODINGS = ("json/plain", "json/protobuf", "binary/plain", "binary/null", "binary/protobuf", "binary/encrypted", "")
NAMES = ("pause", "resume", "approve", "reject")
BODIES = (
    b"",
    b"null",
    b" null ",
    b"{}",
    b"[]",
    b'"a"',
    b"7",
    b'{"step": "a"}',
    b'{"step": "b", "actor": "me", "note": "no", "id": "1", "more": [1]}',
    b'{"step": "c"}',
    b'{"step": 5}',
    b'{"step": "a", "note": "\\ud83d"}',
    b'{"step": "a", "note": "\\ud83d\\ude00"}',
    b'{"actor": null}',
    b'{"step": "a", "note": "' + b"x" * MAX_INPUT_BYTES + b'"}',
    b"\xff\xfe",
)
Signal = tuple[str, list[Payload]]


def payload(encoding: str, data: bytes, extra: str = "") -> Payload:
    metadata = {"encoding": encoding.encode()} if encoding else {}
    return Payload(metadata={**metadata, **({extra: b"x"} if extra else {})}, data=data)


payloads = st.builds(
    payload,
    st.sampled_from(ENCODINGS),
    st.sampled_from(BODIES) | st.binary(max_size=20),
    st.sampled_from(["", "", "", "messageType", "reference"]),
)
sensible = st.builds(payload, st.sampled_from(ENCODINGS[:2]), st.sampled_from([b'{"step": "a"}', b'{"step": "b"}']))
signals = st.tuples(
    st.sampled_from(NAMES) | st.just("go"),
    st.lists(payloads, max_size=3) | st.lists(sensible, min_size=1, max_size=1),
)


def interpreted(received: Sequence[Signal]) -> tuple[bool, set[str], set[str]]:
    """Paused, approved, rejected, as the interpreter's own handler leaves them."""
    interpreter = PlanWorkflow()
    # No worker here, whose history could be older, and whose log shows ignored signals.
    with patch.object(workflow, "patched", return_value=True), patch.object(workflow, "logger"):
        for name, inputs in received:
            interpreter.control(name, [RawValue(value) for value in inputs])
    state = interpreter._state
    return state.paused, set(state.approved) & set(STEPS), set(state.rejected) & set(STEPS)


def reported(received: Sequence[Signal]) -> tuple[bool, set[str], set[str]]:
    """The same as the events of the API tell it."""
    fold = EventFold("wf_job_1")
    for fact in History(job_input(*(step(name, "one", approval=Approval()) for name in STEPS))).task().facts:
        fold.apply(fact)
    paused, approved, rejected = False, set[str](), set[str]()
    for number, (name, inputs) in enumerate(received, start=3):
        event = HistoryEvent(event_id=number, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        event.workflow_execution_signaled_event_attributes.signal_name = name
        event.workflow_execution_signaled_event_attributes.input.payloads.extend(inputs)
        report = fold.apply(fact_of(event, "run-1"))
        if report is None:
            continue
        json.dumps(report.model_dump(mode="json")).encode()  # whatever is reported can be sent
        match report.name:
            case "job.paused" | "job.resumed":
                assert paused is (report.name == "job.resumed")  # an event for each change, and for nothing else
                paused = not paused
            case "step.approved":
                assert report.data["step"] not in approved | rejected
                approved.add(report.data["step"])
            case "step.rejected":
                assert report.data["step"] not in approved | rejected
                rejected.add(report.data["step"])
            case other:
                assert other == "signal.go"
    job = fold.fold.job()
    assert (job.paused, set(job.decisions)) == (paused, approved | rejected)
    return paused, approved, rejected


@given(st.lists(signals, max_size=12))
def test_what_is_reported_of_signals_is_what_the_interpreter_did(received: list[Signal]) -> None:
    assert reported(received) == interpreted(received)


@pytest.mark.parametrize("encoding", ["json/plain", "json/protobuf"])
def test_a_control_is_read_in_both_encodings_of_json(encoding: str) -> None:
    inputs = [SignalInput(encoding.encode(), b'{"step": "a", "id": "1"}')]
    assert read_control("approve", inputs) == Decision(step="a", id="1")
    assert read_control("pause", [SignalInput(encoding.encode(), b"null")]) == Control()


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("go", [("json/plain", b"{}")]),
        ("approve", []),
        ("approve", [("json/plain", b'{"step": "a"}'), ("json/plain", b'{"step": "a"}')]),
        ("approve", [("binary/plain", b'{"step": "a"}')]),
        ("approve", [("json/plain+zlib", b'{"step": "a"}')]),
        ("approve", [("", b'{"step": "a"}')]),
        ("approve", [("json/plain", b'{"step": "a", "note": "\\ud800"}')]),
        ("approve", [("json/plain", b'{"step": "a", "note": "' + b"x" * MAX_INPUT_BYTES + b'"}')]),
        ("approve", [("json/plain", b"null")]),
        ("pause", [("json/plain", b'"now"')]),
        ("pause", [("binary/null", b"x")]),
        ("pause", [("json/plain", b"{}"), ("json/plain", b"{}")]),
    ],
)
def test_what_is_no_control_is_ignored(name: str, inputs: list[tuple[str, bytes]]) -> None:
    assert read_control(name, [SignalInput(encoding.encode(), data) for encoding, data in inputs]) is None


def test_bytes_that_are_not_the_value_itself_are_no_control() -> None:
    data = b'{"step": "a"}'
    assert read_control("approve", [SignalInput.of({"encoding": b"json/protobuf", "messageType": b"x"}, data)])
    assert read_control("approve", [SignalInput.of({"encoding": b"json/plain", "reference": b"x"}, data)]) is None


def test_a_pause_needs_no_input() -> None:
    assert read_control("pause", []) == read_control("pause", [SignalInput(b"binary/null", b"")]) == Control()
