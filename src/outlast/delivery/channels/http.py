"""One POST over one connection to an address that was checked: no redirects, no proxies, no connection kept.

The usual clients look a name up themselves, so it could be checked as one address and connected as another. Here the
socket is connected to the number that was checked; the name only serves TLS and the Host header.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import httptools

from outlast.delivery.channels.addresses import Address
from outlast.delivery.channels.urls import Url

ANSWER_MAX = 64 * 1024
"""Bytes of an answer that are read, its head included."""
BODY_KEPT = 2048
"""Bytes of an answer's body that are kept, to say why a message was refused."""
ADDRESSES_MAX = 4
"""Addresses of one host that are tried."""
BODY_SECONDS = 1.0
"""How long a body is waited for once the status is known: it only explains."""
GOODBYE_SECONDS = 1.0


class Answer(NamedTuple):
    """What a server said. Header names are in lower case; of equal ones the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes


class NoAnswer(Exception):
    """The connection ended, or made no sense, before there was an answer."""


async def post(
    url: Url,
    addresses: Sequence[Address],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tls: ssl.SSLContext | None,
    deadline: float,
) -> Answer:
    """Send a body and return the answer; of a good one the head is enough.

    The first address that can be connected to is used. ``tls`` is given for ``https``. ``deadline`` is a moment of the
    loop's clock: TimeoutError when the status is not known by then. Raises OSError (also for TLS) and NoAnswer.
    """
    async with asyncio.timeout_at(deadline):
        reader, writer = await _connect(url, addresses[:ADDRESSES_MAX], tls, deadline)
    try:
        async with asyncio.timeout_at(deadline):
            # Not drained: a server may answer and hang up before it has read everything.
            writer.write(_head(url, headers, len(body)) + body)
            reading = await _read_head(reader)
        if not 200 <= reading.status < 300:
            await _read_body(reader, reading)
        await _leave(writer)
    finally:
        writer.transport.abort()
    return Answer(reading.status, reading.headers, bytes(reading.body))


async def _connect(
    url: Url, addresses: Sequence[Address], tls: ssl.SSLContext | None, deadline: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    failure = OSError("it has no address")
    for tried, address in enumerate(addresses):
        left = len(addresses) - tried
        try:
            async with asyncio.timeout((deadline - loop.time()) / left):
                sock = await _socket(loop, address, url.port)
        except OSError as error:  # TimeoutError is one
            failure = error
            continue
        try:
            return await asyncio.open_connection(
                sock=sock,
                ssl=tls,
                server_hostname=url.host if tls else None,
                ssl_shutdown_timeout=GOODBYE_SECONDS if tls else None,
            )
        except BaseException:
            sock.close()
            raise
    raise failure


async def _socket(loop: asyncio.AbstractEventLoop, address: Address, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


def _head(url: Url, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"POST {url.target} HTTP/1.1", f"Host: {url.authority}", f"Content-Length: {length}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Reading:
    """An answer as it comes in; interim ones (1xx) are passed over."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.seen = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.has_head = self.complete = False

    def feed(self, data: bytes) -> None:
        """Take what has come. Raises NoAnswer when it is not HTTP, unless the status was known before."""
        self.seen += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.complete = True
        except httptools.HttpParserError:
            self.complete = True
            if not self.has_head:
                raise NoAnswer("what it answered is not HTTP") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self.status = self.parser.get_status_code()
        self.has_head = self.status >= 200 or self.status == 101
        if not self.has_head:
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        self.body += data[: BODY_KEPT - len(self.body)]

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.complete = self.has_head


async def _read_head(reader: asyncio.StreamReader) -> _Reading:
    reading = _Reading()
    while not reading.has_head:
        data = await reader.read(ANSWER_MAX)
        if not data:
            raise NoAnswer("it closed the connection without an answer")
        reading.feed(data)
        if reading.seen > ANSWER_MAX and not reading.has_head:
            raise NoAnswer("the head of its answer does not end")
    return reading


async def _read_body(reader: asyncio.StreamReader, reading: _Reading) -> None:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while not reading.complete and reading.seen <= ANSWER_MAX and len(reading.body) < BODY_KEPT:
                data = await reader.read(ANSWER_MAX)
                if not data:
                    return
                reading.feed(data)
    except OSError:
        pass  # late or cut off: the status says enough


async def _leave(writer: asyncio.StreamWriter) -> None:
    """Close in good order, so that a server does not see its answer refused; but wait for nobody long."""
    writer.close()
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            await writer.wait_closed()
    except OSError:
        pass
