"""Cron expressions: what is read, what is refused and why, how long it takes, and both edges of summer time."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from spending import at_most

from outlast.core.errors import BadInput
from outlast.scheduler.cron import ALIASES, CRON_MAX, check, next_instant, read
from outlast.scheduler.zones import CHUNK, MOMENT_MAX, Zone, zone

EPOCH = datetime(1970, 1, 1)
NEVER = "never_comes"


def moment(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def runs(text: str, zone: str, after: str, count: int) -> list[str]:
    """The next runs as local time with offset, from a moment in UTC."""
    found, at = [], moment(after)
    for _ in range(count):
        then = next_instant(text, zone, at)
        assert then is not None
        assert then > at
        at = then
        found.append(datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(" ", "minutes")[5:])
    return found


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("30 2 * * *", "2026-12-01 02:30"),
        ("@daily", "2026-12-01 00:00"),
        ("@Midnight", "2026-12-01 00:00"),
        ("@hourly", "2026-11-30 13:00"),
        ("@weekly", "2026-12-06 00:00"),
        ("@monthly", "2026-12-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@annually", "2027-01-01 00:00"),
        ("0 9 * * mon-FRI", "2026-12-01 09:00"),
        ("0 9 * jan,Feb *", "2027-01-01 09:00"),
        ("0 0 L * *", "2026-12-31 00:00"),
        ("0 0 LW * *", "2026-12-31 00:00"),
        ("0 0 * * 5L", "2026-12-25 00:00"),
        ("0 0 * * 5l", "2026-12-25 00:00"),
        ("0 0 * * tue#2", "2026-12-08 00:00"),
        ("0 0 * * 7", "2026-12-06 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 * 2 MON#5", "2044-02-29 00:00"),
        ("30 0 0 1 1 *", "2027-01-01 00:00:30"),
        ("*/20 * * * * *", "2026-11-30 12:00:20"),
        ("\t5  4\t* * * ", "2026-12-01 04:05"),
        ("0 12 30 11 *", "2027-11-30 12:00"),
        ("0 0 13 * 5", "2026-12-04 00:00"),
    ],
)
def test_read(text: str, first: str) -> None:
    assert next_instant(text, "UTC", moment("2026-11-30 12:00")) == moment(first)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "bad_cron", "0 fields"),
        ("* * * *", "bad_cron", "4 fields"),
        ("0 0 1 1 * 2030 x", "bad_cron", "seven"),
        ("60 * * * *", "bad_cron", "no minute: 0-59"),
        ("* 24 * * *", "bad_cron", "no hour: 0-23"),
        ("0 0 0 * *", "bad_cron", "no day of month"),
        ("0 0 32 * *", "bad_cron", "no day of month"),
        ("0 0 * 13 *", "bad_cron", "no month"),
        ("0 0 * * 8", "bad_cron", "no day of week"),
        ("60 0 0 * * *", "bad_cron", "no second"),
        ("5-1 * * * *", "bad_cron", "no minute"),
        ("*/0 * * * *", "bad_cron", "no minute"),
        ("0 0 * * FRI-MON", "bad_cron", "no day of week"),
        ("0 0 * * MON#6", "bad_cron", "no day of week"),
        ("0 0 * * FRIL", "bad_cron", "no day of week"),
        ("0 0 L/2 * *", "bad_cron", "has no step"),
        ("0 0 15W * *", "bad_cron", "no day of month"),
        ("0 0 ? * *", "bad_cron", "no field"),
        ("H H * * *", "bad_cron", "no minute"),
        ("0~30 * * * *", "bad_cron", "no field"),
        ("٣ * * * *", "bad_cron", "no field"),
        ("0 0 * *\n*", "bad_cron", "no field"),
        ("0 0 * * *\n", "bad_cron", "no field"),
        ("0\u00a00 * * *", "bad_cron", "no field"),
        ("$(reboot) * * * *", "bad_cron", "no field"),
        ("\x1b[31m", "bad_cron", "no field"),
        ("@reboot", "bad_cron", "names no moment"),
        ("@every 5m", "bad_cron", "no field"),
        ("@fortnightly", "bad_cron", "no cron expression"),
        ("0 0 31 2 *", NEVER, "no day 31 in month 2"),
        ("0 0 30 FEB *", NEVER, "no day 30 in month FEB"),
        ("0 0 31 2,4,6,9,11 *", NEVER, "no day 31"),
        ("0 0 31 4 */2", NEVER, "no day 31 in month 4"),
        ("0 0 */30 * 1#2", NEVER, "1#2 of the week"),
        ("0 0 */5 2 1#5", NEVER, "1#5 of the week"),
        ("0 0 0 30 2 *", NEVER, "no day 30 in month 2"),
    ],
)
def test_refused_with_the_reason(text: str, code: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(text)
    assert caught.value.code == code
    assert says in caught.value.message
    assert caught.value.hint


def test_garbage_of_a_megabyte_is_refused_at_once() -> None:
    for text in ("x" * 10**6, "* " * 500_000, "1," * 500_000 + "1 * * * *", "@" * 10**6, "9" * 10**6 + " * * * *"):

        def refused(text: str = text) -> None:
            with pytest.raises(BadInput) as caught:
                read(text)
            assert len(caught.value.message) < 200

        assert at_most(0.05, refused)


WORST = (
    "0 0 29 2 */7",
    "0 0 * 2 MON#5",
    "0 0 */28 2 1#5",
    "59 59 23 31 12 *",
    "0 0 LW 2 5L",
    ",".join(str(n) for n in range(60)) + " " + ",".join(str(n) for n in range(24)) + " 29 2 */7",
    ",".join(["0-59"] * 70) + " 0 1 1 *",
    "0 0 */31 * 1#1,2#1,3#1,4#1,5#1,6#1,0#1",
)


@pytest.mark.parametrize("text", WORST)
def test_no_expression_takes_long(text: str) -> None:
    """One schedule that is searched for decades must not hold up the others. Its own time counts, not the wall's."""
    assert len(text) <= CRON_MAX

    def searched() -> None:
        read.__globals__["_read"].cache_clear()
        next_instant(text, "Europe/London", moment("2096-03-01 00:00"))

    assert at_most(0.02, searched)


