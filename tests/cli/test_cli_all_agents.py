"""Every real agent under a gateway, in mid-command: called off, or with the gateway killed: `make test-agents`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cli_live import Live

sys.path.append(str(Path(__file__).parent.parent / "agents"))
from agent_running import marked
from fake_model import Endpoint, one_call
from real_agents import npm_agents
from test_all_agents import ANSWER, codex_home, environment, of_claude, opencode_home
from test_cli_agents_real import readable, runner_above

pytestmark = pytest.mark.agents
CLAUDE = ("claude", "-p", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions")


class Kind(NamedTuple):
    """One make of agent: how it is started, and the tool by which it runs a command."""

    command: tuple[str, ...]
    tool: str
    argument: str
    of: str
    output: str = ""


KINDS = {
    "claude-agent-acp": Kind(("claude-agent-acp",), "Bash", "command", "claude"),
    "codex-acp": Kind(("codex-acp",), "exec_command", "cmd", "codex"),
    "opencode": Kind(("opencode", "acp"), "bash", "command", "opencode"),
    "claude": Kind((*CLAUDE, "--", "{message}"), "Bash", "command", "claude", "claude-stream-json"),
    "codex": Kind(("codex", "exec", "--json", "--skip-git-repo-check", "{message}"), "exec_command", "cmd", "codex",
                  "codex-jsonl"),
}  # fmt: skip


class Busy:
    """An agent in the middle of a command that waits for a word."""

    def __init__(self, own: Live, kind: Kind, folder: Path, programs: str) -> None:
        self.own = own
        self.work, home = folder / "work", folder / "home"
        self.work.mkdir()
        home.mkdir()
        began, go = folder / "began", folder / "go"
        os.mkfifo(began)
        os.mkfifo(go)
        self.hears, self.says = os.open(began, os.O_RDONLY | os.O_NONBLOCK), os.open(go, os.O_RDWR)
        command = f"echo $$ > {began}; read word < {go}; echo $word > made.txt"
        self.endpoint = Endpoint(
            one_call(kind.tool, {kind.argument: command, "description": "wait for a word"}, ANSWER)
        )
        self.mark = f"OUTLAST_TEST_MARK={os.urandom(8).hex()}"
        more = {
            "claude": lambda: of_claude(self.endpoint),
            "codex": lambda: codex_home(self.endpoint, home),
            "opencode": lambda: opencode_home(self.endpoint, home),
        }[kind.of]()
        name, _, value = self.mark.partition("=")
        self.configure(kind, {**environment(programs, home, **more), name: value})
        words = ("agent", "run", "busy", "do it", "--detach", "--json", "--as", "agent:me:main")
        self.task = own.json(*words)["taskId"]
        readable(self.hears)
        self.runner = os.pidfd_open(runner_above(int(os.read(self.hears, 100))))

    def configure(self, kind: Kind, env: dict[str, str]) -> None:
        table: dict[str, Any] = {"command": list(kind.command), "workdir": str(self.work)}
        more = (
            {"backend": "command", "output": kind.output} if kind.output else {"backend": "acp", "permissions": "allow"}
        )
        lines = [f"{name} = {json.dumps(value)}" for name, value in {**table, **more}.items()]
        lines += ["[agents.busy.env]", *(f"{name} = {json.dumps(value)}" for name, value in env.items())]
        file = Path(self.own.home, "config.toml")
        file.write_text("\n".join(["[agents.busy]", *lines]) + "\n")
        file.chmod(0o600)

    def ended(self) -> Any:
        """Wait for the end, not as who is told of it, since who waits sees it himself; nothing of it may be left."""
        done = self.own.run("subagents", "wait", self.task, "--json")
        [turn] = json.loads(done.stdout)["turns"]
        readable(self.runner)
        assert marked(self.mark) == []
        return turn

    def close(self) -> None:
        for fd in (self.hears, self.says, self.runner):
            os.close(fd)
        self.endpoint.close()


@pytest.fixture(params=KINDS)
def busy(request: pytest.FixtureRequest, own: Live, tmp_path: Path) -> Iterator[Busy]:
    busy = Busy(own, KINDS[request.param], tmp_path, npm_agents())
    yield busy
    busy.close()


def test_called_off_in_mid_command_nothing_of_it_is_left(busy: Busy) -> None:
    busy.own.json("subagents", "cancel", busy.task, "--json")
    turn = busy.ended()
    assert (turn["task"]["status"], turn["task"]["cause"]) == ("cancelled", "operator"), turn
    assert not (busy.work / "made.txt").exists()


def test_it_goes_on_while_the_gateway_is_dead_and_is_told_once(busy: Busy) -> None:
    busy.own.kill_gateway()
    os.write(busy.says, b"onwards\n")
    readable(busy.runner)
    assert (busy.work / "made.txt").read_text() == "onwards\n"
    turn = busy.ended()
    assert turn["task"]["status"] == "succeeded", turn
    assert turn["text"].endswith(ANSWER)
    heard = ("conversations", "events", "agent:me:main", "--json")
    busy.own.run(*heard, "--follow", "--limit", "1")
    busy.own.kill_gateway()
    busy.own.run("gateway", "start")
    events = busy.own.run(*heard).stdout.splitlines()
    assert [busy.task in line.decode() for line in events] == [True]
