"""What the turn of an agent starts is its own, however it asks: real agents that call the command line themselves."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from cli_live import PATIENCE, Live

import outlast
from outlast.client import Client
from outlast.config import load

OUTLAST = f"{sys.executable} -m outlast"
SPAWN = json.dumps({"tool": "subagents", "action": "spawn", "agent": "chain", "task": "x"})
TURN = json.dumps({"tool": "agents", "action": "run", "agent": "chain", "message": "x"})
WAYS = {
    "cli": f"{OUTLAST} subagents spawn chain deeper",
    "turn": f"{OUTLAST} agent run chain deeper --detach",
    "tool": f"{OUTLAST} tool '{SPAWN}'",
    "tool_turn": f"{OUTLAST} tool '{TURN}'",
    "python": f"""{sys.executable} -c 'import outlast
outlast.connect().post("/v1/subagents", {{"agent": "chain", "task": "x"}})'""",
}


def add(own: Live, folder: Path, name: str, script: str) -> None:
    """Configure a command-line agent that is a shell script: what it prints is its answer."""
    program = folder / f"{name}.sh"
    program.write_text(script)
    done = own.run("agents", "add", name, "--backend", "command", "--", "sh", str(program), "{message}")
    assert done.returncode == 0, done.stderr


def line_from(fifo: Path) -> str:
    fd = os.open(fifo, os.O_RDWR)
    try:
        assert select.select([fd], [], [], 2 * PATIENCE)[0]
        return os.read(fd, 65536).decode()
    finally:
        os.close(fd)


@pytest.mark.parametrize("way", WAYS)
def test_a_chain_of_agents_ends_at_five_levels_and_with_its_top(own: Live, tmp_path: Path, way: str) -> None:
    naptime, refused = f"600.{os.getpid()}", tmp_path / "refused"  # a sleep like nobody else's on this machine
    os.mkfifo(refused)
    add(own, tmp_path, "chain", f'said=$({WAYS[way]} 2>&1) || echo "$said" > {refused}\nsleep {naptime}\n')
    top = own.json("agent", "run", "chain", "go", "--detach", "--json")["taskId"]
    assert "asked for 5 deep already" in line_from(refused)
    first, *spawned = own.json("subagents", "list", "--all", "--json")["tasks"][::-1]
    assert (first["taskId"], len(spawned)) == (top, 5)
    assert {task["kind"] for task in spawned} == {"turn" if "turn" in way else "spawn"}
    assert [task["requester"] for task in spawned] == [
        "agent:chain:main", *(task["conversation"] for task in spawned[:-1])
    ]  # fmt: skip
    assert [task["parentId"] for task in spawned] == [top, *(task["taskId"] for task in spawned[:-1])]
    own.run("tasks", "cancel", top)
    ended = own.json("tasks", "wait", top, *(task["taskId"] for task in spawned), "--json", code=1)["tasks"]
    assert {task["status"] for task in ended} == {"cancelled"}
    assert subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True, check=False).stdout == b""
    heard = own.run("conversations", "events", "agent:chain:main", "--follow", "--limit", "1", "--json").stdout
    assert "was cancelled" in json.loads(heard)["text"]


def test_a_chain_of_turns_ends_at_five_levels_too(own: Live, tmp_path: Path) -> None:
    """Each asks the next in a conversation with it, and none is spawned: what comes of it is the same."""
    naptime, refused, places = f"601.{os.getpid()}", tmp_path / "refused", tmp_path / "places"
    os.mkfifo(refused)
    places.mkdir()
    add(
        own, tmp_path, "chain",
        f"touch {places}/$OUTLAST_TASK_ID\n"
        f"[ $(ls {places} | wc -l) -gt 8 ] && echo no end > {refused} && exit 1\n"
        f'said=$({OUTLAST} agent run chain deeper --detach 2>&1) || echo "$said" > {refused}\nsleep {naptime}\n',
    )  # fmt: skip
    top = own.json("agent", "run", "chain", "go", "--detach", "--json")["taskId"]
    assert "asked for 5 deep already" in line_from(refused)
    turns = [task["taskId"] for task in own.json("subagents", "list", "--all", "--json")["tasks"]]
    assert len(turns) == 6
    assert own.json("subagents", "show", turns[0], "--json")["depth"] == 5
    own.run("tasks", "cancel", top)
    ended = own.json("tasks", "wait", *turns, "--json", code=1)["tasks"]
    assert {task["status"] for task in ended} == {"cancelled"}


