"""Program output as readable text."""

import json
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlast.process.plain import HELD_MAX, PlainText, plain, strip_codes

# Bytes in which every rule is likely to be met.
PIECES = [
    *(bytes([n]) for n in (0, 7, 8, 9, 10, 13, 0x18, 0x1B, 0x5B, 0x5C, 0x5D, 0x50, 0x6D, 0x7F, 0x9B, 0xC2)),
    b"\r\n",
    b"\x1b[31m",
    b"\x1b]0;title\x07",
    b"\x1bPdata\x1b\\",
    b"\x1b(B",
    b"\x1b7",
    b"a",
    b"bc",
    b" ",
    "é".encode(),
    "漢".encode(),
    "🙂".encode(),
    b"\xe2\x82",
    b"\xff",
]
hostile = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join) | st.binary(max_size=60)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain\n", "plain\n"),
        (b"a\tb\n", "a\tb\n"),
        ("häß 漢字 🙂\n".encode(), "häß 漢字 🙂\n"),
        (b"bad \xff\xfe byte", "bad �� byte"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b[38:2::1:2:3mx\x1b[>4;2m\x1b[?25l\x1b[!py", "xy"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;Üœ title\x07x".encode(), "x"),
        (b"\x1bPq#0~\x1b\\x\x1b_Gdata\x1b\\y\x1b^pm\x1b\\z\x1bXsos\x1b\\w\x1bktitle\x1b\\v", "xyzwv"),
        (b"\x1b(0lqk\x1b(B\x1b#8\x1b%G \x1b %Gx", "lqk x"),
        (b"\x1b7\x1b8\x1b=\x1b>\x1bM\x1bcx", "x"),
        (b"\x1b]0;lost\nnext line", "\nnext line"),
        (b"\x1bPno end\nnext", "\nnext"),
        (b"\x1b]0;cut\x1b[31mred", "red"),
        (b"\x1b]0;cancel\x18x", "x"),
        (b"\x1b[12\nx", "\nx"),
        (b"\x1b\x1b[mx", "x"),
        (b"\x1b\xc3\xa9", "é"),
        (b"\xc3\x1b[m\xa9", "��"),
        (b"\xc2\x9b31mx", "31mx"),
        (b"a\r\nb\r\nc", "a\nb\nc"),
        (b"a\r\r\nb", "a\nb"),
        (b"10%\r20%\r100%\ndone", "100%\ndone"),
        (b"10%\r20%\r\n", "20%\n"),
        (b"kept\r", "kept"),
        (b"kept\r\r\r", "kept"),
        (b"old\r\rnew", "new"),
        (b"\rfirst", "first"),
        (b"old\r\x1b[Knew", "new"),
        (b"kept\r\x1b[K\n", "kept\n"),
        (b"long text\rab\nx\ry", "ab\ny"),
        (b"abc\b\bX", "aX"),
        (b"ab\n\b\bc", "ab\nc"),
        (b"\b\bx", "x"),
        (b"N\bNA\bAM\bM", "NAM"),
        (b"abc\b\b\b   \b\b\bdef\n", "def\n"),
        (b"old\rab\b\b\b\bcd", "cd"),
        ("日\b本".encode(), "本"),
        (b"a\x00b\x07c\x0bd\x0ce\x7ff\x0eg", "abcdefg"),
        (b"a\xc2\x85b\xc2\x9fc", "abc"),
        (b"tail\x1b[3", "tail"),
        (b"tail\xe2\x82", "tail�"),
    ],
)
def test_rules(data, text):
    """Each rule, once in its simplest form and once where it meets another."""
    assert plain(data) == (text, 0)


@pytest.mark.parametrize(
    ("data", "text", "held"),
    [
        (b"ab\xe2\x82", "ab", 2),
        (b"ab\xf0\x9f\x99", "ab", 3),
        (b"ab\xc3", "ab", 1),
        (b"ab\xff", "ab�", 0),
        (b"ab\x1b", "ab", 1),
        (b"ab\x1b[", "ab", 2),
        (b"ab\x1b[38;5", "ab", 6),
        (b"ab\x1b[38;5m", "ab", 0),
        (b"ab\x1b]0;ti\xc3", "ab", 7),
        (b"ab\x1b]0;ti\x1b", "ab", 7),
        (b"ab\x1b]0;ti\x1b\\", "ab", 0),
        (b"ab\x1b]0;x\x1b]0;y\x1b", "ab", 6),
        (b"ab\x1b\x1b", "ab", 1),
        (b"ab\x1bP\x1b\\\x1b", "ab", 1),
        (b"ab\x1b(", "ab", 2),
        (b"ab\xe2\x1b[", "ab�", 2),
        (b"ab\r", "ab", 0),
        (b"ab\x1b[\r", "ab", 0),
    ],
)
def test_held_back(data, text, held):
    """An unfinished sequence or character at the end is held back, and its length told."""
    assert plain(data, final=False) == (text, held)


def test_an_endless_string_is_dropped_without_being_kept():
    """Only a bounded part of an unterminated string is held; the rest of it still does not count as text."""
    decoder = PlainText()
    assert decoder.feed(b"before\x1b]52;c;") == "before"
    for _ in range(100):
        assert decoder.feed(b"QUJD" * 400) == ""
        assert decoder.held <= HELD_MAX
    assert decoder.feed(b"QUJD\x1b") == ""
    assert decoder.feed(b"\\after") == "after"
    assert decoder.held == 0


def test_a_given_up_sequence_ends_with_the_stream():
    """The stream may end inside what was given up."""
    decoder = PlainText()
    assert decoder.feed(b"x\x1b[" + b"1" * (HELD_MAX + 1)) == "x"
    assert decoder.held == 0
    assert decoder.feed(b"123") == ""
    assert decoder.held == 3
    assert decoder.feed(b"", final=True) == ""
    assert decoder.held == 0


def test_the_end_of_a_given_up_string_may_be_cut_in_two():
    """ESC \\ split over two pieces ends a string that is no longer held."""
    decoder = PlainText()
    assert decoder.feed(b"\x1bP" + b"x" * (HELD_MAX + 9) + b"\x1b") == ""
    assert decoder.held == 1
    assert decoder.feed(b"\\y") == "y"


def test_a_line_given_out_in_part_is_not_glued_to_what_overwrites_it():
    """Progress read piece by piece comes as lines."""
    decoder = PlainText()
    fed = [decoder.feed(part) for part in (b"10%\r", b"20%", b"\r30%\r", b"\n", b"done\r", b"\r\n", b"x\ry\n")]
    assert fed == ["10%", "\n20%", "\n30%", "\n", "done", "\n", "y\n"]


def test_what_is_held_back_is_given_out_with_the_rest():
    """A character and a sequence, cut anywhere, come out once and whole."""
    data = "one \x1b[31m漢\x1b]0;t\x1b\\ two\r\n".encode()
    for cut in range(len(data) + 1):
        decoder = PlainText()
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:], final=True) == "one 漢 two\n"


