"""What the end of a flow brings with it, and the ways back: keys, children, cancelling, retries, notices, pruning."""

from __future__ import annotations

import asyncio

import pytest

from outlast.core.approval import ApprovalStatus
from outlast.core.errors import Conflict, NotFound
from outlast.core.flow import FlowFilter, FlowMode, FlowStatus, StepKind
from outlast.core.lifecycle import FlowVerb, Verb
from outlast.core.session import Cause, Status
from outlast.core.task import Delivery, NotifyPolicy
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
    verdict,
    waiting_for,
)
from store.store_fakes import claim as task_claim
from store.store_fakes import move as task_move
from store.store_fakes import new as new_task


async def status_of(store, flow_id: str) -> FlowStatus:
    return (await store.get_flow(flow_id)).status


# ---- concurrency keys


async def test_of_one_key_so_many_are_under_way_and_the_others_wait_for_a_place(store):
    acts = [store.create_flow(new_flow(n, concurrency_key="k", concurrency_max=2)) for n in range(4)]
    flows = [created.flow for created in await asyncio.gather(*acts)]
    assert [flow.key_held for flow in flows] == [True, True, False, False]
    assert [flow.ready_at for flow in flows] == [1000.0, 1001.0, None, None]
    assert flows[2].wait == {"for": "place", "name": "k"}
    start = await store.create_flow(new_flow(9, concurrency_key="k", concurrency_max=2), claim("c9"))
    assert (start.flow.status, start.flow.claim_id) == (FlowStatus.QUEUED, None)
    assert len(await store.claim_flows(claim("a", "b", "c", "d"))) == 2
    other = await make(store, 10, concurrency_key="other")
    assert other.key_held


@pytest.mark.parametrize("verb", [FlowVerb.SUCCEED, FlowVerb.FAIL, FlowVerb.CANCEL, FlowVerb.LOSE])
async def test_every_end_hands_its_place_to_the_next_of_its_key(store, verb):
    first = await running(store, "c1", 1, concurrency_key="k")
    late = await make(store, 2, concurrency_key="k")
    urgent = await make(store, 3, concurrency_key="k", priority=5, not_before_at=2_000_500.0)
    ended = await store.move_flow(move(first.id, verb, claim_id="c1"))
    assert not ended.key_held
    next_one = await store.get_flow(urgent.id)
    assert (next_one.key_held, next_one.ready_at, next_one.wait) == (True, 2_000_500.0, None)
    assert not (await store.get_flow(late.id)).key_held
    await store.ask_cancel_flow(urgent.id, 2_000_011.0, None)
    last = await store.get_flow(late.id)
    assert (last.key_held, last.ready_at) == (True, 2_000_011.0)


async def test_ends_at_once_hand_over_just_their_places(store):
    flows = [await running(store, f"c{n}", n, concurrency_key="k", concurrency_max=3) for n in range(3)]
    for n in range(3, 10):
        await make(store, n, concurrency_key="k", concurrency_max=3)
    await asyncio.gather(*(store.move_flow(move(flow.id, FlowVerb.SUCCEED)) for flow in flows[:2]))
    page = await store.list_flows(FlowFilter(), 100)
    assert sorted(int(flow.id[1:]) for flow in page.flows if flow.key_held) == [2, 3, 4]


async def test_a_flow_that_is_retried_has_to_get_a_place_again(store):
    first = await running(store, "c1", 1, concurrency_key="k")
    second = await make(store, 2, concurrency_key="k")
    await store.move_flow(move(first.id, FlowVerb.FAIL))
    again = await store.retry_flow(first.id, None, 2_000_020.0)
    assert (again.status, again.key_held, again.ready_at) == (FlowStatus.QUEUED, False, None)
    await store.move_flow(move(second.id, FlowVerb.CANCEL, at=2_000_030.0))
    again = await store.get_flow(first.id)
    assert (again.key_held, again.ready_at) == (True, 2_000_030.0)
    blocked = await store.move_flow(move(first.id, FlowVerb.BLOCK))
    assert blocked.key_held
    assert (await store.retry_flow(first.id, None, 2_000_040.0)).ready_at == 2_000_040.0


