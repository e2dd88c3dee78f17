"""Flows on record and under a claim: who may run them, what is written under it, what steps begin."""

from __future__ import annotations

import asyncio
import json

import pytest

from outlast.core.errors import Conflict
from outlast.core.flow import FlowFilter, FlowStatus, StepKind
from outlast.core.lifecycle import FlowVerb, Verb
from outlast.core.session import Cause, Status
from outlast.core.task import NotifyPolicy
from outlast.store.base_flows import Child
from store.flow_fakes import (
    HANDLER,
    child_task,
    claim,
    everything,
    make,
    move,
    new_flow,
    question,
    running,
    step,
    waiting_for,
)
from store.store_fakes import move as task_move


async def test_a_flow_is_put_on_record_whole_and_reads_back_the_same(store):
    new = new_flow(
        7, ask={"args": ["1.2"]}, goal="a release", state={"phase": 1}, conversation="agent:a:main", channel="ops",
        label="nightly", schedule_id="s1", node="n1", priority=3, notify=NotifyPolicy.FAILURES_ONLY, dedupe_key="d",
        concurrency_key="k", concurrency_max=2, attempts_max=4, retry={"delaySeconds": 2.0}, deadline_at=9e6,
    )  # fmt: skip
    flow = (await store.create_flow(new)).flow
    assert flow == await store.get_flow(new.id)
    for name in (
        "mode", "name", "requester", "created_at", "handler", "ask", "goal", "state", "conversation", "channel",
        "label", "schedule_id", "node", "priority", "notify", "dedupe_key", "concurrency_key", "concurrency_max",
        "attempts_max", "retry", "deadline_at",
    ):  # fmt: skip
        assert getattr(flow, name) == getattr(new, name), name
    assert (flow.status, flow.revision, flow.attempt, flow.key_held) == (FlowStatus.QUEUED, 1, 0, True)
    assert (flow.ready_at, flow.updated_at, flow.started_at, flow.delivery) == (1007.0, 1007.0, None, "not_needed")
    assert await store.flow_input(new.id) == {"args": [7]}
    [line] = await store.flow_events(new.id)
    assert (line.verb, line.status, line.at) == ("create", FlowStatus.QUEUED, 1007.0)


async def test_a_second_flow_with_the_same_id_is_refused_and_changes_nothing(store):
    await make(store, 1)
    before = await everything(store)
    with pytest.raises(Conflict, match=new_flow(1).id) as caught:
        await store.create_flow(new_flow(1, name="other"))
    assert caught.value.code == "flow_exists"
    assert await everything(store) == before


async def test_a_live_flow_with_the_same_key_stands_in_for_a_second_start(store):
    first = await make(store, 1, dedupe_key="d")
    again = await store.create_flow(new_flow(2, dedupe_key="d"))
    assert again.existing and again.flow == first
    await store.move_flow(move(first.id, FlowVerb.CANCEL))
    assert not (await store.create_flow(new_flow(3, dedupe_key="d"))).existing


async def test_a_start_claims_in_the_same_act_if_it_may_begin_now(store):
    flow = (await store.create_flow(new_flow(1), claim("c1", now=1001.0))).flow
    assert flow == await store.get_flow(flow.id)
    assert (flow.status, flow.claim_id, flow.claimed_by, flow.attempt) == (FlowStatus.RUNNING, "c1", "w1", 1)
    assert flow.ready_at == flow.lease_until == 2_000_060.0
    [line] = await store.flow_events(flow.id)
    assert (line.verb, line.status, line.data) == ("create", FlowStatus.RUNNING, {"worker": "w1", "claimId": "c1"})
    later = (await store.create_flow(new_flow(2, not_before_at=5000.0), claim("c2"))).flow
    assert (later.status, later.ready_at, later.claim_id) == (FlowStatus.QUEUED, 5000.0, None)
    assert await store.claim_flows(claim("c3", now=4999.0)) == []
    assert len(await store.claim_flows(claim("c3", now=5000.0))) == 1


