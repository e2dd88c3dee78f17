"""Two gateways on one store: who falls silent is given up, and may come back with the truth and nothing else."""

from __future__ import annotations

import os
import signal
import time

import pytest
from crashing import Node, exits, freeze, replay, supervisor_of, until

from outlast.core.lifecycle import Verb, transition
from outlast.core.session import Cause, Status
from outlast.core.task import Task

Pair = tuple[Node, Node]


@pytest.fixture
def nodes(nodes: Pair) -> Pair:
    """Likewise, with leases of a second."""
    believe(nodes, 1.0)
    return nodes


def believe(nodes: Pair, seconds: float) -> None:
    """Have gateways that start from now on give up whoever is silent for so long."""
    for node in nodes:
        node.settings["outlast.gateway.app.LEASE_SECONDS"] = seconds


def thaw(node: Node) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGCONT)


def given_up(here: Node, there: Node, **fields: object) -> tuple[Task, int]:
    """Have a node fall silent over a command of its own until the other gives it up; its task and its supervisor."""
    assert here.begin() and there.begin()
    answer = here.submit(here.counting(f"{here.gate}; exit 5"), **fields)
    assert answer is not None
    supervisor = supervisor_of(here, answer["sessionId"])
    here.until("began")
    until(here.runs)
    assert here.process is not None
    freeze(here, here.process)
    [lost] = there.ended(answer["taskId"])
    assert (lost["status"], lost["cause"]) == ("lost", "lease_expired")
    assert here.config.paths.node and lost["node"] in lost["error"]
    [task] = there.books().tasks
    return task, supervisor


def corrected(node: Node, status: Status, cause: Cause, code: int | None) -> Task:
    """The end that replaced *lost*: both are in the history, both were told, the second as a correction."""
    books = node.books()
    [task] = books.tasks
    assert (task.status, task.cause, task.detail.get("exitCode")) == (status, cause, code)
    assert replay(books.events[task.id]) is status
    assert [verb for verb in books.verbs_of(task) if verb in ("lose", "recover")] == ["lose", "recover"]
    ended, again = books.notices_of(task)
    assert (ended.kind, ended.body["status"]) == ("ended", "lost")
    assert (again.kind, again.body["status"]) == ("corrected", status.value)
    assert again.idempotency_key == f"{task.id}:recover:{task.revision}"
    assert task.id not in books.payloads
    return task


def test_the_late_truth_of_a_frozen_gateway_replaces_lost_and_nothing_else_does(nodes: Pair) -> None:
    """Its lease ran out, another gateway gave its task up; thawed, it says how the command really ended, once."""
    here, there = nodes
    lost, supervisor = given_up(here, there)
    here.open_gate()
    exits(supervisor)
    thaw(here)
    there.until("recover", lost.id)
    task = corrected(there, Status.FAILED, Cause.EXIT, 5)
    assert here.runs() == 1
    for verb in (Verb.SUCCEED, Verb.FAIL, Verb.TIME_OUT, Verb.LOSE, Verb.CANCEL):
        for claim_id in (lost.claim_id, None):
            assert here.act("apply", transition(task.id, verb, time.time(), claim_id=claim_id)) is None
    for status in (Status.SUCCEEDED, Status.CANCELLED):
        assert here.act("apply", transition(task.id, Verb.RECOVER, time.time(), target=status)) is None
    for node in nodes:
        assert node.ask("POST", f"/v1/tasks/{task.id}/cancel", {}).json["error"]["code"] == "already_ended"
        assert node.ask("POST", f"/v1/tasks/{task.id}/report", {"done": True}).json["error"]["code"] == "not_external"
        assert node.ask("POST", "/v1/tasks/maintenance", {"apply": True}).json["moves"] == []
    after = corrected(here, Status.FAILED, Cause.EXIT, 5)
    assert (after.revision, after.ended_at, after.detail) == (task.revision, task.ended_at, task.detail)


