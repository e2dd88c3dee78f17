"""The acts that move flows, whoever drives them, as generators like those of `outlast.store.acts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from outlast.core.errors import Conflict, NotFound
from outlast.core.flow import FLOW_ENDS, Flow, FlowStatus, NewFlow
from outlast.core.lifecycle import FLOW_MOVES, FlowTransition, FlowVerb, IllegalMove
from outlast.store.calling_off import AFTER_ALL, ask_cancel_flow, forget_steps
from outlast.store.ends import end_flow, flow_told_words, give_places, moved_lines
from outlast.store.flow_acts import has_place, put_flow
from outlast.store.flow_rows import flow_of
from outlast.store.flow_steps import flow_line, move_params
from outlast.store.rows import json_text, task_of
from outlast.store.steps import Steps, line


def move_flow(move: FlowTransition) -> Steps[Flow | None]:
    """Write one move of a flow if it still stands where it may start."""
    if move.verb in (FlowVerb.CREATE, FlowVerb.CLAIM, FlowVerb.RETRY):
        raise IllegalMove(f"{move.verb} is an act of its own")
    return (yield from (end_flow(move) if move.target in FLOW_ENDS else _park(move)))


def _park(move: FlowTransition) -> Steps[Flow | None]:
    """Write a move that ends nothing."""
    queued = move.target is FlowStatus.QUEUED
    if queued and move.ready_at is None:
        move = replace(move, ready_at=move.at)
    params = move_params(move, flow_told_words(move.target))
    # A flow that was blocked goes on with the attempt it was in; the claim counts it again.
    params["attempts"] = -1 if queued and move.verb is FlowVerb.RESUME else 0
    [rows] = yield [("park_flow", params)]
    if not rows:
        return None
    flow = flow_of(rows[0])
    yield moved_lines(flow, move)
    if move.verb is FlowVerb.REQUEUE:
        yield from forget_steps(flow.id, AFTER_ALL, move.at)
    if not queued or flow.concurrency_key is None or flow.key_held:
        return flow
    yield from give_places(flow.concurrency_key, move.at)
    [rows] = yield [("get_flow", {"id": flow.id})]
    return flow_of(rows[0])


def link_task(flow_id: str, task_id: str, now: float, revision: int | None) -> Steps[Flow | None]:
    """Make a task a child of a managed flow."""
    [found] = yield [("get_task", {"id": task_id})]
    if not found:
        raise NotFound(f"no task {task_id!r}", hint="outlast tasks lists them")
    task = task_of(found[0])
    if task.flow_id not in (None, flow_id):
        raise Conflict(
            f"task {task_id} belongs to flow {task.flow_id}", code="task_linked",
            hint=f"outlast flow show {task.flow_id}",
        )  # fmt: skip
    [rows] = yield [("link_flow", {"id": flow_id, "now": now, "revision": revision})]
    if not rows:
        return None
    yield [
        ("link_task", {"id": task_id, "flow_id": flow_id}),
        line(task_id, now, "link", json_text({"flowId": flow_id})),
        flow_line(flow_id, now, "link", json_text({"taskId": task_id})),
    ]
    return flow_of(rows[0])


def retry_flow(flow_id: str, from_key: str | None, now: float) -> Steps[Flow | None]:
    """Queue a flow again that came to nothing."""
    [found] = yield [("get_flow", {"id": flow_id})]
    flow = flow_of(found[0]) if found else None
    if flow is None or flow.handler is None or flow.status not in FLOW_MOVES[FlowVerb.RETRY].sources:
        return None
    from_seq = yield from _seq_of(flow_id, from_key)
    if from_seq is None:
        return None
    if flow.dedupe_key is not None and flow.status.final:
        [rows] = yield [("find_live_flow", {"dedupe_key": flow.dedupe_key})]
        if rows:
            raise _live_already(rows[0][0])
    yield from forget_steps(flow_id, from_seq, now)
    may_go = flow.key_held or (yield from has_place(flow.concurrency_key, flow.concurrency_max))
    params = {
        "id": flow_id, "now": now, "key_held": int(may_go and flow.concurrency_key is not None),
        "ready_at": now if may_go else None,
        "wait": None if may_go else json_text({"for": "place", "name": flow.concurrency_key}),
    }  # fmt: skip
    [rows] = yield [("retry_flow", params)]
    data: dict[str, object] = {} if from_key is None else {"from": from_key}
    yield [flow_line(flow_id, now, FlowVerb.RETRY, json_text(data), FlowStatus.QUEUED, from_key)]
    return flow_of(rows[0])


def _live_already(flow_id: str) -> Conflict:
    return Conflict(f"flow {flow_id} with the same key is live", code="flow_live", hint=f"outlast flow show {flow_id}")


def _seq_of(flow_id: str, key: str | None) -> Steps[int | None]:
    """Return the place of a step among those of its flow; None for an unknown one, beyond all where none is named."""
    if key is None:
        return AFTER_ALL
    [rows] = yield [("get_step", {"flow_id": flow_id, "key": key})]
    return int(rows[0][2]) if rows else None


def fork_flow(flow_id: str, new_id: str, from_key: str, now: float) -> Steps[Flow | None]:
    """Make a flow anew up to a step."""
    [found] = yield [("get_flow", {"id": flow_id})]
    from_seq = yield from _seq_of(flow_id, from_key)
    flow = flow_of(found[0]) if found else None
    if flow is None or flow.handler is None or from_seq is None:
        return None
    may_go = yield from has_place(flow.concurrency_key, flow.concurrency_max)
    created = yield from put_flow(_like(flow, new_id, now), None, may_go=may_go, said={"forkOf": flow_id})
    which = {"flow_id": flow_id, "new_id": new_id, "from_seq": from_seq}
    yield [
        ("copy_flow_input", which), ("copy_steps", which),
        flow_line(flow_id, now, "fork", json_text({"into": new_id}), None, from_key),
    ]  # fmt: skip
    return created.flow


def _like(flow: Flow, new_id: str, now: float) -> NewFlow:
    """Return a new flow like another; what ties a flow to others (its parent, its rule, its deadline) stays behind."""
    return NewFlow(
        id=new_id, mode=flow.mode, name=flow.name, requester=flow.requester, created_at=now, handler=flow.handler,
        ask=flow.ask, goal=flow.goal, state=flow.state, conversation=flow.conversation, channel=flow.channel,
        label=flow.label, node=flow.node, priority=flow.priority, notify=flow.notify,
        concurrency_key=flow.concurrency_key, concurrency_max=flow.concurrency_max, attempts_max=flow.attempts_max,
        retry=flow.retry,
    )  # fmt: skip


def prune_flows(flow_ids: Sequence[str]) -> Steps[int]:
    """Forget ended flows with all that hangs on them."""
    answers = yield [("prune_flow", {"id": flow_id}) for flow_id in flow_ids]
    gone = [rows[0][0] for rows in answers if rows]
    asked = yield [("prune_approvals_of", {"flow_id": flow_id}) for flow_id in gone]
    told = [*gone, *(row[0] for rows in asked for row in rows)]
    yield [("prune_outbox", {"task_id": owner_id}) for owner_id in told]
    yield [
        (name, {"flow_id": flow_id})
        for flow_id in gone
        for name in ("prune_flow_input", "prune_flow_steps", "prune_flow_events", "prune_flow_signals")
    ]
    return len(gone)


MOVE_ACTS: dict[str, Callable[..., Steps[Any]]] = {
    act.__name__: act
    for act in (move_flow, ask_cancel_flow, link_task, retry_flow, fork_flow, prune_flows)
}  # fmt: skip
