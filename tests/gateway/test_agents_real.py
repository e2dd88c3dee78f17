"""Real runners under a gateway, with agents that misbehave: the right end, a readable cause, nothing left running."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from agent_house import AgentHouse, agent_house, asynchronous, kinds

from houses import House
from outlast.core.session import Cause, Status
from outlast.core.task import Task
from patient_runner import PATIENT

SCRIPTED = [sys.executable, "-S", str(Path(__file__).parent.parent / "agents" / "scripted_acp.py")]
ENDS = {
    "whole": (Status.SUCCEEDED, None, ""),
    "noise": (Status.SUCCEEDED, None, ""),
    "flood": (Status.SUCCEEDED, None, ""),
    "children": (Status.SUCCEEDED, None, ""),
    "long": (Status.SUCCEEDED, None, ""),
    "crash:initialize": (Status.FAILED, "agent_exited", "the agent fell over in initialize"),
    "crash:new": (Status.FAILED, "agent_exited", "the agent fell over in new"),
    "crash:mid": (Status.FAILED, "agent_exited", "the agent fell over in mid"),
    "exit0:mid": (Status.FAILED, "agent_exited", "exit code 0 before it had answered"),
    "orphan-crash": (Status.FAILED, "agent_exited", "exit code 3"),
    "bad-json": (Status.FAILED, "agent_exited", "exit code 0"),
    "garbage-only": (Status.FAILED, "protocol", "does not speak the protocol"),
    "wrong-id": (Status.FAILED, "protocol", "not asked under"),
    "giant-answer": (Status.FAILED, "protocol", "more than 16 MiB"),
    "closes-output": (Status.FAILED, "agent_exited", "closed its output"),
    "failing": (Status.FAILED, "agent_error", "model overloaded"),
    "login": (Status.FAILED, "login_wanted", "log"),
    "refusal": (Status.FAILED, None, "the agent refused"),
    "max-tokens": (Status.FAILED, None, "limit of tokens"),
    "silent": (Status.TIMED_OUT, "timeout", "took longer than"),
}


def tables(*habits: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """Agents of the config file, one for each habit."""
    return {name_of(habit): {"backend": "acp", "command": [*SCRIPTED, habit], **fields} for habit in habits}


def name_of(habit: str) -> str:
    return habit.replace(":", "-")


@asynchronous
async def test_twenty_agents_at_once_each_with_a_habit_of_its_own(house: House) -> None:
    """Also floods, giants and crashes beside each other: each turn ends as it should, and nothing is left of any."""
    async with agent_house(house, runner=None, **tables(*ENDS)) as home:
        limits = {"silent": 8.0}
        tasks = {
            habit: await home.start(agent=name_of(habit), message="hello", timeout_seconds=limits.get(habit))
            for habit in ENDS
        }
        for habit, (status, code, words) in ENDS.items():
            task = await home.ended(tasks[habit])
            assert (habit, task.status, task.detail.get("code")) == (habit, status, code), task.error
            assert words in str(task.error or ""), (habit, task.error)
        await home.nothing_left()


@asynchronous
async def test_a_whole_turn_is_in_the_transcript_and_its_secrets_are_not(house: House) -> None:
    async with agent_house(house, runner=None, **tables("whole")) as home:
        task = await home.turn(agent="whole", message="hello, my password: hunter2hunter2")
        assert (task.summary, task.detail["usage"]["totalTokens"]) == ("Hello, world\nand more", 12)
        entries = await home.transcript("agent:whole:main")
        said = kinds(entries)
        assert [kind for kind, _ in said if kind not in ("text", "thought")] == [
            "prompt", "plan", "tool", "tool", "end",
        ]  # fmt: skip
        assert "".join(text for kind, text in said if kind == "text") == "Hello, world\nand more"
        assert "hunter2" not in str([(entry.text, entry.data) for entry in entries]) and "\x1b" not in str(said)


@asynchronous
async def test_agents_are_called_off_whether_they_listen_or_not(house: House) -> None:
    async with agent_house(house, runner=tuple(PATIENT), **tables("forever", "deaf", "silent")) as home:
        tasks = [await home.start(agent=agent, message="hello") for agent in ("forever", "deaf", "silent")]
        await home.said("working", "agent:forever:main")
        await home.said("I do not listen", "agent:deaf:main")
        await home.until(tasks[2], lambda task: task.session_id is not None)
        for task, grace in zip(tasks, (None, 0.2, None), strict=True):
            await home.cancel(task, grace)
        forever, *_ = [await _called_off(home, task) for task in tasks]
        assert "stopped" in str(forever.summary)
        await home.nothing_left()


async def _called_off(home: AgentHouse, task: Task) -> Task:
    ended = await home.ended(task)
    assert (ended.status, ended.cause) == (Status.CANCELLED, Cause.OPERATOR), ended
    return ended


@asynchronous
async def test_the_leave_an_agent_wants_is_given_over_a_restart(house: House) -> None:
    """Asked through the protocol, answered as an approval; in between the gateway is another one."""
    async with agent_house(house, runner=None, **tables("permission")) as home:
        task = await home.start(agent="permission", message="2")
        [first] = await home.asked()
        assert "rm -rf build" in str(first.preview)
        await home.restart()
        await home.answer(first)
        [second] = await home.asked()
        assert second.id != first.id
        await home.answer(second)
        ended = await home.ended(task)
        assert ended.status is Status.SUCCEEDED
        said = [text for kind, text in kinds(await home.transcript("agent:permission:main")) if kind == "text"]
        assert "".join(said).count('"optionId": "yes"') == 2


@asynchronous
async def test_what_an_agent_is_told_in_mid_turn_is_its_next_prompt(house: House) -> None:
    async with agent_house(house, runner=None, **tables("permission")) as home:
        task = await home.start(agent="permission", message="1")
        [approval] = await home.asked()
        await home.turns.steer(await home.record(task), "0")
        await home.answer(approval)
        await home.ended(task)
        [steer] = [entry for entry in await home.transcript("agent:permission:main") if entry.kind.value == "steer"]
        assert (steer.text, steer.data["status"]) == ("0", "sent")
