"""The reading side of a session's output: any range, any time, whoever writes.

Offsets are absolute bytes since the start and never move. What the cap dropped or a full disk swallowed is a *span left
out*: reads skip it and say so; it is never handed out as zeros.
"""

from __future__ import annotations

import errno
import os
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from outlast.core.errors import BadInput
from outlast.core.session import Span
from outlast.process.keeper.spool import read_gaps

BLOCK = 1 << 18
_STEP_BACK = 1 << 16
PAGE_MAX = 1 << 20
"""Bytes of text in one page of lines; a longer line is cut there and the page says where to go on."""
COUNT_MAX = 64 << 20
"""Bytes up to which a page also counts all lines."""


@dataclass(frozen=True, slots=True)
class LinePage:
    """Some lines: their text, the number of the first, how many, how many in all (None: not counted), the byte span."""

    text: bytes
    offset: int | None
    count: int
    total: int | None
    start: int
    end: int


class Output:
    """What a session printed. Opens its files for each call, so that holding one costs nothing."""

    __slots__ = ("_folder", "_lost", "_lost_errno", "_produced")

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._produced = 0
        self._lost: list[Span] = []
        self._lost_errno: str | None = None

    def learn(self, report: dict[str, Any]) -> None:
        """Take in what a supervisor said of its spool: bytes produced, ranges a full disk swallowed."""
        self._produced = max(self._produced, int(report.get("produced", 0)))
        if "lost" in report:
            self._lost = [Span(start, end) for start, end in report["lost"]]
        self._lost_errno = report.get("lost_errno", self._lost_errno)

    @property
    def produced(self) -> int:
        """Bytes the command has written so far, kept or not."""
        try:
            size = os.stat(f"{self._folder}/out").st_size
        except OSError:
            size = 0
        return max(size, self._produced)

    @property
    def last_output_at(self) -> float | None:
        """When output last arrived, in seconds since the epoch; None before the first byte or after pruning."""
        try:
            stat = os.stat(f"{self._folder}/out")
        except OSError:
            return None
        return stat.st_mtime if stat.st_size else None

    @property
    def pruned(self) -> bool:
        """True when the output was removed to save room and only the record is left."""
        return not os.path.exists(f"{self._folder}/out")

    @property
    def lost_errno(self) -> str | None:
        """Why output was lost, as the kernel names it (``ENOSPC``); None while none was."""
        codes = [gap.errno for gap in read_gaps(self._folder) if gap.errno]
        return errno.errorcode.get(codes[-1], "EIO") if codes else self._lost_errno

    def omitted(self) -> list[Span]:
        """Return the spans that cannot be read, in order, none touching another."""
        if self.pruned:
            return [Span(0, self._produced)] if self._produced else []
        noted = [Span(gap.start, gap.end) for gap in read_gaps(self._folder)]
        spans = sorted([*self._lost, *noted], key=lambda span: span.start)
        merged: list[Span] = []
        for span in spans:
            if merged and span.start <= merged[-1].end:
                merged[-1] = Span(merged[-1].start, max(span.end, merged[-1].end))
            elif span.end > span.start:
                merged.append(span)
        return merged

    def omitted_in(self, start: int, end: int) -> list[Span]:
        """Return the omitted spans clipped to a range."""
        cut = [Span(max(s.start, start), min(s.end, end)) for s in self.omitted()]
        return [span for span in cut if span.start < span.end]

    def kept(self) -> int:
        """Bytes that can still be read."""
        return self.produced - sum(span.end - span.start for span in self.omitted())

    def read(self, start: int, end: int) -> bytes:
        """Return raw bytes of a range, without the omitted parts. Raises BadInput (``bad_range``)."""
        return b"".join(data for _, data in self.blocks(self.spans(start, end)))

    def spans(self, start: int, end: int, stream: int | None = None) -> list[Span]:
        """Return the readable spans of a range, of one stream (1 or 2) or of both. Raises BadInput (``bad_range``)."""
        produced = self.produced
        if not 0 <= start <= end or start > produced:
            raise BadInput(
                f"no such range: {start}:{end}",
                code="bad_range",
                hint=f"the output so far is 0:{produced}; give START:END with 0 <= START <= END",
            )
        out: list[Span] = []
        at = start
        end = min(end, produced)
        for gap in [*self.omitted_in(start, end), Span(end, end)]:
            if gap.start > at:
                out.append(Span(at, gap.start))
            at = max(at, gap.end)
        return out if stream is None else self._of_stream(out, stream)

    def blocks(self, spans: list[Span], size: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, bytes) for spans, a bounded piece at a time, without what the cap drops while we read."""
        if not spans:
            return
        try:
            fd = os.open(f"{self._folder}/out", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # pruned in this moment
            return
        try:
            for span in spans:
                at = span.start
                while at < span.end and (data := os.pread(fd, min(size or BLOCK, span.end - at), at)):
                    yield from self._still_there(at, data)
                    at += len(data)
        finally:
            os.close(fd)

    def _still_there(self, at: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Leave out what may have been read as zeros: a range is noted before it is dropped, so look again after."""
        end = at + len(data)
        for gap in [*self.omitted_in(at, end), Span(end, end)]:
            if gap.start > at:
                yield at, data[at - end : len(data) - (end - gap.start)]
            at = gap.end

    def pieces(self, start: int, end: int, max_bytes: int = BLOCK) -> Iterator[tuple[int, int, bytes]]:
        """Yield (offset, stream, bytes), cut where the output changes between stdout (1) and stderr (2)."""
        spans = self.spans(start, end)
        turns = self._turns()  # looked at after the spans: whatever of them was written is told apart by now
        for at, data in self.blocks(spans, max_bytes):
            first = 0
            while first < len(data):
                i = bisect_right(turns, (at + first) << 1 | 1) - 1
                stream = 1 if i < 0 else 1 + (turns[i] & 1)
                until = (turns[i + 1] >> 1) - at if i + 1 < len(turns) else len(data)
                last = min(until, len(data))
                yield at + first, stream, data[first:last]
                first = last

    def tail(self, max_bytes: int) -> tuple[int, bytes]:
        """Return (offset, bytes) of the newest output, at most ``max_bytes`` and in one piece."""
        produced = self.produced
        spans = self.spans(max(0, produced - max_bytes), produced)
        if not spans:
            return produced, b""
        return spans[-1].start, b"".join(data for _, data in self.blocks(spans[-1:]))

    def lines(self, offset: int | None, limit: int, stream: int | None = None) -> LinePage:
        """Return a page of lines: from line ``offset`` (0 is the first), or the last ``limit`` when it is None.

        Lines are counted over what is kept. Raises BadInput (``bad_range``).
        """
        if limit < 1 or (offset is not None and offset < 0):
            raise BadInput(f"no such lines: {offset}, {limit}", code="bad_range", hint="offset >= 0 and limit >= 1")
        spans = self.spans(0, self.produced, stream)
        return self._last_lines(spans, limit) if offset is None else self._lines_from(spans, offset, limit)

    def _last_lines(self, spans: list[Span], limit: int) -> LinePage:
        parts: list[tuple[int, bytes]] = []
        size = breaks = 0
        for span in reversed(spans):
            at = span.end
            while at > span.start and size <= PAGE_MAX and breaks <= limit:
                step = min(_STEP_BACK, at - span.start)
                found = list(self.blocks([Span(at - step, at)]))
                parts.extend(reversed(found))
                at -= step
                size += sum(len(data) for _, data in found)
                breaks += sum(data.count(b"\n") for _, data in found)
        parts.reverse()
        text = b"".join(data for _, data in parts)
        first = _last_starts(text, limit)
        total = self._count(spans)
        end = spans[-1].end if spans else self.produced
        shown = text[first:]
        count = _count_lines(shown)
        start = _position(parts, first) if shown else end
        return LinePage(shown, None if total is None else max(0, total - count), count, total, start, end)

    def _lines_from(self, spans: list[Span], offset: int, limit: int) -> LinePage:
        parts: list[tuple[int, bytes]] = []
        left, size, breaks = offset, 0, 0
        for at, data in self.blocks(spans):
            first, left = _skip_lines(data, left)
            if first < len(data):
                parts.append((at + first, data[first:]))
                size += len(data) - first
                breaks += data.count(b"\n", first)
            if breaks >= limit or size > PAGE_MAX:
                break
        text = b"".join(data for _, data in parts)
        last, _ = _skip_lines(text, limit)
        if last > PAGE_MAX:
            last = text.rfind(b"\n", 0, PAGE_MAX) + 1 or PAGE_MAX
        end = _position(parts, last, after=True) if last else self.produced
        start = parts[0][0] if last else end
        return LinePage(text[:last], offset, _count_lines(text[:last]), self._count(spans), start, end)

    def _count(self, spans: list[Span]) -> int | None:
        if sum(span.end - span.start for span in spans) > COUNT_MAX:
            return None
        count, last = 0, b"\n"
        for _, data in self.blocks(spans):
            count += data.count(b"\n")
            last = data[-1:]
        return count + (last != b"\n")

    def _turns(self) -> array[int]:
        """Return the stream changes as ``offset << 1 | is_stderr``; before the first everything is stdout."""
        turns = array("Q")
        try:
            with open(f"{self._folder}/seg", "rb") as file:
                data = file.read()
        except OSError:
            return turns
        turns.frombytes(data[: len(data) // 8 * 8])
        if sys.byteorder == "little":
            turns.byteswap()
        return turns

    def _of_stream(self, spans: list[Span], stream: int) -> list[Span]:
        turns = self._turns()
        out: list[Span] = []
        for span in spans:
            at = span.start
            while at < span.end:
                i = bisect_right(turns, at << 1 | 1) - 1
                current = 1 if i < 0 else 1 + (turns[i] & 1)
                until = min(turns[i + 1] >> 1 if i + 1 < len(turns) else span.end, span.end)
                if current == stream:
                    out.append(Span(at, until))
                at = until
        return out


def _count_lines(text: bytes) -> int:
    """Count newlines, and the unfinished line behind them. A carriage return or form feed is part of its line."""
    return text.count(b"\n") + (text != b"" and not text.endswith(b"\n"))


def _skip_lines(text: bytes, count: int) -> tuple[int, int]:
    """Return (offset behind that many lines or the end of the text, lines still to skip after it)."""
    found = text.count(b"\n") if count else 0
    if found < count:
        return len(text), count - found
    at = 0
    for _ in range(count):
        at = text.index(b"\n", at) + 1
    return at, 0


def _last_starts(text: bytes, limit: int) -> int:
    """Return where the last ``limit`` lines begin, or those of them that fit a page, or the end of a longer one."""
    at = len(text) - text.endswith(b"\n")
    first = 0
    for _ in range(limit):
        at = text.rfind(b"\n", 0, at)
        first = at + 1
        if at < 0:
            break
    floor = len(text) - PAGE_MAX
    if first >= floor:
        return first
    whole = text.find(b"\n", floor - 1) + 1
    return whole if 0 < whole < len(text) else floor


def _position(parts: list[tuple[int, bytes]], index: int, *, after: bool = False) -> int:
    """Return the output offset of byte ``index`` of the joined parts; ``after``: where the byte before it ends."""
    for at, data in parts:
        if index < len(data) + after:
            return at + index
        index -= len(data)
    return parts[-1][0] + len(parts[-1][1])
