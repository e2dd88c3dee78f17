"""What can be asked about heartbeats, as typed records."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from outlast.api.requests import Request

AgentName = Annotated[str, Meta(min_length=1, max_length=64)]


class BeatRequest(Request, frozen=True, kw_only=True):
    """The heartbeat of one agent, or of all that have one."""

    agent: AgentName | None = None


class BeatRunRequest(BeatRequest, frozen=True, kw_only=True):
    """A beat now; with ``timeoutMs`` the answer waits so long for its end."""

    timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None


class BeatHistoryRequest(BeatRequest, frozen=True, kw_only=True):
    """Beats, the newest first, before the one with that id."""

    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None
