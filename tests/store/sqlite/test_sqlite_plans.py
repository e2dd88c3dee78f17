"""Query plans, read: no statement of daily use walks a whole table or sorts one."""

from __future__ import annotations

import itertools
import re

import apsw
import pytest

from outlast.core.approval import ApprovalFilter, ApprovalKind, ApprovalStatus
from outlast.core.flow import FlowFilter, FlowMode, FlowStatus
from outlast.core.session import Status
from outlast.core.task import Runtime, TaskFilter
from outlast.store import migrate
from outlast.store.flow_questions import approval_lanes, flow_lanes
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
    "flow_workers": "a row for each worker that lives",
    "beat_states": "a row for each agent that has a heartbeat",
    "failing_beats": "a row for each agent that has a heartbeat; its newest beats by an index",
}
LIVE = (
    "task_running",
    "task_conversation_live",
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
    "flow_step_ref",
    "flow_waiting",
    "flow_blocked",
    "flow_cancelling",
    "approval_due",
    "beat_open",
)
"""Indexes of what is live or odd: walking one whole is walking a short list."""
SORTS_FEW = {
    "due_heads",
    "running_tasks",
    "stale_running",
    "silent_agents",
    "login_wanted",
    "expired_leases",
    "missing_cleanup",
    "cancel_asked",
    "steps_in_order",
    "live_below",
    "live_turns",
}
OWN_ROWS = {
    "SCAN name", "SCAN level", "SCAN moments", "SCAN CONSTANT ROW", "SCAN payload", "SCAN below",
}  # fmt: skip
"""Walks over what a statement has made itself, or was given."""
LISTINGS = {"list_tasks", "list_floor", "list_flows", "list_approvals"}


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
        and line not in OWN_ROWS
        and "subquery" not in line and "SCAN (" not in line
    ] + [line for line in plan if line.endswith("task_status (status=?)")]  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(SQL) - set(WALKS) - LISTINGS))
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


def test_every_listing_of_spawned_agents_follows_an_index_of_theirs(database):
    """Or that of a status in which few stand: what else their requester has begun is not walked over."""
    reader = SqliteReader(database, SQL)
    seen = set()
    for among, requester, since, cursor in itertools.product(
        [(), (Status.FAILED,), (Status.RUNNING,), (Status.FAILED, Status.LOST)],
        (None, "r"),
        (None, 1.0),
        (None, "1.0:t"),
    ):
        narrow = TaskFilter(kind="spawn", statuses=among, requester=requester, since=since)
        seen |= _in_order(database, reader, "list_tasks", lanes(narrow, cursor, "LIKE"))
    assert seen == {"task_spawn", "task_spawn_of", "task_status"}


def test_every_listing_of_flows_and_approvals_follows_an_index_in_its_order(database):
    reader = SqliteReader(database, SQL)
    words = ("name", "requester", "conversation", "parent_id", "label")
    seen = set()
    for among, mode, since, cursor, *given in itertools.product(
        [(), (FlowStatus.FAILED,), (FlowStatus.RUNNING,), (FlowStatus.FAILED, FlowStatus.WAITING)],
        (None, *FlowMode), (None, 1.0), (None, "1.0:f"), *[(None, "w")] * len(words),
    ):  # fmt: skip
        narrow = FlowFilter(statuses=among, mode=mode, since=since, **dict(zip(words, given, strict=True)))
        seen |= _in_order(database, reader, "list_flows", flow_lanes(narrow, cursor))
    for among, kind, requester, flow_id, cursor in itertools.product(
        [(), (ApprovalStatus.PENDING,), (ApprovalStatus.PENDING, ApprovalStatus.EXPIRED)], (None, ApprovalKind.EXEC),
        (None, "r"), (None, "f"), (None, "1.0:a"),
    ):  # fmt: skip
        asked = ApprovalFilter(statuses=among, kind=kind, requester=requester, flow_id=flow_id)
        seen |= _in_order(database, reader, "list_approvals", approval_lanes(asked, cursor))
    assert seen == {
        "flow_created", "flow_status", "flow_requester", "flow_name", "flow_mode", "flow_parent", "flow_label",
        "flow_conversation", "approval_created", "approval_status", "approval_requester", "approval_flow",
    }  # fmt: skip


def _in_order(database, reader, name: str, lanes) -> set[str]:
    """The indexes of some walks, each seen to lead in the order of the listing."""
    for lane in lanes:
        plan = _plan(database, reader.lane_sql(name, lane))
        assert not [line for line in plan if "TEMP B-TREE" in line], (lane, plan)
        walked = [line for line in plan if line.startswith("SCAN")]
        whole = lane.leader in ("flow_created", "approval_created", "task_spawn")
        assert whole or not walked, (lane, plan)
        assert all(f"INDEX {lane.leader}" in line for line in plan), (lane, plan)
    return {lane.leader for lane in lanes}


def test_what_sleeps_costs_a_claim_nothing(database):
    """Steps of the machine that runs the statements: with 100,000 sleeping flows as many as with ten."""
    steps = {count: _steps_of_a_look(count) for count in (10, 100_000)}
    assert steps[100_000] < 2_000
    assert steps[100_000] <= steps[10] + 100


