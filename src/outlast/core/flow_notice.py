"""Who hears of what becomes of flows and approvals, and the notices of it. The store writes them with the move.

Kinds: ``flow_ended``, ``flow_blocked``, ``approval_asked``, ``approval_decided``.
"""

from __future__ import annotations

from functools import cache

from outlast.core.approval import Approval, ApprovalStatus
from outlast.core.approval_text import asked_body, decided_body
from outlast.core.flow import Flow, FlowStatus
from outlast.core.lifecycle import FlowVerb
from outlast.core.task import Notice, NotifyPolicy

_BAD = (FlowStatus.FAILED, FlowStatus.LOST, FlowStatus.BLOCKED)


@cache
def flow_told(target: FlowStatus) -> frozenset[NotifyPolicy]:
    """Return the policies under which a move to ``target`` is told: ends, and what needs somebody to see to it."""
    if not target.final and target is not FlowStatus.BLOCKED:
        return frozenset()
    policies = {NotifyPolicy.STATE_CHANGES, NotifyPolicy.DONE_ONLY}
    return frozenset(policies | {NotifyPolicy.FAILURES_ONLY} if target in _BAD else policies)


def flow_notice(flow: Flow, verb: FlowVerb) -> Notice | None:
    """Return the notice of a move that has just led to ``flow`` as it stands; None when its policy is not told."""
    if flow.notify not in flow_told(flow.status):
        return None
    return Notice(
        target=flow.channel or flow.conversation or flow.requester,
        kind="flow_ended" if flow.status.final else "flow_blocked",
        idempotency_key=f"{flow.id}:{verb}:{flow.revision}",
        body=_flow_body(flow),
    )


def _flow_body(flow: Flow) -> dict[str, object]:
    facts: dict[str, object] = {
        "flowId": flow.id, "name": flow.name, "status": str(flow.status), "label": flow.label, "goal": flow.goal,
        "cause": None if flow.cause is None else str(flow.cause), "step": flow.step,
        "error": flow.error or (flow.blocker or {}).get("message"), "cancelReason": flow.cancel_reason,
        "attempt": flow.attempt, "startedAt": flow.started_at, "endedAt": flow.ended_at,
    }  # fmt: skip
    return {name: fact for name, fact in facts.items() if fact is not None}


def asked_notice(approval: Approval) -> Notice:
    """Return the notice of a new question, for its conversation, else its requester."""
    return Notice(
        target=approval.conversation or approval.requester,
        kind="approval_asked",
        idempotency_key=f"{approval.id}:asked",
        body=asked_body(approval),
    )


def decided_notice(approval: Approval) -> Notice | None:
    """Return the notice of an answer; None where a flow or a task waits for it: they tell what comes of it."""
    if approval.flow_id is not None or approval.task_id is not None or approval.status is ApprovalStatus.PENDING:
        return None
    return Notice(
        target=approval.conversation or approval.requester,
        kind="approval_decided",
        idempotency_key=f"{approval.id}:{approval.status}",
        body=decided_body(approval),
    )
