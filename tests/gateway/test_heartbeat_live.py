"""Heartbeats in a gateway with real sessions: what waits is told, an answer is passed on, a crash doubles nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from agent_house import PATIENCE, SCRIPTED, AgentHouse, agent_house, asynchronous, config_text, kinds, script
from crashing import Node, until
from test_agent_crash import RUNNER, look

from houses import House
from outlast import config as config_module
from outlast.core.agent import Beat
from outlast.core.conversation import NewSystemEvent
from outlast.core.task import TaskFilter

MAIN = "agent:coder:main"
BEATING = {"backend": "acp", "command": ["scripted"], "heartbeat": {"every": "1h"}}


def checklist(path: Any, *acts: Any) -> None:
    """Give the agent a checklist whose last line has the scripted runner do something."""
    folder = path / "agents" / "coder"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "HEARTBEAT.md").write_text(f"- look at the mail\n{script(*acts)}\n")


def event(number: int = 1, seconds_ago: float = 10.0) -> NewSystemEvent:
    """Something that has happened, long enough ago to have been gathered."""
    return NewSystemEvent(
        conversation=MAIN, at=time.time() - seconds_ago, kind="failed", text=f"build {number} is red",
        source_key=f"k{number}",
    )  # fmt: skip


async def beats(home: AgentHouse, holds: Callable[[list[Beat]], bool]) -> list[Beat]:
    """Wait until something holds of the history, oldest first."""
    async with asyncio.timeout(PATIENCE):
        while not holds(found := (await home.store.beats_of(None, 100))[::-1]):
            await asyncio.sleep(0.01)
    return found


def all_ended(count: int) -> Callable[[list[Beat]], bool]:
    return lambda found: len(found) >= count and all(beat.ended_at for beat in found)


@asynchronous
async def test_news_brings_a_beat_that_hears_of_it_and_whose_answer_is_told(house: House) -> None:
    async with agent_house(house, coder=BEATING) as home:
        checklist(home.path, ["begin"], ["end", {"text": "The build is red."}])
        await home.store.add_system_event(event())
        [beat] = await beats(home, all_ended(1))
        assert (beat.why, beat.outcome, beat.reason) == ("events: 1 failed", "told", "told local")
        said = kinds(await home.transcript())
        assert [kind for kind, _ in said] == ["event", "prompt", "end"]
        assert "build 1 is red" in said[0][1]
        assert "events: 1 failed" in said[1][1]
        assert await home.store.system_events(MAIN, 0, 10) == []
        [told] = await home.told("local")
        assert (told.kind, told.text) == ("heartbeat", "The build is red.")
        assert (await home.store.list_tasks(TaskFilter(), 10)).tasks == []
        await home.nothing_left()


@asynchronous
async def test_a_beat_waits_for_the_turn_of_its_conversation_and_a_turn_for_the_beat(house: House) -> None:
    async with agent_house(house, coder=BEATING) as home:
        checklist(home.path, ["begin"], ["say", "beating"], ["gate", home.gate("beat")])
        task = await home.start(["begin"], ["say", "turning"], ["gate", home.gate("turn")])
        await home.said("turning")
        heartbeats = home.books.heartbeats
        held = await heartbeats.run(home.config.agents["coder"], "local")
        assert (held.outcome, held.reason) == ("skipped", f"busy: task {task.id} has its turn")
        await home.store.add_system_event(event())
        home.open_gate("turn")
        await home.ended(task)
        await home.said("beating")
        second = await home.start(["begin"], ["say", "turned again"])
        home.open_gate("beat")
        await home.ended(second)
        texts = [text for kind, text in kinds(await home.transcript()) if kind == "text"]
        assert texts == ["turning", "beating", "turned again"]


@asynchronous
async def test_a_restart_in_mid_beat_takes_it_up_and_begins_no_other(house: House) -> None:
    async with agent_house(house, coder=BEATING) as home:
        gate = ["gate", home.gate()]
        checklist(home.path, ["begin"], ["note", home.gate("ran")], ["say", "looking"], gate, ["end", {"text": "Red."}])
        beat = await home.books.heartbeats.run(home.config.agents["coder"], "local")
        await home.said("looking")

        async def meanwhile() -> None:
            home.open_gate()

        await home.restart(meanwhile)
        [after] = await beats(home, all_ended(1))
        assert (after.id, after.session_id, after.outcome) == (beat.id, beat.session_id, "told")
        assert (home.path / "ran").read_text() == "ran\n"
        assert len(await home.store.list_notices(None, None, 10)) == 1


@pytest.mark.parametrize("how", ["fails", "dies", "is unknown"])
def test_every_bad_end_is_on_record_with_its_cause(house: House, how: str) -> None:
    acts = {"fails": [["end", {"stop": "error", "error": "no such model"}]], "dies": [["kill"]], "is unknown": []}
    said = {"fails": "no such model", "dies": "signal SIGKILL", "is unknown": "held by agent"}

    @asynchronous
    async def test() -> None:
        async with agent_house(house, coder=BEATING) as home:
            checklist(home.path, ["begin"], *acts[how])
            if how == "is unknown":
                await _held_by_another(home)
            await home.books.heartbeats.run(home.config.agents["coder"], "local")
            [beat] = await beats(home, all_ended(1))
            assert beat.outcome == "failed"
            assert said[how] in beat.reason

    test()


async def _held_by_another(home: AgentHouse) -> None:
    from outlast.core.agent import AgentConversation

    await home.store.hold_conversation(AgentConversation(MAIN, "other", 1.0, 1.0, "/"))


POINTS = (
    "heartbeat:before_take", "heartbeat:after_take", "agents:before_start", "agents:after_start", "heartbeat:begun",
    "agents:after_entries", "agents:before_close", "heartbeat:before_settle", "heartbeat:after_settle",
)  # fmt: skip
NEVER = ("heartbeat:after_take", "agents:before_start")
"""Where the beat is on record and its session is not: it has not begun, and what waits brings another."""


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_of_the_gateway_doubles_no_beat_and_loses_no_answer(node: Node, point: str) -> None:
    node.path("config.toml").write_text(config_text(coder=BEATING))
    node.config = config_module.load(node.env)
    node.settings[RUNNER] = list(SCRIPTED)
    checklist(node.path("."), ["begin"], ["note", str(node.path("ran"))], ["end", {"text": "The build is red."}])
    assert node.begin()
    node.kill()
    node.act("add_system_event", event())
    node.begin(point)
    node.dies()
    assert node.begin(), node.log()
    if point in NEVER:
        until(lambda: look(node, "beats_of", None, 10)[-1].ended_at)
        assert "it never began" in look(node, "beats_of", None, 10)[-1].reason
        assert node.runs() == 0
        return
    until(lambda: [beat for beat in look(node, "beats_of", None, 10) if beat.ended_at])
    [beat] = look(node, "beats_of", None, 10)
    assert (beat.outcome, beat.text) == ("told", "The build is red.")
    assert node.runs() == 1
    assert len([row for row in look(node, "list_notices", None, None, 10) if row.kind == "heartbeat"]) == 1
    until(lambda: look(node, "system_events", MAIN, 0, 10) == [])
