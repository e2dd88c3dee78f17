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
from outlast.store.base import OutboxRow

Row = Sequence[Any]

TASK_COLUMNS = (
    "id", "runtime", "kind", "source", "requester", "status", "created_at", "revision", "ask", "detail", "cause",
    "conversation", "parent_id", "flow_id", "node", "label", "title", "attempt", "attempts_max", "retry", "progress",
    "progress_message", "summary", "error", "notify", "delivery", "priority", "queue", "dedupe_key", "deadline_at",
    "not_before_at", "started_at", "ended_at", "seen_at", "claim_id", "claimed_by", "lease_until", "session_id",
    "cancel_asked_at", "dismissed_at",
)  # fmt: skip
EVENT_COLUMNS = ("id", "task_id", "at", "verb", "status", "cause", "data")
OUTBOX_COLUMNS = ("id", "task_id", "event_id", "at", "kind", "target", "state", "idempotency_key", "body")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, object]).decode
# Looking a word up in a dict takes a fifth of the time of calling the enumeration.
_RUNTIMES = {word.value: word for word in Runtime}
_STATUSES = {word.value: word for word in Status}
_CAUSES: dict[str | None, Cause | None] = {None: None} | {word.value: word for word in Cause}
_POLICIES = {word.value: word for word in NotifyPolicy}
_DELIVERIES = {word.value: word for word in Delivery}


def json_text(value: dict[str, object]) -> str:
    """Return the JSON text of a column."""
    return _encode(value).decode() if value else "{}"


def json_value(text: str | None) -> dict[str, object]:
    """Read a JSON column."""
    return {} if text is None or text == "{}" else _decode(text)


def task_of(row: Row) -> Task:
    """Make a task of a row in the order of `TASK_COLUMNS`."""
    return Task(
        id=row[0], runtime=_RUNTIMES[row[1]], kind=row[2], source=row[3], requester=row[4],
        status=_STATUSES[row[5]], created_at=row[6], revision=row[7], ask=json_value(row[8]),
        detail=json_value(row[9]), cause=_CAUSES[row[10]], conversation=row[11], parent_id=row[12], flow_id=row[13],
        node=row[14], label=row[15], title=row[16], attempt=row[17], attempts_max=row[18],
        retry=None if row[19] is None else json_value(row[19]), progress=row[20], progress_message=row[21],
        summary=row[22], error=row[23], notify=_POLICIES[row[24]], delivery=_DELIVERIES[row[25]], priority=row[26],
        queue=row[27], dedupe_key=row[28], deadline_at=row[29], not_before_at=row[30], started_at=row[31],
        ended_at=row[32], seen_at=row[33], claim_id=row[34], claimed_by=row[35], lease_until=row[36],
        session_id=row[37], cancel_asked_at=row[38], dismissed_at=row[39],
    )  # fmt: skip


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
        idempotency_key=row[7], body=json_value(row[8]),
    )  # fmt: skip


def new_record(new: NewTask, start: StartClaim | None) -> Task:
    """Return the record of new work: claimed if it is to start at once, else queued."""
    status, attempt, node, delivery = Status.QUEUED, 0, new.node, Delivery.NOT_NEEDED
    begun_at = claim_id = worker = lease_until = None
    if start is not None:
        status, attempt, begun_at = Status.RUNNING, 1, new.created_at
        claim_id, worker, lease_until, node = start.claim_id, start.worker, start.lease_until, start.node or new.node
        if new.notify in told(Verb.CLAIM, Status.RUNNING):
            delivery = Delivery.PENDING
    return Task(
        id=new.id, runtime=new.runtime, kind=new.kind, source=new.source, requester=new.requester, status=status,
        created_at=new.created_at, revision=1, ask=new.ask, conversation=new.conversation, parent_id=new.parent_id,
        flow_id=new.flow_id, node=node, label=new.label, title=new.title, attempt=attempt,
        attempts_max=new.attempts_max, retry=new.retry, notify=new.notify, delivery=delivery, priority=new.priority,
        queue=new.queue, dedupe_key=new.dedupe_key, deadline_at=new.deadline_at,
        not_before_at=new.not_before_at if start is None else None, started_at=begun_at, seen_at=begun_at,
        claim_id=claim_id, claimed_by=worker, lease_until=lease_until, session_id=new.session_id,
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
