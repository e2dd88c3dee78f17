"""Workers for programs: whenever a flow is ready and nobody serves its handler, one is started for its source.

A worker is a session like any other (`outlast process list` shows it), so it outlives the gateway, and the next one
finds it again. When a worker of this node dies, whoever has started it, what it held is ready for another at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from outlast.api.context import Caller
from outlast.api.exec import make_plan
from outlast.api.flow_trouble import WORKER_LABEL
from outlast.api.requests import ExecRequest
from outlast.core.errors import GatewayTrouble, OutlastError
from outlast.core.flow import FILE_HANDLER, FlowWorker
from outlast.core.settings import SETTINGS
from outlast.flows.loading import is_file, split_target
from outlast.gateway.flow_engine import Maker
from outlast.gateway.hands import insist
from outlast.process.sessions import Session, Sessions
from outlast.store.base import Change, Store

log = logging.getLogger("outlast.flows")

LABEL = WORKER_LABEL
IDLE_EXIT = 60.0
"""Seconds without work after which a worker that was started on demand leaves."""
AGAIN_FIRST, AGAIN_MAX = 1.0, 60.0
"""Seconds until a worker whose source could not be served is started again; doubled from time to time."""
TROUBLE_FIRST, TROUBLE_MAX = 0.2, 5.0
"""Seconds between two rounds while the store is in trouble."""
HEALTHY_SECONDS = 10.0
"""A worker that lived this long was well: what comes after it starts without a pause."""
NET_SECONDS = 600.0


class Failing(NamedTuple):
    """A source whose worker ended too soon: when to try it again."""

    again_at: float
    pause: float


class FlowHosts:
    """Starts workers of this home. ``start`` and ``stop`` it once; workers run on."""

    def __init__(self, store: Store, sessions: Sessions, maker: Maker, *, node: str, umask: int) -> None:
        self._store = store
        self._sessions = sessions
        self._maker = maker
        self._node = node
        self._umask = umask
        self._news = asyncio.Event()
        self._hosts: dict[str, Session] = {}
        self._failing: dict[str, Failing] = {}
        self._watched: dict[str, int] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Find the workers of an earlier gateway, and begin."""
        for session in self._sessions.live():
            labels = session.info.labels
            if LABEL in labels and session.end is None and len(labels) > 1:
                self._hold(labels[1], session)
        self._store.on_change(self._changed)
        self._spawn(self._go())

    async def stop(self) -> None:
        """Start no more."""
        for job in tuple(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        for worker_id in tuple(self._watched):
            self._watch_no_more(worker_id)

    def _spawn(self, work: object) -> None:
        job: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _changed(self, change: Change) -> None:
        if change.flows or change.foreign:
            self._news.set()

    async def _go(self) -> None:
        pause = TROUBLE_FIRST
        while True:
            self._news.clear()
            try:
                wait = await self.round()
                pause = TROUBLE_FIRST
            except GatewayTrouble as trouble:
                log.warning("flows: %s", trouble.message)
                wait, pause = pause, min(pause * 2, TROUBLE_MAX)
            except Exception:
                log.exception("workers for flows cannot be started")
                wait = AGAIN_MAX
            news = asyncio.ensure_future(self._news.wait())
            clock = asyncio.ensure_future(self._maker.clock.sleep(wait))
            try:
                await asyncio.wait((news, clock), return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
                clock.cancel()

    async def round(self) -> float:
        """Start what is missing; return the seconds until something may be."""
        now = self._maker.clock.now()
        workers = await self._store.flow_workers()
        for worker in workers:
            if worker.node == self._node and worker.id not in self._watched:
                await self._watch(worker)
        wanted = dict.fromkeys(self._configured())
        ready = [handler for handler in await self._store.ready_handlers(now) if handler != FILE_HANDLER]
        # Until when there is somebody who is believed to take what is ready.
        served = {handler: one.lease_until for one in workers if one.lease_until > now for handler in one.handlers}
        wanted |= {split_target(one)[0]: None for one in ready if one not in served}
        for source in wanted:
            if source not in self._hosts and now >= self._again_at(source) and self._is_ours(source):
                await self._host(source)
        moments = [await self._store.next_flow_ready([], now), *(one.again_at for one in self._failing.values())]
        moments += [served[handler] for handler in ready if handler in served]
        later = [moment for moment in moments if moment is not None and moment > now]
        return min([NET_SECONDS, *(moment - now for moment in later)])

    def _configured(self) -> Iterable[str]:
        return [os.path.realpath(one) if is_file(one) else one for one in self._maker.config.flows_modules]

    def _is_ours(self, source: str) -> bool:
        """A file that is not on this machine is another node's to serve."""
        return not is_file(source) or os.path.exists(source)

    def _again_at(self, source: str) -> float:
        failing = self._failing.get(source)
        return 0.0 if failing is None else failing.again_at

    async def _host(self, source: str) -> None:
        """Start a worker for a source."""
        stays = source in self._configured()
        argv = [sys.executable, "-m", "outlast", "flow", "worker", source]
        if not stays:
            argv += ["--idle-exit", f"{IDLE_EXIT:g}s"]
        home = self._maker.environ.get("HOME")
        request = ExecRequest(
            argv=argv,
            workdir=os.path.dirname(source) if is_file(source) else home,
            env=self._environment(),
            labels=[LABEL, source],
            title=f"flows of {os.path.basename(source)}",
            background=True,
            allow_duplicate=True,
        )
        try:
            spec = make_plan(
                self._maker, Caller(), request, scheduled=True, may_ask=True
            ).spec  # it is ours, no requester's
            session = await self._sessions.start(spec, umask=self._umask)
        except OutlastError as error:
            log.warning("no worker for the flows of %s: %s", source, error.message)
            self._put_off(source)
            return
        log.info("started a worker for the flows of %s: session %s", source, session.id)
        self._hold(source, session)

    def _environment(self) -> dict[str, str]:
        """Return what makes the worker's settings ours: commands do not inherit that, but it works in our store."""
        names = ["OUTLAST_CONFIG", *(setting.variable for setting in SETTINGS if setting.variable)]
        environ = self._maker.environ
        given = {name: environ[name] for name in names if environ.get(name)}
        return {**given, "OUTLAST_HOME": self._maker.config.paths.home}

    def _hold(self, source: str, session: Session) -> None:
        self._hosts[source] = session
        self._spawn(self._see_out(source, session))

    async def _see_out(self, source: str, session: Session) -> None:
        """When a worker has ended, what it held is ready at once."""
        began = self._maker.clock.now()
        if session.end is None:
            await self._sessions.until_end(session)
        self._hosts.pop(source, None)
        code = None if session.end is None else session.end.code
        lived = self._maker.clock.now() - (session.started_at or began)
        if code == 0 or lived >= HEALTHY_SECONDS:
            self._failing.pop(source, None)
        else:
            log.warning(
                "the worker for the flows of %s ended with %s: outlast process log %s", source, code, session.id
            )
            self._put_off(source)
        self._news.set()

    def _put_off(self, source: str) -> None:
        pause = min(self._failing[source].pause * 2, AGAIN_MAX) if source in self._failing else AGAIN_FIRST
        self._failing[source] = Failing(self._maker.clock.now() + pause, pause)

    # ---- workers that die

    async def _watch(self, worker: FlowWorker) -> None:
        """Hear of a worker's death; one that is dead already is seen to at once.

        Its number may have been given to another process: then its lease runs out, as that of a node that is gone.
        """
        try:
            fd = os.pidfd_open(worker.pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                await self._see_to(worker.id)
            return
        self._watched[worker.id] = fd
        asyncio.get_running_loop().add_reader(fd, self._died, worker.id)

    def _watch_no_more(self, worker_id: str) -> None:
        fd = self._watched.pop(worker_id)
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)

    def _died(self, worker_id: str) -> None:
        self._watch_no_more(worker_id)
        self._spawn(insist(partial(self._see_to, worker_id), self._maker.clock, "flows of a dead worker wait"))

    async def _see_to(self, worker_id: str) -> None:
        """Let others take what a dead worker held, and look for what it wrote and did not tell."""
        await self._store.release_flows_of(worker_id, self._maker.clock.now())
        await self._store.remove_flow_worker(worker_id)
        await self._store.look_around()
