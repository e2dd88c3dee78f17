"""The acts, as generators: each yields the statements of its next step and is sent their rows.

So an act is the same for both stores, while each store runs the steps in its own way: SQLite one after the other,
PostgreSQL those of many acts in one flight. An act is a function of the database and its arguments alone, because
it may be run again when another act of its batch fails. It leaves nothing behind when its guard does not hold.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from outlast.core.agent import conversation_in, main_of
from outlast.core.errors import Conflict
from outlast.core.lifecycle import Verb
from outlast.core.session import Status
from outlast.core.task import Event, NewTask, NotifyPolicy, StartClaim, Task
from outlast.store.base import Change, Claim, Claimed, Created
from outlast.store.ends import apply, task_notice, told_words
from outlast.store.rows import columns_of, json_text, json_value, new_record, task_of
from outlast.store.steps import Rows, Step, Steps, line, settled_lines

EVENTS, QUEUED, OUTBOX, SCHEDULES, WAKES, FLOWS, STEPS, ENTRIES = 1, 2, 4, 8, 16, 32, 64, 128
BROUGHT = {
    "append_event": EVENTS, "append_notice": OUTBOX, "create_task": QUEUED, "requeue_task": QUEUED,
    "set_queue_limit": QUEUED, "lift_queue_limit": QUEUED, "retry_notice": OUTBOX, "revive_notice": OUTBOX,
    "add_schedule": SCHEDULES, "edit_schedule": SCHEDULES, "advance_schedule": SCHEDULES,
    "add_system_event": WAKES, "make_wakes_due": WAKES, "retry_wake": WAKES, "revive_wake": WAKES, "add_wake": WAKES,
    "append_flow_notice": OUTBOX, "create_flow": FLOWS, "nudge_flow": FLOWS, "park_flow": FLOWS, "give_place": FLOWS,
    "release_flows": FLOWS, "ask_cancel_flow": FLOWS, "retry_flow": FLOWS, "create_approval": FLOWS,
    "decide_approval": FLOWS, "append_flow_event": STEPS, "checkpoint": STEPS, "settle_step": STEPS,
    "append_entry": ENTRIES, "set_beat": WAKES, "end_beat": WAKES | QUEUED, "waits_in_queue": QUEUED,
    "release_task": QUEUED, "put_flow_worker": FLOWS,
    # Whoever died over a flow may have had no time to tell what he had committed.
    "note_crash": EVENTS | QUEUED | OUTBOX | SCHEDULES | WAKES | FLOWS,
}  # fmt: skip
"""What a statement means for those who wait for news."""


def taken(task_id: str) -> Conflict:
    """Return what a second task with the same id gets."""
    return Conflict(f"there is a task {task_id} already", code="task_exists", hint="use a new id")


def change_of(brought: int, *, foreign: bool = False) -> Change:
    """Return the flags as a record."""
    return Change(
        bool(brought & EVENTS), bool(brought & QUEUED), bool(brought & OUTBOX), foreign, bool(brought & SCHEDULES),
        bool(brought & WAKES), bool(brought & FLOWS), bool(brought & STEPS), bool(brought & ENTRIES),
    )  # fmt: skip


def create_task(new: NewTask, start: StartClaim | None) -> Steps[Created]:
    """Record new work, unless live work with its key is there; claim it in the same step where ``start`` says so."""
    if new.dedupe_key is not None:
        [rows] = yield [("find_duplicate", {"dedupe_key": new.dedupe_key})]
        if rows:
            return Created(task_of(rows[0]), True)
    if conversation_in(new.queue) is not None:
        yield [("limit_queue", {"name": new.queue, "limit_max": 1})]
    begun = None if start is None else (yield from _start(new, start))
    task = begun or new_record(new, None)
    created = line(task.id, new.created_at, Verb.CREATE, "{}", Status.QUEUED)
    if begun is None:
        steps: list[Step] = [("create_task", columns_of(task)), created]
    else:
        steps = [created, *_claimed(task, new.created_at)]
    if new.payload is not None:
        steps.append(("put_payload", {"task_id": new.id, "body": json_text(new.payload)}))
    yield steps
    return Created(task, False)


def _start(new: NewTask, start: StartClaim) -> Steps[Task | None]:
    """Record new work as claimed, if that is forced or `claim_tasks` would take it next."""
    if not start.force and (new.not_before_at is not None or new.node not in (None, start.node)):
        return None
    if not start.force and (yield from _held([new.queue])):
        return None
    task = new_record(new, start)
    columns = columns_of(task)
    columns["force"] = start.force
    [rows] = yield [("start_task", columns)]
    return task if rows else None


def claim_tasks(claim: Claim) -> Steps[list[Claimed]]:
    """Give each claim id of a worker a ready task, as far as there are any."""
    room = yield from _room(claim)
    chosen = yield from _choose(claim, room)
    answers = yield [("claim_task", _claim(claim, *pair)) for pair in zip(chosen, claim.claim_ids, strict=False)]
    tasks = [task_of(rows[0]) for rows in answers if rows]
    bodies = yield [("payload_of", {"task_id": task.id}) for task in tasks]
    yield [step for task in tasks for step in _claimed(task, claim.now)]
    return [
        Claimed(task, json_value(rows[0][0]) if rows else None) for task, rows in zip(tasks, bodies, strict=True)
    ]  # fmt: skip


def _room(claim: Claim) -> Steps[dict[str, int]]:
    """Return how many tasks of each queue may be taken."""
    _, found, ready = yield [("ripen_tasks", {"now": claim.now}), ("queue_limits", {}), ("ready_queues", {})]
    limits = {row[0]: row[1] for row in found}
    names = list(dict.fromkeys(claim.queues or [row[0] for row in ready]))
    limited = [name for name in names if name in limits]
    counts = yield [("running_in_queue", {"queue": name}) for name in limited]
    wished = len(claim.claim_ids)
    room = dict.fromkeys(names, wished)
    for name, rows in zip(limited, counts, strict=True):
        room[name] = min(wished, limits[name] - rows[0][0])
    room = {name: free for name, free in room.items() if free > 0}
    for name in (yield from _held(list(room))):
        del room[name]
    return room


def _held(queues: Sequence[str]) -> Steps[set[str]]:
    """Return the queues of conversations that are occupied by what does not stand in them: a spawned agent, a beat."""
    keys = {name: key for name in queues if (key := conversation_in(name)) is not None}
    if not keys:
        return set()
    turns = yield [("turn_outside_queue", {"conversation": key, "queue": name}) for name, key in keys.items()]
    beats = yield [("open_beat_of", {"agent": main_of(key)}) for key in keys.values()]
    return {name for name, *rows in zip(keys, turns, beats, strict=True) if any(rows)}


def _choose(claim: Claim, room: dict[str, int]) -> Steps[list[str]]:
    """Return the ids of the tasks to take: those of any node and those of the worker's, in one order."""
    kinds = ("ready_tasks",) if claim.node is None else ("ready_tasks", "ready_pinned")
    heads = yield [
        (kind, {"queue": name, "limit": free, "node": claim.node}) for name, free in room.items() for kind in kinds
    ]
    waiting = iter(heads)
    of_queues = [islice(_merged([next(waiting) for _ in kinds]), free) for free in room.values()]
    return [task_id for _, _, task_id in heapq.merge(*of_queues)]


