"""Steps that leave by every door, block the loop, fork and die: a clear record each, and the worker lives."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest
from crashing import until
from flow_crashing import PROGRAMS, FlowNode
from rude_flow import RAISES, SECRET
from running import PATIENCE

from outlast.core.flow import Flow, FlowStatus

RUDE = os.path.join(os.path.dirname(PROGRAMS), "rude_flow.py")
WORDS = {
    "exit": ("SystemExit", "SystemExit: 3"), "interrupt": ("KeyboardInterrupt", "KeyboardInterrupt"),
    "odd": ("Odd", "Odd: odd"), "mute": ("Mute", "Mute: (its message cannot be shown)"),
    "deadly": ("Deadly", "Deadly: (its message cannot be shown)"), "huge": ("ValueError", "ValueError: xxxxx"),
    "secret": ("ValueError", "ValueError: cannot log in with ghp_***"),
    "nul": ("ValueError", "ValueError: a\ufffdb\ufffdc"),
    "deep": ("RecursionError", "RecursionError: maximum recursion depth"), "hungry": ("MemoryError", "MemoryError"),
    "group": ("BaseExceptionGroup", "BaseExceptionGroup: many (2 sub-exceptions)"),
    "generator": ("GeneratorExit", "GeneratorExit"), "cancelled": ("CancelledError", "CancelledError"),
    "timeout": ("TimeoutError", "TimeoutError: mine"),
}  # fmt: skip


def run(flows: FlowNode, name: str, *args: object) -> str:
    """Put one of the rude flows on record."""
    return flows.put(f"{RUDE}:{name}", [flows.place, *args])


def came_to(flows: FlowNode, flow_id: str) -> object:
    """The result of a flow that succeeds."""
    flows.flow_ended(flow_id)
    return msgspec.json.decode(flows.judge_flow(flow_id).result or "")


def test_whatever_a_step_raises_is_its_record_and_the_worker_lives(flows: FlowNode) -> None:
    """In the loop and in a thread, all by one worker; nothing secret and nothing endless is on record or in the log."""
    worker = flows.work(source=RUDE)
    for threaded in (False, True):
        for what in RAISES:
            flow_id = run(flows, "rude", what, threaded)
            kind, message = msgspec.convert(came_to(flows, flow_id), tuple[str, str])
            row = flows.steps(flow_id)["rude"]
            assert len(message) <= 2000 and message == row.error
            assert SECRET not in message
            if what in WORDS:
                assert kind == WORDS[what][0]
                assert message.startswith(WORDS[what][1])
    for what in RAISES:
        flow_id = run(flows, "rude_outside", what)
        flow = flows.flow_ended(flow_id)
        assert flow.error is not None and len(flow.error) <= 2000 and SECRET not in flow.error
        flows.judge_flow(flow_id, FlowStatus.FAILED)
    assert came_to(flows, run(flows, "rude_callback")) == "AFTER"
    assert worker.poll() is None
    said = flows.worker_said()
    assert SECRET not in said and max(map(len, said.splitlines())) < 10_000


@pytest.mark.parametrize("how", ["await", "return", "pool", "threads"])
def test_a_step_that_makes_processes_leaves_no_second_worker(flows: FlowNode, how: str) -> None:
    worker = flows.work(source=RUDE)
    expected = {"await": 70, "return": 70, "pool": 6, "threads": 1}[how]
    assert came_to(flows, run(flows, "forking", how)) == expected
    assert "child-lives" not in flows.marks()
    assert came_to(flows, run(flows, "rude_callback")) == "AFTER"
    assert worker.poll() is None
    until(lambda: all(is_tracker(pid) for pid in children_of(worker.pid)))


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_tracker(pid: int) -> bool:
    """True for the helper that multiprocessing leaves with who uses it."""
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
        return False


def test_a_step_that_blocks_the_loop_for_longer_than_the_lease_keeps_its_flow(flows: FlowNode) -> None:
    """A thread renews meanwhile: another worker that waits for nothing else does not get it."""
    lease = 10.0  # what a thread of a busy machine is sure to renew in time
    workers = [flows.work(source=RUDE, lease=lease) for _ in range(2)]
    flow_id = run(flows, "blocking")
    until(lambda: flows.marks()["block"])
    until_held(flows, flow_id, time.time() + 2 * lease)
    Path(f"{flows.place}.gate").touch()
    assert came_to(flows, flow_id) == "blocked"
    assert flows.marks() == {"block": 1}
    assert flows.flow(flow_id).crashes == 0
    assert "the loop has been blocked" in flows.worker_said()
    assert all(worker.poll() is None for worker in workers)


def until_held(flows: FlowNode, flow_id: str, at: float) -> None:
    """Wait until a flow is somebody's at least until a moment."""
    flows.until_flow(flow_id, lambda flow: flow.lease_until is not None and flow.lease_until > at)


