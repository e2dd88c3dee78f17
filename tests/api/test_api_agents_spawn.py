"""Spawning by request: once for a key, listed in full pages, refused beyond the limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_world import agent_world
from api_fakes import asynchronous
from told_world import ALICE

from outlast.core.errors import BadInput, Refused
from outlast.core.session import Cause

MAIN = "agent:coder:main"


@asynchronous
async def test_a_call_that_is_repeated_with_its_key_spawns_nothing_twice(tmp_path: Path) -> None:
    """The key belongs to the conversation that spawns, whoever asks for it; without one each call spawns."""
    async with agent_world(tmp_path) as at:
        given = {"agent": "coder", "task": "look for dead code", "dedupeKey": "k"}
        first = await at.ask("subagents.spawn", as_=MAIN, **given)
        again = await at.ask("subagents.spawn", as_=MAIN, **{**given, "task": "look once more"})
        assert (first.existing, again.existing, again.task_id) == (False, True, first.task_id)
        own = await at.ask("subagents.spawn", caller=ALICE, **given)
        assert (own.existing, own.requester) == (False, ALICE.requester)
        assert len((await at.ask("subagents.list", limit=100)).tasks) == 2
        plain = {"agent": "coder", "task": "look"}
        assert not (await at.ask("subagents.spawn", as_=MAIN, **plain)).existing
        await at.api.ledger.cancel(await at.task(first.task_id), Cause.OPERATOR)
        assert not (await at.ask("subagents.spawn", as_=MAIN, **given)).existing


@asynchronous
async def test_the_sixth_child_is_refused_and_a_repeated_call_is_not(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        for number in range(5):
            await at.ask("subagents.spawn", as_=MAIN, agent="coder", task="look", dedupeKey=f"k{number}")
        with pytest.raises(Refused) as caught:
            await at.ask("subagents.spawn", as_=MAIN, agent="coder", task="look", dedupeKey="k5")
        assert caught.value.code == "too_many_children"
        assert (await at.ask("subagents.spawn", as_=MAIN, agent="coder", task="look", dedupeKey="k3")).existing


@asynchronous
async def test_a_page_of_spawned_agents_is_full_whatever_else_was_begun(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        spawned = []
        for number in range(4):
            spawned.append(await at.ask("subagents.spawn", as_=MAIN, agent="coder", task=f"part {number}"))
            for _ in range(5):
                await at.ask("agents.run", agent="quick", message="hello")
        first = await at.ask("subagents.list", limit=3)
        last = await at.ask("subagents.list", limit=3, cursor=first.next)
        assert (len(first.tasks), len(last.tasks), last.next) == (3, 1, None)
        assert {task.task_id for task in first.tasks + last.tasks} == {task.task_id for task in spawned}
        of_main = await at.ask("subagents.list", as_=MAIN, limit=2, status="queued")
        assert [task.kind for task in of_main.tasks] == ["spawn"] * 2


@asynchronous
async def test_nobody_can_have_two_turns_at_once_in_a_conversation(tmp_path: Path) -> None:
    """Its queue may be held up, and let go again."""
    async with agent_world(tmp_path) as at:
        for limit in (0, 1):
            found = await at.ask("tasks.set-queue", name_=f"conv:{MAIN}", limit=limit)
            assert [(queue.name, queue.limit) for queue in found.queues if queue.name.startswith("conv:")] == [
                (f"conv:{MAIN}", limit)
            ]
        for given in ({"limit": 2}, {}):
            with pytest.raises(BadInput) as caught:
                await at.ask("tasks.set-queue", name_=f"conv:{MAIN}", **given)
            assert caught.value.code == "bad_limit"