FIELD = st.one_of(
    st.just("*"),
    st.integers(0, 60).map(str),
    st.tuples(st.integers(0, 31), st.integers(0, 60)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.integers(0, 70).map(lambda step: f"*/{step}"),
    st.sampled_from(["L", "LW", "5L", "1#5", "0#1", "MON", "jan", "1,15", "7", "*/31", "L,5", "3-7/2"]),
)
EXPRESSIONS = st.one_of(
    st.lists(FIELD, min_size=4, max_size=7).map(" ".join),
    st.from_regex(r"[0-9*/,#LWMONFRI@ -]{0,40}", fullmatch=True),
    st.text(max_size=40),
)


@given(EXPRESSIONS, st.sampled_from(["UTC", "Europe/London", "Australia/Lord_Howe"]), st.floats(-1e12, 1e12))
@settings(max_examples=400)
def test_any_text_is_an_expression_or_refused(text: str, zone: str, after: float) -> None:
    """Never another error, never an instant that is not later, and what was read comes, but for the year 2200."""
    try:
        cron, _ = check(text, zone)
    except BadInput as error:
        assert error.code in ("bad_cron", NEVER)
        return
    found = next_instant(text, zone, after)
    if found is None:
        assert after > MOMENT_MAX - 41 * 366 * 86_400
    else:
        assert found > after
        assert found == int(found)
    assert cron.words()


@given(st.lists(FIELD, min_size=5, max_size=6).map(" ".join), st.integers(0, 4_000_000_000))
@settings(max_examples=300)
def test_on_the_wall_the_calendar_is_that_of_cronsim(text: str, wall: int) -> None:
    """The walk over days and hours is ours for speed: it must find what cronsim finds where no zone is at work."""
    try:
        cron = read(text)
    except BadInput:
        return
    sim = CronSim(text, EPOCH + timedelta(seconds=wall))
    for _ in range(3):
        found = cron.wall_after(wall)
        assert found is not None
        wall = found
        assert EPOCH + timedelta(seconds=wall) == next(sim)


def test_never_is_told_apart_from_rarely_over_four_centuries() -> None:
    """Every day of the month with every nth weekday, in February and in all months, against the whole calendar."""
    february = {(d.day, d.isoweekday() % 7, (d.day - 1) // 7 + 1) for d in days_of(2)}
    for day in range(1, 32):
        for weekday in range(7):
            for nth in (4, 5):
                text = f"0 0 */{day} 2 {weekday}#{nth}"
                hits = {(d, w, n) for d, w, n in february if (d - 1) % day == 0 and (w, n) == (weekday, nth)}
                try:
                    read(text)
                except BadInput as error:
                    assert (error.code, hits) == (NEVER, set()), text
                else:
                    assert hits, text


def days_of(month: int) -> Iterator[datetime]:
    for year in range(2000, 2400):
        for day in range(1, calendar.monthrange(year, month)[1] + 1):
            yield datetime(year, month, day)


# --- summer time


def test_a_fixed_time_that_is_skipped_runs_when_the_clocks_have_changed() -> None:
    assert runs("30 2 * * *", "Europe/Berlin", "2027-03-27 12:00", 3) == [
        "03-28 03:00+02:00",
        "03-29 02:30+02:00",
        "03-30 02:30+02:00",
    ]


def test_several_fixed_times_that_are_skipped_run_once_together() -> None:
    assert runs("0,15,30 2,3 * * *", "Europe/Berlin", "2027-03-27 12:00", 3) == [
        "03-28 03:00+02:00",
        "03-28 03:15+02:00",
        "03-28 03:30+02:00",
    ]


def test_a_fixed_time_that_comes_twice_runs_the_first_time() -> None:
    assert runs("30 2 * * *", "Europe/Berlin", "2027-10-30 12:00", 2) == ["10-31 02:30+02:00", "11-01 02:30+01:00"]


@pytest.mark.parametrize("minute", range(60))
def test_a_start_inside_the_repeated_hour_never_goes_back(minute: int) -> None:
    """The trap of cronsim: started at 02:10 for the second time, it returns 02:30 of the first."""
    after = moment(f"2027-10-31 02:{minute:02d}", "Europe/Berlin", fold=1)
    assert next_instant("30 2 * * *", "Europe/Berlin", after) == moment("2027-11-01 02:30", "Europe/Berlin")


def test_a_wildcard_follows_the_clock() -> None:
    assert runs("*/30 2 * * *", "Europe/Berlin", "2027-03-27 12:00", 1) == ["03-29 02:00+02:00"]
    assert runs("*/30 2 * * *", "Europe/Berlin", "2027-10-30 12:00", 5) == [
        "10-31 02:00+02:00",
        "10-31 02:30+02:00",
        "10-31 02:00+01:00",
        "10-31 02:30+01:00",
        "11-01 02:00+01:00",
    ]


def test_six_fields_follow_the_clock() -> None:
    assert runs("0 30 2 * * *", "Europe/Berlin", "2027-03-27 12:00", 1) == ["03-29 02:30+02:00"]
    assert runs("0 30 2 * * *", "Europe/Berlin", "2027-10-30 12:00", 2) == ["10-31 02:30+02:00", "10-31 02:30+01:00"]


def test_ten_minutes_stay_ten_minutes() -> None:
    for start in ("2027-03-28 00:00", "2027-10-31 00:00"):
        at, ends = moment(start), moment(start) + 3 * 3600
        while at < ends:
            assert next_instant("*/10 * * * *", "Europe/Berlin", at) == at + 600
            at += 600


def test_once_a_week_is_not_jumped_over_in_the_repeated_hour() -> None:
    """From 01:45 to 01:00 shown for the second time, and not to next Sunday."""
    after = moment("2027-10-31 01:45", "Europe/London")
    assert next_instant("*/30 1 * * 0", "Europe/London", after) == moment("2027-10-31 01:00", "Europe/London", fold=1)


def test_nor_where_a_stretch_of_spans_ends_a_day_later() -> None:
    """Spans are found 366 days at a time: here such a stretch ends between this Sunday and the next."""
    after = moment("2095-04-03 02:45", "Australia/Sydney")
    second = moment("2095-04-03 02:00", "Australia/Sydney", fold=1)
    assert zone("Australia/Sydney").span(int(second) + 3 * 86_400).start > second
    assert next_instant("*/30 2 * * 0", "Australia/Sydney", after) == second


class OneChange(tzinfo):
    """A zone whose clocks change once, by a number of minutes, at a minute of the epoch."""

    def __init__(self, minute: int, shift: int) -> None:
        self.minute, self.shift = minute, shift

    def fromutc(self, when: datetime) -> datetime:
        passed = (when.replace(tzinfo=None) - EPOCH) // timedelta(minutes=1)
        self.now = timedelta(minutes=60 + (self.shift if passed >= self.minute else 0))
        return when + self.now

    def utcoffset(self, when: datetime | None) -> timedelta:
        return self.now


@pytest.mark.parametrize("shift", [-60, 60, -30])
@pytest.mark.parametrize("distance", [-2910, -1441, -90, -59, -30, -1, 0, 1, 30, 59, 1439, 2879])
@pytest.mark.parametrize("text", ["*/20 * * * *", "10,40 0-23 * * *"])
def test_a_change_near_the_end_of_a_stretch_of_spans(shift: int, distance: int, text: str) -> None:
    """Walked minute by minute, as the almanac does, around the place where one stretch of spans ends."""
    change = 50 * CHUNK // 60 + distance
    local, cron = Zone("Test/One", OneChange(change, shift)), read(text)
    assert cron.fixed == (text[0] != "*")
    minutes, seen, expected = {0, 20, 40} if text[0] == "*" else {10, 40}, -1, []
    for minute in range(change - 300, change + 300):
        wall = minute + 60 + (shift if minute >= change else 0)
        passed = range(seen + 1, wall + 1) if cron.fixed and seen >= 0 else range(wall, wall + 1)
        expected += [minute * 60] if any(shown % 60 in minutes for shown in passed) else []
        seen = max(seen, wall)
    for after, then in pairwise(expected):
        for moment in (after, (after + then) / 2, then - 0.5):
            assert cron.next_after(local, moment) == then


def test_half_an_hour_of_summer_time_loses_nothing() -> None:
    """cronsim with a zone leaves out 02:00, 02:10 and 02:20 here, and the whole day with six fields."""
    assert runs("*/10 2 * * *", "Australia/Lord_Howe", "2024-04-06 12:00", 3) == [
        "04-07 02:00+10:30",
        "04-07 02:10+10:30",
        "04-07 02:20+10:30",
    ]
    assert runs("0 0 3 * * *", "Australia/Lord_Howe", "2024-10-05 12:00", 1) == ["10-06 03:00+11:00"]
    assert runs("15 2 * * *", "Australia/Lord_Howe", "2024-10-05 12:00", 1) == ["10-06 02:30+11:00"]


def test_a_midnight_that_is_skipped() -> None:
    assert runs("@daily", "Africa/Cairo", "2024-04-25 12:00", 2) == ["04-26 01:00+03:00", "04-27 00:00+03:00"]
    assert next_instant("*/10 0 26 4 *", "Africa/Cairo", moment("2024-04-01 00:00")) == moment(
        "2025-04-26 00:00", "Africa/Cairo"
    )


def test_aliases_are_what_debian_says() -> None:
    """@hourly follows the clock, all others are fixed."""
    assert {name for name in ALIASES if not read(name).fixed} == {"@hourly"}


def test_beyond_the_horizon_there_is_nothing() -> None:
    assert next_instant("* * * * *", "Europe/London", MOMENT_MAX - 60) == MOMENT_MAX
    assert next_instant("* * * * *", "Europe/London", MOMENT_MAX) is None
    assert next_instant("0 0 1 1 *", "Europe/London", 1e18) is None
    assert next_instant("0 0 2 1 *", "UTC", MOMENT_MAX - 1) is None
    assert next_instant("* * * * *", "UTC", float("-inf")) == 60
