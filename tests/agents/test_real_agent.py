"""Turns of a real ACP agent that needs no model: fast-agent says what it is told, and calls the tools it is told."""

from __future__ import annotations

import json
import os
import subprocess
import uuid

import msgspec
import pytest
from agent_running import RUNNER, marked, sleeping_in, wait_for
from real_agents import INSTALLED_FIRST, fast_agent

from outlast.core.agent import AgentSpec, EventKind, Turn

pytestmark = INSTALLED_FIRST


@pytest.fixture(scope="module")
def agent() -> AgentSpec:
    return AgentSpec(name="fast", backend="acp", command=(fast_agent(), "acp", "--model", "passthrough", "-x"))


def call(tool: str, **arguments: object) -> str:
    return f"***CALL_TOOL {tool} {json.dumps(arguments)}"


def test_a_whole_turn_and_the_next_one_of_its_session(start, agent, tmp_path) -> None:
    first = start(agent, "hello {there} \x1b[31mred")
    end = first.end()
    assert (end.stop, end.text, end.error) == ("end_turn", "hello {there} red", None)
    assert first.of(EventKind.READY)[0].title == "fast-agent-acp"
    assert end.agent_session
    assert first.alive() == []
    again = start(agent, "and again", agent_session=end.agent_session, workdir=first.turn.workdir)
    assert again.end().agent_session == end.agent_session
    assert again.of(EventKind.BEGUN)[0].data == {"resumed": True}
    assert "hello" not in "".join(event.text for event in again.of(EventKind.TEXT))


def test_a_file_is_written_through_us_when_somebody_allows_it(start, agent, tmp_path) -> None:
    turn = start(agent, call("write_text_file", path=f"{tmp_path}/made.txt", content="by an agent"))
    asked = turn.until(EventKind.PERMISSION)
    assert not (tmp_path / "made.txt").exists()
    kinds = {option["kind"]: option["id"] for option in asked.data["options"]}
    turn.tell(op="permission", id=asked.id, option=kinds["allow_once"])
    end = turn.end()
    assert end.error is None
    assert (tmp_path / "made.txt").read_text() == "by an agent"
    statuses = [event.status for event in turn.of(EventKind.TOOL) if event.status]
    assert statuses[-1] == "completed"


def test_a_file_elsewhere_is_not_written_whatever_the_policy(start, agent, tmp_path) -> None:
    elsewhere = f"/tmp/outlast-test-{uuid.uuid4().hex}"
    allowing = msgspec.structs.replace(agent, permissions="allow")
    turn = start(allowing, call("write_text_file", path=elsewhere, content="x"))
    turn.end()
    assert not os.path.exists(elsewhere)
    assert any("refused to the agent" in event.text for event in turn.of(EventKind.NOTE))


def test_commands_go_through_our_terminals_and_are_asked_about_once(start, agent, tmp_path) -> None:
    turn = start(agent, call("execute", command="echo made > made.txt; cat made.txt; exit 3"))
    asked = turn.until(EventKind.PERMISSION)
    assert asked.data["input"] == {"command": "echo made > made.txt; cat made.txt; exit 3"}
    assert not (tmp_path / "made.txt").exists()
    turn.tell(op="permission", id=asked.id, option="allow_once")
    end = turn.end()
    assert (end.stop, end.error) == ("end_turn", None)
    assert "made" in end.text
    assert "[Exit code: 3]" in end.text
    assert (tmp_path / "made.txt").read_text() == "made\n"
    assert len(turn.of(EventKind.PERMISSION)) == 1
    began, over = [event for event in turn.of(EventKind.TOOL) if event.id.startswith("terminal ")]
    assert (began.status, over.status) == ("in_progress", "failed")
    assert over.data["output"] == "made\n[exit code 3]"
    assert turn.alive() == []


def test_an_agent_whose_table_says_deny_runs_nothing(start, agent, tmp_path) -> None:
    denied = msgspec.structs.replace(agent, permissions="deny")
    turn = start(denied, call("execute", command="touch made.txt"))
    turn.end()
    assert not (tmp_path / "made.txt").exists()


@pytest.mark.parametrize("command", ["touch began; sleep 600", "env -i setsid sh -c 'touch began; sleep 600' & wait"])
def test_cancel_in_the_middle_of_a_command_leaves_nothing_running(start, agent, tmp_path, command: str) -> None:
    allowing = msgspec.structs.replace(agent, permissions="allow")
    turn = start(allowing, call("execute", command=command))
    wait_for(tmp_path / "began")
    turn.tell(op="cancel")
    end = turn.end()
    assert (end.stop, end.error) == ("cancelled", None)
    assert turn.alive() == []
    assert sleeping_in(tmp_path) == []


def test_the_gateway_may_die_meanwhile(agent, tmp_path) -> None:
    """All that talks to the runner goes away; the turn ends as if nothing had been, into a file."""
    mark = uuid.uuid4().hex
    turn = Turn(agent=agent, conversation="c", prompt="still here", workdir=str(tmp_path), env={"MARK": mark})
    with open(tmp_path / "journal", "wb") as journal:
        process = subprocess.Popen(RUNNER, stdin=subprocess.PIPE, stdout=journal, stderr=subprocess.DEVNULL)
    try:
        process.stdin.write(msgspec.json.encode(turn) + b"\n")
        process.stdin.close()
        assert process.wait(120) == 0
    finally:
        process.kill()
    assert b"still here" in (tmp_path / "journal").read_bytes().splitlines()[-1]
    assert marked(f"MARK={mark}") == []
