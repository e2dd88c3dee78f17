"""Serving the HTTP face on sockets that somebody else has bound, without a clock.

The parsing and the transports are uvicorn's; its main loop is not used, because it wakes up ten times a
second for the sake of a date header. Here nothing runs while nothing happens.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from outlast.api.context import Api
from outlast.surfaces.http.app import HttpApp
from outlast.surfaces.http.auth import TcpDoor, peer_allowed, peer_uid
from outlast.surfaces.http.wire import CONNECTION, Connection

log = logging.getLogger("outlast.http")

HEAD_MAX = 128 * 1024
"""Bytes of a request's head; a caller that sends more without an end is cut off."""
KEEP_ALIVE_SECONDS = 75
BACKLOG = 1024
LAST_WORDS = 1.0
"""Seconds a request gets to end after its connection was cut."""


class Protocol(HttpToolsProtocol):
    """One connection. ``door`` says by which rules its requests are admitted: None for the local socket."""

    def __init__(self, config: Config, state: ServerState, door: TcpDoor | None, gone: asyncio.Event) -> None:
        self._line = Connection(door)
        super().__init__(config=config, server_state=state, app_state={CONNECTION: self._line})
        self._gone = gone
        self._refused = False
        self._head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or drop it at once when its peer is another user."""
        if self._line.door is None and not self._peer_is_ours(transport):
            self._refused = True
            self.transport = transport
            transport.abort()
            return
        super().connection_made(cast(asyncio.Transport, Joining(transport)))

    def _peer_is_ours(self, transport: asyncio.Transport) -> bool:
        try:
            uid = peer_uid(transport.get_extra_info("socket"))
        except OSError as error:
            log.warning("a connection without a known peer was refused: %s", error)
            return False
        if not peer_allowed(uid):
            log.warning("a connection of user %d was refused", uid)
        return peer_allowed(uid)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if not self._refused:
            super().connection_lost(exc)
        self._line.lost()
        self._gone.set()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head without an end is not collected for ever."""
        if self._refused or self.transport.is_closing():
            return
        self._head_size += len(data)
        super().data_received(data)
        if self._head_size > HEAD_MAX and not self.transport.is_closing():
            log.warning("a request head of more than %d bytes was refused", HEAD_MAX)
            self.send_400_response("The request head is too large.")

    def on_headers_complete(self) -> None:
        """Start to serve the request."""
        self._head_size = -(1 << 62)  # what follows is a body, which has a limit of its own
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are the head of another request."""
        self._head_size = 0
        super().on_message_complete()


class Joining:
    """A transport that sends the head of an answer together with the first of its body.

    uvicorn writes them apart. Sent apart they cost a system call more, and wake the caller once for nothing.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send ``data``, with the head before it; hold a head back until the next turn of the loop at most."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._transport.write(data)

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)

    def close(self) -> None:
        """Close the connection when everything is sent."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 — whatever else a transport can do
        return getattr(self._transport, name)


class HttpServer:
    """The listening sockets of one gateway and the connections they brought."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._state = ServerState()
        self._config = Config(
            HttpApp(api),
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._config.load()
        self._servers: list[asyncio.Server] = []
        self._gone = asyncio.Event()

    async def open_local(self, sock: socket.socket) -> None:
        """Accept connections on a bound Unix socket; their peers are checked."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: self._protocol(None), sock=sock, backlog=BACKLOG)
        self._servers.append(server)

    async def open_tcp(self, sock: socket.socket, *, token: str, names: tuple[str, ...]) -> None:
        """Accept connections on a bound TCP socket; ``names`` are Host names beside those of loopback."""
        public = self._api.config.gateway_public_url
        door = TcpDoor(port=sock.getsockname()[1], token=token, names=names, public=public)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._protocol(door), sock=sock, backlog=BACKLOG)
        self._servers.append(server)

    def _protocol(self, door: TcpDoor | None) -> Protocol:
        return Protocol(self._config, self._state, door, self._gone)

    async def close(self, patience: float) -> None:
        """Stop accepting, give answers under way ``patience`` seconds to go out, then drop what is left."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(patience):
                while self._state.connections:
                    self._gone.clear()
                    await self._gone.wait()
        except TimeoutError:
            if self._state.connections:
                log.warning("%d connections were cut off", len(self._state.connections))
        for connection in list(self._state.connections):
            connection.transport.abort()
        if self._state.tasks:  # each of them now learns that its caller has gone
            await asyncio.wait(self._state.tasks, timeout=LAST_WORDS)
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