def _merged(heads: Sequence[Rows]) -> Iterable[tuple[int, float, str]]:
    return heapq.merge(*([(-row[0], row[1], row[2]) for row in rows] for rows in heads))


def _claim(claim: Claim, task_id: str, claim_id: str) -> dict[str, Any]:
    return {
        "id": task_id, "now": claim.now, "claim_id": claim_id, "worker": claim.worker,
        "lease_until": claim.lease_until, "node": claim.node, "told": told_words(Verb.CLAIM, Status.RUNNING),
    }  # fmt: skip


def _claimed(task: Task, at: float) -> list[Step]:
    """Return the statements for the line of history of a claim, and for its notice."""
    data = json_text({"worker": task.claimed_by, "claimId": task.claim_id, "attempt": task.attempt})
    return [line(task.id, at, Verb.CLAIM, data, Status.RUNNING), *task_notice(task, at, Verb.CLAIM, None)]


def reclaim(task_id: str, old_claim_id: str, start: StartClaim, now: float) -> Steps[Task | None]:
    """Put a new claim in the place of an old one that still holds."""
    params = {
        "id": task_id, "old_claim_id": old_claim_id, "claim_id": start.claim_id, "worker": start.worker,
        "lease_until": start.lease_until, "node": start.node,
    }  # fmt: skip
    return _alter("reclaim_task", params, now, "reclaim", {"worker": start.worker, "claimId": start.claim_id})


