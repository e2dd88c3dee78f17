"""The composition root: puts sessions, commands and a face together into one running gateway.

The face is handed in (`outlast.__main__` introduces the two), so the gateway knows no protocol and the face
no process. A gateway that stops leaves every session running: that is what the keeper is for.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from outlast._version import __version__
from outlast.api import cron_firing, flow_values
from outlast.api.context import AgentTurns, Api, GatewayFacts
from outlast.api.results import iso
from outlast.config import Config, ensure_dirs
from outlast.core.environment import REQUESTER
from outlast.core.errors import GatewayTrouble, OutlastError
from outlast.flows.files.program import FILE_PROGRAMS
from outlast.gateway import places
from outlast.gateway.agent_turns import staffed
from outlast.gateway.books import Books
from outlast.gateway.flow_engine import Maker
from outlast.gateway.logs import open_log
from outlast.gateway.service import Service
from outlast.gateway.stores import make_store
from outlast.gateway.telling import Telling
from outlast.ledger.agent_maintenance import prune_transcripts
from outlast.ledger.flow_maintenance import prune_flows
from outlast.ledger.maintenance import prune
from outlast.ledger.tasks import LEASE_SECONDS, Ledger
from outlast.process.clock import Clock, SystemClock
from outlast.process.keeper import crash
from outlast.process.launcher import Launcher
from outlast.process.sessions import Sessions
from outlast.scheduler.heartbeat import Heartbeats
from outlast.store.gather import on_points

log = logging.getLogger("outlast.gateway")

PROTOCOL = 1
PRUNE_EVERY = 3600.0
FORGET_MAX = 200_000
"""Tasks forgotten in one hourly pass."""
STOP_PATIENCE = 2.0
"""Seconds that answers under way get to go out when the gateway stops."""
GC_THRESHOLDS = 10_000, 20, 50
"""How much is made before rings of references are looked for: work makes few, and with Python's own 700 each task in
flight is looked at again and again."""


class Face(Protocol):
    """What serves callers on sockets."""

    async def open_local(self, sock: socket.socket) -> None:
        """Serve the local socket."""

    async def open_tcp(self, sock: socket.socket, *, token: str, names: tuple[str, ...]) -> None:
        """Serve a TCP socket to callers with the token who name us by one of ``names``."""

    async def close(self, patience: float) -> None:
        """Stop; answers under way get ``patience`` seconds to go out."""


MakeFace = Callable[[Api], Face]


def run(
    config: Config,
    *,
    face: MakeFace,
    listen: str | None = None,
    ready_fd: int | None = None,
    foreground: bool | None = None,
    allow_remote: bool = False,
    crash_at: tuple[str, str] | None = None,
) -> int:
    """Run a gateway until it is stopped; return its exit code (4 when another one runs here).

    ``listen`` is ``HOST:PORT`` for TCP beside the Unix socket (default: the config's). ``ready_fd`` gets
    ``ready`` and is closed once connections are served; with it the log goes to the log file unless
    ``foreground``. ``crash_at`` is for tests: a named point at which to die, here or in the keeper this gateway starts,
    and a file that lets it happen once.
    """
    if crash_at is not None:
        crash.arm(*crash_at)
        on_points(crash.point)
    foreground = ready_fd is None if foreground is None else foreground
    umask = os.umask(0o077)
    lock = places.Lock(config.paths.lock)
    try:
        listen = listen or config.gateway_listen
        address = places.parse_listen(listen, allow_remote=allow_remote) if listen else None
        ensure_dirs(config.paths)
        lock.take()
        open_log(config.paths.log, foreground=foreground)
        gateway = GatewayProcess(config, lock, address=address, umask=umask, crash_at=crash_at)
        asyncio.run(gateway.serve(face, ready_fd=ready_fd))
    except OutlastError as error:
        print(f"outlast: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except OSError:
        log.exception("the gateway cannot go on")
        return GatewayTrouble.exit_code
    finally:
        lock.release()
    return 0


class GatewayProcess:
    """One gateway, from its lock to its end."""

    def __init__(
        self,
        config: Config,
        lock: places.Lock,
        *,
        address: tuple[str, int] | None,
        umask: int,
        crash_at: tuple[str, str] | None = None,
    ) -> None:
        self._config = config
        self._crash_at = crash_at
        self._lock = lock
        self._address = address
        self._listen: str | None = None
        self._umask = umask
        self._clock: Clock = SystemClock()
        self._started_at = time.time()
        self._stop = asyncio.Event()

    @property
    def facts(self) -> GatewayFacts:
        """Who this gateway is."""
        paths = self._config.paths
        return GatewayFacts(
            pid=os.getpid(),
            version=__version__,
            protocol=PROTOCOL,
            started_at=self._started_at,
            socket=paths.socket,
            listen=self._listen,
            home=paths.home,
        )

    def request_stop(self) -> None:
        """Begin a graceful stop."""
        self._stop.set()

    async def serve(self, make_face: MakeFace, *, ready_fd: int | None) -> None:
        """Open everything, serve until asked to stop, and close it again in the opposite order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.request_stop)
        raise_file_limit()
        paths = self._config.paths
        launcher = Launcher(paths.home, paths.run, __version__, self._crash_at)
        sessions = Sessions(paths.home, paths.run, self._clock, launcher)
        await sessions.open(hold=True)
        try:
            await self._serve_sessions(sessions, make_face, ready_fd)
        finally:
            left = sum(1 for session in sessions.live() if session.end is None)
            await sessions.close()
            log.info("stopped; %s", _left_behind(left))

    async def _serve_sessions(self, sessions: Sessions, make_face: MakeFace, ready_fd: int | None) -> None:
        config = self._config
        environ = dict(os.environ)  # no setting: what commands inherit
        environ.pop(REQUESTER, None)  # an agent that runs the gateway does not own what others have it do
        telling = Telling(config, self._clock, environ)
        maker = Maker(config, self._clock, environ)
        books = self._books(sessions, maker)
        api = Api(
            sessions=sessions,
            config=config,
            clock=self._clock,
            environ=environ,
            gateway=self,
            books=books,
            umask=self._umask,
        )
        telling.serve(api)
        books.tell_by(telling, partial(cron_firing.firing_of, api))
        books.flow_by(maker, FILE_PROGRAMS, self._umask)
        face = make_face(api)
        prune_sessions = partial(
            sessions.prune,
            keep_seconds=config.sessions_keep_hours * 3600.0,
            keep_bytes=config.sessions_keep_bytes,
        )
        services = [
            Service("prune", prune_sessions, every=PRUNE_EVERY, clock=self._clock),
            Service("forget", partial(self._forget, books), every=PRUNE_EVERY, clock=self._clock),
        ]
        try:
            await books.open()
            await self._open(face)
            for service in services:
                service.start()
            self._announce(sessions, ready_fd)
            gc.collect()
            gc.freeze()  # what is here now stays: no collection needs to look at it again
            gc.set_threshold(*GC_THRESHOLDS)
            await self._stop.wait()
            log.info("stopping")
        finally:
            api.stop_waits()
            await face.close(STOP_PATIENCE)
            places.remove_socket(self._config.paths.socket)
            for service in services:
                await service.stop()
            await books.close()

    def _books(self, sessions: Sessions, maker: Maker) -> Books:
        config = self._config
        node = places.node_at(config.paths.node)
        worker = f"{node}/{os.getpid()}-{int(self._started_at)}"
        # The home's own file is nobody else's: our lock of the home is the lease.
        lease = LEASE_SECONDS if config.store_url else None
        ledger = Ledger(make_store(config), self._clock, node=node, worker=worker, lease_seconds=lease)
        books = staffed(ledger, sessions, maker, slots=config.tasks_slots, umask=self._umask)

        def heartbeats(turns: AgentTurns) -> Heartbeats:
            made = Heartbeats(
                ledger.store, self._clock, config.agents, turns, home=config.paths.home,
                new_session_id=sessions.new_id, news=ledger.news, node=node, shared=lease is not None,
            )  # fmt: skip
            config.agents.on_change(made.nudge)
            return made

        books.beat_by(heartbeats)
        return books

    async def _forget(self, books: Books) -> None:
        """Forget tasks, flows and beats that ended longer ago than they are kept, and quiet conversations."""
        before = self._clock.now() - self._config.tasks_keep_days * 86_400.0
        done = await prune(books.ledger, before, limit=FORGET_MAX)
        flows = await prune_flows(
            books.store, before, limit=FORGET_MAX, forget=partial(flow_values.forget, self._config)
        )
        await books.store.prune_system_events(before)
        await books.store.prune_firings(before)
        await books.store.prune_beats(before)
        quiet = self._clock.now() - self._config.transcripts_keep_days * 86_400.0
        rows = await prune_transcripts(books.store, quiet, limit=FORGET_MAX)
        await books.agents.tidy()
        if done.pruned or flows.pruned:
            log.info("forgot %d tasks and %d flows that ended long ago", done.pruned, flows.pruned)
        if rows:
            log.info("forgot quiet conversations of agents: %d rows", rows)

    async def _open(self, face: Face) -> None:
        if self._address is not None:
            host, port = self._address
            sock = places.bind_tcp(host, port)
            bound = sock.getsockname()[1]
            self._listen = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
            token = places.token_at(self._config.paths.token)
            await face.open_tcp(sock, token=token, names=(host, *self._config.gateway_allow_hosts))
        await face.open_local(places.bind_local(self._config.paths.socket))

    def _announce(self, sessions: Sessions, ready_fd: int | None) -> None:
        facts = self.facts
        content: dict[str, Any] = {
            "pid": facts.pid,
            "startedAt": iso(facts.started_at),
            "version": facts.version,
            "socket": facts.socket,
            "listen": facts.listen,
        }
        self._lock.write(content)
        adopted = sessions.adopted
        log.info(
            "outlast %s ready: pid %d, %s%s; adopted %d live and %d ended sessions (%d lost) in %.0f ms",
            facts.version,
            facts.pid,
            facts.socket,
            f" and {facts.listen}" if facts.listen else "",
            adopted.live,
            adopted.ended,
            adopted.lost,
            adopted.ms,
        )
        if ready_fd is not None:
            try:
                os.write(ready_fd, b"ready\n")
                os.close(ready_fd)
            except OSError:
                log.warning("whoever started this gateway did not wait for it")


def _left_behind(count: int) -> str:
    if count == 0:
        return "no session was running"
    return "1 session goes on without a gateway" if count == 1 else f"{count} sessions go on without a gateway"


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each live session costs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            log.warning("the limit of open files stays at %d", soft)
