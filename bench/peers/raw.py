"""One durable commit of one small row, again and again: what the disk allows, under every queue alike."""

from __future__ import annotations

import os
import time

import apsw

from peers import common


class Commits:
    """A small file of its own, in a folder on the disk that is measured."""

    def __init__(self, folder: str) -> None:
        self.connection = apsw.Connection(os.path.join(folder, "raw.db"))
        self.connection.pragma("journal_mode", "wal")
        self.connection.pragma("synchronous", "full")
        self.connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")

    def one(self) -> float:
        """Commit one row; return the milliseconds that took."""
        began = time.perf_counter()
        self.connection.execute("INSERT INTO t (b) VALUES ('x')")
        return (time.perf_counter() - began) * 1000


def main() -> None:
    words = common.arguments(__doc__)
    commits = Commits(words.folder)
    took = [commits.one() for _ in range(words.singles)]
    common.report(
        many=None,
        single=took,
        durability=common.sqlite_durability(lambda sql: commits.connection.execute(sql).get),
        versions=common.versions("apsw", sqlite=apsw.sqlite_lib_version()),
        settings=[],
    )


if __name__ == "__main__":
    main()