def test_a_lost_task_is_corrected_when_its_gateway_was_killed_and_the_command_has_ended(nodes: Pair) -> None:
    """Killed, given up, ended with nobody there: the next gateway of that home finds the end and corrects."""
    here, there = nodes
    _, supervisor = given_up(here, there)
    here.kill()
    here.open_gate()
    exits(supervisor)
    assert here.begin()
    here.until("recover")
    corrected(there, Status.FAILED, Cause.EXIT, 5)
    here.kill()
    assert here.begin()
    corrected(there, Status.FAILED, Cause.EXIT, 5)
    assert here.runs() == 1


def test_a_lost_task_is_corrected_even_when_its_session_was_settled_before_the_kill(nodes: Pair) -> None:
    """The command's end was seen and put away, only not recorded: the next gateway does not need to adopt anything."""
    here, there = nodes
    assert here.begin("worker:before_finish") and there.begin()
    answer = here.submit(here.counting())
    assert answer is not None
    here.dies()
    until(lambda: os.listdir(here.paths.open) == [] or "end" in here.record(answer["sessionId"]))
    [lost] = there.ended(answer["taskId"])
    assert lost["cause"] == "lease_expired"
    for name in os.listdir(here.paths.open):
        os.unlink(f"{here.paths.open}/{name}")
    assert here.begin()
    here.until("recover")
    corrected(there, Status.FAILED, Cause.EXIT, 5)


def test_a_lost_task_is_corrected_when_its_command_ends_under_the_next_gateway(nodes: Pair) -> None:
    """It still runs when the home's next gateway comes: that one stays with it, and corrects at its end."""
    here, there = nodes
    task, _ = given_up(here, there)
    here.kill()
    assert here.begin()
    assert here.ask("GET", f"/v1/tasks/{task.id}").json["status"] == "lost"
    here.open_gate()
    there.until("recover", task.id)
    corrected(there, Status.FAILED, Cause.EXIT, 5)


def test_work_that_was_to_be_cancelled_and_then_given_up_is_still_ended(nodes: Pair) -> None:
    """The wish reached the database while its gateway was frozen: thawed, it carries it out, lost or not."""
    believe(nodes, 12.0)  # the wish has to come before the end of the lease
    here, there = nodes
    assert here.begin() and there.begin()
    answer = here.submit(here.counting(f"{here.gate}; exit 5"))
    assert answer is not None
    here.until("began")
    until(here.runs)
    assert here.process is not None
    freeze(here, here.process)
    asked = there.ask("POST", f"/v1/tasks/{answer['taskId']}/cancel", {}).json
    assert (asked["status"], asked["cancelAskedAt"] is None) == ("running", False)
    assert there.ended(answer["taskId"])[0]["status"] == "lost"
    thaw(here)
    there.until("recover", answer["taskId"])
    corrected(there, Status.CANCELLED, Cause.OPERATOR, None)
    assert here.runs() == 1


def test_a_command_that_takes_its_time_to_die_does_not_cost_another_one_its_lease(nodes: Pair) -> None:
    """Called off from elsewhere, it ignores SIGTERM for two leases: its gateway goes on renewing the others."""
    believe(nodes, 10.0)
    here, there = nodes
    assert here.begin() and there.begin()
    other = here.submit(here.counting(f"{here.gate}; exit 5"))
    stubborn = here.submit("trap '' TERM; echo up; while :; do sleep 0.05; done", graceSeconds=21)
    assert other is not None and stubborn is not None
    session = stubborn["sessionId"]
    assert here.ask("POST", "/v1/wait", {"sessionIds": [session], "pattern": "up"}).json["met"]
    assert there.ask("POST", f"/v1/tasks/{stubborn['taskId']}/cancel", {}).json["status"] == "running"
    [killed] = there.ended(stubborn["taskId"])
    assert (killed["status"], killed["exitSignal"]) == ("cancelled", "SIGKILL")
    assert there.ask("GET", f"/v1/tasks/{other['taskId']}").json["status"] == "running"
    here.open_gate()
    [ended] = there.ended(other["taskId"])
    assert (ended["status"], ended["exitCode"]) == ("failed", 5)
    assert "lose" not in {verb for task in there.books().tasks for verb in there.books().verbs_of(task)}
