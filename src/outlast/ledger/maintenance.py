"""Upkeep: mend what can be mended, forget what is old. Each pass is bounded; without ``apply`` nothing is changed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import Delivery, Event, Task, TaskFilter
from outlast.ledger.tasks import Ledger
from outlast.store.base import LIST_MAX, Questions

BATCH = 500
"""Tasks forgotten in one commit: bounds how long anybody else waits for the store."""
LIMIT_DEFAULT = 20_000

Evidence = Callable[[Task], Outcome | None]
"""What is there to be seen of how a task ended; None for nothing."""


class Move(NamedTuple):
    """One thing that is done, or would be: to a task, what, and why."""

    task_id: str
    act: Literal["recover", "lose", "clean"]
    why: str


class Upkeep(NamedTuple):
    """What one pass did. ``more``: it stopped at its bound, another pass would go on."""

    moves: list[Move]
    pruned: int
    prunable: int
    archived: int
    more: bool


def _nobodys(task: Task) -> bool:
    return False


async def plan(store: Questions, now: float, evidence: Evidence, own: Callable[[Task], bool] = _nobodys) -> list[Move]:
    """Return what ought to be mended, by looking only.

    ``own`` work is never given up because its lease ran out: whoever holds it is here, and settles it by evidence.
    """
    moves = []
    lost = await store.list_tasks(TaskFilter(statuses=(Status.LOST,), dismissed=False), LIST_MAX)
    for task in lost.tasks:
        outcome = evidence(task)
        if outcome is not None and outcome.status is not Status.LOST:
            moves.append(Move(task.id, "recover", f"its true end was found: {outcome.status}"))
    for task in await store.expired_leases(now, LIST_MAX):
        if not own(task):
            moves.append(Move(task.id, "lose", f"worker {task.claimed_by} has not renewed its lease"))
    for task in await store.missing_cleanup(LIST_MAX):
        moves.append(Move(task.id, "clean", "it has ended, and what it was to run is still on record"))
    return moves


async def mend(ledger: Ledger, moves: list[Move], evidence: Evidence) -> None:
    """Do what `plan` found; each move asks again whether it still holds."""
    await ledger.store.drop_payloads([move.task_id for move in moves if move.act == "clean"])
    for move in moves:
        task = await ledger.store.get_task(move.task_id)
        if task is None:
            continue
        if move.act == "recover" and (outcome := evidence(task)) is not None:
            await ledger.recover(task, outcome)
        elif move.act == "lose" and task.lease_until is not None and task.lease_until < ledger.clock.now():
            await ledger.lose(task, Cause.LEASE_EXPIRED, move.why)


async def count_prunable(store: Questions, before: float, limit: int = LIST_MAX) -> int:
    """Return how many ended tasks are older than that moment and may be forgotten, counted up to ``limit``."""
    return len(await _forgettable(store, before, limit))


async def _forgettable(store: Questions, before: float, limit: int) -> list[Task]:
    """Return old tasks, longest ago first, but those of which somebody is still to be told."""
    return [task for task in await store.ended_before(before, LIST_MAX) if task.delivery is not Delivery.PENDING][
        :limit
    ]


async def prune(ledger: Ledger, before: float, *, limit: int = LIMIT_DEFAULT, archive: str | None = None) -> Upkeep:
    """Forget tasks that ended before that moment, oldest first; with ``archive`` write each to that file first.

    What is archived is on disk before it is forgotten. A pass that dies between the two leaves lines that the next
    one writes again: a reader goes by the id. Raises BadInput (``bad_archive``), GatewayTrouble (``disk_full``).
    """
    pruned = archived = 0
    while pruned < limit:
        old = await _forgettable(ledger.store, before, min(BATCH, limit - pruned))
        if archive is not None and old:
            await _archive(ledger.store, archive, old)
            archived += len(old)
        gone = await ledger.store.prune([task.id for task in old])
        pruned += gone
        if gone < BATCH:
            break
        await asyncio.sleep(0)
    left = await count_prunable(ledger.store, before)
    return Upkeep([], pruned, left, archived, left > 0 and pruned >= limit)


async def _archive(store: Questions, path: str, tasks: list[Task]) -> None:
    lines = []
    for task in tasks:
        lines.append(json.dumps(archived(task, await history(store, task.id)), ensure_ascii=False))
    await append_lines(path, lines)


async def append_lines(path: str, lines: list[str]) -> None:
    """Append lines to an archive, durably. Raises BadInput (``bad_archive``), GatewayTrouble (``disk_full``)."""
    try:
        await asyncio.to_thread(_append, path, "\n".join(lines) + "\n")
    except OSError as error:
        if error.errno == 28:
            raise GatewayTrouble(f"{path}: the disk is full; nothing was forgotten", code="disk_full") from error
        raise BadInput(f"{path}: {error.strerror}", code="bad_archive", hint="name a file you can write") from error


async def history(store: Questions, task_id: str) -> list[Event]:
    """Return all the history of a task."""
    events: list[Event] = []
    while page := await store.events_of(task_id, events[-1].id if events else 0):
        events += page
    return events


def archived(task: Task, events: list[Event]) -> dict[str, object]:
    """Return what an archive keeps of a task: all that is on record, times in seconds since the epoch."""
    return {"task": msgspec.to_builtins(task), "events": msgspec.to_builtins(events)}


def _append(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(text.encode("utf-8", "backslashreplace"))
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
