"""Cron expressions: what is read, and the next instant in a zone.

cronsim reads the fields and says which days they name; the walk from there to an instant is ours. It goes over the
*wall*, plain local time without a zone, and from the wall by one of two ways to a moment. (Handed a zone, cronsim 2.8
steps on in whole hours from a change of the clocks: where Lord Howe moves them by half an hour it leaves out 02:00,
02:10 and 02:20 of ``*/10 2 * * *``. It returns a midnight that Cairo skips, and started inside a repeated hour it
returns moments that have passed.) The two ways are those of Debian's cron:

- *Fixed* expressions (five fields, neither minute nor hour begins with ``*``) stand for things to be done once: a time
  that the clocks skip runs at the moment they have changed, several of them once together; a time that they show
  twice runs the first time.
- All others follow the clocks as they are: a skipped time does not run, a repeated one runs both times. So
  ``*/10 * * * *`` keeps its ten minutes, ``*/30 2 * * *`` has no run at all where 02:00 to 03:00 is skipped, and six
  fields are always of this kind.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from datetime import date, datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from outlast.core.errors import BadInput
from outlast.scheduler.zones import DAY, MOMENT_MAX, Zone, zone

CRON_MAX = 512
"""The longest expression that is read, in characters: six fields written out in full have about 400."""

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""The names that stand for five fields."""

FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
_RANGES = ("0-59", "0-59", "0-23", "1-31, L or LW", "1-12 or JAN-DEC", "0-7 or SUN-SAT, 5L, 5#2")
_CHARACTERS = re.compile(r"[0-9A-Za-z*/,#-]+")
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY_MAX = MOMENT_MAX // DAY + 2
_HINT = "minute hour day month weekday, as in '30 2 * * 1-5'; a sixth field in front is seconds; or @daily, @hourly …"


def _calendars() -> dict[bool, list[int]]:
    """Return years that begin on each day of the week: common ones, and leap years."""
    found: dict[bool, dict[int, int]] = {False: {}, True: {}}
    for year in range(2001, 2029):
        found[year % 4 == 0][date(year, 1, 1).weekday()] = year
    return {leap: list(years.values()) for leap, years in found.items()}


_YEARS = _calendars()


class Cron:
    """An expression that was read and that comes at some time.

    ``fields`` are its six fields in capitals, ``six`` says whether seconds were written, ``fixed`` by which of the two
    rules it meets a change of the clocks.
    """

    __slots__ = ("_hours", "_minutes", "_months", "_seconds", "_sim", "fields", "fixed", "six", "text")

    def __init__(self, text: str, sim: CronSim, six: bool) -> None:
        self.text = text
        self.six = six
        self.fields: tuple[str, ...] = tuple(sim.parts)
        self.fixed = not six and not self.fields[1].startswith("*") and not self.fields[2].startswith("*")
        self._sim = sim
        self._seconds, self._minutes = sorted(sim.seconds), sorted(sim.minutes)
        self._hours, self._months = sorted(sim.hours), sorted(sim.months)

    def words(self) -> str:
        """Return the expression in words: ``At 02:30 on Monday through Friday``."""
        return self._sim.explain()

    def wall_after(self, wall: int) -> int | None:
        """Return the first matching wall second strictly after one, None when there is none before the year 2200."""
        day, second = divmod(wall, DAY)
        if self._on(date.fromordinal(day + _EPOCH_DAY)) and (later := self._later(second)) is not None:
            return day * DAY + later
        next_day = self._day_after(day)
        if next_day is None:
            return None
        return next_day * DAY + self._hours[0] * 3600 + self._minutes[0] * 60 + self._seconds[0]

    def _on(self, day: date) -> bool:
        return day.month in self._sim.months and self._sim.match_day(day)

    def _day_after(self, day: int) -> int | None:
        """Return the first matching day after one, both counted from 1970; months that do not match are jumped over."""
        day += 1
        while day <= _DAY_MAX:
            then = date.fromordinal(day + _EPOCH_DAY)
            if then.month not in self._sim.months:
                index = bisect_left(self._months, then.month)
                year, index = (then.year, index) if index < len(self._months) else (then.year + 1, 0)
                day = date(year, self._months[index], 1).toordinal() - _EPOCH_DAY
            elif self._sim.match_day(then):
                return day
            else:
                day += 1
        return None

    def _later(self, second: int) -> int | None:
        """Return the first matching second of a day strictly after one."""
        hour, minute, rest = second // 3600, second // 60 % 60, second % 60
        at = bisect_left(self._hours, hour)
        if at < len(self._hours) and self._hours[at] == hour:
            turn = bisect_left(self._minutes, minute)
            if turn < len(self._minutes) and self._minutes[turn] == minute:
                if (tick := bisect_right(self._seconds, rest)) < len(self._seconds):
                    return hour * 3600 + minute * 60 + self._seconds[tick]
                turn += 1
            if turn < len(self._minutes):
                return hour * 3600 + self._minutes[turn] * 60 + self._seconds[0]
            at += 1
        return None if at == len(self._hours) else self._hours[at] * 3600 + self._minutes[0] * 60 + self._seconds[0]

    def next_after(self, local: Zone, after: float) -> int | None:
        """Return the first instant strictly after a moment, None when there is none before the year 2200."""
        if after >= MOMENT_MAX:
            return None
        moment = math.floor(max(after, 0.0))
        found = self._fixed_after(local, moment) if self.fixed else self._wild_after(local, moment)
        return found if found is not None and found <= MOMENT_MAX else None

    def _fixed_after(self, local: Zone, after: int) -> int | None:
        """What the clocks have shown so far counts as done, also while they show it again."""
        span = local.span(after)
        before = local.span(span.start - 1)
        wall = self.wall_after(max(after + span.offset, min(before.end, span.start) + before.offset - 1))
        return None if wall is None else local.first_reach(wall)

    def _wild_after(self, local: Zone, after: int) -> int | None:
        """Go from span to span; each shows a stretch of the wall, whatever the others have shown."""
        span = local.span(after)
        shown = after + span.offset
        wall = self.wall_after(shown)
        while wall is not None:
            moment = wall - span.offset
            if moment < span.end or moment > MOMENT_MAX:
                return moment
            # A change near the start may show what was shown before; any later one is only met on the way.
            start = span.end if span.end <= after + 2 * DAY else max(span.end, moment - 2 * DAY)
            span = local.span(start)
            opens = start + span.offset
            if wall < opens or opens <= shown:
                shown = opens - 1
                wall = self.wall_after(shown)
        return None


