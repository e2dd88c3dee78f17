"""The questions, as functions of a reader: they block, and so run in the readers' threads (or in the CLI)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from outlast.core.session import Status
from outlast.core.task import Event, Task, TaskFilter
from outlast.store.base import SEARCH_WINDOW, OutboxRow, Page, QueueState
from outlast.store.listing import Lane, cut, lanes, page_of
from outlast.store.rows import Row, event_of, json_value, outbox_of, task_of, tasks_of

ABOVE_ALL = "\U0010ffff"


class Reader(Protocol):
    """One connection that only reads."""

    like: str
    """The operator that compares text without case."""

    def rows(self, name: str, **params: Any) -> Sequence[Row]:  # noqa: ANN401
        """Run a statement and return all its rows."""

    def lane(self, name: str, lane: Lane) -> Sequence[Row]:
        """Run a statement of the listing along one lane."""


def get_task(reader: Reader, task_id: str) -> Task | None:
    """Return one task."""
    rows = reader.rows("get_task", id=task_id)
    return task_of(rows[0]) if rows else None


def find_tasks(reader: Reader, lookup: str, limit: int) -> list[Task]:
    """Return what a name may mean."""
    if not lookup:
        return []
    found = reader.rows("get_task", id=lookup)
    found = found or reader.rows("find_by_prefix", prefix=lookup, above=lookup + ABOVE_ALL, limit=cut(limit))
    found = found or reader.rows("find_by_session", session_id=lookup)
    return tasks_of(found or reader.rows("find_by_conversation", conversation=lookup))


def list_tasks(reader: Reader, narrow: TaskFilter, limit: int, cursor: str | None) -> Page:
    """Return a page of tasks, newest first."""
    limit = cut(limit)
    rows: list[Row] = []
    floors = []
    for lane in lanes(narrow, cursor, reader.like):
        where, params = lane.where, lane.params
        if narrow.search and (found := _floor(reader, narrow, cursor, params.get("status"))):
            floors.append(found)
            where += " AND (created_at, id) >= (:floor_at, :floor_id)"
            params = {**params, "floor_at": found[0], "floor_id": found[1]}
        rows += reader.lane("list_tasks", Lane(lane.leader, where, {**params, "limit": limit + 1}))
    floor = max(floors, default=None)
    if floor is not None:
        rows = [row for row in rows if (row[6], row[0]) >= floor]
    return page_of(rows, limit, floor)


def _floor(reader: Reader, narrow: TaskFilter, cursor: str | None, status: str | None) -> tuple[float, str] | None:
    plain = TaskFilter(
        statuses=() if status is None else (Status(status),),
        runtime=narrow.runtime, kind=narrow.kind, requester=narrow.requester, conversation=narrow.conversation,
        parent_id=narrow.parent_id, flow_id=narrow.flow_id, label=narrow.label, since=narrow.since,
        dismissed=narrow.dismissed or None,
    )  # fmt: skip
    [lane] = lanes(plain, cursor, reader.like)
    found = reader.lane("list_floor", Lane(lane.leader, lane.where, {**lane.params, "window": SEARCH_WINDOW - 1}))
    return (found[0][0], found[0][1]) if found else None


def events_of(reader: Reader, task_id: str, after: int, limit: int) -> list[Event]:
    """Return a task's history."""
    return [event_of(row) for row in reader.rows("events_of", task_id=task_id, after=after, limit=cut(limit))]


def events_since(reader: Reader, after: int, limit: int) -> list[Event]:
    """Return everybody's history."""
    return [event_of(row) for row in reader.rows("events_since", after=after, limit=cut(limit))]


def last_event_id(reader: Reader) -> int:
    """Return where history ends."""
    found: int = reader.rows("last_event_id")[0][0]
    return found


def payload_of(reader: Reader, task_id: str) -> dict[str, object] | None:
    """Return what the worker runs."""
    rows = reader.rows("payload_of", task_id=task_id)
    return json_value(rows[0][0]) if rows else None


def counts(reader: Reader) -> dict[Status, int]:
    """Return how many tasks stand where."""
    return dict.fromkeys(Status, 0) | {Status(row[0]): row[1] for row in reader.rows("counts")}


def counts_live(reader: Reader) -> dict[Status, int]:
    """Return how much live work there is."""
    return {Status(row[0]): row[1] for row in reader.rows("counts_live")}


def queues(reader: Reader) -> list[QueueState]:
    """Return the queues as they are."""
    limits = _pairs(reader, "queue_limits")
    queued = _pairs(reader, "queued_in_queue")
    running = _pairs(reader, "running_by_queue")
    return [
        QueueState(name=name, limit_max=limits.get(name), queued=queued.get(name, 0), running=running.get(name, 0))
        for name in sorted({*limits, *queued, *running})
    ]


def next_due(reader: Reader) -> float | None:
    """Return the next moment something is due."""
    found: float | None = reader.rows("next_due")[0][0]
    return found


def pending_outbox(reader: Reader, limit: int, after: int) -> list[OutboxRow]:
    """Return notices that wait."""
    return [outbox_of(row) for row in reader.rows("pending_outbox", limit=cut(limit), after=after)]


def outbox_counts(reader: Reader) -> dict[str, int]:
    """Return how many notices stand where."""
    return {"pending": 0, "parked": 0} | _pairs(reader, "outbox_counts")


def _pairs(reader: Reader, name: str) -> dict[str, int]:
    return {row[0]: row[1] for row in reader.rows(name)}


def _tasks(name: str) -> Callable[..., list[Task]]:
    def question(reader: Reader, limit: int, **params: Any) -> list[Task]:  # noqa: ANN401
        return tasks_of(reader.rows(name, limit=cut(limit), **params))

    return question


QUESTIONS: dict[str, Callable[..., Any]] = {
    question.__name__: question
    for question in (
        get_task, find_tasks, list_tasks, events_of, events_since, last_event_id, payload_of, counts,
        counts_live, queues, next_due, pending_outbox, outbox_counts,
    )
} | {
    name: _tasks(name)
    for name in (
        "children_of", "expired_leases", "running_tasks", "cancel_asked", "lost_on", "past_deadline",
        "stale_queued", "stale_running", "delivery_failed", "missing_cleanup", "inconsistent_timestamps",
        "ended_before",
    )
}  # fmt: skip
