"""Flows that schedules make: in the act that settles the instant, counted as live and as runs. For all stores."""

from __future__ import annotations

import pytest

from outlast.core.flow import FlowStatus
from outlast.core.lifecycle import FlowVerb, Verb
from outlast.core.schedule import FAILURES_MAX, FlowPayload, Overlap
from outlast.core.session import Cause, Status
from outlast.core.task import NotifyPolicy
from outlast.store.base_told import NewFiring
from store.conformance.test_rules import added, firing, moved
from store.flow_fakes import claim as claim_flow
from store.flow_fakes import move as flow_move
from store.flow_fakes import new_flow
from store.store_fakes import claim, move


def flow_firing(schedule, instant: float, **given) -> NewFiring:
    flow = new_flow(schedule_id=schedule.id, label=schedule.name, **given)
    return NewFiring(instant=instant, how="fired", flow=flow)


async def ended(store, flow_id: str, verb: FlowVerb, **given):
    """Have a flow claimed and ended."""
    await store.claim_flows(claim_flow(f"k-{flow_id}"))
    moved = await store.move_flow(flow_move(flow_id, verb, **given))
    assert moved is not None
    return moved


async def test_a_payload_of_a_flow_reads_back_as_it_was_given(store):
    payload = FlowPayload(
        flow="brief.flow.yaml", definition={"name": "brief", "steps": [{"id": "a"}]}, arguments={"tag": "é"},
        workdir="/tmp", env={"A": "b"},
    )  # fmt: skip
    schedule = await added(store, payload=payload)
    assert (await store.get_schedule(schedule.id)).payload == payload


async def test_a_firing_makes_its_flow_and_moves_the_cursor_in_one_act(store):
    schedule = await added(store)
    fired = await store.fire(schedule, moved(schedule, 160.0), [flow_firing(schedule, 100.0)], 101.0)
    [flow] = fired.flows
    assert (flow.status, flow.schedule_id, fired.tasks) == (FlowStatus.QUEUED, schedule.id, [])
    assert await store.flow_input(flow.id) != {}
    [row] = await store.firings_of(schedule.id, 10)
    assert (row.how, row.task_id) == ("fired", flow.id)
    assert await store.fire(schedule, moved(schedule, 160.0), [flow_firing(schedule, 100.0)], 101.0) is None
    assert len(await store.firings_of(schedule.id, 10)) == 1


@pytest.mark.parametrize("overlap", list(Overlap))
async def test_what_an_instant_does_while_a_flow_of_an_earlier_one_lives(store, overlap):
    schedule = await added(store, overlap=overlap)
    [first] = (await store.fire(schedule, moved(schedule, 160.0), [flow_firing(schedule, 100.0)], 101.0)).flows
    schedule = await store.get_schedule(schedule.id)
    fired = await store.fire(schedule, moved(schedule, 220.0), [flow_firing(schedule, 160.0)], 161.0)
    [row] = fired.firings
    if overlap is Overlap.SKIP:
        assert (row.how, row.note, fired.flows) == (
            "skipped",
            f"flow {first.id} of an earlier instant had not ended",
            [],
        )
    else:
        assert (row.how, len(fired.flows)) == ("fired", 1)
    before = await store.get_flow(first.id)
    expected = (FlowStatus.CANCELLED, Cause.PARENT) if overlap is Overlap.CANCEL else (FlowStatus.QUEUED, None)
    assert (before.status, before.cause) == expected


async def test_tasks_and_flows_of_one_rule_count_both(store):
    schedule = await added(store)
    [first] = (await store.fire(schedule, moved(schedule, 160.0), [flow_firing(schedule, 100.0)], 101.0)).flows
    schedule = await store.get_schedule(schedule.id)
    fired = await store.fire(schedule, moved(schedule, 220.0), [firing(schedule, 160.0)], 161.0)
    assert fired.firings[0].how == "skipped"
    await ended(store, first.id, FlowVerb.SUCCEED, result="1")
    schedule = await store.get_schedule(schedule.id)
    fired = await store.fire(schedule, moved(schedule, 280.0), [firing(schedule, 220.0)], 221.0)
    [(task, _)] = fired.tasks
    schedule = await store.get_schedule(schedule.id)
    fired = await store.fire(schedule, moved(schedule, 340.0), [flow_firing(schedule, 280.0)], 281.0)
    assert fired.firings[0].note == f"task {task.id} of an earlier instant had not ended"
    await store.claim_tasks(claim("c1"))
    await store.apply(move(task.id, Verb.SUCCEED, at=300.0))
    schedule = await store.get_schedule(schedule.id)
    fired = await store.fire(schedule, moved(schedule, 400.0), [flow_firing(schedule, 340.0)], 341.0)
    assert len(fired.flows) == 1


async def test_ends_of_flows_count_for_the_rule_and_too_many_failures_switch_it_off(store):
    schedule = await added(store)
    for number in range(FAILURES_MAX + 2):
        firing_ = flow_firing(schedule, 100.0 + number, notify=NotifyPolicy.DONE_ONLY)
        [flow] = (await store.fire_manually(schedule, firing_, 101.0)).flows
        if number == 0:
            await ended(store, flow.id, FlowVerb.SUCCEED, result="1")
        elif number == 1:
            await store.ask_cancel_flow(flow.id, 150.0, None)
        else:
            await ended(store, flow.id, FlowVerb.FAIL, error="no", at=200.0 + number)
        after = await store.get_schedule(schedule.id)
        assert after.failures == max(0, number - 1)
    assert (after.disabled_at, after.disabled_why) == (
        200.0 + number, f"{FAILURES_MAX} failures in a row, the last was flow {flow.id}",
    )  # fmt: skip
    told = [row.kind for row in await store.pending_of("agent:a:main", 50) if row.task_id == flow.id]
    assert sorted(told) == ["disabled", "flow_ended"]
    assert [event.verb for event in await store.flow_events(flow.id)] == ["create", "claim", "fail", "disable"]
    assert (await store.get_flow(flow.id)).status.value == Status.FAILED.value
