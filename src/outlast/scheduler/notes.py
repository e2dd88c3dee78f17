"""What somebody should know about a cron expression before relying on it, above all what clock changes do to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from outlast.scheduler.cron import FIELDS, Cron
from outlast.scheduler.zones import Span, Zone

AHEAD_SECONDS = 400 * 86_400
"""How far ahead changes of the clocks are told of: a little more than a year, so each zone's next two are in it."""

_SHOWN_MAX = 3
_STEP = re.compile(r"(?:\*|0-59|0-23)/([0-9]+)")
_SIZES = (60, 60, 24)
_EPOCH = datetime(1970, 1, 1)


def about(cron: Cron) -> tuple[str, ...]:
    """Return what holds for an expression in every zone and often surprises."""
    notes = []
    if cron.six:
        notes.append("the first of six fields is seconds")
    day, weekday = cron.fields[3], cron.fields[5]
    if not day.startswith("*") and not weekday.startswith("*"):
        notes.append(f"runs when the day of the month is {day} and also when the day of the week is {weekday}")
    for name, size, unit, field in zip(FIELDS, _SIZES, "smh", cron.fields, strict=False):
        step = _STEP.fullmatch(field)
        if step and int(step[1]) >= size:
            notes.append(f"{field} as {name} leaves only 0; for a longer period use --every {step[1]}{unit}")
    return tuple(notes)


def clock_notes(cron: Cron, local: Zone, after: float, until: float) -> tuple[str, ...]:
    """Return a sentence for each change of the clocks between two moments that meets a run of the expression.

    ``02:30 does not exist on 2027-03-28: runs at 03:00``, ``02:30 happens twice on 2027-10-31: runs once, the first
    time``, and for expressions that follow the clock what they do instead and why.
    """
    return tuple(
        note
        for before, then in _changes(local, int(after), int(until))
        if not _keeps_time(cron, then.offset - before.offset) and (note := _note(cron, before, then))
    )


def firing_note(cron: Cron, local: Zone, moment: int) -> str | None:
    """Return what is special about one instant of the expression, None for nothing."""
    before, span, then = local.around(moment)
    if cron.fixed and moment == span.start and (note := _gap_note(cron, before, span)):
        return note
    wall = moment + span.offset
    if wall >= then.start + then.offset:
        return f"the first of two {_time(wall)} on this day"
    if wall < before.end + before.offset:
        return f"the second of two {_time(wall)} on this day"
    return None


def _changes(local: Zone, moment: int, until: int) -> Iterator[tuple[Span, Span]]:
    span = local.span(moment)
    while span.end <= until:
        before, span = span, local.span(span.end)
        if span.offset != before.offset:
            yield before, span


def _keeps_time(cron: Cron, shift: int) -> bool:
    """Say whether the expression runs on evenly: it follows the clock in every hour, and whole hours are shifted."""
    return not cron.fixed and cron.fields[2] == "*" and shift % 3600 == 0


def _note(cron: Cron, before: Span, then: Span) -> str | None:
    return _gap_note(cron, before, then) if then.offset > before.offset else _overlap_note(cron, before, then)


def _gap_note(cron: Cron, before: Span, then: Span) -> str | None:
    walls = _walls(cron, before.end + before.offset, then.start + then.offset)
    if not walls:
        return None
    what = f"{_times(walls)} {'does' if len(walls) == 1 else 'do'} not exist on {_date(walls[0])}"
    if not cron.fixed:
        return f"{what}: no run then, {_why(cron)}"
    return f"{what}: runs {'' if len(walls) == 1 else 'once, '}at {_time(then.start + then.offset)}"


def _overlap_note(cron: Cron, before: Span, then: Span) -> str | None:
    walls = _walls(cron, then.start + then.offset, before.end + before.offset)
    if not walls:
        return None
    one = len(walls) == 1
    what = (
        f"{_times(walls)} {'happens' if one else 'happen'} twice on {_date(walls[0])}: {'runs' if one else 'each runs'}"
    )
    return f"{what} once, the first time" if cron.fixed else f"{what} both times, {_why(cron)}"


def _why(cron: Cron) -> str:
    who = "an expression of six fields" if cron.six else "an expression whose minute or hour begins with *"
    return f"since {who} follows the clock as it is"


def _walls(cron: Cron, start: int, end: int) -> list[int]:
    """Return matching wall seconds from ``start`` up to ``end``, one more than are shown at most."""
    found: list[int] = []
    wall = cron.wall_after(start - 1)
    while wall is not None and wall < end and len(found) <= _SHOWN_MAX:
        found.append(wall)
        wall = cron.wall_after(wall)
    return found


def _times(walls: list[int]) -> str:
    shown = [_time(wall) for wall in walls[:_SHOWN_MAX]]
    if len(walls) > _SHOWN_MAX:
        return ", ".join(shown) + " …"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _time(wall: int) -> str:
    when = _EPOCH + timedelta(seconds=wall)
    return f"{when:%H:%M:%S}" if when.second else f"{when:%H:%M}"


def _date(wall: int) -> str:
    return f"{_EPOCH + timedelta(seconds=wall):%Y-%m-%d}"
