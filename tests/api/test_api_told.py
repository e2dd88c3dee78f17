"""Conversations, wakes, notices and events, as anybody may ask for them: who hears what, and what nobody is shown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_fakes import asynchronous
from told_world import ALICE, BOB, HOSTILE, telling_world

from outlast.core.errors import BadInput, NotFound, OutlastError, Refused

PRIVATE = {"OUTLAST_DELIVERY_ALLOW_PRIVATE": "127.0.0.1"}


def shown(*answers: Any) -> str:
    return " ".join(msgspec.json.encode(answer).decode() for answer in answers)


async def refused(work: Any, kind: type[OutlastError] = BadInput) -> OutlastError:
    with pytest.raises(kind) as caught:
        await work
    return caught.value


def harmless(text: str) -> None:
    assert not [char for char in text if (ord(char) < 32 and char not in "\n\t") or char in "\x7f\u202e"], text


# ---- an end is told


@asynchronous
async def test_an_end_reaches_the_requester_and_is_consumed_once(tmp_path: Path) -> None:
    """Told in the conversation that asked; acknowledged, it waits for nobody any more."""
    async with telling_world(tmp_path) as world:
        task = await world.run("make", caller=ALICE)
        await world.end(task.task_id, 3)
        await world.go()
        page = await world.ask("conversations.events", ALICE.requester, caller=ALICE)
        [event] = page.events
        assert "failed with exit code 3" in event.text
        assert event.data["taskId"] == task.task_id
        assert (await world.task(task.task_id)).delivery.value == "delivered"
        acked = await world.ask("conversations.ack", ALICE.requester, caller=ALICE)
        assert (acked.acked, acked.waiting) == (1, 0)
        assert (await world.ask("conversations.events", ALICE.requester, caller=ALICE)).events == []
        assert len((await world.ask("conversations.events", ALICE.requester, all=True, caller=ALICE)).events) == 1


@asynchronous
async def test_who_waits_for_the_end_and_gets_it_is_not_told(tmp_path: Path) -> None:
    """`tasks wait` has said it: no event, no wake."""
    async with telling_world(tmp_path) as world:
        await world.ask("wake.add", conversation=ALICE.requester, argv=["/bin/notify", "{text}"])
        task = await world.run("make", caller=ALICE)
        waiting = asyncio.create_task(world.ask("tasks.wait", lookups=[task.task_id], timeoutMs=60_000, caller=ALICE))
        await world.settle()
        await world.end(task.task_id)
        await world.go()
        assert (await waiting).met
        await world.go(5)
        assert (await world.ask("conversations.events", ALICE.requester, caller=ALICE)).events == []
        assert len(world.sessions.all) == 1
        assert (await world.task(task.task_id)).delivery.value == "delivered"


@asynchronous
async def test_who_leaves_before_the_end_is_told(tmp_path: Path) -> None:
    """A wait that ran out, and one whose caller hung up, have seen nothing."""
    async with telling_world(tmp_path) as world:
        for hang_up in (False, True):
            task = await world.run(f"make {hang_up}", caller=ALICE)
            waiting = asyncio.create_task(world.ask("tasks.wait", lookups=[task.task_id], timeoutMs=1000, caller=ALICE))
            await world.settle()
            if hang_up:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            else:
                await world.go(1.1)
                assert (await waiting).timed_out
            await world.end(task.task_id)
            await world.go()
        assert len((await world.ask("conversations.events", ALICE.requester, caller=ALICE)).events) == 2


@asynchronous
async def test_a_reader_who_waits_is_woken_by_the_event(tmp_path: Path) -> None:
    """No polling: one question, answered when there is something to say."""
    async with telling_world(tmp_path) as world:
        waiting = asyncio.create_task(
            world.ask("conversations.events", ALICE.requester, timeoutMs=60_000, caller=ALICE)
        )
        await world.settle()
        await world.ask("system.event", text="other", to=BOB.requester)
        await world.settle()
        assert not waiting.done()
        await world.ask("system.event", text="hello", to=ALICE.requester)
        await world.settle()
        [event] = (await waiting).events
        assert (event.text, event.kind) == ("hello", "note")


# ---- whose


@asynchronous
async def test_nobody_reads_or_speaks_for_another(tmp_path: Path) -> None:
    """A requester has his own conversation; the operator has all."""
    async with telling_world(tmp_path) as world:
        await world.ask("system.event", text="for alice", to=ALICE.requester)
        assert (await world.ask("system.event", text="to myself", to=BOB.requester, caller=BOB)).queued
        await refused(world.ask("system.event", text="boo", to=ALICE.requester, caller=BOB), Refused)
        for act in ("show", "events", "ack"):
            await refused(world.ask(f"conversations.{act}", ALICE.requester, caller=BOB), NotFound)
        [own] = (await world.ask("conversations.list", caller=BOB)).conversations
        assert (own.conversation, own.waiting) == (BOB.requester, 1)
        keys = [one.conversation for one in (await world.ask("conversations.list")).conversations]
        assert keys == [ALICE.requester, BOB.requester]
        wake = await world.ask("wake.add", conversation=ALICE.requester, desktop=True)
        for act in ("add", "test", "remove"):
            fields = {"conversation": BOB.requester, "desktop": True} if act == "add" else {}
            name = None if act == "add" else wake.wake_id
            await refused(world.ask(f"wake.{act}", name, caller=BOB, **fields), OutlastError)
        assert (await world.ask("wake.list", caller=BOB)).wakes == []
        assert (await world.ask("wake.list", conversation=ALICE.requester, caller=BOB)).wakes == []
        assert len((await world.ask("wake.list")).wakes) == 1


@asynchronous
async def test_nobody_sees_or_moves_the_notices_of_another(tmp_path: Path) -> None:
    """Retry and dismiss are for whom the notice is for, and for the operator."""
    async with telling_world(tmp_path) as world:
        task = await world.run("make", caller=ALICE)
        await world.end(task.task_id)
        await world.go()
        [notice] = (await world.ask("notifications.list", caller=ALICE)).notices
        assert (await world.ask("notifications.list", caller=BOB)).notices == []
        assert (await world.ask("notifications.list", target=ALICE.requester, caller=BOB)).notices == []
        for act in ("retry", "dismiss"):
            for name in (str(notice.notice_id), "0", "-1", "x" * 1000, "9" * 30, "١"):
                await refused(world.ask(f"notifications.{act}", name, caller=BOB), NotFound)
        error = await refused(world.ask("notifications.retry", str(notice.notice_id)))
        assert error.code == "already_delivered"


# ---- dead letters


@asynchronous
async def test_a_dead_letter_is_audited_and_can_be_tried_again_or_given_up(tmp_path: Path) -> None:
    """What could not be delivered is found by the audit and mended by hand; given up, nothing finds fault with it."""
    async with telling_world(tmp_path) as world:
        for name in ("one", "two"):
            await world.rule(name, webhook="https://127.0.0.1:9/hook/SECRETPATH", overlap="allow")
        await world.go(60.05)
        for name in ("one", "two"):
            [run] = (await world.ask("cron.runs", name)).runs
            await world.end(run.task_id)
        await world.go(1)
        failed = (await world.ask("notifications.list", state="parked")).notices
        assert len(failed) == 2
        assert "not allowed" in failed[0].error
        assert "SECRETPATH" not in shown(*failed)
        codes = (await world.ask("tasks.audit")).codes
        assert codes.get("delivery_failed") == 2
        await world.ask("notifications.dismiss", str(failed[0].notice_id))
        again = await world.ask("notifications.retry", str(failed[1].notice_id))
        assert again.state == "pending"
        await world.go(1)
        assert (await world.ask("tasks.audit")).codes.get("delivery_failed") == 1
        [left] = (await world.ask("notifications.list", state="parked")).notices
        assert left.notice_id == failed[1].notice_id


@asynchronous
async def test_a_parked_wake_is_audited_and_a_test_that_works_revives_it(tmp_path: Path) -> None:
    """Given up at the first sending, since the address may not be reached; found; mended; told after all."""
    async with telling_world(tmp_path) as world:
        wake = await world.ask("wake.add", conversation=ALICE.requester, argv=["/bin/notify", "{text}"])
        world.sessions.on_start = lambda session: session.ends(127)
        await world.ask("system.event", text="hello", to=ALICE.requester)
        for _ in range(16):
            await world.go(3601)
        [parked] = (await world.ask("wake.list")).wakes
        assert parked.status == "parked"
        assert "exit code 127" in parked.error
        [finding] = [one for one in (await world.ask("tasks.audit")).findings if one.code == "wake_parked"]
        assert wake.wake_id in finding.fix
        assert not (await world.ask("wake.test", wake.wake_id)).delivered
        world.sessions.on_start = lambda session: session.ends(0)
        assert (await world.ask("wake.test", wake.wake_id)).delivered
        await world.go(1)
        assert (await world.ask("wake.list")).wakes[0].status == "ready"
        assert (await world.ask("conversations.events", ALICE.requester)).events == []


# ---- secrets


@asynchronous
async def test_a_secret_is_shown_once_and_an_address_never(tmp_path: Path) -> None:
    """The signing secret comes back from the call that made it, and from no other; addresses show their host."""
    async with telling_world(tmp_path) as world:
        url = "https://user:hunter2@hooks.example.com/T000/SECRETPATH?token=hunter2"
        made = await world.ask("wake.add", conversation=ALICE.requester, webhook=url)
        assert made.secret.startswith("whsec_")
        given = await world.ask("wake.add", conversation=ALICE.requester, webhook=url, secret=made.secret)
        command = await world.ask(
            "wake.add", conversation=ALICE.requester, argv=["/bin/notify", "--token", "hunter2hunter2", "{text}"]
        )
        answers = [
            await world.ask("wake.list"), await world.ask("conversations.show", ALICE.requester), given, command,
            await world.ask("conversations.list"), await world.ask("tasks.audit"),
        ]  # fmt: skip
        text = shown(*answers) + shown(made).replace(made.secret, "")
        for secret in (made.secret, "hunter2", "SECRETPATH", "T000"):
            assert secret not in text
        assert "hooks.example.com" in text


@pytest.mark.parametrize(("fields", "words"), [
    ({}, "command: is required"),
    ({"desktop": True, "webhook": "https://x.test/"}, "does not go with"),
    ({"command": "agent {unknown}"}, "unknown"),
    ({"command": "sh -c 'echo {text}'"}, ""),
    ({"argv": ["{text}"]}, ""),
    ({"webhook": "file:///etc/passwd"}, ""),
    ({"webhook": "https://x.test/\r\nHost: evil"}, ""),
    ({"webhook": "https://x.test/", "secret": "short"}, ""),
    ({"desktop": True, "secret": "whsec_x"}, "webhook only"),
    ({"smtp": "a@b\r\nBcc: c@d"}, ""),
    ({"apprise": "mailto://a b"}, ""),
])  # fmt: skip
@asynchronous
async def test_a_wake_that_cannot_work_is_refused_when_it_is_added(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    """Not at the first end of a task in the middle of the night."""
    async with telling_world(tmp_path) as world:
        error = await refused(world.ask("wake.add", conversation="x", **fields))
        assert words in error.message
        harmless(error.message)
        assert (await world.ask("wake.list")).wakes == []


# ---- hostile texts


@asynchronous
async def test_a_hostile_event_is_told_as_harmless_text_and_never_run(tmp_path: Path) -> None:
    """Whatever an event says, the wake's command gets it as one value, free of control characters."""
    async with telling_world(tmp_path) as world:
        await world.ask("wake.add", conversation=ALICE.requester, argv=["/bin/notify", "{conversation}", "{text}"])
        text = HOSTILE.replace("\0", "")
        await world.ask("system.event", text=text, to=ALICE.requester)
        await world.go()
        [session] = world.sessions.all.values()
        program, conversation, told = session.spec.argv
        assert (program, conversation) == ("/bin/notify", ALICE.requester)
        assert "$(touch /tmp/x) `id`;" in told
        assert "{text} {{}}" in told, "a value is not looked at for further gaps"
        harmless(told)
        for name, value in session.spec.env.items():
            if name.startswith("OUTLAST_NOTICE_") and name != "OUTLAST_NOTICE_DATA":
                harmless(value)


