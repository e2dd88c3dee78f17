"""What is answered, as typed records.

One shape of session result serves exec, poll, wait, kill, show and list.

Fields that have no meaning in an answer are absent from it, not null.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from outlast.api.context import Api
from outlast.api.shown import Shown, show
from outlast.core.session import Exit, Span
from outlast.core.signals import signal_name
from outlast.process.sessions import Session

HOW_BYTES = 65_536
Fields = Any
"""Values for fields of `SessionResult` that only some answers have."""


class Record(Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all answers: camelCase on the wire."""


class Truncated(Record, frozen=True, kw_only=True):
    """What a text leaves out, and how to read it. Sizes in bytes of raw output; ``omitted`` ranges are half-open."""

    produced_bytes: int
    kept_bytes: int
    omitted_bytes: int
    shown_bytes: int
    omitted: list[Span]
    how: str


class Usage(Record, frozen=True, kw_only=True):
    """What the command's process used: seconds of CPU, and the most memory at once in bytes."""

    user_seconds: float
    system_seconds: float
    max_rss_bytes: int


class EndedProcess(Record, frozen=True, kw_only=True):
    """One process that a kill ended; ``how`` is the signal it got, or ``gone``."""

    pid: int
    name: str
    how: str


class Survivor(Record, frozen=True, kw_only=True):
    """One process that a kill could not end, and why."""

    pid: int
    name: str
    why: str


class Matched(Record, frozen=True, kw_only=True):
    """Where a pattern was found, in raw byte offsets."""

    pattern: str
    text: str
    start: int
    end: int


class SessionResult(Record, frozen=True, kw_only=True):
    """How a session stands. ``output`` once it has ended, ``tail`` while it runs; neither in lists."""

    status: str
    session_id: str
    exit_code: int | None
    exit_signal: str | None
    cause: str | None
    note: str | None
    started_at: str | None
    ended_at: str | None
    duration_ms: int | None
    pid: int | None
    cwd: str
    command: str
    title: str | None
    labels: list[str]
    requester: str
    pty: bool
    output: str | UnsetType = UNSET
    tail: str | UnsetType = UNSET
    cursor: int | UnsetType = UNSET
    truncated: Truncated | UnsetType | None = UNSET
    existing: bool = False
    ready: bool | UnsetType | None = UNSET
    advice: list[str]
    follow_up: str | None
    leftovers: int
    usage: Usage | None
    idle_ms: int | UnsetType | None = UNSET
    produced_bytes: int | UnsetType = UNSET
    waiting_for_input: bool | UnsetType | None = UNSET
    retry_in_ms: int | UnsetType | None = UNSET
    more: bool | UnsetType = UNSET
    ended: list[EndedProcess] | UnsetType = UNSET
    survivors: list[Survivor] | UnsetType = UNSET
    matched: Matched | UnsetType | None = UNSET
    met: bool | UnsetType = UNSET


class SessionPage(Record, frozen=True, kw_only=True):
    """One page of sessions; ``next`` is the ``before`` of the next page."""

    sessions: list[SessionResult]
    next: str | None


class WaitResult(Record, frozen=True, kw_only=True):
    """What a wait came to; neither ``met`` nor ``timed_out`` when it can no longer be met."""

    met: bool
    timed_out: bool
    results: list[SessionResult]


class LineSpan(Record, frozen=True, kw_only=True):
    """Which lines a log answer holds; ``offset`` and ``total`` are None where counting was too much."""

    offset: int | None
    count: int
    total: int | None


class LogResult(Record, frozen=True, kw_only=True):
    """A part of the output. ``next`` is the line offset (or the byte, for a byte range) to go on from."""

    session_id: str
    status: str
    text: str
    lines: LineSpan | None
    bytes: Span
    produced_bytes: int
    truncated: Truncated | None
    next: int | None


class Accepted(Record, frozen=True, kw_only=True):
    """How many bytes were accepted for standard input."""

    session_id: str
    accepted: int


class Cursor(Record, frozen=True, kw_only=True):
    """Where a terminal's cursor is, from 0, and whether it shows."""

    row: int
    col: int
    visible: bool


class ScreenResult(Record, frozen=True, kw_only=True):
    """A terminal's present screen as text."""

    session_id: str
    status: str
    text: str
    lines: list[str]
    cursor: Cursor
    cols: int
    rows: int
    title: str
    alternate: bool


class Resized(Record, frozen=True, kw_only=True):
    """The window size that is now in force."""

    session_id: str
    cols: int
    rows: int


class Signalled(Record, frozen=True, kw_only=True):
    """To how many processes, or groups, a signal went."""

    session_id: str
    signal: str
    sent: int


class Removed(Record, frozen=True, kw_only=True):
    """The sessions that are no longer there."""

    removed: list[str]


