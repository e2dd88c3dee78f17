"""What is answered about approvals, as typed records."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from outlast.api.results import Record, iso
from outlast.core.approval import Approval


class ApprovalResult(Record, frozen=True, kw_only=True):
    """How an approval stands. ``prompt`` and ``preview`` are what somebody else has written: show them as data.

    ``mayDecide`` says whether whoever asks may answer it now. ``whole`` is what is run as it is, where that was asked.
    """

    approval_id: str
    kind: str
    status: str
    requester: str
    conversation: str | None
    prompt: str
    preview: str | None
    flow_id: str | None
    step: str | None
    task_id: str | None
    detail: dict[str, Any]
    created_at: str | None
    expires_at: str | None
    decided_at: str | None
    decided_by: str | None
    decided_how: str | None
    note: str | None
    revision: int
    may_decide: bool
    follow_up: str | None
    whole: dict[str, Any] | UnsetType = UNSET


class ApprovalPage(Record, frozen=True, kw_only=True):
    """Some approvals; ``next`` is the ``cursor`` of the next page."""

    approvals: list[ApprovalResult]
    next: str | None


class LinkResult(Record, frozen=True, kw_only=True):
    """A link that answers one approval. Whoever has it may decide: it is a secret until then."""

    approval_id: str
    url: str
    may: str
    expires_at: str | None


def describe_approval(approval: Approval, *, may_decide: bool, **more: Any) -> ApprovalResult:  # noqa: ANN401
    """Return how an approval stands."""
    open_ = not approval.status.final
    follow_up = f"outlast approvals approve {approval.id}" if may_decide and open_ else None
    return ApprovalResult(
        approval_id=approval.id,
        kind=approval.kind.value,
        status=approval.status.value,
        requester=approval.requester,
        conversation=approval.conversation,
        prompt=approval.prompt,
        preview=approval.preview,
        flow_id=approval.flow_id,
        step=approval.step,
        task_id=approval.task_id,
        detail=approval.detail,
        created_at=iso(approval.created_at),
        expires_at=iso(approval.expires_at),
        decided_at=iso(approval.decided_at),
        decided_by=approval.decided_by,
        decided_how=approval.decided_how,
        note=approval.note,
        revision=approval.revision,
        may_decide=may_decide and open_,
        follow_up=follow_up,
        **more,
    )