async def test_a_flow_that_was_blocked_without_a_place_waits_for_one_when_it_goes_on(store):
    first = await running(store, "c1", 1, concurrency_key="k")
    second = await make(store, 2, concurrency_key="k")
    await store.move_flow(move(second.id, FlowVerb.BLOCK))
    queued = await store.move_flow(move(second.id, FlowVerb.RESUME, target=FlowStatus.QUEUED))
    assert (queued.key_held, queued.ready_at) == (False, None)
    await store.move_flow(move(second.id, FlowVerb.BLOCK))
    await store.move_flow(move(first.id, FlowVerb.SUCCEED))
    assert not (await store.get_flow(second.id)).key_held
    queued = await store.move_flow(move(second.id, FlowVerb.RESUME, target=FlowStatus.QUEUED, at=2_000_040.0))
    assert (queued.key_held, queued.ready_at) == (True, 2_000_040.0)


# ---- cancelling


async def test_what_undoes_a_flow_is_not_called_off_with_it(store):
    """A wish to cancel that comes when a failure is being undone already, or a second worker's start of such a step."""
    flow = await running(store, "c1")
    keys = ("compensate:task", "task")
    for seq, key in enumerate(keys):
        row = waiting_for(flow.id, f"t-{key}", key, seq)
        await store.start_child(flow.id, "c1", row, Child(task=child_task(flow.id, f"t-{key}")))
        row = waiting_for(flow.id, f"f-{key}", f"{key}-flow", 10 + seq, StepKind.FLOW)
        await store.start_child(
            flow.id, "c1", row, Child(flow=new_flow(id=f"f-{key}", parent_id=flow.id, parent_step=row.key))
        )  # fmt: skip
        asked = question(seq, flow_id=flow.id, step=f"{key}-ask")
        row = waiting_for(flow.id, asked.id, f"{key}-ask", 20 + seq, StepKind.APPROVAL)
        await store.start_child(flow.id, "c1", row, Child(approval=asked))
    await store.ask_cancel_flow(flow.id, 2_000_005.0, None)
    late = waiting_for(flow.id, "late", "compensate:late", 30)
    await store.start_child(flow.id, "c1", late, Child(task=child_task(flow.id, "late")))
    assert sorted(await store.live_tasks_of_flow(flow.id)) == ["late", "t-compensate:task"]
    assert await status_of(store, "f-compensate:task") is FlowStatus.QUEUED
    assert await status_of(store, "f-task") is FlowStatus.CANCELLED
    assert (await store.get_approval(question(0).id)).status is ApprovalStatus.PENDING
    assert (await store.get_approval(question(1).id)).status is ApprovalStatus.CANCELLED


@pytest.mark.parametrize("verb", [FlowVerb.SUCCEED, FlowVerb.FAIL, FlowVerb.CANCEL, FlowVerb.LOSE])
async def test_what_a_flow_was_at_when_it_ended_badly_has_ended_too(store, verb):
    flow = await running(store, "c1")
    done, sleeps = step(flow.id, "done"), step(flow.id, "sleeps", 1, Status.RUNNING)
    child = waiting_for(flow.id, "t1", "child", 2)
    await store.checkpoint(flow.id, "c1", [done, sleeps, child])
    await store.move_flow(move(flow.id, verb, claim_id="c1", at=2_000_010.0))
    status = Status.RUNNING if verb is FlowVerb.SUCCEED else Status.CANCELLED
    found = await store.steps_of(flow.id)
    assert [row.status for row in found] == [Status.SUCCEEDED, status, Status.RUNNING]
    assert (found[0], found[2]) == (done, child)


