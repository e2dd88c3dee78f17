"""Who gets which work, and for how long: claims, starts, leases, limits. The same for all stores."""

from __future__ import annotations

import asyncio

from outlast.core.lifecycle import Verb
from outlast.core.session import Status
from outlast.core.task import Delivery, NotifyPolicy
from store.store_fakes import claim, everything, make, move, new, running, start, take


async def test_a_claim_takes_the_task_and_says_so(store):
    task = await make(store)
    [taken] = await take(store, "c1", node="n1")
    assert (taken.status, taken.claim_id, taken.claimed_by, taken.lease_until) == (Status.RUNNING, "c1", "w1", 5060.0)
    assert (taken.attempt, taken.started_at, taken.seen_at, taken.node) == (1, 5000.0, 5000.0, "n1")
    assert taken == await store.get_task(task.id)
    event = (await store.events_of(task.id))[-1]
    assert (event.verb, event.status) == ("claim", Status.RUNNING)
    assert event.data == {"worker": "w1", "claimId": "c1", "attempt": 1}
    assert await store.claim_tasks(claim("c2")) == []


async def test_claims_go_by_priority_then_age_over_all_queues(store):
    order = [("a", 0, 4), ("b", 5, 5), ("a", 5, 3), ("c", 0, 1), ("b", -1, 2)]
    for queue, priority, number in order:
        await make(store, number, queue=queue, priority=priority)
    taken = await take(store, *"uvwxyz")
    assert [int(task.id[1:]) for task in taken] == [3, 5, 1, 4, 2]
    assert [task.claim_id for task in taken] == list("uvwxy")


async def test_claims_keep_to_the_queues_they_name(store):
    await make(store, 1, queue="a")
    await make(store, 2, queue="b")
    assert [task.queue for task in await take(store, "x", "y", queues=("b", "none"))] == ["b"]


async def test_a_queue_limit_holds_whoever_claims(store):
    await store.set_queue_limit("a", 3)
    for _ in range(10):
        await make(store, queue="a")
    free = await make(store, queue="b")
    taken = await asyncio.gather(*(take(store, f"x{n}", f"y{n}") for n in range(5)))
    tasks = [task for some in taken for task in some]
    assert sorted(task.queue for task in tasks) == ["a", "a", "a", "b"]
    await store.apply(move(free.id, Verb.SUCCEED))
    assert await store.claim_tasks(claim("z")) == []
    one = next(task for task in tasks if task.queue == "a")
    await store.apply(move(one.id, Verb.SUCCEED))
    assert len(await store.claim_tasks(claim("z", "zz"))) == 1
    await store.set_queue_limit("a", 0)
    assert await store.claim_tasks(claim("v")) == []
    await store.set_queue_limit("a", None)
    assert len(await store.claim_tasks(claim("v"))) == 1


async def test_the_queues_say_what_they_hold(store):
    await store.set_queue_limit("empty", 2)
    await make(store, queue="a", priority=1)
    await make(store, queue="a")
    await make(store, queue="b")
    await store.claim_tasks(claim("c1"))
    seen = {(q.name, q.limit_max, q.queued, q.running) for q in await store.queues()}
    assert seen == {("a", None, 1, 1), ("b", None, 1, 0), ("empty", 2, 0, 0)}


async def test_a_backoff_holds_until_its_moment(store):
    await make(store, 1, not_before_at=5000.5)
    assert await store.claim_tasks(claim("c1", now=5000.0)) == []
    assert await store.next_due() == 5000.5
    assert len(await store.claim_tasks(claim("c1", now=5000.5))) == 1


async def test_a_stale_claim_is_fenced_off(store):
    task = await running(store, "c1")
    await store.apply(move(task.id, Verb.REQUEUE, claim_id="c1"))
    [again] = await take(store, "c2", now=6001.0)
    assert again.attempt == 2
    before = await everything(store)
    for verb in (Verb.SUCCEED, Verb.FAIL, Verb.TIME_OUT, Verb.REQUEUE, Verb.CANCEL, Verb.LOSE):
        assert await store.apply(move(task.id, verb, claim_id="c1")) is None
    assert await store.note_progress(task.id, 6002.0, progress=50, message=None, claim_id="c1") is None
    assert await store.attach_session(task.id, "s9", 6002.0, claim_id="c1") is None
    assert await store.renew_leases(["c1"], 9999.0) == set()
    assert await store.reclaim(task.id, "c1", start("c3"), 6002.0) is None
    assert await everything(store) == before
    assert (await store.apply(move(task.id, Verb.SUCCEED, claim_id="c2"))).status is Status.SUCCEEDED


