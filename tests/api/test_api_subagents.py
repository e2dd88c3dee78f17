"""Spawned agents: their limits, their lists, steered, waited for, called off with all below them; and as tool calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agent_players import played_world
from api_fakes import asynchronous
from told_world import ALICE, BOB

from outlast.core.agent import EntryKind
from outlast.core.errors import BadInput, Conflict, NotFound, OutlastError, Refused
from outlast.core.session import Cause, Status


@asynchronous
async def test_a_sixth_child_and_a_sixth_level_are_refused_with_what_to_do(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        children = [await at.spawn(caller=ALICE) for _ in range(5)]
        with pytest.raises(Refused, match="5 agents work for agent:alice:main") as many:
            await at.spawn(caller=ALICE)
        assert (many.value.code, "--as agent:alice:main" in many.value.hint) == ("too_many_children", True)
        await at.play_out(children[0].task_id)
        deepest = await at.spawn(caller=ALICE)
        for _ in range(4):
            deepest = await at.spawn(as_=deepest.conversation)
        with pytest.raises(Refused) as deep:
            await at.spawn(as_=deepest.conversation)
        assert deep.value.code == "too_deep"


@asynchronous
async def test_the_list_is_of_spawned_turns_by_who_asks_and_by_pages(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        turn = await at.turn(agent="quick")
        mine = [await at.spawn(caller=ALICE) for _ in range(3)]
        others = await at.spawn()
        ids = [made.task_id for made in reversed(mine)]
        assert [one.task_id for one in (await at.ask("subagents.list")).tasks] == [others.task_id, *ids]
        assert [one.task_id for one in (await at.ask("subagents.list", caller=ALICE)).tasks] == ids
        assert (await at.ask("subagents.list", caller=BOB)).tasks == []
        narrowed = await at.ask("subagents.list", as_="agent:alice:main")
        assert [one.task_id for one in narrowed.tasks] == ids
        with pytest.raises(Refused):
            await at.ask("subagents.list", caller=BOB, as_="agent:alice:main")
        every = [one.task_id for one in (await at.ask("subagents.list", all=True)).tasks]
        assert every == [others.task_id, *ids, turn.task_id]
        assert [one.task_id for one in (await at.ask("subagents.list", caller=ALICE, all=True)).tasks] == ids
        first = await at.ask("subagents.list", caller=ALICE, limit=2)
        rest = await at.ask("subagents.list", caller=ALICE, limit=2, cursor=first.next)
        assert [one.task_id for one in (*first.tasks, *rest.tasks)] == ids
        assert rest.next is None
        await at.play_out(mine[0].task_id, Status.FAILED, error="no luck")
        failed = await at.ask("subagents.list", status="failed,lost")
        assert [one.task_id for one in failed.tasks] == [mine[0].task_id]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "dead"}, "status"), ({"limit": 0}, "limit: must be a whole number from 1 up to 1000"),
        ({"limit": 1001}, "limit"), ({"cursor": "nonsense"}, "cursor"), ({"as": "a\nb"}, ""), ({"of": "x"}, "of:"),
    ],
)  # fmt: skip
@asynchronous
async def test_what_is_no_list_is_refused(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    async with played_world(tmp_path) as at:
        if "as" in fields:
            assert (await at.ask("subagents.list", **fields)).tasks == []
            return
        with pytest.raises(BadInput, match=words):
            await at.ask("subagents.list", **fields)


@asynchronous
async def test_a_turn_shows_its_answer_in_full_and_what_it_used(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        made = await at.spawn(caller=ALICE)
        shown = await at.ask("subagents.show", made.task_id, caller=ALICE)
        assert (shown.agent, shown.parent, shown.depth, shown.text) == ("coder", "agent:alice:main", 1, None)
        await at.say(made.conversation, "x" * 5000, kind=EntryKind.END, task_id=made.task_id, journal_at=9)
        used = {"inputTokens": 7, "outputTokens": 8, "costUsd": 0.5}
        await at.play_out(made.task_id, detail={"usage": used, "stop": "end_turn", "durationMs": 12})
        for lookup in (made.task_id, made.task_id[:14], made.conversation):
            shown = await at.ask("subagents.show", lookup, caller=ALICE)
            assert shown.text == "x" * 5000
        assert (shown.stop, shown.input_tokens, shown.output_tokens, shown.cost_usd) == ("end_turn", 7, 8, 0.5)
        assert shown.duration_ms == 12
        command = await at.run("make")
        with pytest.raises(BadInput, match="is no turn of an agent") as wrong:
            await at.ask("subagents.show", command.task_id)
        assert wrong.value.code == "no_agent"
        for lookup, caller in ((made.task_id, BOB), ("t0nothing", ALICE), ("\0", ALICE), ("", ALICE)):
            with pytest.raises((NotFound, BadInput)):
                await at.ask("subagents.show", lookup, caller=caller)


STEER_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "text: is required"),
    ({"text": ""}, "text: must be text of 1"),
    ({"text": "x" * (512 * 1024 + 1)}, "text: must be text of 1"),
    ({"text": "a\0b"}, "text: must be text in valid UTF-8"),
    ({"text": "a\ud800"}, "text: must be text in valid UTF-8"),
    ({"text": "x", "now": True}, "now: unknown field"),
    ({"text": "x", "interrupt": "yes"}, "interrupt: must be true or false"),
]


@asynchronous
async def test_a_turn_is_steered_by_its_own_and_while_it_runs(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        made = await at.spawn(caller=ALICE)
        said = await at.ask("subagents.steer", made.task_id, caller=ALICE, text="$(x) {y} \x1b[31m", interrupt=True)
        assert said.task_id == made.task_id
        assert said.steer_id.startswith("m")
        assert said.heard == "now"
        assert at.players.heard == [(made.task_id, "$(x) {y} \x1b[31m", True)]
        with pytest.raises(NotFound):
            await at.ask("subagents.steer", made.task_id, caller=BOB, text="stop")
        for fields, words in STEER_REFUSED:
            with pytest.raises(BadInput, match=words):
                await at.ask("subagents.steer", made.task_id, **fields)
        waiting = await at.turn(conversation=made.conversation)
        assert (await at.task(waiting.task_id)).status in (Status.QUEUED, Status.RUNNING)
        await at.play_out(made.task_id)
        with pytest.raises(Conflict, match="is succeeded: nobody would hear it") as late:
            await at.ask("subagents.steer", made.task_id, text="more")
        assert late.value.code == "not_running"
        command = await at.run("make")
        with pytest.raises(BadInput, match="no turn"):
            await at.ask("subagents.steer", command.task_id, text="more")


@asynchronous
async def test_an_agent_that_cannot_be_steered_is_said_so_instead_of_being_told_in_vain(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        table = '[agents.coder]\nbackend = "command"\ncommand = ["q"]\n'
        at.configure(agents=table)
        made = await at.spawn(caller=ALICE)
        with pytest.raises(Conflict, match="coder cannot be steered") as deaf:
            await at.ask("subagents.steer", made.task_id, caller=ALICE, text="only Python")
        assert deaf.value.code == "cannot_steer"
        assert f"--conversation {made.conversation}" in (deaf.value.hint or "")
        assert at.players.heard == []
        at.configure(agents=table + 'resume = ["--session", "{session}"]\n')
        assert (await at.ask("subagents.steer", made.task_id, caller=ALICE, text="only Python")).heard == "next"
        at.configure(agents='[agents.coder]\nbackend = "model"\nmodel = "openai:x"\n')
        said = await at.ask("subagents.steer", made.task_id, caller=ALICE, text="only Python", interrupt=True)
        assert said.heard == "next"  # a model is never broken off for a word


@asynchronous
async def test_several_turns_are_waited_for_in_one_call(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        made = [await at.spawn(caller=ALICE) for _ in range(3)]
        ids = [one.task_id for one in made]
        waiting = asyncio.ensure_future(at.ask("subagents.wait", caller=ALICE, lookups=ids, timeoutMs=60_000))
        any_of = asyncio.ensure_future(at.ask("subagents.wait", caller=ALICE, lookups=ids, mode="any"))
        await at.settle()
        await at.play_out(ids[1], Status.FAILED, error="no luck")
        assert [one.status for one in (await any_of).tasks] == ["running", "failed", "running"]
        assert not waiting.done()
        for task_id in (ids[0], ids[2]):
            await at.play_out(task_id)
        answer = await waiting
        assert (answer.met, [one.status for one in answer.tasks]) == (True, ["succeeded", "failed", "succeeded"])
        with pytest.raises(NotFound):
            await at.ask("subagents.wait", caller=BOB, lookups=ids, timeoutMs=0)


@asynchronous
async def test_a_tree_is_called_off_from_its_top_by_its_own(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        top = await at.spawn(caller=ALICE)
        child = await at.spawn(as_=top.conversation)
        grandchild = await at.spawn(as_=child.conversation)
        other = await at.spawn(caller=ALICE)
        with pytest.raises(NotFound):
            await at.ask("subagents.cancel", top.task_id, caller=BOB)
        calling_off = asyncio.ensure_future(at.ask("subagents.cancel", top.task_id, caller=ALICE))
        await at.settle()
        await calling_off
        ends = [(await at.task(one.task_id)) for one in (top, child, grandchild, other)]
        assert [(task.status, task.cause) for task in ends] == [
            (Status.CANCELLED, Cause.OPERATOR), (Status.CANCELLED, Cause.PARENT), (Status.CANCELLED, Cause.PARENT),
            (Status.RUNNING, None),
        ]  # fmt: skip
        with pytest.raises(Conflict):
            await at.ask("subagents.cancel", top.task_id, caller=ALICE)


# ---- the tool form


@asynchronous
async def test_the_tool_form_says_the_same(tmp_path: Path) -> None:
    from outlast.surfaces.tools import call

    async with played_world(tmp_path) as at:

        async def tool(action: str, **fields: Any) -> Any:
            return await call(at.api, ALICE, {"tool": "subagents", "action": action, **fields})

        made = await tool("spawn", agent="coder", task="look", label="l")
        await at.settle()
        assert [one.task_id for one in (await tool("list", status="running")).tasks] == [made.task_id]
        assert (await tool("show", taskId=made.task_id)).agent == "coder"
        assert (await tool("steer", taskId=made.task_id, text="faster")).task_id == made.task_id
        assert (await tool("wait", taskId=made.task_id, timeoutMs=0)).met is False
        second = await tool("spawn", agent="quick", task="look")
        await at.settle()
        await tool("cancel", taskId=second.task_id)
        answer = await tool("wait", taskIds=[made.task_id, second.task_id], mode="any")
        assert (answer.met, [one.status for one in answer.tasks]) == (True, ["running", "cancelled"])
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"action": "steer", "text": "x"}, "taskId: is required"),
            ({"action": "cancel", "taskId": 5}, "taskId: must be text"),
            ({"action": "show"}, "taskId: is required"),
            ({"action": "dance"}, "action: must be one of spawn, list, show, wait, steer, cancel"),
            ({"action": "spwan"}, "action: must be one of"),
            ({}, "action: is required"),
            ({"action": "wait", "taskId": "a", "taskIds": ["b"]}, "taskId: does not go with taskIds"),
            ({"action": "spawn", "agent": "coder"}, "task: is required"),
            ({"action": "spawn", "agent": "coder", "message": "x", "task": "x"}, "message: unknown field"),
            ({"action": "list", "taskId": "x"}, "taskId: unknown field"),
        ]
        for fields, words in wrong:
            with pytest.raises(OutlastError, match=words):
                await call(at.api, ALICE, {"tool": "subagents", **fields})
