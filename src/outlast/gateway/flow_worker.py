"""``outlast flow worker``: a process of its own that runs the flows of some programs.

It works on the store directly, so it needs no gateway, outlives one, and may be killed at any moment: what it held is
taken over. Programs are their authors' code. It may block the loop (a thread renews the leases then), call `sys.exit`
in the middle (the loop goes on), or take the process down (the next worker goes on).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from outlast.config import Config, ensure_dirs
from outlast.core.errors import GatewayTrouble, OutlastError
from outlast.core.flow import FlowWorker
from outlast.flows.engine import Engine
from outlast.flows.loading import programs_of
from outlast.flows.watchdog import Watchdog
from outlast.gateway import places
from outlast.gateway.flow_engine import Maker, make_engine
from outlast.gateway.stores import make_store
from outlast.process.clock import Clock, SystemClock
from outlast.process.keeper import crash
from outlast.store.base import Store
from outlast.store.gather import on_points

log = logging.getLogger("outlast.flows")

TOLD_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(
    config: Config,
    sources: Sequence[str],
    *,
    lease_seconds: float | None = None,
    slots: int | None = None,
    idle_exit: float | None = None,
    crash_at: tuple[str, str] | None = None,
) -> int:
    """Run the flows of some sources until told to stop; return the exit code.

    With ``idle_exit`` (seconds) it leaves once it has held nothing for that long. ``crash_at`` is for tests.
    """
    if crash_at is not None:
        crash.arm(*crash_at)
        on_points(crash.point)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.umask(0o077)
    ensure_dirs(config.paths)
    service = WorkerProcess(config, sources, lease_seconds=lease_seconds, slots=slots, idle_exit=idle_exit)
    return run_through(service.serve())


def _forked() -> None:
    """Be a child that a step has made: a signal to it is not ours, though it would be told on our loop's own pipe."""
    signal.set_wakeup_fd(-1)
    for number in TOLD_TO_STOP:
        signal.signal(number, signal.SIG_DFL)


def run_through(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine to its end. Code of a program that leaves by `sys.exit` ends its own work, never the loop."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    main = loop.create_task(work)
    try:
        while True:
            try:
                return loop.run_until_complete(main)
            except (SystemExit, KeyboardInterrupt) as left:
                if main.done():
                    return GatewayTrouble.exit_code
                log.error("a program left by %r outside of its step: it is ignored", left)  # noqa: TRY400
    finally:
        with contextlib.suppress(Exception):
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class WorkerProcess:
    """One worker, from the loading of its programs to its end."""

    def __init__(
        self,
        config: Config,
        sources: Sequence[str],
        *,
        lease_seconds: float | None,
        slots: int | None,
        idle_exit: float | None,
    ) -> None:
        self._config = config
        self._sources = sources
        self._lease = lease_seconds or config.flows_lease_seconds
        self._slots = slots
        self._idle_exit = idle_exit
        self._clock: Clock = SystemClock()
        self._started_at = time.time()
        self._stop = asyncio.Event()

    async def serve(self) -> int:
        """Load, register, run flows until told to stop."""
        config = self._config
        programs = programs_of(self._sources)
        loop = asyncio.get_running_loop()
        for number in TOLD_TO_STOP:
            loop.add_signal_handler(number, self._stop.set)
        os.register_at_fork(after_in_child=_forked)
        node = places.node_at(config.paths.node)
        name = f"{node}/w{os.getpid()}-{int(self._started_at * 1000)}"
        store = make_store(config)
        try:
            await self._opened(store)
            maker = Maker(config, self._clock, dict(os.environ))
            engine = make_engine(
                maker, store, programs, worker=name, lease_seconds=self._lease, held_max=self._slots
            )  # fmt: skip
            await self._work(store, engine, FlowWorker(name, node, os.getpid(), list(programs), self._started_at, 0.0))
        except OutlastError as error:
            log.error("%s", error.message)  # noqa: TRY400 — the sentence is the message
            return error.exit_code
        finally:
            await store.close()
        return 0

    async def _opened(self, store: Store) -> None:
        """Open the store, and keep trying while it is in trouble that may pass."""
        pause = 0.2
        while True:
            try:
                await store.open()
            except GatewayTrouble as trouble:
                if not trouble.retryable:
                    raise
                log.warning("%s", trouble.message)
                await self._clock.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return

    async def _work(self, store: Store, engine: Engine, worker: FlowWorker) -> None:
        watchdog = Watchdog(lambda: make_store(self._config), engine)
        registering = asyncio.create_task(self._register_on(store, worker))
        leaving = asyncio.create_task(self._leave_when_idle(engine))
        try:
            engine.start()
            watchdog.start()
            log.info("worker %s serves %s", worker.id, ", ".join(worker.handlers))
            await self._stop.wait()
            log.info("stopping")
        finally:
            for job in (registering, leaving):
                job.cancel()
            watchdog.stop()
            await engine.stop()
            with contextlib.suppress(GatewayTrouble):
                await store.remove_flow_worker(worker.id)

    async def _register_on(self, store: Store, worker: FlowWorker) -> None:
        """Say again and again that we live, as seldom as the lease allows."""
        while True:
            until = self._clock.now() + self._lease
            try:
                await store.flow_worker(
                    FlowWorker(worker.id, worker.node, worker.pid, worker.handlers, worker.started_at, until)
                )
            except GatewayTrouble as trouble:
                log.warning("%s", trouble.message)
            await self._clock.sleep(self._lease / 3)

    async def _leave_when_idle(self, engine: Engine) -> None:
        if self._idle_exit is None:
            return
        busy = asyncio.Event()
        engine.idle = busy.set
        while True:
            await self._clock.sleep(self._idle_exit)
            if engine.held == 0 and not busy.is_set():
                log.info("nothing to do for %g s", self._idle_exit)
                self._stop.set()
                return
            busy.clear()