def test_an_agent_sees_its_own_only_and_its_commands_act_for_it(own: Live, tmp_path: Path) -> None:
    own.run("run", "--label", "strangers", "--wait", "--", "true")
    theirs = """'echo "for $OUTLAST_REQUESTER"; """ + OUTLAST + " tasks list --json'"
    add(
        own,
        tmp_path,
        "look",
        f"""{OUTLAST} run --wait -- {theirs}
{OUTLAST} tool '{{"tool":"exec","command":"echo for $OUTLAST_REQUESTER"}}'
{OUTLAST} tasks list --as agent:else:main --json
{OUTLAST} tool '{{"tool":"tasks","action":"list","requester":"agent:else:main"}}'
""",
    )
    done = own.run("agent", "run", "look", "go")
    assert done.returncode == 0, done.stderr
    mine, tasks, called, *others = done.stdout.decode().splitlines()
    assert mine == "for agent:look:main"
    [task] = json.loads(tasks)["tasks"]
    assert task["requester"] == "agent:look:main"
    assert "for agent:look:main" in json.loads(called)["output"]
    assert [json.loads(line)["tasks"] for line in others] == [[], []]


def test_what_an_agent_has_arranged_for_later_acts_for_it_too(own: Live, tmp_path: Path) -> None:
    """Its schedule fires, and its command is tried again, in an environment that is not the agent's."""
    add(own, tmp_path, "later", f"{OUTLAST} cron add --every 1h --name look -- 'echo for $OUTLAST_REQUESTER'\n")
    done = own.run("agent", "run", "later", "go")
    assert done.returncode == 0, done.stderr
    assert own.run("cron", "run", "look", "--wait").stdout.decode().startswith("for agent:later:main")
    [fired] = own.json("cron", "runs", "look", "--json")["runs"]
    again = own.json("tasks", "retry", fired["taskId"], "--json")["taskId"]
    own.run("tasks", "wait", again)
    assert own.run("tasks", "log", again).stdout == b"for agent:later:main\n"


def test_a_gateway_that_an_agent_has_started_acts_for_nobody(own: Live) -> None:
    own.run("gateway", "start", env={"OUTLAST_REQUESTER": "agent:main:main"})
    asked = {"command": "echo for ${OUTLAST_REQUESTER-nobody}"}
    assert Client(load(own.env)).post("/v1/exec", asked)["output"] == "for nobody\n"
    assert Client(load(own.env), requester="me").post("/v1/exec", asked)["output"] == "for nobody\n"
    mine = Client(load(own.env), requester="agent:main:main").post("/v1/exec", asked)
    assert mine["output"] == "for agent:main:main\n"


def test_a_client_in_python_acts_for_the_turn_it_is_in(own: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_REQUESTER", "agent:main:main")
    with_it, other = outlast.connect(home=own.home), outlast.connect(home=own.home, requester="me")
    asked = {"command": "true", "detach": True}
    assert with_it.post("/v1/exec", asked)["taskId"] in str(with_it.get("/v1/tasks"))
    assert other.get("/v1/tasks")["tasks"] == []


def test_what_a_turn_has_run_belongs_to_it_and_goes_with_it(own: Live, tmp_path: Path) -> None:
    """Also where somebody else has asked for it: it tells how far it is, and what it detaches is cancelled with it."""
    naptime, under_way = f"600.{os.getpid()}", tmp_path / "under_way"
    os.mkfifo(under_way)
    add(own, tmp_path, "busy", f"""{OUTLAST} tasks report progress 40 --message halfway
{OUTLAST} run -- sleep {naptime} > {under_way}
sleep {naptime}
""")  # fmt: skip
    turn = own.json("agent", "run", "busy", "go", "--detach", "--json")["taskId"]
    child = own.json("tasks", "show", line_from(under_way).strip(), "--json")
    assert (child["parentId"], child["requester"]) == (turn, "agent:busy:main")
    assert own.json("tasks", "show", turn, "--json")["progress"] == 40
    own.run("tasks", "cancel", turn)
    ended = own.json("tasks", "wait", turn, child["taskId"], "--json", code=1)["tasks"]
    assert {task["status"] for task in ended} == {"cancelled"}


def test_a_turn_that_a_turn_has_asked_for_goes_with_it(own: Live, tmp_path: Path) -> None:
    naptime, asked = f"601.{os.getpid()}", tmp_path / "asked"
    os.mkfifo(asked)
    add(own, tmp_path, "helper", f"sleep {naptime}\n")
    add(own, tmp_path, "boss", f"{OUTLAST} agent run helper help --detach --json > {asked}\nsleep {naptime}\n")
    top = own.json("agent", "run", "boss", "go", "--detach", "--json")["taskId"]
    child = json.loads(line_from(asked))
    assert (child["parentId"], child["conversation"]) == (top, "agent:helper:with:agent:boss:main")
    own.run("tasks", "cancel", top)
    ended = own.json("tasks", "wait", top, child["taskId"], "--json", code=1)["tasks"]
    assert [(task["status"], task["cause"]) for task in ended] == [("cancelled", "operator"), ("cancelled", "parent")]
    assert subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True, check=False).stdout == b""
