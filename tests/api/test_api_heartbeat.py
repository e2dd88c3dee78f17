"""Heartbeats asked about, had at once, paused and resumed: by whom, within which bounds, and as a tool call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agent_players import played_world
from api_fakes import asynchronous
from told_world import ALICE, REMOTE

from outlast.api.context import Caller
from outlast.core.agent_end import TurnEnd
from outlast.core.errors import BadInput, OutlastError, Refused
from outlast.core.session import Cause, Status
from outlast.surfaces.tools import call

CODER = Caller("agent:coder:main", operator=False)


def names(found: Any) -> list[str]:
    return [one.agent for one in found.heartbeats]


async def beat_ends(at: Any, text: str = "HEARTBEAT_OK") -> None:
    """Have the beat that runs come to its end."""
    await at.settle()
    for beat in at.players.beats.values():
        if not beat.done():
            beat.set_result(TurnEnd(status=Status.SUCCEEDED, cause=Cause.EXIT, at=at.clock.now(), text=text))
    await at.settle()


@asynchronous
async def test_the_operator_sees_all_and_an_agent_its_own(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        assert names(await at.ask("heartbeat.status")) == ["coder", "quick"]
        assert names(await at.ask("heartbeat.status", agent="calm")) == ["calm"]
        assert names(await at.ask("heartbeat.status", caller=REMOTE, agent="coder")) == ["coder"]
        assert names(await at.ask("heartbeat.status", caller=CODER)) == ["coder"]
        assert names(await at.ask("heartbeat.status", caller=CODER, agent="coder")) == ["coder"]
        for caller, agent in (
            (CODER, "quick"),
            (ALICE, "coder"),
            (ALICE, None),
            (Caller("coder", operator=False), None),
        ):
            for act in ("heartbeat.status", "heartbeat.run", "heartbeat.history"):
                with pytest.raises(Refused, match="its agent's own and the operator's"):
                    await at.ask(act, caller=caller, **({} if agent is None else {"agent": agent}))
        with pytest.raises(BadInput, match="no agent 'nobody'") as unknown:
            await at.ask("heartbeat.status", agent="nobody")
        assert unknown.value.code == "no_such_agent"


@pytest.mark.parametrize("act", ["heartbeat.pause", "heartbeat.resume"])
@asynchronous
async def test_only_the_operator_pauses_and_resumes(tmp_path: Path, act: str) -> None:
    async with played_world(tmp_path) as at:
        with pytest.raises(Refused, match="only the operator may"):
            await at.ask(act, caller=CODER)
        state = "paused" if act == "heartbeat.pause" else "on"
        assert [one.state for one in (await at.ask(act)).heartbeats] == [state, state]
        [one] = (await at.ask(act, agent="coder")).heartbeats  # twice is once
        assert (one.agent, one.state) == ("coder", state)
        assert [beat.state for beat in (await at.ask("heartbeat.status")).heartbeats] == [state, state]


@asynchronous
async def test_a_beat_is_had_now_and_waited_for(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        waiting = asyncio.ensure_future(at.ask("heartbeat.run", caller=CODER, timeoutMs=60_000))
        await beat_ends(at)
        [beat] = (await waiting).beats
        assert (beat.agent, beat.outcome, beat.ended_at is not None) == ("coder", "silent", True)
        [line] = (await at.ask("heartbeat.history", caller=CODER)).beats
        assert line.beat_id == beat.beat_id
        assert (await at.ask("heartbeat.history", agent="quick")).beats == []


@asynchronous
async def test_a_beat_that_takes_longer_than_is_waited_for_is_answered_as_it_stands(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        [beat] = (await at.ask("heartbeat.run", agent="coder")).beats
        assert (beat.outcome, beat.ended_at) == ("ran", None)
        [again] = (await at.ask("heartbeat.run", agent="coder", timeoutMs=0)).beats
        assert again.outcome == "skipped"
        other = asyncio.ensure_future(at.ask("heartbeat.run", agent="quick", timeoutMs=2_000))
        await at.go(2.1)
        assert [one.outcome for one in (await other).beats] == ["ran"]
        await beat_ends(at, "the disk is full")
        assert {one.outcome for one in (await at.ask("heartbeat.history")).beats} == {"told", "skipped"}


@asynchronous
async def test_no_agent_has_a_heartbeat(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        at.configure(agents='[agents.calm]\nbackend = "command"\ncommand = ["c"]\n')
        assert (await at.ask("heartbeat.status")).heartbeats == []
        for act in ("heartbeat.run", "heartbeat.pause"):
            with pytest.raises(BadInput, match="no agent has a heartbeat") as none:
                await at.ask(act)
            assert none.value.code == "no_heartbeat"


@asynchronous
async def test_an_agent_without_a_heartbeat_does_not_look_around(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        for act in ("heartbeat.run", "heartbeat.pause", "heartbeat.resume"):
            with pytest.raises(BadInput, match="agent calm has no heartbeat") as none:
                await at.ask(act, agent="calm")
            assert none.value.code == "no_heartbeat"
        [stands] = (await at.ask("heartbeat.status", agent="calm")).heartbeats
        assert (stands.state, stands.last) == ("off", None)


@asynchronous
async def test_the_last_beat_is_the_last_that_ran(tmp_path: Path) -> None:
    """What was only skipped since says less of an agent than what it did."""
    async with played_world(tmp_path) as at:
        await at.ask("heartbeat.run", agent="coder")
        await beat_ends(at, "the disk is full")
        for _ in range(2):
            [skipped] = (await at.ask("heartbeat.run", agent="coder")).beats
            assert skipped.outcome == "skipped"
        [stands] = (await at.ask("heartbeat.status", agent="coder")).heartbeats
        assert stands.last.outcome == "told"


@asynchronous
async def test_history_is_read_by_pages(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        for _ in range(3):
            await at.ask("heartbeat.run", agent="coder")
            await beat_ends(at)
            await at.go(600)
        first = await at.ask("heartbeat.history", agent="coder", limit=2)
        rest = await at.ask("heartbeat.history", agent="coder", limit=2, before=first.next)
        ids = [beat.beat_id for beat in (*first.beats, *rest.beats)]
        assert ids == sorted(ids, reverse=True)
        assert (len(ids) >= 3, rest.next) == (True, None)


@pytest.mark.parametrize(
    ("act", "fields", "words"),
    [
        ("status", {"agent": ""}, "agent: must be text of 1 to 64"),
        ("status", {"agent": "a" * 65}, "agent: must be text of 1 to 64"),
        ("status", {"agent": "\x1b\0"}, "no agent"),
        ("status", {"limit": 3}, "limit: unknown field"),
        ("run", {"timeoutMs": -1}, "timeoutMs: must be a whole number from 0 up to 600000"),
        ("run", {"timeoutMs": 600_001}, "timeoutMs: must be a whole number from 0 up to 600000"),
        ("run", {"message": "x"}, "message: unknown field"),
        ("history", {"limit": 0}, "limit: must be a whole number from 1 up to 1000"),
        ("history", {"limit": 1001}, "limit: must be a whole number from 1 up to 1000"),
        ("history", {"before": 0}, "before: must be a whole number from 1"),
        ("history", {"before": 2**60}, "before: must be a whole number from 1"),
        ("pause", {"until": "later"}, "until: unknown field"),
        ("resume", {"agent": "nobody"}, "no agent 'nobody'"),
    ],
)
@asynchronous
async def test_what_cannot_be_asked_is_refused_in_both_forms(
    tmp_path: Path, act: str, fields: dict[str, Any], words: str
) -> None:
    async with played_world(tmp_path) as at:
        with pytest.raises(BadInput, match=words):
            await at.ask(f"heartbeat.{act}", **fields)
        with pytest.raises(BadInput, match=words):
            await call(at.api, Caller(), {"tool": "heartbeat", "action": act, **fields})


@asynchronous
async def test_the_tool_form_says_the_same(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:

        async def tool(action: str, caller: Caller = CODER, **fields: Any) -> Any:
            return await call(at.api, caller, {"tool": "heartbeat", "action": action, **fields})

        assert names(await tool("status")) == ["coder"]
        [beat] = (await tool("run")).beats
        assert (beat.agent, beat.outcome) == ("coder", "ran")
        await beat_ends(at)
        assert [line.beat_id for line in (await tool("history", limit=5)).beats] == [beat.beat_id]
        assert [one.state for one in (await tool("pause", Caller(), agent="coder")).heartbeats] == ["paused"]
        assert [one.state for one in (await tool("resume", Caller())).heartbeats] == ["on", "on"]
        for fields, words in (
            ({}, "action: is required"), ({"action": "beat"}, "action: must be one of status, run, pause"),
        ):  # fmt: skip
            with pytest.raises(OutlastError, match=words):
                await call(at.api, CODER, {"tool": "heartbeat", **fields})
        with pytest.raises(Refused):
            await tool("pause")
