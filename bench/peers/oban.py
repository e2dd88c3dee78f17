"""oban-py over PostgreSQL: one queue and 100 submitters on one event loop."""

from __future__ import annotations

from typing import Any

import uvloop
from oban import Oban, worker
from oban.schema import install

from peers import common

LIMIT = 100
"""Jobs of the queue that run at once. Measured with 20, 50 and 100: no difference."""

DEBOUNCE_SECONDS = 0.001
"""How long it gathers ends and fetches (as shipped: 0.005). Measured: 2,190 tasks/s, and 1,250 to 2,100 as shipped."""

CONNECTIONS = 10
"""Measured with 4, 10 and 20: 1,850, 2,190 and 2,130 tasks/s."""


@worker(queue="default")
class Nothing:
    """A job that does nothing."""

    async def process(self, _job: Any) -> None:
        return None


async def main() -> None:
    words = common.arguments(__doc__)
    pool = await Oban.create_pool(words.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS)
    await install(pool)
    ends = common.Ends()
    oban = Oban(pool=pool, queues={"default": {"limit": LIMIT, "debounce_interval": DEBOUNCE_SECONDS}})
    record = oban._query.ack_jobs

    async def ack_jobs(acks: list[Any]) -> Any:
        done = await record(acks)
        for ack in acks:
            ends.ended(ack.job.id)
        return done

    oban._query.ack_jobs = ack_jobs

    async def one() -> None:
        job = await Nothing.enqueue({})
        await ends.wait(job.id)

    async with oban:
        many = await common.many(one, words)
        single = await common.single(one, words)
        async with pool.connection() as connection:
            shown = {
                name: await (await connection.execute(f"SHOW {name}")).fetchone() for name in common.POSTGRES_SETTINGS
            }
    common.report(
        many=many,
        single=single,
        durability={name: row[0] for name, row in shown.items()},
        versions=common.versions("oban", "psycopg"),
        settings=[f"limit {LIMIT}", f"debounce {DEBOUNCE_SECONDS * 1000:g} ms", f"pool of {CONNECTIONS}", "uvloop"],
    )
    await pool.close()


if __name__ == "__main__":
    uvloop.run(main())  # measured: 1,250 to 2,190 tasks/s with it, 950 to 1,040 without