def append_event(task_id: str, verb: str, at: float, data: dict[str, object]) -> Steps[Event | None]:
    """Add a line to the history of a task that exists."""
    [rows] = yield [("get_task", {"id": task_id})]
    if not rows:
        return None
    [made] = yield [line(task_id, at, verb, json_text(data))]
    return Event(id=made[0][0], task_id=task_id, at=at, verb=verb, data=data)


def renew_leases(claim_ids: Sequence[str], until: float) -> Steps[set[str]]:
    """Extend what is still held."""
    answers = yield [("renew_lease", {"claim_id": claim_id, "until": until}) for claim_id in claim_ids]
    return {rows[0][0] for rows in answers if rows}


def note_progress(
    task_id: str, now: float, progress: int | None, message: str | None, claim_id: str | None
) -> Steps[Task | None]:
    """Write progress of running work."""
    params = {"id": task_id, "now": now, "progress": progress, "message": message, "claim_id": claim_id}
    data: dict[str, object] = {"progress": progress, "message": message}
    shown = {name: value for name, value in data.items() if value is not None}
    return _alter("note_progress", params, now, "progress", shown)


def note_seen(task_ids: Sequence[str], now: float) -> Steps[int]:
    """Write signs of life."""
    answers = yield [("note_seen", {"id": task_id, "now": now}) for task_id in task_ids]
    return sum(bool(rows) for rows in answers)


def attach_session(task_id: str, session_id: str, now: float, claim_id: str | None) -> Steps[Task | None]:
    """Say which session does the work."""
    params = {"id": task_id, "session_id": session_id, "claim_id": claim_id}
    return _alter("attach_session", params, now, "attach", {"sessionId": session_id})


def set_notify(task_id: str, policy: NotifyPolicy, now: float) -> Steps[Task | None]:
    """Change of what the requester hears."""
    params = {"id": task_id, "policy": policy}
    return _alter("set_notify", params, now, "notify", {"policy": policy})


def dismiss(task_id: str, now: float) -> Steps[Task | None]:
    """Put ended work out of sight."""
    return _alter("dismiss", {"id": task_id, "now": now}, now, "dismiss", {})


def ask_cancel(task_id: str, now: float) -> Steps[Task | None]:
    """Write down the wish to cancel."""
    return _alter("ask_cancel", {"id": task_id, "now": now}, now, "ask_cancel", {})


def set_queue_limit(name: str, limit_max: int | None) -> Steps[None]:
    """Limit a queue, or lift its limit."""
    if limit_max is None:
        yield [("lift_queue_limit", {"name": name})]
    else:
        yield [("set_queue_limit", {"name": name, "limit_max": limit_max})]


def forget_queue(name: str) -> Steps[None]:
    """Forget the limit of the queue of a quiet conversation."""
    yield [("forget_queue", {"name": name, "conversation": conversation_in(name)})]


def settle_notice(notice_id: int, state: str, now: float, error: str | None) -> Steps[bool]:
    """Close a notice and tell the task."""
    [rows] = yield [("settle_notice", {"id": notice_id, "state": state, "now": now, "error": error})]
    if not rows:
        return False
    owner_id, event_id = rows[0]
    yield settled_lines(owner_id, event_id, now, state, {"notice": notice_id})
    return True


def drop_payloads(task_ids: Sequence[str]) -> Steps[int]:
    """Forget what ended tasks were to run."""
    answers = yield [("drop_payload", {"id": task_id}) for task_id in task_ids]
    return sum(bool(rows) for rows in answers)


def prune(task_ids: Sequence[str]) -> Steps[int]:
    """Forget ended tasks with all that hangs on them."""
    answers = yield [("prune_task", {"id": task_id}) for task_id in task_ids]
    gone = [rows[0][0] for rows in answers if rows]
    yield [
        (name, {"task_id": task_id}) for task_id in gone for name in ("prune_events", "prune_outbox", "delete_payload")
    ]
    return len(gone)


def _alter(name: str, params: dict[str, Any], at: float, verb: str, data: dict[str, object]) -> Steps[Task | None]:
    [rows] = yield [(name, params)]
    if not rows:
        return None
    yield [line(params["id"], at, verb, json_text(data))]
    return task_of(rows[0])


ACTS: dict[str, Callable[..., Steps[Any]]] = {
    act.__name__: act
    for act in (
        create_task, claim_tasks, apply, reclaim, append_event, renew_leases, note_progress, note_seen, attach_session,
        set_notify, dismiss, ask_cancel, set_queue_limit, forget_queue, settle_notice, drop_payloads, prune,
    )
}  # fmt: skip
