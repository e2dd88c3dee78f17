"""A gateway killed with -9 at the worst moments: nothing recorded is lost, nothing runs twice, no end is invented."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from crashing import Node, until

from outlast.core.session import Cause, Status
from outlast.process import evidence

POINTS = (
    "worker:before_record",
    "worker:after_record",
    "worker:after_spawn",
    "worker:before_finish",
    "worker:after_finish",
    "store:before_commit",
    "store:after_commit",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_of_the_worker_neither_loses_nor_repeats_a_command(node: Node, point: str) -> None:
    """Killed between any two steps of a task: acknowledged or on record means run once and told once, else never."""
    assert node.begin(point)
    quick = point != "worker:after_spawn"
    answer = node.submit(node.counting("exit 5" if quick else f"{node.gate}; exit 5"))
    node.dies()
    node.open_gate()
    if point == "worker:before_record":
        assert answer is None
        assert node.begin()
        assert node.ask("GET", "/v1/tasks").json["tasks"] == []
        assert node.runs() == 0
        return
    if point != "worker:after_spawn":  # there the answer and the kill race
        assert (answer is None) == (point == "worker:after_record")
    node.see_through()
    node.judge(Status.FAILED, Cause.EXIT, code=5)
    assert node.runs() == 1


@pytest.mark.parametrize("point", ["worker:before_claim", "worker:after_claim"])
def test_a_crash_around_a_claim_leaves_the_task_to_the_next_gateway(node: Node, point: str) -> None:
    """Work that waits is claimed by a gateway that dies over it: the next one runs it, once."""
    node.queue_up(node.counting())
    node.begin(point)
    node.dies()
    node.see_through()
    node.judge(Status.FAILED, Cause.EXIT, code=5)
    assert node.runs() == 1


def test_a_crash_before_the_start_of_another_attempt_does_not_use_it_up(node: Node) -> None:
    """The session of attempt 2 is on record, its command was never started: attempt 2 is still to come."""
    assert node.begin("worker:before_spawn")
    again = f"[ $(wc -l < {node.path('ran')}) -ge 2 ]"
    assert node.submit(node.counting(again), retries=1, retryDelaySeconds=0.01)
    node.dies()
    assert node.runs() == 1
    node.see_through()
    node.judge(Status.SUCCEEDED, Cause.EXIT, code=0, attempt=2)
    assert node.runs() == 2


@pytest.mark.parametrize("left", ["folder", "forestalled", "record"])
def test_what_a_supervisor_left_before_it_began_decides(node: Node, left: str) -> None:
    """It died over its folder: nothing can have been started. It had a record to write to: nobody knows."""
    node.settings["outlast.process.settle.KNOCKS"] = 8
    node.queue_up(node.counting())
    node.begin("worker:after_claim")
    node.dies()
    folder = f"{node.paths.sessions}/{node.books().tasks[0].session_id}"
    os.mkdir(folder)
    if left == "forestalled":
        assert evidence.forestall(folder)
    if left == "record":
        Path(folder, "record").touch()
    node.see_through()
    if left == "record":
        node.judge(Status.LOST, Cause.EVIDENCE_GONE)
    else:
        node.judge(Status.FAILED, Cause.EXIT, code=5)
    assert node.runs() == (left != "record")


KEEPER_POINTS = {
    "supervisor:before_spawn": Cause.EVIDENCE_GONE,
    "supervisor:after_spawn": Cause.EXIT,
    "supervisor:after_started_record": Cause.EXIT,
    "supervisor:reaped": Cause.EVIDENCE_GONE,
    "supervisor:before_exit_record": Cause.EVIDENCE_GONE,
    "supervisor:after_exit_record": Cause.EXIT,
}
UNANSWERED = ("supervisor:before_spawn", "supervisor:after_spawn")
"""Where no other supervisor takes over, because nobody has heard of a command yet."""


@pytest.mark.parametrize("gateway_too", [False, True])
@pytest.mark.parametrize("point", KEEPER_POINTS)
def test_a_crash_of_the_supervisor_is_told_as_it_was(node: Node, point: str, gateway_too: bool) -> None:
    """Who would write the exit record dies, alone or with the gateway: the true end, or lost with the reason."""
    if point in UNANSWERED:
        node.settings["outlast.process.settle.KNOCKS"] = 8
    assert node.begin(point)
    task = node.submit(node.counting(f"{node.gate}; exit 5"))
    assert task is not None
    if point in UNANSWERED:
        until(node.crashed)
    if gateway_too:
        node.kill()
        assert node.begin() or point not in UNANSWERED
    elif point == "supervisor:after_spawn":
        node.until("began")  # a command that is over before anybody can look has left no trace
    node.open_gate()
    node.ended(task["taskId"])
    cause = KEEPER_POINTS[point]
    if cause is Cause.EXIT:
        node.judge(Status.FAILED, cause, code=5)
    else:
        node.judge(Status.LOST, cause)
    assert node.runs() == (point != "supervisor:before_spawn")
