"""Text of others is made fit to be stored and sent, and stays fit however often that is done."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from orchestrator.domain import text
from orchestrator.domain.jobs import JobError

ANY_TEXT = st.text(st.characters(codec=None, categories=None))
SURROGATES = st.text(st.sampled_from("a\ud83d\ude00\ud800\udfff\0\x1b\né"))


class Silent(Exception):
    """Its text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@given(ANY_TEXT | SURROGATES)
def test_sound_text_can_be_encoded_stored_and_made_sound_again(given_text: str) -> None:
    sound = text.sound(given_text)
    sound.encode()
    assert "\0" not in sound
    assert text.sound(sound) == sound


@given(st.text())
def test_text_that_is_sound_loses_nothing_but_nul(given_text: str) -> None:
    assert text.sound(given_text) == given_text.replace("\0", "")


@pytest.mark.parametrize(
    ("raw", "sound"),
    [
        ("half \ud83d", "half \ufffd"),
        ("\ude00 half", "\ufffd half"),
        ("pair \ud83d\ude00.", "pair 😀."),
        ("wrong \ude00\ud83d", "wrong \ufffd\ufffd"),
        ("n\0ul", "nul"),
        (b"caf\xe9.txt".decode(errors="surrogateescape"), "caf\ufffd.txt"),
    ],
)
def test_halves_are_joined_and_lone_ones_replaced(raw: str, sound: str) -> None:
    assert text.sound(raw) == sound


@given(ANY_TEXT | SURROGATES, st.integers(min_value=60, max_value=200))
def test_cut_text_is_bounded_and_cutting_it_again_changes_nothing(given_text: str, limit: int) -> None:
    cut = text.cut(given_text * 9, limit)
    cut.encode()
    assert len(cut) <= limit
    assert text.cut(cut, limit) == cut


def test_what_was_cut_off_is_counted_even_when_something_is_put_before_it() -> None:
    once = text.cut("x" * 5_000_000)
    assert once == "x" * 1960 + "… (4998040 characters more)"
    where = "a_step_with_a_long_name_of_its_own: "
    assert text.cut(where + once) == where + "x" * (1960 - len(where)) + f"… ({4998040 + len(where)} characters more)"


@pytest.mark.parametrize("said", ["\x1b[31mred\x1b[0m", "a\rb", "line\x9dx"])
def test_control_characters_are_left_out_of_messages(said: str) -> None:
    assert all(character.isprintable() for character in text.cut(said))


def test_lines_of_a_message_stay() -> None:
    assert text.cut("first\n\tsecond") == "first\n\tsecond"


def test_an_exception_without_a_readable_text_says_so() -> None:
    assert text.error_message(Silent()) == "its text cannot be read (RuntimeError)"


@pytest.mark.parametrize(
    ("class_name", "word"),
    [
        ("Fehler\x1b[1m", "Fehler[1m"),
        ("x" * 10**6, "x" * 99 + "…"),
        ("\x1b \n", "error"),
        ("Two\nLines", "Two Lines"),
    ],
)
def test_a_strange_class_name_becomes_a_word(class_name: str, word: str) -> None:
    assert text.error_name(type(class_name, (Exception,), {})()) == word


@given(ANY_TEXT | SURROGATES)
def test_a_headline_fits_the_bytes_that_temporal_takes(given_text: str) -> None:
    headline = text.headline(given_text * 9)
    assert len(headline.encode()) <= 200
    assert "\n" not in headline


def test_every_error_of_a_job_is_bounded_from_any_source() -> None:
    error = JobError(type="T\0" + "y" * 500, message="m\ud83d" + "z" * 9000)
    assert len(error.type) == 100
    assert error.message.startswith("m\ufffdzz")
    assert len(error.message) <= text.MESSAGE_LIMIT
    assert JobError.model_validate_json(error.model_dump_json()) == error


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | SURROGATES,
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT | SURROGATES, inner),
    )
)
def test_sound_data_is_json_that_every_reader_takes(value: Any) -> None:
    sound = text.sound_data(value)
    written = json.dumps(sound, ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(written) == sound
    assert b"\\u0000" not in written
    assert text.sound_data(sound) == sound


def nested(levels: int) -> Any:
    value: Any = "core"
    for _ in range(levels):
        value = {"in": [value]}
    return value


@pytest.mark.parametrize("value", [nested(300), 2**5000], ids=["deep", "enormous"])
def test_what_no_reader_takes_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^it (is nested|holds)"):
        text.sound_data(value)


@pytest.mark.parametrize(
    "markup",
    [
        "[click](https://evil.example)",
        "![](https://evil.example/seen.png)",
        "<img src=x onerror=alert(1)>",
        "<https://evil.example>",
        "see https://evil.example or www.evil.example",
        "[a]: https://evil.example",
        "`code`",
        "mail@evil.example",
    ],
)
def test_no_markup_of_others_stands_in_a_page_of_markdown(markup: str) -> None:
    shown = MarkdownIt("commonmark").render(text.inert(markup))
    assert re.findall(r"<(?!/?p>)", shown) == []
    assert not re.search(r"(?i)(://|www\.|@)\S", shown)  # what GitHub's dialect makes a link
    assert "evil" in shown or "evil" not in markup


def test_names_stay_as_they_are_in_a_page_of_markdown() -> None:
    assert text.inert("Größe: API design (v1.2) & tests") == "Größe: API design (v1.2) & tests"


HOSTILE = "a\x1b]0;title\x07b\x9b2Jc\u202egpj.exe\u200f\u061c\u2066d\u2028e\x7f"


def test_what_a_terminal_would_obey_is_shown() -> None:
    shown = text.visible(HOSTILE)
    assert shown.replace("\ufffd", "") == "a]0;titleb2Jcgpj.exede"
    document = json.dumps({"x": HOSTILE}, ensure_ascii=False)
    escaped = text.escaped_json(document)
    assert text.visible(escaped) == escaped
    assert json.loads(escaped) == {"x": HOSTILE}
