"""When an agent looks around by itself: the rules alone. The time is an argument, what there is to see is handed in.

A beat is a turn of the agent, which costs something: there is none without a reason that is written down.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from math import ceil
from typing import NamedTuple

import msgspec

from outlast.core.agent import Beat, BeatState, HeartbeatSpec
from outlast.core.conversation import FOLDED, Mode, SystemEvent
from outlast.core.durations import format_duration

GAP_SECONDS = 30.0
"""The least time from the begin of a beat to that of the next; doubled for each in a row that failed."""
GAP_MAX = 3600.0
HOUR = 3600.0
WINDOW_FIRST, WINDOW_MAX = 2.0, 60.0
"""How long news is gathered before it brings a beat; doubled while more keeps coming."""
KIND = "heartbeat"
"""The kind of the notice by which an answer is passed on. Between agents it brings no beat: they would never rest."""
_OPENING_MAX = 3 * 24 * 60
_KIND_OF = re.compile(r"[0-9]+ ([^,;]+)")

Local = Callable[[float], datetime]
"""Shows a moment as the clocks of the agent's zone do."""


class Seen(NamedTuple):
    """What there is to see at a moment.

    ``events`` wait in the conversation, oldest first; ``past`` are beats of the last hour, newest first. ``busy`` says
    with what the conversation is occupied, ``asked`` who wants a beat now.
    """

    events: Sequence[SystemEvent] = ()
    checklist_empty: bool = True
    busy: str | None = None
    past: Sequence[Beat] = ()
    asked: str | None = None


class Run(msgspec.Struct, frozen=True):
    """A beat now; ``why`` goes on record before it begins."""

    why: str


class Skip(msgspec.Struct, frozen=True):
    """A beat was due and there is none. ``next_at`` is the next one, None when this one is tried again."""

    reason: str
    next_at: float | None = None


class Wait(msgspec.Struct, frozen=True):
    """Nothing is due. ``until`` is when to look again, None when something has to change first."""

    reason: str
    until: float | None = None


Decision = Run | Skip | Wait


def decide(spec: HeartbeatSpec, state: BeatState, now: float, local: Local, seen: Seen) -> Decision:
    """Return whether there is a beat now, and why or why not."""
    regular = False
    if seen.asked is None:
        stopped = why_stopped(spec, state)
        if stopped is not None:
            return Wait(stopped)
        due_at = first_due(spec, state, now, seen.events, seen.past)
        if due_at is None or due_at > now:
            return Wait(_why_later(spec, state, now, local, seen.events), due_at)
        regular = state.next_at is not None and state.next_at <= now
        opens = opening(spec, now, local)
        if opens > now:
            return Skip(_closed(spec), opens) if regular else Wait(_closed(spec), opens)
    if seen.busy is not None:
        return Skip(seen.busy) if regular or seen.asked else Wait(seen.busy)
    limited, free_at = limit(spec, state, now, seen.past)
    if free_at > now:
        return Skip(limited) if seen.asked else Wait(limited, free_at)
    if regular and not seen.events and seen.checklist_empty:
        return Skip(f"{spec.file} has nothing to do in it and nothing is pending", following(spec, now, local))
    return Run(_why(regular, seen))


def _closed(spec: HeartbeatSpec) -> str:
    return f"outside of its active hours, {spec.active_from}-{spec.active_until}"


def _why_later(spec: HeartbeatSpec, state: BeatState, now: float, local: Local, events: Sequence[SystemEvent]) -> str:
    gathered = first_due(spec, state, now, events)
    if gathered is not None and gathered <= now:
        return "news of this kind has brought as many beats in the last hour as it may"
    if gathered != state.next_at:
        return "news is being gathered"
    return "not due yet" if active(spec, local(now)) else _closed(spec)


def why_stopped(spec: HeartbeatSpec, state: BeatState) -> str | None:
    """Return why there are no beats at all; None where there are."""
    if spec.every_seconds <= 0:
        return "off: every is 0"
    return "paused" if state.paused_at is not None else None


# ---- what brings a beat


