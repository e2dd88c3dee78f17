"""A gateway killed with -9 while it spawns: there is the whole child or nothing of it, and one that is asked for again
is that child.
"""

from __future__ import annotations

import http.client
from typing import Any

import pytest
from agent_house import script
from crashing import Node
from test_agent_crash import MAIN, furnish, look

from outlast.core.flow import FlowFilter, FlowStatus
from outlast.core.session import Cause, Status
from outlast.core.task import TaskFilter

BEFORE = ("agents:before_spawn", "worker:before_record", "store:before_commit:spawn")
AFTER = ("store:after_commit:spawn", "worker:after_record", "agents:after_spawn", "agents:after_start")


def ask(node: Node, path: str, body: dict[str, Any]) -> Any:
    """The answer of a gateway; None when it died instead."""
    try:
        return node.ask("POST", path, body)
    except (OSError, http.client.HTTPException):
        return None


def spawn(node: Node, message: str, key: str | None = None, parent: str = MAIN) -> Any:
    body = {"agent": "coder", "task": message, "as": parent}
    return ask(node, "/v1/subagents", body if key is None else {**body, "dedupeKey": key})


def parts(node: Node) -> tuple[int, int, int]:
    """How many tasks, flows and spawned conversations there are."""
    tasks = look(node, "list_tasks", TaskFilter(), 100).tasks
    flows = look(node, "list_flows", FlowFilter(), 100).flows
    return len(tasks), len(flows), len(look(node, "child_conversations", MAIN, 100))


@pytest.mark.parametrize("again", [False, True], ids=["once", "asked again"])
@pytest.mark.parametrize("point", BEFORE + AFTER)
def test_a_crash_while_it_spawns_leaves_the_whole_child_or_nothing_of_it(node: Node, point: str, again: bool) -> None:
    """The child runs once to its end, and who spawned it is told once; who asks again with his key has that child."""
    furnish(node)
    message = script(["begin"], ["note", str(node.path("ran"))], ["gate", str(node.path("gate"))])
    assert node.begin(point)
    spawn(node, message, "k")
    node.dies()
    there = point in AFTER
    assert parts(node) == ((1, 1, 1) if there else (0, 0, 0))
    assert node.begin(), node.log()
    if again:
        answer = spawn(node, message, "k")
        assert (answer.status, answer.json["existing"]) == (200, there)
    if not again and not there:
        assert node.runs() == 0
        return
    node.open_gate()
    node.ended(node.only_task())
    task = node.judge(Status.SUCCEEDED, Cause.EXIT, code=0)
    assert parts(node) == (1, 1, 1)
    assert (node.runs(), task.requester) == (1, MAIN)
    [flow] = look(node, "list_flows", FlowFilter(), 100).flows
    assert (flow.status, flow.task_id) == (FlowStatus.SUCCEEDED, task.id)


@pytest.mark.parametrize("point", ["store:before_commit:create_mirrored", "store:after_commit:create_mirrored"])
def test_a_crash_while_work_is_reported_leaves_task_and_flow_or_neither(node: Node, point: str) -> None:
    assert node.begin(point)
    body = {"label": "train", "mirror": True, "dedupeKey": "k"}
    assert ask(node, "/v1/tasks/report", body) is None
    node.dies()
    there = point.startswith("store:after")
    assert parts(node) == ((1, 1, 0) if there else (0, 0, 0))
    assert node.begin(), node.log()
    answer = ask(node, "/v1/tasks/report", body)
    assert answer.json["existing"] is there
    assert parts(node) == (1, 1, 0)
    ask(node, f"/v1/tasks/{answer.json['taskId']}/report", {"done": True})
    [flow] = look(node, "list_flows", FlowFilter(), 100).flows
    assert (flow.status, flow.task_id) == (FlowStatus.SUCCEEDED, answer.json["taskId"])