async def test_leases_run_out_and_are_renewed(store):
    one, two = await running(store, "c1"), await running(store, "c2")
    assert await store.expired_leases(5060.0, 10) == []
    assert await store.renew_leases(["c1", "c-none"], 8000.0) == {"c1"}
    assert [task.id for task in await store.expired_leases(5060.5, 10)] == [two.id]
    kept = await store.get_task(one.id)
    assert (kept.lease_until, kept.seen_at, kept.revision) == (8000.0, 5000.0, 2)
    await store.apply(move(two.id, Verb.LOSE))
    assert await store.expired_leases(5060.5, 10) == []


async def test_work_that_starts_at_once_is_recorded_and_claimed_in_one_act(store):
    """The record reads back as running, and its history has both lines, as if it had been claimed after."""
    given = new(1, payload={"run": 1}, node="n1", session_id="s1", notify=NotifyPolicy.STATE_CHANGES, dedupe_key="k")
    told = []
    store.on_change(told.append)
    made = await store.create_task(given, start("c1", node="n1"))
    assert not made.existing and made.task == await store.get_task(given.id)
    task = made.task
    assert (task.status, task.attempt, task.started_at, task.seen_at) == (Status.RUNNING, 1, 1001.0, 1001.0)
    assert (task.claim_id, task.claimed_by, task.lease_until, task.node) == ("c1", "w1", 5060.0, "n1")
    assert (task.session_id, task.delivery) == ("s1", Delivery.PENDING)
    lines = [(event.verb, event.status, event.at, event.data) for event in await store.events_of(task.id)]
    assert lines == [
        ("create", Status.QUEUED, 1001.0, {}),
        ("claim", Status.RUNNING, 1001.0, {"worker": "w1", "claimId": "c1", "attempt": 1}),
    ]
    assert [(row.kind, row.event_id) for row in await store.pending_outbox(9)] == [
        ("changed", (await store.events_of(task.id))[-1].id)
    ]
    assert [(c.events, c.queued, c.outbox) for c in told[:1]] == [(True, False, True)]
    assert await store.payload_of(task.id) == {"run": 1}
    assert await store.claim_tasks(claim("c2", node="n1")) == []
    again = await store.create_task(new(2, dedupe_key="k"), start("c2"))
    assert again.existing and again.task.claim_id == "c1"


async def test_work_starts_at_once_only_where_a_claim_would_take_it_next(store):
    """Nobody overtakes: not the limit of a queue, not older or more urgent work, not a moment or another node."""

    async def begun(number: int, force: bool = False, **given) -> bool:
        wish = start(f"c{number}", node="n1", force=force)
        return (await store.create_task(new(number, **given), wish)).task.status is Status.RUNNING

    assert await begun(1)
    assert await begun(2, node="n1")
    assert not await begun(3, node="n2")
    assert await begun(4)
    assert not await begun(5, not_before_at=9000.0)
    assert await begun(6)
    await store.set_queue_limit("limited", 1)
    assert await begun(10, queue="limited")
    assert not await begun(11, queue="limited")
    assert await begun(12, queue="limited", force=True)
    assert not await begun(13, queue="limited", priority=9)
    await make(store, 20, queue="line")
    assert not await begun(21, queue="line")
    assert await begun(22, queue="line", priority=1)
    assert await begun(23, queue="line", force=True)
    await make(store, 30, queue="pinned", node="n1")
    assert not await begun(31, queue="pinned")
    await make(store, 40, queue="ripe", not_before_at=1040.0)
    assert not await begun(41, queue="ripe")


