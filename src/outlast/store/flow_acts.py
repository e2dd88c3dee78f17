"""The acts on flows that are run by an engine, as generators like those of `outlast.store.acts`."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from msgspec.structs import replace

from outlast.core.errors import Conflict
from outlast.core.flow import COMPENSATE, Flow, FlowMode, FlowStatus, FlowWorker, NewFlow, SignalRow, StepRow
from outlast.core.lifecycle import FlowVerb, transition, verb_for
from outlast.core.session import Status
from outlast.core.task import Task
from outlast.store.acts import create_task
from outlast.store.approvals import ask_approval
from outlast.store.base_flows import Child, FlowClaim, FlowCreated, HeldFlow
from outlast.store.calling_off import call_off_children
from outlast.store.ends import follow
from outlast.store.flow_rows import (
    Beginning,
    flow_columns,
    flow_of,
    flow_worker_columns,
    new_flow_record,
    signal_of,
    step_of,
    step_params,
)
from outlast.store.flow_steps import flow_line, nudge
from outlast.store.rows import Row, json_text, json_value, task_of
from outlast.store.steps import Rows, Step, Steps

_VERBS = {FlowStatus.QUEUED: FlowVerb.CLAIM, FlowStatus.WAITING: FlowVerb.RESUME, FlowStatus.RUNNING: "takeover"}


def flow_taken(flow_id: str) -> Conflict:
    """Return what a second flow with the same id gets."""
    return Conflict(f"there is a flow {flow_id} already", code="flow_exists", hint="use a new id")


def parent_ended(parent_id: str) -> Conflict:
    """Return what a child of a flow gets that takes no more children."""
    return Conflict(
        f"flow {parent_id} has ended or is to end: it begins nothing more", code="parent_ended",
        hint=f"outlast flow show {parent_id}",
    )  # fmt: skip


def is_tied(new: NewFlow) -> bool:
    """True when other rows decide how a new flow begins."""
    return (
        new.dedupe_key is not None or new.parent_id is not None or new.concurrency_key is not None
        or new.mode is FlowMode.MIRRORED
    )  # fmt: skip


def create_flow(new: NewFlow, start: FlowClaim | None) -> Steps[FlowCreated]:
    """Put a flow on record, claimed where ``start`` says so and it may start now."""
    if is_tied(new):
        return (yield from _create_tied(new, start))
    return (yield from put_flow(new, start, may_go=True))


def _create_tied(new: NewFlow, start: FlowClaim | None, *, among_children: bool = False) -> Steps[FlowCreated]:
    """Put a flow on record as what is there already lets it. A parent that begins it itself is not asked."""
    if new.dedupe_key is not None:
        [rows] = yield [("find_live_flow", {"dedupe_key": new.dedupe_key})]
        if rows:
            return FlowCreated(flow_of(rows[0]), True)
    if new.parent_id is not None and not among_children:
        [rows] = yield [("takes_children", {"id": new.parent_id})]
        if not rows:
            raise parent_ended(new.parent_id)
    may_go = yield from has_place(new.concurrency_key, new.concurrency_max)
    created = yield from put_flow(new, start, may_go=may_go)
    if new.mode is FlowMode.MIRRORED and new.task_id is not None:
        [rows] = yield [("get_task", {"id": new.task_id})]
        if rows and (task := task_of(rows[0])).status.final:
            return FlowCreated((yield from _mirrored(created.flow, task)) or created.flow, False)
    return created


def _mirrored(flow: Flow, task: Task) -> Steps[Flow | None]:
    """Let a new flow follow a task that has ended already."""
    move = transition(task.id, verb_for(task.status), flow.created_at, cause=task.cause, error=task.error)
    return (yield from follow(flow, task.status, move))


def has_place(key: str | None, limit: int) -> Steps[bool]:
    """True when one more flow of a concurrency key may be under way."""
    if key is None:
        return True
    [[(held,)]] = yield [("places_held", {"key": key})]
    return bool(held < limit)


def put_flow(
    new: NewFlow, start: FlowClaim | None, *, may_go: bool, said: dict[str, object] | None = None
) -> Steps[FlowCreated]:
    """Put a flow on record; ``may_go`` when its concurrency key has a place for it, ``said`` for its history."""
    flow = new_flow_record(new, _beginning(new, start, may_go))
    data: dict[str, object] = said or {}
    if flow.claim_id is not None:
        data = {"worker": flow.claimed_by, "claimId": flow.claim_id}
    runs = flow.status is FlowStatus.RUNNING
    steps: list[Step] = [("start_flow" if runs else "create_flow", flow_columns(flow))]
    if new.input is not None:
        steps.append(("put_flow_input", {"flow_id": new.id, "body": json_text(new.input)}))
    steps.append(flow_line(new.id, new.created_at, FlowVerb.CREATE, json_text(data), flow.status))
    yield steps
    return FlowCreated(flow, False)


def _beginning(new: NewFlow, start: FlowClaim | None, may_go: bool) -> Beginning:
    keyed = new.concurrency_key is not None
    if new.handler is None:
        return Beginning(status=FlowStatus.RUNNING, key_held=keyed)
    if not may_go:
        wait: dict[str, object] = {"for": "place", "name": new.concurrency_key}
        if new.not_before_at is not None:
            wait["until"] = new.not_before_at
        return Beginning(status=FlowStatus.QUEUED, key_held=False, wait=wait)
    due = new.not_before_at is None or new.not_before_at <= new.created_at
    if start is None or not due:
        ready_at = new.created_at if new.not_before_at is None else new.not_before_at
        return Beginning(status=FlowStatus.QUEUED, key_held=keyed, ready_at=ready_at)
    return Beginning(
        status=FlowStatus.RUNNING, key_held=keyed, ready_at=start.lease_until, claim_id=start.claim_ids[0],
        worker=start.worker, lease_until=start.lease_until,
    )  # fmt: skip


def claim_flows(claim: FlowClaim) -> Steps[list[HeldFlow]]:
    """Give each claim id a flow that is ready, as far as there are any."""
    chosen = yield from _choose(claim)
    answers = yield [
        ("claim_flow", {
            "id": row[2], "claim_id": claim_id, "worker": claim.worker, "lease_until": claim.lease_until,
            "now": claim.now,
        })
        for row, claim_id in zip(chosen, claim.claim_ids, strict=False)
    ]  # fmt: skip
    taken = [(row, flow_of(rows[0])) for row, rows in zip(chosen, answers, strict=True) if rows]
    bodies = yield [("flow_input", {"flow_id": flow.id}) for _, flow in taken]
    found = yield [("steps_of_flow", {"flow_id": flow.id}) for _, flow in taken]
    held = []
    for (row, flow), body, rows in zip(taken, bodies, found, strict=True):
        steps = _in_order(rows)
        flow = yield from _claimed(row, flow, steps, claim.now)  # noqa: PLW2901
        held.append(HeldFlow(flow, json_value(body[0][0]) if body else {}, steps))
    return held


def _choose(claim: FlowClaim) -> Steps[list[Row]]:
    """Return rows of `ready_flows` of all handlers: the highest priority first, then what has been ready longest."""
    handlers = list(dict.fromkeys(claim.handlers))
    wished = len(claim.claim_ids)
    levels = yield [("flow_levels", {"handler": handler}) for handler in handlers]
    heads = yield [
        ("ready_flows", {"handler": handler, "priority": level[0], "now": claim.now, "limit": wished})
        for handler, rows in zip(handlers, levels, strict=True) for level in rows
    ]  # fmt: skip
    ready = heapq.merge(*heads, key=_order)
    return list(islice((row for row in ready if not claim.spare or row[3] != FlowStatus.RUNNING), wished))


def _order(row: Row) -> tuple[int, float, str]:
    return -row[0], row[1], row[2]


def _claimed(row: Row, flow: Flow, steps: list[StepRow], now: float) -> Steps[Flow]:
    """Write down a claim, and whether the worker before died without getting any further."""
    before = FlowStatus(row[3])
    data: dict[str, object] = {"worker": flow.claimed_by, "claimId": flow.claim_id}
    if before is not FlowStatus.RUNNING or row[4] is None:  # nobody died over it
        yield [flow_line(flow.id, now, _VERBS[before], json_text(data), flow.status, flow.step)]
        return flow
    reached = sum(step.attempt + (step.ended_at is not None) for step in steps)
    crashes = flow.crashes + 1 if reached <= flow.crash_seq else 1
    data |= {"from": row[4], "crashes": crashes}
    yield [
        ("note_crash", {"id": flow.id, "crashes": crashes, "crash_seq": reached}),
        flow_line(flow.id, now, _VERBS[before], json_text(data), flow.status, flow.step),
    ]
    return replace(flow, crashes=crashes, crash_seq=reached)


def _in_order(rows: Rows) -> list[StepRow]:
    return sorted(map(step_of, rows), key=_begun)


def _begun(step: StepRow) -> int:
    return step.seq


def checkpoint(flow_id: str, claim_id: str, rows: Sequence[StepRow], renew_until: float | None) -> Steps[bool]:
    """Write rows of steps while the claim holds."""
    steps: list[Step] = [("checkpoint", step_params(row, claim_id)) for row in rows]
    if renew_until is not None or not steps:
        steps.append(("renew_flow_lease", {"claim_id": claim_id, "until": renew_until, "id": flow_id}))
    answers = yield steps
    return bool(answers[0])


def start_child(flow_id: str, claim_id: str, row: StepRow, child: Child) -> Steps[bool]:
    """Begin a step with the work that does it."""
    held, before = yield [
        ("held_flow", {"id": flow_id, "claim_id": claim_id}), ("get_step", {"flow_id": flow_id, "key": row.key}),
    ]  # fmt: skip
    if not held:
        return False
    if before and step_of(before[0]).ref == row.ref:
        return True  # asked once more because the answer was lost
    [written] = yield [("checkpoint", step_params(row, claim_id))]
    if not written:
        return False
    yield from _begin(child)
    flow = flow_of(held[0])
    if flow.cancel_asked_at is not None and flow.nudges and not row.key.startswith(COMPENSATE):
        # The holder may not have heard of the wish yet, and who wished it could not see this child.
        yield from call_off_children(flow_id, row.started_at, flow.cancel_reason)
    return True


def _begin(child: Child) -> Steps[None]:
    """Put the work of a step on record. Raises Conflict (``child_exists``)."""
    existing = False
    if child.task is not None:
        existing = (yield from create_task(child.task, None)).existing
    elif child.flow is not None:
        existing = (yield from _create_tied(child.flow, None, among_children=True)).existing
    elif child.approval is not None:
        yield from ask_approval(child.approval, None)
    if existing:
        raise Conflict(
            "live work with that dedupe key belongs to somebody else", code="child_exists",
            hint="give the work of a step no dedupe key",
        )  # fmt: skip


def take_signal(flow_id: str, claim_id: str, row: StepRow, name: str, now: float) -> Steps[StepRow | None]:
    """Give a step the oldest signal of a name."""
    written, before = yield [
        ("checkpoint", step_params(row, claim_id)), ("get_step", {"flow_id": flow_id, "key": row.key}),
    ]  # fmt: skip
    if not written:
        return None
    if before and (stands := step_of(before[0])).status.final:
        return stands  # asked once more because the answer was lost: a step takes one signal
    [rows] = yield [("consume_signal", {"flow_id": flow_id, "name": name, "step": row.key})]
    if not rows:
        return row
    row = replace(row, status=Status.SUCCEEDED, result=signal_of(rows[0]).payload, ended_at=now)
    yield [("end_step", {"flow_id": flow_id, "key": row.key, "at": now, "result": row.result})]
    return row


def look_at_flow(flow_id: str, claim_id: str) -> Steps[HeldFlow | None]:
    """Read a held flow, and note that its nudges were seen."""
    held = {"id": flow_id, "claim_id": claim_id}
    rows, steps, _ = yield [("held_flow", held), ("steps_of_flow", {"flow_id": flow_id}), ("see_nudges", held)]
    return HeldFlow(replace(flow_of(rows[0]), nudges=0), {}, _in_order(steps)) if rows else None


def renew_flow_leases(claim_ids: Sequence[str], until: float) -> Steps[set[str]]:
    """Extend what is still held."""
    answers = yield [("renew_flow_lease", {"claim_id": claim_id, "until": until, "id": None}) for claim_id in claim_ids]
    return {rows[0][0] for rows in answers if rows}


def release_flows_of(worker: str, now: float, died: bool) -> Steps[int]:
    """Let others take what a worker held."""
    [rows] = yield [("release_flows", {"worker": worker, "now": now, "died": died})]
    return len(rows)


def send_signal(flow_id: str, name: str, payload: str, at: float, by: str, key: str | None) -> Steps[SignalRow | None]:
    """Put a signal into the queue of a live flow."""
    params = {"flow_id": flow_id, "name": name, "payload": payload, "at": at, "sent_by": by, "source_key": key}
    [rows] = yield [("add_signal", params)]
    if rows:
        data = json_text({"name": name, "signalId": rows[0][0], "by": by})
        yield [nudge(flow_id, at), flow_line(flow_id, at, "signal", data)]
        return signal_of(rows[0])
    if key is None:
        return None
    [rows] = yield [("signal_by_key", {"flow_id": flow_id, "source_key": key})]
    return signal_of(rows[0]) if rows else None


def flow_worker(worker: FlowWorker) -> Steps[None]:
    """Say that a worker lives. Only that it has come is news."""
    columns = flow_worker_columns(worker)
    [rows] = yield [("renew_flow_worker", columns)]
    if not rows:
        yield [("put_flow_worker", columns)]


def remove_flow_worker(worker_id: str) -> Steps[None]:
    """Forget a worker."""
    yield [("remove_flow_worker", {"id": worker_id})]


FLOW_ACTS: dict[str, Callable[..., Steps[Any]]] = {
    act.__name__: act
    for act in (
        create_flow, claim_flows, checkpoint, start_child, take_signal, look_at_flow, renew_flow_leases,
        release_flows_of, send_signal, flow_worker, remove_flow_worker,
    )
}  # fmt: skip
