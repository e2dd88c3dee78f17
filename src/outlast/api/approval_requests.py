"""What can be asked about approvals, as typed records: bounds beside each field, as in `outlast.api.requests`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from outlast.api.requests import YEAR_SECONDS, Request
from outlast.core.approval import NOTE_MAX

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Limit = Annotated[int, Meta(ge=1, le=1000)]


class ApprovalsRequest(Request, frozen=True, kw_only=True):
    """Approvals, those that wait before those that are decided, each newest first.

    ``status`` may be several words with commas between. With ``timeoutMs`` the call waits for one that is asked after
    the approval with the id ``after`` (without it: after the call).
    """

    status: Annotated[str, Meta(max_length=100)] | None = None
    kind: Literal["flow", "exec", "acp"] | None = None
    owner: Name | None = None
    flow: Name | None = None
    limit: Limit | None = None
    cursor: Annotated[str, Meta(max_length=200)] | None = None
    after: Name | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None


class ApprovalShowRequest(Request, frozen=True, kw_only=True):
    """One approval; ``whole`` with all that is run as it is, secrets too: for the operator on this machine."""

    whole: bool | None = None


class DecideRequest(Request, frozen=True, kw_only=True):
    """An answer: a ``note`` for whoever asked, the ``revision`` that was read, and ``via`` which surface."""

    note: Annotated[str, Meta(max_length=NOTE_MAX)] | None = None
    revision: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    via: Literal["cli", "http", "tool", "mcp", "web"] | None = None


class LinkRequest(Request, frozen=True, kw_only=True):
    """A link that answers one approval without the token: for one decision (``may``), until it expires."""

    may: Literal["both", "approve", "reject"] | None = None
    expires_seconds: Annotated[float, Meta(ge=1, le=YEAR_SECONDS)] | None = None
