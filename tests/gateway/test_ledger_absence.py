"""What happens to recorded work while no gateway is there is found out by the next one, and never made up."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from crashing import Node, exits, supervisor_of, until
from running import kill_keeper

from outlast.core.session import Cause, Status


def test_an_end_while_no_gateway_was_there_is_recorded_as_it_was(node: Node) -> None:
    """Exit code, moment and output are those of the command, however much later the next gateway comes."""
    assert node.begin()
    task = node.submit(node.counting(f"{node.gate}; echo bye; exit 5"))
    assert task is not None
    supervisor = supervisor_of(node, task["sessionId"])
    node.kill()
    node.open_gate()
    exits(supervisor)
    ended = time.time()
    node.see_through()
    task = node.judge(Status.FAILED, Cause.EXIT, code=5)
    assert task.ended_at is not None and task.ended_at <= ended
    assert task.summary == "bye"
    assert node.runs() == 1


def test_a_command_that_outlives_many_gateways_is_one_task(node: Node) -> None:
    """Four gateways are killed over it; the fifth records its end, once."""
    assert node.begin()
    assert node.submit(node.counting(f"{node.gate}; exit 5"))
    node.until("began")
    for _ in range(4):
        node.kill()
        assert node.begin()
        [task] = node.ask("GET", "/v1/tasks").json["tasks"]
        assert task["status"] == "running"
    node.open_gate()
    node.ended(task["taskId"])
    node.judge(Status.FAILED, Cause.EXIT, code=5)
    assert node.runs() == 1
    verbs = [verb for verb in node.books().verbs_of(node.books().tasks[0]) if verb != "delivered"]  # may have been told
    assert verbs == ["create", "claim", "began", *["reclaim"] * 4, "fail"]


@pytest.mark.parametrize("still_runs", [False, True])
def test_a_task_whose_session_was_removed_by_hand_is_lost_and_says_why(node: Node, still_runs: bool) -> None:
    """Nobody can know how it ended: lost, with what was looked for, and never run again."""
    assert node.begin()
    task = node.submit(node.counting(f"{node.gate}; exit 5"))
    assert task is not None
    supervisor = supervisor_of(node, task["sessionId"])
    node.until("began")
    until(node.runs)
    pid = node.record(task["sessionId"])["started"]["pid"]
    node.kill()
    if not still_runs:
        node.open_gate()
        exits(supervisor)
    shutil.rmtree(node.paths.sessions)
    node.see_through()
    lost = node.judge(Status.LOST, Cause.EVIDENCE_GONE)
    assert lost.error is not None and task["sessionId"] in lost.error
    assert (f"process {pid}" in lost.error) == still_runs
    node.kill()
    node.see_through()
    node.judge(Status.LOST, Cause.EVIDENCE_GONE)
    assert node.runs() == 1


def test_a_restart_of_the_machine_is_told_as_one(node: Node) -> None:
    """Everything was gone at once and the record is of another boot: lost to a host restart, not to anything else."""
    assert node.begin()
    task = node.submit(node.counting(f"{node.gate}; exit 5"))
    assert task is not None
    supervisor = supervisor_of(node, task["sessionId"])
    node.until("began")
    until(node.runs)
    started = node.record(task["sessionId"])["started"]
    node.kill()
    kill_keeper(node.paths.run)
    for pid in (started["pid"], supervisor):
        exits(pid)
    path = Path(node.paths.sessions, task["sessionId"], "record")
    path.write_text(path.read_text().replace(started["boot"], "0" * len(started["boot"])))
    node.see_through()
    lost = node.judge(Status.LOST, Cause.HOST_RESTART)
    assert lost.error is not None and str(started["pid"]) in lost.error
    assert node.runs() == 1


def test_a_machine_that_went_down_before_the_start_was_on_record_is_no_reason_to_run_twice(node: Node) -> None:
    """Only the first line of the record reached the disk: it may have started, so it is lost and not run again."""
    assert node.begin("worker:after_spawn")
    node.submit(node.counting(f"{node.gate}; exit 5"))
    node.dies()
    until(node.runs)
    [name] = os.listdir(node.paths.sessions)
    started = node.record(name)["started"]
    boot = started["boot"]
    kill_keeper(node.paths.run)
    for pid in (started["pid"], started["supervisor"]):
        exits(pid)
    path = Path(node.paths.sessions, name, "record")
    path.write_text(path.read_text().splitlines()[0].replace(boot, "0" * len(boot)) + "\n")
    os.unlink(f"{node.paths.open}/{name}")
    node.see_through()
    node.judge(Status.LOST, Cause.HOST_RESTART)
    assert node.runs() == 1


# ---- attempts


def test_attempts_count_on_across_kills(node: Node) -> None:
    """Killed while attempt 1 runs, while attempt 2 waits and while it runs: three attempts, three runs, one end."""
    assert node.begin()
    gate = f"gate=$(wc -l < {node.path('ran')}); while [ ! -e {node.path('gate')}-$gate ]; do sleep 0.01; done"
    assert node.submit(node.counting(f"{gate}; exit 5"), retries=2, retryDelaySeconds=0.3)
    node.until("began")
    node.kill()
    assert node.begin()
    node.path("gate-1").touch()
    node.until("requeue")
    node.kill()
    assert node.begin()
    second = next(event for event in node.events() if event["verb"] == "began" and event["data"]["attempt"] == 2)
    assert second["task"]["attempt"] == 2
    node.kill()
    node.path("gate-2").touch()
    node.path("gate-3").touch()
    node.see_through()
    node.judge(Status.FAILED, Cause.EXIT, code=5, attempt=3)
    assert node.runs() == 3


# ---- calling off


def test_a_cancel_that_was_asked_for_just_before_the_kill_is_carried_out(node: Node) -> None:
    """The wish is on record, the command was not touched yet: the next gateway ends it, by the operator."""
    assert node.begin("worker:before_call_off")
    task = node.submit(node.counting(f"{node.gate}; exit 5"))
    assert task is not None
    node.until("began")
    until(node.runs)
    with pytest.raises((OSError, ValueError)):
        node.ask("POST", f"/v1/tasks/{task['taskId']}/cancel", {})
    node.dies()
    node.see_through()
    ended = node.judge(Status.CANCELLED, Cause.OPERATOR)
    assert ended.detail["exitSignal"] == "SIGTERM"
    assert node.runs() == 1


def test_work_that_was_called_off_before_it_began_never_begins(node: Node) -> None:
    """On record, claimed, not started, and the wish to cancel came: the next gateway does not start it first."""
    task_id = node.queue_up(node.counting())
    node.begin("worker:after_claim")
    node.dies()
    assert node.books().tasks[0].status is Status.RUNNING
    node.act("ask_cancel", task_id, time.time())
    node.see_through()
    node.judge(Status.CANCELLED, Cause.OPERATOR, attempt=0)
    assert node.runs() == 0


def test_work_that_was_called_off_is_not_tried_again(node: Node) -> None:
    """The attempt failed by itself in the moment of the cancel: there is no other, however many are left."""
    assert node.begin("worker:before_call_off")
    task = node.submit(node.counting(f"{node.gate}; exit 5"), retries=5, retryDelaySeconds=0.01)
    assert task is not None
    node.until("began")
    supervisor = supervisor_of(node, task["sessionId"])
    with pytest.raises((OSError, ValueError)):
        node.ask("POST", f"/v1/tasks/{task['taskId']}/cancel", {})
    node.dies()
    node.open_gate()
    exits(supervisor)
    node.see_through()
    node.judge(Status.CANCELLED, Cause.OPERATOR, code=5)
    assert node.runs() == 1