@asynchronous
async def test_a_key_of_a_conversation_that_is_no_argument_wakes_nobody(tmp_path: Path) -> None:
    """``--dangerous`` as the key of a conversation must not become an option of the command."""
    async with telling_world(tmp_path) as world:
        await world.ask("wake.add", conversation="--dangerous", argv=["/bin/notify", "{conversation}", "{text}"])
        await world.ask("system.event", text="hello", to="--dangerous")
        await world.go(1)
        assert world.sessions.all == {}
        [wake] = (await world.ask("wake.list")).wakes
        assert wake.status == "parked"


@asynchronous
async def test_texts_of_a_megabyte_are_held_told_in_part_and_folded(tmp_path: Path) -> None:
    """A flood of long texts costs a bounded queue, and a wake a bounded message."""
    async with telling_world(tmp_path) as world:
        big = "x" * 1_000_000
        for number in range(4):
            await world.ask("system.event", text=f"{number}{big[1:]}", to=ALICE.requester)
        await refused(world.ask("system.event", text=big + "y", to=ALICE.requester))
        events = (await world.ask("conversations.events", ALICE.requester)).events
        assert sum(len(event.text) for event in events) < 2_100_000
        assert events[0].kind == "folded"
        await world.ask("wake.add", conversation=ALICE.requester, argv=["/bin/notify", "{text}"])
        await world.ask("system.event", text="one more", to=ALICE.requester)
        await world.go()
        [session] = world.sessions.all.values()
        assert len(session.spec.argv[1]) < 40_000
        assert sum(map(len, session.spec.env.values())) < 200_000


