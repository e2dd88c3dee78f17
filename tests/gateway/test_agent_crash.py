"""A gateway killed with -9 in the middle of turns: they go on, nothing is missed or kept twice, one is told once."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from agent_house import SCRIPTED, YES, config_text, script
from crashing import Node, exits, until

from outlast import config as config_module
from outlast.api.agent_work import TurnAsk, compose_turn
from outlast.core.agent import Entry
from outlast.core.approval import Approval, ApprovalFilter, ApprovalStatus, Verdict
from outlast.core.conversation import NewSystemEvent
from outlast.core.session import Cause, Status
from outlast.core.task import Task
from outlast.gateway.flow_engine import Maker
from outlast.gateway.stores import make_store
from outlast.process.clock import SystemClock

MAIN = "agent:coder:main"
RUNNER = "outlast.runtimes.agent.RUNNER"


def furnish(node: Node, **tables: dict[str, Any]) -> None:
    """Give a home agents, and runners that do as they are told."""
    node.path("config.toml").write_text(config_text(**tables))
    node.config = config_module.load(node.env)
    if not tables:
        node.settings[RUNNER] = list(SCRIPTED)


def put(node: Node, message: str, **fields: Any) -> str:
    """Put a turn on record from outside, as another node of the same store does."""
    ask = TurnAsk(agent=fields.pop("agent", "coder"), message=message, **fields)
    maker = Maker(node.config, SystemClock(), dict(os.environ))
    new = compose_turn(maker, f"t{os.urandom(8).hex()}", ask, node=None)
    node.act("create_task", new)
    return new.id


def make(node: Node) -> None:
    """Have a store without a gateway, to put something in."""
    assert node.begin()
    node.kill()


def look(node: Node, name: str, *given: Any) -> Any:
    """Ask the store of a home something."""

    async def main() -> Any:
        store = make_store(node.config, read_only=True)
        await store.open()
        try:
            return await getattr(store, name)(*given)
        finally:
            await store.close()

    return asyncio.run(main())


def transcript(node: Node, key: str = MAIN) -> list[Entry]:
    return list(look(node, "entries_of", key, 0, 1000))


def texts(node: Node, kind: str = "text") -> list[str]:
    return [entry.text for entry in transcript(node) if entry.kind.value == kind]


def asked(node: Node) -> list[Approval]:
    return list(look(node, "list_approvals", ApprovalFilter(), 100).approvals)


def judged(node: Node) -> Task:
    """Return the only task: it succeeded once, and its requester was told once."""
    return node.judge(Status.SUCCEEDED, Cause.EXIT, code=0)


POINTS = (
    "worker:after_claim",
    "agents:after_prompt",
    "worker:before_spawn",
    "agents:before_start",
    "agents:after_start",
    "worker:after_spawn",
    "agents:after_turn",
    "agents:before_entries",
    "agents:after_entries",
    "agents:before_close",
    "worker:before_finish",
    "worker:after_finish",
)


@pytest.mark.parametrize("goes_on", [False, True], ids=["waits", "goes on"])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_of_the_gateway_costs_a_turn_nothing(node: Node, point: str, goes_on: bool) -> None:
    """Killed between any two steps of a turn, while the agent waits or goes on to its end with nobody there."""
    if not goes_on and point in ("agents:before_close", "worker:before_finish", "worker:after_finish"):
        pytest.skip("the turn has ended there")
    furnish(node)
    waits_for_it = point == "worker:after_claim"  # it would die of its first look already
    assert waits_for_it or node.begin(point)
    if goes_on:
        node.open_gate()
    if waits_for_it:
        make(node)
    event = NewSystemEvent(conversation=MAIN, at=1.0, kind="note", text="the build is red", source_key="k1")
    node.act("add_system_event", event)
    gate = ["gate", str(node.path("gate"))]
    acts = [["begin"], ["note", str(node.path("ran"))], ["say", "one"], gate, ["say", "two", "m2"]]
    task_id = put(node, script(*acts, ["echo", "task_id"]))
    if waits_for_it:
        node.begin(point)
    node.dies()
    assert node.begin(), node.log()
    node.open_gate()
    node.ended(task_id)
    judged(node)
    assert node.runs() == 1
    assert texts(node)[:2] == ["one", "two"]
    assert (len(texts(node, "prompt")), len(texts(node, "event")), len(texts(node, "end"))) == (1, 1, 1)
    assert look(node, "system_events", MAIN, 0, 10) == []
    held = look(node, "get_agent_conversation", MAIN)
    assert held.agent_session == "as-1" and held.turns >= 1


@pytest.mark.parametrize("point", ["agents:before_ask", "agents:after_ask", "agents:before_answer"])
def test_a_crash_around_a_question_asks_it_once_and_passes_its_answer_on(node: Node, point: str) -> None:
    furnish(node)
    assert node.begin(point)
    task_id = put(node, script(["begin"], ["ask", "p1", "Run rm", YES, {}]))
    if point == "agents:before_answer":
        until(lambda: asked(node))
        decide(node)
    node.dies()
    if point == "agents:after_ask":
        decide(node)  # with no gateway about
    assert node.begin(), node.log()  # it is ready though a question waits
    if point == "agents:before_ask":
        until(lambda: asked(node))
        decide(node)
    node.ended(task_id)
    judged(node)
    assert len(asked(node)) == 1
    [_, permitted] = [entry for entry in transcript(node) if entry.kind.value == "permission"]
    assert permitted.data["option"] == "yes"


def decide(node: Node) -> None:
    """Approve the question that waits from outside."""
    [approval] = [one for one in asked(node) if not one.status.final]
    verdict = Verdict(
        approval_id=approval.id, status=ApprovalStatus.APPROVED, at=approval.created_at + 1.0, by="boss", how="cli"
    )
    assert node.act("decide", verdict) is not None


def test_a_question_that_waits_for_long_holds_up_no_restart(node: Node) -> None:
    """Restarted again and again, the gateway is ready at once, and the question is there as it was."""
    furnish(node)
    assert node.begin()
    task_id = put(node, script(["begin"], ["ask", "p1", "Run rm", YES, {}]))
    until(lambda: asked(node))
    for _ in range(3):
        node.kill()
        assert node.begin(), node.log()
    [approval] = asked(node)
    assert approval.status is ApprovalStatus.PENDING
    decide(node)
    node.ended(task_id)
    judged(node)


def test_a_turn_whose_runner_was_killed_while_no_gateway_ran_says_so(node: Node) -> None:
    """Nothing is invented: what the agent said until then is kept, and the cause is the end that was seen."""
    furnish(node)
    assert node.begin()
    task_id = put(node, script(["begin"], ["say", "one"], ["gate", str(node.path("gate"))], ["kill"]))
    until(lambda: texts(node) == ["one"])
    node.kill()
    session_id = look(node, "get_task", task_id).session_id
    pid = int(node.record(session_id)["started"]["pid"])
    node.open_gate()
    exits(pid)
    assert node.begin(), node.log()
    node.ended(task_id)
    task = look(node, "get_task", task_id)
    assert (task.status, task.cause) == (Status.FAILED, Cause.SIGNAL)
    assert "ended without a result (signal SIGKILL)" in task.error
    assert texts(node) == ["one"]


def test_a_turn_with_the_real_runner_goes_on_over_a_crash(node: Node) -> None:
    """Killed in mid-turn: what the agent says meanwhile, and its result, are there after the restart."""
    agent = 'echo one; while [ ! -e "$1" ]; do sleep 0.01; done; echo two'
    furnish(node, shell={"backend": "command", "command": ["/bin/sh", "-c", agent, "sh", "{message}"]})
    assert node.begin()
    task_id = put(node, str(node.path("gate")), agent="shell")
    until(lambda: any("one" in entry.text for entry in transcript(node, "agent:shell:main") if entry.kind == "text"))
    node.kill()
    node.open_gate()
    assert node.begin(), node.log()
    node.ended(task_id)
    task = judged(node)
    assert task.summary == "one\ntwo"
    said = [entry for entry in transcript(node, "agent:shell:main") if entry.kind.value == "text"]
    assert "".join(entry.text for entry in said).split() == ["one", "two"]


def test_a_turn_with_a_real_acp_agent_goes_on_over_a_crash(node: Node) -> None:
    """Killed while the agent asks for leave and again after that: both answers reach it, all it says is kept once."""
    scripted = [sys.executable, "-S", str(Path(__file__).parent.parent / "agents" / "scripted_acp.py"), "permission"]
    furnish(node, asker={"backend": "acp", "command": scripted})
    assert node.begin()
    task_id = put(node, "2", agent="asker")
    until(lambda: asked(node))
    node.kill()
    decide(node)
    assert node.begin(), node.log()
    until(lambda: len(asked(node)) == 2)
    node.kill()
    assert node.begin(), node.log()
    decide(node)
    node.ended(task_id)
    judged(node)
    entries = transcript(node, "agent:asker:main")
    said = [entry.text for entry in entries if entry.kind.value == "text"]
    assert "".join(said) == "".join(f'answer {n}: {{"optionId": "yes", "outcome": "selected"}}\n' for n in (0, 1))
    assert [entry.data.get("status") for entry in entries if entry.kind.value == "permission"] == [
        None, "allowed", None, "allowed",
    ]  # fmt: skip
