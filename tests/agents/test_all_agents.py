"""Agents that others have made, as many as run without a key, against a made-up model: `make test-agents`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec
import pytest
from agent_running import PATIENCE
from fake_model import Endpoint, one_call
from real_agents import npm_agents

from outlast.core.agent import AgentSpec, EventKind, Turn
from outlast.core.agent_check import AgentCheck

pytestmark = pytest.mark.agents
ANSWER = "The file is made."
COMMAND = "echo made > made.txt"
NPM_SECONDS = 120


@pytest.fixture(scope="module")
def programs() -> str:
    return npm_agents()


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def work(tmp_path):
    """A directory to work in; agents want it under version control."""
    (tmp_path / "work").mkdir()
    subprocess.run(["git", "init", "-q", str(tmp_path / "work")], check=True)
    return tmp_path / "work"


@pytest.fixture
def endpoint():
    made: list[Endpoint] = []

    def make(tool: str, arguments: dict) -> Endpoint:
        made.append(Endpoint(one_call(tool, arguments, ANSWER)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def environment(programs: str, home, **more: str) -> dict[str, str]:
    """A home of their own, and nothing that leads to a model or a key of whoever runs the tests."""
    path = f"{programs}:{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "XDG_CONFIG_HOME": f"{home}/.config", "XDG_DATA_HOME": f"{home}/.data",
            "XDG_CACHE_HOME": f"{home}/.cache", "XDG_STATE_HOME": f"{home}/.state", **more}  # fmt: skip


def of_claude(it: Endpoint) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": it.url, "ANTHROPIC_API_KEY": "made-up", "IS_SANDBOX": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}  # fmt: skip


def codex_home(it: Endpoint, home) -> dict[str, str]:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(
        'model = "made-up"\nmodel_provider = "made"\nsandbox_mode = "danger-full-access"\n'
        f'[model_providers.made]\nname = "Made up"\nbase_url = "{it.url}/v1"\nwire_api = "responses"\n'
        'env_key = "OPENAI_API_KEY"\n'
    )
    return {"OPENAI_API_KEY": "made-up", "CODEX_API_KEY": "made-up"}


def opencode_home(it: Endpoint, home) -> dict[str, str]:
    made = {"npm": "@ai-sdk/openai-compatible", "name": "Made up", "models": {"made-up": {"name": "made-up"}},
            "options": {"baseURL": f"{it.url}/v1", "apiKey": "made-up"}}  # fmt: skip
    config = {"model": "made/made-up", "small_model": "made/made-up", "provider": {"made": made},
              "permission": {"bash": "ask"}}  # fmt: skip
    (home / "opencode.json").write_text(json.dumps(config))
    return {"OPENCODE_CONFIG": str(home / "opencode.json")}


def check_turn(turn, work, *, permission: bool) -> str:
    """A turn with one command in it, allowed by somebody if the agent asks."""
    if permission:
        asked = turn.until(EventKind.PERMISSION)
        assert not (work / "made.txt").exists()
        allow = next(option["id"] for option in asked.data["options"] if option["kind"] == "allow_once")
        turn.tell(op="permission", id=asked.id, option=allow)
    end = turn.end()
    assert (end.error, end.stop) == (None, "end_turn")
    assert end.text.endswith(ANSWER)
    assert (work / "made.txt").read_text() == "made\n"
    assert turn.of(EventKind.TOOL)
    assert turn.alive() == []
    return end.agent_session


def check_again(start, agent, work, session: str, env: dict[str, str]) -> None:
    turn = start(agent, "and again", agent_session=session, workdir=work, env=env)
    assert turn.end().error is None
    assert turn.of(EventKind.BEGUN)[0].data["resumed"] is True
    assert turn.alive() == []


def test_claude_agent_acp(start, endpoint, programs, home, work) -> None:
    env = environment(programs, home, **of_claude(endpoint("Bash", {"command": COMMAND, "description": "make it"})))
    agent = AgentSpec(name="claude", backend="acp", command=("claude-agent-acp",))
    session = check_turn(start(agent, "make it", workdir=work, env=env), work, permission=True)
    check_again(start, agent, work, session, env)


def test_codex_acp(start, endpoint, programs, home, work) -> None:
    it = endpoint("exec_command", {"cmd": COMMAND})
    env = environment(programs, home, **codex_home(it, home))
    agent = AgentSpec(name="codex", backend="acp", command=("codex-acp",), permissions="allow")
    session = check_turn(start(agent, "make it", workdir=work, env=env), work, permission=False)
    check_again(start, agent, work, session, env)


def test_opencode(start, endpoint, programs, home, work) -> None:
    it = endpoint("bash", {"command": COMMAND, "description": "make it"})
    env = environment(programs, home, **opencode_home(it, home))
    agent = AgentSpec(name="opencode", backend="acp", command=("opencode", "acp"))
    session = check_turn(start(agent, "make it", workdir=work, env=env), work, permission=True)
    check_again(start, agent, work, session, env)


def test_claude_as_a_command(start, endpoint, programs, home, work) -> None:
    env = environment(programs, home, **of_claude(endpoint("Bash", {"command": COMMAND, "description": "make it"})))
    agent = AgentSpec(
        name="claude", backend="command", output="claude-stream-json", resume=("--resume", "{session}"),
        command=("claude", "-p", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions",
                 "{resume}", "--", "{message}"),
    )  # fmt: skip
    session = check_turn(start(agent, "--make it", workdir=work, env=env), work, permission=False)
    check_again(start, agent, work, session, env)
    document = msgspec.structs.replace(
        agent, output="json", command=("claude", "-p", "--output-format", "json", "{resume}", "{message}")
    )
    turn = start(document, "hello", workdir=work, env=env)
    end = turn.end()
    assert (end.error, end.text) == (None, ANSWER)
    assert end.usage.cost_usd is not None
    assert end.agent_session


def test_codex_as_a_command(start, endpoint, programs, home, work) -> None:
    it = endpoint("exec_command", {"cmd": COMMAND})
    env = environment(programs, home, **codex_home(it, home))
    agent = AgentSpec(
        name="codex", backend="command", output="codex-jsonl", resume=("resume", "{session}"),
        command=("codex", "exec", "--json", "--skip-git-repo-check", "{resume}", "{message}"),
    )  # fmt: skip
    session = check_turn(start(agent, "make it", workdir=work, env=env), work, permission=False)
    check_again(start, agent, work, session, env)


def test_a_look_at_each(programs, home, tmp_path) -> None:
    """Without a key: what they are, or what login they want; and nothing is left running."""
    found = {}
    for name, argv in {
        "claude": ("claude-agent-acp",),
        "codex": ("codex-acp",),
        "opencode": ("opencode", "acp"),
    }.items():
        turn = Turn(agent=AgentSpec(name=name, backend="acp", command=argv), conversation="c", prompt="",
                    workdir=str(tmp_path), env=environment(programs, home))  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-P", "-m", "outlast.agents.probe"], input=msgspec.json.encode(turn) + b"\n",
            capture_output=True, timeout=2 * PATIENCE, check=False,
        )  # fmt: skip
        found[name] = msgspec.json.decode(done.stdout, type=AgentCheck)
    assert found["codex"].code == "login_wanted"
    assert "CODEX_API_KEY" in found["codex"].hint
    assert found["opencode"].ok
    assert all(check.title and check.version and check.protocol == 1 for check in found.values())
