"""Output as text: bounded, readable, and every byte either shown or accounted for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.api.shown import show, subtract
from outlast.core.session import Span
from outlast.process.output import Output


def output(folder: Path, data: bytes, gap: tuple[int, int] | None = None) -> Output:
    (folder / "out").write_bytes(data)
    if gap:
        (folder / "gaps").write_bytes(b"%020d %020d\n" % gap)
    return Output(str(folder))


@pytest.mark.parametrize(
    ("data", "room", "head", "expected"),
    [
        (b"short", 10, True, "short"),
        (b"0123456789", 4, True, "0\n… 6 bytes left out …\n789"),
        (b"0123456789", 4, False, "… 6 bytes left out …\n6789"),
        ("ééééé".encode(), 5, False, "… 6 bytes left out …\néé"),
        ("ééééé".encode(), 4, True, "\n… 8 bytes left out …\né".lstrip("\n")),
        (b"\x1b[31mred\x1b[0m\r\nnext", 100, True, "red\nnext"),
    ],
)
def test_too_much_is_cut_and_marked(tmp_path: Path, data: bytes, room: int, head: bool, expected: str) -> None:
    shown = show(output(tmp_path, data), 0, len(data), max_bytes=room, head=head)
    assert shown.text == expected


def test_raw_keeps_every_control_byte(tmp_path: Path) -> None:
    data = b"\x1b[31mred\r\n\x00\xff"
    assert (
        show(output(tmp_path, data), 0, len(data), max_bytes=100, head=True, raw=True).text
        == "\x1b[31mred\r\n\x00\ufffd"
    )


@pytest.mark.parametrize(("data", "cursor"), [(b"ab\xe2\x82", 2), (b"ab\x1b[3", 2), (b"ab\x1b]0;ti", 2), (b"ab", 2)])
def test_while_running_an_unfinished_end_is_held_back(tmp_path: Path, data: bytes, cursor: int) -> None:
    shown = show(output(tmp_path, data), 0, len(data), max_bytes=100, head=True, running=True)
    assert (shown.text, shown.cursor, shown.omitted) == ("ab", cursor, ())
    done = show(output(tmp_path, data), 0, len(data), max_bytes=100, head=True, running=False)
    assert done.cursor == len(data)


@given(
    st.binary(max_size=400),
    st.integers(0, 400),
    st.integers(0, 400),
    st.integers(1, 300),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.tuples(st.integers(0, 300), st.integers(1, 100)),
)
def test_every_byte_is_shown_or_named_as_left_out(
    data: bytes, a: int, b: int, room: int, head: bool, raw: bool, running: bool, gap: tuple[int, int]
) -> None:
    """Shown and omitted bytes add up to the range, whatever is in it; the text never grows beyond the room."""
    start, end = sorted((min(a, len(data)), min(b, len(data))))
    hole = (gap[0], min(gap[0] + gap[1], len(data))) if gap[0] < len(data) else None
    with tempfile.TemporaryDirectory() as folder:
        shown = show(output(Path(folder), data, hole), start, end, max_bytes=room, head=head, raw=raw, running=running)
    omitted = sum(span.end - span.start for span in shown.omitted)
    assert shown.shown + omitted == shown.cursor - start
    assert shown.shown <= room
    assert start <= shown.cursor <= end
    assert running or shown.cursor == end
    shown.text.encode("utf-8")


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=5))
def test_subtracting_leaves_exactly_the_rest(parts: list[tuple[int, int]]) -> None:
    spans = sorted((Span(a, a + n) for a, n in parts), key=lambda span: span.start)
    left = subtract(Span(5, 45), spans)
    covered = {i for span in spans for i in range(span.start, span.end)}
    assert {i for span in left for i in range(span.start, span.end)} == set(range(5, 45)) - covered
    assert all(span.start < span.end for span in left)
