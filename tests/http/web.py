"""The real HTTP server in this process, over pretended sessions, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from api_fakes import World

from outlast.gateway.places import bind_local, bind_tcp
from outlast.surfaces.http.server import HttpServer

TOKEN = "a-token-of-some-length"


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class Web:
    """A server on a Unix socket (and a TCP port) over a World."""

    def __init__(self, world: World, server: HttpServer, path: str, port: int) -> None:
        self.world = world
        self.server = server
        self.path = path
        self.port = port

    async def connect(self, *, tcp: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if tcp:
            return await asyncio.open_connection("127.0.0.1", self.port)
        return await asyncio.open_unix_connection(self.path)

    async def open(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, tcp: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request and leave the answer to the caller."""
        reader, writer = await self.connect(tcp=tcp)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = {"Host": "localhost", "Content-Length": str(len(data)), **(headers or {})}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None)
        writer.write(head.encode() + b"\r\n" + data)
        await writer.drain()
        return reader, writer

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, tcp: bool = False
    ) -> Answer:
        reader, writer = await self.open(method, path, body, headers, tcp=tcp)
        try:
            status, found = await read_head(reader)
            if found.get("transfer-encoding") == "chunked":
                parts = [part async for part in chunks(reader)]
                return Answer(status, found, b"".join(parts))
            return Answer(status, found, await reader.readexactly(int(found["content-length"])))
        finally:
            writer.close()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines[1:] if line]
    return int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)


@asynccontextmanager
async def serving(
    home: Path,
    settings: Mapping[str, str] | None = None,
    names: tuple[str, ...] = (),
    world: Any = None,
) -> AsyncIterator[Web]:
    """Serve for as long as the block lasts, a `World` of its own unless one is given."""
    world = world or World(home, settings)
    server = HttpServer(world.api)
    path = str(home / "s")
    await server.open_local(bind_local(path))
    tcp = bind_tcp("127.0.0.1", 0)
    port = tcp.getsockname()[1]
    await server.open_tcp(tcp, token=TOKEN, names=names)
    try:
        yield Web(world, server, path, port)
    finally:
        await server.close(0.0)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Cut a framed body into (kind, payload)."""
    out = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at + 1 : at + 5], "big")
        out.append((data[at], data[at + 5 : at + 5 + size]))
        at += 5 + size
    assert at == len(data)
    return out


def events(data: bytes) -> list[tuple[str, Any, str | None]]:
    """Cut an event stream into (event, data, id)."""
    out = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            out.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
    return out


def peer_socket(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    return sock
