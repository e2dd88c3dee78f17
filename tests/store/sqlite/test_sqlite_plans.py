"""Query plans, read: no statement of daily use walks a whole table or sorts one."""

from __future__ import annotations

import itertools
import re

import apsw
import pytest

from outlast.core.session import Status
from outlast.core.task import Runtime, TaskFilter
from outlast.store import migrate
from outlast.store.listing import lanes
from outlast.store.sqlite.reader import SqliteReader
from outlast.store.statements import load

PACKAGE = "outlast.store.sqlite"
SQL = load(PACKAGE)
WALKS = {
    "counts": "one covering index, asked for seldom",
    "queued_in_queue": "the queued of one index",
    "check": "integrity looks at everything",
    "queue_limits": "a row for each limit that was set",
    "list_wakes": "a row for each wake that was registered",
    "foreign_version": "no table",
}
LIVE = (
    "task_running",
    "task_inconsistent",
    "task_undelivered",
    "outbox_pending",
    "outbox_parked",
    "outbox_heads",
    "system_event_waiting",
    "system_event_acked",
    "wake_due",
    "wake_parked",
    "schedule_due",
    "schedule_disabled",
    "firing_missed",
    "task_ready",
    "task_delayed",
    "task_cancelling",
)
"""Indexes of what is live or odd: walking one whole is walking a short list."""
SORTS_FEW = {"due_heads", "running_tasks", "stale_running", "expired_leases", "missing_cleanup", "cancel_asked"}


@pytest.fixture(scope="module")
def database():
    connection = apsw.Connection(":memory:")
    connection.execute(migrate.schema_text(PACKAGE))
    return connection


def _plan(connection, sql: str) -> list[str]:
    params = dict.fromkeys(re.findall(r":([a-z_]+)", sql))
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", params)]


def _bad(plan: list[str]) -> list[str]:
    """Lines that walk a table, or all of one status: most tasks of an old store have succeeded."""
    return [
        line for line in plan
        if line.startswith("SCAN") and not any(f"INDEX {name}" in line for name in LIVE)
        and line not in ("SCAN name", "SCAN moments", "SCAN CONSTANT ROW", "SCAN payload")
        and "subquery" not in line and "SCAN (" not in line
    ] + [line for line in plan if line.endswith("task_status (status=?)")]  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(SQL) - set(WALKS) - {"list_tasks", "list_floor"}))
def test_no_statement_walks_a_table(database, name):
    plan = _plan(database, SQL[name])
    assert _bad(plan) == []
    if name not in SORTS_FEW:
        assert not [line for line in plan if "TEMP B-TREE" in line], plan


def test_the_reading_of_plans_sees_a_walk(database):
    assert _bad(_plan(database, "SELECT * FROM task WHERE title = :x"))
    assert _bad(_plan(database, "SELECT * FROM task WHERE status = 'succeeded' AND title = :x"))
    assert _bad(_plan(database, "UPDATE event SET verb = 'x' WHERE verb = :x"))


def test_every_listing_follows_an_index_in_its_order(database):
    reader = SqliteReader(database, SQL)
    statuses = [(), (Status.FAILED,), (Status.QUEUED, Status.RUNNING), (Status.FAILED, Status.SUCCEEDED)]
    seen = set()
    words = ("requester", "conversation", "parent_id", "flow_id", "label", "search")
    for among, runtime, since, gone, cursor, *given in itertools.product(
        statuses, (None, Runtime.CRON), (None, 1.0), (None, True), (None, "1.0:t"), *[(None, "w")] * len(words)
    ):
        rest = dict(zip(words, given, strict=True))
        narrow = TaskFilter(statuses=among, runtime=runtime, since=since, dismissed=gone, **rest)
        for lane in lanes(narrow, cursor, "LIKE"):
            for name in ("list_tasks", "list_floor"):
                plan = _plan(database, reader.lane_sql(name, lane))
                assert not [line for line in plan if "TEMP B-TREE" in line], (narrow, plan)
                walked = [line for line in plan if line.startswith("SCAN")]
                whole = narrow == TaskFilter(search=narrow.search)
                index = "task_created" if whole else "task_dismissed"
                assert all(f"INDEX {index}" in line for line in walked)
                seen.add(lane.leader)
    assert seen == {
        "task_created", "task_status", "task_requester", "task_runtime", "task_conversation", "task_parent",
        "task_flow", "task_label", "task_dismissed",
    }  # fmt: skip
