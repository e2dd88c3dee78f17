"""Rules of work to come: kept, changed by revision, fired once whoever is first. The same for all stores."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from outlast.core.conversation import NewSystemEvent
from outlast.core.errors import Conflict
from outlast.core.lifecycle import Verb
from outlast.core.schedule import (
    FAILURES_MAX,
    CommandPayload,
    EventPayload,
    Kind,
    Misfire,
    Overlap,
    Schedule,
    Unreadable,
)
from outlast.core.session import Status
from outlast.core.task import NotifyPolicy, StartClaim
from outlast.store.base_told import NewFiring
from store.store_fakes import claim, move, new


def rule(name: str = "nightly", **given) -> Schedule:
    made = {
        "id": f"id-{name}", "name": name, "requester": "agent:a:main", "created_at": 10.0, "updated_at": 10.0,
        "kind": Kind.EVERY, "expr": "60", "payload": CommandPayload(command="make TOKEN=secret"), "next_at": 100.0,
        "next_fire_at": 100.0,
    }  # fmt: skip
    return Schedule(**{**made, **given})


async def added(store, name: str = "nightly", **given) -> Schedule:
    schedule = rule(name, **given)
    await store.add_schedule(schedule)
    return schedule


def firing(schedule: Schedule, instant: float, number: int | None = None, **given) -> NewFiring:
    task = new(number, schedule_id=schedule.id, label=schedule.name, notify=NotifyPolicy.SILENT)
    return NewFiring(**{"instant": instant, "how": "fired", "task": task, **given})


def moved(schedule: Schedule, to: float | None) -> Schedule:
    return replace(schedule, last_at=schedule.next_at, next_at=to, next_fire_at=to)


async def test_a_rule_reads_back_as_it_was_given(store):
    given = rule(
        conversation="agent:a:main", tz="Europe/London", anchor_at=5.5, misfire=Misfire.ALL, misfire_max=7,
        overlap=Overlap.QUEUE, jitter_seconds=3.5, retries=2, timeout_seconds=9.5, comment="# why",
        delete_after_run=True, payload=EventPayload(conversation="x", text="é\n{}"),
    )  # fmt: skip
    await store.add_schedule(given)
    assert await store.get_schedule(given.id) == given
    assert await store.find_schedule("nightly") == given
    assert await store.find_schedule("none") is None


async def test_a_name_is_given_once(store):
    await added(store)
    with pytest.raises(Conflict) as caught:
        await store.add_schedule(rule(id="another"))
    assert caught.value.code == "name_taken"
    other = await added(store, "other")
    with pytest.raises(Conflict):
        await store.edit_schedule(replace(other, name="nightly"))


async def test_of_two_edits_of_the_same_revision_one_is_told_that_it_is_late(store):
    schedule = await added(store)
    changed = await store.edit_schedule(replace(schedule, expr="30"))
    assert changed.revision == 2
    assert await store.edit_schedule(replace(schedule, expr="40")) is None
    assert (await store.get_schedule(schedule.id)).expr == "30"


async def test_rules_are_listed_by_name_in_pages(store):
    for name in ("c", "a", "b"):
        await added(store, name, requester="agent:b:main" if name == "b" else "agent:a:main")
    assert [one.name for one in await store.list_schedules(2)] == ["a", "b"]
    assert [one.name for one in await store.list_schedules(9, after="b")] == ["c"]
    assert [one.name for one in await store.list_schedules(9, requester="agent:a:main")] == ["a", "c"]


async def test_what_is_due_is_found_by_its_moment(store):
    await added(store, "late", next_at=50.0, next_fire_at=55.0)
    await added(store, "soon")
    await added(store, "never", next_at=None, next_fire_at=None)
    assert await store.next_schedule_due() == 55.0
    assert [one.name for one in await store.due_schedules(54.0, 10)] == []
    assert [one.name for one in await store.due_schedules(100.0, 10)] == ["late", "soon"]


async def test_a_firing_makes_its_task_and_moves_the_cursor_in_one_act(store):
    schedule = await added(store)
    fired = await store.fire(schedule, moved(schedule, 160.0), [firing(schedule, 100.0)], 101.0)
    [(task, _)] = fired.tasks
    assert (task.status, task.schedule_id) == (Status.QUEUED, schedule.id)
    after = await store.get_schedule(schedule.id)
    assert (after.next_at, after.last_at, after.revision) == (160.0, 100.0, 1)
    [row] = await store.firings_of(schedule.id, 10)
    assert (row.instant, row.how, row.task_id, row.at) == (100.0, "fired", task.id, 101.0)


async def test_an_instant_is_fired_once_whoever_is_first(store):
    schedule = await added(store)
    after = moved(schedule, 160.0)
    fired = await asyncio.gather(*(store.fire(schedule, after, [firing(schedule, 100.0)], 101.0) for _ in range(8)))
    assert sum(one is not None for one in fired) == 1
    assert sum((await store.counts_live()).values()) == 1
    assert len(await store.firings_of(schedule.id, 10)) == 1


async def test_a_rule_that_was_changed_or_switched_off_meanwhile_does_not_fire(store):
    schedule = await added(store)
    changed = await store.edit_schedule(replace(schedule, paused_at=99.0))
    assert await store.fire(schedule, moved(schedule, 160.0), [firing(schedule, 100.0)], 101.0) is None
    assert await store.fire(changed, moved(changed, 160.0), [firing(changed, 100.0)], 101.0) is None
    assert sum((await store.counts_live()).values()) == 0


async def test_the_task_may_start_in_the_same_act(store):
    schedule = await added(store)
    start = StartClaim(claim_id="c1", worker="w1", lease_until=None)
    fired = await store.fire(schedule, moved(schedule, 160.0), [firing(schedule, 100.0)], 101.0, start)
    [(task, _)] = fired.tasks
    assert (task.status, task.claim_id) == (Status.RUNNING, "c1")


@pytest.mark.parametrize(("overlap", "tasks", "how"), [
    (Overlap.SKIP, 1, "skipped"), (Overlap.ALLOW, 2, "fired"), (Overlap.QUEUE, 2, "fired"),
])  # fmt: skip
async def test_an_instant_that_comes_while_the_one_before_runs(store, overlap, tasks, how):
    schedule = await added(store, overlap=overlap)
    after = moved(schedule, 160.0)
    await store.fire(schedule, after, [firing(schedule, 100.0)], 101.0)
    await store.claim_tasks(claim("c1"))
    await store.fire(after, moved(after, 220.0), [firing(schedule, 160.0)], 161.0)
    assert sum((await store.counts_live()).values()) == tasks
    assert (await store.firings_of(schedule.id, 1))[0].how == how


async def test_an_instant_may_call_off_what_ran_before(store):
    schedule = await added(store, overlap=Overlap.CANCEL)
    after = moved(schedule, 160.0)
    await store.fire(schedule, after, [firing(schedule, 100.0, 1)], 101.0)
    await store.claim_tasks(claim("c1"))
    last = moved(after, 220.0)
    await store.fire(after, last, [firing(schedule, 160.0, 2)], 161.0)
    assert (await store.get_task(new(1).id)).cancel_asked_at == 161.0
    await store.fire(last, moved(last, 280.0), [firing(schedule, 220.0, 3)], 221.0)
    assert (await store.get_task(new(2).id)).status is Status.CANCELLED
    assert (await store.get_task(new(3).id)).status is Status.QUEUED


async def test_what_was_missed_is_noted_and_found(store):
    schedule = await added(store)
    missed = NewFiring(instant=100.0, how="missed", note="3 instants passed while no gateway ran")
    await store.fire(schedule, moved(schedule, 400.0), [missed, firing(schedule, 340.0)], 341.0)
    assert [row.how for row in await store.firings_of(schedule.id, 10)] == ["fired", "missed"]
    assert [row.note for row in await store.missed_firings(300.0, 10)] == ["3 instants passed while no gateway ran"]
    assert await store.missed_firings(342.0, 10) == []


async def test_an_event_reaches_its_conversation(store):
    schedule = await added(store)
    event = NewSystemEvent(conversation="x", at=101.0, kind="cron", text="stand up", source_key="nightly:100")
    fired = await store.fire(
        schedule, moved(schedule, 160.0), [firing(schedule, 100.0, task=None, event=event)], 101.0
    )  # fmt: skip
    assert fired.tasks == []
    assert [one.text for one in await store.system_events("x", 0, 10)] == ["stand up"]


async def test_a_one_shot_leaves_when_it_is_to(store):
    schedule = await added(store, kind=Kind.AT, delete_after_run=True)
    fired = await store.fire(schedule, moved(schedule, None), [firing(schedule, 100.0)], 101.0)
    assert await store.get_schedule(schedule.id) is None
    assert await store.get_task(fired.tasks[0][0].id) is not None


async def test_removing_a_rule_leaves_its_tasks(store):
    schedule = await added(store)
    fired = await store.fire(schedule, moved(schedule, 160.0), [firing(schedule, 100.0)], 101.0)
    assert await store.remove_schedule(schedule.id)
    assert not await store.remove_schedule(schedule.id)
    assert await store.firings_of(schedule.id, 10) == []
    assert await store.get_task(fired.tasks[0][0].id) is not None


async def _run(store, schedule: Schedule, number: int, verb: Verb):
    fired = await store.fire_manually(
        schedule, firing(schedule, 1000.0 + number, number, how="manual"), 1000.0 + number,
        StartClaim(claim_id=f"c{number}", worker="w", lease_until=None, force=True),
    )  # fmt: skip
    return await store.apply(move(fired.tasks[0][0].id, verb, at=2000.0 + number))


async def test_failures_in_a_row_switch_a_rule_off_and_somebody_is_told(store):
    schedule = await added(store, overlap=Overlap.ALLOW)
    for number in range(FAILURES_MAX - 1):
        await _run(store, schedule, number, Verb.FAIL)
    await _run(store, schedule, 50, Verb.SUCCEED)
    assert (await store.get_schedule(schedule.id)).failures == 0
    for number in range(100, 100 + FAILURES_MAX):
        await _run(store, schedule, number, Verb.FAIL if number % 2 else Verb.TIME_OUT)
    off = await store.get_schedule(schedule.id)
    assert (off.failures, off.next_at, off.next_fire_at) == (FAILURES_MAX, None, None)
    assert "failures in a row" in off.disabled_why
    assert [one.id for one in await store.disabled_schedules(10)] == [schedule.id]
    [notice] = await store.list_notices("pending", None, 10)
    assert (notice.kind, notice.target) == ("disabled", "agent:a:main")
    assert "outlast cron resume nightly" in notice.body["text"]
    await _run(store, schedule, 200, Verb.FAIL)
    assert len(await store.list_notices("pending", None, 10)) == 1


async def test_a_cancelled_run_counts_neither_way(store):
    schedule = await added(store)
    await _run(store, schedule, 1, Verb.FAIL)
    await _run(store, schedule, 2, Verb.CANCEL)
    assert (await store.get_schedule(schedule.id)).failures == 1


async def test_a_rule_can_be_switched_off_by_hand_once(store):
    schedule = await added(store)
    assert await store.disable_schedule(schedule.id, "its zone is gone", 500.0)
    assert not await store.disable_schedule(schedule.id, "again", 501.0)
    assert await store.due_schedules(1000.0, 10) == []


async def test_an_edit_that_did_not_see_a_firing_does_not_put_the_cursor_back(store):
    schedule = await added(store)
    await store.fire(schedule, moved(schedule, 160.0), [firing(schedule, 100.0)], 101.0)
    assert await store.edit_schedule(replace(schedule, comment="read before the firing")) is None
    now = await store.get_schedule(schedule.id)
    assert (now.next_at, now.last_at, now.revision, now.comment) == (160.0, 100.0, 1, None)
    assert (await store.edit_schedule(replace(now, comment="read after it"))).revision == 2


async def test_what_is_due_already_does_not_hide_what_comes_next(store):
    await added(store, "overdue", next_at=50.0, next_fire_at=50.0)
    await added(store, "next")
    assert await store.next_schedule_due() == 50.0
    assert await store.next_schedule_due(50.0) == 100.0
    assert await store.next_schedule_due(100.0) is None


@pytest.mark.parametrize(("column", "text"), [
    ("payload", "{"), ("payload", '{"kind":"nothing known"}'), ("kind", "sometimes"), ("misfire", "?"), ("overlap", ""),
])  # fmt: skip
async def test_a_damaged_row_says_so_and_hides_no_other(store, column, text):
    schedule = await added(store, "damaged")
    await added(store, "whole")
    await store.edit_schedule(replace(schedule, payload=Unreadable(why="", columns={
        "kind": "every", "payload": "{}", "misfire": "once", "overlap": "skip", "deliver": "none", column: text,
    })))  # fmt: skip
    damaged, whole = await store.due_schedules(100.0, 10)
    assert isinstance(damaged.payload, Unreadable)
    assert isinstance(whole.payload, CommandPayload)
    assert damaged.payload.columns[column] == text
    assert [one.name for one in await store.list_schedules(10)] == ["damaged", "whole"]
    assert await store.disable_schedule(damaged.id, damaged.payload.why, 101.0)
    [off] = await store.disabled_schedules(10)
    assert off.payload.columns[column] == text
