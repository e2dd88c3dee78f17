"""Moments as people write them: read strictly, shown back, and never guessed."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.core.errors import BadInput
from outlast.scheduler.when import When, parse_when

LONDON = "Europe/London"
NOW = datetime.fromisoformat("2026-11-27T03:00:00+00:00").timestamp()


def read(text: str, zone: str = LONDON, now: float = NOW) -> When:
    return parse_when(text, now=now, tz=zone)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-01 09:00", "2026-12-01T09:00:00Z"),
        ("2026-12-01T09:00", "2026-12-01T09:00:00Z"),
        ("2026-12-01 09:00:30", "2026-12-01T09:00:30Z"),
        ("2026-12-01T09:00:30.25Z", "2026-12-01T09:00:30.250Z"),
        ("2026-12-01 09:00 Z", "2026-12-01T09:00:00Z"),
        ("2026-12-01 09:00+05:30", "2026-12-01T03:30:00Z"),
        ("2026-12-01T09:00-08:00", "2026-12-01T17:00:00Z"),
        ("2026-12-01 09:00 America/New_York", "2026-12-01T14:00:00Z"),
        ("2026-12-01 09:00 UTC", "2026-12-01T09:00:00Z"),
        ("2027-07-01 09:00", "2027-07-01T08:00:00Z"),
        ("2028-02-29 00:00", "2028-02-29T00:00:00Z"),
        ("today 09:00", "2026-11-27T09:00:00Z"),
        ("tomorrow 09:00", "2026-11-28T09:00:00Z"),
        ("tomorrow 09:00 Pacific/Auckland", "2026-11-27T20:00:00Z"),
        ("in 20m", "2026-11-27T03:20:00Z"),
        ("20m", "2026-11-27T03:20:00Z"),
        ("1h 02m", "2026-11-27T04:02:00Z"),
        ("in PT20M", "2026-11-27T03:20:00Z"),
        ("in 500ms", "2026-11-27T03:00:00.500Z"),
    ],
)
def test_read(text: str, utc: str) -> None:
    assert read(text).utc == utc


def test_the_answer_shows_what_was_understood() -> None:
    assert read("2027-07-01 09:00") == When(
        at=datetime.fromisoformat("2027-07-01T08:00:00+00:00").timestamp(),
        local="Thu 2027-07-01 09:00:00",
        zone=LONDON,
        offset="+01:00 BST",
        utc="2027-07-01T08:00:00Z",
        ahead="216d 05h",
    )
    assert read("2026-12-01 09:00+05:30").local == "Tue 2026-12-01 03:30:00"
    assert read("2026-12-01 09:00 Asia/Kolkata").zone == "Asia/Kolkata"


def test_today_is_that_of_the_zone() -> None:
    """At three in the morning in London it is still yesterday in New York."""
    assert read("today 23:00", "America/New_York").utc == "2026-11-27T04:00:00Z"


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("", "bad_when", "2026-12-01 09:00"),
        ("soon", "bad_when", "2026-12-01 09:00"),
        ("2026-12-01", "bad_when", "add a time"),
        ("09:00", "bad_when", "tomorrow 09:00"),
        ("9pm", "bad_when", "24 hours"),
        ("tomorrow 9 pm", "bad_when", "24 hours"),
        ("12/01/2026", "bad_when", "year-month-day"),
        ("01.12.2026 09:00", "bad_when", "year-month-day"),
        ("20", "bad_when", "add a unit"),
        ("in 20", "bad_when", "add a unit"),
        ("2026", "bad_when", "add a unit"),
        ("in 5M", "bad_duration", "2h30m"),
        ("in five minutes", "bad_when", "in 20m"),
        ("tomorrow", "bad_when", "tomorrow 09:00"),
        ("tomorrowT09:00", "bad_when", "tomorrow 09:00"),
        ("friday 09:00", "bad_when", "tomorrow 09:00"),
        ("2026-02-30 09:00", "bad_when", "no date"),
        ("2026-12-01 24:00", "bad_when", "no time of day"),
        ("2026-12-01 23:60", "bad_when", "no time of day"),
        ("2026-12-01 9:00", "bad_when", "09:00"),
        ("2026-12-01 09:00+23:00", "bad_when", "offset"),
        ("2026-12-01 09:00-00:00", "bad_when", "offset"),
        ("2026-12-01 09:00+0530", "bad_when", "09:00"),
        ("2026-12-01 09:00Z Europe/London", "bad_when", "09:00"),
        ("2026-12-01 09:00 BST", "bad_zone", ""),
        ("2026-12-01 09:00 Mars/Olympus", "bad_zone", "Europe/London"),
        ("2020-01-01 00:00", "in_the_past", "later"),
        ("today 02:00", "in_the_past", "tomorrow 02:00"),
        ("in 0s", "in_the_past", "without a schedule"),
        ("9999-12-31 23:59", "bad_when", "2199"),
        ("0000-01-01 00:00", "bad_when", "no date"),
        ("in 100y", "bad_duration", ""),
        ("2026-12-01 09:00\n", "bad_when", "09:00"),
        (" 2026-12-01 09:00", "bad_when", "09:00"),
        ("٢٠٢٦-12-01 09:00", "bad_when", "09:00"),
        ("{0.__class__} 09:00", "bad_when", "09:00"),
        ("\x1b[31m", "bad_when", "09:00"),
    ],
)
def test_refused_with_the_next_act(text: str, code: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(text)
    assert caught.value.code == code
    assert hint in (caught.value.hint or "")
    assert "\x1b" not in caught.value.message


def test_a_megabyte_is_refused_shortly() -> None:
    with pytest.raises(BadInput) as caught:
        read("9" * 10**6)
    assert len(caught.value.message) < 100


def test_a_time_that_the_clocks_skip_is_refused_with_its_neighbours() -> None:
    with pytest.raises(BadInput) as caught:
        read("2027-03-28 01:30")
    assert caught.value.code == "no_such_time"
    assert "from 01:00 to 02:00" in caught.value.message
    assert caught.value.hint == "write '2027-03-28 00:59' or '2027-03-28 02:00'"
    for text in ("2027-03-28 00:59", "2027-03-28 02:00"):
        assert read(text).local.endswith(f"{text[11:]}:00")


def test_a_time_that_comes_twice_is_the_first_and_says_so() -> None:
    when = read("2027-10-31 01:30")
    assert when.utc == "2027-10-31T00:30:00Z"
    (note,) = when.notes
    assert "happens twice" in note
    second = "2027-10-31 01:30+00:00"
    assert second in note
    assert read(second).utc == "2027-10-31T01:30:00Z"
    assert read(second).notes == ()


def test_when_the_first_of_two_has_passed_the_second_is_named() -> None:
    now = datetime(2027, 10, 31, 1, 10, fold=1, tzinfo=ZoneInfo(LONDON)).timestamp()
    with pytest.raises(BadInput) as caught:
        read("today 01:30", now=now)
    assert "2027-10-31 01:30+00:00" in (caught.value.hint or "")


@given(
    st.datetimes(datetime(2026, 12, 1), datetime(2190, 1, 1)),
    st.sampled_from(["UTC", LONDON, "Australia/Lord_Howe", "Africa/Cairo", "America/St_Johns", "Asia/Kathmandu"]),
)
@settings(max_examples=300)
def test_what_is_read_is_shown_by_the_clock_or_never_shown(when: datetime, zone: str) -> None:
    """Held against zoneinfo's own arithmetic."""
    wanted = when.replace(microsecond=0, tzinfo=ZoneInfo(zone), fold=0)
    try:
        found = read(f"{wanted:%Y-%m-%d %H:%M:%S}", zone)
    except BadInput as error:
        assert error.code == "no_such_time"
        assert datetime.fromtimestamp(wanted.timestamp(), ZoneInfo(zone)).replace(tzinfo=None) != wanted.replace(
            tzinfo=None
        )
        return
    assert found.at == wanted.timestamp()
    twice = wanted.replace(fold=1).timestamp() != found.at
    assert bool(found.notes) == twice


@given(
    st.text(max_size=40)
    | st.from_regex(
        r"(in |today |tomorrow |20[0-9]{2}-[01][0-9]-[0-3][0-9][ T])?[0-9:.]{0,8} ?[Zz+:0-9A-Za-z/-]{0,8}",
        fullmatch=True,
    )
)
@settings(max_examples=400)
def test_any_text_is_a_moment_to_come_or_refused(text: str) -> None:
    try:
        when = read(text)
    except BadInput as error:
        assert error.code in ("bad_when", "bad_duration", "bad_zone", "in_the_past", "no_such_time")
        return
    assert when.at > NOW
