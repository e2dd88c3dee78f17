"""The ledger's store: create, claim, succeed, each durable, beside one raw durable commit of the same disk.

bench/bench_store.py [--seconds S] [--dsn POSTGRES_ADDRESS]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw

from outlast.core.lifecycle import Verb, transition
from outlast.core.task import NewTask, Notice, Runtime
from outlast.store.base import Claim, Store
from outlast.store.sqlite import SqliteStore

_numbers = itertools.count(int(time.time() * 1000) << 16)


async def one_task(store: Store, take: Callable[[], Awaitable[str]]) -> None:
    """Create a task, claim one, end that one: three awaited commits with their lines of history."""
    now = time.time()
    await store.create_task(
        NewTask(
            id=f"t{next(_numbers):014x}", runtime=Runtime.CLI, kind="exec", source="bench", requester="bench",
            created_at=now, ask={"command": "true"},
        )
    )  # fmt: skip
    task_id, claim_id = (await take()).split()
    done = await store.apply(
        transition(task_id, Verb.SUCCEED, time.time(), claim_id=claim_id, detail={"exitCode": 0}),
        [Notice(target="bench", kind="ended", idempotency_key=task_id)],
    )
    assert done is not None


class Claimer:
    """Gathers wishes for work while a claim is under way, as a worker does."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.wishes: list[asyncio.Future[str]] = []
        self.running: asyncio.Task[None] | None = None

    async def take(self) -> str:
        wish = asyncio.get_running_loop().create_future()
        self.wishes.append(wish)
        if self.running is None:
            self.running = asyncio.create_task(self._claim())
        return await wish

    async def _claim(self) -> None:
        while self.wishes:
            wishes, self.wishes = self.wishes, []
            now = time.time()
            names = [f"c{next(_numbers):x}" for _ in wishes]
            tasks = await self.store.claim_tasks(Claim(worker="bench", claim_ids=names, lease_until=now + 60, now=now))
            for wish, task in zip(wishes, tasks, strict=False):
                wish.set_result(f"{task.id} {task.claim_id}")
            self.wishes[:0] = wishes[len(tasks) :]
        self.running = None


async def run(store: Store, in_flight: int, seconds: float) -> tuple[float, float]:
    """Return tasks a second and the median milliseconds from create to end."""
    claimer = Claimer(store)
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def lane() -> None:
        while (start := time.perf_counter()) < until:
            await one_task(store, claimer.take)
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
