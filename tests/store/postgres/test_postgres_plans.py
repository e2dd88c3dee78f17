"""Query plans of the writer, read: what is written by key finds its rows by an index, however small tables were."""

from __future__ import annotations

import psycopg
import pytest

from outlast.store import migrate
from outlast.store.postgres.connection import PACKAGE, connect_writer
from outlast.store.postgres.flight import statement
from outlast.store.statements import load

STATEMENTS = {name: statement(text) for name, text in load(PACKAGE).items()}
INDEXED = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")
LIVE = ("task_claim", "task_running", "task_ready", "task_delayed")
"""Indexes of what is live: walking one whole is walking a short list."""
MANY = sorted(name for name, one in STATEMENTS.items() if one.takes_rows)


def _nodes(plan: dict) -> list[dict]:
    return [plan, *(node for inner in plan.get("Plans", ()) for node in _nodes(inner))]


def _plan(connection, name: str) -> list[dict]:
    [[[found]]] = connection.execute(f"EXPLAIN (FORMAT JSON) {STATEMENTS[name].sql}", {"rows": "[{}]"})
    return _nodes(found["Plan"])


def test_no_statement_over_many_rows_walks_a_table(pg_database):
    """A plan is made once and kept; made while a table is empty it must still be right when it holds a million."""
    with psycopg.connect(pg_database, autocommit=True) as making:
        making.execute(migrate.schema_text(PACKAGE).encode())
    with connect_writer(pg_database) as connection:
        for name in MANY:
            for node in _plan(connection, name):
                assert node["Node Type"] != "Seq Scan" and not node["Node Type"].startswith(("Hash", "Merge")), name
                walks = node["Node Type"] in INDEXED and "Index Cond" not in node
                assert not walks or node["Index Name"] in LIVE, (name, node)


@pytest.mark.parametrize("name", ["start_task", "end_task", "append_event", "append_notice", "note_seen"])
def test_what_is_done_often_is_done_over_many_rows(name):
    """These are the statements of every task; one round trip for all of a moment is what makes them quick."""
    assert STATEMENTS[name].takes_rows


def test_how_a_statement_is_flown_is_read_off_its_text():
    """Rows by key, rows in order, one by one with an answer, one by one without."""
    assert (STATEMENTS["end_task"].key, STATEMENTS["renew_lease"].key) == ("id", "claim_id")
    assert (STATEMENTS["start_task"].answers, STATEMENTS["put_payload"].answers) == (True, False)
    assert (STATEMENTS["get_task"].takes_rows, STATEMENTS["get_task"].answers) == (False, True)
    assert (STATEMENTS["set_delivery"].takes_rows, STATEMENTS["set_delivery"].answers) == (False, False)
