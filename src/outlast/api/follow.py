"""Following a session's output to its end, in bounded pieces, for whoever streams it on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from outlast.api.context import Api
from outlast.api.queries import check_range
from outlast.api.shown import subtract
from outlast.core.errors import BadInput
from outlast.core.session import Span
from outlast.process.sessions import Session

CHUNK = 192 * 1024
"""Bytes read and sent at a time: what the usual buffer of a Unix socket takes in one go."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which a sign of life is sent."""


class Piece(NamedTuple):
    """Output of one stream (1 stdout, 2 stderr) at a raw offset; stream 3: what is missing up to ``end``."""

    stream: int
    start: int
    end: int
    data: bytes


OMITTED = 3


def start_of(session: Session, where: str | None) -> int:
    """Read where to follow from: a byte offset (default 0) or ``end``. Raises BadInput (``bad_range``)."""
    produced = session.output.produced
    if where == "end":
        return produced
    if where and not (where.isascii() and where.isdigit()):
        raise BadInput(f'from: {where!r} is neither a byte offset nor "end"', code="bad_range")
    start, _ = check_range(int(where or 0), None, produced)
    return start


async def follow(api: Api, session: Session, start: int) -> AsyncIterator[list[Piece]]:
    """Yield output from ``start`` on until the session has ended and all of it was given.

    Each list holds at most `CHUNK` bytes; an empty one is a sign of life after `KEEP_ALIVE` seconds. The
    next piece is read only when it is asked for. Stops early, without the end, when the gateway is
    stopping.
    """
    at = start
    output = session.output
    while True:
        ended = session.end is not None
        produced = output.produced
        while at < produced:
            end = min(at + CHUNK, produced)
            yield _pieces(session, at, end)
            at = end
        if ended and at >= output.produced:
            return
        if not ended and at >= output.produced:
            woken = await api.first(api.sessions.until_output(session, at), seconds=KEEP_ALIVE)
            if api.stopping:
                return
            if woken is None:
                yield []


def _pieces(session: Session, start: int, end: int) -> list[Piece]:
    """Read one range: what is there, and what is left out, in the order of offsets."""
    found = [
        Piece(stream, offset, offset + len(data), data)
        for offset, stream, data in session.output.pieces(start, end, CHUNK)
    ]
    missing = subtract(Span(start, end), [Span(piece.start, piece.end) for piece in found])
    found += [Piece(OMITTED, span.start, span.end, b"") for span in missing]
    return sorted(found, key=lambda piece: piece.start) if missing else found