async def test_a_claim_brings_the_record_the_input_and_the_steps(store):
    flow = await make(store, 1)
    [held] = await store.claim_flows(claim("c1"))
    assert held.flow == await store.get_flow(flow.id)
    assert (held.flow.status, held.flow.claimed_by, held.flow.attempt) == (FlowStatus.RUNNING, "w1", 1)
    assert (held.flow.started_at, held.flow.lease_until, held.input) == (2e6, 2_000_060.0, {"args": [1]})
    assert held.steps == []
    assert await store.claim_flows(claim("c2")) == []
    line = (await store.flow_events(flow.id))[-1]
    assert (line.verb, line.status, line.data) == ("claim", FlowStatus.RUNNING, {"worker": "w1", "claimId": "c1"})


async def test_claims_go_by_priority_then_by_what_was_ready_first_over_all_handlers(store):
    ready = [(HANDLER, 0, 40), ("m:b", 0, 30), (HANDLER, 7, 60), ("m:b", 7, 50), (HANDLER, -3, 1), ("m:none", 9, 1)]
    for number, (handler, priority, moment) in enumerate(ready):
        await make(store, number, handler=handler, priority=priority, not_before_at=2000.0 + moment)
    for number in range(20, 60):  # much that is ready, and much that sleeps before it
        await make(store, number, handler=HANDLER, priority=number % 4, not_before_at=3e6)
    wish = claim("u", "v", "w", "x", "y", "z", handlers=["m:b", HANDLER, "m:b"])
    held = await store.claim_flows(wish)
    assert [int(one.flow.id[1:]) for one in held] == [3, 2, 1, 0, 4]
    assert [one.flow.claim_id for one in held] == ["u", "v", "w", "x", "y"]


async def test_two_workers_that_claim_at_once_share_what_there_is(store):
    for number in range(30):
        await make(store, number, priority=number % 3)
    wishes = [claim(*(f"{worker}-{turn}-{n}" for n in range(4)), worker=worker) for turn in range(5) for worker in "ab"]
    taken = [held.flow for some in await asyncio.gather(*map(store.claim_flows, wishes)) for held in some]
    assert len(taken) == len({flow.id for flow in taken}) == len({flow.claim_id for flow in taken}) == 30
    assert {flow.claimed_by for flow in taken} == {"a", "b"}


async def test_a_lease_that_ran_out_lets_another_worker_take_over(store):
    flow = await running(store, "c1")
    assert await store.renew_flow_leases(["c1", "none"], 2_000_100.0) == {"c1"}
    assert await store.next_flow_ready([HANDLER]) == 2_000_100.0
    assert await store.claim_flows(claim("c2", now=2_000_099.0)) == []
    await store.checkpoint(flow.id, "c1", [step(flow.id, "b", 1), step(flow.id, "a", 0)])
    [held] = await store.claim_flows(claim("c2", worker="w2", now=2_000_100.0, lease_until=2_000_160.0))
    assert (held.flow.claim_id, held.flow.claimed_by, held.flow.attempt) == ("c2", "w2", 1)
    assert [one.key for one in held.steps] == ["a", "b"]
    line = (await store.flow_events(flow.id))[-1]
    assert (line.verb, line.data["from"], line.data["worker"]) == ("takeover", "w1", "w2")
    assert await store.renew_flow_leases(["c1", "c2"], 3e6) == {"c2"}


async def test_crashes_count_while_a_flow_gets_no_further(store):
    flow = await running(store, "c1")

    async def take_over(claim_id: str, now: float) -> int:
        [held] = await store.claim_flows(claim(claim_id, now=now, lease_until=now + 1))
        assert held.flow == await store.get_flow(flow.id)
        return held.flow.crashes

    assert [await take_over("c2", 2_000_100.0), await take_over("c3", 2_000_200.0)] == [1, 2]
    await store.checkpoint(flow.id, "c3", [step(flow.id, "a", 0, Status.RUNNING)])
    assert [await take_over("c4", 2_000_300.0), await take_over("c5", 2_000_400.0)] == [1, 2]
    await store.checkpoint(flow.id, "c5", [step(flow.id, "a", 0)])
    assert await take_over("c6", 2_000_500.0) == 1
    await store.move_flow(move(flow.id, FlowVerb.BLOCK, claim_id="c6", blocker={"kind": "crashes"}))
    assert (await store.get_flow(flow.id)).crashes == 1
    await store.move_flow(move(flow.id, FlowVerb.RESUME, target=FlowStatus.QUEUED))
    assert await take_over("c7", 2_000_600.0) == 0
    assert await take_over("c8", 2_000_700.0) == 1