def _steps_of_a_look(sleeping: int) -> int:
    """How many steps looking for ready flows takes: of four priorities, ten flows are ready, and so many sleep."""
    connection = apsw.Connection(":memory:")
    connection.execute(migrate.schema_text(PACKAGE))
    connection.execute(
        """
        INSERT INTO flow (
            id, mode, name, requester, status, created_at, updated_at, revision, handler, ask, state, priority, notify,
            delivery, concurrency_max, key_held, attempt, attempts_max, nudges, crashes, crash_seq, ready_at
        )
        WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ? + 10)
        SELECT
            'f' || n, 'program', 'x', 'r', 'waiting', 1.0, 1.0, 1, 'm:h', '{}', '{}', n % 4, 'silent', 'not_needed', 1,
            0, 1, 1, 0, 0, 0, CASE WHEN n <= 10 THEN n ELSE 1000.0 + n END
        FROM number
        """,
        (sleeping,),
    )
    taken = 0

    def count() -> bool:
        nonlocal taken
        taken += 10
        return False

    connection.set_progress_handler(count, 10)
    found = []
    for (priority,) in connection.execute(SQL["flow_levels"], {"handler": "m:h"}).fetchall():
        params = {"handler": "m:h", "priority": priority, "now": 500.0, "limit": 50}
        found += connection.execute(SQL["ready_flows"], params).fetchall()
    assert [row[2] for row in found] == ["f3", "f7", "f2", "f6", "f10", "f1", "f5", "f9", "f4", "f8"]
    assert connection.execute(SQL["next_flow_ready"], {"handler": "m:h", "after": 500.0}).get == 1011.0
    assert connection.execute(SQL["flow_handlers"]).get == "m:h"
    return taken


PAGES = {
    "first": ("entries_of", {"after": 0}, 1),
    "middle": ("entries_of", {"after": 0.5}, 1),
    "last": ("entries_of", {"after": 1.0}, 1),
    "newest": ("entries_before", {"before": 2**62}, -1),
    "middle, backward": ("entries_before", {"before": 0.5}, -1),
    "oldest, backward": ("entries_before", {"before": 201}, -1),
}
"""A page of a transcript of so many entries; a float is a share of them."""


def test_a_long_transcript_pages_as_fast_as_a_short_one():
    """Plans, and steps of the machine that runs them: with 1,000,000 entries as many as with 1,000, both ways."""
    short, long = _transcript(1_000), _transcript(1_000_000)
    for page, (name, _, _) in PAGES.items():
        assert _plan(short[0], SQL[name]) == _plan(long[0], SQL[name]) == [
            "SEARCH transcript USING PRIMARY KEY (conversation=? AND seq" + ("<?)" if "before" in name else ">?)")
        ], page  # fmt: skip
        assert _steps_of_a_page(*long, page) <= _steps_of_a_page(*short, page) + 20
    for name, params in {"newest_entry": {"conversation": "c"}, "last_entry_of_task": {"task_id": "t"}}.items():
        assert _steps(long[0], SQL[name], params)[0] <= _steps(short[0], SQL[name], params)[0] + 20 < 200


def _transcript(count: int):
    """A store with a conversation of so many entries between two others."""
    connection = apsw.Connection(":memory:")
    connection.execute(migrate.schema_text(PACKAGE))
    for conversation, entries in (("b", 500), ("c", count), ("d", 500)):
        connection.execute(
            """
            INSERT INTO transcript (conversation, seq, at, kind, text, data, task_id, source_key, journal_at)
            WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?2)
            SELECT ?1, n, n, 'text', 'line ' || n, '{}', iif(?1 = 'c', 't', NULL), ?1 || ':' || n, n FROM number
            """,
            (conversation, entries),
        )
    connection.execute("ANALYZE")
    return connection, count


def _steps_of_a_page(connection, count: int, page: str) -> int:
    name, where, direction = PAGES[page]
    params = {key: int(at * count) if isinstance(at, float) else at for key, at in where.items()}
    if page == "last":
        params["after"] -= 200
    taken, rows = _steps(connection, SQL[name], {"conversation": "c", "limit": 200, **params})
    assert [row[1] for row in rows] == list(range(rows[0][1], rows[0][1] + 200 * direction, direction))
    assert len(rows) == 200
    return taken


def _steps(connection, sql: str, params: dict) -> tuple[int, list]:
    """How many steps a statement takes, and its rows."""
    taken = 0

    def count() -> bool:
        nonlocal taken
        taken += 1
        return False

    connection.set_progress_handler(count, 1)
    rows = connection.execute(sql, params).fetchall()
    connection.set_progress_handler(None)
    return taken, rows


def test_who_wants_a_login_is_found_as_fast_among_many_turns():
    """Steps of the machine that runs the statement: after 100,000 turns that went well as after ten."""
    taken = {}
    for count in (10, 100_000):
        connection = apsw.Connection(":memory:")
        connection.execute(migrate.schema_text(PACKAGE))
        connection.execute(
            """
            INSERT INTO task (
                id, runtime, kind, source, requester, status, created_at, revision, ask, detail, attempt, attempts_max,
                notify, delivery, priority, queue, ended_at
            )
            WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
            SELECT
                't' || n, iif(n % 2, 'acp', 'subagent'), 'turn', 'x', 'r', iif(n <= 3, 'failed', 'succeeded'), n, 1,
                '{"agent":"a' || iif(n = 3, 9, n % 3) || '"}', iif(n <= 3, '{"stop":"login_wanted"}', '{}'), 1, 1,
                'silent', 'not_needed', 0, 'q', n
            FROM number
            """,
            (count,),
        )
        taken[count], rows = _steps(connection, SQL["login_wanted"], {"limit": 10})
        assert [row[0] for row in rows] == ["t3"]
    assert taken[100_000] <= taken[10] + 100 < 1_000
