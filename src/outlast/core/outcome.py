"""What doing a task came to: the word of a runtime, before anybody has written it down.

A runtime *returns* an outcome and writes nothing; `outlast.ledger.tasks` alone turns outcomes into moves.
"""

from __future__ import annotations

import msgspec

from outlast.core.session import Cause, Exit, Status, status_of
from outlast.core.signals import signal_name

SUMMARY_MAX = 1000
"""Characters of the last output that go on record; the session keeps the whole for as long as it is kept."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How work ended. ``at`` is when it ended in seconds since the epoch, None when nobody saw it.

    ``output`` is JSON text for the step of a flow that waits for the work; None where none does.
    """

    status: Status
    cause: Cause
    at: float | None = None
    detail: dict[str, object] = {}
    summary: str | None = None
    error: str | None = None
    output: str | None = None

    @property
    def may_retry(self) -> bool:
        """True where another attempt makes sense: the work failed or took too long, nobody called it off."""
        return self.status in (Status.FAILED, Status.TIMED_OUT) and self.cause is not Cause.DEADLINE


def outcome_of(end: Exit, *, summary: str | None = None, deadline_at: float | None = None) -> Outcome:
    """Return what the end of a session means for its task.

    A time limit that came from the task's deadline is told as the deadline: the keeper only knows limits.
    """
    cause = end.cause
    if cause is Cause.TIMEOUT and deadline_at is not None and end.at is not None and end.at >= deadline_at - 1.0:
        cause = Cause.DEADLINE
    status = status_of(msgspec.structs.replace(end, cause=cause))
    return Outcome(
        status=status, cause=cause, at=end.at, detail=detail_of(end), summary=summary, error=_error(end, status)
    )


def detail_of(end: Exit) -> dict[str, object]:
    """Return what is known of an end as JSON: exit code, signal, output, use of the machine."""
    shown: dict[str, object] = {
        "exitCode": end.code,
        "exitSignal": None if end.signal is None else signal_name(end.signal),
        "producedBytes": end.produced,
        "userSeconds": end.user_seconds,
        "systemSeconds": end.system_seconds,
        "maxRssBytes": end.max_rss,
        "leftovers": end.leftovers or None,
        "note": end.note,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _error(end: Exit, status: Status) -> str | None:
    if status is Status.SUCCEEDED:
        return None
    if status is Status.LOST or end.cause in (Cause.SPAWN_ERROR, Cause.OUT_OF_MEMORY):
        return end.note or str(end.cause)
    if end.code is not None:
        return f"exit code {end.code}"
    return None if end.signal is None else f"signal {signal_name(end.signal)}"
