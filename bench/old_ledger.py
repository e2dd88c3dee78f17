"""A ledger with a long past, made in seconds: what a gateway finds after years of use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import apsw

from outlast.store.rows import TASK_COLUMNS
from outlast.store.sqlite import SqliteStore

_STATUSES = ("succeeded",) * 17 + ("failed", "failed", "cancelled")
_LABELS = ("nightly", "lint", "unit tests", "deploy", None)
BATCH = 20_000
DAY = 86_400.0


def fill(path: str, count: int, now: float, *, keep_days: float = 7.0) -> None:
    """Make the store at ``path`` with ``count`` ended tasks of the last week, three lines of history each."""
    asyncio.run(_make(path))
    connection = apsw.Connection(path)
    connection.execute("PRAGMA synchronous = OFF")
    columns = ", ".join(TASK_COLUMNS)
    marks = ", ".join(f":{name}" for name in TASK_COLUMNS)
    for start in range(0, count, BATCH):
        some = range(start, min(start + BATCH, count))
        with connection:
            connection.executemany(
                f"INSERT INTO task ({columns}) VALUES ({marks})",
                (_task(n, count, now, keep_days) for n in some),
            )
            connection.executemany(
                "INSERT INTO event (task_id, at, verb, status, cause, data) VALUES (?, ?, ?, ?, ?, ?)",
                (row for n in some for row in _history(n, count, now, keep_days)),
            )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _make(path: str) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.close()


def _created(number: int, count: int, now: float, keep_days: float) -> float:
    return now - keep_days * DAY * 0.95 * (1 - number / count)


def _task(number: int, count: int, now: float, keep_days: float) -> dict[str, Any]:
    at = _created(number, count, now, keep_days)
    status = _STATUSES[number % len(_STATUSES)]
    known = {
        "id": f"t{number:016d}",
        "runtime": "cli",
        "kind": "exec",
        "source": "detach",
        "requester": f"agent:{number % 7}:main",
        "status": status,
        "created_at": at,
        "revision": 3,
        "ask": '{"command":"make -j2 all","workdir":"/srv/project"}',
        "detail": '{"exitCode":0,"producedBytes":1234,"userSeconds":1.5,"systemSeconds":0.25,"maxRssBytes":10000000}',
        "cause": "exit" if status != "cancelled" else "operator",
        "label": _LABELS[number % len(_LABELS)],
        "attempt": 1,
        "attempts_max": 1,
        "notify": "done_only",
        "delivery": "delivered",
        "priority": 0,
        "queue": "default",
        "started_at": at + 0.01,
        "ended_at": at + 30,
        "seen_at": at + 30,
        "claim_id": f"c{number:x}",
        "claimed_by": "node/1",
        "node": "node",
        "session_id": f"s{number:014d}",
        "summary": "build finished\nall 1234 checks passed",
    }
    return dict.fromkeys(TASK_COLUMNS) | known


def _history(number: int, count: int, now: float, keep_days: float) -> Iterator[tuple[object, ...]]:
    at = _created(number, count, now, keep_days)
    status = _STATUSES[number % len(_STATUSES)]
    verb = {"succeeded": "succeed", "failed": "fail", "cancelled": "cancel"}[status]
    task_id = f"t{number:016d}"
    yield task_id, at, "create", "queued", None, "{}"
    yield task_id, at + 0.01, "claim", "running", None, '{"worker":"node/1","claimId":"c1","attempt":1}'
    yield task_id, at + 30, verb, status, "exit", '{"exitCode":0}'
