"""The rules of heartbeats by arithmetic: when there is one, why, and what holds it up."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from outlast.core.agent import Beat, BeatState, HeartbeatSpec
from outlast.core.conversation import FOLDED, Mode, SystemEvent
from outlast.core.heartbeat import (
    KIND,
    Run,
    Seen,
    Skip,
    Wait,
    active,
    decide,
    first_due,
    following,
    gathered_at,
    kinds_of,
    limit,
    opening,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1_800_000_000.0
SPEC = HeartbeatSpec()


def clocks(zone: ZoneInfo = BERLIN):
    return lambda moment: datetime.fromtimestamp(moment, zone)


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def state(**given) -> BeatState:
    made = {"next_at": NOW, "paused_at": None, "last_at": None, "last_text_hash": None, "last_text_at": None}
    return BeatState(agent="main", **{**made, **given})


def event(moment: float = NOW - 10, kind: str = "succeeded", mode: Mode = Mode.NOW, number: int = 1) -> SystemEvent:
    return SystemEvent(
        id=number, conversation="agent:main:main", at=moment, kind=kind, text="", data={}, source_key=str(number),
        mode=mode,
    )  # fmt: skip


def beat(moment: float, why: str = "interval", outcome: str = "silent") -> Beat:
    return Beat(1, "main", moment, why, outcome, "", "s", moment + 1, None)


NOTHING = Seen()


def judge(seen: Seen = NOTHING, spec: HeartbeatSpec = SPEC, **given):
    return decide(spec, state(**given), NOW, clocks(), seen)


# ---- when


def test_a_beat_is_due_at_its_moment_and_says_why() -> None:
    assert judge(Seen(checklist_empty=False)) == Run("interval")
    assert judge(Seen(checklist_empty=False), next_at=NOW + 1) == Wait("not due yet", NOW + 1)


def test_what_waits_stands_in_the_reason() -> None:
    events = [event(kind="failed"), event(), event()]
    assert judge(Seen(events=events)) == Run("interval; events: 1 failed, 2 succeeded")
    assert judge(Seen(events=events), next_at=NOW + 99) == Run("events: 1 failed, 2 succeeded")


def test_nothing_to_do_and_nothing_pending_is_no_call_of_a_model() -> None:
    assert judge() == Skip("HEARTBEAT.md has nothing to do in it and nothing is pending", NOW + 1800)


def test_an_event_for_the_next_heartbeat_waits_for_it_and_is_a_reason_then() -> None:
    later = [event(mode=Mode.NEXT_HEARTBEAT)]
    assert judge(Seen(events=later), next_at=NOW + 99) == Wait("not due yet", NOW + 99)
    assert judge(Seen(events=later)) == Run("interval; events: 1 succeeded")


def test_what_was_folded_wakes_and_what_another_heartbeat_says_does_not() -> None:
    """Two agents that tell each other of their beats would never rest."""
    assert isinstance(judge(Seen(events=[event(kind=KIND)]), next_at=NOW + 99), Wait)
    assert isinstance(judge(Seen(events=[event(kind=FOLDED, mode=Mode.NEXT_HEARTBEAT)]), next_at=NOW + 99), Run)


def test_off_and_paused_are_no_beats_and_a_beat_by_hand_is_one_nevertheless() -> None:
    off = HeartbeatSpec(every_seconds=0)
    assert judge(Seen(events=[event()]), off) == Wait("off: every is 0")
    assert judge(Seen(events=[event()]), paused_at=NOW - 1, next_at=None) == Wait("paused")
    assert judge(Seen(asked="local"), off) == Run("asked by local")
    assert judge(Seen(asked="local"), paused_at=NOW - 1, next_at=None) == Run("asked by local")


def test_a_busy_conversation_is_left_alone_and_the_beat_is_tried_again() -> None:
    busy = Seen(checklist_empty=False, busy="busy: task t1 has its turn")
    assert judge(busy) == Skip("busy: task t1 has its turn", None)
    assert judge(busy._replace(events=[event()]), next_at=NOW + 99) == Wait("busy: task t1 has its turn", None)
    assert judge(busy._replace(asked="local")) == Skip("busy: task t1 has its turn", None)


# ---- gathering


@pytest.mark.parametrize(("moments", "window"), [
    ([0], 2), ([0, 2], 4), ([0, 2.5], 2), ([0, 1, 3], 8), ([0, 1, 3, 7], 16), ([0, 1, 3, 7, 15], 32),
    ([0, 1, 3, 7, 15, 31], 60), (range(500), 60), ([0, 1.5, 4.5], 4),
])  # fmt: skip
def test_news_is_gathered_for_a_window_that_doubles_while_more_comes(moments, window) -> None:
    assert gathered_at([NOW + moment for moment in moments]) == NOW + window


def test_a_completion_wakes_when_it_has_been_gathered() -> None:
    seen = Seen(events=[event(NOW - 1)])
    assert judge(seen, next_at=NOW + 99) == Wait("news is being gathered", NOW + 1)
    assert judge(Seen(events=[event(NOW - 2)]), next_at=NOW + 99) == Run("events: 1 succeeded")


# ---- limits


def test_two_beats_are_thirty_seconds_apart_and_more_after_failures() -> None:
    assert judge(Seen(checklist_empty=False), last_at=NOW - 29).until == NOW + 1
    assert judge(Seen(checklist_empty=False), last_at=NOW - 30) == Run("interval")
    failed = [beat(NOW - 40, outcome="failed"), beat(NOW - 90, outcome="failed"), beat(NOW - 200)]
    assert limit(SPEC, state(last_at=NOW - 40), NOW, failed) == (
        "the last 2 failed: at least 2m 00s from beat to beat", NOW + 80,
    )  # fmt: skip


def test_no_more_in_an_hour_than_the_table_says() -> None:
    past = [beat(NOW - 60 - 250 * number) for number in range(12)]
    assert judge(Seen(checklist_empty=False, past=past), last_at=NOW - 60) == Wait(
        "12 beats in the last hour are as many as there may be", past[-1].at + 3600
    )
    assert isinstance(judge(Seen(asked="local", past=past), last_at=NOW - 60), Skip)
    assert isinstance(judge(Seen(checklist_empty=False, past=past[:11]), last_at=NOW - 60), Run)


def test_one_kind_of_news_brings_at_most_half_of_them() -> None:
    """So the hour's last beats are left for something else to be told."""
    past = [beat(NOW - 60 - 250 * number, "events: 1 succeeded") for number in range(6)]
    seen = Seen(events=[event()], past=past)
    limited = "news of this kind has brought as many beats in the last hour as it may"
    assert judge(seen, next_at=NOW + 3000) == Wait(limited, past[-1].at + 3600)
    other = Seen(events=[event(), event(kind="failed")], past=past)
    assert judge(other, next_at=NOW + 3000) == Run("events: 1 failed, 1 succeeded")
    assert judge(seen) == Run("interval; events: 1 succeeded")


