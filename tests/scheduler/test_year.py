"""A year of 2,000 schedules over twelve zones: every instant of the almanac is settled once, and no other."""

from __future__ import annotations

import calendar
import random
import time
from bisect import bisect_left, bisect_right
from typing import Any

import pytest
from almanac import ORIGIN, YEAR_END, YEAR_START, ZONES, instants, walk, wall_at

from outlast.core.schedule import (
    LATE_SECONDS,
    CommandPayload,
    Following,
    Kind,
    Misfire,
    Plan,
    Schedule,
    begin,
    format_moment,
    jitter_of,
    plan,
    settle,
)
from outlast.scheduler.cron import check
from outlast.scheduler.instants import following

DAY = 86_400

# Where clocks change, hours matter most; these are drawn more often than the others.
HOURS = (0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 6, 9, 12, 17, 22, 23, 23)

WEEKLY = "*/30 23,0-3 * * 4,5,0"
"""Follows the clock on the days on which clocks change, and has days without a run between them."""


def draw_cron(luck: random.Random, dense: bool) -> str:
    """One expression of the mix."""
    minute, hour = luck.randrange(60), luck.choice(HOURS)
    day, month, weekday = luck.randint(1, 31), luck.randint(1, 12), luck.randrange(8)
    name = luck.choice(["mon", "TUE", "Fri", "sun"])
    sparse = [
        luck.choice(["@daily", "@weekly", "@monthly", "@yearly", "@ANNUALLY", "@midnight"]),
        f"{minute} {hour} * * {weekday}",
        f"{minute} {hour} * * {name}#{luck.randint(1, 5)}",
        f"{minute} {hour} * * {weekday}L",
        f"{minute} {hour} L * *",
        f"{minute} {hour} LW * *",
        f"{minute} {hour} {luck.randint(1, 28)},L {month} *",
        f"{minute} {hour} 29 2 *",
        f"{minute} {hour} 29 Feb *",
        f"{minute} {hour} {min(day, 28)} * {weekday}",
        f"{minute} {hour} */{luck.randint(2, 9)} * {weekday}",
        f"{minute} {hour} * {month} *",
        f"{minute},{(minute + 30) % 60} {hour} * jan-Mar,OCT {weekday}",
        f"*/30 {hour} * * {weekday}",
        f"*/20 {hour} L * *",
        f"{minute} */6 * * {name}",
        f"0 {minute} {hour} * * {weekday}",
        f"{luck.randrange(60)} {minute} {hour} * * {weekday}L",
        f"*/20 {minute} {hour} {min(day, 28)} * *",
        f"{minute}-59/7 {hour} {min(day, 28)} 3,4,9-11 *",
        f"{minute} 0-23/4 1-7/3 * *",
    ]
    daily = [f"{minute} {hour} * * *", f"{minute} {hour} * * 1-5", f"{minute} {hour},12 * * *"]
    heavy = [f"*/{luck.choice([5, 15, 20])} * * * *", "@hourly", f"{minute} * * * *", f"*/10 {hour} * * *"]
    heavy += [f"{luck.randrange(60)} */30 * * * *", f"0-59/10 {hour} * * *"]
    return luck.choice(luck.choice([sparse, daily, heavy]) if dense else luck.choice([sparse] * 12 + [daily]))


def draw(luck: random.Random, number: int, dense: bool) -> Schedule:
    """One schedule of the mix: mostly cron, some periods, some single moments; any policy, with jitter and without."""
    fields: dict[str, Any] = {"kind": Kind.CRON, "expr": draw_cron(luck, dense), "tz": ZONES[number % len(ZONES)]}
    if number % 20 == 7:
        period = luck.choice([86_400.0, 604_800.0, 100_000.5, 7 * 3600.0, 2_592_000.0])
        fields = {"kind": Kind.EVERY, "expr": str(period), "anchor_at": YEAR_START - luck.randrange(10**7) / 8}
    elif number % 20 == 13:
        fields = {"kind": Kind.AT, "expr": format_moment(luck.randrange(YEAR_START + 1, YEAR_END))}
    return Schedule(
        id=f"s{number}",
        name=f"n{number}",
        requester="local",
        created_at=YEAR_START,
        updated_at=YEAR_START,
        payload=CommandPayload(command="true"),
        misfire=luck.choice(list(Misfire)),
        misfire_max=luck.choice([1, 3, 100]),
        jitter_seconds=luck.choice([0.0, 0.0, 0.0, 30.0, 600.0]),
        **fields,
    )


def expected(row: Schedule) -> list[float]:
    """The instants of the year, from the almanac or by plain arithmetic."""
    if row.kind is Kind.CRON:
        return [float(moment) for moment in instants(row.expr, row.tz)]
    if row.kind is Kind.AT:
        return [float(calendar.timegm(time.strptime(row.expr, "%Y-%m-%dT%H:%M:%SZ")))]
    assert row.anchor_at is not None
    period, moments, turn = float(row.expr), [], 0
    while (moment := row.anchor_at + turn * period) < YEAR_END:
        moments += [moment] if moment > YEAR_START and turn else []
        turn += 1
    return moments


