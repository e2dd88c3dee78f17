"""The ledger's store: create with claim, succeed, each durable, beside raw durable commits of the same disk.

bench/bench_store.py [--seconds S] [--dsn POSTGRES_ADDRESS] [--records N]
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
from outlast.core.session import Status
from outlast.core.task import NewTask, Runtime, StartClaim, TaskFilter
from outlast.store.base import Store
from outlast.store.rows import TASK_COLUMNS
from outlast.store.sqlite import SqliteStore

_numbers = itertools.count(int(time.time() * 1000) << 16)
ROUND = 25
"""Raw commits and tasks take turns of so many, so that a moment's weather on the disk falls on both."""


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


async def beside_raw(store: Store, folder: str, seconds: float) -> tuple[float, float]:
    """Return the median milliseconds of a raw durable commit of one small row, and of a task that is alone."""
    connection = apsw.Connection(str(Path(folder) / "raw.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b TEXT)")
    raw: list[float] = []
    tasks: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for _ in range(ROUND):
            start = time.perf_counter()
            connection.execute("INSERT INTO t (b) VALUES ('x')")
            raw.append(time.perf_counter() - start)
        for _ in range(ROUND):
            start = time.perf_counter()
            await one_task(store)
            tasks.append(time.perf_counter() - start)
    connection.close()
    return statistics.median(raw) * 1000, statistics.median(tasks) * 1000


async def speed(name: str, store: Store, folder: str, seconds: float) -> None:
    """Print how quick one task alone is, and how many go through when many are in flight."""
    await store.open()
    raw, alone = await beside_raw(store, folder, seconds)
    print(f"{name:<12} one alone  p50 {alone:.2f} ms, raw durable commit {raw:.2f} ms: {alone / raw:.1f} times")
    for in_flight in (1, 10, 100):
        rate, middle = await run(store, in_flight, seconds)
        print(f"{name:<12} {in_flight:>4} in flight  {rate:>8.0f} tasks/s   p50 {middle:.2f} ms", flush=True)
    await store.close()


async def filled(path: str, records: int) -> SqliteStore:
    """Return a store with so many ended tasks, all but for id and moment like one that really went through it."""
    store = SqliteStore(path)
    await store.open()
    await one_task(store)
    given = {
        "id": "printf('u%014d', i)", "created_at": "1e9 + i", "started_at": "1e9 + i", "ended_at": "1e9 + i + 1",
        "requester": "'agent:' || (i % 20)", "status": "iif(i % 50 = 0, 'failed', 'succeeded')",
    }  # fmt: skip
    values = ", ".join(given.get(name, f"task.{name}") for name in TASK_COLUMNS)
    connection = apsw.Connection(path)
    connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        f"INSERT INTO task ({', '.join(TASK_COLUMNS)}) SELECT {values} FROM n CROSS JOIN task "
        "WHERE task.id = (SELECT max(id) FROM task WHERE id < 'u')",
        (records,),
    )
    connection.close()
    return store


async def listings(folder: str, records: int) -> None:
    """Print what questions take in a small and in a large store, taking turns."""
    few = await filled(str(Path(folder) / "few.db"), 1000)
    many = await filled(str(Path(folder) / "many.db"), records)
    questions: dict[str, Callable[[SqliteStore], Awaitable[object]]] = {
        "list, limit 50": lambda store: store.list_tasks(TaskFilter(), 50),
        "list of one requester": lambda store: store.list_tasks(TaskFilter(requester="agent:3"), 50),
        "show": lambda store: store.get_task("u00000000000500"),
        "ended long ago": lambda store: store.ended_before(2e9, 50),
    }
    for name, ask in questions.items():
        took: dict[SqliteStore, list[float]] = {few: [], many: []}
        for store in (few, many) * 100:
            start = time.perf_counter()
            await ask(store)
            took[store].append(time.perf_counter() - start)
        small, large = (statistics.median(times) * 1e6 for times in took.values())
        print(f"{name:<22} {small:>6.0f} us of 1,000   {large:>6.0f} us of {records:,}: {large / small:.2f} times")
    await few.close()
    await many.close()


async def main(words: argparse.Namespace, folder: str) -> None:
    await speed("sqlite FULL", SqliteStore(str(Path(folder) / "ledger.db")), folder, words.seconds)
    if words.dsn:
        from outlast.store.postgres import PostgresStore

        await speed("postgresql", PostgresStore(words.dsn), folder, words.seconds)
    if words.records:
        await listings(folder, words.records)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--dsn", default="")
    parser.add_argument("--records", type=int, default=0)
    with tempfile.TemporaryDirectory(prefix="outlast-bench-") as place:
        asyncio.run(main(parser.parse_args(), place))
