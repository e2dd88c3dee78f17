"""The acts of telling, as generators like those of `outlast.store.acts`: notices, conversations, wakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from outlast.core.conversation import (
    EVENTS_MAX,
    EVENTS_TEXT_MAX,
    FOLDED,
    Mode,
    NewSystemEvent,
    SystemEvent,
    Wake,
    folded_text,
)
from outlast.core.notice_text import notice_text
from outlast.store.base_told import WAKE_WINDOW_SECONDS, NoticeRow
from outlast.store.rows import Row, json_text, json_value
from outlast.store.steps import Step, Steps, settled_lines
from outlast.store.told_rows import system_event_of


def notice_of_row(row: Row) -> NoticeRow:
    """Make a notice of a row in the order of `OUTBOX_COLUMNS`."""
    return NoticeRow(
        id=row[0], task_id=row[1], event_id=row[2], at=row[3], kind=row[4], target=row[5], state=row[6],
        idempotency_key=row[7], body=json_value(row[8]), attempts=row[9], next_at=row[10], error=row[11],
        settled_at=row[12],
    )  # fmt: skip


def retry_notice(notice_id: int, next_at: float, error: str) -> Steps[bool]:
    """Put a notice off."""
    [rows] = yield [("retry_notice", {"id": notice_id, "next_at": next_at, "error": error})]
    return bool(rows)


def revive_notice(notice_id: int, now: float) -> Steps[bool]:
    """Put a notice back on its way."""
    return _turn("revive_notice", "revived", notice_id, now)


def dismiss_notice(notice_id: int, now: float) -> Steps[bool]:
    """Give a notice up."""
    return _turn("dismiss_notice", "notice_dismissed", notice_id, now)


def _turn(name: str, verb: str, notice_id: int, now: float) -> Steps[bool]:
    [rows] = yield [(name, {"id": notice_id, "now": now})]
    if not rows:
        return False
    owner_id, event_id = rows[0]
    yield settled_lines(owner_id, event_id, now, verb, {"notice": notice_id})
    return True


def settle_seen(task_ids: Sequence[str], target: str, now: float, how: str) -> Steps[int]:
    """Settle what somebody has seen by himself."""
    found = yield [("pending_for", {"task_id": task_id, "target": target}) for task_id in task_ids]
    notices = [notice_of_row(row) for rows in found for row in rows]
    yield [step for notice in notices for step in _delivered(notice, now, how)]
    return len(notices)


def _delivered(notice: NoticeRow, now: float, how: str) -> list[Step]:
    settled = {"id": notice.id, "state": "delivered", "now": now, "error": None}
    data: dict[str, object] = {"notice": notice.id, "how": how}
    return [("settle_notice", settled), *settled_lines(notice.task_id, notice.event_id, now, "delivered", data)]


def deliver_to_conversation(target: str, now: float, limit: int) -> Steps[int]:
    """Move notices into the queue of a conversation."""
    [rows] = yield [("pending_of", {"target": target, "limit": limit})]
    notices = [notice_of_row(row) for row in rows]
    yield [("add_system_event", event_params(_heard(notice))) for notice in notices]
    yield [step for notice in notices for step in _delivered(notice, now, "conversation")]
    if notices:
        yield from bounded(target)
        yield [make_due(target, now)]
    return len(notices)


def _heard(notice: NoticeRow) -> NewSystemEvent:
    told = notice_text(notice.kind, notice.body)
    status = None if "approvalId" in notice.body else notice.body.get("status")
    return NewSystemEvent(
        conversation=notice.target, at=notice.at, kind=str(status or notice.kind), text=told.text,
        data=notice.body, source_key=notice.idempotency_key,
    )  # fmt: skip


def event_params(new: NewSystemEvent) -> dict[str, Any]:
    """Return an event as the parameters that write it."""
    return {
        "conversation": new.conversation, "at": new.at, "kind": new.kind, "text": new.text,
        "data": json_text(new.data), "source_key": new.source_key, "mode": new.mode.value,
    }  # fmt: skip


def make_due(conversation: str, now: float) -> Step:
    """Return the statement that makes the wakes of a conversation due."""
    return "make_wakes_due", {"conversation": conversation, "now": now, "window": WAKE_WINDOW_SECONDS}


def add_system_event(new: NewSystemEvent) -> Steps[bool]:
    """Put an event into a queue."""
    [rows] = yield [("add_system_event", event_params(new))]
    if not rows:
        return False
    yield from bounded(new.conversation)
    if new.mode is Mode.NOW:
        yield [make_due(new.conversation, new.at)]
    return True


def bounded(conversation: str) -> Steps[None]:
    """Fold the oldest half of a queue that has grown too long into one event that says so."""
    [[(count, size)]] = yield [("waiting_size", {"conversation": conversation})]
    if count <= EVENTS_MAX and (size <= EVENTS_TEXT_MAX or count < 2):
        return
    [rows] = yield [("waiting_events", {"conversation": conversation, "after": 0, "limit": max(1, count // 2)})]
    events = [system_event_of(row) for row in rows]
    kinds = _kinds(events)
    total = sum(kinds.values())
    data = json_text({"folded": total, "kinds": dict(kinds), "fromId": events[0].id, "toId": events[-1].id})
    yield [
        ("fold_into", {"id": events[-1].id, "kind": FOLDED, "text": folded_text(total, kinds), "data": data}),
        ("fold_away", {"conversation": conversation, "before": events[-1].id}),
    ]


def _kinds(events: Sequence[SystemEvent]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for event in events:
        earlier = event.data.get("kinds") if event.kind == FOLDED else None
        kinds.update(earlier if isinstance(earlier, dict) else {event.kind: 1})
    return kinds


def ack_events(conversation: str, upto: int, now: float) -> Steps[int]:
    """Note what was consumed."""
    [rows] = yield [("ack_events", {"conversation": conversation, "upto": upto, "now": now})]
    return len(rows)


def prune_system_events(before: float) -> Steps[None]:
    """Forget what was consumed long ago."""
    yield [("prune_system_events", {"before": before})]


def add_wake(wake: Wake) -> Steps[None]:
    """Register a wake."""
    params = {
        "id": wake.id, "conversation": wake.conversation, "channel": wake.channel, "secret": wake.secret,
        "created_at": wake.created_at,
    }  # fmt: skip
    yield [("add_wake", params)]


def settle_wake(wake: Wake, sent_event_id: int, now: float) -> Steps[bool]:
    """Note that a wake went out."""
    [rows] = yield [("settle_wake", {"id": wake.id, "sent_event_id": sent_event_id, "now": now})]
    if not rows:
        return False
    conversation = wake.conversation
    yield from consume(conversation, now)
    [[(newest,)]] = yield [("last_system_event", {"conversation": conversation})]
    if newest > sent_event_id:
        yield [make_due(conversation, now)]
    return True


def consume(conversation: str, now: float) -> Steps[None]:
    """Note as consumed what each wake of a conversation has told, those that were given up left aside."""
    [[(upto,)]] = yield [("told_upto", {"conversation": conversation})]
    if upto is not None:
        yield [("ack_events", {"conversation": conversation, "upto": upto, "now": now})]


def park_wake(wake_id: str, now: float, error: str) -> Steps[bool]:
    """Give a wake up; the others no longer wait for it."""
    [rows] = yield [("park_wake", {"id": wake_id, "now": now, "error": error})]
    for (conversation,) in rows:
        yield from consume(conversation, now)
    return bool(rows)


def prune_firings(before: float) -> Steps[None]:
    """Forget instants that were settled long ago."""
    yield [("prune_firings", {"before": before})]


def _one(name: str, *names: str) -> Callable[..., Steps[bool]]:
    """Return an act of one statement that says whether there was anything to change."""

    def act(*values: Any) -> Steps[bool]:  # noqa: ANN401
        [rows] = yield [(name, dict(zip(names, values, strict=True)))]
        return bool(rows)

    act.__name__ = name
    return act


TOLD_ACTS: dict[str, Callable[..., Steps[Any]]] = {
    act.__name__: act
    for act in (
        retry_notice, revive_notice, dismiss_notice, settle_seen, deliver_to_conversation, add_system_event, ack_events,
        prune_system_events, add_wake, settle_wake, _one("remove_wake", "id"),
        _one("retry_wake", "id", "due_at", "error"), _one("delay_wake", "id", "due_at"),
        _one("claim_notice", "id", "expected", "until"), _one("claim_wake", "id", "expected", "until"),
        park_wake, prune_firings, _one("revive_wake", "id", "now"),
    )
}  # fmt: skip
