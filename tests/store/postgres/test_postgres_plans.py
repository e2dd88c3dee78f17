"""Query plans of the writer, read: what is written by key finds its rows by an index, however small tables were."""

from __future__ import annotations

import psycopg
import pytest

from outlast.core.task import TaskFilter
from outlast.store import migrate
from outlast.store.listing import lanes
from outlast.store.postgres.connection import PACKAGE, connect_writer
from outlast.store.postgres.flight import statement
from outlast.store.postgres.reader import PostgresReader
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


_SLEEPING = """
    INSERT INTO flow (
        id, mode, name, requester, status, created_at, updated_at, revision, handler, ask, state, priority, notify,
        delivery, concurrency_max, key_held, attempt, attempts_max, nudges, crashes, crash_seq, ready_at
    )
    SELECT
        'f' || n, 'program', 'x', 'r', 'waiting', n, 1.0, 1, 'm:h', '{}', '{}', n % 4, 'silent', 'not_needed', 1, 0, 1,
        1, 0, 0, 0, CASE WHEN n <= 10 THEN n ELSE 1000.0 + n END
    FROM generate_series(1, 100000) AS n
"""


def test_what_sleeps_costs_a_claim_nothing(pg_database):
    """Of four priorities ten flows are ready and nearly 100,000 sleep: nothing that is read grows with those."""
    asked = {
        "flow_levels": {"handler": "m:h"}, "flow_handlers": {}, "next_flow_ready": {"handler": "m:h", "after": 500.0},
        "ready_flows": {"handler": "m:h", "priority": 2, "now": 500.0, "limit": 50},
    }  # fmt: skip
    with psycopg.connect(pg_database, autocommit=True) as making:
        making.execute(migrate.schema_text(PACKAGE).encode())
        making.execute(_SLEEPING.encode())
        with connect_writer(pg_database) as writer:
            for known in ("nothing", "all"):
                for name, params in asked.items():
                    assert _rows_read(writer, name, params) < 100, (name, known)
                making.execute("ANALYZE flow")
            found = writer.execute(STATEMENTS["ready_flows"].sql, asked["ready_flows"]).fetchall()
    assert [row[2] for row in found] == ["f2", "f6", "f10"]


def _rows_read(connection, name: str, params: dict) -> int:
    [[[found]]] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {STATEMENTS[name].sql}", params)
    return sum(
        node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
        for node in _nodes(found["Plan"]) if "Relation Name" in node
    )  # fmt: skip


_TURNS = """
    INSERT INTO task (
        id, runtime, kind, source, requester, status, created_at, revision, ask, detail, attempt, attempts_max, notify,
        delivery, priority, queue, ended_at
    )
    SELECT
        't' || n, CASE n % 2 WHEN 1 THEN 'acp' ELSE 'subagent' END, 'turn', 'x', 'r',
        CASE WHEN n <= 3 THEN 'failed' ELSE 'succeeded' END, n, 1,
        '{"agent":"a' || CASE n WHEN 3 THEN 9 ELSE n % 3 END || '"}',
        CASE WHEN n <= 3 THEN '{"stop":"login_wanted"}' ELSE '{}' END, 1, 1, 'silent', 'not_needed', 0, 'q', n
    FROM generate_series(1, 100000) AS n
"""


def test_who_wants_a_login_is_found_as_fast_among_many_turns(pg_database):
    """After 100,000 turns that went well a few rows are read, known to the planner or not."""
    with psycopg.connect(pg_database, autocommit=True) as reader:
        reader.execute(migrate.schema_text(PACKAGE).encode())
        reader.execute(_TURNS.encode())
        for known in ("nothing", "all"):
            assert _rows_read(reader, "login_wanted", {"limit": 10}) < 50, known
            reader.execute("ANALYZE task")
        found = reader.execute(STATEMENTS["login_wanted"].sql, {"limit": 10}).fetchall()
    assert [row[0] for row in found] == ["t3"]


