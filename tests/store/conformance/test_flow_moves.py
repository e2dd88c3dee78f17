"""What a flow hears and how it moves: signals, news, waits, the table of moves. The same for all stores."""

from __future__ import annotations

import asyncio

import pytest

from outlast.core.flow import FlowMode, FlowStatus, FlowWorker
from outlast.core.lifecycle import FLOW_MOVES, FlowVerb, IllegalMove
from outlast.core.session import Cause, Status
from outlast.core.task import Delivery
from outlast.store.base_flows import Child
from store.flow_fakes import (
    HANDLER,
    child_task,
    claim,
    everything,
    make,
    managed,
    move,
    new_flow,
    question,
    running,
    step,
    waiting_for,
)


async def test_signals_wait_for_a_step_and_steps_for_a_signal(store):
    flow = await running(store, "c1")
    sent = await store.send_signal(flow.id, "go", '{"n":1}', 2_000_001.0, "ann", "k1")
    await store.send_signal(flow.id, "stop", "0", 2_000_002.0, "bob", None)
    await store.send_signal(flow.id, "go", "2", 2_000_003.0, "bob", None)
    first = await store.take_signal(flow.id, "c1", waiting_for(flow.id, "", "go"), "go", 2_000_005.0)
    assert (first.status, first.result, first.ended_at) == (Status.SUCCEEDED, '{"n":1}', 2_000_005.0)
    second = await store.take_signal(flow.id, "c1", waiting_for(flow.id, "", "go#2", 1), "go", 2_000_006.0)
    assert second.result == "2"
    waits = waiting_for(flow.id, "", "go#3", 2)
    assert await store.take_signal(flow.id, "c1", waits, "go", 2_000_007.0) == waits
    assert await store.steps_of(flow.id) == [first, second, waits]
    await store.send_signal(flow.id, "go", "3", 2_000_008.0, "bob", None)
    third = await store.take_signal(flow.id, "c1", waits, "go", 2_000_009.0)
    assert (third.result, third.seq) == ("3", 2)
    signals = await store.signals_of(flow.id)
    assert [(one.name, one.step) for one in signals] == [
        ("go", "go"), ("stop", None), ("go", "go#2"), ("go", "go#3"),
    ]  # fmt: skip
    assert (sent.id, sent.payload, sent.sent_by, sent.source_key) == (signals[0].id, '{"n":1}', "ann", "k1")


async def test_two_steps_that_take_a_signal_at_once_share_what_there_is(store):
    flow = await running(store, "c1")
    await store.send_signal(flow.id, "go", "1", 2_000_001.0, "ann", None)
    rows = [waiting_for(flow.id, "", f"go#{n}", n) for n in range(3)]
    taken = await asyncio.gather(*(store.take_signal(flow.id, "c1", row, "go", 2_000_002.0) for row in rows))
    assert sorted(row.status for row in taken) == ["running", "running", "succeeded"]


async def test_a_step_that_asks_again_because_the_answer_was_lost_gets_the_signal_it_has_taken(store):
    flow = await running(store, "c1")
    for payload in ("1", "2"):
        await store.send_signal(flow.id, "go", payload, 2_000_001.0, "ann", None)
    waits = waiting_for(flow.id, "", "go")
    first = await store.take_signal(flow.id, "c1", waits, "go", 2_000_002.0)
    assert await store.take_signal(flow.id, "c1", waits, "go", 2_000_003.0) == first
    assert [one.step for one in await store.signals_of(flow.id)] == ["go", None]


async def test_the_same_key_a_second_time_is_the_first_signal(store):
    flow = await running(store, "c1")
    first = await store.send_signal(flow.id, "go", "1", 2_000_001.0, "ann", "k")
    await store.look_at_flow(flow.id, "c1")
    before = await everything(store)
    again = await asyncio.gather(*(store.send_signal(flow.id, "go", "2", 2_000_002.0, "bob", "k") for _ in range(3)))
    assert again == [first] * 3
    assert await everything(store) == before
    other = await running(store, "c2")
    assert (await store.send_signal(other.id, "go", "2", 2_000_002.0, "bob", "k")).payload == "2"


async def test_nobody_signals_a_flow_that_has_ended_or_is_unknown(store):
    flow = await running(store, "c1")
    await store.move_flow(move(flow.id, FlowVerb.SUCCEED))
    before = await everything(store)
    assert await store.send_signal(flow.id, "go", "1", 3e6, "ann", "k") is None
    assert await store.send_signal("unknown", "go", "1", 3e6, "ann", None) is None
    assert await everything(store) == before


