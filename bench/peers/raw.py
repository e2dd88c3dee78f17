"""One durable commit of one small row, again and again: what the disk allows, under every queue alike."""

from __future__ import annotations

import os
import time

import apsw

from peers import common


def main() -> None:
    words = common.arguments(__doc__)
    connection = apsw.Connection(os.path.join(words.folder, "raw.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    took = []
    for _ in range(words.singles):
        began = time.perf_counter()
        connection.execute("INSERT INTO t (b) VALUES ('x')")
        took.append((time.perf_counter() - began) * 1000)
    common.report(
        many=None,
        single=took,
        durability=common.sqlite_durability(lambda sql: connection.execute(sql).get),
        versions=common.versions("apsw", sqlite=apsw.sqlite_lib_version()),
        settings=[],
    )


if __name__ == "__main__":
    main()
