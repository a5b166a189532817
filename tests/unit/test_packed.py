"""JSON as it is stored: compressed where that is shorter, and read in either form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.storage.packed import pack, unpack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("abc"), inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
def test_any_json_comes_back(value: Any) -> None:
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("length", [1_000, 100_000])
def test_long_texts_are_compressed(length: int) -> None:
    value = {"text": "tea " * length}
    assert len(pack(value)) < length
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("text", ['{"a": "ü"}', '"x"', "[]", "12"])
def test_rows_of_an_older_release_are_read(text: str) -> None:
    assert unpack(text) == unpack(text.encode()) == json.loads(text)
