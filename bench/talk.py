"""The cheapest callers there can be, so that what is measured is the other side.

`Line` speaks HTTP/1.1 over the gateway's Unix socket on one kept connection; `KeeperCall` starts a session at the
keeper's own socket, without a gateway in between.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

from outlast.process.keeper.wire import Inbox, Message, pack

_LENGTH = re.compile(rb"content-length: (\d+)", re.I)


class Line(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self) -> None:
        self._held = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None

    @classmethod
    async def open(cls, path: str) -> Line:
        _, line = await asyncio.get_running_loop().create_unix_connection(cls, path)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the gateway hung up"))

    def data_received(self, data: bytes) -> None:
        self._held = held = self._held + data if self._held else data
        end = held.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(held, 0, end)
        assert found, held[:end]
        size = end + 4 + int(found[1])
        if len(held) >= size and self._answer is not None:
            self._held = held[size:]
            self._answer.set_result((int(held[9:12]), held[end + 4 : size]))

    async def send(self, request: bytes) -> bytes:
        """Send a whole request (see `post_of`) and return the body of its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        status, body = await self._answer
        if status != 200:
            raise RuntimeError(f"{status}: {body.decode('utf-8', 'replace')[:500]}")
        return body

    async def post(self, path: str, **fields: object) -> dict[str, Any]:
        return json.loads(await self.send(post_of(path, fields)))

    async def get(self, path: str) -> dict[str, Any]:
        return json.loads(await self.send(get_of(path)))

    def close(self) -> None:
        self._transport.close()


def post_of(path: str, fields: object) -> bytes:
    body = json.dumps(fields).encode()
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)


def get_of(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode()


class KeeperCall(asyncio.Protocol):
    """One start at the keeper: ``started`` and ``exit`` say after how many seconds each was known."""

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._began = 0.0
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.started = 0.0
        self.exit = 0.0

    @classmethod
    async def run(cls, run: str, request: Message) -> KeeperCall:
        began = time.perf_counter()
        transport, call = await asyncio.get_running_loop().create_unix_connection(cls, f"{run}/keeper.sock")
        call._began = began
        transport.write(pack(request))
        try:
            await call._over
        finally:
            transport.close()
        return call

    def data_received(self, data: bytes) -> None:
        for message in self._inbox.feed(data):
            seconds = time.perf_counter() - self._began
            if message.get("ev") == "started":
                self.started = seconds
            elif message.get("ev") == "exit" and not self._over.done():
                self.exit = seconds
                self._over.set_result(None)
            elif "error" in message and not self._over.done():
                self._over.set_exception(RuntimeError(str(message)))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over.done():
            self._over.set_exception(ConnectionError("the keeper hung up"))


def keeper_request(session_id: str, argv: list[str], env: dict[str, str]) -> Message:
    """A start as a gateway composes it."""
    spec = {"id": session_id, "argv": argv, "cwd": "/", "env": {**env, "OUTLAST_SESSION_ID": session_id}}
    line = {"id": session_id, "argv": argv, "cwd": "/", "requester": "local", "created_at": time.time()}
    return {"op": "start", "protocol": 1, "spec": spec, "line": json.dumps(line, separators=(",", ":"))}
