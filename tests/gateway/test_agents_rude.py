"""Command-line agents and models that misbehave, under a gateway: the right end, a readable cause, nothing left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from agent_house import PATIENCE, AgentHouse, agent_house, asynchronous

from houses import House
from outlast.core.session import Cause, Status
from outlast.core.task import Task
from rude_endpoint import RudeEndpoint

DAEMON = """
import os, sys, time
def leave(where):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        with open(where + '.new', 'w') as file:
            file.write(str(os.getpid()))
        os.rename(where + '.new', where)
        os.execve('/bin/sleep', ['sleep', '600'], {})
    while not os.path.exists(where):
        time.sleep(0.005)
"""
"""A grandchild that left its session and has nothing of ours in its environment; it holds the pipes."""


class End(NamedTuple):
    """How a turn is to end. ``words`` are in its error, or in its answer where it succeeded."""

    status: Status
    cause: Cause
    code: str | None = None
    words: str = ""


GOOD = End(Status.SUCCEEDED, Cause.EXIT)
LATE = End(Status.TIMED_OUT, Cause.TIMEOUT, "timeout", "took longer than")


def failed(code: str, words: str) -> End:
    return End(Status.FAILED, Cause.ERROR, code, words)


COMMANDS: dict[str, tuple[str, str, End]] = {
    "whole": ("text", "echo hello", GOOD._replace(words="hello")),
    "crash": ("text", "echo half; kill -SEGV $$", failed("agent_exited", "signal SIGSEGV")),
    "killed": ("claude-stream-json", "kill -9 $$", failed("agent_exited", "signal SIGKILL")),
    "code": (
        "text",
        "echo out; echo the last straw >&2; exit 7",
        failed("agent_exited", "exit code 7: the last straw"),
    ),
    "flood": ("text", "yes noise | head -c 5000000 >&2; echo the end >&2; echo done", GOOD._replace(words="done")),
    "flood-crash": ("json", "yes noise | head -c 5000000 >&2; echo why >&2; exit 1", failed("agent_exited", "why")),
    "half-json": ("json", 'printf \'{"result": "x\'', failed("no_result", "is its output really json?")),
    "bad-lines": ("codex-jsonl", "echo '{\"type\": '; echo '[]'", failed("no_result", "without a result")),
    "bad-stream": ("claude-stream-json", "echo nothing of the kind", failed("no_result", "without a result")),
    "no-result": ("text", "echo busy >&2; exit 0", failed("no_result", "exit code 0 and without a result: busy")),
    "silent": ("text", "echo half; exec sleep 600", LATE),
    "deaf": ("text", "trap '' TERM; while :; do sleep 0.05; done", LATE),
    "mute": ("json", "exec >&-; exec sleep 600", LATE),
}
"""By name: the format that is expected, what the program does, and how that ends."""
LIMIT = {"silent": 1.5, "deaf": 1.5, "mute": 1.5}


def plain(item: str) -> str:
    """Return an item of a command that has no gaps."""
    return item.replace("{", "{{").replace("}", "}}")


def commands(folder: Path) -> dict[str, dict[str, Any]]:
    """Agents of the config file, one for each way."""
    tables = {
        name: {"backend": "command", "command": ["sh", "-c", plain(script), "sh", "{message}"], "output": output}
        for name, (output, script, _) in COMMANDS.items()
    }
    for name, after in (("daemon", "print('left one')"), ("daemon-crash", "os.kill(os.getpid(), 9)")):
        code = f"{DAEMON}leave({str(folder / name)!r})\n{after}\n"
        tables[name] = {"backend": "command", "command": [sys.executable, "-S", "-c", plain(code), "{message}"]}
    return tables


async def ends(home: AgentHouse, tasks: dict[str, Task], wanted: dict[str, End]) -> None:
    """See every turn to its end, which is as it should be."""
    for name, end in wanted.items():
        task = await home.ended(tasks[name])
        assert (name, task.status, task.cause, task.detail.get("code")) == (name, *end[:3]), task.error
        said = f"{task.error} {task.detail.get('hint')}" if task.status is not Status.SUCCEEDED else task.summary
        assert end.words in str(said), (name, said)
        assert len(str(task.error)) < 2_000
        assert task.error is None or not any(ord(char) < 32 and char != "\n" for char in task.error)
    await home.nothing_left()


async def gone(path: Path) -> None:
    """Wait until the process is gone whose id is in a file."""
    pid = int(path.read_text())
    async with asyncio.timeout(PATIENCE):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


@asynchronous
async def test_twenty_command_line_agents_at_once_each_with_a_habit_of_its_own(house: House, tmp_path: Path) -> None:
    async with agent_house(house, runner=None, **commands(tmp_path)) as home:
        names = [*COMMANDS, "daemon", "daemon-crash"]
        tasks = {name: await home.start(agent=name, message="x", timeout_seconds=LIMIT.get(name)) for name in names}
        more = [await home.start(agent="whole", message="x", conversation=f"c{n}") for n in range(20 - len(names))]
        wanted = {name: end for name, (_, _, end) in COMMANDS.items()}
        wanted["daemon"] = GOOD._replace(words="left one")
        wanted["daemon-crash"] = failed("agent_exited", "signal SIGKILL")
        await ends(home, tasks, wanted)
        for task in more:
            assert (await home.ended(task)).status is Status.SUCCEEDED
        for name in ("daemon", "daemon-crash"):
            await gone(tmp_path / name)


@asynchronous
async def test_command_line_agents_are_called_off_with_all_they_left(house: House, tmp_path: Path) -> None:
    code = f"{DAEMON}leave({str(tmp_path / 'left')!r})\nprint('working', flush=True)\ntime.sleep(600)\n"
    table = {"backend": "command", "command": [sys.executable, "-S", "-c", plain(code), "{message}"]}
    deaf = {"backend": "command", "command": ["sh", "-c", COMMANDS["deaf"][1], "sh", "{message}"]}
    async with agent_house(house, runner=None, busy=table, deaf=deaf) as home:
        tasks = [await home.start(agent=agent, message="x") for agent in ("busy", "deaf")]
        await home.said("working", "agent:busy:main")
        await home.until(tasks[1], lambda task: task.session_id is not None)
        for task in tasks:
            await home.cancel(task)
        for task in tasks:
            ended = await home.ended(task)
            assert (ended.status, ended.cause, ended.error) == (Status.CANCELLED, Cause.OPERATOR, None)
        await home.nothing_left()
        await gone(tmp_path / "left")


@asynchronous
async def test_a_grandchild_of_an_acp_agent_that_left_everything_is_ended_with_the_turn(
    house: House, tmp_path: Path
) -> None:
    """Whether the turn ends well, the agent crashes or its runner is killed."""
    agents = Path(__file__).parent.parent / "agents"
    code = (
        f"{DAEMON}leave(sys.argv[1])\nsys.argv[1:] = sys.argv[2:]\nsys.path.append({str(agents)!r})\n"
        "import scripted_acp\nscripted_acp.main()\n"
    )
    habits = {"well": "plain", "crash": "crash:prompt", "killed": "forever"}
    tables = {
        name: {"backend": "acp", "command": [sys.executable, "-S", "-c", code, str(tmp_path / name), habit]}
        for name, habit in habits.items()
    }
    async with agent_house(house, runner=None, **tables) as home:
        tasks = {name: await home.start(agent=name, message="x") for name in habits}
        await home.said("working", "agent:killed:main")
        session = home.sessions.get(str((await home.record(tasks["killed"])).session_id))
        assert session.pid is not None
        os.kill(session.pid, signal.SIGKILL)
        wanted = {
            "well": GOOD, "crash": failed("agent_exited", "the agent fell over in prompt"),
            "killed": End(Status.FAILED, Cause.SIGNAL, "no_end", "ended without a result (signal SIGKILL)"),
        }  # fmt: skip
        await ends(home, tasks, wanted)
        for name in habits:
            await gone(tmp_path / name)


# ---- models


@pytest.fixture
def endpoint() -> Iterator[RudeEndpoint]:
    endpoint = RudeEndpoint()
    yield endpoint
    endpoint.close()


MODELS = {
    "good": GOOD._replace(words="Hello."),
    "garbage": failed("agent_error", "the model failed: "),
    "cut": failed("agent_error", "ended without a `finish_reason`"),
    "too-long": End(Status.FAILED, Cause.ERROR, None, "limit of tokens before it was done"),
    "empty": failed("agent_error", "the model failed: "),
    "hangs-up": failed("agent_error", "the model failed: "),
    "floods": GOOD,
    "silent": LATE,
    "stalls": LATE,
    "killed": End(Status.FAILED, Cause.SIGNAL, "no_end", "ended without a result (signal SIGKILL)"),
}


@pytest.mark.parametrize("good", [0, pytest.param(10, marks=pytest.mark.soak)])
@asynchronous
async def test_models_whose_endpoint_misbehaves(house: House, endpoint: RudeEndpoint, good: int) -> None:
    """Ten at once, and in the long run twenty: each runner of a model imports its library first."""

    def table(habit: str) -> dict[str, Any]:
        env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{endpoint.url}/{habit}/v1"}
        return {"backend": "model", "model": "openai:made-up", "env": env}

    tables = {habit: table(habit) for habit in MODELS}
    async with agent_house(house, runner=None, **tables) as home:
        limits = {"silent": 6.0, "stalls": 6.0}
        tasks = {
            habit: await home.start(agent=habit, message="x", timeout_seconds=limits.get(habit)) for habit in MODELS
        }
        beside = [await home.start(agent="good", message="x", conversation=f"c{place}") for place in range(good)]
        await asyncio.to_thread(endpoint.until_asked, "killed", PATIENCE)
        session = home.sessions.get(str((await home.record(tasks["killed"])).session_id))
        assert session.pid is not None
        os.kill(session.pid, signal.SIGKILL)
        await ends(home, tasks, MODELS)
        for task in beside:
            assert (await home.ended(task)).status is Status.SUCCEEDED