async def test_a_wish_to_cancel_is_written_once_and_told_to_who_runs_the_flow(store):
    flow = await running(store, "c1")
    asked = await store.ask_cancel_flow(flow.id, 2_000_001.0, "enough")
    assert asked == await store.get_flow(flow.id)
    assert (asked.status, asked.cancel_asked_at, asked.cancel_reason) == ("running", 2_000_001.0, "enough")
    assert await store.nudged_flows("w1") == [flow.id]
    assert await store.ask_cancel_flow(flow.id, 2_000_002.0, "again") is None
    assert await store.ask_cancel_flow("unknown", 2_000_002.0, None) is None
    line = (await store.flow_events(flow.id))[-1]
    assert (line.verb, line.data) == ("ask_cancel", {"reason": "enough"})
    assert [one.id for one in await store.flows_cancelling_since(2_000_001.5, 10)] == [flow.id]


async def test_cancelling_in_every_status(store):
    """Who has run something gets to undo it; what never ran has nothing to undo."""
    queued = await make(store, 1)
    await store.ask_cancel_flow(queued.id, 2_000_001.0, None)
    ended = await store.get_flow(queued.id)
    assert (ended.status, ended.cause, ended.ended_at) == (FlowStatus.CANCELLED, Cause.OPERATOR, 2_000_001.0)
    assert (await store.flow_events(queued.id))[-1].verb == "cancel"

    waiting = await running(store, "c2", 2)
    await store.move_flow(move(waiting.id, FlowVerb.WAIT, claim_id="c2", ready_at=9e6))
    asked = await store.ask_cancel_flow(waiting.id, 2_000_001.0, None)
    assert (asked.status, asked.ready_at) == (FlowStatus.WAITING, 2_000_001.0)

    blocked = await running(store, "c3", 3)
    await store.move_flow(move(blocked.id, FlowVerb.BLOCK, claim_id="c3", blocker={"kind": "crashed"}))
    asked = await store.ask_cancel_flow(blocked.id, 2_000_001.0, None)
    assert (asked.status, asked.ready_at, asked.blocker) == (FlowStatus.QUEUED, 2_000_001.0, None)

    tried = await running(store, "c4", 4)
    await store.move_flow(move(tried.id, FlowVerb.REQUEUE, claim_id="c4", ready_at=9e6))
    asked = await store.ask_cancel_flow(tried.id, 2_000_001.0, None)
    assert (asked.status, asked.ready_at) == (FlowStatus.QUEUED, 2_000_001.0)

    held = await store.claim_flows(claim("x", "y", "z", now=2_000_002.0))
    assert {one.flow.id for one in held} == {waiting.id, blocked.id, tried.id}
    assert {one.flow.id: one.flow.attempt for one in held} == {waiting.id: 1, blocked.id: 1, tried.id: 2}

    for flow_id in (waiting.id, blocked.id, tried.id):
        await store.move_flow(move(flow_id, FlowVerb.CANCEL))
        assert await store.ask_cancel_flow(flow_id, 2_000_003.0, None) is None


async def test_the_children_of_a_flow_are_asked_to_end_too(store):
    flow = await running(store, "c1", 1)
    for seq, task_id in enumerate(("queued", "runs")):
        row = waiting_for(flow.id, task_id, task_id, seq)
        await store.start_child(flow.id, "c1", row, Child(task=child_task(flow.id, task_id, priority=-seq)))
    sub = new_flow(2, parent_id=flow.id, parent_step="sub")
    await store.start_child(flow.id, "c1", waiting_for(flow.id, sub.id, "sub", 2, StepKind.FLOW), Child(flow=sub))
    asked = question(3, flow_id=flow.id, step="ok")
    row = waiting_for(flow.id, asked.id, "ok", 3, StepKind.APPROVAL)
    await store.start_child(flow.id, "c1", row, Child(approval=asked))
    await store.apply(task_move("queued", Verb.CANCEL, at=2_000_000.5))
    await store.create_task(child_task(flow.id, "late"))
    assert [one.task.id for one in await store.claim_tasks(task_claim("t1"))] == ["late"]

    await store.ask_cancel_flow(flow.id, 2_000_005.0, "enough")
    assert (await store.get_task("runs")).status is Status.CANCELLED
    assert (await store.get_task("late")).cancel_asked_at == 2_000_005.0
    child = await store.get_flow(sub.id)
    assert (child.status, child.cause, child.cancel_reason) == (FlowStatus.CANCELLED, Cause.PARENT, "enough")
    assert (await store.get_approval(asked.id)).status is ApprovalStatus.CANCELLED
    rows = await store.steps_of(flow.id)
    assert [row.status for row in rows] == [Status.CANCELLED] * 4
    assert await status_of(store, flow.id) is FlowStatus.RUNNING  # its program has yet to undo what it did