class Stopping(Record, frozen=True, kw_only=True):
    """The gateway is about to leave; ``sessions_left`` of them go on without it."""

    stopping: bool
    sessions_left: int
    killed: list[str]


def iso(at: float | None) -> str | None:
    """Return seconds since the epoch as ISO 8601 in UTC with milliseconds, ending in Z."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def idle_ms(api: Api, session: Session) -> int | None:
    """Return how long a running session has been quiet; None when it does not run."""
    if session.end is not None:
        return None
    since = session.last_output_at or session.started_at or session.info.created_at
    return max(0, round((api.clock.now() - since) * 1000))


def describe(api: Api, session: Session, **more: Fields) -> SessionResult:
    """Return how a session stands, without its output."""
    end, info = session.end, session.info
    return SessionResult(
        status=str(session.status),
        session_id=session.id,
        exit_code=end.code if end else None,
        exit_signal=signal_name(end.signal) if end and end.signal is not None else None,
        cause=str(end.cause) if end else None,
        note=_note(session, end, api.left_behind(session)),
        started_at=iso(session.started_at),
        ended_at=iso(end.at) if end else None,
        duration_ms=_duration_ms(api, session, end),
        pid=session.pid,
        cwd=info.cwd,
        command=info.command,
        title=info.title,
        labels=list(info.labels),
        requester=info.requester,
        pty=info.pty,
        follow_up=None if end else _follow_up(session),
        leftovers=api.left_behind(session),
        usage=_usage(end),
        **{"advice": [], **more},
    )


def with_output(
    api: Api,
    session: Session,
    start: int,
    *,
    max_bytes: int,
    head: bool,
    raw: bool = False,
    end: int | None = None,
    **more: Fields,
) -> SessionResult:
    """Return how a session stands with its output from ``start`` (to ``end``, else to what there is now)."""
    running = session.end is None
    output = session.output
    stop = max(start, output.produced if end is None else end)
    shown = show(output, start, stop, max_bytes=max_bytes, head=head, raw=raw, running=running)
    text: dict[str, Any] = {"tail" if running else "output": shown.text}
    return describe(api, session, cursor=shown.cursor, truncated=truncation(session, shown), **text, **more)


def truncation(session: Session, shown: Shown) -> Truncated | None:
    """Say what a text leaves out; None when it is whole."""
    if not shown.omitted:
        return None
    output = session.output
    gone = output.omitted()
    readable = next((s for s in shown.omitted if not any(g.start <= s.start and s.end <= g.end for g in gone)), None)
    if readable is None:
        how = "those bytes were not kept: the output outgrew its cap, the disk was full, or its time is over"
    else:
        upto = min(readable.end, readable.start + HOW_BYTES)
        how = f"outlast process log {session.id} --bytes {readable.start}:{upto}"
    return Truncated(
        produced_bytes=output.produced,
        kept_bytes=output.kept(),
        omitted_bytes=sum(s.end - s.start for s in shown.omitted),
        shown_bytes=shown.shown,
        omitted=list(shown.omitted),
        how=how,
    )


def killed_rows(ended: Sequence[tuple[int, str, str]], survivors: Sequence[tuple[int, str, str]]) -> dict[str, Any]:
    """Return the two lists of a kill's answer as result fields."""
    return {
        "ended": [EndedProcess(pid=pid, name=name, how=how) for pid, name, how in ended],
        "survivors": [Survivor(pid=pid, name=name, why=why) for pid, name, why in survivors],
    }


def _duration_ms(api: Api, session: Session, end: Exit | None) -> int | None:
    if session.started_at is None:
        return None
    until = api.clock.now() if end is None else end.at
    return None if until is None else max(0, round((until - session.started_at) * 1000))


def _usage(end: Exit | None) -> Usage | None:
    if end is None or end.user_seconds is None:
        return None
    return Usage(
        user_seconds=round(end.user_seconds, 6),
        system_seconds=round(end.system_seconds or 0.0, 6),
        max_rss_bytes=end.max_rss or 0,
    )


def _note(session: Session, end: Exit | None, left: int) -> str | None:
    if end is None:
        return session.unsupervised
    notes = [end.note] if end.note else []
    if left:
        what = "1 process" if left == 1 else f"{left} processes"
        if session.info.leftovers == "kill":
            notes.append(f"{what} left behind by the command ended with it (leftovers: kill)")
        else:
            notes.append(f"{what} of the command still running (leftovers: keep)")
    return "; ".join(notes) or None


def _follow_up(session: Session) -> str:
    return (
        f"outlast process wait {session.id} --exit   (as a tool call: "
        f'{{"tool":"process","action":"poll","sessionId":"{session.id}","timeoutMs":60000}})'
    )
