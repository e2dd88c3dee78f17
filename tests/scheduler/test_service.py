"""The scheduler at work: each instant once, whoever else fires, whatever the clock does, whatever is in the table."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest
from api_fakes import asynchronous
from firing_house import DAY, SINCE, open_house
from msgspec.structs import replace

from outlast.core import schedule as rules
from outlast.core.errors import BadInput, Refused
from outlast.core.lifecycle import Verb
from outlast.core.schedule import FAILURES_MAX, EventPayload, Kind, Misfire, Overlap
from outlast.core.session import Status
from outlast.scheduler import service
from outlast.scheduler.instants import following
from watched_store import trouble

Address = tuple[str, str]
HOUR = 3600.0


# ---- once and only once


@pytest.mark.parametrize("nodes", [1, 3])
@asynchronous
async def test_each_instant_has_one_task_however_many_schedulers_there_are(address: Address, nodes: int) -> None:
    """Three gateways on one database all see the same instant at the same moment: one of them fires it."""
    async with open_house(address, nodes) as house:
        for number in range(5):
            await house.rule(f"job{number}", every=10)
        for _ in range(60):
            await house.go(1)
        await house.go()
        for number in range(5):
            assert await house.once_each(f"job{number}") == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


@asynchronous
async def test_an_instant_is_fired_at_its_moment(file: Address) -> None:
    """Neither before nor much after, by one timer: nobody polls."""
    async with open_house(file) as house:
        await house.rule(every=100)
        await house.go(99.99)
        assert await house.how() == []
        await house.go(0.02)
        [row] = await house.firings()
        assert 0 <= row.at - row.instant <= 0.02


@asynchronous
async def test_a_thousand_of_the_same_second_are_all_fired(file: Address) -> None:
    """More than are looked at in one go: the next go follows at once."""
    async with open_house(file, started=False) as house:
        for number in range(service.DUE_MAX + 20):
            await house.rule(f"job{number}", every=10)
        await house.go(10)
        house.start()
        await house.go(0.1)
        assert len(await house.tasks()) == service.DUE_MAX + 20


@asynchronous
async def test_a_crash_after_the_commit_and_before_anything_else_fires_nothing_again(address: Address) -> None:
    """The next scheduler finds the cursor where the commit left it."""
    async with open_house(address, 2, started=False) as house:
        await house.rule(every=10)
        house.stores[0].after["fire"] = asyncio.Event()
        house.schedulers[0].start()
        await house.go(10.05)
        await house.schedulers[0].stop()
        house.schedulers[1].start()
        await house.go(0.1)
        assert await house.once_each() == [10.0]


@asynchronous
async def test_jitter_moves_the_start_and_not_the_instant(address: Address) -> None:
    """Every node finds the same delay, so that two schedulers cannot take one instant for two."""
    async with open_house(address, 2) as house:
        schedule = await house.rule(every=100, jitter_seconds=30.0)
        assert 0 <= schedule.next_fire_at - schedule.next_at < 30
        for _ in range(13):
            await house.go(10)
        assert await house.once_each() == [100.0]
        [row] = await house.firings()
        assert row.at == pytest.approx(schedule.next_fire_at, abs=0.2)


@asynchronous
async def test_a_one_shot_fires_once_and_leaves_when_it_is_to(file: Address) -> None:
    """``at`` has one instant; with delete-after-run the rule goes, its task stays."""
    async with open_house(file) as house:
        await house.rule("stays", kind=Kind.AT, expr="2027-01-15T08:00:10Z")
        await house.rule("goes", kind=Kind.AT, expr="2027-01-15T08:00:10Z", delete_after_run=True)
        await house.go(3 * DAY)
        assert len(await house.tasks()) == 2
        assert await house.store.find_schedule("goes") is None
        assert (await house.now_is("stays")).next_at is None


# ---- away, asleep, and clocks that are set


@pytest.mark.parametrize(("misfire", "most", "made_up"), [
    (Misfire.SKIP, 1, 0), (Misfire.ONCE, 1, 1), (Misfire.ALL, 5, 5),
])  # fmt: skip
@asynchronous
async def test_three_days_of_sleep_follow_the_misfire_policy(
    address: Address, misfire: Misfire, most: int, made_up: int
) -> None:
    """72 hourly instants passed while no gateway ran: none, the last, or the last five are made up for."""
    async with open_house(address, 2, started=False) as house:
        await house.rule(every=HOUR, misfire=misfire, misfire_max=most)
        await house.go(3 * DAY + 1800)
        house.start()
        await house.go(1)
        expected = [HOUR * hour for hour in range(73 - made_up, 73)]
        assert await house.once_each() == expected
        [missed] = [row for row in await house.firings() if row.how == "missed"]
        assert missed.note.startswith(f"{72 - made_up} passed unfired")
        await house.go(HOUR)
        assert (await house.once_each())[-1] == 73 * HOUR


@asynchronous
async def test_a_clock_that_jumps_ahead_makes_up_by_the_policy(file: Address) -> None:
    """An hour that never was: what it skipped is missed, not fired sixty times."""
    async with open_house(file) as house:
        await house.rule("once", every=60)
        await house.rule("skip", every=60, misfire=Misfire.SKIP)
        await house.go(61)
        house.clock.since += HOUR
        await house.go(59.5)
        for name in ("once", "skip"):
            assert await house.once_each(name) == [60.0, HOUR + 60, HOUR + 120]
            [missed] = [row for row in await house.firings(name) if row.how == "missed"]
            assert missed.note.startswith("59 passed unfired")


@asynchronous
async def test_a_clock_that_is_set_back_fires_nothing_twice(address: Address) -> None:
    """The hour comes again, its instants do not."""
    async with open_house(address, 2) as house:
        await house.rule(every=600)
        for _ in range(12):
            await house.go(300)
        await house.go()
        before = await house.once_each()
        assert before == [600.0 * turn for turn in range(1, 7)]
        house.clock.since -= HOUR
        for _ in range(12):
            await house.go(300)
        assert await house.once_each() == before
        await house.go(600)
        assert len(await house.once_each()) == len(before) + 1


# ---- while the one before still runs


@asynchronous
async def test_skip_leaves_an_instant_out_while_the_task_before_it_runs(file: Address) -> None:
    """A slow backup must not pile up on itself; once it has ended the next instant is fired again."""
    async with open_house(file) as house:
        await house.rule(every=10, overlap=Overlap.SKIP)
        await house.go(10.05)
        [task] = await house.claim()
        await house.go(20)
        assert await house.how() == [(10.0, "fired"), (20.0, "skipped"), (30.0, "skipped")]
        assert task.id in (await house.firings())[1].note
        await house.end(task)
        await house.go(10)
        assert (await house.how())[-1] == (40.0, "fired")


@asynchronous
async def test_queue_runs_them_one_after_the_other(file: Address) -> None:
    """No instant is left out, and no two run at once."""
    async with open_house(file) as house:
        await house.rule(every=10, overlap=Overlap.QUEUE)
        await house.go(30.05)
        ran = []
        for _ in range(3):
            [task] = await house.claim()
            assert await house.claim() == []
            ran.append(task.id)
            await house.end(task)
        assert await house.claim() == []
        assert ran == [row.task_id for row in await house.firings()]


@asynchronous
async def test_cancel_calls_off_the_one_before(file: Address) -> None:
    """The newest counts: what runs is asked to end, what waits is cancelled at once."""
    async with open_house(file) as house:
        await house.rule(every=10, overlap=Overlap.CANCEL)
        await house.go(10.05)
        [first] = await house.claim()
        await house.go(20)
        tasks = await house.tasks()
        assert tasks[0].id == first.id
        assert tasks[0].cancel_asked_at is not None
        assert [task.status for task in tasks] == [Status.RUNNING, Status.CANCELLED, Status.QUEUED]


@asynchronous
async def test_allow_runs_them_beside_each_other(file: Address) -> None:
    """Whoever allows it gets as many at once as there are instants."""
    async with open_house(file) as house:
        await house.rule(every=10, overlap=Overlap.ALLOW)
        await house.go(30.05)
        assert len(await house.claim()) == 3


# ---- what is wrong with one stops no other


def damage(file: Address, sql: str, *params: Any) -> None:
    """Write into the table by hand, as no gateway would."""
    connection = apsw.Connection(file[1])
    connection.execute(sql, params)
    connection.close()


@pytest.mark.parametrize(("change", "reason"), [
    ("expr = 'not a cron'", "3 fields instead of five"),
    ("expr = '0 0 31 2 *'", "never comes"),
    ("tz = 'Mars/Olympus'", "Mars/Olympus"),
    ("payload = '{'", "payload cannot be read"),
    ("payload = '{\"kind\":\"flow\",\"flow\":\"x\"}'", "what is this?"),
    ("kind = 'sometimes'", "kind cannot be read"),
    ("misfire = 'perhaps'", "misfire cannot be read"),
])  # fmt: skip
@asynchronous
async def test_a_damaged_rule_is_switched_off_with_the_reason_and_stops_nobody(
    file: Address, change: str, reason: str
) -> None:
    """One row that cannot be read must not keep every other rule from firing."""
    async with open_house(file) as house:
        bad = {"kind": Kind.CRON, "expr": "* * * * *"}
        await house.rule("bad", **bad)
        await house.rule("good", **bad)
        damage(file, f"UPDATE schedule SET {change} WHERE name = 'bad'")
        await house.go(300.1)
        assert await house.once_each("good") == [60.0, 120.0, 180.0, 240.0, 300.0]
        off = await house.now_is("bad")
        assert reason in off.disabled_why
        assert off.next_fire_at is None
        assert await house.how("bad") == []
        assert [one.name for one in await house.store.disabled_schedules(10)] == ["bad"]
        [told] = await house.store.system_events("agent:a:main", 0, 10)
        assert reason in told.text
        assert "outlast cron show bad" in told.text


@pytest.mark.parametrize("change", ["paused_at = 1.0", "disabled_at = 1.0", "next_at = NULL"])
@asynchronous
async def test_a_rule_that_contradicts_itself_does_not_fire_and_keeps_nobody_busy(file: Address, change: str) -> None:
    """Due, but off: no guarded write can ever move it, so it must not be tried for ever."""
    async with open_house(file) as house:
        await house.rule("bad", every=10)
        await house.rule("good", every=10)
        damage(file, f"UPDATE schedule SET {change} WHERE name = 'bad'")
        await house.go(50.1)
        assert await house.how("bad") == []
        assert await house.once_each("good") == [10.0, 20.0, 30.0, 40.0, 50.0]
        assert house.store.calls["due_schedules"] < 40


@asynchronous
async def test_a_rule_whose_instant_is_on_record_already_is_switched_off(file: Address) -> None:
    """A cursor that somebody put back would fire an instant twice: the record refuses, the rule says so."""
    async with open_house(file) as house:
        await house.rule("bad", every=10)
        await house.rule("good", every=10)
        await house.go(10.05)
        damage(
            file, "UPDATE schedule SET next_at = ?1, next_fire_at = ?1, last_at = NULL WHERE name = 'bad'", SINCE + 10
        )
        await house.go(30)
        assert await house.once_each("bad") == [10.0]
        assert await house.once_each("good") == [10.0, 20.0, 30.0, 40.0]
        assert (await house.now_is("bad")).disabled_at is not None


@pytest.mark.parametrize(
    "error", [BadInput("no such directory"), Refused("not allowed"), ValueError("a fault of ours")]
)
@asynchronous
async def test_work_that_cannot_be_composed_switches_its_rule_off(file: Address, error: Exception) -> None:
    """A policy or a path that has changed since the rule was added is said once, not at every instant."""
    async with open_house(file) as house:
        await house.rule("bad", every=10)
        await house.rule("good", every=10)
        house.refusing["bad"] = error
        await house.go(30.05)
        assert str(error) in (await house.now_is("bad")).disabled_why
        assert await house.once_each("good") == [10.0, 20.0, 30.0]


NO_AGENT = BadInput("no agent 'night'", code="no_such_agent")


@asynchronous
async def test_a_rule_waits_for_an_agent_that_is_missing_for_a_moment(file: Address) -> None:
    """A configuration that is written in pieces may be whole and without an agent just when its rule is due."""
    async with open_house(file) as house:
        await house.rule("night", every=40)
        await house.rule("good", every=10)
        for away in (95, 75):  # due after 40, and after 20: each time it is waited for anew
            house.refusing["night"] = NO_AGENT
            await house.go(away)
            assert (await house.now_is("night")).disabled_at is None
            del house.refusing["night"]
            await house.go(5.05)
        assert await house.once_each("night") == [40.0, 80.0, 120.0, 160.0]
        assert await house.once_each("good") == [10.0 * number for number in range(1, 19)]
        assert house.store.calls["due_schedules"] < 150


@asynchronous
async def test_a_rule_whose_agent_stays_away_is_switched_off(file: Address) -> None:
    async with open_house(file) as house:
        await house.rule("night", every=40)
        house.refusing["night"] = NO_AGENT
        await house.go(99)
        assert (await house.now_is("night")).disabled_at is None
        await house.go(10)
        assert "no agent 'night'" in (await house.now_is("night")).disabled_why
        [told] = await house.store.system_events("agent:a:main", 0, 10)
        assert told.kind == "disabled"


@asynchronous
async def test_ten_failures_in_a_row_switch_a_rule_off_and_are_told(address: Address) -> None:
    """A rule that only fails must not go on for ever unseen."""
    async with open_house(address) as house:
        await house.rule(every=10)
        for turn in range(1, FAILURES_MAX + 1):
            assert len(await house.once_each()) == turn - 1
            await house.go(10.01)
            for task in await house.claim():
                await house.end(task, Verb.FAIL)
        await house.go(100)
        assert len(await house.once_each()) == FAILURES_MAX
        assert "failures in a row" in (await house.now_is()).disabled_why
        [notice] = await house.store.list_notices("pending", None, 10)
        assert (notice.kind, notice.target) == ("disabled", "agent:a:main")


# ---- changes between plan and fire


@pytest.mark.parametrize("change", ["pause", "edit", "remove"])
@asynchronous
async def test_a_rule_that_is_changed_just_before_it_fires_fires_as_it_is_now(address: Address, change: str) -> None:
    """The firing was planned for the rule as it was: it must not be written for the rule as it is."""
    async with open_house(address) as house:
        await house.rule(every=10)
        gate = house.store.gates["fire"] = asyncio.Event()
        await house.go(10.05)
        if change == "pause":
            await house.change("job", paused_at=house.clock.now(), next_at=None, next_fire_at=None)
        elif change == "edit":
            await house.change("job", expr="20", anchor_at=SINCE, next_at=SINCE + 20, next_fire_at=SINCE + 20)
        else:
            await house.store.inner.remove_schedule("r-job")
        gate.set()
        del house.store.gates["fire"]
        await house.go(1)
        assert await house.how() == []
        await house.go(30)
        assert await house.how() == ([(20.0, "fired"), (40.0, "fired")] if change == "edit" else [])


@asynchronous
async def test_what_is_resumed_goes_on_from_now(file: Address) -> None:
    """What passed while it was paused is neither made up for nor called missed."""
    async with open_house(file) as house:
        await house.rule(every=10)
        await house.go(10.05)
        paused = await house.change("job", paused_at=house.clock.now(), next_at=None, next_fire_at=None)
        await house.go(100)
        on = rules.begin(replace(paused, paused_at=None), house.clock.now(), following(paused))
        await house.store.inner.edit_schedule(on)
        await house.go(10)
        assert await house.how() == [(10.0, "fired"), (120.0, "fired")]


# ---- events, trouble, rest


@asynchronous
async def test_an_event_is_heard_once_for_each_instant(address: Address) -> None:
    """A reminder that three schedulers fire is one reminder."""
    async with open_house(address, 3) as house:
        await house.rule(every=10, payload=EventPayload(conversation="agent:a:main", text="stand up"))
        for _ in range(3):
            await house.go(10.01)
        heard = await house.store.system_events("agent:a:main", 0, 100)
        assert [event.text for event in heard] == ["stand up"] * 3


@asynchronous
async def test_a_store_in_trouble_is_tried_again_and_then_fires_by_itself(file: Address) -> None:
    """An outage costs its own time, and no instant."""
    async with open_house(file) as house:
        await house.rule(every=10)
        house.store.failing["fire"] = trouble()
        await house.go(40)
        assert house.store.calls["fire"] < 30
        house.store.failing.clear()
        await house.go(service.AGAIN_MAX + 1)
        assert await house.once_each() == [10.0, 20.0, 30.0, 40.0]


@asynchronous
async def test_an_idle_scheduler_asks_nothing(file: Address) -> None:
    """A hundred rules that are due tomorrow cost nothing today."""
    async with open_house(file) as house:
        for number in range(100):
            await house.rule(f"job{number}", every=DAY)
        await house.go(1)
        house.store.calls.clear()
        await house.go(500)
        assert sum(house.store.calls.values()) == 0


@asynchronous
async def test_a_scheduler_with_nothing_due_writes_nothing(file: Address) -> None:
    """Looking is not touching: the file stays as it is, to the byte."""
    async with open_house(file, started=False) as house:
        await house.rule(every=DAY)
        watcher = apsw.Connection(file[1])
        before = watcher.pragma("data_version")
        size = Path(file[1] + "-wal").stat().st_size
        house.start()
        await house.go(3600)
        assert watcher.pragma("data_version") == before
        assert Path(file[1] + "-wal").stat().st_size == size
        watcher.close()
