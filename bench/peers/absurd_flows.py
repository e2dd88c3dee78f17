"""Absurd over PostgreSQL: tasks of several steps, workers and submitters on one event loop, as in `peers.absurd`."""

from __future__ import annotations

import argparse
import asyncio
import itertools
from typing import Any

import psycopg
from absurd_sdk import AsyncAbsurd

from peers import absurd, common, flows

WORKERS, CONCURRENCY = 4, 10
"""While many are in flight: 1 worker of 100 makes 72 flows/s, 2 of 10 make 106, 4 of 10 make 130, 4 of 25 make 97, 8 of
10 make 119, 16 of 4 make 107."""

POLL_SECONDS = 0.002
"""One flow at a time is served by one worker: others that poll beside it would take the processor from it (a step takes
2.1 ms with three of them, 0.9 ms without)."""

SUBMIT_CONNECTIONS = 2


class Crew(absurd.Crew):
    """Workers that serve flows of steps."""

    def __init__(self, ends: common.Ends, laps: flows.Laps) -> None:
        super().__init__(ends)
        self._laps = laps

    def register(self, app: AsyncAbsurd) -> None:
        @app.register_task(name="flow")
        async def flow(_params: Any, context: Any) -> None:
            lap = self._laps.start()
            for number in range(flows.STEPS):

                async def nothing(number: int = number) -> int:
                    return number

                await context.step("nothing", nothing)
                lap()


async def connect(words: argparse.Namespace) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(words.dsn, autocommit=True)


async def main() -> None:
    words = common.arguments(__doc__)
    absurd.install(words)
    ends, laps = common.Ends(), flows.Laps()
    clients = [AsyncAbsurd(await connect(words)) for _ in range(SUBMIT_CONNECTIONS)]
    await clients[0].create_queue("default")
    turn = itertools.cycle(clients)

    async def one() -> None:
        spawned = await next(turn).spawn("flow", {}, queue="default")
        await ends.wait(spawned["task_id"])

    crew = Crew(ends, laps)
    crew.hire(await connect(words), concurrency=1, poll_seconds=POLL_SECONDS)
    single = await flows.singles(one, words, laps)
    await crew.go_home()
    crew = Crew(ends, laps)
    for _ in range(WORKERS):
        crew.hire(await connect(words), concurrency=CONCURRENCY, poll_seconds=POLL_SECONDS)
    many = await common.many(one, words, flows.Wave(words))
    await crew.go_home()
    async with await connect(words) as connection:
        shown = {name: await (await connection.execute(f"SHOW {name}")).fetchone() for name in common.POSTGRES_SETTINGS}
    common.report(
        many=many,
        single=single,
        durability={name: row[0] for name, row in shown.items() if row},
        versions=common.versions("absurd-sdk", "psycopg"),
        settings=[f"{WORKERS} workers of {CONCURRENCY}, one at a time 1", f"polls every {POLL_SECONDS * 1000:g} ms"],
        steps=laps.milliseconds,
    )


if __name__ == "__main__":
    asyncio.run(main())