async def test_news_before_a_flow_waits_is_not_lost(store):
    flow = await running(store, "c1")
    wait = move(
        flow.id, FlowVerb.WAIT, claim_id="c1", unless_nudged=True, ready_at=3e6, wait={"for": "signal"}, step="go"
    )
    await store.send_signal(flow.id, "go", "1", 2_000_001.0, "ann", None)
    before = await everything(store)
    assert await store.move_flow(wait) is None
    assert await everything(store) == before
    looked = await store.look_at_flow(flow.id, "c1")
    assert (looked.flow.nudges, looked.input) == (0, {})
    parked = await store.move_flow(wait)
    assert parked == await store.get_flow(flow.id)
    assert (parked.status, parked.ready_at, parked.wait, parked.step) == ("waiting", 3e6, {"for": "signal"}, "go")
    assert (parked.claim_id, parked.claimed_by, parked.lease_until) == (None, None, None)


async def test_news_wakes_a_flow_that_waits_and_who_claims_it_has_seen_it(store):
    flow = await running(store, "c1")
    await store.move_flow(move(flow.id, FlowVerb.WAIT, claim_id="c1", unless_nudged=True, wait={"for": "signal"}))
    assert await store.next_flow_ready([HANDLER]) is None
    told = []
    store.on_change(told.append)
    await store.send_signal(flow.id, "go", "1", 2_000_050.0, "ann", None)
    assert any(change.flows for change in told)
    assert await store.next_flow_ready([HANDLER]) == 2_000_050.0
    assert await store.ready_handlers(2_000_050.0) == [HANDLER]
    [held] = await store.claim_flows(claim("c2", now=2_000_051.0))
    assert (held.flow.nudges, held.flow.wait, held.flow.status) == (0, None, FlowStatus.RUNNING)
    assert (await store.flow_events(flow.id))[-1].verb == "resume"


async def test_a_wait_that_is_over_is_claimed_and_one_that_is_not_sleeps(store):
    for number, ready_at in enumerate((2_000_100.0, 2_000_300.0, None)):
        flow = await running(store, f"c{number}")
        await store.move_flow(move(flow.id, FlowVerb.WAIT, claim_id=f"c{number}", ready_at=ready_at))
    assert await store.next_flow_ready([HANDLER, "m:other"]) == 2_000_100.0
    assert await store.next_flow_ready([HANDLER], after=2_000_100.0) == 2_000_300.0
    assert await store.next_flow_ready(["m:other"]) is None
    assert await store.next_flow_ready([], after=2_000_100.0) == 2_000_300.0
    assert [len(await store.claim_flows(claim("x", "y", now=now))) for now in (2_000_099.0, 2_000_100.0)] == [0, 1]


async def test_news_says_what_kind_it_is(store):
    """What an engine does on its own way is news for those who watch, and does not wake the engine."""
    told = []
    store.on_change(told.append)

    async def kinds(act) -> tuple[bool, bool]:
        await act
        while not told:
            await asyncio.sleep(0)
        seen = (any(one.flows for one in told), any(one.steps for one in told))
        told.clear()
        return seen

    flow = new_flow(1)
    assert await kinds(store.create_flow(flow, claim("c1", now=flow.created_at))) == (False, True)
    assert await kinds(store.checkpoint(flow.id, "c1", [step(flow.id, "a")])) == (False, True)
    assert await kinds(store.send_signal(flow.id, "go", "1", 2e6, "ann", None)) == (True, True)
    assert await kinds(store.move_flow(move(flow.id, FlowVerb.SUCCEED, claim_id="c1"))) == (False, True)
    assert await kinds(make(store, 2)) == (True, True)
    assert await kinds(store.ask_approval(question(1))) == (True, False)


async def test_every_move_is_checked_by_the_table(store):
    """Each verb from each status: what the table allows is done, and nothing else changes anything."""
    made = {
        FlowStatus.QUEUED: (), FlowStatus.RUNNING: (FlowVerb.CLAIM,), FlowStatus.BLOCKED: (FlowVerb.BLOCK,),
        FlowStatus.WAITING: (FlowVerb.CLAIM, FlowVerb.WAIT), FlowStatus.SUCCEEDED: (FlowVerb.CLAIM, FlowVerb.SUCCEED),
        FlowStatus.FAILED: (FlowVerb.FAIL,), FlowStatus.CANCELLED: (FlowVerb.CANCEL,),
        FlowStatus.LOST: (FlowVerb.LOSE,),
    }  # fmt: skip
    verbs = [verb for verb in FLOW_MOVES if verb not in (FlowVerb.CLAIM, FlowVerb.RETRY)]
    for source, way in made.items():
        for verb in verbs:
            flow = await make(store)
            for done in way:
                if done is FlowVerb.CLAIM:
                    await store.claim_flows(claim(f"c-{flow.id}-{verb}"))
                else:
                    assert await store.move_flow(move(flow.id, done))
            before = await store.get_flow(flow.id)
            assert before.status is source
            rule = FLOW_MOVES[verb]
            moved = await store.move_flow(move(flow.id, verb, target=rule.targets[-1]))
            if source in rule.sources:
                assert moved == await store.get_flow(flow.id)
                assert (moved.status, moved.revision) == (rule.targets[-1], before.revision + 1)
                assert (moved.ended_at is not None) == moved.status.final
                assert (await store.flow_events(flow.id))[-1].verb == verb
            else:
                assert moved is None and await store.get_flow(flow.id) == before
            await store.move_flow(move(flow.id, FlowVerb.CANCEL))
    for verb in (FlowVerb.CLAIM, FlowVerb.RETRY):
        with pytest.raises(IllegalMove):
            await store.move_flow(move("f1", verb))


