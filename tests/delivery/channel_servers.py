"""Receivers on loopback for the tests of the channels: they do what they are told, also the wrong thing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeVar

import pytest
import standardwebhooks

from outlast.delivery.channels.addresses import parse_allowed
from outlast.delivery.channels.base import Message, SendFailed
from outlast.delivery.channels.signature import new_secret, read_secret
from outlast.delivery.channels.threads import Threads
from outlast.delivery.channels.urls import parse_url
from outlast.delivery.channels.webhook import Webhook
from outlast.process.clock import SystemClock

T = TypeVar("T")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HERE = parse_allowed(["127.0.0.1"])
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


LIMIT = 120.0
"""Seconds that a receiver which does answer is given, and that a test may wait: a busy machine needs some."""


def run(act: Awaitable[T], seconds: float = 2 * LIMIT) -> T:
    """Run an act in a loop of its own; nothing here may take longer than that."""

    async def main() -> T:
        return await asyncio.wait_for(act, seconds)

    return asyncio.run(main())


def message(**fields: Any) -> Message:
    plain: dict[str, Any] = {
        "id": "t-1:fail:3",
        "at": 1_795_000_000.125,
        "kind": "task.ended",
        "title": '"build" failed',
        "text": "It failed.\n| last line",
        "conversation": "agent:coder:main",
        "data": {"taskId": "t-1", "status": "failed"},
    }
    return Message(**plain | fields)


class Server:
    """A TCP server on 127.0.0.1 (or another loopback address) while the context lasts.

    Its port is its own before and after that too, on every address: where it does not listen, nobody does.
    """

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._handler = handler
        self._tls = tls
        self._host = host
        self.connections = 0
        self.hung_up = asyncio.Event()
        self.arrived = asyncio.Event()
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("0.0.0.0", 0))
        weakref.finalize(self, held.close)
        self.port: int = held.getsockname()[1]

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.arrived.set()
        try:
            await self._handler(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.hung_up.set()


class Request:
    """One request as it came."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.line = line
        self.headers = headers
        self.body = body


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    line, *rest = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in rest)}
    assert len(headers) == len(rest), "a header came twice"
    return Request(line, headers, await reader.readexactly(int(headers["content-length"])))


class Receiver(Server):
    """An HTTP server: keeps every request and answers with ``answers`` in turn, the last one again and again."""

    def __init__(self, *answers: bytes, **options: Any) -> None:
        super().__init__(self._answer, **options)
        self._answers = answers or (OK,)
        self.requests: list[Request] = []

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await read_request(reader))
        turn = min(len(self.requests), len(self._answers)) - 1
        writer.write(self._answers[turn])
        await writer.drain()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read and never answer."""
    while await reader.read(65_536):
        pass


SECRET = new_secret()


def hook(url: str, *, secrets: tuple[str, ...] = (SECRET,), **options: Any) -> Webhook:
    options = {"clock": SystemClock(), "threads": Threads(4), "allowed": HERE, "timeout_seconds": LIMIT} | options
    return Webhook(parse_url(url), [read_secret(secret) for secret in secrets], **options)


def verified(request: Request, secret: str = SECRET) -> dict[str, Any]:
    """The body, after the public library has found the signature good."""
    body = standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    assert isinstance(body, dict)
    return body


async def failure(sending: Any) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await sending
    assert "\n" not in caught.value.reason
    assert len(caught.value.reason) <= 300
    return caught.value
