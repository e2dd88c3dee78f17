"""Argument lists with gaps: what is taken, and that a value never becomes anything but a value."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.core.errors import BadInput
from outlast.delivery.channels.template import (
    GAPS,
    TEMPLATE_MAX,
    Unfit,
    check_template,
    parse_template,
    split_template,
    written,
)

VALUES = {name: f"<{name}>" for name in GAPS}
RESUME = ["claude", "-p", "--resume", "{conversation}", "{text}"]


def test_a_template_is_filled_item_by_item() -> None:
    assert check_template(RESUME).fill(VALUES) == ["claude", "-p", "--resume", "<conversation>", "<text>"]
    assert check_template(["a", "--m={title}: {text}", "{id}{kind}", "{at}"]).fill(VALUES) == [
        "a",
        "--m=<title>: <text>",
        "<id><kind>",
        "<at>",
    ]


@pytest.mark.parametrize(
    ("item", "filled"),
    [
        ("{{text}}", "{text}"),
        ("{{{text}}}", "{<text>}"),
        ("{{", "{"),
        ('{{"a": "{id}"}}', '{"a": "<id>"}'),
        ("100%s $HOME `x` $(y) *", "100%s $HOME `x` $(y) *"),
        ("", ""),
    ],
)
def test_braces(item: str, filled: str) -> None:
    template = check_template(["p", item])
    assert template.fill(VALUES) == ["p", filled]
    assert parse_template(written(template.argv)) == template


@pytest.mark.parametrize(
    "item",
    ["{", "}", "{}", "{nothing}", "{text", "text}", "{0}", "{text!r}", "{text:>9}", "{text.x}", "{text[0]}", "{ text }",
     "{{text}", "{TEXT}", "{te{xt}"],
)  # fmt: skip
def test_what_is_no_placeholder_is_refused_when_it_is_registered(item: str) -> None:
    """At the first sending nobody would be there to read the error."""
    with pytest.raises(BadInput, match="placeholder") as caught:
        check_template(["p", item])
    assert caught.value.code == "bad_target"
    assert "{conversation}" in str(caught.value.hint)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        [""],
        ["  "],
        ["{text}"],
        ["/bin/{kind}"],
        ["p", "a\0b"],
        ["p", "\ud800"],
        ["p"] * 201,
        ["p", "x" * TEMPLATE_MAX],
    ],
    ids=range(9),
)
def test_what_no_program_could_take_is_refused(argv: list[str]) -> None:
    with pytest.raises(BadInput):
        check_template(argv)


@pytest.mark.parametrize("text", ["", "[", "{}", '"claude"', "[1]", '["a", null]', "[[]]", "[" * 100_000, "nul"])
def test_only_a_json_list_of_strings_is_read(text: str) -> None:
    with pytest.raises(BadInput, match="JSON"):
        parse_template(text)


def test_a_line_is_split_once_and_not_expanded() -> None:
    template = split_template("""claude -p --resume {conversation} 'it said: {text}' $HOME ~ *""")
    assert template.argv == ["claude", "-p", "--resume", "{conversation}", "it said: {text}", "$HOME", "~", "*"]
    with pytest.raises(BadInput, match="words"):
        split_template("claude 'unfinished")
    with pytest.raises(BadInput):
        split_template("x" * 1_000_000)


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", "echo {text}"],
        ["/bin/bash", "-lc", "notify '{text}'"],
        ["bash", "-o", "pipefail", "-c", "{text}"],
        ["env", "A=1", "zsh", "-c", "x {title}"],
        ["sudo", "-u", "me", "sh", "-ec", "x {title}"],
        ["fish", "--command", "{text}"],
        ["python3.11", "-c", "print('{text}')"],
        ["perl", "-ne", "{text}"],
        ["node", "--eval", "{text}"],
        ["su", "me", "-c", "{text}"],
        ["ssh", "host", "notify", "{text}"],
        ["ssh", "host", "bash", "script", "{text}"],
        ["timeout", "5", "ruby", "-e", "{text}"],
    ],
)
def test_a_value_must_not_become_code(argv: list[str]) -> None:
    """An output line such as $(reboot) would run."""
    with pytest.raises(BadInput, match="must not become code"):
        check_template(argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", 'notify "$1"', "sh", "{text}"],
        ["bash", "-c", 'echo "$OUTLAST_NOTICE_TEXT" | mail me'],
        ["bash", "script.sh", "{text}"],
        ["python3", "wake.py", "--to={conversation}", "{text}"],
        ["ssh", "host", "claude -p --continue"],
        RESUME,
    ],
)
def test_a_value_may_be_an_argument_of_a_script(argv: list[str]) -> None:
    assert check_template(argv).argv == argv


@pytest.mark.parametrize(
    ("argv", "values", "filled"),
    [
        (["p", "{text}"], {"text": "--delete"}, ["p", " --delete"]),
        (["p", "{title}: {text}"], {"title": "-x", "text": "y"}, ["p", " -x: y"]),
        (["p", "--", "{text}"], {"text": "--delete"}, ["p", "--", "--delete"]),
        (["p", "--", "{conversation}"], {"conversation": "-x"}, ["p", "--", "-x"]),
        (["p", "--text={text}"], {"text": "--delete"}, ["p", "--text=--delete"]),
        (["p", "-m{conversation}"], {"conversation": "-x"}, ["p", "-m-x"]),
        (["p", "{text}", "--", "a"], {"text": "-"}, ["p", " -", "--", "a"]),
    ],
)
def test_a_text_that_looks_like_an_option_is_none(argv: list[str], values: dict[str, str], filled: list[str]) -> None:
    assert check_template(argv).fill(VALUES | values) == filled


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["p", "{conversation}"], {"conversation": "--dangerously-skip-permissions"}),
        (["p", "--resume", "{conversation}"], {"conversation": "-x"}),
        (["p", "{conversation}{text}"], {"conversation": "", "text": "-x"}),
        (["p", "{kind}-x"], {"kind": ""}),
    ],
)
def test_a_name_that_looks_like_an_option_is_refused(argv: list[str], values: dict[str, str]) -> None:
    """A space in front would make it another name."""
    with pytest.raises(Unfit, match="read as an option"):
        check_template(argv).fill(VALUES | values)


# Anything an argument can hold.
words = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40)


@given(st.lists(words, max_size=6))
def test_any_list_without_gaps_comes_out_as_it_went_in(items: list[str]) -> None:
    argv = ["p", *(item.replace("{", "{{").replace("}", "}}") for item in items)]
    template = check_template(argv)
    assert template.fill({}) == ["p", *items]
    assert parse_template(written(template.argv)).argv == argv


@given(words, words)
def test_a_value_is_one_argument_and_is_not_looked_at_again(text: str, title: str) -> None:
    values = VALUES | {"text": text, "title": title}
    argv = check_template(["p", "a{text}", "--x={title}{text}", "{{{title}}}"]).fill(values)
    assert argv == ["p", "a" + text, f"--x={title}{text}", f"{{{title}}}"]


@settings(max_examples=10, deadline=None)
@given(st.lists(words, min_size=1, max_size=20))
def test_a_real_program_sees_the_value_as_it_is(texts: list[str]) -> None:
    template = check_template([sys.executable, "-c", "import sys, json; print(json.dumps(sys.argv[1:]))", "={text}"])
    for text in texts[:2]:
        ran = subprocess.run(template.fill({"text": text}), capture_output=True, check=True)
        assert json.loads(ran.stdout) == ["=" + text]