def read(text: str) -> Cron:
    """Read five or six fields or a name like ``@daily``, in any case, and return the expression.

    Raises `BadInput` with the code ``bad_cron`` for what is no expression, and ``never_comes`` for one that no date
    in the calendar satisfies. Bounded: at once for whatever is longer than `CRON_MAX`, else a few milliseconds.
    """
    if len(text) > CRON_MAX:
        raise _bad(f"{text[:40]!r}… is no cron expression: it is longer than {CRON_MAX} characters")
    return _read(text)


@lru_cache(maxsize=4096)
def _read(text: str) -> Cron:
    words = _words(text)
    line = " ".join(words)
    try:
        sim = CronSim(line, _EPOCH)
    except (CronSimError, ValueError, AssertionError):
        raise _what_is_wrong(text, words) from None
    if not _comes(sim):
        raise _never(text, words)
    return Cron(text, sim, len(words) == 6)


def check(text: str, tz: str) -> tuple[Cron, Zone]:
    """Read an expression and its zone, or raise `BadInput` with the reason; see `read` and `zones.zone`."""
    return read(text), zone(tz)


def next_instant(text: str, tz: str, after: float) -> float | None:
    """Return the first instant of an expression in a zone strictly after a moment, all in seconds since the epoch.

    None when there is none before the year 2200. Raises what `check` raises.
    """
    cron, local = check(text, tz)
    found = cron.next_after(local, after)
    return None if found is None else float(found)


def _words(text: str) -> list[str]:
    """Split into five or six fields of permitted characters, with names like ``@daily`` written out."""
    words = [word for word in text.replace("\t", " ").split(" ") if word]
    if len(words) == 1 and words[0].startswith("@"):
        return _alias(words[0]).split()
    for word in words:
        if not _CHARACTERS.fullmatch(word):
            raise _bad(f"{_shown(word)} is no field of a cron expression", _advice(word))
    if len(words) == 7:
        raise _bad(f"{_shown(text)} has seven fields: years are not known here")
    if len(words) not in (5, 6):
        raise _bad(f"{_shown(text)} has {len(words)} fields instead of five or six")
    for word in words:
        if "/" in word and "L" in word.upper().split("/")[0].split(","):
            raise _bad(f"{_shown(word)} is no field of a cron expression: L is one day and has no step")
    return words


def _alias(word: str) -> str:
    if (fields := ALIASES.get(word.lower())) is not None:
        return fields
    if word.lower() == "@reboot":
        raise _bad("@reboot names no moment, so it cannot be scheduled", "use a service of the system for that")
    if word.lower() == "@every":
        raise _bad("@every is no cron expression", "use a period instead: --every 15m")
    raise _bad(f"{_shown(word)} is no cron expression", "known are " + " ".join(ALIASES))


def _advice(word: str) -> str | None:
    if "?" in word:
        return "write * instead of ?"
    if "~" in word:
        return "for a moment at random give a jitter: --jitter 30m"
    return None


def _what_is_wrong(text: str, words: list[str]) -> BadInput:
    """Find the field that cannot be read; when each can on its own, they never come together."""
    first = 6 - len(words)
    for index, word in enumerate(words, first):
        alone = ["0", "0", "0", "*", "*", "*"]
        alone[index] = word
        try:
            CronSim(" ".join(alone), _EPOCH)
        except (CronSimError, ValueError, AssertionError):
            advice = "a range goes upwards: write 6,0 for SAT-SUN" if "-" in word else None
            return _bad(f"{_shown(word)} is no {FIELDS[index]}: {_RANGES[index]}", advice)
    return _never(text, words)


def _comes(sim: CronSim) -> bool:
    """Say whether any date satisfies an expression. Exact: months differ by length and first weekday alone."""
    for month in sorted(sim.months):
        for year in _YEARS[False] + (_YEARS[True] if month == 2 else []):
            first = date(year, month, 1)
            ends = date(year + month // 12, month % 12 + 1, 1)
            if any(sim.match_day(first + timedelta(days=day)) for day in range((ends - first).days)):
                return True
    return False


def _never(text: str, words: list[str]) -> BadInput:
    day, month, weekday = words[-3:]
    rule = "" if weekday == "*" else f" that is also a day {weekday} of the week"
    months = "any month" if month == "*" else f"month {month}"
    return BadInput(
        f"{_shown(text)} never comes: there is no day {day} in {months}{rule}",
        code="never_comes",
        hint="the last day of a month is L, as in '0 0 L * *'",
    )


def _bad(message: str, hint: str | None = None) -> BadInput:
    return BadInput(message, code="bad_cron", hint=hint or _HINT)


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}…"
