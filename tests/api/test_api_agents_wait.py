"""What a turn waits for is said when it is asked for, and wherever it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_players import played_world
from api_fakes import asynchronous
from told_world import ALICE

from outlast.core.agent import LANE, Beat
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus


async def turn(at: Any, agent: str = "coder") -> Any:
    await at.clock.advance(0.002)  # who is before whom is in the order of time
    return await at.turn(agent=agent)


async def waits(at: Any, task_id: str) -> str | None:
    """What a turn waits for, the same wherever one looks."""
    shown = (await at.ask("subagents.show", task_id)).waits_for
    task = await at.ask("tasks.show", task_id)
    first = (await at.ask("explain", task_id)).lines[0]
    if shown is None:
        assert (task.advice, " waits for " in first) == ([], False)
        return None
    assert task.advice == [f"it {shown.words}: {shown.command}"]
    assert first.endswith(f", {shown.words}")
    return f"{shown.words}: {shown.command}"


@asynchronous
async def test_a_turn_waits_for_the_one_before_it_in_its_conversation(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        first = await turn(at)
        assert (first.advice, await waits(at, first.task_id)) == ([], None)
        second, third = await turn(at), await turn(at)
        said = f"waits for turn {first.task_id}, which is before it in its conversation: "
        said += f"outlast subagents log -f {first.task_id}"
        assert second.advice == third.advice == [f"it {said}"]
        assert await waits(at, second.task_id) == said
        assert (await turn(at, "quick")).advice == []
        await at.play_out(first.task_id)
        assert await waits(at, second.task_id) is None
        assert str(await waits(at, third.task_id)).startswith(f"waits for turn {second.task_id}, ")
        assert await waits(at, first.task_id) is None


@asynchronous
async def test_a_turn_waits_for_whoever_asked_earlier_also_where_none_is_under_way(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        first = await turn(at, "quick")
        waiting = [await turn(at, "quick") for _ in range(2)]
        await at.store.set_queue_limit("conv:agent:quick:main", 0)
        await at.play_out(first.task_id)
        assert str(await waits(at, waiting[1].task_id)).startswith(f"waits for turn {waiting[0].task_id}, ")
        assert await waits(at, waiting[0].task_id) is None


@asynchronous
async def test_a_turn_waits_for_a_beat_of_its_agent(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        await at.store.set_queue_limit("conv:agent:quick:main", 0)
        made, elsewhere = await turn(at, "quick"), await at.turn(agent="quick", conversation="elsewhere")
        beat = await at.store.add_beat(Beat(0, "quick", at.clock.now(), "interval", "ran", "", "s", None, None))
        words = "waits for a beat of the heartbeat, which is under way in its conversation"
        assert await waits(at, made.task_id) == f"{words}: outlast heartbeat history quick"
        assert await waits(at, elsewhere.task_id) is None
        await at.store.end_beat(beat, "silent", "", None, at.clock.now())
        assert await waits(at, made.task_id) is None


@asynchronous
async def test_a_spawned_agent_waits_for_a_place(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        await at.store.set_queue_limit(LANE, 1)
        await at.spawn(caller=ALICE)
        waiting = await at.spawn(caller=ALICE)
        said = "waits for a place: 1 spawned agents are at work, and no more than 1 may be"
        assert waiting.advice == [f"it {said}: outlast subagents list --status running"]
        await at.store.set_queue_limit(LANE, 0)
        assert str(await waits(at, waiting.task_id)).endswith(
            "no more than 0 may be: outlast subagents list --status running"
        )


@asynchronous
async def test_a_turn_waits_for_the_answer_to_what_it_asks(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        made, other = await turn(at), await turn(at, "quick")
        asked = Approval(
            "a1", ApprovalKind.ACP, "local", ApprovalStatus.PENDING, "may I?", at.clock.now(), task_id=made.task_id
        )
        await at.store.ask_approval(asked)
        assert await waits(at, made.task_id) == "waits for leave: approval a1: outlast approvals show a1"
        assert await waits(at, other.task_id) is None
        await at.ask("approvals.approve", "a1")
        assert await waits(at, made.task_id) is None
