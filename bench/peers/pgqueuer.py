"""PgQueuer over PostgreSQL: a worker and 100 submitters on one event loop. It keeps that a job succeeded, no result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from peers import common

BATCH_MANY = 5
"""Jobs fetched, and ends written, together while many are in flight (as shipped: 10). Measured in tasks/s, twice each:
2 gives 900 and 1,070; 5 gives 1,790 and 1,820; 10 gives 1,290 and 2,000; 50 gives 860. Ends that do not fill a batch
wait 0.1 s, so what suits a backlog (100) stalls here."""

BATCH_SINGLE = 1
"""Jobs together while there is one at a time: its end is written at once, not after 0.1 s."""

SUBMIT_CONNECTIONS = 10
"""Measured with 5, 10, 20 and 30: 10 is the best, and PostgreSQL commits them together."""

WORK_CONNECTIONS = 5


@asynccontextmanager
async def worker(pool: asyncpg.Pool, batch: int, ends: common.Ends) -> AsyncIterator[None]:
    pgq = PgQueuer.from_asyncpg_pool(pool)
    record = pgq.qm.queries.log_jobs

    async def log_jobs(rows: list[Any]) -> None:
        await record(rows)
        for job, *_ in rows:
            ends.ended(job.id)

    pgq.qm.queries.log_jobs = log_jobs

    @pgq.entrypoint("nothing")
    async def nothing(_job: Job) -> None:
        pass

    running = asyncio.create_task(pgq.qm.run(batch_size=batch))
    try:
        yield
    finally:
        pgq.shutdown.set()
        await running


async def main() -> None:
    words = common.arguments(__doc__)
    logging.disable(logging.INFO)
    ends = common.Ends()
    async with (
        asyncpg.create_pool(words.dsn, min_size=SUBMIT_CONNECTIONS, max_size=SUBMIT_CONNECTIONS) as submitters,
        asyncpg.create_pool(words.dsn, min_size=WORK_CONNECTIONS, max_size=WORK_CONNECTIONS) as workers,
    ):
        async with submitters.acquire() as connection:
            await Queries(AsyncpgDriver(connection)).install()  # durable is how it is installed as shipped
        queries = Queries(AsyncpgPoolDriver(submitters))

        async def one() -> None:
            (job_id,) = await queries.enqueue("nothing", None)
            await ends.wait(job_id)

        async with worker(workers, BATCH_MANY, ends):
            many = await common.many(one, words)
        async with worker(workers, BATCH_SINGLE, ends):
            await one()
            single = await common.single(one, words)
        common.report(
            many=many,
            single=single,
            durability={name: await submitters.fetchval(f"SHOW {name}") for name in common.POSTGRES_SETTINGS},
            versions=common.versions("pgqueuer", "asyncpg"),
            settings=[f"batches of {BATCH_MANY}, of {BATCH_SINGLE} one at a time", f"{SUBMIT_CONNECTIONS} connections"],
        )


if __name__ == "__main__":
    asyncio.run(main())
