"""Procrastinate over PostgreSQL: a worker and 100 submitters on one event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import procrastinate

from peers import common

CONCURRENCY = 100
"""Jobs one worker runs at once (as shipped: 1, which makes 320 tasks/s; 10 and 100 make 530 to 580)."""

POLL_SECONDS = 0.05
"""It misses a NOTIFY now and then, and the job then waits for the next poll (as shipped: 5 s)."""

CONNECTIONS = 10
"""Measured with 10 and 20: 580 and 340 tasks/s."""


async def main() -> None:
    words = common.arguments(__doc__)
    logging.disable(logging.WARNING)
    connector = procrastinate.PsycopgConnector(conninfo=words.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS)
    app = procrastinate.App(connector=connector)
    ends = common.Ends()

    @app.task(name="nothing")
    async def nothing() -> None:
        pass

    async def one() -> None:
        await ends.wait(await nothing.defer_async())

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        record = app.job_manager.finish_job

        async def finish_job(job: Any, status: Any, delete_job: bool) -> None:
            await record(job=job, status=status, delete_job=delete_job)
            ends.ended(job.id)

        app.job_manager.finish_job = finish_job
        worker = asyncio.create_task(
            app.run_worker_async(
                concurrency=CONCURRENCY, fetch_job_polling_interval=POLL_SECONDS, delete_jobs="never",
                install_signal_handlers=False,
            )
        )  # fmt: skip
        try:
            await one()
            many = await common.many(one, words)
            single = await common.single(one, words)
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        shown = {name: await connector.execute_query_one_async(f"SHOW {name}") for name in common.POSTGRES_SETTINGS}
        common.report(
            many=many,
            single=single,
            durability={name: row[name] for name, row in shown.items()},
            versions=common.versions("procrastinate", "psycopg"),
            settings=[
                f"concurrency {CONCURRENCY}",
                f"polls every {POLL_SECONDS * 1000:g} ms",
                f"pool of {CONNECTIONS}",
            ],
        )


if __name__ == "__main__":
    asyncio.run(main())
