"""Agents asked for, spawned, steered and called off: who may do what, within which bounds, and what is answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agent_players import played_world
from api_fakes import asynchronous
from told_world import ALICE, BOB, HOSTILE, REMOTE

from outlast.api.context import Caller
from outlast.core.agent import EntryKind
from outlast.core.errors import BadInput, Conflict, NotFound, OutlastError, Refused
from outlast.core.session import Cause, Status

ALICES = "agent:coder:with:agent:alice:main"
KEY = "sk-ant-api03-" + "a1" * 20


# ---- who may do what


@asynchronous
async def test_the_operator_speaks_in_the_main_conversation_and_others_in_one_of_their_own(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        assert (await at.turn()).conversation == "agent:coder:main"
        made = await at.turn(caller=ALICE)
        assert (made.conversation, made.requester) == (ALICES, "agent:alice:main")
        assert (await at.turn(caller=ALICE, conversation=ALICES)).conversation == ALICES
        for other in ("agent:coder:main", "agent:coder:with:agent:bob:main", "anything"):
            with pytest.raises(Refused, match=f"speak in {other}"):
                await at.turn(caller=ALICE, conversation=other)
        assert (await at.turn(conversation="anything")).conversation == "anything"


@asynchronous
async def test_a_key_that_only_ends_in_somebodys_name_is_not_his(tmp_path: Path) -> None:
    """Who asks is free text: the conversation of ``x:with:bob`` is not bob's, nor is that of an agent named so."""
    async with played_world(tmp_path) as at:
        eve = Caller("eve:with:agent:bob:main", operator=False)
        made = await at.turn("my secret", caller=eve)
        assert made.conversation == "agent:coder:with:eve:with:agent:bob:main"
        await at.say(made.conversation, "for eve alone")
        assert len((await at.ask("conversations.transcript", made.conversation, caller=eve)).entries) == 1
        with pytest.raises(NotFound):
            await at.ask("conversations.transcript", made.conversation, caller=BOB)
        with pytest.raises(Refused):
            await at.turn(caller=BOB, conversation=made.conversation)
        for invented in ("agent::with:agent:bob:main", "x:with:agent:bob:main", "agent:a:b:with:agent:bob:main"):
            with pytest.raises(Refused):
                await at.turn(caller=BOB, conversation=invented)


