"""How work ends, and what its end brings with it: tasks, flows and approvals pull each other along.

The end of a task settles the step that waits for it; the end of a flow settles its parent's step, gives its place
among those of its concurrency key to the next, and takes back its open questions; an answer lets a held task go or
cancels it. All of it is part of the act that began it, and of its transaction.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from outlast.core.agent import queue_of
from outlast.core.approval import HELD_UNTIL, Approval, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.flow import Flow, FlowMode, FlowStatus
from outlast.core.flow_notice import decided_notice, flow_notice, flow_told
from outlast.core.lifecycle import (
    FlowTransition,
    FlowVerb,
    IllegalMove,
    Transition,
    Verb,
    flow_transition,
    transition,
)
from outlast.core.notification import notice_of, told
from outlast.core.session import Cause, Status
from outlast.core.task import AGENTS, Task
from outlast.store.flow_rows import FLOW_COLUMNS, approval_of, flow_of
from outlast.store.flow_steps import flow_line, move_params, notice_step, nudge
from outlast.store.rows import json_text, task_of
from outlast.store.runs import count_run
from outlast.store.steps import Rows, Step, Steps, line

_FLOW_END = {
    Status.SUCCEEDED: FlowVerb.SUCCEED,
    Status.FAILED: FlowVerb.FAIL,
    Status.TIMED_OUT: FlowVerb.FAIL,
    Status.CANCELLED: FlowVerb.CANCEL,
    Status.LOST: FlowVerb.LOSE,
}
_CAUSES = {
    ApprovalStatus.REJECTED: Cause.REJECTED, ApprovalStatus.EXPIRED: Cause.EXPIRED,
    ApprovalStatus.CANCELLED: Cause.OPERATOR,
}  # fmt: skip


def apply(move: Transition) -> Steps[Task | None]:
    """Write one move if the task still stands where it may start."""
    if move.verb in (Verb.CLAIM, Verb.CREATE):
        raise IllegalMove(f"{move.verb} is an act of its own")
    params: dict[str, Any] = {
        "id": move.task_id, "at": move.at, "source": move.sources[0], "source_too": move.sources[-1],
        "claim_id": move.claim_id, "error": move.error, "summary": move.summary,
        "detail": json_text(move.detail) if move.detail else None, "told": told_words(move.verb, move.target),
    }  # fmt: skip
    ends = move.target.final
    if ends:
        params["target"] = move.target
        params["cause"] = move.cause
    else:
        params["not_before_at"] = move.not_before_at
        params["never_began"] = int(move.never_began)
    [rows] = yield [("end_task" if ends else "requeue_task", params)]
    if not rows:
        return None
    task = task_of(rows[0])
    data = json_text({**move.detail, "neverBegan": True}) if move.never_began else params["detail"] or "{}"
    steps = [line(task.id, move.at, move.verb, data, move.target, move.cause)]
    steps += task_notice(task, move.at, move.verb, move.cause)
    if ends:
        steps.append(("delete_payload", {"task_id": task.id}))
    yield steps
    if ends and task.runtime in AGENTS and task.conversation is not None:
        yield [("waits_in_queue", {"queue": queue_of(task.conversation)})]
    if ends and (task.schedule_id or task.flow_id or _may_ask(task)):
        yield from _after(task, move)
    if not ends and task.cancel_asked_at is not None:
        # In the same commit: a moment later it might be claimed, and start what somebody has called off.
        return (yield from apply(_heeded(task, move.at))) or task
    return task


def _heeded(task: Task, at: float) -> Transition:
    """Return the move that ends work which went back to its queue with a wish to cancel on it."""
    move = transition(task.id, Verb.CANCEL, at, cause=Cause.OPERATOR, error=task.error)
    return msgspec.structs.replace(move, sources=(Status.QUEUED,))


def _after(task: Task, move: Transition) -> Steps[None]:
    """See to what hangs on a task that has ended: its rule, the flow it belongs to, the question it waited for."""
    if task.schedule_id is not None:
        yield (yield from count_run(task, move.at))
    if _may_ask(task):
        [rows] = yield [("pending_of_task", {"task_id": task.id})]
        yield from take_back(rows, move.at)
    if task.flow_id is not None:
        if move.result is None:
            move = msgspec.structs.replace(move, result=json_text(_result_of(task)))
        yield from child_ended(task.flow_id, task.id, task.status, move)


def _may_ask(task: Task) -> bool:
    """True for a task that questions may hang on: one that was held, or a turn of an agent."""
    return task.not_before_at == HELD_UNTIL or task.runtime in AGENTS


def _result_of(task: Task) -> dict[str, object]:
    """Return what a step comes to whose task brought no result of its own: what is on record of it."""
    return {
        "status": task.status.value, "exitCode": task.detail.get("exitCode"), "stdout": "",
        "tail": task.summary or "", "sessionId": task.session_id, "taskId": task.id, "truncated": False,
    }  # fmt: skip


def task_notice(task: Task, at: float, verb: Verb, cause: Cause | None) -> list[Step]:
    """Return the statement for the notice of the move that led to ``task``, where its policy wants one."""
    notice = notice_of(task, verb, cause)
    if notice is None:
        return []
    return [(
        "append_notice",
        {
            "task_id": task.id, "verb": verb, "at": at, "kind": notice.kind, "target": notice.target,
            "idempotency_key": notice.idempotency_key, "body": json_text(notice.body),
        },
    )]  # fmt: skip


@cache
def told_words(verb: Verb, target: Status) -> str:
    """Return the policies under which a move is told as words of one text: no policy's name is within another's."""
    return " ".join(sorted(policy.value for policy in told(verb, target)))


@cache
def flow_told_words(target: FlowStatus) -> str:
    """Return the same for the moves of flows."""
    return " ".join(sorted(policy.value for policy in flow_told(target)))


def child_ended(flow_id: str, child_id: str, status: Status, move: Transition | FlowTransition) -> Steps[None]:
    """Settle the step that waits for a task or flow; without such a step, let the flow follow its children."""
    settled = {
        "flow_id": flow_id, "ref": child_id, "status": status, "at": move.at, "result": move.result,
        "error": move.error,
    }  # fmt: skip
    [rows] = yield [("settle_step", settled)]
    if rows:
        yield [nudge(flow_id, move.at)]
        return
    [found] = yield [("get_flow", {"id": flow_id})]
    flow = flow_of(found[0]) if found else None
    if flow is None or flow.status.final:
        return
    if flow.mode is FlowMode.MIRRORED and flow.task_id == child_id:
        yield from follow(flow, status, move)
    elif flow.handler is None:
        yield [nudge(flow_id, move.at)]
        yield from close_cancelled(flow_id, move.at)
    elif flow.cancel_asked_at is not None:
        yield [nudge(flow_id, move.at)]  # it waits for its last child, also for one whose step was forgotten


def follow(flow: Flow, status: Status, move: Transition | FlowTransition) -> Steps[Flow | None]:
    """End a mirrored flow as its task has ended."""
    return (
        yield from end_flow(
            flow_transition(flow.id, _FLOW_END[status], move.at, cause=move.cause, error=move.error, result=move.result)
        )
    )


def close_cancelled(flow_id: str, now: float) -> Steps[Flow | None]:
    """End a flow nobody runs code for when its end was wished for and no child of it is live."""
    [rows] = yield [("close_cancelled_flow", {"id": flow_id, "at": now, "told": flow_told_words(FlowStatus.CANCELLED)})]
    if not rows:
        return None
    flow = flow_of(rows[0])
    cause = Cause.OPERATOR if flow.cause is None else flow.cause
    move = flow_transition(flow_id, FlowVerb.CANCEL, now, cause=cause, error=flow.error)
    yield from _flow_ended(flow, move, True)
    return flow


def end_flow(move: FlowTransition) -> Steps[Flow | None]:
    """Write the end of a flow if it still stands where it may end."""
    [rows] = yield [("end_flow", move_params(move, flow_told_words(move.target)))]
    if not rows:
        return None
    flow = flow_of(rows[0])
    yield from _flow_ended(flow, move, bool(rows[0][len(FLOW_COLUMNS)]))
    return flow


def _flow_ended(flow: Flow, move: FlowTransition, asks: bool) -> Steps[None]:
    """Write down and tell an end, and see to what hangs on it; ``asks`` when questions of it may be pending."""
    yield moved_lines(flow, move)
    if flow.status is not FlowStatus.SUCCEEDED:
        yield [("close_steps", {"flow_id": flow.id, "at": move.at})]
    if flow.schedule_id is not None:
        yield (yield from count_run(flow, move.at))
    if asks:
        [rows] = yield [("pending_of_flow", {"flow_id": flow.id})]
        yield from take_back(rows, move.at)
    if flow.concurrency_key is not None:
        yield from give_places(flow.concurrency_key, move.at)
    if flow.parent_id is not None:
        ended = msgspec.structs.replace(move, result=flow.result, error=flow.error)
        yield from child_ended(flow.parent_id, flow.id, Status(flow.status.value), ended)


def moved_lines(flow: Flow, move: FlowTransition) -> list[Step]:
    """Return the statements for the line of history of a move, and for its notice where it has one."""
    steps = [flow_line(flow.id, move.at, move.verb, _said(move), flow.status, flow.step)]
    notice = flow_notice(flow, move.verb)
    if notice is not None:
        steps.append(notice_step(flow.id, move.at, notice))
    return steps


def _said(move: FlowTransition) -> str:
    """Return the data of a line of history: what the move says beyond its verb."""
    if move.cause is None and move.error is None and move.wait is None and move.blocker is None:
        return "{}"
    facts: dict[str, object] = {
        "cause": None if move.cause is None else move.cause.value, "error": move.error, "wait": move.wait,
        "blocker": move.blocker, "readyAt": move.ready_at,
    }  # fmt: skip
    return json_text({name: fact for name, fact in facts.items() if fact is not None})


def give_places(key: str, now: float) -> Steps[None]:
    """Let as many queued flows of a concurrency key go as it has room for."""
    while True:
        [rows] = yield [("give_place", {"key": key, "now": now})]
        if not rows:
            return


def take_back(rows: Rows, now: float) -> Steps[None]:
    """Cancel questions nobody waits for any more."""
    for row in rows:
        verdict = Verdict(
            approval_id=row[0], status=ApprovalStatus.CANCELLED, at=now, by="outlast", how="outlast",
        )  # fmt: skip
        yield from decide(verdict)


def decide(verdict: Verdict) -> Steps[Approval | None]:
    """Answer a question, if it is still open."""
    if verdict.status is ApprovalStatus.PENDING:
        raise IllegalMove("pending is no answer")
    params = {
        "id": verdict.approval_id, "status": verdict.status, "at": verdict.at, "by": verdict.by, "how": verdict.how,
        "note": verdict.note, "revision": verdict.revision,
    }  # fmt: skip
    [rows] = yield [("decide_approval", params)]
    if not rows:
        return None
    approval = approval_of(rows[0])
    notice = decided_notice(approval)
    if notice is not None:
        yield [notice_step(approval.id, verdict.at, notice)]
    if approval.task_id is not None and approval.kind is not ApprovalKind.ACP:  # a turn that asks runs already
        yield from _let_go(approval, approval.task_id, verdict.at)
    if approval.flow_id is not None:
        yield from _answer_flow(approval, approval.flow_id, verdict.at)
    return approval


def _let_go(approval: Approval, task_id: str, now: float) -> Steps[None]:
    """Let the task that waited for an answer begin, or cancel it."""
    if approval.status is ApprovalStatus.APPROVED:
        delay = approval.detail.get("notBeforeAt")
        not_before_at = float(delay) if isinstance(delay, int | float) else None
        params = {"id": task_id, "held_until": HELD_UNTIL, "not_before_at": not_before_at}
        [rows] = yield [("release_task", params)]
        if rows:
            yield [line(task_id, now, "approve", json_text({"approvalId": approval.id, "by": approval.decided_by}))]
        return
    detail: dict[str, object] = {"approvalId": approval.id}
    if approval.note is not None:
        detail["reason"] = approval.note
    move = transition(task_id, Verb.CANCEL, now, cause=_CAUSES[approval.status], detail=detail)
    yield from apply(msgspec.structs.replace(move, sources=(Status.QUEUED,)))


def _answer_flow(approval: Approval, flow_id: str, now: float) -> Steps[None]:
    """Give the answer to the step that waits for it."""
    void = approval.status is ApprovalStatus.CANCELLED
    settled = {
        "flow_id": flow_id, "ref": approval.id, "status": Status.CANCELLED if void else Status.SUCCEEDED, "at": now,
        "result": json_text(answer_of(approval)), "error": None,
    }  # fmt: skip
    yield [("settle_step", settled)]
    yield [nudge(flow_id, now)]


def answer_of(approval: Approval) -> dict[str, object]:
    """Return what a step that waited for an answer comes to."""
    return {
        "approved": approval.status is ApprovalStatus.APPROVED, "status": approval.status.value, "note": approval.note,
        "by": approval.decided_by, "at": approval.decided_at, "approvalId": approval.id,
    }  # fmt: skip
