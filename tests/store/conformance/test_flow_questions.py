"""What can be asked about flows: names, lists, history, and what an audit looks for. The same for all stores."""

from __future__ import annotations

import pytest

from outlast.core.errors import BadInput
from outlast.core.flow import FlowFilter, FlowMode, FlowStatus, StepKind
from outlast.core.lifecycle import FlowVerb
from outlast.core.session import Status
from store.flow_fakes import HANDLER, child_task, claim, make, managed, move, new_flow, running, step, waiting_for


def _number(flow) -> int:
    return int(flow.id[1:])


async def _many(store) -> None:
    """Twelve flows, two of each kind of thing a listing narrows to."""
    for number in range(12):
        given = {"requester": "agent:b:main"} if number % 3 == 0 else {}
        given |= {"name": "other"} if number % 4 == 1 else {}
        given |= {"label": "x"} if number % 5 == 2 else {}
        given |= {"conversation": "agent:c:main"} if number % 6 == 4 else {}
        if number in (3, 7):
            await store.create_flow(managed(number, **given))
        else:
            await make(store, number, mode=FlowMode.FILE if number == 8 else FlowMode.PROGRAM, **given)
        if number % 4 == 2:
            await store.move_flow(move(new_flow(number).id, FlowVerb.FAIL))


async def _listed(store, **given) -> list[int]:
    found, cursor = [], None
    while True:
        page = await store.list_flows(FlowFilter(**given), 2, cursor)
        assert len(page.flows) <= 2
        found += map(_number, page.flows)
        cursor = page.next
        if cursor is None:
            return found


async def test_flows_are_listed_newest_first_and_narrowed(store):
    await _many(store)
    sub = (await store.create_flow(new_flow(50, parent_id=new_flow(1).id))).flow
    every = [50, *range(11, -1, -1)]
    assert await _listed(store) == every
    assert await _listed(store, requester="agent:b:main") == [9, 6, 3, 0]
    assert await _listed(store, name="other") == [9, 5, 1]
    assert await _listed(store, label="x") == [7, 2]
    assert await _listed(store, conversation="agent:c:main") == [10, 4]
    assert await _listed(store, parent_id=new_flow(1).id) == [50]
    assert await _listed(store, mode=FlowMode.MANAGED) == [7, 3]
    assert await _listed(store, mode=FlowMode.FILE) == [8]
    assert await _listed(store, mode=FlowMode.PROGRAM, since=1009.0) == [50, 11, 10, 9]
    assert await _listed(store, statuses=(FlowStatus.FAILED,)) == [10, 6, 2]
    assert await _listed(store, statuses=(FlowStatus.FAILED, FlowStatus.RUNNING)) == [10, 7, 6, 3, 2]
    assert await _listed(store, statuses=(FlowStatus.RUNNING,), requester="agent:b:main") == [3]
    assert await _listed(store, statuses=(FlowStatus.SUCCEEDED,)) == []
    assert await _listed(store, statuses=tuple(FlowStatus)) == every
    assert [flow.id for flow in await store.child_flows(new_flow(1).id)] == [sub.id]
    with pytest.raises(BadInput) as caught:
        await store.list_flows(FlowFilter(), 2, "nonsense")
    assert caught.value.code == "bad_cursor"


async def test_a_flow_is_found_by_the_beginning_of_its_id(store):
    for number in (1, 2, 30):
        await make(store, number)
    assert [_number(flow) for flow in await store.find_flows(new_flow(2).id)] == [2]
    assert [_number(flow) for flow in await store.find_flows("f0000000000000")] == [2, 1]
    assert [_number(flow) for flow in await store.find_flows("f", limit=1)] == [30]
    assert await store.find_flows("t") == await store.find_flows("") == []


async def test_history_is_read_on_from_where_one_was(store):
    flow = await running(store, "c1")
    for number in range(5):
        await store.send_signal(flow.id, "go", str(number), 2e6 + number, "ann", None)
    lines = await store.flow_events(flow.id)
    assert [line.verb for line in lines] == ["create", *["signal"] * 5]
    assert [line.id for line in lines] == sorted(line.id for line in lines)
    assert await store.flow_events(flow.id, after=lines[1].id, limit=2) == lines[2:4]
    assert len(await store.signals_of(flow.id, limit=3)) == 3


