"""Turns that are told something, called off or left behind at an awkward moment."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
import pytest
from agent_house import PATIENCE, SCRIPTED, AgentHouse, agent_house, asynchronous, kinds, script

from houses import House
from outlast.api.agent_work import TurnAsk, compose_turn
from outlast.core.errors import Conflict
from outlast.core.session import Cause, Status
from outlast.core.task import Task
from outlast.delivery.loop import NET_SECONDS
from outlast.gateway.agent_room import AgentRoom
from outlast.process.clock import SystemClock

LONG = "€" * 500_000
"""More bytes than a supervisor holds for a command that does not read."""


def slow(house: House, *runner: str) -> tuple[str, ...]:
    """A runner that reads nothing before the gate is open."""
    wait = f'while [ ! -e {house.home}/gate ]; do sleep 0.005; done; exec "$@"'
    return ("/bin/sh", "-c", wait, "sh", *runner)


def full(home: AgentHouse) -> asyncio.Event:
    """An event that is set when a runner has been handed all it takes before it reads."""
    reached, write = asyncio.Event(), home.sessions.write

    async def watched(*given: Any) -> int:
        try:
            return await write(*given)
        except Conflict:
            reached.set()
            raise

    home.sessions.write = watched  # type: ignore[method-assign]
    return reached


async def until_told_or_in_line(home: AgentHouse, telling: asyncio.Task[None]) -> None:
    """Wait until somebody who tells a runner something has begun to write it, or waits for another line to be whole."""
    wrote, write = asyncio.Event(), home.sessions.write

    async def watched(*given: Any) -> int:
        wrote.set()
        return await write(*given)

    home.sessions.write = watched  # type: ignore[method-assign]
    async with asyncio.timeout(PATIENCE):
        while not (wrote.is_set() or telling.done() or any(line._waiters for line in home.runtime._lines.values())):
            await asyncio.sleep(0)


@asynchronous
async def test_what_is_said_while_a_long_turn_is_handed_over_comes_after_it(house: House) -> None:
    """A line is written whole: a word to the agent in the middle of its turn would spoil both."""
    async with agent_house(house, runner=slow(house, *SCRIPTED)) as home:
        stuck = full(home)
        acts = script(["begin"], ["steered"], ["say", "heard it"])
        task = await home.start(message=f"{LONG}\n{acts}")
        await stuck.wait()
        steering = asyncio.create_task(home.turns.steer(await home.record(task), "look left"))
        await asyncio.sleep(0)
        home.open_gate()
        await steering
        ended = await home.ended(task)
        assert (ended.status, ended.error) == (Status.SUCCEEDED, None)
        assert kinds(await home.transcript())[1:3] == [("steer", "look left"), ("text", "heard it")]


@asynchronous
async def test_a_turn_whose_runner_never_takes_it_can_be_called_off(house: House) -> None:
    async with agent_house(house, runner=slow(house, *SCRIPTED)) as home:
        stuck = full(home)
        task = await home.start(message=f"{LONG}\n{script(['begin'])}")
        await stuck.wait()
        await home.books.call_off(await home.record(task), Cause.OPERATOR, 0.1)
        ended = await home.ended(task)
        assert (ended.status, ended.cause) == (Status.CANCELLED, Cause.OPERATOR)
        await home.nothing_left()


@asynchronous
async def test_a_turn_that_was_half_handed_over_is_handed_over_again(house: House) -> None:
    """The gateway ended in the middle of the line: the runner takes the one the next gateway writes."""
    runner = slow(house, sys.executable, "-P", "-m", "outlast.agents.runner")
    counts = {"backend": "command", "command": ["wc", "-m"]}
    async with agent_house(house, runner=runner, counts=counts) as home:
        stuck = full(home)
        task = await home.start(message=LONG, agent="counts", env={"LC_ALL": "C.UTF-8"})
        await stuck.wait()
        await home.restart()
        home.open_gate()
        ended = await home.ended(task)
        assert (ended.status, ended.error, ended.summary) == (Status.SUCCEEDED, None, "500000")


@pytest.mark.parametrize("wish", ["steer", "cancel"])
def test_a_runner_that_is_found_without_its_turn_hears_of_that_first(
    house: House, wish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody wants of it right after a restart waits until it has been told what to do."""

    @asynchronous
    async def turn() -> None:
        async with agent_house(house, runner=slow(house, *SCRIPTED)) as home:
            stuck, looked, released = full(home), asyncio.Event(), asyncio.Event()
            acts = script(["begin"], ["steered"] if wish == "steer" else ["hang"])
            task = await home.start(message=f"{LONG}\n{acts}")
            await stuck.wait()
            payload = AgentRoom.payload

            async def slowly(room: AgentRoom, task: Task) -> dict[str, Any] | None:
                looked.set()
                await released.wait()
                return await payload(room, task)

            monkeypatch.setattr(AgentRoom, "payload", slowly)
            await home.restart()
            await looked.wait()
            running = await home.record(task)
            told = home.turns.steer(running, "look left") if wish == "steer" else home.cancel(task)
            telling = asyncio.create_task(told)
            await until_told_or_in_line(home, telling)
            released.set()
            home.open_gate()
            await telling
            ended = await home.ended(task)
            assert ended.error is None
            assert ended.status is (Status.SUCCEEDED if wish == "steer" else Status.CANCELLED)

    turn()