async def test_a_claim_that_spares_others_takes_only_what_nobody_holds(store):
    held = [await running(store, f"c{number}", number) for number in range(3)]
    queued = await make(store, 9)
    wish = claim("n1", "n2", worker="w2", now=2_000_100.0, lease_until=2_000_200.0, spare=True)
    assert [one.flow.id for one in await store.claim_flows(wish)] == [queued.id]
    assert {(await store.get_flow(flow.id)).claim_id for flow in held} == {"c0", "c1", "c2"}


async def test_what_a_dead_worker_held_is_ready_at_once(store):
    mine, other = await running(store, "c1", 1), await running(store, "c2", 2)
    await store.claim_flows(claim("c3", worker="w2", now=2_000_100.0))
    assert await store.release_flows_of("w1", 2_000_050.0) == 1
    left = {(await store.get_flow(flow.id)).ready_at for flow in (mine, other)}
    assert left == {2_000_050.0, 2_000_060.0}
    assert await store.release_flows_of("w1", 2_000_051.0) == 0


async def test_what_a_worker_lets_go_by_itself_is_no_crash_and_no_longer_his(store):
    flow = await running(store, "c1")
    for number in range(7):
        assert await store.release_flows_of("w1", 2_000_050.0 + number, died=False) == 1
        assert not await store.checkpoint(flow.id, f"c{number + 1}", [step(flow.id, "late")])
        [held] = await store.claim_flows(claim(f"c{number + 2}", now=2_000_050.0 + number))
        assert (held.flow.crashes, held.flow.status) == (0, FlowStatus.RUNNING)


async def test_a_takeover_tells_everybody_since_who_died_may_not_have_told_what_he_wrote(store):
    flow = await running(store, "c1")
    heard = []
    store.on_change(heard.append)
    await store.claim_flows(claim("c2", worker="w2", now=2_000_100.0, lease_until=2_000_200.0))
    assert (await store.get_flow(flow.id)).crashes == 1
    await asyncio.sleep(0)
    assert any(change.queued and change.outbox and change.wakes and change.schedules for change in heard)


async def test_a_claim_that_is_gone_writes_nothing(store):
    flow = await running(store, "old")
    await store.checkpoint(flow.id, "old", [step(flow.id, "a")])
    await store.send_signal(flow.id, "go", "1", 2_000_001.0, "ann", None)
    [held] = await store.claim_flows(claim("new", worker="w2", now=3e6, lease_until=4e6))
    other = await running(store, "other")
    before = await everything(store)
    asked = Child(approval=question(1, flow_id=flow.id))
    for claim_id in ("old", "other", "none"):
        assert not await store.checkpoint(flow.id, claim_id, [step(flow.id, "b", 1)], 9e6)
        assert not await store.checkpoint(flow.id, claim_id, [step(flow.id, "a", result="2")])
        for child in (Child(task=child_task(flow.id, "t1")), Child(flow=new_flow(5)), asked):
            assert not await store.start_child(flow.id, claim_id, waiting_for(flow.id, "x", "c", 2), child)
        assert await store.take_signal(flow.id, claim_id, waiting_for(flow.id, "x", "s", 3), "go", 3e6) is None
        assert await store.look_at_flow(flow.id, claim_id) is None
        for verb in (FlowVerb.WAIT, FlowVerb.BLOCK, FlowVerb.REQUEUE, FlowVerb.SUCCEED, FlowVerb.FAIL, FlowVerb.LOSE):
            assert await store.move_flow(move(flow.id, verb, claim_id=claim_id)) is None
    assert await everything(store) == before
    assert await store.get_approval(question(1).id) is None
    assert await store.checkpoint(flow.id, "new", [step(flow.id, "b", 1)])
    assert other.claim_id == "other" and held.flow.claim_id == "new"


