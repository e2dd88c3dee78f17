"""Rows and records: the one place that knows how a task becomes columns and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from outlast.core.errors import BadInput
from outlast.core.lifecycle import Verb
from outlast.core.notification import told
from outlast.core.session import Cause, Status
from outlast.core.task import Delivery, Event, NewTask, NotifyPolicy, Runtime, StartClaim, Task
from outlast.store.base_told import NoticeRow as OutboxRow

Row = Sequence[Any]

TASK_COLUMNS = Task.__struct_fields__
EVENT_COLUMNS = ("id", "task_id", "at", "verb", "status", "cause", "data")
OUTBOX_COLUMNS = (
    "id", "task_id", "event_id", "at", "kind", "target", "state", "idempotency_key", "body", "attempts", "next_at",
    "error", "settled_at",
)  # fmt: skip

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, object]).decode
# Looking a word up in a dict takes a fifth of the time of calling the enumeration.
_RUNTIMES = {word.value: word for word in Runtime}
_STATUSES = {word.value: word for word in Status}
_CAUSES: dict[str | None, Cause | None] = {None: None} | {word.value: word for word in Cause}
_POLICIES = {word.value: word for word in NotifyPolicy}
_DELIVERIES = {word.value: word for word in Delivery}
_RUNTIME, _STATUS, _ASK, _DETAIL, _CAUSE, _RETRY, _NOTIFY, _DELIVERY = (
    TASK_COLUMNS.index(name) for name in ("runtime", "status", "ask", "detail", "cause", "retry", "notify", "delivery")
)


def json_text(value: dict[str, object]) -> str:
    """Return the JSON text of a column."""
    return _encode(value).decode() if value else "{}"


def json_value(text: str | None) -> dict[str, object]:
    """Read a JSON column."""
    return {} if text is None or text == "{}" else _decode(text)


def task_of(row: Row) -> Task:
    """Make a task of a row in the order of `TASK_COLUMNS`. Forty names in the call would cost ten times as much."""
    values = list(row)
    values[_RUNTIME] = _RUNTIMES[values[_RUNTIME]]
    values[_STATUS] = _STATUSES[values[_STATUS]]
    values[_ASK] = json_value(values[_ASK])
    values[_DETAIL] = json_value(values[_DETAIL])
    values[_CAUSE] = _CAUSES[values[_CAUSE]]
    if values[_RETRY] is not None:
        values[_RETRY] = json_value(values[_RETRY])
    values[_NOTIFY] = _POLICIES[values[_NOTIFY]]
    values[_DELIVERY] = _DELIVERIES[values[_DELIVERY]]
    return Task(*values)


def tasks_of(rows: Sequence[Row]) -> list[Task]:
    """Make tasks of rows."""
    return [task_of(row) for row in rows]


def event_of(row: Row) -> Event:
    """Make an event of a row in the order of `EVENT_COLUMNS`."""
    return Event(
        id=row[0], task_id=row[1], at=row[2], verb=row[3], status=None if row[4] is None else _STATUSES[row[4]],
        cause=_CAUSES[row[5]], data=json_value(row[6]),
    )  # fmt: skip


def outbox_of(row: Row) -> OutboxRow:
    """Make a notice of a row in the order of `OUTBOX_COLUMNS`."""
    return OutboxRow(
        id=row[0], task_id=row[1], event_id=row[2], at=row[3], kind=row[4], target=row[5], state=row[6],
        idempotency_key=row[7], body=json_value(row[8]), attempts=row[9], next_at=row[10], error=row[11],
        settled_at=row[12],
    )  # fmt: skip


def new_record(new: NewTask, start: StartClaim | None) -> Task:
    """Return the record of new work: claimed if it is to start at once, else queued."""
    status, attempt, node, not_before_at = Status.QUEUED, 0, new.node, new.not_before_at
    begun_at = claim_id = worker = lease_until = None
    delivery = Delivery.NOT_NEEDED
    if start is not None:
        status, attempt, node, not_before_at = Status.RUNNING, 1, start.node or new.node, None
        begun_at, claim_id, worker, lease_until = new.created_at, start.claim_id, start.worker, start.lease_until
        if new.notify in told(Verb.CLAIM, Status.RUNNING):
            delivery = Delivery.PENDING
    # In the order of the fields: see task_of.
    return Task(
        new.id, new.runtime, new.kind, new.source, new.requester, status, new.created_at, 1, new.ask, {}, None,
        new.conversation, new.parent_id, new.flow_id, node, new.label, new.title, attempt, new.attempts_max,
        new.retry, None, None, None, None, new.notify, delivery, new.priority, new.queue, new.dedupe_key,
        new.deadline_at, not_before_at, begun_at, None, begun_at, claim_id, worker, lease_until, new.session_id,
        None, None, new.schedule_id, new.channel,
    )  # fmt: skip


def columns_of(task: Task) -> dict[str, Any]:
    """Return a record as the parameters that write it."""
    columns = msgspec.structs.asdict(task)
    columns["ask"] = json_text(task.ask)
    columns["detail"] = json_text(task.detail)
    columns["retry"] = None if task.retry is None else json_text(task.retry)
    return columns


def cursor_of(created_at: float, task_id: str) -> str:
    """Return the cursor of the page that follows this task. ``repr`` of a float reads back to the same float."""
    return f"{created_at!r}:{task_id}"


def read_cursor(cursor: str) -> tuple[float, str]:
    """Take a cursor apart. Raises BadInput with the code ``bad_cursor``."""
    moment, colon, task_id = cursor.partition(":")
    try:
        if colon and task_id:
            return float(moment), task_id
    except ValueError:
        pass
    raise BadInput("that cursor is not one of ours", code="bad_cursor", hint="use `next` of the page before, unchanged")
