"""Agents asked for, spawned, steered and called off: who may do what, within which bounds, and what is answered."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from agent_players import played_world
from api_fakes import asynchronous
from told_world import ALICE, BOB, HOSTILE, REMOTE

from outlast.api.context import Caller
from outlast.core.errors import BadInput, NotFound, Refused

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
async def test_an_agent_is_as_busy_as_all_its_turns_wherever_they_are(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        await at.turn()
        await at.turn()
        child = await at.spawn()
        found = {one.agent: one for one in (await at.ask("agents.list")).agents}
        assert list(found) == ["coder", "quick", "calm"]
        assert (found["coder"].running, found["coder"].queued) == (2, 1)
        assert (found["coder"].heartbeat_seconds, found["calm"].heartbeat_seconds) == (1800.0, None)
        assert (found["calm"].running, found["calm"].queued) == (0, 0)
        await at.play_out(child.task_id)
        assert (await at.ask("agents.show", "coder")).agent.running == 1


@asynchronous
async def test_who_may_give_agents_turns_may_know_which_there_are_and_no_more(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        at.configure('[exec.requesters]\n"agent:bob:*" = "allowlist"\n')
        await at.turn()
        await at.spawn(caller=ALICE)
        listed = await at.ask("agents.list", caller=ALICE)
        coder = listed.agents[0]
        assert (coder.agent, coder.backend, coder.command, coder.workdir) == ("coder", "acp", [], None)
        assert (coder.running, coder.queued) == (1, 0), "what strangers have it do is theirs"
        assert coder.conversation == ALICES
        at.api.config.agents.trouble = BadInput("/home/me/config.toml is not TOML")
        assert (await at.ask("agents.list", caller=ALICE)).trouble is None
        with pytest.raises(Refused, match="may not run agents here"):
            await at.ask("agents.list", caller=BOB)
        for act in ("agents.show", "agents.check"):
            with pytest.raises(Refused, match="only the operator may look at"):
                await at.ask(act, "coder", caller=ALICE)
            with pytest.raises(BadInput, match="no agent 'nobody'") as unknown:
                await at.ask(act, "nobody")
        assert (unknown.value.code, "there is: calm, coder, quick" in unknown.value.hint) == ("no_such_agent", True)


@asynchronous
async def test_one_agent_is_shown_with_all_that_holds_for_it(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        table = (
            f'[agents.a]\nbackend = "command"\ncommand = ["a", "{{message}}"]\nresume = ["--token", "{KEY}"]\n'
            'env = { TOKEN = "swordfish99" }\nheartbeat = { every = "1h", activeHours = "08:00-22:00" }\n'
        )
        at.configure(agents=f'{table}[agents.b]\nbackend = "model"\nmodel = "openai:x"\ntimeout = 0\n')
        shown = await at.ask("agents.show", "a")
        settings = shown.settings
        assert shown.file == str(at.home / "config.toml")
        assert (settings["backend"], settings["output"], settings["timeout"]) == ("command", "text", 3600.0)
        assert (settings["env"], settings["heartbeat"]["every"]) == ({"TOKEN": "***"}, 3600.0)
        assert settings["heartbeat"]["activeHours"] == "08:00-22:00"
        assert settings["workdir"] == f"{at.home}/agents/a"
        assert KEY not in str(shown)
        assert not {"permissions", "model", "tools"} & set(settings), "no key that makes no sense there"
        other = (await at.ask("agents.show", "b")).settings
        assert (other["timeout"], other["max_requests"], other["heartbeat"]) == (0, 100, None)


@asynchronous
async def test_secrets_of_the_configuration_are_not_listed(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        argv = f'["coder", "--api-key", "{KEY}", "--url=https://me:hunter2hunter2@host/", "{{message}}"]'
        at.configure(agents=f'[agents.a]\nbackend = "command"\ncommand = {argv}\nenv = {{ TOKEN = "swordfish99" }}\n')
        listed = str(await at.ask("agents.list"))
        assert not [secret for secret in (KEY, "hunter2hunter2", "swordfish99") if secret in listed]
        assert "--api-key" in listed
        assert "{message}" in listed


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


@asynchronous
async def test_a_look_that_nobody_waits_for_ends_what_it_started(tmp_path: Path) -> None:
    async with played_world(tmp_path) as at:
        pids = tmp_path / "pids"
        code = f"echo $$ > {pids}.new; setsid sleep 600 & echo $! >> {pids}.new; mv {pids}.new {pids}; sleep 600"
        at.configure(agents=f'[agents.mute]\nbackend = "acp"\ncommand = ["sh", "-c", "{code}"]\n')
        at.api.environ["PATH"] = os.environ["PATH"]
        looking = asyncio.ensure_future(at.ask("agents.check", "mute"))
        while not pids.exists():
            assert not looking.done(), looking
            await asyncio.sleep(0.005)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        for pid in map(int, pids.read_text().split()):
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


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
