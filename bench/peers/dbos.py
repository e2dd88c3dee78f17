"""DBOS over SQLite: workflows of no steps, started in the process that runs them.

Variant ``as shipped`` leaves everything as it comes; without a name it is tuned. Started through a queue, a workflow
waits for the next poll of that queue and costs one commit more, so the direct way is its fastest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from peers import common

EXECUTOR_THREADS = 1
"""Of the tuned variant. Only one can write: with one executor thread 440 tasks/s, two 430, as shipped (many) 325."""


def sqlite() -> Any:
    """Return an SQLite that DBOS can use, in the standard library's place when that one is too old."""
    import sqlite3

    if sqlite3.sqlite_version_info >= (3, 42):
        return sqlite3
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3
    return pysqlite3


def main() -> None:
    words = common.arguments(__doc__)
    engine = sqlite()
    import sqlalchemy
    from dbos import DBOS
    from dbos._dbos import _get_dbos_instance

    file = os.path.join(os.path.abspath(words.folder), "dbos.db")
    config: dict[str, Any] = {"name": "bench", "system_database_url": f"sqlite:///{file}", "log_level": "ERROR"}
    settings = []
    if words.variant != "as shipped":
        # DBOS has no setting for it, but the mode is kept in the file.
        connection = engine.connect(file)
        connection.execute("PRAGMA journal_mode = wal")
        connection.close()
        config["max_executor_threads"] = EXECUTOR_THREADS
        settings = ["journal set to WAL", f"{EXECUTOR_THREADS} executor thread"]
    DBOS(config=config)

    @DBOS.workflow()
    def nothing() -> int:
        return 1

    DBOS.launch()

    def submit(ended: Callable[[], None]) -> None:
        DBOS.start_workflow(nothing).future.add_done_callback(lambda _: ended())

    def ask(sql: str) -> Any:
        with _get_dbos_instance()._sys_db.engine.connect() as connection:
            return connection.execute(sqlalchemy.text(sql)).scalar()

    many = common.many_in_threads(submit, words)
    single = common.single_in_threads(submit, words)
    common.report(
        many=many,
        single=single,
        durability=common.sqlite_durability(ask),
        versions=common.versions("dbos", sqlite=engine.sqlite_version),
        settings=settings,
    )
    DBOS.destroy()


if __name__ == "__main__":
    main()
