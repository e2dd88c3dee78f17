"""outlast over SQLite, or over PostgreSQL with --dsn: the real ledger and worker, and a runtime that does nothing.

Everything a gateway does for a task is done: it is put on record with its payload, claimed, run by the worker, its
outcome recorded with its history and the notice to its requester. Only the sessions are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable
from typing import Any

from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, Runtime, Task
from outlast.gateway.worker import Worker
from outlast.ledger.tasks import Ledger
from outlast.process.clock import SystemClock
from outlast.store.base import Store
from peers import common

SLOTS = 128
"""Tasks the worker runs at once, so that none of those in flight waits for another's end."""

ASK: dict[str, Any] = {"command": "true", "workdir": "/"}


class Nothing:
    """A runtime whose work is done as soon as it is asked for."""

    async def run(self, task: Task, payload: dict[str, Any], hands: Any) -> Outcome:
        return Outcome(status=Status.SUCCEEDED, cause=Cause.EXIT, detail={"exitCode": 0})

    async def resume(self, task: Task, hands: Any) -> Outcome:
        raise AssertionError("there is no earlier worker")

    async def cancel(self, task: Task, cause: Cause) -> None:
        raise AssertionError("nobody calls it off")


def new_task(ledger: Ledger) -> NewTask:
    return NewTask(
        id=ledger.new_id(), runtime=Runtime.CLI, kind="exec", source="exec", requester="bench",
        created_at=ledger.clock.now(), ask=ASK, payload=ASK,
    )  # fmt: skip


async def measure(store: Store, words: argparse.Namespace) -> tuple[dict[str, Any], list[float]]:
    ledger = Ledger(store, SystemClock(), node="bench", worker="bench")
    worker = Worker(ledger, {Runtime.CLI: Nothing()}, slots=SLOTS)
    ends = common.Ends()
    ledger.news.on_moved(lambda task: ends.ended(task.id) if task.status is Status.SUCCEEDED else None)

    async def one() -> None:
        created = await worker.submit(new_task(ledger))
        await ends.wait(created.task.id)

    worker.start()
    try:
        return await common.many(one, words), await common.single(one, words)
    finally:
        await worker.stop()


def over_sqlite(path: str) -> tuple[Store, Callable[[], dict[str, str]]]:
    """Return the store, and what reads its durability back through a connection opened as the store opens its own."""
    from outlast.store.sqlite import SqliteStore
    from outlast.store.sqlite.connection import connect

    def durability() -> dict[str, str]:
        connection = connect(path, writer=True)
        try:
            return common.sqlite_durability(lambda sql: connection.execute(sql).get)
        finally:
            connection.close()

    return SqliteStore(path), durability


def over_postgresql(dsn: str) -> tuple[Store, Callable[[], dict[str, str]]]:
    """Like `over_sqlite`."""
    from outlast.store.postgres import PostgresStore
    from outlast.store.postgres.connection import connect

    def durability() -> dict[str, str]:
        with connect(dsn) as connection:
            shown = {name: connection.execute(f"SHOW {name}").fetchone() for name in common.POSTGRES_SETTINGS}
        return {name: row[0] for name, row in shown.items() if row}

    return PostgresStore(dsn), durability


async def main() -> None:
    words = common.arguments(__doc__)
    store, durability = (
        over_postgresql(words.dsn) if words.dsn else over_sqlite(os.path.join(words.folder, "ledger.db"))
    )
    await store.open()
    try:
        many, single = await measure(store, words)
        info = await store.info()
        stood = await store.counts()
    finally:
        await store.close()
    assert stood[Status.SUCCEEDED] == sum(stood.values()), stood
    common.report(
        many=many,
        single=single,
        durability=durability(),
        versions=common.versions("outlast", **{info.kind: info.version}),
        settings=["ledger and worker", f"{SLOTS} slots", f"{stood[Status.SUCCEEDED]:,} tasks on record, all succeeded"],
    )


if __name__ == "__main__":
    asyncio.run(main())