async def test_live_flows_are_counted(store):
    await _many(store)
    flow = await running(store, "c1")
    await store.move_flow(move(flow.id, FlowVerb.WAIT))
    await store.move_flow(move(new_flow(0).id, FlowVerb.BLOCK))
    assert await store.flow_counts() == {"queued": 6, "running": 2, "waiting": 1, "blocked": 1}


async def test_handlers_with_ready_flows_are_known(store):
    await make(store, 1, handler="m:b", priority=3, not_before_at=2000.0)
    await make(store, 2, handler="m:b", not_before_at=1500.0)
    await make(store, 3, handler="m:a", not_before_at=3000.0)
    await store.create_flow(managed(4))
    assert [await store.ready_handlers(now) for now in (1499.0, 1500.0, 3000.0)] == [[], ["m:b"], ["m:a", "m:b"]]
    assert await store.next_flow_ready(["m:b"]) == 1500.0
    assert await store.next_flow_ready(["m:b"], after=1500.0) == 2000.0
    assert await store.next_flow_ready([], after=2000.0) == 3000.0


async def test_what_nothing_wakes_by_itself_is_found(store):
    """A wait that has an end of its own is in order; one that was nudged has been seen to."""
    ids = []
    for number, ready_at in enumerate((None, 9e6, None, None)):
        flow = await running(store, f"c{number}", number)
        ids.append(flow.id)
        await store.move_flow(move(flow.id, FlowVerb.WAIT, at=2_000_010.0 + number, ready_at=ready_at))
    await store.send_signal(ids[2], "go", "1", 2_000_020.0, "ann", None)
    by_hand = (await store.create_flow(managed(9))).flow
    await store.move_flow(move(by_hand.id, FlowVerb.WAIT, at=2_000_009.0))
    found = await store.flows_waiting_since(2_000_100.0, 10)
    assert [flow.id for flow in found] == [by_hand.id, ids[0], ids[3]]
    assert await store.flows_waiting_since(2_000_009.0, 10) == []
    assert len(await store.flows_waiting_since(2_000_100.0, 1)) == 1


async def test_what_is_blocked_or_to_be_cancelled_for_long_is_found(store):
    flows = [await running(store, f"c{n}", n) for n in range(4)]
    for flow in flows[:2]:
        await store.move_flow(move(flow.id, FlowVerb.BLOCK, at=2_000_010.0 - _number(flow)))
    for flow in flows[2:]:
        await store.ask_cancel_flow(flow.id, 2_000_010.0 - _number(flow), None)
    assert [_number(flow) for flow in await store.flows_blocked_since(2_000_011.0, 10)] == [1, 0]
    assert [_number(flow) for flow in await store.flows_cancelling_since(2_000_011.0, 10)] == [3, 2]
    assert await store.flows_blocked_since(2_000_009.0, 10) == await store.flows_cancelling_since(2.0, 10) == []
    await store.move_flow(move(flows[3].id, FlowVerb.CANCEL))
    assert [_number(flow) for flow in await store.flows_cancelling_since(2_000_011.0, 10)] == [2]


async def test_what_is_ready_and_nobody_takes_is_found(store):
    await make(store, 1, handler="m:none", not_before_at=2_000_010.0)
    await make(store, 2, not_before_at=2_000_009.0, priority=4)
    await make(store, 3, not_before_at=3_000_000.0)
    await store.claim_flows(claim("c1", now=2_000_009.0, lease_until=2_000_005.0))
    assert [_number(flow) for flow in await store.flows_ready_since(2_000_020.0, 10)] == [2, 1]
    assert [_number(flow) for flow in await store.flows_ready_since(2_000_020.0, 1)] == [2]
    assert await store.flows_ready_since(2_000_004.0, 10) == []


async def test_steps_that_wait_for_a_task_that_is_not_there_are_found(store):
    flow, done = await running(store, "c1", 1), await running(store, "c2", 2)
    await store.create_task(child_task(flow.id, "there"))
    missing = waiting_for(flow.id, "gone", "b", 1)
    rows = [
        waiting_for(flow.id, "there", "a", 0), missing, step(flow.id, "c", 2, ref="gone"),
        waiting_for(flow.id, "f-sub", "d", 3, StepKind.FLOW),
    ]  # fmt: skip
    await store.checkpoint(flow.id, "c1", rows)
    await store.checkpoint(done.id, "c2", [waiting_for(done.id, "gone")])
    await store.move_flow(move(done.id, FlowVerb.FAIL))
    assert await store.flows_missing_tasks(10) == [missing]
    assert missing.status is Status.RUNNING and flow.handler == HANDLER
