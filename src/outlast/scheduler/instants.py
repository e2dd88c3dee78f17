"""The instants of a schedule, whatever its kind: as a function for `core.schedule.plan`, as a preview for people."""

from __future__ import annotations

from typing import assert_never

import msgspec

from outlast.core.durations import format_duration, parse_duration
from outlast.core.errors import BadInput
from outlast.core.schedule import (
    EVERY_MAX,
    EVERY_MIN,
    Following,
    Kind,
    Schedule,
    Unreadable,
    at_after,
    every_after,
    format_moment,
    jitter_of,
    parse_moment,
)
from outlast.scheduler import cron, notes
from outlast.scheduler.zones import MOMENT_MAX, zone

PREVIEW_MAX = 1000
"""The most firings a preview shows."""


class Firing(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An instant as it is shown: ``at`` in seconds since the epoch, ``fires_at`` the same with its jitter.

    ``local`` is ``Sun 2027-03-28 03:00:00``, ``offset`` ``+02:00 CEST``, ``note`` what a change of the clocks does.
    """

    at: float
    fires_at: float
    local: str
    offset: str
    note: str | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was understood of a rule: in words, in which zone, what comes next, and what to look out for."""

    words: str
    zone: str
    firings: tuple[Firing, ...]
    notes: tuple[str, ...] = ()


def following(schedule: Schedule) -> Following:
    """Return the rule of a schedule as a function from a moment to the first instant strictly after it.

    Raises `BadInput` when the rule cannot be read, and `GatewayTrouble` when the system has no zone data. A row that
    was fine when it was written can come to this by an upgrade: disable it and say so, and go on with the next.
    """
    if isinstance(schedule.payload, Unreadable):
        raise BadInput(
            schedule.payload.why, code="unreadable", hint="outlast cron edit gives it new ones, or remove it"
        )
    match schedule.kind:
        case Kind.AT:
            at = parse_moment(schedule.expr)
            return lambda moment: at_after(at, moment)
        case Kind.EVERY:
            period = parse_period(schedule.expr)
            anchor = schedule.created_at if schedule.anchor_at is None else schedule.anchor_at
            return lambda moment: _before_the_end(every_after(anchor, period, moment))
        case Kind.CRON:
            rule, local = cron.check(schedule.expr, schedule.tz)
            return lambda moment: None if (found := rule.next_after(local, moment)) is None else float(found)
        case _:
            assert_never(schedule.kind)


def _before_the_end(moment: float) -> float | None:
    return moment if moment <= MOMENT_MAX else None


def parse_period(text: str) -> float:
    """Read the seconds of an `every` schedule, `EVERY_MIN` to `EVERY_MAX`, else raise `BadInput`."""
    plain = text.isascii() and len(text) <= 20 and text.replace(".", "", 1).isdigit()
    period = float(text) if plain else 0.0
    if EVERY_MIN <= period <= EVERY_MAX:
        return period
    raise BadInput(f"{text[:40]!r} is no period", code="bad_period", hint="at least 1 second, at most 100 years")


def preview(schedule: Schedule, now: float, count: int = 3) -> Preview:
    """Return what a schedule does next: up to ``count`` firings (1 to `PREVIEW_MAX`), in words and in its zone.

    It begins at the cursor, so it shows what will be fired; without one (new, paused, disabled) at ``now``. It raises
    what `following` raises.
    """
    after = following(schedule)
    local = zone(schedule.tz)
    rule = cron.read(schedule.expr) if schedule.kind is Kind.CRON else None
    moment = schedule.next_at if schedule.next_at is not None else after(max(now, schedule.last_at or 0.0))
    firings: list[Firing] = []
    while moment is not None and len(firings) < min(max(count, 1), PREVIEW_MAX):
        then = after(moment)
        firings.append(
            Firing(
                at=moment,
                fires_at=moment + jitter_of(schedule, moment, then),
                local=f"{local.local(moment):%a %Y-%m-%d %H:%M:%S}",
                offset=local.label(int(moment)),
                note=notes.firing_note(rule, local, int(moment)) if rule else None,
            )
        )
        moment = then
    told = notes.about(rule) + notes.clock_notes(rule, local, now, now + notes.AHEAD_SECONDS) if rule else ()
    return Preview(words=words(schedule), zone=local.name, firings=tuple(firings), notes=told)


def words(schedule: Schedule) -> str:
    """Return the rule of a schedule in words, without its zone."""
    match schedule.kind:
        case Kind.AT:
            return f"once, at {format_moment(parse_moment(schedule.expr))}"
        case Kind.EVERY:
            anchor = schedule.created_at if schedule.anchor_at is None else schedule.anchor_at
            return f"every {_span(parse_period(schedule.expr))}, counted from {format_moment(anchor)}"
        case Kind.CRON:
            return cron.read(schedule.expr).words()
        case _:
            assert_never(schedule.kind)


def _span(seconds: float) -> str:
    """Return a period for people, in plain seconds where the short form would round it."""
    short = format_duration(seconds)
    return short if parse_duration(short) == seconds else f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