async def test_a_checkpoint_writes_rows_over_what_stands_there_and_extends_the_lease(store):
    flow = await running(store, "c1")
    rows = [step(flow.id, "a", 0, Status.RUNNING, due_at=5.0), step(flow.id, "b", 1, error="oh", result=None)]
    assert await store.checkpoint(flow.id, "c1", rows, 2_000_200.0)
    assert await store.steps_of(flow.id) == rows
    assert ((await store.get_flow(flow.id)).lease_until, await store.next_flow_ready([])) == (2_000_200.0, 2_000_200.0)
    done = step(flow.id, "a", 0, result='{"x":"é"}', attempt=2)
    assert await store.checkpoint(flow.id, "c1", [done])
    assert await store.steps_of(flow.id) == [done, rows[1]]
    assert await store.steps_of(flow.id, after=0) == [rows[1]]
    assert await store.step_counts([flow.id, "none"]) == {flow.id: (2, 2), "none": (0, 0)}
    assert await store.checkpoint(flow.id, "c1", [])
    assert not await store.checkpoint(flow.id, "gone", [])


async def test_what_has_ended_is_not_overwritten_by_what_has_not(store):
    flow = await running(store, "c1")
    done = step(flow.id, "a")
    await store.checkpoint(flow.id, "c1", [done])
    late = [step(flow.id, "a", 0, Status.RUNNING), step(flow.id, "b", 1, Status.RUNNING)]
    assert await store.checkpoint(flow.id, "c1", late)
    assert await store.steps_of(flow.id) == [done, late[1]]


async def test_many_flows_write_their_steps_in_one_commit(store):
    flows = [await running(store, f"c{number}", number) for number in range(20)]
    held = {flow.id: "gone" if flow.id[-1] == "3" else flow.claim_id for flow in flows}
    acts = [
        store.checkpoint(flow_id, claim_id, [step(flow_id, "a"), step(flow_id, "b", 1)])
        for flow_id, claim_id in held.items()
    ]
    assert await asyncio.gather(*acts) == [flow.id[-1] != "3" for flow in flows]
    counts = await store.step_counts([flow.id for flow in flows])
    assert [count[0] for count in counts.values()] == [0 if flow.id[-1] == "3" else 2 for flow in flows]


async def test_single_steps_of_many_flows_go_in_one_commit_and_each_hears_its_own_answer(store):
    """They may be written together; one whose claim is gone must neither be written nor spoil the others."""
    flows = [await running(store, f"c{number}", number) for number in range(20)]
    stale = {flow.id for flow in flows[3:5]}
    acts = []
    for flow in flows:
        claim_id = "gone" if flow.id in stale else flow.claim_id
        acts.append(store.checkpoint(flow.id, claim_id, [step(flow.id, "a", 0, Status.RUNNING)]))
        acts.append(store.checkpoint(flow.id, claim_id, [step(flow.id, "a", 0, result='"done"')]))
        acts.append(store.checkpoint(flow.id, claim_id, [step(flow.id, "a", 0, Status.RUNNING)]))
    wanted = [flow.id not in stale for flow in flows for _ in range(3)]
    assert await asyncio.gather(*acts) == wanted
    for flow in flows:
        found = [(row.status, row.result) for row in await store.steps_of(flow.id)]
        assert found == ([] if flow.id in stale else [(Status.SUCCEEDED, '"done"')])


async def test_a_step_begins_with_its_task_and_ends_with_it(store):
    flow = await running(store, "c1")
    row = waiting_for(flow.id, "t1", "build")
    assert await store.start_child(flow.id, "c1", row, Child(task=child_task(flow.id, "t1")))
    assert (await store.get_task("t1")).flow_id == flow.id
    assert await store.live_tasks_of_flow(flow.id) == ["t1"]
    assert await store.nudged_flows("w1") == []
    cause = {"cause": Cause.EXIT, "error": "exit code 3", "result": '{"exit_code":3}'}
    await store.apply(task_move("t1", Verb.CANCEL, at=2_000_009.0, **cause))
    [settled] = await store.steps_of(flow.id)
    assert (settled.status, settled.ended_at, settled.error) == (Status.CANCELLED, 2_000_009.0, "exit code 3")
    assert settled.result == '{"exit_code":3}'
    assert await store.nudged_flows("w1") == [flow.id]
    assert await store.live_tasks_of_flow(flow.id) == []


