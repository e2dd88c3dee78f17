"""Moments as people write them. Reading is strict, and the answer says what was understood.

A time that exists twice or never is told, not guessed: twice takes the first and says so, never is refused.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import NoReturn

import msgspec

from outlast.core.durations import format_duration, parse_duration
from outlast.core.errors import BadInput
from outlast.core.schedule import format_moment
from outlast.scheduler.zones import DAY, MOMENT_MAX, Zone, fixed_zone, format_offset, zone

WHEN_MAX = 100
"""The longest text that is read, in characters."""

OFFSET_MAX = 14 * 3600
"""The largest offset from UTC that is read, in seconds; no zone has a larger one."""

_EPOCH = datetime(1970, 1, 1)
_MOMENT = re.compile(
    r"(?P<day>today|tomorrow|(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}))(?:(?P<t>T)| )"
    r"(?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?)"
    r"(?: ?(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})| (?P<zone>[A-Za-z][A-Za-z0-9_+/-]*))?"
)
_SPAN = re.compile(r"(?:in )?([0-9P].*)")
_HINT = "write '2026-12-01 09:00', with a zone '2026-12-01 09:00 Europe/London' or 'Z', 'tomorrow 09:00' or 'in 20m'"
_SHAPES = (
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "add a time, as in '{} 09:00'"),
    (re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?"), "say on which day: 'today {0}' or 'tomorrow {0}'"),
    (re.compile(r"(in )?[0-9.]+"), "add a unit, as in '{}s' or '20m', or write a full date"),
    (re.compile(r".*[0-9] ?[AaPp]\.?[Mm].*"), "write the time with 24 hours: 21:00"),
    (re.compile(r"[0-9]{1,2}[/.][0-9]{1,2}[/.].*"), "write the date as year-month-day: 2026-12-01"),
)


class When(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was understood: ``at`` in seconds since the epoch, and the same moment for people.

    ``local`` is ``Tue 2026-12-01 09:00:00``, ``offset`` ``+00:00 GMT``, ``utc`` ISO 8601, ``ahead`` ``3d 04h``.
    """

    at: float
    local: str
    zone: str
    offset: str
    utc: str
    ahead: str
    notes: tuple[str, ...] = ()


def parse_when(text: str, *, now: float, tz: str) -> When:
    """Read one moment after ``now``; ``tz`` is the IANA name of the zone that holds where the text names none.

    Read are ``2026-12-01 09:00`` (or with ``T``, seconds, milliseconds), the same followed by ``Z``, an offset or the
    name of a zone, ``today 09:00``, ``tomorrow 09:00``, and a span with units, ``20m`` or ``in 20m``. `BadInput` is
    raised for anything else (``bad_when``), for a local time that the clocks skip (``no_such_time``, with the nearest
    times that exist), for the past (``in_the_past``), and what `zones.zone` and `parse_duration` raise.
    """
    local = zone(tz)
    if len(text) > WHEN_MAX:
        _refuse(text[:40] + "…")
    found = _MOMENT.fullmatch(text)
    if found is None:
        return _span(text, now, local)
    if found["t"] and not found["date"]:
        _refuse(text)
    named = zone(found["zone"]) if found["zone"] else local
    written = _written_offset(found["offset"], text) if found["offset"] else named
    wall, rest = _wall(found["day"], found["clock"], now, written, text)
    notes: tuple[str, ...] = ()
    if found["offset"]:
        moment = wall - written.span(0).offset
    else:
        moment, notes = _moment(wall, written, text)
    shown = local if found["offset"] else written
    return _understood(moment + rest, now, shown, notes, text)


def _span(text: str, now: float, local: Zone) -> When:
    """Read a span, or refuse the text with the best hint there is."""
    for shape, hint in _SHAPES:
        if shape.fullmatch(text):
            _refuse(text, hint.format(text.removeprefix("in ")))
    found = _SPAN.fullmatch(text)
    if found is None or not (text.startswith("in ") or _is_span(found[1])):
        _refuse(text)
    seconds = parse_duration(found[1])
    if seconds <= 0:
        raise BadInput(f"{text!r} is now", code="in_the_past", hint="to run at once, run it without a schedule")
    return _understood(round(now + seconds, 3), now, local, (), text)


