"""DBOS over SQLite, or over PostgreSQL with --dsn: workflows of steps, started in the process that runs them.

Variant ``as shipped`` leaves everything as it comes; without a name it is tuned, as for tasks (see `peers.dbos`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from peers import common, flows
from peers.dbos import sqlite

SQLITE_THREADS = 2
"""Executor threads of the tuned variant: 1, 2 and 4 make 57, 65 and 59 flows/s, as shipped (many) 41; with the journal
as shipped 27. Async workflows make 42 to 52."""

POSTGRES_THREADS = 4
"""As shipped 33 flows/s; 1, 4, 8 and 16 threads make 31, 49, 44 and 36; async workflows 20 to 30."""


def configure(words: argparse.Namespace, engine: Any) -> tuple[dict[str, Any], list[str]]:
    """Return DBOS's configuration, and what of it is not as shipped."""
    config: dict[str, Any] = {"name": "bench", "system_database_url": words.dsn, "log_level": "ERROR"}
    file = os.path.join(os.path.abspath(words.folder), "dbos.db")
    if not words.dsn:
        config["system_database_url"] = f"sqlite:///{file}"
    if words.variant == "as shipped":
        return config, []
    settings = []
    if not words.dsn:
        # DBOS has no setting for it, but the mode is kept in the file.
        connection = engine.connect(file)
        connection.execute("PRAGMA journal_mode = wal")
        connection.close()
        settings.append("journal set to WAL")
    config["max_executor_threads"] = POSTGRES_THREADS if words.dsn else SQLITE_THREADS
    return config, [*settings, f"{config['max_executor_threads']} executor threads"]


def program(laps: flows.Laps) -> Callable[[], int]:
    from dbos import DBOS

    @DBOS.step()
    def nothing(number: int) -> int:
        return number

    @DBOS.workflow()
    def flow() -> int:
        lap = laps.start()
        for number in range(flows.STEPS):
            nothing(number)
            lap()
        return 1

    return flow


def durability(words: argparse.Namespace) -> dict[str, str]:
    import sqlalchemy
    from dbos._dbos import _get_dbos_instance

    def ask(sql: str) -> Any:
        with _get_dbos_instance()._sys_db.engine.connect() as connection:
            return connection.execute(sqlalchemy.text(sql)).scalar()

    if words.dsn:
        return {name: str(ask(f"SHOW {name}")) for name in common.POSTGRES_SETTINGS}
    return common.sqlite_durability(ask)


def main() -> None:
    words = common.arguments(__doc__)
    engine = sqlite()
    from dbos import DBOS

    config, settings = configure(words, engine)
    DBOS(config=config)
    laps = flows.Laps()
    flow = program(laps)
    DBOS.launch()

    def submit(ended: Callable[[], None]) -> None:
        DBOS.start_workflow(flow).future.add_done_callback(lambda _: ended())

    single = flows.singles_in_threads(submit, words, laps)
    many = common.many_in_threads(submit, words, flows.Wave(words))
    others = {} if words.dsn else {"sqlite": engine.sqlite_version}
    common.report(
        many=many, single=single, durability=durability(words), versions=common.versions("dbos", **others),
        settings=settings, steps=laps.milliseconds,
    )  # fmt: skip
    DBOS.destroy()


if __name__ == "__main__":
    main()
