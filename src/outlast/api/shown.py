"""Output bytes as text to show: bounded, readable, and honest about what is not in it."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from outlast.core.session import Span
from outlast.process.output import Output
from outlast.process.plain import PlainText


class Shown(NamedTuple):
    """A piece of output as text. ``cursor`` is the raw offset to read on from; spans are in raw bytes."""

    text: str
    start: int
    cursor: int
    shown: int
    omitted: tuple[Span, ...]


def show(
    output: Output,
    start: int,
    end: int,
    *,
    max_bytes: int,
    head: bool,
    raw: bool = False,
    running: bool = False,
) -> Shown:
    """Return ``start..end`` of an output as text, at most ``max_bytes`` of it.

    Too much is cut in the middle (``head``: a quarter of the room goes to the beginning) or at the
    beginning. While ``running``, an unfinished character or escape sequence at the end is held back for
    the next reading.
    """
    if start == end:
        return Shown("", start, end, 0, ())
    kept = subtract(Span(start, end), output.omitted())
    spans = _fit(kept, max_bytes, head)
    texts: list[str] = []
    exact: list[Span] = []
    for number, span in enumerate(spans):
        data = output.read(span.start, span.end)
        skip = _continuation(data) if span.start > start else 0
        last = number == len(spans) - 1
        text, held = decode(data[skip:], raw=raw, final=not (running or span.end < end))
        if span.start + skip < span.end - held:
            exact.append(Span(span.start + skip, span.end - held))
            texts.append(text)
        if span.end == end and last and running:
            end = span.end - held
    gaps = subtract(Span(start, end), exact)
    return Shown(_join(texts, exact, gaps), start, end, sum(s.end - s.start for s in exact), tuple(gaps))


def decode(data: bytes, *, raw: bool, final: bool) -> tuple[str, int]:
    """Return bytes as text (by the text rule unless ``raw``), and how many at the end were held back."""
    if raw:
        text, used = codecs.utf_8_decode(data, "replace", final)
        return text, len(data) - used
    reader = PlainText()
    return reader.feed(data, final), reader.held


def subtract(whole: Span, parts: Iterable[Span]) -> list[Span]:
    """Return what of ``whole`` is in none of ``parts`` (sorted, not overlapping)."""
    out: list[Span] = []
    at = whole.start
    for part in parts:
        if part.end <= at or part.start >= whole.end:
            continue
        if part.start > at:
            out.append(Span(at, part.start))
        at = max(at, part.end)
    if at < whole.end:
        out.append(Span(at, whole.end))
    return out


def _fit(kept: Sequence[Span], room: int, head: bool) -> list[Span]:
    """Cut spans to ``room`` bytes in all, in the middle when the ``head`` is wanted too, else at the beginning."""
    if sum(s.end - s.start for s in kept) <= room:
        return list(kept)
    first = _leading(kept, room // 4) if head else []
    return first + _trailing(kept, room - sum(s.end - s.start for s in first))


def _leading(spans: Sequence[Span], room: int) -> list[Span]:
    out: list[Span] = []
    for span in spans:
        if room <= 0:
            break
        out.append(Span(span.start, min(span.end, span.start + room)))
        room -= span.end - span.start
    return out


def _trailing(spans: Sequence[Span], room: int) -> list[Span]:
    out: list[Span] = []
    for span in reversed(spans):
        if room <= 0:
            break
        out.append(Span(max(span.start, span.end - room), span.end))
        room -= span.end - span.start
    return out[::-1]


def _continuation(data: bytes) -> int:
    """Count the bytes at a cut that belong to a character before it (at most three)."""
    count = 0
    while count < min(3, len(data)) and data[count] & 0xC0 == 0x80:
        count += 1
    return count


def _join(texts: Sequence[str], spans: Sequence[Span], gaps: Sequence[Span]) -> str:
    parts = [(span.start, text) for span, text in zip(spans, texts, strict=True)]
    parts += [(gap.start, f"\n… {gap.end - gap.start} bytes left out …\n") for gap in gaps]
    text = "".join(text for _, text in sorted(parts, key=lambda part: part[0]))
    return text.removeprefix("\n") if gaps and spans and gaps[0].start < spans[0].start else text