def test_the_reason_on_record_names_the_kinds_that_count() -> None:
    assert kinds_of("events: 1 failed, 12 succeeded") == {"failed", "succeeded"}
    assert kinds_of("interval; events: 1 failed") == set()
    odd = Seen(events=[event(kind="a,b; 7 c")])
    decided = judge(odd, next_at=NOW + 99)
    assert isinstance(decided, Run)
    assert kinds_of(decided.why) == {"a_b_ 7 c"}


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    ahead = [beat(NOW + 5000)] * 12
    assert judge(Seen(checklist_empty=False, past=ahead), last_at=NOW + 5000) == Run("interval")


# ---- hours


@pytest.mark.parametrize(("hours", "shown", "is_active"), [
    (("08:00", "23:00"), "08:00", True), (("08:00", "23:00"), "07:59", False), (("08:00", "23:00"), "22:59", True),
    (("08:00", "23:00"), "23:00", False), (("22:00", "06:00"), "23:30", True), (("22:00", "06:00"), "00:00", True),
    (("22:00", "06:00"), "05:59", True), (("22:00", "06:00"), "06:00", False), (("22:00", "06:00"), "21:59", False),
    (("18:00", "24:00"), "23:59", True), (("18:00", "24:00"), "00:00", False), (("", ""), "03:00", True),
])  # fmt: skip
def test_active_hours_hold_their_first_minute_and_not_their_last(hours, shown, is_active) -> None:
    spec = HeartbeatSpec(active_from=hours[0], active_until=hours[1])
    assert active(spec, datetime.fromisoformat(f"2026-11-27 {shown}")) is is_active


def test_outside_of_its_hours_a_beat_waits_for_the_morning() -> None:
    spec = HeartbeatSpec(active_from="08:00", active_until="23:00")
    night, morning = at("2026-11-27 02:17:30"), at("2026-11-27 08:00")
    skipped = decide(spec, state(next_at=night), night, clocks(), Seen(events=[event(night - 5)]))
    assert skipped == Skip("outside of its active hours, 08:00-23:00", morning)
    waits = decide(spec, state(next_at=morning), night, clocks(), Seen(events=[event(night - 5)]))
    assert waits == Wait("outside of its active hours, 08:00-23:00", morning)
    quiet = decide(spec, state(next_at=morning), night, clocks(), NOTHING)
    assert quiet == Wait("outside of its active hours, 08:00-23:00", morning)
    day = decide(spec, state(next_at=morning + 7200), morning + 3600, clocks(), NOTHING)
    assert day == Wait("not due yet", morning + 7200)
    assert following(spec, at("2026-11-26 22:40"), clocks()) == morning


@pytest.mark.parametrize(("hours", "moment", "opens"), [
    # Spring: 02:00 to 03:00 is no time at all.
    (("02:30", "05:00"), at("2026-03-29 01:00"), at("2026-03-29 03:00")),
    (("02:10", "02:50"), at("2026-03-29 01:00"), at("2026-03-30 02:10")),
    (("08:00", "23:00"), at("2026-03-28 23:30"), at("2026-03-29 08:00")),
    (("22:00", "02:30"), at("2026-03-29 03:00"), at("2026-03-29 22:00")),
    # Autumn: 02:00 to 03:00 is there twice, and is within both times.
    (("02:30", "05:00"), at("2026-10-25 01:00"), at("2026-10-25 02:30")),
    (("02:30", "02:45"), at("2026-10-25 02:50"), at("2026-10-25 02:30", fold=1)),
    (("22:00", "02:30"), at("2026-10-25 02:40"), at("2026-10-25 02:00", fold=1)),
    (("08:00", "23:00"), at("2026-10-24 23:30"), at("2026-10-25 08:00")),
])  # fmt: skip
def test_hours_are_what_the_clocks_show_through_both_changes(hours, moment, opens) -> None:
    spec = HeartbeatSpec(active_from=hours[0], active_until=hours[1])
    assert opening(spec, moment, clocks()) == opens


def test_the_interval_is_a_span_and_no_time_of_day() -> None:
    """Half an hour stays half an hour in the night the clocks are set."""
    for moment in (at("2026-03-29 01:45"), at("2026-10-25 02:45")):
        assert following(SPEC, moment, clocks()) == moment + 1800


def test_nothing_is_due_where_nothing_waits_and_nothing_is_planned() -> None:
    assert first_due(SPEC, state(next_at=None), NOW, []) is None