class Year:
    """One schedule lives through the year: late wakes, early wakes, restarts, absences, clocks that step back."""

    def __init__(self, row: Schedule, table: list[float], luck: random.Random) -> None:
        self.rule = following(row)
        self.row = begin(row, YEAR_START, self.rule)
        self.table, self.luck, self.settled = table, luck, 0
        self.late = [moment + jitter_of(row, moment, then) for moment, then in self.pairs(table, self.rule)]

    @staticmethod
    def pairs(table: list[float], rule: Following) -> list[tuple[float, float | None]]:
        return list(zip(table, [*table[1:], rule(table[-1])], strict=True)) if table else []

    def wake(self) -> float:
        assert self.row.next_fire_at is not None
        chance = self.luck.random()
        if chance < 0.08:
            return self.row.next_fire_at + self.luck.random() * 3 * DAY
        if chance < 0.10:
            return self.row.next_fire_at + self.luck.random() * 20 * DAY
        if chance < 0.15:
            return self.row.next_fire_at - self.luck.random() * 7200
        return self.row.next_fire_at + self.luck.random() * 50

    def live(self) -> None:
        while self.row.next_at is not None and self.row.next_at < YEAR_END:
            now = min(self.wake(), YEAR_END - 1e-3) if self.settled < len(self.late) else float(YEAR_END)
            due = plan(self.row, now, self.rule)
            if self.luck.random() < 0.05:  # killed before it was written: the next pass finds the same
                assert plan(self.row, now, self.rule) == due
            self.check(due, now)
            self.row = settle(self.row, due)
            if self.late and now >= YEAR_END - 1:
                break

    def check(self, due: Plan, now: float) -> None:
        """Compare a plan with the stretch of the table that is due, by the policy's own words."""
        stretch = self.table[self.settled : bisect_right(self.late, now)]
        missed = [moment for moment in stretch if now - self.late[bisect_left(self.table, moment)] > LATE_SECONDS]
        on_time = stretch[len(missed) :]
        made_up = {Misfire.SKIP: 0, Misfire.ONCE: int(not on_time), Misfire.ALL: self.row.misfire_max}
        keep = min(made_up[self.row.misfire], len(missed))
        left_out = missed[: len(missed) - keep]
        assert list(due.fire) == missed[len(missed) - keep :] + on_time, self.row
        told = (due.missed.first_at, due.missed.last_at) if due.missed else None
        assert told == ((left_out[0], left_out[-1]) if left_out else None), self.row
        if due.missed and due.missed.exact:
            assert due.missed.count == len(left_out), self.row
        self.settled += len(stretch)
        if self.settled < len(self.table):
            assert (due.next_at, due.next_fire_at) == (self.table[self.settled], self.late[self.settled]), self.row


def live_through(count: int, seed: int, dense: bool) -> int:
    luck = random.Random(seed)
    total = 0
    for number in range(count):
        row = draw(luck, number, dense)
        table = expected(row)
        rule = following(row)
        found, moment = [], rule(YEAR_START)
        while moment is not None and moment < YEAR_END:
            found.append(moment)
            moment = rule(moment)
        assert found == pytest.approx(table, abs=0.0011), row
        Year(row, found, luck).live()
        total += len(table)
    return total


def test_two_thousand_schedules_settle_every_instant_of_a_year_exactly_once() -> None:
    assert live_through(2000, seed=4, dense=False) > 50_000


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_the_same_with_dense_schedules(seed: int) -> None:
    assert live_through(2000, seed, dense=True) > 1_000_000


def test_restarts_within_the_year_find_the_same_next_instant() -> None:
    """Asked from any moment at all, not only from an instant before: what a restarted gateway does."""
    luck = random.Random(5)
    asked = 0
    for zone in ZONES:
        changes = [m for m in range(4320, 365 * 1440, 15) if walk(zone).shown[m] - walk(zone).shown[m - 15] != 15]
        for expression in ("30 2 * * *", "*/30 2 * * *", "0 30 1 * * *", "*/20 0-3 * * *", "15 23,0,1 * * *", WEEKLY):
            table = [float(moment) for moment in instants(expression, zone)]
            cron, local = check(expression, zone)
            moments = [YEAR_START + luck.random() * 360 * DAY for _ in range(60)]
            moments += [near(change, luck) for change in changes for _ in range(40)]
            for moment in moments:
                at = bisect_right(table, moment)
                if at < len(table):
                    assert cron.next_after(local, moment) == table[at], (expression, zone, moment)
                    asked += 1
    assert asked > 5000


def near(minute: int, luck: random.Random) -> float:
    """A moment within half a day of a minute of the almanac, in the year."""
    return max(YEAR_START, (ORIGIN + minute) * 60 + luck.uniform(-DAY / 2, DAY / 2))


def test_the_almanac_holds_what_it_is_for() -> None:
    """Should the system's zone data be too old for it, the year proves less than it says."""
    assert wall_at(0) == wall_at(0)
    repeated = {zone: len(walk(zone).again) for zone in ZONES}
    assert (repeated["Australia/Lord_Howe"], repeated["Antarctica/Troll"], repeated["Europe/London"]) == (30, 120, 60)
    assert repeated["Asia/Kolkata"] == 0
    if not repeated["Asia/Almaty"]:
        pytest.skip("the zone data of this system are older than 2024a")
