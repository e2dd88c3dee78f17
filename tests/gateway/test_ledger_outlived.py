"""Commands that merely outlived their call go on record once, silently, whatever dies between start and record."""

from __future__ import annotations

import http.client
import os
import signal

import pytest
from crashing import Node, check, exits, supervisor_of, until
from running import PATIENCE, UnixConnection

from outlast.core.session import Cause, Status
from outlast.core.task import OUTLIVED, NotifyPolicy, Task

WAYS = {
    "background": {"background": True},
    "window": {"yieldMs": 20},
    "follower": {"yieldMs": 0, "follow": True},
}


def outlive(node: Node, way: str) -> None:
    """Start a command that outlives its call; the gateway may die at any point of this."""
    try:
        session = node.exec(node.counting(f"{node.gate}; exit 5"), **WAYS[way])
        if way == "follower":
            follow(node, session["sessionId"]).close()
    except (OSError, http.client.HTTPException):
        pass


def follow(node: Node, session_id: str) -> UnixConnection:
    connection = UnixConnection(node.paths.socket)
    connection.request("GET", f"/v1/sessions/{session_id}/stream")
    assert connection.getresponse().status == 200
    return connection


def recorded_once(node: Node) -> Task:
    task = node.judge(Status.FAILED, Cause.EXIT, code=5, notices=0)
    assert (task.notify, task.source, task.queue) == (NotifyPolicy.SILENT, OUTLIVED, "outlived")
    assert task.id[1:] == (task.session_id or "")[1:]
    assert node.runs() == 1
    return task


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("point", ["books:before_record", "books:after_record"])
def test_a_crash_between_start_and_record_is_mended_by_the_next_gateway(node: Node, point: str, way: str) -> None:
    """However it came to outlive its call: one record, found from its session, and nobody is told."""
    node.settings["outlast.api.followed.ARRIVAL_SECONDS"] = 0.05
    assert node.begin(point)
    outlive(node, way)
    node.dies()
    assert node.begin()
    created = node.until("create")
    node.open_gate()
    node.ended(created["taskId"])
    recorded_once(node)


def test_a_command_that_ended_before_anybody_had_recorded_it_is_recorded_as_it_ended(node: Node) -> None:
    """However many gateways die over it, the record comes in the end, once, and with the true end."""
    assert node.begin("books:before_record")
    outlive(node, "background")
    node.dies()
    [name] = os.listdir(node.paths.sessions)
    supervisor = supervisor_of(node, name)
    node.open_gate()
    exits(supervisor)
    for _ in range(2):
        node.begin("books:before_record")
        node.dies()
    assert node.begin()
    node.ended(node.until("create")["taskId"])
    recorded_once(node)
    node.kill()
    assert node.begin()
    recorded_once(node)


def test_a_call_that_was_cut_off_by_the_kill_has_been_outlived(node: Node) -> None:
    """The command was in its yield window, its caller was waiting: it goes on, and is on record from now on."""
    assert node.begin()
    waiting = UnixConnection(node.paths.socket)
    command = node.counting(f"{node.gate}; exit 5").replace('"', '\\"')
    waiting.request("POST", "/v1/exec", f'{{"command": "{command}"}}')
    until(node.runs)
    node.kill()
    waiting.close()
    assert node.begin()
    created = node.until("create")
    node.open_gate()
    node.ended(created["taskId"])
    recorded_once(node)


def test_a_follower_of_a_gateway_that_dies_leaves_a_record(node: Node) -> None:
    """As long as somebody follows there is no record; when the gateway dies under him, the next one makes it."""
    node.settings["outlast.api.followed.ARRIVAL_SECONDS"] = PATIENCE
    assert node.begin()
    session = node.exec(node.counting(f"{node.gate}; exit 5"), **WAYS["follower"])
    following = follow(node, session["sessionId"])
    assert node.ask("GET", "/v1/tasks").json["tasks"] == []
    node.stop(signal.SIGKILL)
    following.close()
    assert node.begin()
    created = node.until("create")
    node.open_gate()
    node.ended(created["taskId"])
    recorded_once(node)


def test_what_ended_within_its_call_is_never_recorded_afterwards(node: Node) -> None:
    """A command of the foreground that left a process behind is still looked after, and still no task."""
    assert node.begin()
    done = node.exec("sleep 1000 & echo done", leftovers="keep")
    assert (done["status"], done["leftovers"]) == ("succeeded", 1)
    until(lambda: os.stat(f"{node.paths.open}/{done['sessionId']}").st_size > 0)  # its end is told, and that is noted
    node.kill()
    assert node.begin()
    task = node.exec(node.counting(), detach=True)
    node.ended(task["taskId"])
    books = node.books()
    [only] = books.tasks
    check(books, only, Status.FAILED, Cause.EXIT, code=5)
