"""One connection from the gateway to a supervisor: requests with answers, and events in between."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, cast

from outlast.core.errors import Conflict, GatewayTrouble
from outlast.process.keeper.wire import Inbox, Message, WireError

_ENDED = "the command has already ended"
_ERRORS = {
    "ended": ("session_ended", _ENDED, "outlast process log ID shows what it printed"),
    "no_stdin": (
        "no_stdin",
        "the session has no writable standard input",
        "start it with stdin: pipe, or with pty",
    ),
    "stdin_full": (
        "stdin_full",
        "the command does not read its input and the buffer is full",
        "wait until it reads",
    ),
    "not_a_pty": ("not_a_pty", "the session has no terminal", "start it with pty: true"),
}


class LinkLost(Exception):
    """The supervisor closed the connection: it ended, or it was killed."""


class Link(asyncio.Protocol):
    """The gateway's end. ``on_event`` gets every message without a request number; ``on_lost`` is called once."""

    __slots__ = ("_answers", "_inbox", "_last", "_transport", "early", "lost", "on_event", "on_lost")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._inbox = Inbox()
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._last = 0
        self.lost = False
        self.early: list[Message] = []
        self.on_event: Callable[[Message], None] = _ignore
        self.on_lost: Callable[[], None] = _ignore_loss

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        try:
            messages = self._inbox.feed(data)
        except WireError:
            self.close()
            return
        for message in messages:
            n = message.get("n")
            if n is None:
                self.on_event(message)
            elif (answer := self._answers.pop(n, None)) is not None and not answer.done():
                answer.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self.lost = True
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(LinkLost())
        self._answers.clear()
        self.on_lost()

    def post(self, message: dict[str, Any]) -> None:
        """Send without waiting for an answer; silently nothing when the link is lost."""
        self._write(frame(message))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self.lost:
            self._transport.write(data)

    async def open(self, path: str, message: Message) -> None:
        """Connect to ``path`` with ``message`` as the first words. Raises OSError.

        They are sent before the loop takes the connection in, so that the other side is at work meanwhile.
        """
        data = frame(message)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(path)
            sent = sock.send(data)
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=sock)
        except BaseException:
            sock.close()
            raise
        if sent < len(data):
            self._write(data[sent:])

    async def ask(self, op: str, **fields: object) -> Message:
        """Send a request and return its answer. Raises LinkLost, Conflict or GatewayTrouble."""
        if self.lost:
            raise LinkLost
        self._last = n = self._last + 1
        self._answers[n] = answer = asyncio.get_running_loop().create_future()
        self.post({"op": op, "n": n, **fields})
        try:
            reply: Message = await answer
        finally:
            self._answers.pop(n, None)
        if "error" in reply:
            raise _error_of(reply)
        return reply

    def close(self) -> None:
        """Hang up; the session does not mind."""
        if self._transport is not None:
            self._transport.close()


def json_line(value: object) -> str:
    """Return ``value`` as ASCII JSON without blanks, as `keeper.wire.compact` does, by the library's quick encoder."""
    return json.dumps(value, separators=(",", ":"))


def frame(message: Message) -> bytes:
    """Return the frame for one message."""
    body = json_line(message).encode("ascii")
    return len(body).to_bytes(4, "big") + body


def _error_of(reply: Message) -> Exception:
    name = str(reply["error"])
    if name in _ERRORS:
        code, message, hint = _ERRORS[name]
        return Conflict(message, code=code, hint=hint)
    if name == "unknown_op":
        return Conflict("this session is kept by an older version that cannot do this", code="old_keeper")
    return GatewayTrouble(f"the keeper could not do it: {reply.get('message') or name}", code="keeper_error")


def _ignore(message: Message) -> None:
    """Nobody listens yet."""


def _ignore_loss() -> None:
    """Nobody listens yet."""
