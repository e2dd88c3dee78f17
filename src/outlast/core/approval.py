"""An approval as data: a question that somebody answers once. Times are seconds since the epoch (UTC)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class ApprovalStatus(StrEnum):
    """Where an approval stands; all but *pending* are final."""

    __hash__ = str.__hash__  # as Status has it

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """True when it was decided, or can be no more."""
        return self is not ApprovalStatus.PENDING


class ApprovalKind(StrEnum):
    """What waits for the answer."""

    FLOW = "flow"
    EXEC = "exec"
    ACP = "acp"


PROMPT_MAX, PREVIEW_MAX, NOTE_MAX = 2_000, 20_000, 2_000
"""Characters of the question, of what is shown with it, and of the note of who decides."""


HELD_UNTIL = 253_402_300_799.0
"""The moment a task that waits for an approval is put off to, the end of the year 9999: it never comes by itself."""


class Approval(msgspec.Struct, frozen=True):
    """A question on record. ``detail`` holds what else belongs to it (the command, redacted; options of a permission).

    ``decided_how`` is the surface: ``cli``, ``http``, ``link``, ``mcp``, ``tool``; ``decided_by`` who it was.
    """

    id: str
    kind: ApprovalKind
    requester: str
    status: ApprovalStatus
    prompt: str
    created_at: float
    revision: int = 1
    conversation: str | None = None
    preview: str | None = None
    flow_id: str | None = None
    step: str | None = None
    task_id: str | None = None
    detail: dict[str, object] = {}
    expires_at: float | None = None
    decided_at: float | None = None
    decided_by: str | None = None
    decided_how: str | None = None
    note: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to one approval. ``status`` is approved, rejected, expired or cancelled.

    ``revision`` (where given) is the one the answer was made at.
    """

    approval_id: str
    status: ApprovalStatus
    at: float
    by: str
    how: str
    note: str | None = None
    revision: int | None = None


class ApprovalFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing is narrowed to; fields that are None do not narrow."""

    statuses: tuple[ApprovalStatus, ...] = ()
    kind: ApprovalKind | None = None
    requester: str | None = None
    flow_id: str | None = None