def on_record(flows: FlowNode, flow_id: str, step: str) -> None:
    """Wait until the result of a step is on record."""
    until(lambda: (row := flows.steps(flow_id).get(step)) is not None and row.ended_at is not None)


QUICKLY = {"outlast.gateway.flow_hosts.AGAIN_FIRST": 0.05, "outlast.gateway.flow_hosts.AGAIN_MAX": 0.2}


@pytest.mark.parametrize("how", ["os_exit", "killpg"])
def test_a_step_that_takes_its_worker_down_again_and_again_blocks_its_flow_and_no_other(
    flows: FlowNode, how: str
) -> None:
    """Five workers, all started by the gateway; a flow beside it, in the middle of a long step each time, goes on."""
    flows.settings |= QUICKLY
    assert flows.begin()
    beside = run(flows, "bystander")
    on_record(flows, beside, "first")  # else its worker may die between the step and the record, and it is done again
    flow_id = run(flows, "deadly", how)
    flows.until_flow(beside, lambda flow: flow.crashes == 2, seconds=2 * PATIENCE)  # each worker is a Python of its own
    time.sleep(1.0)  # beside each other, the deadly one would by now have died a third time
    Path(f"{flows.place}.gate").touch()
    assert came_to(flows, beside) == "done"
    assert flows.flow(beside).crashes == 2 and flows.marks()["bystander"] == 1
    flow = flows.flow_ended(flow_id, seconds=2 * PATIENCE)
    assert flow.status is FlowStatus.BLOCKED and flow.blocker is not None
    assert flow.blocker["kind"] == "crashed"
    assert flow.blocker["message"] == "5 workers died in a row after step first"
    assert flows.marks()["deadly"] == 5 and flows.marks()["first"] == 1
    assert flows.exec("exit 3")["exitCode"] == 3


def test_a_flow_that_was_blocked_by_crashes_goes_on_when_somebody_lets_it(flows: FlowNode) -> None:
    """Resumed, it gets five more tries."""
    flow_id = run(flows, "deadly", "os_exit")

    def blocked() -> Flow:
        for _ in range(6):
            worker = flows.work(source=RUDE)
            until(lambda worker=worker: worker.poll() is not None or is_blocked())
            if is_blocked():
                return flows.flow(flow_id)
            flows.bury()
        raise AssertionError(flows.flow(flow_id))

    def is_blocked() -> bool:
        return flows.flow(flow_id).status is FlowStatus.BLOCKED

    assert blocked().crashes == 5
    flows.bury()
    for worker in flows.workers:
        worker.send_signal(signal.SIGTERM)
        worker.wait()  # else it might have the flow once more, and nobody would bury it
    assert flows.act("retry_flow", flow_id, None, time.time()) is not None
    assert blocked().crashes == 5
    assert flows.marks() == {"first": 1, "deadly": 10}


def test_a_step_that_does_not_heed_its_end_does_not_keep_a_worker_that_is_to_stop(flows: FlowNode) -> None:
    """Told to stop, the worker leaves within seconds and gives the flow back."""
    worker = flows.work(source=RUDE, settings={"outlast.flows.engine.STOP_SECONDS": 0.3})
    flow_id = run(flows, "stubborn")
    until(lambda: flows.marks()["deaf"])
    worker.send_signal(signal.SIGTERM)
    worker.wait()
    assert flows.marks()["not-heeded"] >= 1
    flow = flows.flow(flow_id)
    assert flow.claim_id is None and flow.ready_at is not None and flow.ready_at <= time.time()