@asynchronous
async def test_who_spawned_an_agent_may_speak_with_it_and_read_it_at_any_depth(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        child = await at.spawn(caller=ALICE)
        grandchild = await at.spawn(caller=ALICE, as_=child.conversation)
        for key in (child.conversation, grandchild.conversation):
            assert (await at.ask("conversations.transcript", key, caller=ALICE)).conversation == key
            with pytest.raises(NotFound):
                await at.ask("conversations.transcript", key, caller=BOB)
            with pytest.raises(Refused):
                await at.spawn(caller=BOB, as_=key)
        itself = Caller(child.conversation, operator=False)
        assert (await at.ask("conversations.transcript", grandchild.conversation, caller=itself)).agent == "coder"
        with pytest.raises(NotFound):
            await at.ask("conversations.transcript", ALICES, caller=itself)


@asynchronous
async def test_agents_are_looked_at_by_the_operator_alone(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        await at.turn()
        await at.turn()
        found = {one.agent: one for one in (await at.ask("agents.list")).agents}
        assert list(found) == ["coder", "quick", "calm"]
        assert (found["coder"].running, found["coder"].queued) == (1, 1)
        assert (found["coder"].heartbeat_seconds, found["calm"].heartbeat_seconds) == (1800.0, None)
        for act, name in (("agents.list", None), ("agents.check", "coder")):
            with pytest.raises(Refused, match="only the operator may look at the agents"):
                await at.ask(act, name, caller=ALICE)
        with pytest.raises(BadInput, match="no agent 'nobody'") as unknown:
            await at.ask("agents.check", "nobody")
        assert (unknown.value.code, "there is: calm, coder, quick" in unknown.value.hint) == ("no_such_agent", True)


@pytest.mark.parametrize("mode", ["deny", "allowlist", "ask"])
@asynchronous
async def test_who_may_not_run_just_anything_gives_no_agent_a_turn(tmp_path: Path, mode: str) -> None:
    async with played_world(tmp_path) as at:
        at.configure(f'[exec.requesters]\n"agent:bob:*" = "{mode}"\n"agent:coder:*" = "{mode}"\n')
        for act, fields in (("agents.run", {"message": "x"}), ("subagents.spawn", {"task": "x"})):
            with pytest.raises(Refused, match=f"may not run agents here: exec.mode is {mode}") as refused:
                await at.ask(act, caller=BOB, agent="coder", **fields)
            assert refused.value.code == "exec_denied"
            await at.ask(act, caller=ALICE, agent="coder", **fields)
        with pytest.raises(Refused, match="may not run agents"):
            await at.ask("heartbeat.run", caller=Caller("agent:coder:main", operator=False))


@asynchronous
async def test_callers_on_the_net_hand_over_no_environment_of_theirs(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        made = await at.turn(caller=REMOTE, env={"A": "b"})
        assert (await at.store.payload_of(made.task_id))["env"] == {"A": "b"}
        local = await at.turn(callerEnv={"PATH": "/bin"}, conversation="c")
        assert (await at.store.payload_of(local.task_id))["callerEnv"] == {"PATH": "/bin"}
        for act, fields in (("agents.run", {"message": "x"}), ("subagents.spawn", {"task": "x"})):
            with pytest.raises(BadInput, match="callerEnv: is taken on the local socket only"):
                await at.ask(act, caller=REMOTE, agent="coder", callerEnv={"PATH": "/bin"}, **fields)
        with pytest.raises(Refused):
            await at.ask("agents.run", caller=REMOTE, agent="coder", message="x", requester="local")


# ---- bounds

RUN_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"agent": ""}, "agent: must be text of 1 to 64 characters"),
    ({"agent": "a" * 65}, "agent: must be text of 1 to 64 characters"),
    ({"agent": 7}, "agent: must be text"),
    ({"agent": "nobody"}, "no agent 'nobody'"),
    ({"agent": "../coder"}, "no agent"),
    ({"agent": "\x1b[31m\u202e\udcff\0"}, "no agent"),
    ({"message": ""}, "message: must be text of 1 to 524288"),
    ({"message": " \n\t"}, "message"),
    ({"message": "a" * (512 * 1024 + 1)}, "message: must be text of 1 to 524288"),
    ({"conversation": ""}, "conversation: must be text of 1 to 200"),
    ({"conversation": "k" * 201}, "conversation: must be text of 1 to 200"),
    ({"conversation": "a\nb"}, "conversation: must be 1 to 200 printable"),
    ({"conversation": "a\u202eb"}, "conversation: must be 1 to 200 printable"),
    ({"conversation": "a\ud800b"}, "conversation: must be 1 to 200 printable"),
    ({"conversation": "a\0b"}, "conversation: must be 1 to 200 printable"),
    ({"conversation": "webhook:http://x"}, "must not begin with webhook:"),
    ({"workdir": "w" * 4097}, "workdir: must be text of at most 4096"),
    ({"workdir": "/not/there"}, "not/there"),
    ({"workdir": "relative"}, "workdir"),
    ({"workdir": "/tmp/\0"}, "workdir"),
    ({"env": {"A=B": "c"}}, "env"),
    ({"env": {"A": "b\0c"}}, "env"),
    ({"env": {"A": 7}}, "env"),
    ({"timeoutSeconds": 0.5}, "timeoutSeconds: must be a number from 1"),
    ({"timeoutSeconds": 31_536_001}, "timeoutSeconds: must be a number from 1"),
    ({"timeoutSeconds": "1h"}, "timeoutSeconds: must be a number"),
    ({"title": "t" * 201}, "title: must be text of 1 to 200"),
    ({"label": ""}, "label: must be text of 1 to 200"),
    ({"notify": "loudly"}, "notify: must be one of"),
    ({"priority": 1001}, "priority: must be a whole number from -1000 up to 1000"),
    ({"dedupeKey": ""}, "dedupeKey: must be text of 1 to 200"),
    ({"timeout": 5}, "timeout: unknown field"),
]


