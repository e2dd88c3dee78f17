"""Watching one session for what somebody waits for: its end, a pattern, a port, or quiet.

Nothing here looks again and again by the clock but at what no event announces: a port, and the output of what
an ended command left running. That only while somebody waits. A watch looks at what is there first, so that a
wait for the past is answered at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, NamedTuple

from outlast.api.context import Api
from outlast.api.matcher import Match, Matcher, Regexp
from outlast.process.sessions import Session

CHUNK = 256 * 1024
PAUSE = 0.2
"""Seconds without output after which a match that reaches to the end of the output counts."""
PORT_PAUSE_MIN = 0.02
PORT_PAUSE_MAX = 0.5
ROUNDING = 1e-6
"""Seconds a sleep may seem to end too early because times are floats."""
PORT_ANSWER = 1.0
"""Seconds a local port may take to accept before it counts as closed."""


class Wants(NamedTuple):
    """What to wait for: any of those given. ``regexp`` is a compiled pattern, ``quiet`` in seconds."""

    exit: bool = False
    regexp: Regexp | None = None
    port: int | None = None
    quiet: float | None = None
    since: int = 0


class Watch:
    """One session and what is wanted of it. ``met`` and ``matched`` tell how it came out."""

    def __init__(self, api: Api, session: Session, wants: Wants) -> None:
        self.session = session
        self.met = False
        self.matched: Match | None = None
        self._api = api
        self._wants = wants
        self._matcher = Matcher(wants.regexp, wants.since) if wants.regexp is not None else None
        self._read_to = wants.since
        self._port_pause = 0.0
        self._port_at = 0.0

    async def run(self) -> None:
        """Return when what is wanted has happened, or no longer can, or the gateway is stopping."""
        while not await self.look():
            await self._next_news()
            if self._api.stopping:
                return

    async def look(self) -> bool:
        """Look at what is there now. True when there is nothing left to wait for."""
        ended, drained = self.session.end is not None, self.session.drained
        if (
            (self._matcher is not None and await self._search(self._matcher, drained))
            or (ended and (self._wants.exit or self._wants.quiet is not None))
            or await self._port_answers()
        ):
            self.met = True
        elif self._wants.quiet is not None:
            self.met = self._quiet_left(self._wants.quiet) <= ROUNDING
        return self.met or drained

    async def _next_news(self) -> None:
        """Wait until a second look may see something else."""
        api, session = self._api, self.session
        waits: list[Coroutine[Any, Any, object]] = []
        if session.end is None:
            waits.append(api.sessions.until_end(session))
        else:
            waits.append(api.sessions.until_drained(session))
        if self._matcher is not None:
            if self._matcher.pending:
                waits.append(self._settle(self._matcher))
            if session.end is None:
                waits.append(api.sessions.until_output(session, self._read_to))
            else:
                waits.append(api.sessions.until_more(session, self._read_to))
        if self._wants.port is not None:
            waits.append(api.clock.sleep(max(0.0, self._port_at - api.clock.monotonic())))
        if self._wants.quiet is not None:
            waits.append(api.clock.sleep(max(0.001, self._quiet_left(self._wants.quiet))))
        await api.first(*waits)

    async def _settle(self, matcher: Matcher) -> None:
        """Take the uncertain match when nothing more comes for a moment."""
        await self._api.clock.sleep(PAUSE)
        self.matched = matcher.settle()

    async def _search(self, matcher: Matcher, drained: bool) -> bool:
        """Search all output there is; let others run between two chunks."""
        output = self.session.output
        while self.matched is None and self._read_to < (produced := output.produced):
            end = min(self._read_to + CHUNK, produced)
            for offset, _, data in output.pieces(self._read_to, end, CHUNK):
                self.matched = matcher.feed(offset, data)
                if self.matched is not None:
                    return True
            self._read_to = end
            await asyncio.sleep(0)
        if self.matched is None and drained:
            self.matched = matcher.settle()
        return self.matched is not None

    async def _port_answers(self) -> bool:
        api = self._api
        if self._wants.port is None or api.clock.monotonic() < self._port_at - ROUNDING:
            return False
        if await port_open(self._wants.port):
            return True
        self._port_pause = min(PORT_PAUSE_MAX, max(PORT_PAUSE_MIN, self._port_pause * 1.5))
        self._port_at = api.clock.monotonic() + self._port_pause
        return False

    def _quiet_left(self, seconds: float) -> float:
        session = self.session
        since = session.last_output_at or session.started_at or session.info.created_at
        return seconds - (self._api.clock.now() - since)


async def port_open(port: int) -> bool:
    """True when a TCP port of this host accepts a connection on the loopback address (IPv4 or IPv6)."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError:  # no IPv6 here
            continue
        with sock:
            sock.setblocking(False)
            try:
                async with asyncio.timeout(PORT_ANSWER):
                    await asyncio.get_running_loop().sock_connect(sock, (host, port))
                # A connection to a free port of the ephemeral range can meet itself.
                if sock.getsockname()[:2] != sock.getpeername()[:2]:
                    return True
            except OSError:
                continue
    return False
