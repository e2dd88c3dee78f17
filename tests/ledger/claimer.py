"""A worker in a process of its own: claims whenever it is told to, and says what it got.

Run as ``claimer.py KIND ADDRESS WORKER``. It says ``ready``; for each line ``go`` it takes what it can get in a few
claims, and prints the ids in one line.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.ledger.tasks import Ledger
from outlast.process.clock import SystemClock

AT_ONCE, CLAIMS = 16, 3
DONE = Outcome(status=Status.SUCCEEDED, cause=Cause.EXIT, detail={"exitCode": 0})


def store_of(kind: str, address: str) -> Any:
    if kind == "sqlite":
        from outlast.store.sqlite import SqliteStore

        return SqliteStore(address)
    from outlast.store.postgres import PostgresStore

    return PostgresStore(address)


async def work(kind: str, address: str, worker: str) -> None:
    store = store_of(kind, address)
    await store.open()
    ledger = Ledger(store, SystemClock(), node=worker, worker=worker)
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline) == "go\n":
        claims = await asyncio.gather(*(ledger.claim(AT_ONCE) for _ in range(CLAIMS)))
        results = await asyncio.gather(*(ledger.finish(one.task, DONE) for taken in claims for one in taken))
        assert all(recorded.how == "ended" for recorded in results)
        print(*(recorded.task.id for recorded in results), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