def test_starting_anew_at_what_was_held_back_loses_nothing():
    """A reader with a byte cursor may decode each piece alone, from where the last one stopped."""
    data = "one \x1b[31m漢\x1b]0;t\x1b\\ two\r\n".encode()
    for cut in range(len(data) + 1):
        text, held = plain(data[:cut], final=False)
        assert text + plain(data[cut - held :])[0] == "one 漢 two\n"


def reference(data: bytes) -> str:
    """The rules about lines, said a second time: one character after the other."""
    lines = []
    for line in data.decode("utf-8", "replace").split("\n"):
        parts = [""]
        for char in line:
            if char == "\r":
                parts.append("")
            elif char == "\b":
                parts[-1] = parts[-1][:-1]
            else:
                parts[-1] += char
        lines.append(next((part for part in reversed(parts) if part), ""))
    return "\n".join(lines)


@given(st.text(alphabet="\b\r\nab漢", max_size=40).map(str.encode))
@example(b"abc\r\b\n")
def test_lines_agree_with_the_rule_told_slowly(data):
    """Backspace and CR give what a character by character reading gives."""
    assert plain(data)[0] == reference(data)


@given(hostile)
def test_anything_becomes_clean_text(data):
    """No input crashes, no control character comes through, and the text can go into JSON."""
    text, held = plain(data)
    assert held == 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert json.loads(json.dumps(text).encode("utf-8")) == text
    assert text.encode("utf-8").decode("utf-8") == text