async def test_a_task_that_brings_no_result_settles_its_step_with_what_is_on_record(store):
    flow = await running(store, "c1")
    await store.start_child(flow.id, "c1", waiting_for(flow.id, "t1"), Child(task=child_task(flow.id, "t1")))
    await store.apply(task_move("t1", Verb.LOSE, detail={"exitCode": 4}, summary="last words"))
    [settled] = await store.steps_of(flow.id)
    assert settled.status is Status.LOST
    assert json.loads(settled.result) == {
        "status": "lost", "exitCode": 4, "stdout": "", "tail": "last words", "sessionId": None, "taskId": "t1",
        "truncated": False,
    }  # fmt: skip
    await store.apply(task_move("t1", Verb.RECOVER, target=Status.SUCCEEDED, result='"late"'))
    assert await store.steps_of(flow.id) == [settled]


async def test_a_step_that_is_begun_twice_is_begun_once(store):
    """The first answer was lost on its way, and the holder asks again."""
    flow = await running(store, "c1")
    row, child = waiting_for(flow.id, "t1"), Child(task=child_task(flow.id, "t1"))
    assert await asyncio.gather(*(store.start_child(flow.id, "c1", row, child) for _ in range(2))) == [True, True]
    await store.apply(task_move("t1", Verb.CANCEL))
    before = await everything(store)
    assert await store.start_child(flow.id, "c1", row, child)
    assert await everything(store) == before


async def test_a_sub_flow_settles_the_step_that_waits_for_it(store):
    parent = await running(store, "c1", 1)
    sub = new_flow(2, parent_id=parent.id, parent_step="sub")
    row = waiting_for(parent.id, sub.id, "sub", kind=StepKind.FLOW)
    assert await store.start_child(parent.id, "c1", row, Child(flow=sub))
    assert [child.id for child in await store.child_flows(parent.id)] == [sub.id]
    [held] = await store.claim_flows(claim("c2"))
    await store.move_flow(
        move(sub.id, FlowVerb.FAIL, claim_id="c2", cause=Cause.ERROR, error="no disk", result='{"x":1}')
    )
    [settled] = await store.steps_of(parent.id)
    assert (settled.status, settled.error, settled.result) == (Status.FAILED, "no disk", '{"x":1}')
    assert held.flow.id == sub.id and await store.nudged_flows("w1") == [parent.id]


async def test_a_parent_that_takes_no_more_children_refuses_them(store):
    parent = await make(store, 1)
    await store.create_flow(new_flow(2, parent_id=parent.id))
    await store.ask_cancel_flow(parent.id, 5.0, None)
    for number, parent_id in ((3, parent.id), (4, "unknown")):
        with pytest.raises(Conflict) as caught:
            await store.create_flow(new_flow(number, parent_id=parent_id))
        assert caught.value.code == "parent_ended"
    assert len((await store.list_flows(FlowFilter(), 10)).flows) == 2


async def test_a_child_that_is_begun_after_a_wish_to_cancel_nobody_has_seen_is_called_off(store):
    flow = await running(store, "c1")
    await store.ask_cancel_flow(flow.id, 2_000_001.0, "enough")
    assert await store.start_child(flow.id, "c1", waiting_for(flow.id, "t1"), Child(task=child_task(flow.id, "t1")))
    assert (await store.get_task("t1")).status is Status.CANCELLED
    [settled] = (await store.look_at_flow(flow.id, "c1")).steps
    assert settled.status is Status.CANCELLED
    # What is begun once the holder knows is how it undoes things.
    undo = waiting_for(flow.id, "t2", "undo", 1)
    assert await store.start_child(flow.id, "c1", undo, Child(task=child_task(flow.id, "t2")))
    assert (await store.get_task("t2")).status is Status.QUEUED
