"""The plain mechanics of HTTP over ASGI: reading a body within bounds, answering JSON, noticing who has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, MutableMapping
from typing import Any, TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from outlast.api.requests import BODY_MAX
from outlast.core.errors import BadInput, OutlastError
from outlast.surfaces.http.auth import TcpDoor

T = TypeVar("T")

CONNECTION = "outlast.connection"
DRAINED_MAX = 4 * BODY_MAX
_STATUS_OF_CODE = {"too_large": 413, "bad_range": 416}
_FIXED = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
Header = tuple[bytes, bytes]


class CallerLeft(Exception):  # not an error: there is nobody to tell
    """The caller closed the connection before the answer."""


def header_map(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers of a request by lower-case name; of a repeated one the last."""
    return dict(scope["headers"])


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole request body. Raises BadInput (``too_large``) beyond `BODY_MAX` bytes, and CallerLeft.

    A body that is too large is read to its end, up to `DRAINED_MAX`, and thrown away: a caller that is still sending
    when the connection closes never sees the answer.
    """
    headers = header_map(scope)
    announced = headers.get(b"content-length", b"0")
    size = int(announced) if announced.isdigit() else 0
    if size > DRAINED_MAX or (size > BODY_MAX and b"expect" in headers):
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        part = message.get("body", b"")
        size += len(part)
        if size <= BODY_MAX:
            parts.append(part)
        else:
            parts.clear()
        last = not message.get("more_body", False)
        if size > DRAINED_MAX or (last and size > BODY_MAX):
            raise _too_large()
        if last:
            return b"".join(parts)


def _too_large() -> BadInput:
    return BadInput(f"the request is larger than {BODY_MAX} bytes", code="too_large", hint="send it in parts")


def encode(value: object) -> bytes:
    """Return a value as JSON that is valid whatever texts are in it: a lone surrogate becomes U+FFFD."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_sound(msgspec.to_builtins(value)))


def _sound(value: object) -> object:
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    return [_sound(item) for item in value] if isinstance(value, list | tuple) else value


async def reply(send: Send, status: int, value: object, *headers: Header, close: bool = False) -> None:
    """Send a whole JSON answer."""
    body = encode(value)
    end = ((b"connection", b"close"),) if close else ()
    length = (b"content-length", b"%d" % len(body))
    await start(send, status, (b"content-type", b"application/json"), length, *headers, *end)
    await send({"type": "http.response.body", "body": body})


async def reply_error(send: Send, error: OutlastError, *, close: bool = False) -> None:
    """Send an error in its wire form with the HTTP status of its code, else of its family."""
    status = _STATUS_OF_CODE.get(error.code, error.http_status)
    await reply(send, status, error.as_dict(), close=close or error.code == "too_large")


async def start(send: Send, status: int, *headers: Header) -> None:
    """Send the head of an answer."""
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_FIXED]})


async def more(send: Send, data: bytes) -> None:
    """Send a part of a body. Returns when the transport will take the next one: that is the back-pressure."""
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def finish(send: Send) -> None:
    """End a body that was sent in parts."""
    await send({"type": "http.response.body", "body": b""})


class Connection:
    """One caller's line to us, as far as requests care: the rules of the door it came through, and its end.

    The server keeps one in ``scope["state"]`` under `CONNECTION` and says when the line is cut. ``door`` is None for
    the local socket.
    """

    __slots__ = ("_task", "door", "gone")

    def __init__(self, door: TcpDoor | None) -> None:
        self.door = door
        self.gone = False
        self._task: asyncio.Task[Any] | None = None

    def lost(self) -> None:
        """Note that nobody is there any more; cancel what is done only for the one who left."""
        self.gone = True
        if self._task is not None:
            self._task.cancel()

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns; when the caller leaves first, cancel it and raise CallerLeft."""
        self._task = asyncio.current_task()
        if self.gone:
            work.close()
            raise CallerLeft
        try:
            return await work
        except asyncio.CancelledError:
            if self.gone:
                raise CallerLeft from None
            raise
        finally:
            self._task = None


def connection_of(scope: Scope) -> Connection:
    """Return the line a request came on."""
    connection: Connection = scope["state"][CONNECTION]
    return connection


class Answer:
    """Passes messages on and remembers whether the head went out; after that an error can only cut the body off."""

    __slots__ = ("_send", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    def __call__(self, message: MutableMapping[str, Any]) -> Awaitable[None]:
        """Send one message."""
        self.started = True
        return self._send(message)
