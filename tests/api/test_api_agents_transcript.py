"""Transcripts read by pages in either direction, and waited for; and what is hostile in them is data."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agent_players import played_world
from api_fakes import asynchronous
from told_world import ALICE, BOB, HOSTILE

from outlast.api.context import Caller
from outlast.config import ConfiguredAgents
from outlast.core.agent import EntryKind
from outlast.core.errors import BadInput, NotFound
from outlast.core.session import Status

KEY = "agent:coder:main"


async def page(at: Any, key: str = KEY, **fields: Any) -> Any:
    return await at.ask("conversations.transcript", key, **fields)


def seqs(found: Any) -> list[int]:
    return [entry.seq for entry in found.entries]


@asynchronous
async def test_pages_go_forth_and_back_and_meet(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        await at.ask("agents.run", agent="coder", message="x")
        await at.say(KEY, *(f"line {n}" for n in range(1, 12)))
        newest = await page(at, limit=4)
        assert (seqs(newest), newest.before, newest.after, newest.agent) == ([8, 9, 10, 11], 8, 11, "coder")
        older = await page(at, limit=4, before=newest.before)
        oldest = await page(at, limit=4, before=older.before)
        assert (seqs(older), seqs(oldest), oldest.before) == ([4, 5, 6, 7], [1, 2, 3], None)
        first = await page(at, after=0, limit=6)
        second = await page(at, after=first.after, limit=6)
        assert seqs(first) + seqs(second) == list(range(1, 12))
        assert seqs(await page(at)) == list(range(1, 12))
        end = await page(at, after=11)
        assert (seqs(end), end.after, end.before) == ([], 11, None)
        assert seqs(await page(at, before=1)) == []
        beyond = await page(at, after=2**53)
        assert (seqs(beyond), beyond.after) == ([], 2**53)


@asynchronous
async def test_the_name_of_an_agent_that_was_removed_still_stands_for_its_conversation(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        await at.ask("agents.run", agent="coder", message="x")
        await at.say(KEY, "kept")
        at.api.config = at.api.config._replace(agents=ConfiguredAgents({}))
        found = await page(at, "coder")
        assert (found.conversation, found.agent, seqs(found)) == (KEY, "coder", [1])


@asynchronous
async def test_a_conversation_that_was_never_held_is_unknown_and_that_of_an_agent_is_empty_to_the_operator(
    tmp_path: Path,
) -> None:
    async with played_world(tmp_path) as at:
        with pytest.raises(NotFound, match="no agent has spoken in a conversation 'nothing'") as unknown:
            await page(at, "nothing")
        assert unknown.value.hint == "outlast conversations list --transcripts"
        for name in (KEY, "coder"):
            empty = await page(at, name)
            assert (empty.conversation, empty.agent, empty.entries, empty.after, empty.before) == (
                KEY, None, [], None, None,
            )  # fmt: skip
        for caller in (ALICE, Caller("agent:alice:main", operator=False, remote=True)):
            with pytest.raises(NotFound, match="no conversation 'nothing'"):
                await page(at, "nothing", caller=caller)
        assert (await page(at, "agent:alice:main", caller=ALICE)).entries == []
        assert (await page(at, "agent:alice:main", caller=Caller(), requester="agent:alice:main")).entries == []
        with pytest.raises(NotFound):
            await page(at, "agent:alice:main", requester="agent:bob:main")


@asynchronous
async def test_the_name_of_an_agent_is_its_main_conversation_and_the_id_of_a_turn_is_none(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        made = await at.ask("agents.run", agent="coder", message="x")
        await at.say(KEY, "hello")
        for name in (KEY, "coder"):
            found = await page(at, name)
            assert (found.conversation, found.agent, [entry.text for entry in found.entries]) == (
                KEY,
                "coder",
                ["hello"],
            )
        with pytest.raises(NotFound) as turn:
            await page(at, made.task_id)
        assert turn.value.hint == f"outlast subagents log {made.task_id}"
        await at.ask("agents.run", agent="coder", message="x", conversation="quick")  # whatever agents are called
        assert (await page(at, "quick")).agent == "coder"
        with pytest.raises(NotFound):
            await page(at, "coder", caller=ALICE)
        listed = await at.ask("conversations.list", transcripts=True)
        assert [(one.conversation, one.agent) for one in listed.conversations] == [(KEY, "coder"), ("quick", "coder")]
        assert all(one.spoken_at for one in listed.conversations)
        first = await at.ask("conversations.list", transcripts=True, limit=1)
        rest = await at.ask("conversations.list", transcripts=True, limit=1, after=first.next)
        assert [one.conversation for one in rest.conversations] == ["quick"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"after": 1, "before": 5}, "before: does not go with after"),
        ({"after": -1}, "after: must be a whole number from 0"),
        ({"before": 0}, "before: must be a whole number from 1"),
        ({"limit": 0}, "limit: must be a whole number from 1 up to 1000"),
        ({"limit": 1001}, "limit: must be a whole number from 1 up to 1000"),
        ({"timeoutMs": -1, "after": 0}, "timeoutMs: must be a whole number from 0 up to 600000"),
        ({"timeoutMs": 600_001, "after": 0}, "timeoutMs: must be a whole number from 0 up to 600000"),
        ({"after": 1.5}, "after: must be a whole number"),
        ({"after": 2**53 + 1}, "after: must be a whole number from 0 up to"),
        ({"before": 2**70}, "before: must be a whole number"),
        ({"since": 1}, "since: unknown field"),
    ],
)
@asynchronous
async def test_what_is_no_page_is_refused(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    async with played_world(tmp_path) as at:
        with pytest.raises(BadInput, match=words):
            await page(at, **fields)


@pytest.mark.parametrize("key", ["a\nb", "\x1b[31m", "a\u202eb", "k" * 201, "webhook:x", " ", "a\ud800"])
@asynchronous
async def test_what_is_no_key_is_refused_harmlessly(tmp_path: Path, key: str) -> None:
    async with played_world(tmp_path) as at:
        with pytest.raises(BadInput) as wrong:
            await page(at, key)
        assert wrong.value.message.isprintable()
        with pytest.raises((BadInput, NotFound)) as wrong_too:
            await page(at, key, caller=BOB)
        assert wrong_too.value.message.isprintable()


@asynchronous
async def test_who_waits_is_woken_by_the_next_entry_and_by_nothing_else(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        await at.say(KEY, "one")
        waiting = asyncio.ensure_future(page(at, after=1, timeoutMs=600_000))
        await at.settle()
        await at.say("agent:quick:main", "elsewhere")
        await at.settle()
        assert not waiting.done()
        await at.say(KEY, "two", "three")
        found = await waiting
        assert ([entry.text for entry in found.entries], found.after) == (["two", "three"], 3)
        there = await page(at, after=0, timeoutMs=600_000)  # what is there is not waited for
        assert seqs(there) == [1, 2, 3]


@asynchronous
async def test_a_wait_is_over_when_its_time_is_or_the_gateway_stops(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        waiting = asyncio.ensure_future(page(at, after=0, timeoutMs=5_000))
        await at.go(4.9)
        assert not waiting.done()
        await at.go(0.2)
        assert (seqs(await waiting), waiting.result().after) == ([], 0)
        waiting = asyncio.ensure_future(page(at, after=0, timeoutMs=600_000))
        beaten = asyncio.ensure_future(at.ask("heartbeat.run", agent="coder", timeoutMs=600_000))
        await at.settle()
        assert not (waiting.done() or beaten.done())
        at.api.stop_waits()
        assert seqs(await waiting) == []
        assert [beat.outcome for beat in (await beaten).beats] == ["ran"]
        assert seqs(await page(at, after=0, timeoutMs=600_000)) == []


@asynchronous
async def test_what_agents_say_comes_back_as_it_is_on_record(tmp_path: Path) -> None:
    """Answers are data: nothing in them is filled in, run or left out; who prints them makes them safe."""
    async with played_world(tmp_path) as at:
        said = HOSTILE.replace("\0", "")
        data = {"input": {"{x}": said, "deep": [[{"a": None}]]}, "title": said}
        await at.say(KEY, said, "x" * 512 * 1024, kind=EntryKind.TOOL, data=data)
        one, two = (await page(at)).entries
        assert (one.text, one.data, one.kind) == (said, data, "tool")
        assert len(two.text) == 512 * 1024


@asynchronous
async def test_who_waits_for_a_turn_is_let_go_when_it_ends_also_where_it_says_nothing_more(tmp_path: Path) -> None:
    """A runner that dies, or never began, leaves no entry of its end: nobody may wait for one for ever."""
    async with played_world(tmp_path) as at:
        made = await at.turn()
        await at.say(KEY, "working", task_id=made.task_id)
        assert (await page(at, task=made.task_id)).ended is False
        assert (await page(at, after=0, task=made.task_id)).ended is False
        waiting = asyncio.ensure_future(page(at, after=1, timeoutMs=600_000, task=made.task_id))
        await at.settle()
        assert not waiting.done()
        await at.play_out(made.task_id, Status.LOST)
        assert ((await waiting).entries, (await waiting).ended) == ([], True)
        last = await page(at, after=0, task=made.task_id, limit=1)
        assert (seqs(last), last.ended) == ([1], False)  # there may be more on the next page
        assert (await page(at, after=1, task=made.task_id, limit=1)).ended is True
        assert (await page(at, task=made.task_id[:14])).ended is True
        assert (await page(at)).ended is False


@asynchronous
async def test_a_turn_that_is_waited_for_is_ones_own_and_of_that_conversation(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        made = await at.turn()
        mine = await at.turn(caller=ALICE)
        command = await at.run("make")
        with pytest.raises(BadInput, match="is a turn in another conversation"):
            await page(at, after=0, task=mine.task_id)
        with pytest.raises(BadInput, match="no turn of an agent"):
            await page(at, after=0, task=command.task_id)
        with pytest.raises(NotFound):
            await page(at, mine.conversation, after=0, task=made.task_id, caller=ALICE)
        with pytest.raises(NotFound):
            await page(at, after=0, task="t0nothing")
