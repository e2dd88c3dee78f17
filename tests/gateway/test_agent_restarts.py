"""A gateway killed again and again while turns of several kinds run: every one is accounted for."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from crashing import Node, check
from test_agent_crash import furnish, transcript

from outlast.core.session import Cause, Status

LINES, TURNS, DEATHS = 60, 10, 15
LOOP = f"n=0; while [ $n -lt {LINES} ]; do n=$((n+1)); %s; sleep 0.05; done"
STREAM = (
    'echo "{{\\"type\\":\\"item.completed\\",\\"item\\":'
    '{{\\"id\\":\\"i$n\\",\\"type\\":\\"agent_message\\",\\"text\\":\\"$n\\"}}}}"'
)
AGENTS: dict[str, dict[str, Any]] = {
    "plain": {"backend": "command", "command": ["/bin/sh", "-c", LOOP % "echo $n", "sh", "{message}"]},
    "codex": {
        "backend": "command", "command": ["/bin/sh", "-c", LOOP % STREAM, "sh", "{message}"], "output": "codex-jsonl",
    },
}  # fmt: skip
"""Agents that count slowly: line by line, and in messages of their own."""


def begin(node: Node, number: int) -> tuple[str, str]:
    """Give an agent a turn, or spawn it; return its task and its conversation. Some share one, so they queue."""
    agent = ("plain", "codex")[number % 2]
    if number < 6:
        body = {"agent": agent, "message": "go", "conversation": f"c{number % 4}"}
        made = node.ask("POST", "/v1/agents/run", body)
    else:
        made = node.ask("POST", "/v1/subagents", {"agent": agent, "task": "go", "as": f"parent{number}"})
    assert made.status == 200, made
    return str(made.json["taskId"]), str(made.json["conversation"])


@pytest.mark.soak
def test_turns_over_fifteen_deaths_of_the_gateway(node: Node) -> None:
    """Transcripts without a double or a gap, one end each, and each requester told once."""
    luck = random.Random(7)
    furnish(node, **AGENTS)
    assert node.begin()
    places = dict(begin(node, number) for number in range(TURNS))
    for _ in range(DEATHS):
        time.sleep(luck.random() * 0.5)
        node.kill()
        assert node.begin(), node.log()
    node.ended(*places)
    books = node.books()
    assert {task.id for task in books.tasks} == set(places)
    for task in books.tasks:
        check(books, task, Status.SUCCEEDED, Cause.EXIT, code=0)
        entries = [entry for entry in transcript(node, places[task.id]) if entry.task_id == task.id]
        kinds = [entry.kind.value for entry in entries]
        assert (kinds.count("prompt"), kinds.count("end")) == (1, 1)
        parted = "" if task.ask["agent"] == "plain" else "\n"
        said = parted.join(entry.text for entry in entries if entry.kind.value == "text")
        assert said.split() == [str(number + 1) for number in range(LINES)]
