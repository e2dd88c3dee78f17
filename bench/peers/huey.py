"""Huey over SQLite: the consumer's worker thread and the producer in one process, results stored."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from typing import Any

from huey import SqliteHuey, signals
from huey.consumer import Consumer

from peers import common

POLL_SECONDS = 0.001
"""How often an idle worker looks for work (as shipped: 0.1, growing to 10). Its answer waits that long at most."""

WORKERS = 1
"""Measured: 1 worker 1,550 tasks/s, 2 workers 1,360, 4 workers 1,300, because all of them share one connection."""

CACHE_MB = 64
"""As shipped: 8. Makes no difference here, and cannot hurt."""


def main() -> None:
    words = common.arguments(__doc__)
    logging.disable(logging.INFO)
    # fsync=True is Huey's name for synchronous=FULL; as shipped it leaves that to how SQLite was built.
    huey = SqliteHuey(
        filename=os.path.join(words.folder, "huey.db"), journal_mode="wal", fsync=True, cache_mb=CACHE_MB, results=True
    )
    waiting: dict[str, Callable[[], None]] = {}

    @huey.task()
    def nothing() -> int:
        return 1  # Huey stores no result for None

    @huey.signal(signals.SIGNAL_COMPLETE)  # sent once the result is stored
    def complete(_signal: str, task: Any) -> None:
        waiting.pop(task.id)()

    def submit(ended: Callable[[], None]) -> None:
        task = nothing.s()
        waiting[task.id] = ended
        huey.enqueue(task)

    consumer = Consumer(
        huey, workers=WORKERS, periodic=False, initial_delay=POLL_SECONDS, backoff=1.0, max_delay=POLL_SECONDS,
        scheduler_interval=60,
    )  # fmt: skip
    consumer.start()
    try:
        many = common.many_in_threads(submit, words)
        single = common.single_in_threads(submit, words)
    finally:
        consumer.stop(graceful=True)
    common.report(
        many=many,
        single=single,
        durability=common.sqlite_durability(lambda sql: huey.storage.sql(sql, results=True)[0][0]),
        versions=common.versions("huey", sqlite=sqlite3.sqlite_version),
        settings=[f"{WORKERS} worker", f"polls every {POLL_SECONDS * 1000:g} ms", f"{CACHE_MB} MB cache"],
    )


if __name__ == "__main__":
    main()
