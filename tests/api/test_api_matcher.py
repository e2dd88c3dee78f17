"""Patterns in output that arrives in pieces."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.api.matcher import CARRY, PATTERN_MAX, Match, Matcher, compile_pattern
from outlast.core.errors import BadInput


def search(pattern: str, chunks: list[bytes], start: int = 0) -> tuple[Match | None, Matcher]:
    matcher = Matcher(compile_pattern(pattern), start)
    at = start
    for chunk in chunks:
        found = matcher.feed(at, chunk)
        at += len(chunk)
        if found:
            return found, matcher
    return None, matcher


@pytest.mark.parametrize(
    ("pattern", "chunks", "expected"),
    [
        ("ready", [b"not yet\nready\n"], Match("ready", 8, 13)),
        ("ready in", [b"rea", b"dy", b" i", b"n 5 ms"], Match("ready in", 0, 8)),
        ("^b+$", [b"abb\nbb", b"b\n"], Match("bbb", 4, 7)),
        ("x.y", ["xéy".encode()], Match("xéy", 0, 4)),
        (r"port (\d+)", [b"port 80", b"80\n"], Match("port 8080", 0, 9)),
        ("login: ", [b"Debian\nlogin: "], Match("login: ", 7, 14)),
        ("ready in", [b"\x1b[32mrea", b"dy\x1b[0", b"m in 5ms\r\n"], Match("ready in", 5, 17)),
        ("^one$", [b"one\r", b"\ntwo\r\n"], Match("one", 0, 3)),
        ("title", [b"\x1b]0;title\x07", b"title"], Match("title", 10, 15)),
        ("b", [b"\xff\xfe\x00b"], Match("b", 3, 4)),
        ("a.c", [b"a\nc abc"], Match("abc", 4, 7)),
        ("(?i)DONE", [b"all done"], Match("done", 4, 8)),
    ],
)
def test_a_match_is_found_across_chunks_with_raw_offsets(pattern: str, chunks: list[bytes], expected: Match) -> None:
    assert search(pattern, chunks)[0] == expected


def test_offsets_count_from_where_the_search_began() -> None:
    assert search("b", [b"aab"], start=1000)[0] == Match("b", 1002, 1003)


@pytest.mark.parametrize("pattern", ["ready$", r"ready\b", r"port \d+"])
def test_a_match_that_hangs_on_the_end_of_a_chunk_waits_for_more(pattern: str) -> None:
    text = b"port 80" if "port" in pattern else b"ready"
    found, matcher = search(pattern, [text])
    assert found is None
    assert matcher.pending
    assert matcher.settle() == Match(text.decode(), 0, len(text))


def test_more_output_can_take_back_an_uncertain_match() -> None:
    found, matcher = search("ready$", [b"ready", b" to rumble\n"])
    assert found is None
    assert not matcher.pending
    assert matcher.settle() is None


def test_the_beginning_of_what_is_kept_is_not_taken_for_the_beginning_of_a_line() -> None:
    inside = b"x" * CARRY + b"ab" * 10
    assert search("^ab", [inside, b"ab" * CARRY])[0] is None
    assert search("^ab", [inside, b"\nab\n"])[0] is not None


def test_a_match_may_begin_as_far_back_as_promised_and_no_farther() -> None:
    fill = b"." * (CARRY - 10)
    assert search(r"(?s)start.*end", [b"start", fill, b"end"])[0] is not None
    assert search(r"(?s)start.*end", [b"start", fill, b"." * 100, b"end"])[0] is None


def test_a_gap_in_the_output_joins_nothing() -> None:
    matcher = Matcher(compile_pattern("ab"))
    assert matcher.feed(0, b"a") is None
    assert matcher.feed(10, b"b") is None
    assert matcher.feed(11, b"ab") == Match("ab", 11, 13)


@pytest.mark.parametrize("noise", [b"\r", b"\x1b]", b"\x1b[", b"\x1b[1;", b"\x1bP\x1b"])
def test_hostile_output_takes_linear_time(noise: bytes) -> None:
    """Four MiB of half-finished sequences; a quadratic step would take hours."""
    matcher = Matcher(compile_pattern("zzz"))
    block = noise * (256 * 1024 // len(noise))
    began = time.process_time()
    for i in range(16):
        assert matcher.feed(i * len(block), block) is None
    assert time.process_time() - began < 40


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_where_the_chunks_are_cut_does_not_matter(data: bytes, cuts: list[int]) -> None:
    """Found in pieces is what is found in one; the sentinel keeps the end from deciding."""
    data += b"\x18|needle|\n"
    points = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[a:b] for a, b in pairwise(points)]
    whole, _ = search(r"\|needle\|", [data])
    cut, _ = search(r"\|needle\|", pieces)
    assert (whole is None) == (cut is None)
    if whole and cut:
        assert whole.text == cut.text == "|needle|"
        assert data[cut.start : cut.end] == b"|needle|"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)", "invalid perl operator"),
        (r"\1", "invalid escape"),
        ("[", "missing ]"),
        ("", "empty"),
        ("(?<=a)b", "invalid"),
        ("a" * (PATTERN_MAX + 1), "at most"),
        ("((((x{100}){100}){100}){100})", "repetition"),
        ("\ud800", "surrogate"),
    ],
)
def test_a_bad_pattern_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason.replace("]", r"\]")) as caught:
        compile_pattern(pattern)
    assert caught.value.code == "bad_pattern"
