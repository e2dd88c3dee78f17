"""Rows and records of flows, their steps, history and signals, and of approvals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus
from outlast.core.flow import (
    Flow,
    FlowEvent,
    FlowMode,
    FlowStatus,
    FlowWorker,
    NewFlow,
    SignalRow,
    StepKind,
    StepRow,
)
from outlast.core.session import Cause, Status
from outlast.core.task import Delivery, NotifyPolicy
from outlast.store.rows import Row, json_text, json_value

FLOW_COLUMNS = Flow.__struct_fields__
STEP_COLUMNS = StepRow.__struct_fields__
FLOW_EVENT_COLUMNS = ("id", "flow_id", "at", "verb", "status", "step", "data")
SIGNAL_COLUMNS = SignalRow.__struct_fields__
FLOW_WORKER_COLUMNS = FlowWorker.__struct_fields__
APPROVAL_COLUMNS = Approval.__struct_fields__

_MODES = {word.value: word for word in FlowMode}
_FLOW_STATUSES = {word.value: word for word in FlowStatus}
_STATUSES = {word.value: word for word in Status}
_KINDS = {word.value: word for word in StepKind}
_CAUSES: dict[str | None, Cause | None] = {None: None} | {word.value: word for word in Cause}
_POLICIES = {word.value: word for word in NotifyPolicy}
_DELIVERIES = {word.value: word for word in Delivery}
_MODE, _STATUS, _ASK, _STATE, _NOTIFY, _DELIVERY, _HELD, _RETRY, _WAIT, _BLOCKER, _CAUSE = (
    FLOW_COLUMNS.index(name)
    for name in (
        "mode", "status", "ask", "state", "notify", "delivery", "key_held", "retry", "wait", "blocker", "cause",
    )
)  # fmt: skip
_STEP_KIND, _STEP_STATUS = STEP_COLUMNS.index("kind"), STEP_COLUMNS.index("status")

_read_names = msgspec.json.Decoder(list[str]).decode
_write = msgspec.json.Encoder().encode


def optional_json(value: dict[str, object] | None) -> str | None:
    """Return the JSON text of a column that may be empty."""
    return None if value is None else json_text(value)


def flow_of(row: Row) -> Flow:
    """Make a flow of a row in the order of `FLOW_COLUMNS`; what follows them is left aside."""
    values = list(row[: len(FLOW_COLUMNS)])
    values[_MODE] = _MODES[values[_MODE]]
    values[_STATUS] = _FLOW_STATUSES[values[_STATUS]]
    values[_ASK] = json_value(values[_ASK])
    values[_STATE] = json_value(values[_STATE])
    values[_NOTIFY] = _POLICIES[values[_NOTIFY]]
    values[_DELIVERY] = _DELIVERIES[values[_DELIVERY]]
    values[_HELD] = bool(values[_HELD])
    values[_CAUSE] = _CAUSES[values[_CAUSE]]
    for place in (_RETRY, _WAIT, _BLOCKER):
        if values[place] is not None:
            values[place] = json_value(values[place])
    return Flow(*values)


def flows_of(rows: Sequence[Row]) -> list[Flow]:
    """Make flows of rows."""
    return [flow_of(row) for row in rows]


def step_of(row: Row) -> StepRow:
    """Make the record of a step of a row in the order of `STEP_COLUMNS`."""
    values = list(row)
    values[_STEP_KIND] = _KINDS[values[_STEP_KIND]]
    values[_STEP_STATUS] = _STATUSES[values[_STEP_STATUS]]
    return StepRow(*values)


def step_params(row: StepRow, claim_id: str) -> dict[str, Any]:
    """Return a step as the parameters that write it under a claim."""
    return {
        "flow_id": row.flow_id, "key": row.key, "seq": row.seq, "kind": row.kind, "status": row.status,
        "attempt": row.attempt, "started_at": row.started_at, "ended_at": row.ended_at, "due_at": row.due_at,
        "result": row.result, "error": row.error, "ref": row.ref, "claim_id": claim_id,
    }  # fmt: skip


def flow_event_of(row: Row) -> FlowEvent:
    """Make a line of history of a row in the order of `FLOW_EVENT_COLUMNS`."""
    return FlowEvent(
        id=row[0], flow_id=row[1], at=row[2], verb=row[3], status=None if row[4] is None else _FLOW_STATUSES[row[4]],
        step=row[5], data=json_value(row[6]),
    )  # fmt: skip


def signal_of(row: Row) -> SignalRow:
    """Make a signal of a row in the order of `SIGNAL_COLUMNS`."""
    return SignalRow(*row)


def flow_worker_of(row: Row) -> FlowWorker:
    """Make a worker of a row in the order of `FLOW_WORKER_COLUMNS`."""
    fields = dict(zip(FLOW_WORKER_COLUMNS, row, strict=True))
    return FlowWorker(**{**fields, "handlers": _read_names(fields["handlers"])})


def flow_worker_columns(worker: FlowWorker) -> dict[str, Any]:
    """Return a worker as the parameters that write it."""
    return {**msgspec.structs.asdict(worker), "handlers": _write(worker.handlers).decode()}


def approval_of(row: Row) -> Approval:
    """Make an approval of a row in the order of `APPROVAL_COLUMNS`."""
    fields = dict(zip(APPROVAL_COLUMNS, row, strict=True))
    return Approval(
        **{
            **fields,
            "kind": ApprovalKind(fields["kind"]),
            "status": ApprovalStatus(fields["status"]),
            "detail": json_value(fields["detail"]),
        }
    )


def approval_columns(approval: Approval) -> dict[str, Any]:
    """Return an approval as the parameters that write it."""
    return {**msgspec.structs.asdict(approval), "detail": json_text(approval.detail)}


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """How a new flow stands at first. ``key_held`` without a concurrency key means nothing."""

    status: FlowStatus
    key_held: bool
    ready_at: float | None = None
    wait: dict[str, object] | None = None
    claim_id: str | None = None
    worker: str | None = None
    lease_until: float | None = None


def new_flow_record(new: NewFlow, begun: Beginning) -> Flow:
    """Return the record of a new flow."""
    runs = begun.status is FlowStatus.RUNNING
    # In the order of the fields: see flow_of.
    return Flow(
        new.id, new.mode, new.name, new.requester, begun.status, new.created_at, new.created_at, 1, new.handler,
        new.ask, new.goal, new.state, new.conversation, new.channel, new.label, new.parent_id, new.parent_step,
        new.task_id, new.schedule_id, new.node, new.priority, new.notify, Delivery.NOT_NEEDED, new.dedupe_key,
        new.concurrency_key, new.concurrency_max, begun.key_held, int(runs), new.attempts_max, new.retry,
        new.deadline_at, begun.ready_at, 0, None, begun.wait, None, None, None, None, None, None, None, None,
        new.created_at if runs else None, None, 0, 0, begun.claim_id, begun.worker, begun.lease_until,
    )  # fmt: skip


def flow_columns(flow: Flow) -> dict[str, Any]:
    """Return a flow as the parameters that write it."""
    columns = msgspec.structs.asdict(flow)
    columns["ask"] = json_text(flow.ask)
    columns["state"] = json_text(flow.state)
    columns["key_held"] = int(flow.key_held)
    for name in ("retry", "wait", "blocker"):
        if columns[name] is not None:
            columns[name] = json_text(columns[name])
    return columns