async def test_work_that_starts_at_once_keeps_to_a_limit_whoever_comes_at_the_same_time(store):
    """Starts of one moment are written together, and still each sees what the one before it took."""
    await store.set_queue_limit("default", 3)
    made = await asyncio.gather(*(store.create_task(new(n), start(f"c{n}")) for n in range(10)))
    assert [one.task.status for one in made] == [Status.RUNNING] * 3 + [Status.QUEUED] * 7
    assert len(await store.running_tasks(None, 100)) == 3


async def test_a_claim_brings_what_is_to_be_run(store):
    """A worker needs no second question to begin."""
    await make(store, 1, payload={"command": "make"})
    await make(store, 2)
    assert [one.payload for one in await store.claim_tasks(claim("c1", "c2"))] == [{"command": "make"}, None]


async def test_work_of_one_node_is_taken_by_that_node_only(store):
    """Pinned work waits for its node, in one order with the work of everybody, within one limit."""
    await store.set_queue_limit("default", 3)
    for number, node in enumerate((None, "n1", "n2", None, "n1")):
        await make(store, number, node=node)
    assert [task.id for task in await take(store, "a", "b", node=None)] == [new(0).id, new(3).id]
    assert [task.id for task in await take(store, "c", "d", node="n1")] == [new(1).id]
    await store.set_queue_limit("default", None)
    assert [task.id for task in await take(store, "e", "f", node="n1")] == [new(4).id]
    [last] = await take(store, "g", node="n2")
    assert (last.id, last.node) == (new(2).id, "n2")


async def test_a_start_that_never_was_costs_no_attempt(store):
    """The next claim has the number of the one that came to nothing, and every move is told once nevertheless."""
    task = await running(store, notify=NotifyPolicy.STATE_CHANGES)
    for round_ in range(2):
        back = await store.apply(move(task.id, Verb.REQUEUE, detail={"why": "no room"}, never_began=True))
        assert (back.status, back.attempt) == (Status.QUEUED, 0)
        assert (await store.events_of(task.id))[-1].data == {"why": "no room", "neverBegan": True}
        [again] = await take(store, f"again{round_}")
        assert again.attempt == 1
    assert [row.kind for row in await store.pending_outbox(10)] == ["changed"] * 5


async def test_a_restarted_worker_takes_over_its_own_claims(store):
    """The new claim fences off the old one; work that is not held by the old claim any more is not taken."""
    task = await running(store, "c1")
    taken = await store.reclaim(task.id, "c1", start("c2", worker="w2", lease_until=7000.0, node="n1"), 5500.0)
    assert taken == await store.get_task(task.id)
    assert (taken.claim_id, taken.claimed_by, taken.lease_until, taken.node) == ("c2", "w2", 7000.0, "n1")
    assert (taken.status, taken.attempt, taken.started_at, taken.seen_at) == (Status.RUNNING, 1, 5000.0, 5000.0)
    event = (await store.events_of(task.id))[-1]
    assert (event.verb, event.at, event.data) == ("reclaim", 5500.0, {"worker": "w2", "claimId": "c2"})
    before = await everything(store)
    assert await store.reclaim(task.id, "c1", start("c3"), 5600.0) is None
    assert await store.apply(move(task.id, Verb.SUCCEED, claim_id="c1")) is None
    assert await everything(store) == before
    await store.apply(move(task.id, Verb.SUCCEED, claim_id="c2"))
    assert await store.reclaim(task.id, "c2", start("c3"), 6500.0) is None


async def test_work_without_a_lease_never_runs_out_of_one(store):
    """Work that runs outside of any worker ends by a report, by its deadline, or not at all."""
    await store.create_task(new(1), start("c1", lease_until=None, force=True))
    assert await store.expired_leases(1e12, 10) == []
    assert await store.next_due() is None
    assert await store.renew_leases(["c1"], 8000.0) == {"c1"}
    assert (await store.get_task(new(1).id)).lease_until is None


async def test_signs_of_life_named_twice_count_twice_and_the_later_stays(store):
    """One statement over many rows takes a row once; the second mention has a turn of its own."""
    task = await running(store)
    assert await store.note_seen([task.id, task.id], 5500.0) == 2
    assert await store.renew_leases(["c1", "c1"], 8000.0) == {"c1"}