@asynchronous
async def test_the_answer_of_a_turn_that_was_tried_again_is_that_of_its_last_try(house: House) -> None:
    """The first try said more, so its journal is the longer one: each is read by itself."""
    async with agent_house(house) as home:
        failed = {"stop": "error", "error": "not yet", "text": "one" * 5_000}
        acts = script(["begin"], ["first", home.gate("tried"), failed], ["end", {"text": "two"}])
        new = compose_turn(home.maker, home.books.ledger.new_id(), TurnAsk(agent="coder", message=acts), node="n1")
        new = msgspec.structs.replace(new, attempts_max=2, retry={"delaySeconds": 0.05})
        await home.turns.prepare(new)
        await home.books.submit(new)
        task = await home.ended(new.id)
        assert (task.status, task.attempt) == (Status.SUCCEEDED, 2)
        last = await home.store.last_entry_of_task(task.id, task.session_id)
        assert last is not None and last.text == "two"


@asynchronous
async def test_a_beat_that_came_due_while_the_machine_slept_is_seen_to_when_it_wakes(house: House) -> None:
    """Not when the seconds it was awake add up: the loop's own timer has counted none of the others."""
    table = {"backend": "acp", "command": ["scripted"], "heartbeat": {"every": "8h"}}
    async with agent_house(house, coder=table) as home:
        loop, rests = home.books.heartbeats._loop, asyncio.Event()

        async def sleep(seconds: float) -> None:
            if seconds == NET_SECONDS and not loop._turn.is_set():
                rests.set()
            await asyncio.sleep(seconds)

        loop._clock = SystemClock()
        loop._clock.sleep = sleep  # type: ignore[method-assign]
        loop.nudge()
        await asyncio.wait_for(rests.wait(), PATIENCE)
        real = home.clock.now
        home.clock.now = lambda: real() + 9 * 3600  # type: ignore[method-assign]
        home.books._steps._callback()
        async with asyncio.timeout(PATIENCE):
            while not (beats := await home.store.beats_of("coder", 10, None)):
                await asyncio.sleep(0.01)
        assert [(beat.why, beat.outcome) for beat in beats] == [("interval", "skipped")]


@asynchronous
async def test_a_step_of_the_clock_has_everybody_look_who_waits_for_a_moment(house: House) -> None:
    """Their timers count the seconds the machine was awake."""
    home = AgentHouse(house, flows=True, telling=True)
    await home.open()
    try:
        books = home.books
        assert books._flows is not None and books._tellers is not None
        loops = [books._tellers.outbox, books._tellers._wakes, books._tellers._approvals, books.heartbeats]
        signs = [books.rounds._turn, books._flows.engine._news, *(part._loop._turn for part in loops)]
        async with asyncio.timeout(PATIENCE):
            while any(sign.is_set() for sign in signs):
                await asyncio.sleep(0.005)
        books._steps.heard()
        assert all(sign.is_set() for sign in signs), signs
    finally:
        await home.close()
