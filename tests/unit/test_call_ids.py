"""The identity of a call: one text for each call, the old texts byte for byte."""

import pytest

from orchestrator.domain.call_ids import CallId, call_key, split_place

IDS = {
    "draft.writer": CallId("draft", "writer"),
    "draft.writer#2": CallId("draft", "writer", 2),
    "draft.writer#12": CallId("draft", "writer", 12),
    "work[alpha].worker": CallId("work", "worker", key="alpha"),
    "write[2/alpha].writer": CallId("write", "writer", key="2/alpha"),
    "desk.support.t7": CallId("desk", "support", path="t7"),
    "desk.support.t7.2": CallId("desk", "support", path="t7.2"),
    "desk.support.t3m2": CallId("desk", "support", path="t3m2"),
    "desk.support#2.t3.1.lawyer.t1": CallId("desk", "support", 2, path="t3.1.lawyer.t1"),
    "desk[a.b].support.t1": CallId("desk", "support", key="a.b", path="t1"),
    "own.activity.of_an_author": CallId("own", "activity.of_an_author"),
}
OTHERS = ["1", "draft.", ".writer", "draft.writer#", "draft.writer#1", "draft.writer#02", "a.b#x", "a[].b", "a[b.c", ""]


@pytest.mark.parametrize(("text", "id"), IDS.items())
def test_an_id_names_one_call(text: str, id: CallId) -> None:
    assert CallId.parse(text) == id
    assert str(id) == text


@pytest.mark.parametrize("text", OTHERS)
def test_the_ids_of_other_activities_are_no_calls(text: str) -> None:
    assert CallId.parse(text) is None


def test_an_effect_id_keeps_its_old_form_and_names_key_and_path() -> None:
    assert CallId("a", "one").effect_id("job_1") == "job_1/a/one"
    assert CallId("a", "one", 3).effect_id("job_1") == "job_1/a/one#3"
    assert CallId("a", "one", key="2/x", path="t7.2").effect_id("job_1") == "job_1/a[2/x]/one/t7.2"


def test_a_key_is_safe_short_and_unique() -> None:
    assert call_key("alpha") == "alpha"
    assert call_key((2, "alpha")) == "2/alpha"
    odd = [call_key(key) for key in ("a/b", "a_b", "a]b", "a b", "", ".", "é" * 500, "é" * 501, "x" * 64, "x" * 65)]
    assert len(set(odd)) == len(odd)
    assert all(len(key) <= 73 for key in odd)
    for key in odd:
        assert call_key(key) == key  # a key is passed on from a flow to its calls, and from a call to calls within it
        assert CallId.parse(str(CallId("work", "worker", 2, key, "t1"))) == CallId("work", "worker", 2, key, "t1")


def test_a_place_has_a_step_a_key_and_a_path() -> None:
    for id in IDS.values():
        assert split_place(id.place) == (id.step, id.key, id.path)


def test_a_tool_call_gives_a_key_to_the_call_of_another_agent() -> None:
    assert CallId("desk", "support", path="t3.1").inner_key == "support.t3.1"
    assert CallId("desk", "support", 2, "alpha", "t3m2.1").inner_key == "alpha/support.2.t3m2.1"
    long = CallId("desk", "s" * 63, key="k" * 70, path="t3.1").inner_key
    assert "/".join(map(call_key, long.split("/"))) == "/".join([call_key("k" * 70), call_key(long.split("/")[1])])