async def test_a_managed_flow_is_cancelled_when_its_last_child_has_settled(store):
    flow = (await store.create_flow(managed(1))).flow
    for number in (1, 2):
        await store.create_task(new_task(number))
        linked = await store.link_task(flow.id, new_task(number).id, 2e6, number)
        assert (linked.revision, linked.updated_at) == (number + 1, 2e6)
    sub = (await store.create_flow(managed(2, parent_id=flow.id))).flow
    await store.create_flow(managed(3, parent_id=sub.id))
    await store.create_task(child_task(new_flow(3).id, "deep"))
    assert len(await store.claim_tasks(task_claim("t1", "t2", "t3"))) == 3
    asked = await store.ask_cancel_flow(flow.id, 2_000_005.0, None)
    assert asked.status is FlowStatus.RUNNING
    ends = [store.apply(task_move(new_task(n).id, Verb.SUCCEED, at=2_000_006.0)) for n in (1, 2)]
    await asyncio.gather(*ends)
    assert await status_of(store, flow.id) is FlowStatus.RUNNING
    await store.apply(task_move("deep", Verb.CANCEL, at=2_000_007.0, cause=Cause.PARENT))
    for number in (1, 2, 3):
        ended = await store.get_flow(new_flow(number).id)
        assert (ended.status, ended.ended_at) == (FlowStatus.CANCELLED, 2_000_007.0)
        verbs = [line.verb for line in await store.flow_events(ended.id)]
        assert verbs.count("cancel") == 1 and verbs[-1] == "cancel"


async def test_a_managed_flow_without_live_children_is_cancelled_at_once(store):
    flow = (await store.create_flow(managed(1))).flow
    await store.create_task(new_task(1))
    await store.link_task(flow.id, new_task(1).id, 2e6, None)
    asked = await store.ask_cancel_flow(flow.id, 2_000_005.0, None)
    assert asked.status is FlowStatus.CANCELLED
    assert (await store.get_task(new_task(1).id)).status is Status.CANCELLED


async def test_a_flow_that_is_to_end_takes_no_more_tasks(store):
    flow = (await store.create_flow(managed(1))).flow
    program = await make(store, 2)
    for number in (1, 2, 3):
        await store.create_task(new_task(number))
    with pytest.raises(NotFound):
        await store.link_task(flow.id, "unknown", 2e6, None)
    await store.link_task(flow.id, new_task(1).id, 2e6, None)
    await store.claim_tasks(task_claim("t1"))
    other = (await store.create_flow(managed(3))).flow
    with pytest.raises(Conflict) as caught:
        await store.link_task(other.id, new_task(1).id, 2e6, None)
    assert caught.value.code == "task_linked"
    assert await store.link_task(flow.id, new_task(2).id, 2e6, 1) is None
    assert await store.link_task(program.id, new_task(2).id, 2e6, None) is None
    await store.ask_cancel_flow(flow.id, 2_000_005.0, None)
    assert await store.link_task(flow.id, new_task(2).id, 2e6, None) is None
    assert [(await store.get_task(new_task(n).id)).flow_id for n in (1, 2)] == [flow.id, None]
    assert [event.verb for event in await store.events_of(new_task(1).id)][1] == "link"


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        (Verb.SUCCEED, FlowStatus.SUCCEEDED), (Verb.FAIL, FlowStatus.FAILED), (Verb.TIME_OUT, FlowStatus.FAILED),
        (Verb.CANCEL, FlowStatus.CANCELLED), (Verb.LOSE, FlowStatus.LOST),
    ],
)  # fmt: skip
async def test_a_mirrored_flow_follows_the_end_of_its_task(store, verb, status):
    mirrored = managed(1, mode=FlowMode.MIRRORED, task_id="t1")
    flow = (await store.create_flow(mirrored)).flow
    await store.create_task(child_task(flow.id, "t1"))
    await store.claim_tasks(task_claim("t"))
    await store.apply(task_move("t1", verb, at=2_000_005.0, cause=Cause.TIMEOUT, error="x", result='"r"'))
    ended = await store.get_flow(flow.id)
    assert (ended.status, ended.cause, ended.error) == (status, Cause.TIMEOUT, "x")
    assert (ended.ended_at, ended.result) == (2_000_005.0, '"r"')
    # One that is made when the task has ended already ends with its making.
    late = managed(2, mode=FlowMode.MIRRORED, task_id="t1")
    assert (await store.create_flow(late)).flow.status is status


