"""A real ACP agent under a gateway that is killed in mid-turn: fast-agent, whose passthrough model needs no key."""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path

import pytest
from cli_live import PATIENCE, Live, line_of

sys.path.append(str(Path(__file__).parent.parent / "agents"))
from real_agents import INSTALLED_FIRST, fast_agent

pytestmark = INSTALLED_FIRST

SLOW = 4 * PATIENCE
"""A real agent takes its time to start, and two cores may have other work."""


@pytest.fixture(scope="module")
def program() -> str:
    return fast_agent()


def configured(own: Live, program: str, work: Path, permissions: str) -> None:
    words = [program, "acp", "--model", "passthrough", "-x"]
    Path(own.home, "config.toml").write_text(
        f'[agents.fast]\nbackend = "acp"\ncommand = {json.dumps(words)}\npermissions = "{permissions}"\n'
        f"workdir = {json.dumps(str(work))}\n"
    )
    Path(own.home, "config.toml").chmod(0o600)


def call(tool: str, **arguments: str) -> str:
    return f"***CALL_TOOL {tool} {json.dumps(arguments)}"


def runner_above(pid: int) -> int:
    """Return the process of the runner that a process descends from."""
    while pid > 1:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"outlast.agents.runner" in words:
            return pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    raise AssertionError("no runner above it")


def readable(fd: int) -> None:
    assert select.select([fd], [], [], SLOW)[0]


def test_a_turn_goes_on_while_the_gateway_is_dead_and_is_told_once(own: Live, program: str, tmp_path: Path) -> None:
    configured(own, program, tmp_path, "allow")
    began, go = tmp_path / "began", tmp_path / "go"
    os.mkfifo(began)
    os.mkfifo(go)
    hears = os.open(began, os.O_RDONLY | os.O_NONBLOCK)
    says = os.open(go, os.O_RDWR)
    message = call("execute", command=f"echo $$ > {began}; read word < {go}; echo it said $word")
    task = own.json("agent", "run", "fast", message, "--detach", "--as", "agent:me:main", "--json")
    readable(hears)
    runner = os.pidfd_open(runner_above(int(os.read(hears, 100))))
    own.kill_gateway()
    assert not select.select([runner], [], [], 0)[0], "the runner has died with the gateway"
    os.write(says, b"onwards\n")
    readable(runner)  # the whole turn has ended, and nobody was there to see it
    for fd in (hears, says, runner):
        os.close(fd)
    done = own.run("subagents", "wait", task["taskId"], "--json")
    [turn] = json.loads(done.stdout)["turns"]
    assert (turn["task"]["status"], turn["stop"]) == ("succeeded", "end_turn"), turn
    assert "it said onwards" in turn["text"]
    lines = own.run("conversations", "transcript", turn["task"]["conversation"], "--json").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert (kinds[0], kinds[-1], kinds.count("prompt"), kinds.count("end")) == ("prompt", "end", 1, 1)
    heard = own.run("conversations", "events", "agent:me:main", "--follow", "--limit", "1", "--json").stdout
    assert b"it said onwards" in heard
    own.kill_gateway()  # nor does the next one tell it again
    own.run("gateway", "start")
    events = own.run("conversations", "events", "agent:me:main", "--json").stdout.splitlines()
    assert [task["taskId"] in line.decode() for line in events] == [True]


def test_leave_is_asked_for_over_a_kill_and_given_to_an_agent_that_has_waited(
    own: Live, program: str, tmp_path: Path
) -> None:
    configured(own, program, tmp_path, "ask")
    made = tmp_path / "made.txt"
    message = call("write_text_file", path=str(made), content="by leave")
    task = own.json("agent", "run", "fast", message, "--detach", "--json")["taskId"]
    asked = own.start("approvals", "list", "--follow", "--json")
    try:
        readable(asked.stdout.fileno())
        pending = json.loads(line_of(asked.stdout))["approvalId"]
    finally:
        asked.kill()
        asked.communicate(timeout=PATIENCE)
    own.kill_gateway()
    assert not made.exists()
    own.run("approvals", "approve", pending, "--note", "go")
    done = own.run("subagents", "wait", task, "--json")
    assert json.loads(done.stdout)["turns"][0]["task"]["status"] == "succeeded", done.stdout
    assert made.read_text() == "by leave"