def first_due(
    spec: HeartbeatSpec, state: BeatState, now: float, events: Sequence[SystemEvent], past: Sequence[Beat] = ()
) -> float | None:
    """Return when something first brings a beat, limits of the whole left aside; it may have passed."""
    waking = [event for event in events if wakes(event)]
    moments = [] if state.next_at is None else [state.next_at]
    if waking:
        gathered = gathered_at([event.at for event in waking])
        most = ceil(spec.turns_max_per_hour / 2)
        kinds = {_plain(event.kind) for event in waking}
        moments += [
            max(gathered, _free_at([b.at for b in past if kind in kinds_of(b.why)], most, now)) for kind in kinds
        ]
    return min(moments, default=None)


def wakes(event: SystemEvent) -> bool:
    """True for an event that brings a beat by itself; the others wait for the next one."""
    return event.kind == FOLDED or (event.mode is Mode.NOW and event.kind != KIND)


def gathered_at(moments: Sequence[float]) -> float:
    """Return when the news of these moments (at least one) has been gathered.

    That is a window after the first, doubled as long as more comes in its new half, up to `WINDOW_MAX`.
    """
    first, window, before = min(moments), WINDOW_FIRST, 0.0
    while window < WINDOW_MAX and any(before < moment - first <= window for moment in moments):
        before, window = window, min(window * 2, WINDOW_MAX)
    return first + window


def _why(regular: bool, seen: Seen) -> str:
    kinds = Counter(_plain(event.kind) for event in seen.events)
    told = "events: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) if kinds else ""
    first = f"asked by {seen.asked}" if seen.asked is not None else "interval" if regular else ""
    return "; ".join(part for part in (first, told) if part)


def kinds_of(why: str) -> set[str]:
    """Return the kinds of events that brought a beat; none where it was due or asked for anyway."""
    return set(_KIND_OF.findall(why)) if why.startswith("events: ") else set()


def _plain(kind: str) -> str:
    """Return the kind of an event as it stands in a reason."""
    return re.sub(r"[^\w .:-]", "_", kind)[:40].strip() or "event"


# ---- what holds one up


def limit(spec: HeartbeatSpec, state: BeatState, now: float, past: Sequence[Beat]) -> tuple[str, float]:
    """Return which limit holds a beat up, and until when; a moment that has passed is no limit."""
    ran = [beat for beat in past if beat.outcome != "skipped" and beat.at <= now]
    hour_at = _free_at([beat.at for beat in ran], spec.turns_max_per_hour, now)
    failed = 0
    while failed < len(ran) and ran[failed].outcome == "failed":
        failed += 1
    gap = min(GAP_SECONDS * 2**failed, GAP_MAX)
    last_at = max((beat.at for beat in ran[:1]), default=None)
    if state.last_at is not None and state.last_at <= now:
        last_at = max(last_at or 0.0, state.last_at)
    gap_at = now if last_at is None else last_at + gap
    if hour_at >= gap_at:
        return f"{spec.turns_max_per_hour} beats in the last hour are as many as there may be", hour_at
    why = f"the last {failed} failed" if failed > 1 else "the last one failed" if failed else "one after the other"
    return f"{why}: at least {format_duration(gap)} from beat to beat", gap_at


def _free_at(moments: Sequence[float], most: int, now: float) -> float:
    """Return when there are fewer than ``most`` of these moments, newest first, in the hour before."""
    inside = [moment for moment in moments if now - HOUR < moment <= now]
    return now if len(inside) < most else inside[most - 1] + HOUR


# ---- the hours of the day


def following(spec: HeartbeatSpec, now: float, local: Local) -> float | None:
    """Return the next regular beat after one at ``now``; None where there are none."""
    return None if spec.every_seconds <= 0 else opening(spec, now + spec.every_seconds, local)


def opening(spec: HeartbeatSpec, moment: float, local: Local) -> float:
    """Return the first moment from this one on that is within the active hours, to the minute when it is later.

    Every minute is asked what its clocks show, so hours that a change of the clocks skips or repeats are as they are.
    """
    if not spec.active_from or active(spec, local(moment)):
        return moment
    minute = moment - moment % 60
    for number in range(1, _OPENING_MAX):
        if active(spec, local(minute + 60 * number)):
            return minute + 60 * number
    return moment


def active(spec: HeartbeatSpec, shown: datetime) -> bool:
    """True when the clocks show a time within the active hours: from the first on, before the last, over midnight."""
    if not spec.active_from:
        return True
    start, end, at = _minutes(spec.active_from), _minutes(spec.active_until), shown.hour * 60 + shown.minute
    return start <= at < end if start < end else at >= start or at < end


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)
