"""An engine that holds no flow wakes for nothing: what is idle must cost no processor time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from outlast.core.flow import FlowMode, NewFlow
from outlast.flows.engine import LATE_SECONDS, LEASE_SECONDS, NET_SECONDS, Engine
from outlast.flows.program import flow, step
from outlast.flows.values import InRow
from outlast.flows.watchdog import Watchdog
from outlast.store.sqlite import SqliteStore

HOLD = 120.0
"""Seconds after which a test gives up."""
go_on = asyncio.Event()
"""Lets the step end: another one for each scene, whose loop it belongs to."""


class Sleepers:
    """A clock that stands still and knows who sleeps, and for how long."""

    def __init__(self) -> None:
        self.spans: list[float] = []
        self.came = asyncio.Event()

    def now(self) -> float:
        return 2_000_000.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.spans.append(seconds)
        self.came.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.spans.remove(seconds)

    async def until(self, seconds: float) -> None:
        """Return when somebody sleeps that long."""
        while seconds not in self.spans:
            self.came.clear()
            await self.came.wait()


@step
async def hold() -> int:
    await go_on.wait()
    return 1


@flow
async def held(ctx) -> int:
    return await hold()


def engine_of(store: SqliteStore, clock: Sleepers) -> Engine:
    return Engine(
        store, clock, worker="w1", programs={held.handler: held}, compose=None, beside=InRow()  # type: ignore[arg-type]
    )  # fmt: skip


async def begin(engine: Engine) -> None:
    await engine.submit(
        NewFlow(
            id=engine.new_id("f"), mode=FlowMode.PROGRAM, name="held", handler=held.handler, requester="local",
            created_at=engine.clock.now(), input={"args": [], "kwargs": {}},
        )
    )  # fmt: skip


async def ended(engine: Engine) -> None:
    assert engine.held == 1, "it has ended before it was let go"
    over = asyncio.Event()
    engine.idle = over.set
    go_on.set()
    await over.wait()


def in_scene(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scene in a loop of its own, with a step that has not been let go."""

    async def main() -> None:
        global go_on
        go_on = asyncio.Event()
        await asyncio.wait_for(scene(), HOLD)

    asyncio.run(main())


def test_leases_are_renewed_only_while_there_are_any(tmp_path: Path) -> None:
    async def scene() -> None:
        clock, store = Sleepers(), SqliteStore(str(tmp_path / "ledger.db"))
        await store.open()
        engine = engine_of(store, clock)
        engine.start()
        await clock.until(NET_SECONDS)
        assert clock.spans == [NET_SECONDS]
        await begin(engine)
        await clock.until(LEASE_SECONDS / 3)
        await ended(engine)
        await engine.stop()
        await store.close()

    in_scene(scene)


class Waits(threading.Event):
    """An event that says when somebody waits with a time limit: a thread that will wake by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.timed = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            self.timed.set()
        return super().wait(timeout)


def test_the_thread_that_watches_sleeps_until_a_flow_is_held(tmp_path: Path) -> None:
    async def scene() -> None:
        clock, store = Sleepers(), SqliteStore(str(tmp_path / "ledger.db"))
        await store.open()
        engine = engine_of(store, clock)
        watchdog = Watchdog(lambda: store, engine)
        watchdog._ended = waits = Waits()
        engine.start()
        watchdog.start()
        await clock.until(NET_SECONDS)
        assert not waits.timed.is_set()
        await begin(engine)
        assert await asyncio.to_thread(waits.timed.wait, HOLD)
        await ended(engine)
        watchdog.stop()
        await asyncio.to_thread(watchdog._thread.join, HOLD)
        assert not watchdog._thread.is_alive()
        await engine.stop()
        await store.close()

    in_scene(scene)


def test_a_flow_that_another_worker_has_begun_is_looked_for_when_its_lease_is_over(tmp_path: Path) -> None:
    async def scene() -> None:
        clock, store = Sleepers(), SqliteStore(str(tmp_path / "ledger.db"))
        other = SqliteStore(str(tmp_path / "ledger.db"))
        await store.open()
        await other.open()
        engine, dies = engine_of(store, clock), engine_of(other, Sleepers())
        engine.start()
        await clock.until(NET_SECONDS)
        dies.open = True
        await begin(dies)
        await clock.until(LEASE_SECONDS + LATE_SECONDS)
        go_on.set()
        await engine.stop()
        await dies.stop()
        await other.close()
        await store.close()

    in_scene(scene)
