"""Two workers of two nodes at one store: what the model is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from outlast.core.task import Task, TaskFilter
from outlast.ledger.tasks import Ledger
from outlast.store.sqlite import SqliteStore

NODES = ("n0", "n1")


class StepClock:
    """Moves only when a test says so, by spans that a float holds exactly."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def now(self) -> float:
        return self.at

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the ledger itself waits for nothing")


class Desk:
    """A database, two stores open on it as two processes would have them, and a ledger at each."""

    def __init__(self, name: str, make: Callable[[], Any], wipe: Callable[[], None], clock: StepClock) -> None:
        self.name = name
        self.clock = clock
        self.stores = [make(), make()]
        self._wipe = wipe
        self.ledgers: list[Ledger] = []
        self.holds: dict[int, Task] = {}

    async def open(self) -> None:
        for store in self.stores:
            await store.open()

    async def close(self) -> None:
        for store in self.stores:
            await store.close()

    def clear(self) -> None:
        """Begin with an empty database and two fresh workers."""
        self._wipe()
        self.holds.clear()
        self.ledgers = [self._ledger(index, 0) for index in range(2)]

    def _ledger(self, index: int, generation: int) -> Ledger:
        worker = f"{NODES[index]}/{generation}"
        return Ledger(self.stores[index], self.clock, node=NODES[index], worker=worker, lease_seconds=60.0)

    async def restart(self, index: int, generation: int) -> dict[str, Task]:
        """Put another process in the place of a worker; return what it has taken over."""
        self.ledgers[index] = ledger = self._ledger(index, generation)
        taken = {}
        for task in await ledger.store.running_tasks(ledger.node, 1000):
            if task.runtime != "external":
                held = await ledger.reclaim(task)
                assert held is not None
                taken[task.id] = held
        return taken

    async def rows(self) -> dict[str, Task]:
        """Every task there is."""
        page = await self.stores[0].list_tasks(TaskFilter(), 1000)
        return {task.id: task for task in page.tasks}

    async def history(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The verbs and the kinds of notices of every task, in order."""
        verbs: dict[str, list[str]] = {}
        notices: dict[str, list[str]] = {}
        for event in await self.stores[1].events_since(0):
            verbs.setdefault(event.task_id, []).append(event.verb)
        keys = []
        for row in await self.stores[1].pending_outbox(1000):
            notices.setdefault(row.task_id, []).append(row.kind)
            keys.append(row.idempotency_key)
        assert len(set(keys)) == len(keys), "a notice is there twice"
        return verbs, notices


TABLES = ("task", "event", "outbox", "payload", "queue")


def sqlite_desk(path: str, clock: StepClock) -> Desk:
    def wipe() -> None:
        connection = apsw.Connection(path)  # the same library: two in one process would undo each other's locks
        with connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table}")
        connection.close()

    return Desk("SQLite", lambda: SqliteStore(path), wipe, clock)


def postgres_desk(address: str, clock: StepClock) -> Desk:
    import psycopg

    from outlast.store.postgres import PostgresStore

    def wipe() -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {', '.join(TABLES)}")

    return Desk("PostgreSQL", lambda: PostgresStore(address), wipe, clock)
