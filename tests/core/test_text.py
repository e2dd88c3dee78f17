"""Text for the record: what every store can hold comes through unchanged, everything else loses only what it must."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.text import is_sound, is_sound_value, sound

TEXTS = st.text(st.characters())


@pytest.mark.parametrize("text", ["", "plain", "nächtlich", "\U0001f319", "tab\tand\nline\x1b[0m", "\ufffd"])
def test_sound_text_stays_as_it_is(text: str) -> None:
    assert is_sound(text) and sound(text) is text


@pytest.mark.parametrize(
    ("text", "kept"),
    [("a\0b", "a\ufffdb"), ("\udcff", "\ufffd"), ("\ud83d half", "\ufffd half"), ("é\udc80", "é\ufffd")],
)
def test_what_no_record_can_hold_is_replaced(text: str, kept: str) -> None:
    assert not is_sound(text) and sound(text) == kept


@given(TEXTS)
def test_the_result_is_always_sound(text: str) -> None:
    assert is_sound(sound(text))
    assert len(sound(text)) == len(text)
    sound(text).encode()


def test_it_reaches_into_everything_json_can_hold() -> None:
    value = {"a\0": ["\udcff", {"b": ("x\0",)}, 1, None, True, 2.5]}
    assert sound(value) == {"a\ufffd": ["\ufffd", {"b": ["x\ufffd"]}, 1, None, True, 2.5]}
    assert json.dumps(sound(value), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("value", "as_it_is"),
    [
        (None, True), (1, True), (True, True), (2.5, True), ("text", True), ([], True), ({}, True),
        ({"exitCode": 0, "note": "é", "more": [{"a": "b"}], "none": None}, True),
        ("\0", False), ({"a": "\0"}, False), ({"\0": 1}, False), ([["\udcff"]], False), ({"a": [{"b": "\0"}]}, False),
        (("a tuple becomes a list",), False),
    ],
)  # fmt: skip
def test_a_value_is_sound_when_nothing_of_it_would_change(value: object, as_it_is: bool) -> None:
    assert is_sound_value(value) is as_it_is
    assert (sound(value) == value) is as_it_is
