"""How work is called off: tasks, flows with all they have begun, steps that are to be made anew."""

from __future__ import annotations

import msgspec

from outlast.core.flow import Flow, StepKind
from outlast.core.lifecycle import Verb, transition
from outlast.core.session import Cause, Status
from outlast.store.ends import apply, close_cancelled, take_back
from outlast.store.flow_rows import flow_of
from outlast.store.flow_steps import flow_line
from outlast.store.rows import json_text
from outlast.store.steps import Steps, line

NO_LIMIT = 1_000_000_000
AFTER_ALL = 2**31 - 1
"""A place among the steps of a flow that none has."""


def call_off_task(task_id: str, now: float) -> Steps[None]:
    """End a task: at once while it is queued, else by asking who runs it."""
    cancel = transition(task_id, Verb.CANCEL, now, cause=Cause.PARENT)
    if (yield from apply(msgspec.structs.replace(cancel, sources=(Status.QUEUED,)))) is None:
        [rows] = yield [("ask_cancel", {"id": task_id, "now": now})]
        if rows:
            yield [line(task_id, now, "ask_cancel", "{}")]


def call_off_children(flow_id: str, now: float, reason: str | None) -> Steps[None]:
    """Ask for the end of all that a flow has begun, and take its questions back. What undoes its steps is spared."""
    found = yield [
        ("live_tasks_of_flow", {"flow_id": flow_id, "limit": NO_LIMIT}),
        ("live_flows_of_flow", {"parent_id": flow_id, "limit": NO_LIMIT}),
        ("pending_of_flow", {"flow_id": flow_id}),
        ("undoing_refs", {"flow_id": flow_id}),
    ]
    spared = {row[0] for row in found[3]}
    tasks, flows, questions = ([row for row in rows if row[0] not in spared] for rows in found[:3])
    yield from take_back(questions, now)
    for row in tasks:
        yield from call_off_task(row[0], now)
    for row in flows:
        yield from ask_cancel_flow(row[0], now, reason, Cause.PARENT)


def ask_cancel_flow(flow_id: str, now: float, reason: str | None, cause: Cause = Cause.OPERATOR) -> Steps[Flow | None]:
    """Write down the wish to cancel a flow, and pass it on to its children."""
    [rows] = yield [("ask_cancel_flow", {"id": flow_id, "now": now, "reason": reason, "cause": cause})]
    if not rows:
        return None
    data: dict[str, object] = {} if reason is None else {"reason": reason}
    yield [flow_line(flow_id, now, "ask_cancel", json_text(data))]
    yield from call_off_children(flow_id, now, reason)
    yield from close_cancelled(flow_id, now)
    [rows] = yield [("get_flow", {"id": flow_id})]
    return flow_of(rows[0])


def forget_steps(flow_id: str, from_seq: int, now: float) -> Steps[None]:
    """Forget the steps of a flow that did not succeed, and all from one on; what they had begun is called off.

    Signals they had consumed wait again.
    """
    which = {"flow_id": flow_id, "from_seq": from_seq}
    [begun] = yield [("begun_by_steps", which)]
    yield [("free_signals", which)]
    yield [("forget_steps", which)]
    for kind, ref in begun:
        if kind == StepKind.FLOW:
            yield from ask_cancel_flow(ref, now, None, Cause.PARENT)
        elif kind == StepKind.APPROVAL:
            yield from take_back([(ref,)], now)
        else:
            yield from call_off_task(ref, now)