async def test_cancelling_a_mirrored_flow_asks_its_task_to_end(store):
    flow = (await store.create_flow(managed(1, mode=FlowMode.MIRRORED, task_id="t1"))).flow
    await store.create_task(child_task(flow.id, "t1"))
    await store.claim_tasks(task_claim("t"))
    assert (await store.ask_cancel_flow(flow.id, 2_000_001.0, None)).status is FlowStatus.RUNNING
    assert (await store.get_task("t1")).cancel_asked_at == 2_000_001.0
    await store.apply(task_move("t1", Verb.CANCEL))
    assert await status_of(store, flow.id) is FlowStatus.CANCELLED


# ---- ways back


async def _failed(store) -> str:
    """A flow that failed at its third step; its second consumed a signal."""
    flow = await running(store, "c1", 1)
    await store.send_signal(flow.id, "go", "1", 2e6, "ann", None)
    await store.checkpoint(flow.id, "c1", [step(flow.id, "a", 0), step(flow.id, "c", 2, Status.FAILED)])
    await store.take_signal(flow.id, "c1", waiting_for(flow.id, "", "b", 1), "go", 2e6)
    await store.move_flow(move(flow.id, FlowVerb.FAIL, claim_id="c1", cause=Cause.ERROR, error="no disk"))
    return flow.id


async def test_a_retry_keeps_what_succeeded(store):
    flow_id = await _failed(store)
    again = await store.retry_flow(flow_id, None, 2_000_020.0)
    assert again == await store.get_flow(flow_id)
    assert (again.status, again.attempt, again.ready_at, again.ended_at) == (FlowStatus.QUEUED, 0, 2_000_020.0, None)
    assert (again.error, again.cause) == (None, None)
    assert [row.key for row in await store.steps_of(flow_id)] == ["a", "b"]
    assert [signal.step for signal in await store.signals_of(flow_id)] == ["b"]
    assert (await store.flow_events(flow_id))[-1].verb == "retry"
    assert await store.retry_flow(flow_id, None, 2_000_021.0) is None
    [held] = await store.claim_flows(claim("c2", now=2_000_021.0))
    assert (held.flow.attempt, held.input) == (1, {"args": [1]})


async def test_a_retry_from_a_step_forgets_it_and_what_came_after(store):
    flow_id = await _failed(store)
    assert await store.retry_flow(flow_id, "unknown", 2_000_020.0) is None
    assert await status_of(store, flow_id) is FlowStatus.FAILED
    await store.retry_flow(flow_id, "b", 2_000_020.0)
    assert [row.key for row in await store.steps_of(flow_id)] == ["a"]
    assert [signal.step for signal in await store.signals_of(flow_id)] == [None]


