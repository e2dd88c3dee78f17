"""Two workers on one store: who dies or falls silent is followed by the other, and can write nothing any more."""

from __future__ import annotations

import signal
import time

import pytest
from crashing import freeze, until
from flow_crashing import EVERY, FlowNode
from nursery import Born
from running import PATIENCE

from outlast.core.flow import FlowStatus

LEASE = 10.0
"""Seconds: a worker of a busy machine must be able to renew it in time."""
SLACK = PATIENCE
"""Within so much of the end of a lease another worker has to have begun the step again: what a busy machine takes."""


def held_by(flows: FlowNode, flow_id: str) -> str:
    """Who holds a running flow."""
    flow = flows.until_flow(flow_id, lambda flow: flow.claimed_by is not None)
    return str(flow.claimed_by)


def pid_of(name: str) -> int:
    """The process of a worker, by its name."""
    return int(name.rpartition("/w")[2].partition("-")[0])


def two_workers(flows: FlowNode, kind: str) -> tuple[str, Born, Born]:
    """Have one of two workers in the middle of a step; return the flow, that worker, and the other."""
    pair = flows.work(lease=LEASE), flows.work(lease=LEASE)
    flow_id = flows.start(kind)
    until(lambda: flows.marks()["op"])
    holder = pid_of(held_by(flows, flow_id))
    mine, other = pair if pair[0].pid == holder else pair[::-1]
    assert mine.pid == holder
    return flow_id, mine, other


@pytest.mark.parametrize("kind", ["slow", "slow_thread"])
def test_when_one_of_two_workers_is_killed_the_other_goes_on_when_its_lease_is_over(flows: FlowNode, kind: str) -> None:
    """Measured from the kill to the moment the step is begun again."""
    flow_id, mine, _ = two_workers(flows, kind)
    killed_at = time.time()
    mine.send_signal(signal.SIGKILL)
    until(lambda: flows.marks()["op"] == 2)
    again_at = [at for key, at in flows.marked() if key == "op"][1]
    assert again_at - killed_at <= LEASE + SLACK
    flows.open_gate()
    flows.flow_ended(flow_id)
    assert flows.judge_flow(flow_id).crashes == 1
    assert flows.marks() == {"first": 1, "op": 2, "last": 1}


@pytest.mark.parametrize("kind", ["slow", "slow_thread"])
def test_a_worker_that_was_frozen_past_its_lease_cannot_write_and_goes_on_with_others(
    flows: FlowNode, kind: str
) -> None:
    """Its step ends when another worker has the flow: that is refused, disturbs nothing, and it takes new flows."""
    flow_id, mine, other = two_workers(flows, kind)
    freeze(flows, mine)
    until(lambda: flows.marks()["op"] == 2)
    assert pid_of(held_by(flows, flow_id)) == other.pid
    rows = flows.steps(flow_id)
    flows.path("first-only").touch()  # the step of the frozen one is to end, that of the other not yet
    mine.send_signal(signal.SIGCONT)
    until(lambda: flows.marks()["ended-first"] == 1)
    flows.flow_ended(beside(flows))
    now = flows.steps(flow_id)
    assert now["first"] == rows["first"] and "last" not in now
    assert not now["op"].status.final if "op" in now else True
    assert pid_of(held_by(flows, flow_id)) == other.pid
    flows.open_gate()
    flows.flow_ended(flow_id)
    assert flows.judge_flow(flow_id, FlowStatus.SUCCEEDED).crashes == 1
    assert flows.marks() == {"first": 1, "op": 2, "ended-first": 1, "last": 1}
    freeze(flows, other)
    alone = [beside(flows) for _ in range(3)]
    for one in alone:
        assert flows.flow_ended(one).status is FlowStatus.SUCCEEDED
        assert pid_of(claimed(flows, one)) == mine.pid
    other.send_signal(signal.SIGCONT)


def beside(flows: FlowNode) -> str:
    """Start another flow, with marks of its own."""
    return flows.put(EVERY, [f"{flows.place}-beside", "coroutine"])


def claimed(flows: FlowNode, flow_id: str) -> str:
    """Who claimed a flow last, as its history has it."""
    return str([event.data["worker"] for event in flows.flow_events(flow_id) if "worker" in event.data][-1])


def test_a_worker_told_to_stop_gives_back_what_it_holds_at_once_and_that_is_no_crash(flows: FlowNode) -> None:
    """However often that happens over the same step."""
    flow_id = flows.start("slow")
    for count in range(1, 8):
        worker = flows.work()
        until(lambda count=count: flows.marks()["op"] == count)
        worker.send_signal(signal.SIGTERM)
        worker.wait()
    flows.open_gate()
    flows.work()
    flows.flow_ended(flow_id)
    assert flows.judge_flow(flow_id).crashes == 0
    assert flows.marks() == {"first": 1, "op": 8, "last": 1}


def test_flows_are_shared_and_each_is_run_by_one(flows: FlowNode) -> None:
    """Forty flows, three workers that come while they are begun: every step once."""
    ids = [flows.put(EVERY, [f"{flows.place}-{number}", "beside"]) for number in range(40)]
    for _ in range(3):
        flows.work()
    for flow_id in ids:
        flows.flow_ended(flow_id)
    workers = {claimed(flows, flow_id) for flow_id in ids}
    assert len(workers) >= 1
    for number, flow_id in enumerate(ids):
        flows.place = str(flows.path(f"marks-{number}"))
        assert flows.judge_flow(flow_id).crashes == 0
        assert set(flows.marks().values()) == {1}