@asynchronous
async def test_a_text_that_no_record_can_hold_is_made_one_that_can_be(tmp_path: Path) -> None:
    """NUL is no trouble of the store's: SQLite would take it, PostgreSQL would refuse the whole act."""
    async with telling_world(tmp_path) as world:
        await world.ask("system.event", text="a\0b", to=ALICE.requester)
        [event] = (await world.ask("conversations.events", ALICE.requester)).events
        assert "\0" not in event.text
        await refused(world.ask("system.event", text="x", to="a\0b"), OutlastError)
        await refused(world.ask("wake.add", conversation="a\0b", desktop=True), OutlastError)
        await refused(world.rule(event="x", to="a\nb"), OutlastError)
        await refused(world.rule(conversation="a\x1b"), OutlastError)
        assert "\0" not in (await world.rule(comment="a\0b")).comment
        for act in ("cron.show", "cron.remove", "conversations.events", "wake.test", "wake.remove"):
            await refused(world.ask(act, "a\0b"), BadInput)


@asynchronous
async def test_the_same_key_is_heard_once(tmp_path: Path) -> None:
    """Whoever reports the same thing twice under one key says it once; keys of two conversations are two."""
    async with telling_world(tmp_path) as world:
        assert (await world.ask("system.event", text="a", to=ALICE.requester, key="k")).queued
        assert not (await world.ask("system.event", text="b", to=ALICE.requester, key="k")).queued
        assert (await world.ask("system.event", text="c", to=BOB.requester, key="k")).queued