async def test_an_end_writes_what_it_is_told_and_keeps_the_rest(store):
    flow = await running(store, "c1", state={"phase": 1})
    await store.move_flow(
        move(flow.id, FlowVerb.REQUEUE, claim_id="c1", cause=Cause.ERROR, error="first", ready_at=2_000_020.0)
    )
    queued = await store.get_flow(flow.id)
    assert (queued.status, queued.ready_at, queued.error, queued.attempt) == ("queued", 2_000_020.0, "first", 1)
    [held] = await store.claim_flows(claim("c2", now=2_000_020.0))
    assert held.flow.attempt == 2
    ended = await store.move_flow(
        move(flow.id, FlowVerb.SUCCEED, claim_id="c2", result='"done"', steps_done=3, steps_known=4, state={"phase": 2})
    )
    assert (ended.result, ended.steps_done, ended.steps_known, ended.state) == ('"done"', 3, 4, {"phase": 2})
    assert (ended.error, ended.cause, ended.ready_at, ended.claim_id) == (None, None, None, None)
    assert (ended.ended_at, ended.delivery) == (2_000_010.0, Delivery.NOT_NEEDED)


async def test_a_flow_that_is_requeued_forgets_what_did_not_succeed(store):
    flow = await running(store, "c1")
    rows = [step(flow.id, "a", 0), step(flow.id, "b", 1, Status.FAILED), step(flow.id, "d", 3, Status.RUNNING)]
    await store.checkpoint(flow.id, "c1", rows)
    await store.start_child(flow.id, "c1", waiting_for(flow.id, "t1", "c", 2), Child(task=child_task(flow.id, "t1")))
    await store.move_flow(move(flow.id, FlowVerb.REQUEUE, claim_id="c1"))
    assert await store.steps_of(flow.id) == rows[:1]
    assert (await store.get_task("t1")).status is Status.CANCELLED


async def test_a_flow_that_was_blocked_goes_on_in_the_attempt_it_was_in(store):
    flow = await running(store, "c1")
    blocker = {"kind": "code_changed", "message": "step b is new"}
    blocked = await store.move_flow(move(flow.id, FlowVerb.BLOCK, claim_id="c1", blocker=blocker))
    assert (blocked.status, blocked.blocker, blocked.ready_at) == (FlowStatus.BLOCKED, blocker, None)
    assert await store.claim_flows(claim("c2", now=9e6)) == []
    queued = await store.move_flow(move(flow.id, FlowVerb.RESUME, target=FlowStatus.QUEUED))
    assert (queued.status, queued.blocker, queued.ready_at) == (FlowStatus.QUEUED, None, 2_000_010.0)
    [held] = await store.claim_flows(claim("c2", now=9e6))
    assert held.flow.attempt == 1


async def test_a_controller_moves_a_managed_flow_by_the_revision_it_knows(store):
    flow = (await store.create_flow(managed(1))).flow
    assert (flow.status, flow.ready_at, flow.claim_id, flow.started_at) == (FlowStatus.RUNNING, None, None, 1001.0)
    waits = await store.move_flow(move(flow.id, FlowVerb.WAIT, revision=1, wait={"for": "the boss"}, step="ask"))
    assert (waits.status, waits.revision, waits.wait) == (FlowStatus.WAITING, 2, {"for": "the boss"})
    before = await everything(store)
    assert await store.move_flow(move(flow.id, FlowVerb.SUCCEED, revision=1)) is None
    assert await everything(store) == before
    goes_on = await store.move_flow(move(flow.id, FlowVerb.RESUME, target=FlowStatus.RUNNING, revision=2))
    assert (goes_on.status, goes_on.wait, goes_on.step) == (FlowStatus.RUNNING, None, "ask")
    assert (await store.move_flow(move(flow.id, FlowVerb.SUCCEED, revision=3))).status is FlowStatus.SUCCEEDED
    assert flow.mode is FlowMode.MANAGED


async def test_workers_say_what_they_serve(store):
    one = FlowWorker("w1", "n1", 11, ["m:a", "m:b"], 5.0, 65.0)
    two = FlowWorker("w2", "n1", 12, [], 4.0, 64.0)
    for worker in (one, two):
        await store.flow_worker(worker)
    assert await store.flow_workers() == [two, one]
    heard = []
    store.on_change(heard.append)
    later = FlowWorker("w1", "n1", 11, ["m:a"], 5.0, 125.0)
    await store.flow_worker(later)
    await asyncio.sleep(0)
    assert heard == []
    await store.remove_flow_worker("w2")
    assert await store.flow_workers() == [later]
