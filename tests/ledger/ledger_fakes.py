"""Ledgers at real stores under a clock that stands still, and short ways to put work on record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from api_fakes import FakeClock
from claimer import store_of

from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, Runtime, Task
from outlast.ledger.tasks import Ledger

SINCE = 1_800_000_000.0
DONE = Outcome(status=Status.SUCCEEDED, cause=Cause.EXIT, detail={"exitCode": 0})
FAILED = Outcome(status=Status.FAILED, cause=Cause.EXIT, detail={"exitCode": 3}, error="exit code 3")


class TestLedger(Ledger):
    """A ledger with short ways."""

    __test__ = False

    async def make(self, name: str = "t1", *, start: bool = False, **fields: Any) -> Task:
        """Put a task on record."""
        given = {
            "id": name, "runtime": Runtime.CLI, "kind": "exec", "source": "test", "requester": "local",
            "created_at": self.clock.now(),
        }  # fmt: skip
        return (await self.create(NewTask(**{**given, **fields}), start=start)).task

    async def begun(self, name: str = "t1", **fields: Any) -> Task:
        """Put a task on record that this worker holds."""
        task = await self.make(name, start=True, **fields)
        assert task.status is Status.RUNNING
        return task

    async def verbs(self, name: str = "t1") -> list[str]:
        """Return the verbs of a task's history."""
        return [event.verb for event in await self.store.events_of(name)]


class Two(NamedTuple):
    """Two ledgers and their clock."""

    one: TestLedger
    two: TestLedger
    clock: FakeClock


@asynccontextmanager
async def ledgers(address: tuple[str, str]) -> AsyncIterator[Two]:
    """Two ledgers as two processes have them, each with a store of its own on one database."""
    clock = FakeClock(SINCE)
    stores = [store_of(*address), store_of(*address)]
    for store in stores:
        await store.open()
    try:
        one, two = (
            TestLedger(store, clock, node=f"n{n}", worker=f"n{n}/1", lease_seconds=60.0)
            for n, store in enumerate(stores, 1)
        )
        yield Two(one, two, clock)
    finally:
        for store in stores:
            await store.close()
