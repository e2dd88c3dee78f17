"""Shell words: quotes, comments, expansions and here-documents never turn into commands."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.shell_words import split


def shown(command: str) -> list[str]:
    """Words as they are, operators as <op>, here-documents as [text]."""
    marks = {"word": "{}", "operator": "<{}>", "body": "[{}]"}
    return [marks[token.kind].format(token.text) for token in split(command)]


@pytest.mark.parametrize(
    ("command", "tokens"),
    [
        ("", []),
        ("a b", ["a", "b"]),
        ("a;b&&c||d|e&f", ["a", "<;>", "b", "<&&>", "c", "<||>", "d", "<|>", "e", "<&>", "f"]),
        ("a\nb", ["a", "<\n>", "b"]),
        ("a\\\nb c\\\n d", ["ab", "c", "d"]),
        ("a'b c'd", ["ab cd"]),
        ("'' \"\"", ["", ""]),
        ('"a; b" c', ["a; b", "c"]),
        (r'"a \"b\" \$x \n"', [r'a "b" $x \n']),
        (r"a\;b", ["a;b"]),
        ("$'a\\nb\\'c' d", ["a\nb'c", "d"]),
        ('$"a b" c', ["a b", "c"]),
        ("a # b; c\nd", ["a", "<\n>", "d"]),
        ("a # b", ["a"]),
        ("(a $(b))", ["<(>", "a", "$(b)", "<)>"]),
        ("a << E\nb\nE\nd", ["a", "[b\n]", "<\n>", "d"]),
        ("a <<E\nb\nE\nc\nd", ["a", "[b\n]", "<\n>", "c", "<\n>", "d"]),
        ("a <<E", ["a", "[]"]),
        ("a <<\nb\n\nc", ["a", "[b\n]", "<\n>", "c"]),
        ("a#b 'x'#y", ["a#b", "x#y"]),
        ("a=$(b; c) d", ["a=$(b; c)", "d"]),
        ('a="$(b "c d")" e', ['a=$(b "c d")', "e"]),
        ("`a; b` c", ["`a; b`", "c"]),
        ("${a:-b;c} d", ["${a:-b;c}", "d"]),
        ("$((1+(2*3))) d", ["$((1+(2*3)))", "d"]),
        ("((i<3)); a", ["((i<3))", "<;>", "a"]),
        ("( (a; b) )", ["<(>", "<(>", "a", "<;>", "b", "<)>", "<)>"]),
        ("((a; b) ; c)", ["<(>", "<(>", "a", "<;>", "b", "<)>", "<;>", "c", "<)>"]),
        ("a 2>&1 >b", ["a", "<>&>", "1", "<>>", "b"]),
        ("a <(b; c) d", ["a", "<(b; c)", "d"]),
        ("a <<E\nb; c\nE\nd", ["a", "[b; c\n]", "<\n>", "d"]),
        ("a <<'E' | f\nb\nE\nd", ["a", "[b\n]", "<|>", "f", "<\n>", "d"]),
        ("a <<-E\n\tb\n\tE\nd", ["a", "[\tb\n]", "<\n>", "d"]),
        ("a <<E\n E\nE", ["a", "[ E\n]", "<\n>"]),
        ("a <<A <<B\n1\nA\n2\nB\nd", ["a", "[1\n]", "[2\n]", "<\n>", "d"]),
        ("a <<E\nnever ended", ["a", "[never ended]", "<\n>"]),
        ("a <<<'b c'", ["a", "<<<<>", "b c"]),
        ("a 'never ended; b", ["a", "never ended; b"]),
        ('a "never ended; b', ["a", "never ended; b"]),
        ("a $(never ended; b", ["a", "$(never ended; b"]),
        ("a\\", ["a"]),
        ("a\x0cb", ["a", "b"]),
    ],
)
def test_tokens(command: str, tokens: list[str]) -> None:
    assert shown(command) == tokens


def test_only_a_bare_word_can_be_reserved() -> None:
    plain = {token.text: token.plain for token in split("while 'until' d\\o \"for\" $x")}
    assert plain == {"while": True, "until": False, "do": False, "for": False, "$x": False}


@given(st.lists(st.text()))
def test_quoted_words_come_back(words: list[str]) -> None:
    tokens = split(shlex.join(words))
    assert [token.text for token in tokens] == words
    assert all(token.kind == "word" for token in tokens)


@given(st.text(alphabet="ab'\"\\$`(){}<>|&;#\n\t E="))
def test_any_text_is_taken_apart(command: str) -> None:
    for token in split(command):
        assert token.kind in ("word", "operator", "body")


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "((",
        "$(",
        "${",
        "`",
        "'",
        '"',
        "\\",
        "$'",
        "<(",
        "<<E ",
        "<<E\n",
        "#",
        ";",
        "a ",
        "$((",
        '"$(',
        "('",
        "x\\'",
        "\n",
    ],
)
def test_a_lot_of_anything_takes_linear_time(piece: str) -> None:
    """A quadratic reader would need minutes for each of these."""
    split(piece * (200_000 // len(piece)))