def _is_span(text: str) -> bool:
    try:
        parse_duration(text)
    except BadInput:
        return False
    return True


def _written_offset(offset: str, text: str) -> Zone:
    if offset == "Z":
        return zone("UTC")
    hours, minutes = int(offset[1:3]), int(offset[4:])
    seconds = (hours * 60 + minutes) * 60
    if minutes > 59 or seconds > OFFSET_MAX or offset == "-00:00":
        _refuse(text, f"{offset} is no offset from UTC: they go from -14:00 to +14:00")
    return fixed_zone(-seconds if offset[0] == "-" else seconds)


def _wall(day: str, clock: str, now: float, local: Zone, text: str) -> tuple[int, float]:
    """Return what the clocks are to show, in wall seconds, and the fraction of a second."""
    clock, _, fraction = clock.partition(".")
    hour, minute, second = (int(part) for part in (clock + ":00" * (2 - clock.count(":"))).split(":"))
    if hour > 23 or minute > 59 or second > 59:
        _refuse(text, f"{clock} is no time of day: they go from 00:00 to 23:59:59")
    try:
        then = date.fromisoformat(day) if day[0].isdigit() else _relative(day, now, local)
    except ValueError:
        _refuse(text, f"{day} is no date")
    days = (then - _EPOCH.date()).days
    if not 0 <= days < MOMENT_MAX // DAY:
        _refuse(text, "the year is to be 1970 to 2199")
    return days * DAY + hour * 3600 + minute * 60 + second, int(fraction.ljust(3, "0")) / 1000 if fraction else 0.0


def _relative(day: str, now: float, local: Zone) -> date:
    return local.local(now).date() + timedelta(days=day == "tomorrow")


def _moment(wall: int, local: Zone, text: str) -> tuple[int, tuple[str, ...]]:
    """Return the first moment at which the clocks of a zone show ``wall``, with a note when there is a second."""
    moment = local.first_reach(wall)
    before, span, then = local.around(moment)
    if moment + span.offset != wall:
        left, comes = before.end + before.offset, moment + span.offset
        raise BadInput(
            f"{text!r} does not exist in {local.name}: the clocks go from {_clock(left)} to {_clock(comes)} then",
            code="no_such_time",
            hint=f"write '{_shown(left - 60)}' or '{_shown(comes)}'",
        )
    if wall < then.start + then.offset:
        return moment, ()
    second = f"{_shown(wall)}{format_offset(then.offset)}"
    return moment, (f"{_clock(wall)} happens twice on that day: the first is taken; '{second}' is the second",)


def _understood(at: float, now: float, local: Zone, notes: tuple[str, ...], text: str) -> When:
    if at <= now:
        later = f"write 'tomorrow{text.removeprefix('today')}'" if text.startswith("today") else "write a later moment"
        raise BadInput(
            f"{text!r} was {format_duration(now - at)} ago", code="in_the_past", hint=notes[0] if notes else later
        )
    if at > MOMENT_MAX:
        _refuse(text, "the year is to be 1970 to 2199")
    return When(
        at=at,
        local=f"{local.local(at):%a %Y-%m-%d %H:%M:%S}",
        zone=local.name,
        offset=local.label(int(at)),
        utc=format_moment(at),
        ahead=format_duration(at - now),
        notes=notes,
    )


def _refuse(text: str, hint: str | None = None) -> NoReturn:
    raise BadInput(f"{text!r} is not read as a moment", code="bad_when", hint=hint or _HINT)


def _shown(wall: int) -> str:
    return f"{_EPOCH + timedelta(seconds=wall):%Y-%m-%d %H:%M}"


def _clock(wall: int) -> str:
    return f"{_EPOCH + timedelta(seconds=wall):%H:%M}"
