"""What is wrong in the ledger, or may be. One bounded pass of indexed questions; nothing is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from outlast.core.durations import format_duration
from outlast.core.findings import KINDS, Code, Finding
from outlast.core.session import Status
from outlast.core.task import Task, TaskFilter
from outlast.store.base import LIST_MAX, Questions

PER_CODE_MAX = 200
"""Findings of one kind in one pass; an audit says when there are more."""

LastSign = Callable[[Task], float | None]
"""When the work of a task last gave a sign of life that is not on record (its output), None when that is not known."""


class Audit(NamedTuple):
    """The findings, worst first, the oldest of a kind first; ``more`` when a kind had more than were looked at."""

    findings: list[Finding]
    more: bool


async def audit(store: Questions, now: float, *, limit: int = PER_CODE_MAX, last_sign: LastSign | None = None) -> Audit:
    """Ask for everything that is wrong, at most ``limit`` of each kind."""
    found: list[Finding] = []
    more = False
    for code, look in _LOOKS.items():
        tasks = await look(store, now - KINDS[code].after_seconds, limit + 1)
        more = more or len(tasks) > limit or len(tasks) == LIST_MAX
        findings = [_finding(code, task, now, last_sign) for task in tasks[:limit]]
        found += sorted((one for one in findings if one is not None), key=lambda one: one.since or 0.0)
    return Audit(found, more)


async def _lost(store: Questions, before: float, limit: int) -> list[Task]:
    return (await store.list_tasks(TaskFilter(statuses=(Status.LOST,), dismissed=False), limit)).tasks


async def _delivery_failed(store: Questions, before: float, limit: int) -> list[Task]:
    return await store.delivery_failed(limit)


async def _missing_cleanup(store: Questions, before: float, limit: int) -> list[Task]:
    return await store.missing_cleanup(limit)


async def _inconsistent(store: Questions, before: float, limit: int) -> list[Task]:
    return await store.inconsistent_timestamps(limit)


async def _stale_queued(store: Questions, before: float, limit: int) -> list[Task]:
    return await store.stale_queued(before, limit)


async def _stale_running(store: Questions, before: float, limit: int) -> list[Task]:
    return await store.stale_running(before, limit)


_LOOKS: dict[Code, Callable[[Questions, float, int], Awaitable[list[Task]]]] = {
    Code.LOST: _lost,
    Code.STALE_RUNNING: _stale_running,
    Code.DELIVERY_FAILED: _delivery_failed,
    Code.STALE_QUEUED: _stale_queued,
    Code.INCONSISTENT_TIMESTAMPS: _inconsistent,
    Code.MISSING_CLEANUP: _missing_cleanup,
}


def _finding(code: Code, task: Task, now: float, last_sign: LastSign | None) -> Finding | None:
    """Return what there is to say about a task; None when a closer look, or its dismissal, says that all is well."""
    if task.dismissed_at is not None:
        return None
    since = {
        Code.LOST: task.ended_at,
        Code.STALE_RUNNING: task.seen_at or task.started_at,
        Code.STALE_QUEUED: max(task.created_at, task.not_before_at or 0.0, task.seen_at or 0.0),
    }.get(code, task.ended_at or task.created_at)
    if code is Code.STALE_RUNNING and last_sign is not None and (sign := last_sign(task)) is not None:
        since = max(since or 0.0, sign)
    after = KINDS[code].after_seconds
    if after and since is not None and now - since <= after:
        return None
    age = "" if since is None else format_duration(max(0.0, now - since))
    return Finding(code, task.label or task.title or task.id, _say(code, task, age), task.id, since)


def _say(code: Code, task: Task, age: str) -> str:
    match code:
        case Code.LOST:
            return f"nobody knows how it ended: {task.error or task.cause}"
        case Code.STALE_RUNNING:
            return f"no output, progress or report for {age}"
        case Code.STALE_QUEUED:
            return f"has waited in queue {task.queue!r} for {age}" + (f" for node {task.node}" if task.node else "")
        case Code.DELIVERY_FAILED:
            return f"its {task.status} could not be told to {task.conversation or task.requester}"
        case Code.MISSING_CLEANUP:
            return "has ended, and what it was to run is still on record"
        case _:
            return "its moments contradict each other: a clock was set back"
