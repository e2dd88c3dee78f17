"""Schedules as data: each instant is settled once and only once, whatever clocks, restarts and absences do."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.core.errors import BadInput
from outlast.core.schedule import (
    FAILURES_MAX,
    LATE_SECONDS,
    MISFIRE_ALL_MAX,
    NAME_MAX,
    WALK_MAX,
    CommandPayload,
    EventPayload,
    Following,
    Kind,
    Misfire,
    Missed,
    Plan,
    Schedule,
    at_after,
    begin,
    check_name,
    check_spans,
    counted,
    disabled,
    every_after,
    format_moment,
    jitter_of,
    parse_misfire,
    parse_moment,
    plan,
    settle,
)

START = 1_800_000_000.0
HOUR, DAY = 3600.0, 86_400.0


def schedule(**fields: Any) -> Schedule:
    given_fields = {
        "id": "s1",
        "name": "backup",
        "requester": "local",
        "created_at": START,
        "updated_at": START,
        "kind": Kind.EVERY,
        "expr": "3600",
        "payload": CommandPayload(command="./backup.sh"),
    }
    return Schedule(**(given_fields | fields))


def every(period: float) -> Following:
    return lambda moment: every_after(START, period, moment)


def instants(*moments: float) -> Following:
    """A rule with these instants and no other."""
    return lambda moment: next((m for m in sorted(moments) if m > moment), None)


def ready(period: float = HOUR, **fields: Any) -> Schedule:
    return begin(schedule(**fields), START, every(period))


# --- one instant after the other


def test_nothing_is_due_before_its_moment() -> None:
    row = ready()
    assert plan(row, START + HOUR - 0.001, every(HOUR)) == Plan(next_at=START + HOUR, next_fire_at=START + HOUR)
    assert settle(row, plan(row, START + HOUR - 1, every(HOUR))) == row


def test_an_instant_is_due_at_its_moment_and_the_cursor_goes_on() -> None:
    row = ready()
    due = plan(row, START + HOUR, every(HOUR))
    assert due == Plan(fire=(START + HOUR,), next_at=START + 2 * HOUR, next_fire_at=START + 2 * HOUR)
    after = settle(row, due)
    assert (after.last_at, after.next_at, after.next_fire_at) == (START + HOUR, START + 2 * HOUR, START + 2 * HOUR)


def test_an_instant_that_was_settled_is_not_planned_again() -> None:
    """Two passes at one moment, or a restart just after the transaction, must not fire twice."""
    row = settle(ready(), plan(ready(), START + HOUR, every(HOUR)))
    assert plan(row, START + HOUR, every(HOUR)).fire == ()
    assert plan(row, START + HOUR + 59, every(HOUR)).fire == ()


def test_a_cursor_that_is_behind_what_was_settled_does_no_harm() -> None:
    """A row restored by hand, with next_at before last_at."""
    row = msgspec.structs.replace(ready(), next_at=START + HOUR, last_at=START + 3 * HOUR)
    due = plan(row, START + 4 * HOUR, every(HOUR))
    assert due.fire == (START + 4 * HOUR,)
    assert due.missed is None


def test_the_last_instant_leaves_no_cursor() -> None:
    rule = instants(START + 5)
    row = begin(schedule(), START, rule)
    due = plan(row, START + 5, rule)
    assert due == Plan(fire=(START + 5,))
    over = settle(row, due)
    assert (over.next_at, over.last_at) == (None, START + 5)
    assert plan(over, START + DAY, rule) == Plan()


def test_a_schedule_without_instants_never_fires() -> None:
    row = begin(schedule(), START, instants())
    assert row.next_at is None
    assert plan(row, START + DAY, instants()) == Plan()


# --- late or missed


@pytest.mark.parametrize("misfire", list(Misfire))
def test_up_to_the_tolerance_an_instant_is_late_and_no_misfire(misfire: Misfire) -> None:
    row = ready(misfire=misfire)
    due = plan(row, START + HOUR + LATE_SECONDS, every(HOUR))
    assert due.fire == (START + HOUR,)
    assert due.missed is None


def test_beyond_the_tolerance_the_policy_decides() -> None:
    now = START + HOUR + LATE_SECONDS + 0.001
    missed = Missed(count=1, first_at=START + HOUR, last_at=START + HOUR)
    assert plan(ready(misfire=Misfire.SKIP), now, every(HOUR)).missed == missed
    assert plan(ready(misfire=Misfire.SKIP), now, every(HOUR)).fire == ()
    assert plan(ready(misfire=Misfire.ONCE), now, every(HOUR)).fire == (START + HOUR,)
    assert plan(ready(misfire=Misfire.ALL, misfire_max=1), now, every(HOUR)).fire == (START + HOUR,)


def three_days(misfire: Misfire, misfire_max: int = 1, extra: float = 1800.0) -> Plan:
    row = ready(misfire=misfire, misfire_max=misfire_max)
    return plan(row, START + 3 * DAY + extra, every(HOUR))


def test_three_days_of_sleep_skip() -> None:
    due = three_days(Misfire.SKIP)
    assert due.fire == ()
    assert due.missed == Missed(count=72, first_at=START + HOUR, last_at=START + 72 * HOUR)
    assert due.next_at == START + 73 * HOUR


def test_three_days_of_sleep_once() -> None:
    due = three_days(Misfire.ONCE)
    assert due.fire == (START + 72 * HOUR,)
    assert due.missed == Missed(count=71, first_at=START + HOUR, last_at=START + 71 * HOUR)


def test_three_days_of_sleep_all() -> None:
    due = three_days(Misfire.ALL, 5)
    assert due.fire == tuple(START + turn * HOUR for turn in range(68, 73))
    assert due.missed == Missed(count=67, first_at=START + HOUR, last_at=START + 67 * HOUR)
    assert three_days(Misfire.ALL, 100).fire == tuple(START + turn * HOUR for turn in range(1, 73))
    assert three_days(Misfire.ALL, 100).missed is None


def test_once_makes_up_for_nothing_when_an_instant_is_on_time() -> None:
    """Waking at the very moment of an instant must not run the work twice at once."""
    due = three_days(Misfire.ONCE, extra=5)
    assert due.fire == (START + 72 * HOUR,)
    assert due.missed is not None
    assert due.missed.count == 71


def test_all_makes_up_beside_what_is_on_time() -> None:
    due = three_days(Misfire.ALL, 2, extra=5)
    assert due.fire == tuple(START + turn * HOUR for turn in (70, 71, 72))


@pytest.mark.parametrize("misfire", list(Misfire))
def test_an_absence_is_settled_by_one_plan(misfire: Misfire) -> None:
    row = ready(misfire=misfire, misfire_max=3)
    now = START + 3 * DAY + 1800
    again = plan(settle(row, plan(row, now, every(HOUR))), now, every(HOUR))
    assert again == Plan(next_at=START + 73 * HOUR, next_fire_at=START + 73 * HOUR)


# --- clocks that step


@pytest.mark.parametrize("misfire", list(Misfire))
def test_a_clock_set_back_an_hour_fires_nothing_twice(misfire: Misfire) -> None:
    rule = every(600)
    row = ready(600, misfire=misfire)
    fired: list[float] = []
    clock = [START + t for t in range(0, 7200, 30)] + [START + t for t in range(3600, 10800, 30)]
    for now in clock:
        due = plan(row, now, rule)
        fired += due.fire
        assert due.missed is None
        row = settle(row, due)
    assert fired == [START + 600.0 * turn for turn in range(1, 18)]


def test_a_clock_set_back_leaves_the_cursor_where_it_is() -> None:
    row = settle(ready(), plan(ready(), START + HOUR, every(HOUR)))
    due = plan(row, START - 30 * DAY, every(HOUR))
    assert due == Plan(next_at=START + 2 * HOUR, next_fire_at=START + 2 * HOUR)


@pytest.mark.parametrize(("misfire", "fired"), [(Misfire.SKIP, 0), (Misfire.ONCE, 1), (Misfire.ALL, 4)])
def test_a_clock_set_ahead_an_hour_follows_the_misfire_policy(misfire: Misfire, fired: int) -> None:
    rule = every(600)
    row = ready(600, misfire=misfire, misfire_max=4)
    due = plan(row, START + 300 + HOUR, rule)
    assert len(due.fire) == fired
    assert len(due.fire) + (due.missed.count if due.missed else 0) == 6
    assert due.next_at == START + 7 * 600


def test_ahead_and_back_again_settles_every_instant_once() -> None:
    rule = every(600)
    row = ready(600, misfire=Misfire.ALL, misfire_max=100)
    fired: list[float] = []
    for now in (START + 601, START + 601 + HOUR, START + 700, START + 4000, START + 4300, START + 4900):
        due = plan(row, now, rule)
        fired += due.fire
        row = settle(row, due)
    assert fired == [START + 600.0 * turn for turn in range(1, 9)]


# --- pausing, editing, disabling


def test_a_paused_or_disabled_schedule_has_nothing_due() -> None:
    row = ready()
    assert plan(msgspec.structs.replace(row, paused_at=START), START + DAY, every(HOUR)) == Plan()
    assert plan(disabled(row, "ten failures", START), START + DAY, every(HOUR)) == Plan()
    assert begin(msgspec.structs.replace(row, paused_at=START), START, every(HOUR)).next_at is None


def test_what_passed_during_a_pause_is_no_misfire() -> None:
    row = msgspec.structs.replace(ready(), paused_at=START)
    resumed = begin(msgspec.structs.replace(row, paused_at=None), START + 10 * HOUR + 1, every(HOUR))
    due = plan(resumed, START + 10 * HOUR + 1, every(HOUR))
    assert due == Plan(next_at=START + 11 * HOUR, next_fire_at=START + 11 * HOUR)


def test_a_new_rule_does_not_bring_back_what_was_settled() -> None:
    """Edited just after a firing, to a rule that has the same instant, with the clock set back between the two."""
    row = settle(ready(), plan(ready(), START + HOUR, every(HOUR)))
    edited = begin(row, START + 100, every(1800))
    assert edited.next_at == START + HOUR + 1800


def test_ten_failures_in_a_row_disable_a_schedule() -> None:
    row = ready()
    for _ in range(FAILURES_MAX - 1):
        row = counted(row, False, START)
    assert row.active
    assert counted(row, True, START).failures == 0
    row = counted(row, False, START + 5)
    assert (row.active, row.disabled_at, row.disabled_why) == (False, START + 5, "10 failures in a row")
    assert row.next_at is None
    assert counted(row, False, START + 9).disabled_at == START + 5


# --- jitter


def test_jitter_is_the_same_everywhere_and_differs_between_schedules_and_instants() -> None:
    one, two = schedule(jitter_seconds=300.0), schedule(id="s2", jitter_seconds=300.0)
    assert jitter_of(one, START, None) == jitter_of(schedule(jitter_seconds=300.0), START, None)
    drawn = {jitter_of(row, START + turn, None) for row in (one, two) for turn in range(100)}
    assert len(drawn) > 190
    assert all(0 <= delay < 300 for delay in drawn)
    assert max(drawn) > 270
    assert min(drawn) < 30


@given(st.floats(0.001, 86_400), st.floats(0.001, 1e6), st.integers(0, 10**6))
def test_jitter_never_reaches_the_next_instant(jitter: float, gap: float, turn: int) -> None:
    moment = START + turn
    delay = jitter_of(schedule(jitter_seconds=jitter), moment, moment + gap)
    assert 0 <= delay < jitter
    assert moment + delay < moment + gap


def test_a_jittered_instant_fires_after_its_delay_and_is_named_by_its_moment() -> None:
    row = ready(jitter_seconds=300.0)
    assert row.next_at == START + HOUR
    assert row.next_fire_at is not None
    delay = row.next_fire_at - row.next_at
    assert 0 < delay < 300
    assert plan(row, row.next_fire_at - 0.01, every(HOUR)).fire == ()
    assert plan(row, row.next_fire_at, every(HOUR)).fire == (START + HOUR,)
    assert plan(row, row.next_fire_at + LATE_SECONDS, every(HOUR)).missed is None


def test_a_jitter_wider_than_the_period_loses_and_repeats_nothing() -> None:
    rule = every(10)
    row = begin(schedule(jitter_seconds=3600.0), START, rule)
    fired: list[float] = []
    for now in range(int(START), int(START) + 2000, 5):
        due = plan(row, now, rule)
        assert due.missed is None
        fired += due.fire
        row = settle(row, due)
    assert fired == [START + 10.0 * turn for turn in range(1, len(fired) + 1)]
    assert len(fired) >= 198


# --- bounded


class Counted:
    """A rule that counts how often it is asked."""

    def __init__(self, rule: Following) -> None:
        self.rule, self.asked = rule, 0

    def __call__(self, moment: float) -> float | None:
        self.asked += 1
        return self.rule(moment)


@pytest.mark.parametrize(("misfire", "misfire_max"), [(Misfire.SKIP, 1), (Misfire.ONCE, 1), (Misfire.ALL, 100)])
def test_ten_years_away_from_a_schedule_of_every_second_cost_little(misfire: Misfire, misfire_max: int) -> None:
    """A pass of the loop must not stand still over one row: 315 million instants were missed."""
    rule = Counted(every(1))
    row = begin(schedule(misfire=misfire, misfire_max=misfire_max), START, rule)
    now = START + 3650 * DAY + 0.5
    due = plan(row, now, rule)
    assert rule.asked < 2 * WALK_MAX + 40 * (misfire_max + 2)
    on_time = tuple(START + 3650 * DAY - back for back in range(59, -1, -1))
    made_up = misfire_max if misfire is Misfire.ALL else 0
    assert due.fire == tuple(on_time[0] - back for back in range(made_up, 0, -1)) + on_time
    assert due.missed is not None
    assert (due.missed.exact, due.missed.first_at) == (False, START + 1)
    assert due.missed.last_at == due.fire[0] - 1
    assert due.next_at == START + 3650 * DAY + 1


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=60),
    st.integers(0, 300_000),
    st.sampled_from([("skip", 1), ("once", 1), ("all", 3)]),
    st.integers(0, 400),
)
@settings(max_examples=200)
def test_passing_over_a_long_absence_finds_the_same_as_walking_through_it(
    gaps: list[int], now: int, policy: tuple[str, int], jitter: int
) -> None:
    """What is fired must not depend on whether the middle of an absence was counted or passed over."""
    moments = [float(sum(gaps[: turn + 1])) for turn in range(len(gaps))]
    rule = instants(*moments)
    row = begin(schedule(misfire=Misfire(policy[0]), misfire_max=policy[1], jitter_seconds=float(jitter)), 0.0, rule)
    walked = plan(row, float(now), rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("outlast.core.schedule.WALK_MAX", 5)
        passed = plan(row, float(now), rule)
    assert (passed.fire, passed.next_at, passed.next_fire_at) == (walked.fire, walked.next_at, walked.next_fire_at)
    if passed.missed and walked.missed:
        assert passed.missed.count <= walked.missed.count
        assert not passed.missed.exact or passed.missed == walked.missed
        assert (passed.missed.first_at, passed.missed.last_at) == (walked.missed.first_at, walked.missed.last_at)
    else:
        assert passed.missed == walked.missed


@given(st.randoms(use_true_random=False), st.sampled_from(list(Misfire)), st.sampled_from([0.0, 45.0, 5000.0]))
def test_any_walk_of_the_clock_settles_every_instant_exactly_once(
    luck: random.Random, misfire: Misfire, jitter: float
) -> None:
    """Steps ahead, steps back, sleep, restarts that lose the plan before it was written, and ones that do not."""
    rule = every(600)
    row = begin(schedule(misfire=misfire, misfire_max=5, jitter_seconds=jitter), START, rule)
    now, fired, missed = START, [], 0
    for _ in range(80):
        now += luck.choice([1, 30, 300, 601, 3600, 50_000, -1, -3600])
        due = plan(row, now, rule)
        if luck.random() < 0.2:
            continue  # killed before the transaction: nothing was started either
        fired += due.fire
        missed += due.missed.count if due.missed else 0
        row = settle(row, due)
    assert fired == sorted(set(fired))
    settled = 0 if row.last_at is None else round((row.last_at - START) / 600)
    assert len(fired) + missed == settled


# --- rules of the ground floor


def test_every_counts_from_its_anchor_and_does_not_drift() -> None:
    anchor = START + 0.123
    assert every_after(anchor, 0.1 * 30, anchor) == round(anchor + 3, 3)
    assert every_after(anchor, 7.3, START - 100 * DAY) == round(anchor + 7.3, 3)
    assert every_after(anchor, 7.3, anchor + 7.3 * 1_000_000) == round(anchor + 7.3 * 1_000_001, 3)


@given(st.floats(0, 4e9), st.floats(1, 1e7), st.floats(0, 6e9))
def test_every_is_strictly_later_and_the_same_from_wherever_it_is_asked(
    anchor: float, period: float, moment: float
) -> None:
    """Asked at any moment before an instant, the rule must give the same number to the last bit."""
    found = every_after(anchor, period, moment)
    assert found > moment
    assert every_after(anchor, period, (moment + found) / 2 if (moment + found) / 2 < found else moment) == found
    if moment >= anchor:
        assert found - moment <= period + 0.002


def test_at_has_one_instant() -> None:
    assert at_after(5.0, 4.999) == 5.0
    assert at_after(5.0, 5.0) is None


@given(st.integers(0, 7_258_118_400_000))
def test_moments_are_written_and_read_back(ms: int) -> None:
    assert parse_moment(format_moment(ms / 1000)) == ms / 1000


def test_moments_have_one_form() -> None:
    assert format_moment(1_796_115_600) == "2026-12-01T09:00:00Z"
    assert format_moment(1_796_115_600.25) == "2026-12-01T09:00:00.250Z"


@given(st.text(max_size=60) | st.from_regex(r"[0-9TZ:.+-]{0,45}", fullmatch=True))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        parse_moment(text)
    except BadInput:
        return


@pytest.mark.parametrize(
    ("text", "policy"), [("skip", ("skip", 1)), ("once", ("once", 1)), ("all:1", ("all", 1)), ("all:100", ("all", 100))]
)
def test_misfire_read(text: str, policy: tuple[str, int]) -> None:
    assert parse_misfire(text) == policy


@pytest.mark.parametrize(
    "text", ["", "all", "all:", "all:0", "all:101", "all:٥", "ALL:3", "never", "all:3 ", "x" * 10**6]
)
def test_misfire_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_misfire(text)
    assert len(caught.value.message) < 100


@pytest.mark.parametrize("name", ["backup", "a", "7-days", "Nightly.build_2", "x" * NAME_MAX])
def test_names_read(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-rf",
        ".hidden",
        "a b",
        "a\nb",
        "$(reboot)",
        "{0}",
        "\x1b[31m",
        "é",
        "a/b",
        "x" * (NAME_MAX + 1),
        "x" * 10**6,
    ],
)
def test_names_refused(name: str) -> None:
    """A name is shown, sent and put into file names everywhere: what could do harm there is never let in."""
    with pytest.raises(BadInput) as caught:
        check_name(name)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "fields",
    [
        {"jitter_seconds": -1.0},
        {"jitter_seconds": float("nan")},
        {"jitter_seconds": 1e9},
        {"retries": -1},
        {"retries": 101},
        {"misfire_max": 0},
        {"misfire_max": MISFIRE_ALL_MAX + 1},
        {"timeout_seconds": 0.0},
        {"timeout_seconds": float("inf")},
    ],
)
def test_spans_out_of_bounds_are_refused(fields: dict[str, Any]) -> None:
    check_spans(schedule())
    with pytest.raises(BadInput):
        check_spans(schedule(**fields))


def test_a_schedule_survives_its_wire_form() -> None:
    """A store keeps payloads as JSON: the kind has to come back with it."""
    row = ready(payload=EventPayload(conversation="agent:a:main", text="hello"), misfire=Misfire.ALL)
    assert msgspec.json.decode(msgspec.json.encode(row), type=Schedule) == row
    assert msgspec.to_builtins(row.payload)["kind"] == "event"