async def test_a_retry_calls_off_what_forgotten_steps_had_begun(store):
    flow = await running(store, "c1", 1)
    sub = new_flow(2, parent_id=flow.id)
    asked = question(3, flow_id=flow.id)
    for row, child in (
        (waiting_for(flow.id, "t1", "a", 0), Child(task=child_task(flow.id, "t1"))),
        (waiting_for(flow.id, sub.id, "b", 1, StepKind.FLOW), Child(flow=sub)),
        (waiting_for(flow.id, asked.id, "c", 2, StepKind.APPROVAL), Child(approval=asked)),
    ):
        assert await store.start_child(flow.id, "c1", row, child)
    await store.move_flow(move(flow.id, FlowVerb.BLOCK, claim_id="c1"))
    await store.retry_flow(flow.id, None, 2_000_020.0)
    assert (await store.get_task("t1")).status is Status.CANCELLED
    assert await status_of(store, sub.id) is FlowStatus.CANCELLED
    assert (await store.get_approval(asked.id)).status is ApprovalStatus.CANCELLED
    assert await store.steps_of(flow.id) == []


async def test_what_stands_elsewhere_is_not_retried(store):
    going, queued = await running(store, "c1", 1), await make(store, 2)
    by_hand = (await store.create_flow(managed(3))).flow
    await store.move_flow(move(by_hand.id, FlowVerb.FAIL))
    done = await running(store, "c4", 4)
    await store.move_flow(move(done.id, FlowVerb.SUCCEED))
    before = await everything(store)
    for flow_id in (going.id, queued.id, by_hand.id, done.id, "unknown"):
        assert await store.retry_flow(flow_id, None, 2e6) is None
    assert await everything(store) == before


async def test_a_retry_does_not_bring_a_second_live_flow_of_one_key(store):
    first = await make(store, 1, dedupe_key="d")
    await store.move_flow(move(first.id, FlowVerb.FAIL))
    second = await make(store, 2, dedupe_key="d")
    with pytest.raises(Conflict, match=second.id) as caught:
        await store.retry_flow(first.id, None, 2e6)
    assert caught.value.code == "flow_live"


async def test_a_fork_begins_with_the_steps_before_one(store):
    flow_id = await _failed(store)
    before = await store.get_flow(flow_id)
    fork = await store.fork_flow(flow_id, "f-new", "b", 2_000_020.0)
    assert fork == await store.get_flow("f-new")
    assert (fork.status, fork.handler, fork.ready_at, fork.error) == ("queued", HANDLER, 2_000_020.0, None)
    assert await store.flow_input("f-new") == {"args": [1]}
    assert [(row.flow_id, row.key, row.result) for row in await store.steps_of("f-new")] == [("f-new", "a", "1")]
    assert [line.data for line in await store.flow_events("f-new")] == [{"forkOf": flow_id}]
    assert (await store.flow_events(flow_id))[-1].data == {"into": "f-new"}
    assert await store.get_flow(flow_id) == before
    assert await store.fork_flow(flow_id, "f-other", "unknown", 2e6) is None
    assert await store.fork_flow("unknown", "f-other", "a", 2e6) is None
    whole = await store.fork_flow(flow_id, "f-whole", "c", 2e6)
    assert [row.key for row in await store.steps_of(whole.id)] == ["a", "b"]


# ---- telling, forgetting


async def test_each_end_is_told_once_as_its_policy_wants(store):
    table = {
        NotifyPolicy.SILENT: set(), NotifyPolicy.DONE_ONLY: {"succeed", "fail", "cancel", "lose", "block"},
        NotifyPolicy.STATE_CHANGES: {"succeed", "fail", "cancel", "lose", "block"},
        NotifyPolicy.FAILURES_ONLY: {"fail", "lose", "block"},
    }  # fmt: skip
    expected = []
    for policy, told in table.items():
        for verb in (FlowVerb.SUCCEED, FlowVerb.FAIL, FlowVerb.CANCEL, FlowVerb.LOSE, FlowVerb.BLOCK):
            flow = await running(store, f"c-{policy}-{verb}", notify=policy, conversation="agent:b:main")
            moved = await store.move_flow(move(flow.id, verb))
            assert (moved.delivery is Delivery.PENDING) == (verb in told)
            if verb in told:
                expected.append((flow.id, f"{flow.id}:{verb}:2", "agent:b:main", 0))
    rows = await store.pending_outbox(100)
    assert [(row.task_id, row.idempotency_key, row.target, row.event_id) for row in rows] == expected
    assert {row.kind for row in rows} == {"flow_ended", "flow_blocked"}