_BUSY = """
    INSERT INTO task (
        id, runtime, kind, source, requester, status, created_at, revision, ask, detail, attempt, attempts_max, notify,
        delivery, priority, queue
    )
    SELECT
        't' || n, CASE WHEN n % 1000 = 0 THEN 'subagent' ELSE 'cli' END,
        CASE WHEN n % 1000 = 0 THEN 'spawn' ELSE 'exec' END, 'test', 'r', 'succeeded', n, 1, '{}', '{}', 1, 1, 'silent',
        'not_needed', 0, 'q'
    FROM generate_series(1, 50000) AS n
"""


def test_spawned_agents_are_listed_without_a_walk_over_what_else_was_begun(pg_database):
    """One task of a thousand was spawned: a page of twenty reads twenty rows."""
    with psycopg.connect(pg_database, autocommit=True) as making:
        making.execute(migrate.schema_text(PACKAGE).encode())
        making.execute(_BUSY.encode())
        making.execute("ANALYZE task")
        with connect_writer(pg_database) as connection:
            reader = PostgresReader(connection, {name: one.sql for name, one in STATEMENTS.items()})
            for requester in (None, "r"):
                [lane] = lanes(TaskFilter(kind="spawn", requester=requester), "40000.0:t", "ILIKE")
                sql = reader.lane_sql("list_tasks", lane)
                [[[found]]] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", {**lane.params, "limit": 20})
                nodes = _nodes(found["Plan"])
                assert {node["Index Name"] for node in nodes if "Index Name" in node} <= {"task_spawn", "task_spawn_of"}
                assert sum(node.get("Rows Removed by Filter", 0) for node in nodes) == 0
                assert nodes[0]["Actual Rows"] == 20


_PAGES = {
    "first": ("entries_of", {"after": 0}), "middle": ("entries_of", {"after": 0.5}),
    "last": ("entries_of", {"after": 1.0}), "newest": ("entries_before", {"before": 2**62}),
    "middle, backward": ("entries_before", {"before": 0.5}), "oldest, backward": ("entries_before", {"before": 201}),
}  # fmt: skip
"""A page of a transcript of so many entries; a float is a share of them."""


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_a_long_transcript_pages_as_fast_as_a_short_one(pg_database, count):
    """Plans, and rows they read: of a long one as of 1,000 entries, both ways, known to the planner or not."""
    with psycopg.connect(pg_database, autocommit=True) as reader:
        reader.execute(migrate.schema_text(PACKAGE).encode())
        looks = []
        for first, last in ((1, 1_000), (1_001, count)):
            reader.execute(
                "INSERT INTO transcript (conversation, seq, at, kind, text, data, task_id, source_key, journal_at) "
                "SELECT 'c', n, n, 'text', 'line ' || n, '{}', 't', 'c:' || n, n "
                "FROM generate_series(%s::int, %s::int) AS n",
                (first, last),
            )
            looks.append({page: _page(reader, page, last) for page in _PAGES})
            looks[-1] |= {name: _look(reader, name, params) for name, params in _ENDS.items()}
            reader.execute("ANALYZE transcript")
        again = {page: _page(reader, page, count) for page in _PAGES}
    assert looks[0] == looks[1]
    assert again == {page: looks[0][page] for page in _PAGES}
    assert all(rows <= 200 for _, rows in looks[1].values())


_ENDS = {"newest_entry": {"conversation": "c"}, "last_entry_of_task": {"task_id": "t"}}


def _page(reader, page: str, count: int) -> tuple[list, float]:
    name, where = _PAGES[page]
    params = {key: int(at * count) if isinstance(at, float) else at for key, at in where.items()}
    if page == "last":
        params["after"] -= 200
    return _look(reader, name, {"conversation": "c", "limit": 200, **params})


def _look(reader, name: str, params: dict) -> tuple[list, float]:
    """The kinds and indexes of a plan, and how many rows it read."""
    [[[found]]] = reader.execute(f"EXPLAIN (FORMAT JSON) {STATEMENTS[name].sql}", params)
    plan = [(node["Node Type"], node.get("Index Name")) for node in _nodes(found["Plan"])]
    return plan, _rows_read(reader, name, params)
