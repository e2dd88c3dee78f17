"""What comes from agents is made fit for the record."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.agents import tidy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain ä€😀\tand\nlines", "plain ä€😀\tand\nlines"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("a\x00b", "a\ufffdb"),
        ("a\x08\x7f\x9bb", "ab"),
        ("one\r\ntwo\rthree\x07", "one\ntwo\nthree"),
        ("\ud800", "\ufffd"),
        ("\x1b", ""),
    ],
)
def test_control_sequences_are_gone(text: str, said: str) -> None:
    assert tidy.plain(text) == said


def test_values_are_masked_by_their_names_and_by_their_looks() -> None:
    given = {
        "password": "hunter2", "command": "curl -H 'Authorization: Bearer abcdefgh12345678' x",
        "env": {"API_KEY": "k1"}, "count": 3, "none": None, "ok": True,
        "list": [{"name": "DB_PASSWORD", "value": "k2"}, {"name": "CI", "value": "1"}],
    }  # fmt: skip
    said = tidy.value(given)
    assert said["password"] == "***"
    assert "abcdefgh" not in said["command"]
    assert said["env"] == {"API_KEY": "***"}
    assert said["list"] == [{"name": "DB_PASSWORD", "value": "***"}, {"name": "CI", "value": "1"}]
    assert (said["count"], said["none"], said["ok"]) == (3, None, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(json_values)
def test_any_value_can_go_on_record(value: object) -> None:
    text = json.dumps(tidy.value(value), ensure_ascii=False)
    text.encode()
    assert not any(ord(char) < 32 for char in text)


def test_values_are_bounded() -> None:
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    assert len(json.dumps(tidy.value(deep))) < 100
    assert len(tidy.value("x" * 10**6)) < 9000
    assert len(tidy.value(list(range(10_000)))) == tidy.VALUE_ITEMS_MAX
    assert tidy.value(10**30) == str(10**30)


def test_a_title_is_one_short_line() -> None:
    assert tidy.title("rm -rf\n  build\x1b[31m\ttoken=hunter2x") == "rm -rf build token=***"
    assert len(tidy.title("word " * 1000)) == tidy.TITLE_MAX


KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQ8Zk3Lm0pQr5tUv\n" * 100 + "-----END PRIVATE KEY-----"


@pytest.mark.parametrize("limit", [1000, 8 * 1024, 64 * 1024])
@pytest.mark.parametrize(
    ("secret", "part"), [("sk-ant-Zq7" + "Kd83" * 9, "Kd83"), ("password=Kd83Kd83", "Kd83"), (KEY, "MIIEvQ")]
)
@pytest.mark.parametrize("where", ["head", "tail"])
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(limit: int, secret: str, part: str, where: str) -> None:
    """A half of it looks like no secret, so it must be found before the text is cut."""
    size = 4 * limit + 4 * len(secret)
    at = limit // 2 if where == "head" else size - limit // 2
    for back in (1, 2, 5, 11, len(secret) // 2, len(secret) - 1):
        text = ("x " * size)[: at - back - 1] + " " + secret + " "
        text += ("y " * size)[: size - len(text)]
        said = tidy.clean(text, limit)
        assert part not in said, (back, said[limit // 2 - 100 :][:300])
        assert "characters left out]" in said
        assert len(said) <= limit + 200


def test_a_title_shows_no_part_of_a_secret_either() -> None:
    for blank in range(1_900, 2_100, 7):
        assert "Kd83" not in tidy.title("t" + " " * blank + "sk-ant-Zq7" + "Kd83" * 9)