@pytest.mark.parametrize(("fields", "words"), RUN_REFUSED)
@asynchronous
async def test_what_is_no_turn_is_refused_by_the_name_of_its_field(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    async with played_world(tmp_path) as at:
        with pytest.raises(BadInput, match=words) as wrong:
            await at.ask("agents.run", **{"agent": "coder", "message": "x", **fields})
        assert len(str(wrong.value.message)) < 1000
        if not {"message", "conversation", "priority", "dedupeKey"} & set(fields):
            with pytest.raises(BadInput, match=words):
                await at.ask("subagents.spawn", **{"agent": "coder", "task": "x", **fields})
        assert (await at.ask("tasks.list")).tasks == []


@asynchronous
async def test_the_bounds_themselves_are_taken(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        made = await at.turn(
            "m" * 512 * 1024, conversation="k" * 200, title="t" * 200, label="l" * 200, timeoutSeconds=31_536_000,
            priority=-1000, notify="silent", workdir=str(tmp_path), dedupeKey="d" * 200,
        )  # fmt: skip
        task = await at.task(made.task_id)
        assert (len(task.title), task.label, task.priority, task.notify) == (80, "l" * 200, -1000, "silent")
        assert len(task.ask["message"]) == 2000
        assert len(at.players.prompts[made.task_id]) == 512 * 1024


@asynchronous
async def test_a_requester_with_the_longest_name_can_have_a_turn_too(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        long = Caller("r" * 200, operator=False)
        made = await at.turn(caller=long)
        assert len(made.conversation) <= 200
        await at.say(made.conversation, "for you")
        assert len((await at.ask("conversations.transcript", made.conversation, caller=long)).entries) == 1
        other = await at.turn(caller=Caller("r" * 199 + "s", operator=False))
        assert other.conversation != made.conversation


@asynchronous
async def test_the_same_key_is_one_turn_and_anothers_key_is_another(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        first = await at.turn(dedupeKey="nightly")
        again = await at.turn("something else", dedupeKey="nightly")
        assert (again.task_id, again.existing, first.existing) == (first.task_id, True, False)
        assert (await at.turn(caller=ALICE, dedupeKey="nightly")).task_id != first.task_id


@asynchronous
async def test_a_conversation_is_held_by_one_agent(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        await at.turn(conversation="shared")
        with pytest.raises(BadInput, match="held by agent coder") as other:
            await at.turn(agent="quick", conversation="shared")
        assert other.value.code == "other_agent"


# ---- spawned agents


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
        await at.turn(agent="quick")
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


# ---- what is hostile, and what is secret


@asynchronous
async def test_hostile_words_go_to_the_agent_as_they_are_and_on_record_harmlessly(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        hostile = f"{HOSTILE} {{{{env.HOME}}}} {{message}} \ud800 \x9b31m"
        made = await at.turn(hostile, title=hostile[:200], label=hostile[:200])
        prompt = at.players.prompts[made.task_id]
        assert "$(touch /tmp/x) `id`" in prompt
        assert "{{env.HOME}} {message}" in prompt
        task = await at.task(made.task_id)
        for text in (task.title, task.label, task.ask["message"], prompt):
            assert "\0" not in text
            assert not any("\ud800" <= char <= "\udfff" for char in text)


@asynchronous
async def test_secrets_of_a_message_are_on_record_nowhere_but_in_what_is_to_be_run(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        said = f"use {KEY} and https://me:hunter2hunter2@host/ with AKIA{'B2' * 8}, password: swordfish99"
        made = await at.spawn(said, title=said[:180], label=f"token={KEY}", caller=ALICE)
        assert KEY in at.players.prompts[made.task_id]
        flow = await at.store.get_flow(made.flow_id)
        task = await at.task(made.task_id)
        for secret in (KEY, "hunter2hunter2", "B2B2B2", "swordfish99"):
            assert secret not in str(task)
            assert secret not in str(flow)
            assert secret not in str(await at.ask("subagents.list"))
        await at.ask("subagents.steer", made.task_id, text=said)
        await at.play_out(made.task_id)
        await at.go(1)
        events = await at.store.system_events("agent:alice:main", 0, 10, waiting=False)
        assert "swordfish99" not in str(events)
        assert await at.store.payload_of(made.task_id) is None


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
