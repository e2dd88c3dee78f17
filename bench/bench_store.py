"""The ledger's store: create with claim, succeed, each durable, beside one raw durable commit of the same disk.

bench/bench_store.py [--seconds S] [--dsn POSTGRES_ADDRESS]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import apsw

from outlast.core.lifecycle import Verb, transition
from outlast.core.session import Status
from outlast.core.task import NewTask, Runtime, StartClaim
from outlast.store.base import Store
from outlast.store.sqlite import SqliteStore

_numbers = itertools.count(int(time.time() * 1000) << 16)


async def one_task(store: Store) -> None:
    """Create a task that starts at once, then end it: two awaited commits, with history and notice."""
    now = time.time()
    number = next(_numbers)
    new = NewTask(
        id=f"t{number:014x}", runtime=Runtime.CLI, kind="exec", source="bench", requester="bench", created_at=now,
        ask={"command": "true"}, payload={"command": "true"},
    )  # fmt: skip
    made = await store.create_task(new, StartClaim(claim_id=f"c{number:x}", worker="bench", lease_until=now + 60))
    assert made.task.status is Status.RUNNING
    done = await store.apply(
        transition(new.id, Verb.SUCCEED, time.time(), claim_id=made.task.claim_id, detail={"exitCode": 0})
    )
    assert done is not None


async def run(store: Store, in_flight: int, seconds: float) -> tuple[float, float]:
    """Return tasks a second and the median milliseconds from create to end."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def lane() -> None:
        while (start := time.perf_counter()) < until:
            await one_task(store)
            took.append(time.perf_counter() - start)

    begin = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(in_flight)))
    return len(took) / (time.perf_counter() - begin), statistics.median(took) * 1000


def raw_commit(folder: str) -> float:
    """Return the median milliseconds of one durable commit of one small row."""
    connection = apsw.Connection(str(Path(folder) / "raw.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    took = []
    for _ in range(300):
        start = time.perf_counter()
        connection.execute("INSERT INTO t (b) VALUES ('x')")
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


async def main(words: argparse.Namespace, folder: str) -> None:
    print(f"one raw durable commit      p50 {raw_commit(folder):.2f} ms")
    stores: list[tuple[str, Store]] = [("sqlite FULL", SqliteStore(str(Path(folder) / "ledger.db")))]
    if words.dsn:
        from outlast.store.postgres import PostgresStore

        stores.append(("postgresql", PostgresStore(words.dsn)))
    for name, store in stores:
        await store.open()
        for in_flight in (1, 10, 100):
            speed, middle = await run(store, in_flight, words.seconds)
            print(f"{name:<12} {in_flight:>4} in flight  {speed:>8.0f} tasks/s   p50 {middle:.2f} ms")
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--dsn", default="")
    with tempfile.TemporaryDirectory(prefix="outlast-bench-") as place:
        asyncio.run(main(parser.parse_args(), place))
