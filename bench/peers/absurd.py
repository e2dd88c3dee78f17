"""Absurd over PostgreSQL: workers and 100 submitters on one event loop, tasks of no steps."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
from typing import Any

import psycopg
from absurd_sdk import AsyncAbsurd

from peers import common

WORKERS, CONCURRENCY = 4, 10
"""Each worker has one connection. Measured with 4 submitting connections: 1 worker 650 tasks/s, 4 workers of 10 tasks
1,220, of 25 tasks 960; 8 workers of 10 tasks 1,020."""

SUBMIT_CONNECTIONS = 4

POLL_SECONDS = 0.002
"""It has no NOTIFY (as shipped it polls every 0.25 s)."""


class Crew:
    """The workers, and who waits for what they do."""

    def __init__(self, ends: common.Ends) -> None:
        self._ends = ends
        self._apps: list[AsyncAbsurd] = []
        self._running: list[asyncio.Task[None]] = []

    def hire(
        self, connection: psycopg.AsyncConnection[Any], concurrency: int = CONCURRENCY,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:  # fmt: skip
        app = AsyncAbsurd(connection)
        self.register(app)
        execute = app._execute_task

        async def execute_task(task: Any, claim_timeout: int) -> None:
            await execute(task, claim_timeout)
            self._ends.ended(task["task_id"])

        app._execute_task = execute_task
        self._apps.append(app)
        name = f"worker{len(self._apps)}"
        work = app.start_worker(worker_id=name, concurrency=concurrency, poll_interval=poll_seconds)
        self._running.append(asyncio.create_task(work))

    def register(self, app: AsyncAbsurd) -> None:
        @app.register_task(name="nothing")
        async def nothing(_params: Any, _context: Any) -> None:
            pass

    async def go_home(self) -> None:
        for app in self._apps:
            app.stop_worker()
        await asyncio.gather(*self._running)


def install(words: argparse.Namespace) -> None:
    tool = os.path.join(os.path.dirname(sys.executable), "absurdctl")
    subprocess.run([tool, "init", "-d", words.dsn], check=True, stdout=subprocess.DEVNULL)


async def main() -> None:
    words = common.arguments(__doc__)
    install(words)
    ends = common.Ends()

    async def connect() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(words.dsn, autocommit=True)

    clients = [AsyncAbsurd(await connect()) for _ in range(SUBMIT_CONNECTIONS)]
    await clients[0].create_queue("default")
    turn = itertools.cycle(clients)
    crew = Crew(ends)
    for _ in range(WORKERS):
        crew.hire(await connect())

    async def one() -> None:
        spawned = await next(turn).spawn("nothing", {}, queue="default")
        await ends.wait(spawned["task_id"])

    many = await common.many(one, words)
    single = await common.single(one, words)
    await crew.go_home()
    async with await connect() as connection:
        shown = {name: await (await connection.execute(f"SHOW {name}")).fetchone() for name in common.POSTGRES_SETTINGS}
    common.report(
        many=many,
        single=single,
        durability={name: row[0] for name, row in shown.items() if row},
        versions=common.versions("absurd-sdk", "psycopg"),
        settings=[f"{WORKERS} workers of {CONCURRENCY}", f"polls every {POLL_SECONDS * 1000:g} ms"],
    )


if __name__ == "__main__":
    asyncio.run(main())
