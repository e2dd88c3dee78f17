"""What is shown before somebody relies on a schedule: words, zone, next firings, and notes on changes of the clocks."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.errors import BadInput
from outlast.core.schedule import CommandPayload, Kind, Schedule, begin
from outlast.scheduler.cron import check
from outlast.scheduler.instants import PREVIEW_MAX, following, parse_period, preview
from outlast.scheduler.notes import AHEAD_SECONDS, about, clock_notes

NOW = datetime.fromisoformat("2026-11-27T03:00:00+00:00").timestamp()
FIXED = "since an expression of six fields follows the clock as it is"
WILD = "since an expression whose minute or hour begins with * follows the clock as it is"


def schedule(kind: Kind = Kind.CRON, expr: str = "30 2 * * *", **fields: Any) -> Schedule:
    row = Schedule(
        id="s1",
        name="backup",
        requester="local",
        created_at=NOW,
        updated_at=NOW,
        kind=kind,
        expr=expr,
        payload=CommandPayload(command="./backup.sh"),
    )
    return msgspec.structs.replace(row, **fields)


def told(text: str, zone: str) -> tuple[str, ...]:
    cron, local = check(text, zone)
    return clock_notes(cron, local, NOW, NOW + AHEAD_SECONDS)


@pytest.mark.parametrize(
    ("text", "zone", "notes"),
    [
        (
            "30 2 * * *",
            "Europe/Berlin",
            (
                "02:30 does not exist on 2027-03-28: runs at 03:00",
                "02:30 happens twice on 2027-10-31: runs once, the first time",
            ),
        ),
        (
            "0,30 2 * * *",
            "Europe/Berlin",
            (
                "02:00 and 02:30 do not exist on 2027-03-28: runs once, at 03:00",
                "02:00 and 02:30 happen twice on 2027-10-31: each runs once, the first time",
            ),
        ),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            (
                f"02:00 and 02:30 do not exist on 2027-03-28: no run then, {WILD}",
                f"02:00 and 02:30 happen twice on 2027-10-31: each runs both times, {WILD}",
            ),
        ),
        (
            "15 30 2 * * *",
            "Europe/Berlin",
            (
                f"02:30:15 does not exist on 2027-03-28: no run then, {FIXED}",
                f"02:30:15 happens twice on 2027-10-31: runs both times, {FIXED}",
            ),
        ),
        ("5-9 2 28 3 *", "Europe/Berlin", ("02:05, 02:06, 02:07 … do not exist on 2027-03-28: runs once, at 03:00",)),
        ("0 0 * * *", "Africa/Cairo", ("00:00 does not exist on 2027-04-30: runs at 01:00",)),
        ("30 9 * * *", "Europe/Berlin", ()),
        ("30 2 * * 1", "Europe/Berlin", ()),
        ("*/10 * * * *", "Europe/Berlin", ()),
        ("0 * * * * *", "Europe/Berlin", ()),
        ("30 2 * * *", "UTC", ()),
        ("30 2 * * *", "Asia/Kolkata", ()),
    ],
)
def test_changes_of_the_clocks_are_told_before_they_happen(text: str, zone: str, notes: tuple[str, ...]) -> None:
    assert told(text, zone) == notes


def test_half_an_hour_breaks_the_rhythm_of_whole_hours_and_is_told() -> None:
    assert "02:00 does not exist on 2027-10-03" in "".join(told("0 * * * *", "Australia/Lord_Howe"))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("0 0 13 * 5", "runs when the day of the month is 13 and also when the day of the week is 5"),
        ("0 30 2 * * *", "the first of six fields is seconds"),
        ("*/90 * * * *", "*/90 as minute leaves only 0; for a longer period use --every 90m"),
        ("0 */24 * * *", "*/24 as hour leaves only 0; for a longer period use --every 24h"),
    ],
)
def test_what_often_surprises_is_told(text: str, note: str) -> None:
    assert about(check(text, "UTC")[0]) == (note,)


def test_nothing_is_told_where_nothing_surprises() -> None:
    for text in ("30 2 * * *", "@hourly", "*/5 * * * 1-5", "0 0 1 * *", "0 0 */2 * 1", "*/30 * * * *"):
        assert about(check(text, "UTC")[0]) == ()


def test_a_preview_shows_what_was_understood() -> None:
    shown = preview(schedule(tz="Europe/London"), NOW)
    assert (shown.words, shown.zone) == ("At 02:30 every day", "Europe/London")
    assert [(f.local, f.offset, f.note) for f in shown.firings] == [
        ("Sat 2026-11-28 02:30:00", "+00:00 GMT", None),
        ("Sun 2026-11-29 02:30:00", "+00:00 GMT", None),
        ("Mon 2026-11-30 02:30:00", "+00:00 GMT", None),
    ]
    assert shown.notes == ()


def test_firings_that_a_change_of_the_clocks_moves_carry_a_note() -> None:
    spring = datetime(2027, 3, 28, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    autumn = datetime(2027, 10, 31, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    fixed, wild = schedule(tz="Europe/Berlin"), schedule(expr="*/30 2 * * *", tz="Europe/Berlin")
    first = preview(fixed, spring).firings[0]
    assert (first.local, first.note) == (
        "Sun 2027-03-28 03:00:00",
        "02:30 does not exist on 2027-03-28: runs at 03:00",
    )
    assert preview(fixed, autumn).firings[0].note == "the first of two 02:30 on this day"
    assert [firing.note for firing in preview(wild, autumn, 5).firings] == [
        "the first of two 02:00 on this day",
        "the first of two 02:30 on this day",
        "the second of two 02:00 on this day",
        "the second of two 02:30 on this day",
        None,
    ]


def test_a_preview_begins_at_the_cursor_and_changes_nothing() -> None:
    """Shown is what will be fired, also when it is overdue; looking must not move it on."""
    row = begin(schedule(kind=Kind.EVERY, expr="3600"), NOW, following(schedule(kind=Kind.EVERY, expr="3600")))
    shown = preview(row, NOW + 5 * 3600, 2)
    assert [firing.at for firing in shown.firings] == [NOW + 3600, NOW + 7200]
    assert shown == preview(row, NOW + 5 * 3600, 2)


def test_a_paused_schedule_shows_what_it_would_do() -> None:
    assert preview(schedule(paused_at=NOW), NOW).firings[0].local == "Sat 2026-11-28 02:30:00"


def test_jitter_is_shown_beside_the_instant() -> None:
    (firing,) = preview(schedule(jitter_seconds=300.0), NOW, 1).firings
    assert 0 < firing.fires_at - firing.at < 300


def test_periods_and_moments_in_words() -> None:
    assert preview(schedule(Kind.EVERY, "900"), NOW).words == "every 15m 00s, counted from 2026-11-27T03:00:00Z"
    assert preview(schedule(Kind.EVERY, "5401.5"), NOW).words.startswith("every 5401.5 s,")
    shown = preview(schedule(Kind.AT, "2026-12-01T09:00:00Z"), NOW)
    assert shown.words == "once, at 2026-12-01T09:00:00Z"
    assert len(shown.firings) == 1
    assert preview(schedule(Kind.AT, "2020-12-01T09:00:00Z"), NOW).firings == ()


def test_a_preview_is_bounded() -> None:
    assert len(preview(schedule(expr="* * * * * *"), NOW, 10**9).firings) == PREVIEW_MAX
    assert len(preview(schedule(), NOW, -5).firings) == 1
    assert len(preview(schedule(expr="0 0 29 2 */7"), NOW, 50).firings) < 8


def test_a_rule_that_can_no_longer_be_read_is_an_error_of_the_family() -> None:
    """A row of an older version, or of a zone that left the database: the loop disables it and goes on."""
    for row in (
        schedule(expr="0 0 31 2 *"),
        schedule(tz="Mars/Olympus"),
        schedule(Kind.EVERY, "0"),
        schedule(Kind.AT, "tomorrow"),
    ):
        with pytest.raises(BadInput):
            following(row)


def test_periods_end_at_the_horizon() -> None:
    rule = following(schedule(Kind.EVERY, "3155760000"))
    assert rule(NOW) == NOW + 3_155_760_000
    assert rule(NOW + 3_155_760_000) is None


@given(st.text(max_size=30) | st.from_regex(r"[0-9.einf+_-]{0,25}", fullmatch=True))
def test_any_text_is_a_period_or_refused(text: str) -> None:
    try:
        assert 1 <= parse_period(text) <= 3_155_760_000
    except BadInput:
        return
