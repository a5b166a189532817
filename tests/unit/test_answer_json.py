"""JSON as models write it becomes JSON that a strict parser takes; what streams in is read the same at every cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from orchestrator.domain.text import sound
from orchestrator.runtime.answer_json import objects, repaired, sound_escapes
from orchestrator.runtime.answer_text import readable

TEXTS = st.text(st.characters(codec=None, categories=None)) | st.text(
    st.sampled_from('a\ud83d\ude00\udbff\udc00\0\n\\u"{}D8')
)


@given(TEXTS, st.booleans())
def test_every_text_survives_in_json_however_it_is_escaped(text: str, ascii_only: bool) -> None:
    written = json.dumps({"summary": "s", "output": text}, ensure_ascii=ascii_only)
    assert sound(from_json(repaired(written))["output"]) == sound(text)


@given(TEXTS)
def test_text_that_is_not_meant_as_json_is_never_an_error(text: str) -> None:
    repaired(text).encode()
    for found in objects(text):
        assert isinstance(json.loads(found), dict)


@given(TEXTS, st.booleans(), st.booleans())
def test_what_streams_in_only_grows_and_ends_as_the_sound_text(text: str, structured: bool, ascii_only: bool) -> None:
    raw = json.dumps({"output": text}, ensure_ascii=ascii_only) if structured else f"# {text}."
    shown = ""
    for end in range(1, len(raw) + 1):
        longer = readable(raw[:end], structured=structured)
        longer.encode()
        assert longer.startswith(shown)
        shown = longer
    assert shown == (sound(text) if structured else sound(raw))


@pytest.mark.parametrize(
    ("escaped", "kept"),
    [
        (r"\ud83d\ude00", r"\ud83d\ude00"),
        (r"\ud83d", r"\ud83d"),
        (r"\ud83d\u", r"\ud83d\u"),
        (r"\ud83d.", r"\ufffd."),
        (r"\ude00", r"\ufffd"),
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\\ud83d.", r"\\ud83d."),
        (r"\\\ud83d.", r"\\\ufffd."),
    ],
)
def test_only_lone_halves_are_replaced(escaped: str, kept: str) -> None:
    assert sound_escapes(escaped) == kept


@pytest.mark.parametrize("text", ["{" * 10**6, '{"a":' * 10**5, '{"a": 1}' * 10**4, "{" + '"' * 10**6])
def test_hostile_text_is_read_in_bounded_work(text: str) -> None:
    assert len(list(objects(text))) <= 50