async def test_the_delivery_of_a_flow_is_written_without_a_line_among_those_of_tasks(store):
    flows = [await running(store, f"c{n}", n, notify=NotifyPolicy.DONE_ONLY) for n in range(3)]
    for flow in flows:
        await store.move_flow(move(flow.id, FlowVerb.SUCCEED))
    first, second, third = await store.pending_outbox(10)
    assert await store.settle_notice(first.id, "parked", 2_000_020.0, "gone")
    assert (await store.get_flow(flows[0].id)).delivery is Delivery.FAILED
    assert await store.revive_notice(first.id, 2_000_021.0)
    assert (await store.get_flow(flows[0].id)).delivery is Delivery.PENDING
    assert await store.settle_notice(second.id, "delivered", 2_000_020.0)
    assert await store.settle_seen([flows[2].id], third.target, 2_000_022.0, "flow wait") == 1
    assert await store.deliver_to_conversation("agent:a:main", 2_000_023.0) == 1
    assert {(await store.get_flow(flow.id)).delivery for flow in flows} == {Delivery.DELIVERED}
    assert await store.events_since(0) == []
    [heard] = await store.system_events("agent:a:main", 0, 10)
    assert heard.text.startswith('Flow "release" succeeded')
    assert await store.check() == []


async def test_ended_flows_are_forgotten_with_all_that_hangs_on_them(store):
    told = await running(store, "c1", 1, notify=NotifyPolicy.DONE_ONLY)
    gone = await running(store, "c2", 2)
    live = await running(store, "c3", 3)
    for flow in (gone, live):
        await store.checkpoint(flow.id, flow.claim_id, [step(flow.id, "a")])
        await store.send_signal(flow.id, "go", "1", 2e6, "ann", None)
        await store.ask_approval(question(int(flow.id[1:]), flow_id=flow.id))
    await store.deliver_to_conversation("agent:a:main", 2e6)
    for flow in (told, gone):
        await store.move_flow(move(flow.id, FlowVerb.SUCCEED))
    assert [flow.id for flow in await store.flows_ended_before(2_000_011.0, 10)] == [told.id, gone.id]
    assert await store.flows_ended_before(2_000_010.0, 10) == []
    assert await store.prune_flows([told.id, gone.id, live.id, "unknown"]) == 1
    assert await store.get_flow(gone.id) is None and await store.flow_input(gone.id) == {}
    assert await store.steps_of(gone.id) == await store.flow_events(gone.id) == await store.signals_of(gone.id) == []
    assert await store.get_approval(question(2).id) is None
    assert await store.get_approval(question(3).id) is not None
    assert len(await store.steps_of(live.id)) == 1 and len(await store.pending_outbox(10)) == 1
    assert await store.check() == []


async def test_a_task_that_a_running_step_waits_for_is_not_forgotten(store):
    """It has ended, but the step has not heard of it: a flow that was linked by hand, an old record."""
    flow = await running(store, "c1", 1)
    await store.create_task(new_task(1))
    await store.apply(task_move(new_task(1).id, Verb.CANCEL))
    [notice] = await store.pending_outbox(1)
    await store.settle_notice(notice.id, "delivered", 2e6)
    await store.checkpoint(flow.id, "c1", [waiting_for(flow.id, new_task(1).id)])
    assert await store.prune([new_task(1).id]) == 0
    await store.move_flow(move(flow.id, FlowVerb.FAIL))
    assert await store.prune([new_task(1).id]) == 1


async def test_an_answer_is_taken_back_with_the_end_of_its_flow(store):
    flow = await running(store, "c1", 1)
    asked = question(1, flow_id=flow.id)
    await store.start_child(
        flow.id, "c1", waiting_for(flow.id, asked.id, "ok", 0, StepKind.APPROVAL), Child(approval=asked)
    )
    await store.move_flow(move(flow.id, FlowVerb.FAIL, claim_id="c1"))
    assert (await store.get_approval(asked.id)).status is ApprovalStatus.CANCELLED
    assert await store.decide(verdict(asked.id)) is None