# ---- wakes at work


@asynchronous
async def test_a_wake_command_is_on_record_and_wakes_nobody_in_turn(tmp_path: Path) -> None:
    """It can be looked at like any session, and its own end is no news."""
    async with telling_world(tmp_path) as world:
        await world.ask("wake.add", conversation=ALICE.requester, argv=["/bin/notify"])
        world.sessions.on_start = lambda session: session.ends(0)
        await world.ask("system.event", text="hello", to=ALICE.requester)
        await world.go(5)
        [session] = world.sessions.all.values()
        assert session.spec.stdin_text == "hello\n"
        assert json.loads(session.spec.env["OUTLAST_NOTICE_DATA"])["eventIds"] == [1]
        [task] = (await world.ask("tasks.list")).tasks
        assert (task.label, task.notify) == ("wake", "silent")
        assert (await world.ask("notifications.list")).notices == []


@asynchronous
async def test_a_gateway_that_restarts_over_a_wake_does_not_start_it_again(tmp_path: Path) -> None:
    """An agent's turn goes on through a restart: it is stayed with, not doubled."""
    async with telling_world(tmp_path) as world:
        await world.ask("wake.add", conversation=ALICE.requester, argv=["/bin/notify", "{text}"])
        await world.ask("system.event", text="hello", to=ALICE.requester)
        await world.go()
        [session] = world.sessions.all.values()
        await world.restart()
        await world.go(5)
        assert list(world.sessions.all) == [session.id]
        session.ends(0)
        await world.go(5)
        assert list(world.sessions.all) == [session.id]
        assert (await world.ask("conversations.events", ALICE.requester)).events == []


@asynchronous
async def test_a_wake_that_ended_while_no_gateway_ran_is_not_started_again(tmp_path: Path) -> None:
    """Its exit is on record: that is how it went, whoever was there to see it."""
    async with telling_world(tmp_path) as world:
        await world.ask("wake.add", conversation=ALICE.requester, argv=["/bin/notify", "{text}"])
        await world.ask("system.event", text="hello", to=ALICE.requester)
        await world.go()
        [session] = world.sessions.all.values()

        async def meanwhile() -> None:
            session.ends(0)

        await world.restart(meanwhile)
        await world.go(5)
        assert list(world.sessions.all) == [session.id]
        assert (await world.ask("conversations.events", ALICE.requester)).events == []


@pytest.mark.parametrize(
    ("act", "name", "field"),
    [
        ("conversations.events", "k", "after"), ("conversations.ack", "k", "upto"),
        ("notifications.list", None, "before"), ("conversations.transcript", "k", "after"),
        ("conversations.transcript", "k", "before"),
    ],
)  # fmt: skip
@asynchronous
async def test_a_place_no_record_can_have_is_refused(tmp_path: Path, act: str, name: str | None, field: str) -> None:
    async with telling_world(tmp_path) as at:
        await at.ask(act, name, requester="k", **{field: 2**53})
        for beyond in (2**53 + 1, 2**63, 2**70):
            with pytest.raises(BadInput, match=f"{field}: must be a whole number"):
                await at.ask(act, name, **{field: beyond})


@asynchronous
async def test_secrets_in_what_is_told_are_masked_before_it_is_on_record(tmp_path: Path) -> None:
    async with telling_world(tmp_path) as at:
        await at.ask("system.event", to="k", text="the password: swordfish99 has changed")
        await at.rule("r", event="use token=swordfish99", to="k")
        await at.go(61)
        assert "swordfish99" not in shown(await at.ask("conversations.events", "k"), await at.ask("cron.show", "r"))
        texts = [event.text for event in await at.store.system_events("k", 0, 10)]
        assert len(texts) == 2
        assert "swordfish99" not in str([*texts, await at.store.list_schedules(10)])
