"""Output as it comes: framed octets for programs, server-sent events for pages and pipes.

At most one chunk of 192 KiB is in flight for a caller; a slow one slows the reading, not the command, and one
that leaves ends the work at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.types import Send

from outlast.api import results
from outlast.api.context import Api
from outlast.api.follow import OMITTED, Piece, follow, start_of
from outlast.api.requests import StreamRequest
from outlast.core.errors import BadInput
from outlast.process.plain import PlainText
from outlast.process.sessions import Session
from outlast.surfaces.http import wire
from outlast.surfaces.http.wire import Connection

ID_DIGITS_MAX = 18
"""Digits of an event's id: more than that no store can have counted, nor can it be asked for."""
EVENT_FRAME = 0
KEEP_ALIVE_FRAME = 4
_STREAMS = {1: "stdout", 2: "stderr"}
_OCTETS = (b"content-type", b"application/octet-stream")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


def frame(kind: int, payload: bytes) -> bytes:
    """Return one frame: kind (1 octet), length (4 octets, big endian), payload."""
    return b"%c%b%b" % (kind, len(payload).to_bytes(4, "big"), payload)


async def stream(api: Api, session: Session, request: StreamRequest, line: Connection, send: Send) -> None:
    """Send the output from ``from`` to the session's end: framed, or as bare octets."""
    at = start_of(session, request.from_)
    await wire.start(send, 200, _OCTETS)
    with api.followed.following(session):
        await line.while_there(send_all(send, _octets(api, session, at, framed=bool(request.frames))))


async def session_events(
    api: Api, session: Session, request: StreamRequest, last_id: str | None, line: Connection, send: Send
) -> None:
    """Send the output as server-sent events, from ``Last-Event-ID`` if the caller has one."""
    at = start_of(session, last_id or request.from_)
    await wire.start(send, 200, EVENTS)
    with api.followed.following(session):
        await line.while_there(send_all(send, _output_events(api, session, at, raw=bool(request.raw))))


async def send_all(send: Send, parts: AsyncIterator[bytes]) -> None:
    """Send the parts of a body as they come, to its end."""
    async for part in parts:
        await wire.more(send, part)
        await asyncio.sleep(0)  # to a caller who left everything is sent at once: let that be noticed
    await wire.finish(send)


async def _octets(api: Api, session: Session, at: int, *, framed: bool) -> AsyncIterator[bytes]:
    async for pieces in follow(api, session, at):
        if not framed:
            yield b"".join(piece.data for piece in pieces)
        elif pieces:
            yield b"".join(map(_frame_of, pieces))
        else:
            yield frame(KEEP_ALIVE_FRAME, b"")
    if framed and not api.stopping:
        yield frame(EVENT_FRAME, wire.encode({"event": "ended", **_ended(api, session)}))


def _frame_of(piece: Piece) -> bytes:
    if piece.stream == OMITTED:
        return frame(OMITTED, msgspec.json.encode({"start": piece.start, "end": piece.end}))
    return frame(piece.stream, piece.data)


def _ended(api: Api, session: Session) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(results.describe(api, session))
    return fields


def event(name: str, data: object, id_: int | None = None) -> bytes:
    """Return one server-sent event."""
    line = b"" if id_ is None else b"id: %d\n" % id_
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), line, wire.encode(data))


async def _output_events(api: Api, session: Session, at: int, *, raw: bool) -> AsyncIterator[bytes]:
    reader = _Reader(raw=raw)
    async for pieces in follow(api, session, at):
        yield b"".join(reader.events(pieces)) if pieces else b":\n\n"
    if not api.stopping:
        rest = reader.flush()
        yield rest + event("ended", _ended(api, session), session.output.produced)


class _Reader:
    """Turns pieces into output events. The id of an event is where to go on after it, never inside a character."""

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._stream = 0
        self._text = self._new()
        self._at = 0

    def _new(self) -> PlainText | RawText:
        return RawText() if self._raw else PlainText()

    def events(self, pieces: list[Piece]) -> list[bytes]:
        out: list[bytes] = []
        for piece in pieces:
            if piece.stream != self._stream:
                out.append(self.flush())
                self._stream, self._text = piece.stream, self._new()
            if piece.stream == OMITTED:
                out.append(event("omitted", {"start": piece.start, "end": piece.end}, piece.end))
            else:
                start = piece.start - self._text.held
                text = self._text.feed(piece.data)
                self._at = piece.end
                out.append(self._event(start, piece.end - self._text.held, text))
        return out

    def flush(self) -> bytes:
        """Give out what is held back, because nothing of this stream follows directly."""
        if self._stream not in _STREAMS or not self._text.held:
            return b""
        start = self._at - self._text.held
        return self._event(start, self._at, self._text.feed(b"", final=True))

    def _event(self, start: int, end: int, text: str) -> bytes:
        data = {"start": start, "end": end, "stream": _STREAMS[self._stream], "text": text}
        return event("output", data, end) if text or end > start else b""


class RawText:
    """Decodes UTF-8 piece by piece and changes nothing else."""

    def __init__(self) -> None:
        self._pending = b""

    @property
    def held(self) -> int:
        """Bytes at the end that wait for the rest of a character."""
        return len(self._pending)

    def feed(self, data: bytes, final: bool = False) -> str:
        """Return the text of ``data`` as far as it is complete."""
        import codecs

        data = self._pending + data
        text, used = codecs.utf_8_decode(data, "replace", final)
        self._pending = data[used:]
        return text


def last_event_id(headers: dict[bytes, bytes]) -> str | None:
    """Return where a caller goes on from: a byte offset, or an event of the ledger. Raises BadInput for neither."""
    given = headers.get(b"last-event-id")
    if given is None or not given.strip():
        return None
    text = given.decode("latin-1").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > ID_DIGITS_MAX:
        raise BadInput(f"Last-Event-ID: {text!r} is not one of our ids", code="bad_range")
    return text
