"""Agents at several gateways of one store: never a child too many, and one turn at a time in a conversation."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agent_house import SCRIPTED, script
from crashing import Node, until
from test_agent_crash import MAIN, RUNNER, furnish, look, texts
from test_spawn_crash import ask, parts, spawn

from outlast.core.session import Status
from outlast.core.task import TaskFilter
from outlast.process.clock import SystemClock


def test_what_two_gateways_spawn_at_once_is_never_one_too_many(nodes: tuple[Node, Node]) -> None:
    for node in nodes:
        furnish(node)
        assert node.begin()
    gate = str(nodes[0].path("gate"))
    message = script(["begin"], ["gate", gate])
    with ThreadPoolExecutor(16) as many:
        answers = list(many.map(lambda place: spawn(nodes[place % 2], message), range(16)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [403] * 11
    assert len(look(nodes[0], "live_children", MAIN)) == 5
    assert parts(nodes[0]) == (5, 5, 5)
    nodes[0].open_gate()
    made = [answer.json["taskId"] for answer in answers if answer.status == 200]
    assert {one["status"] for one in nodes[1].ended(*made)} == {"succeeded"}


def test_a_retry_at_another_gateway_spawns_nothing_new(nodes: tuple[Node, Node]) -> None:
    for node in nodes:
        furnish(node)
        assert node.begin()
    message = script(["begin"], ["gate", str(nodes[0].path("gate"))])
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda place: spawn(nodes[place % 2], message, "k"), range(8)))
    assert {answer.status for answer in answers} == {200}
    assert [answer.json["existing"] for answer in answers].count(False) == 1
    [task_id] = {answer.json["taskId"] for answer in answers}
    assert parts(nodes[0]) == (1, 1, 1)
    nodes[0].open_gate()
    nodes[1].ended(task_id)


BEATING = {"backend": "acp", "command": ["scripted"], "heartbeat": {"every": "1h"}}


def beating(node: Node, *acts: Any) -> None:
    """Give a home an agent that looks around by hand, and does something then."""
    furnish(node, coder=BEATING)
    node.settings[RUNNER] = list(SCRIPTED)
    folder = node.path("agents/coder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "HEARTBEAT.md").write_text(f"- look at the mail\n{script(*acts)}\n")


def beats(node: Node) -> list[Any]:
    return list(look(node, "beats_of", None, 10))


def beat(node: Node) -> Any:
    return node.ask("POST", "/v1/heartbeat/run", {"agent": "coder"}).json["beats"][0]


def test_a_turn_of_one_gateway_waits_for_the_beat_of_another_and_a_beat_for_a_turn(nodes: tuple[Node, Node]) -> None:
    here, there = nodes
    gates = {name: str(here.path(name)) for name in ("beat", "turn")}
    beating(here, ["begin"], ["say", "beating"], ["gate", gates["beat"]])
    beating(there, ["begin"], ["say", "no"])
    assert here.begin() and there.begin()
    beat(here)
    until(lambda: "beating" in texts(here))
    turn = ask(there, "/v1/agents/run", {"agent": "coder", "message": script(["begin"], ["say", "turning"],
               ["gate", gates["turn"]])}).json  # fmt: skip
    assert turn["status"] == "queued"
    assert look(here, "get_task", turn["taskId"]).status is Status.QUEUED
    here.path("beat").touch()
    until(lambda: "turning" in texts(here))
    assert beat(here)["outcome"] == "skipped"
    here.path("turn").touch()
    there.ended(turn["taskId"])
    assert texts(here) == ["beating", "turning"]


def test_turns_of_one_conversation_at_two_gateways_follow_each_other(nodes: tuple[Node, Node]) -> None:
    """Whoever asked for the next one begins it when the one before has ended, wherever that was."""
    here, there = nodes
    for node in nodes:
        furnish(node)
        assert node.begin()
    gate = str(here.path("gate"))
    made = []
    for place in range(6):
        acts = [["begin"], ["say", f"turn {place}"], *([["gate", gate]] if place == 0 else [])]
        answer = ask(nodes[place % 2], "/v1/agents/run", {"agent": "coder", "message": script(*acts)})
        made.append(answer.json["taskId"])
    until(lambda: texts(here) == ["turn 0"])
    here.open_gate()
    there.ended(*made)
    said = texts(here)
    for own in (["turn 0", "turn 2", "turn 4"], ["turn 1", "turn 3", "turn 5"]):
        assert [text for text in said if text in own] == own, "those of one gateway come in the order they were asked"
    spans = sorted((task.started_at, task.ended_at) for task in look(here, "list_tasks", TaskFilter(), 10).tasks)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans)), spans


def test_the_beat_of_a_gateway_that_is_gone_holds_a_turn_up_for_no_longer_than_its_lease(
    nodes: tuple[Node, Node],
) -> None:
    here, there = nodes
    lease = 10.0  # what a busy machine is sure to renew in time
    beating(here, ["begin"], ["say", "beating"], ["gate", str(here.path("never"))])
    beating(there, ["begin"], ["say", "no"])
    for node in nodes:
        node.settings["outlast.scheduler.heartbeat_leases.LEASE_SECONDS"] = lease
    assert here.begin() and there.begin()
    beat(here)
    until(lambda: "beating" in texts(here))
    turn = ask(there, "/v1/agents/run", {"agent": "coder", "message": script(["begin"])}).json
    clock, first = SystemClock(), beats(here)[0].lease_until
    until(lambda: clock.now() > first + 1.0)
    assert beats(here)[0].lease_until > clock.now()  # it is renewed while its gateway lives
    assert look(here, "get_task", turn["taskId"]).status is Status.QUEUED
    here.kill()
    there.ended(turn["taskId"])
    [gone] = beats(there)
    assert gone.outcome == "failed" and "not heard of" in gone.reason