@given(st.text().filter(lambda text: not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)))
def test_text_without_controls_is_unchanged(text):
    """Tabs, newlines and every other character stand as they were."""
    assert plain(text.encode()) == (text, 0)


@given(hostile.map(lambda data: re.sub(rb"[\r\x08]", b"", data)), st.lists(st.integers(0, 200), max_size=6))
def test_the_cuts_between_pieces_do_not_matter(data, cuts):
    """However a stream is cut, the same text comes out (but for what CR and backspace would take back)."""
    ends = [*sorted(min(cut, len(data)) for cut in cuts), len(data)]
    decoder = PlainText()
    got = ""
    for start, end in zip([0, *ends], ends, strict=False):
        got += decoder.feed(data[start:end])
        assert decoder.held <= HELD_MAX
    assert got + decoder.feed(b"", final=True) == plain(data)[0]


FLOODS = {
    "one line": b"x" * 50_000_000,
    "CSI": b"\x1b[" * 2_500_000,
    "backspaces": b"\b" * 5_000_000,
    "ESC": b"\x1b" * 2_000_000,
    "OSC": b"\x1b]x" * 700_000,
    "endless CSI": b"\x1b[" + b"1" * 2_000_000,
    "endless OSC": b"\x1b]" + b"1" * 2_000_000,
    "endless charset": b"\x1b" + b" " * 2_000_000,
    "all rubbed out": b"a" * 1_000_000 + b"\b" * 1_000_000,
    "a long line nibbled at": b"L" * 1_000_000 + b"xy\b\b\b" * 200_000,
    "newline, backspace": b"\n\b" * 1_000_000,
    "CR": b"\r" * 2_000_000,
    "CR and text": b"a\r" * 1_000_000,
    "no UTF-8": b"\xe2\x82" * 1_000_000,
    "NUL": b"\0" * 2_000_000,
}


@pytest.mark.parametrize("name", FLOODS)
def test_hostile_floods_take_linear_time(name):
    """Far above what linear work needs here, far below what one quadratic step would take (hours)."""
    started = time.process_time()
    plain(FLOODS[name], final=False)
    assert time.process_time() - started < 60


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï 漢 🙂 \\", "plain ünï 漢 🙂 \\"),
        ("\x1b]0;evil\x07\x1b[2J", "\\x1b]0;evil\\x07\\x1b[2J"),
        ("two\nlines\ttab\r", "two\\nlines\\ttab\\r"),
        ("c1 \x9b31m \x85 del \x7f nul \0", "c1 \\x9b31m \\x85 del \\x7f nul \\x00"),
        ("turned \u202egnp.exe \u2066", "turned \\u202egnp.exe \\u2066"),
        ("bad name \udcff", "bad name \\udcff"),
        ("\u2028", "\\u2028"),
    ],
)
def test_strip_codes(text, shown):
    """What could steer a terminal is written out."""
    assert strip_codes(text) == shown


@given(st.text(st.characters()))
def test_strip_codes_never_lets_a_control_through(text):
    """The result is one printable line that can be encoded."""
    shown = strip_codes(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)
    assert shown.encode("utf-8").decode() == shown
    assert len(shown.splitlines()) <= 1
