"""An almanac to hold the scheduler against: made by walking, with nothing of what it is compared with.

No cronsim, no zoneinfo, no spans. Fields are read by a few lines of their own; local time comes from the C library;
and a zone is walked minute by minute through UTC, as a cron daemon lives through it: a fixed-time job runs at the first
minute at which the clock has come to or past its time, every other job in each minute in which the clock shows it.
"""

from __future__ import annotations

import calendar
import os
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache

YEAR = 2024
"""A leap year in which Almaty moved from UTC+6 to UTC+5, in the night after its leap day."""

ZONES = (
    "Africa/Cairo",  # skips and repeats around midnight
    "Africa/Casablanca",  # clocks go back for Ramadan and forward after it
    "America/New_York",
    "America/Santiago",  # southern, at midnight
    "America/St_Johns",  # half an hour off, with summer time
    "Antarctica/Troll",  # two hours at once
    "Asia/Almaty",  # other rules from March 2024 on
    "Asia/Kathmandu",  # a quarter off
    "Asia/Kolkata",  # half an hour off
    "Australia/Lord_Howe",  # half an hour of summer time
    "Europe/London",
    "Pacific/Chatham",  # three quarters off, with summer time
)

NAMES = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
NAMES |= {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
ALIASES = {"@yearly": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *"}
ALIASES |= {"@hourly": "0 * * * *", "@annually": "0 0 1 1 *", "@midnight": "0 0 * * *"}

MARGIN = 3
"""Days before and after the year that the walk goes through as well."""

FIRST = date(YEAR, 1, 1) - timedelta(days=MARGIN)
DAYS = 366 + 2 * MARGIN
ORIGIN = calendar.timegm(FIRST.timetuple()) // 60
"""The minute of the epoch at which the walk begins; minutes of the almanac count from it, in UTC and on the wall."""

YEAR_START = calendar.timegm((YEAR, 1, 1, 0, 0, 0))
YEAR_END = calendar.timegm((YEAR + 1, 1, 1, 0, 0, 0))


class Walk:
    """A zone lived through minute by minute: when each wall minute was shown, and when it had been reached."""

    def __init__(self, zone: str) -> None:
        size = DAYS * 1440
        self.reached = array("i", [-1]) * size
        self.shown = array("i", [-1]) * size
        self.again: dict[int, int] = {}
        with local_time(zone):
            seen = wall_at(0) - 1
            for minute, wall in enumerate(walls(size)):
                if 0 <= wall < size:
                    if self.shown[wall] < 0:
                        self.shown[wall] = minute
                    else:
                        self.again[wall] = minute
                while seen < wall:
                    seen += 1
                    if 0 <= seen < size:
                        self.reached[seen] = minute


def walls(size: int) -> Iterator[int]:
    """What the clock shows in each minute. Where it runs evenly through a quarter of an hour, it is asked once."""
    before = wall_at(0)
    for quarter in range(0, size, 15):
        then = wall_at(quarter + 15)
        if then == before + 15:
            yield from range(before, then)
        else:
            yield from map(wall_at, range(quarter, quarter + 15))
        before = then


def wall_at(minute: int) -> int:
    shown = time.localtime((ORIGIN + minute) * 60)
    return calendar.timegm(shown) // 60 - ORIGIN


@contextmanager
def local_time(zone: str) -> Iterator[None]:
    """Let the C library be in a zone for a while."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


@cache
def walk(zone: str) -> Walk:
    return Walk(zone)


def numbers(field: str, low: int, high: int) -> set[int]:
    """Values of a field without L and #: lists, ranges, steps and names."""
    found: set[int] = set()
    for term in field.split(","):
        values, _, step = term.partition("/")
        if values == "*":
            first, last = low, high
        else:
            ends = [NAMES[end] if end in NAMES else int(end) for end in values.split("-")]
            first, last = ends[0], ends[-1] if len(ends) == 2 or not step else high
        found.update(range(first, last + 1, int(step or 1)))
    return found


@cache
def is_day(term: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if term == "L":
        return day.day == last
    if term == "LW":
        return day.day == max(d for d in range(1, last + 1) if date(day.year, day.month, d).weekday() < 5)
    return day.day in numbers(term, 1, 31)


@cache
def is_weekday(term: str, day: date) -> bool:
    today = day.isoweekday() % 7
    if term.endswith("L"):
        return today == int(term[:-1]) % 7 and (day + timedelta(days=7)).month != day.month
    if "#" in term:
        name, nth = term.split("#")
        return today in {number % 7 for number in numbers(name, 0, 7)} and (day.day - 1) // 7 == int(nth) - 1
    return today in {number % 7 for number in numbers(term, 0, 7)}


@cache
def days(day: str, month: str, weekday: str) -> tuple[int, ...]:
    """Days of the walk that an expression names, counted from its first."""
    months = numbers(month, 1, 12)
    both = day.startswith("*") or weekday.startswith("*")
    found = []
    for index in range(DAYS):
        then = FIRST + timedelta(days=index)
        named = any(is_day(term, then) for term in day.split(","))
        weekly = any(is_weekday(term, then) for term in weekday.split(","))
        if then.month in months and ((named and weekly) if both else (named or weekly)):
            found.append(index)
    return tuple(found)


def instants(expression: str, zone: str) -> list[int]:
    """Every instant of an expression in the year, in seconds since the epoch."""
    fields = ALIASES.get(expression.lower(), expression).upper().split()
    minute, hour, *date_fields = fields[-5:]
    seconds = sorted(numbers(fields[0], 0, 59)) if len(fields) == 6 else [0]
    fixed = len(fields) == 5 and not minute.startswith("*") and not hour.startswith("*")
    times = [h * 60 + m for h in numbers(hour, 0, 23) for m in numbers(minute, 0, 59)]
    life, minutes = walk(zone), set()
    for day in days(*date_fields):
        for wall in (day * 1440 + clock for clock in times):
            minutes.update([life.reached[wall]] if fixed else [life.shown[wall], life.again.get(wall, -1)])
    minutes.discard(-1)
    found = ((ORIGIN + minute) * 60 + second for minute in sorted(minutes) for second in seconds)
    return [moment for moment in found if YEAR_START < moment < YEAR_END]
