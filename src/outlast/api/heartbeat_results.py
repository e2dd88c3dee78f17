"""What is answered about heartbeats, as typed records."""

from __future__ import annotations

from outlast.api.results import Record, iso
from outlast.core.agent import Beat


class BeatResult(Record, frozen=True, kw_only=True):
    """One beat: why it was, what became of it and why.

    ``outcome`` is ran (it runs still), silent, told, skipped or failed.
    """

    beat_id: int
    agent: str
    at: str | None
    why: str
    outcome: str
    reason: str
    session_id: str | None
    ended_at: str | None
    text: str | None


class BeatsResult(Record, frozen=True, kw_only=True):
    """Beats, one for each agent that was asked."""

    beats: list[BeatResult]


class BeatPage(Record, frozen=True, kw_only=True):
    """Beats, the newest first; ``next`` is the ``before`` of the page that follows."""

    beats: list[BeatResult]
    next: int | None


class HeartbeatResult(Record, frozen=True, kw_only=True):
    """How a heartbeat stands.

    ``state`` is on, off or paused. ``nextAt`` is when there is a beat next, as far as that can be said now; ``reason``
    says why there is none just now. ``waiting`` counts what the conversation has to hear. ``last`` is
    the newest beat that was not skipped, or, where none is near, the newest.
    """

    agent: str
    conversation: str
    state: str
    every_seconds: float
    active_hours: str | None
    tz: str
    file: str
    next_at: str | None
    reason: str
    waiting: int
    paused_at: str | None
    last: BeatResult | None
    turns_last_hour: int
    max_turns_per_hour: int


class HeartbeatsResult(Record, frozen=True, kw_only=True):
    """How heartbeats stand, by agent."""

    heartbeats: list[HeartbeatResult]


def describe_beat(beat: Beat) -> BeatResult:
    """Return a beat as it is shown."""
    return BeatResult(
        beat_id=beat.id, agent=beat.agent, at=iso(beat.at), why=beat.why, outcome=beat.outcome, reason=beat.reason,
        session_id=beat.session_id, ended_at=iso(beat.ended_at), text=beat.text,
    )  # fmt: skip
