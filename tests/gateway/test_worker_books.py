"""The books: what outlives its call is on record once, and a restart finds the truth about everything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from worker_fakes import asynchronous, ledger_world

from outlast.core.session import Cause, Status
from outlast.core.task import NotifyPolicy, TaskFilter
from outlast.delivery.outbox import Outbox
from outlast.gateway.hands import SEEN_SECONDS
from watched_store import trouble


async def records(at: Any) -> list[Any]:
    await at.settle()
    return (await at.store.list_tasks(TaskFilter(), 100)).tasks


# ---- commands that outlive their call


@asynchronous
async def test_a_command_in_the_background_is_on_record_once_and_silently(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        session = await at.session(command="make", title="Build", labels=["nightly", "x"])
        [task] = await records(at)
        assert (task.id, task.session_id) == ("t" + session.id[1:], session.id)
        assert (task.status, task.notify, task.queue) == (Status.RUNNING, NotifyPolicy.SILENT, "outlived")
        assert (task.label, task.title, task.ask["command"]) == ("nightly", "Build", "make")
        assert at.sessions.held == [], "it may be settled by now"
        session.ends(3)
        assert (await at.task(task.id)).status is Status.FAILED
        assert await at.verbs(task.id) == ["create", "claim", "fail"]
        assert await at.store.outbox_counts() == {"pending": 0, "parked": 0}


@asynchronous
async def test_a_command_that_ends_in_its_window_is_not_on_record(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        before = at.store.calls.copy()
        at.sessions.on_start = lambda session: session.ends(0)
        await at.ask("exec", command="true")
        await at.settle()
        assert at.store.calls == before


@asynchronous
async def test_the_same_command_asked_for_again_has_one_record(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        for _ in range(3):
            await at.ask("exec", command="make", background=True)
        assert len(await records(at)) == 1
        [session] = at.sessions.all.values()
        session.ends(0)
        await at.settle()
        await at.ask("exec", command="make", background=True)
        assert len(await records(at)) == 2


@asynchronous
async def test_a_command_that_ends_while_it_is_put_on_record_has_its_end_there(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        at.store.gates["create_task"] = asyncio.Event()
        session = await at.session()
        session.ends(7)
        at.store.gates.pop("create_task").set()
        [task] = await records(at)
        assert (task.status, task.detail["exitCode"]) == (Status.FAILED, 7)


@pytest.mark.parametrize("command", ["make \udcff", "printf '\\0'"])
@asynchronous
async def test_a_command_in_any_bytes_is_on_record(tmp_path: Path, command: str) -> None:
    """A file name need not be text. Such a command runs, so it has a record, too."""
    async with ledger_world(tmp_path) as at:
        session = await at.session(command=command, title="T\udcff", labels=["\udcff"])
        [task] = await records(at)
        assert (task.session_id, task.status) == (session.id, Status.RUNNING)
        assert at.sessions.held == []


@asynchronous
async def test_what_the_record_leaves_out_is_said(tmp_path: Path) -> None:
    """Who repeats the work from its record must not run something else than was run."""
    async with ledger_world(tmp_path) as at:
        sessions = [
            await at.session(command="make"),
            await at.session(command="cat", stdin={"text": "hello"}),
            await at.session(command="deploy --token abcdefghijklmnop"),
            await at.session(command="env", env={"MODE": "fast"}),
            await at.session(command="run \udcff"),
        ]
        kept = {task.session_id: task.ask.get("kept", True) for task in await records(at)}
        assert [kept[session.id] for session in sessions] == [True, False, False, False, False]


@asynchronous
async def test_a_crash_before_the_record_is_mended_at_the_next_start(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        at.store.failing["create_task"] = trouble()
        session = await at.session()
        ended = await at.session()
        await at.settle()
        assert at.sessions.held == [session.id, ended.id]

        async def meanwhile() -> None:
            ended.ends(5)
            ended.drained = False

        await at.restart(meanwhile)
        one, two = reversed(await records(at))
        assert (one.session_id, one.status) == (session.id, Status.RUNNING)
        assert (two.session_id, two.status, two.detail["exitCode"]) == (ended.id, Status.FAILED, 5)
        assert two.ended_at == at.clock.now()


@asynchronous
async def test_a_record_that_is_there_already_is_gone_on_with(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        session = await at.session()
        await at.settle()
        await at.restart()
        assert len(await records(at)) == 1
        session.ends(0)
        [task] = await records(at)
        assert task.status is Status.SUCCEEDED
        assert await at.verbs(task.id) == ["create", "claim", "reclaim", "succeed"]


# ---- detached commands, over a restart


@asynchronous
async def test_a_detached_command_that_runs_on_is_stayed_with(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        await at.restart()
        assert (await at.end(task.task_id, 0)).status is Status.SUCCEEDED
        assert len(at.sessions.all) == 1


@asynchronous
async def test_a_detached_command_that_ended_meanwhile_has_its_true_end(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        session = await at.session_of(task.task_id)

        async def meanwhile() -> None:
            session.prints(b"last words\n")
            session.ends(9)
            at.clock.at += 500

        ended_at = at.clock.now()
        await at.restart(meanwhile)
        ended = await at.task(task.task_id)
        assert (ended.status, ended.detail["exitCode"], ended.summary) == (Status.FAILED, 9, "last words")
        assert ended.ended_at == ended_at


@asynchronous
async def test_a_claim_that_was_never_begun_is_begun_by_the_next_gateway(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        at.sessions.starting = asyncio.Event()
        task = await at.run()
        assert at.sessions.all == {}
        await at.restart()
        at.sessions.starting.set()
        at.sessions.starting = None
        stands = await at.task(task.task_id)
        assert (stands.status, stands.attempt) == (Status.RUNNING, 1)
        assert stands.session_id != task.session_id, "the first one must never start any more"
        assert len(at.sessions.all) == 1
        assert await at.verbs(task.task_id) == ["create", "claim", "reclaim", "requeue", "claim", "attach", "began"]


@asynchronous
async def test_a_start_without_a_trace_is_lost_and_says_what_was_looked_for(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run(retries=5)
        await at.restart(meanwhile=lambda: forget(at))
        lost = await at.task(task.task_id)
        assert (lost.status, lost.cause, lost.attempt) == (Status.LOST, Cause.EVIDENCE_GONE, 1)
        assert lost.error is not None and str(task.session_id) in lost.error
        assert at.sessions.all == {}


async def forget(at: Any) -> None:
    at.sessions.all.clear()


@asynchronous
async def test_a_session_whose_task_was_given_up_brings_its_true_end(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        session = await at.session_of(task.task_id)

        async def meanwhile() -> None:
            await at.store.inner.open()
            await at.books._ledger.lose(await at.store.get_task(task.task_id), Cause.EVIDENCE_GONE, "by mistake")
            await at.store.inner.close()

        await at.restart(meanwhile)
        assert (await at.task(task.task_id)).status is Status.LOST
        session.ends(0)
        found = await at.task(task.task_id)
        assert (found.status, found.cause) == (Status.SUCCEEDED, Cause.EXIT)
        kinds = [row.kind for row in await at.store.pending_outbox(10)]
        assert kinds == ["ended", "corrected"]


@asynchronous
async def test_queued_work_waits_over_a_restart(tmp_path: Path) -> None:
    async with ledger_world(tmp_path, slots=1) as at:
        first = await at.run("one")
        second = await at.run("two", deadlineSeconds=1000)
        await at.restart()
        await at.end(first.task_id)
        assert (await at.task(second.task_id)).status is Status.RUNNING
        await at.clock.advance(1001)
        ended = await at.task(second.task_id)
        assert (ended.status, ended.cause) == (Status.TIMED_OUT, Cause.DEADLINE)


# ---- what a command says while it runs


@asynchronous
async def test_the_history_of_a_command_names_its_start(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        [began] = [event for event in await at.store.events_of(task.task_id) if event.verb == "began"]
        assert began.data == {"attempt": 1, "sessionId": task.session_id, "pid": 4242}


@asynchronous
async def test_progress_is_a_line_of_history_only_when_it_has_changed(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        session = await at.session_of(task.task_id)
        for percent in (10, 10, 10, 20):
            session.prints(b"\x1b]9;4;1;%d\x07" % percent)
            await at.clock.advance(2)
        assert (await at.verbs(task.task_id)).count("progress") == 2
        assert (await at.task(task.task_id)).progress == 20


@asynchronous
async def test_output_without_progress_is_a_sign_of_life_once_a_minute(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        session = await at.session_of(task.task_id)
        before = at.store.calls["note_seen"]
        for _ in range(90):
            session.prints(b".")
            await at.clock.advance(2)
        assert at.store.calls["note_seen"] - before == 180 / SEEN_SECONDS
        seen = (await at.task(task.task_id)).seen_at
        assert seen is not None and at.clock.now() - seen <= SEEN_SECONDS
        assert await at.verbs(task.task_id) == ["create", "claim", "began"]


@asynchronous
async def test_progress_starts_anew_with_every_attempt(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run(retries=1, retryDelaySeconds=0)
        (await at.session_of(task.task_id)).prints(b"\x1b]9;4;1;50\x07")
        await at.clock.advance(2)
        await at.end(task.task_id, 1)
        await at.clock.advance(1)
        stands = await at.task(task.task_id)
        assert (stands.attempt, stands.progress) == (2, None)
        (await at.session_of(task.task_id)).prints(b"\x1b]9;4;1;50\x07")
        await at.clock.advance(2)
        assert (await at.task(task.task_id)).progress == 50


@asynchronous
async def test_a_session_that_is_removed_before_its_record_is_there_still_has_its_end_on_record(tmp_path: Path) -> None:
    """The store was out of reach, the command ended, and somebody cleared up: what was seen of it is not lost."""
    async with ledger_world(tmp_path) as at:
        at.store.failing["create_task"] = trouble()
        session = await at.session()
        await at.settle()
        session.prints(b"last words\n")
        session.ends(3)
        await at.ask("remove", session.id)
        at.store.failing.clear()
        await at.clock.advance(60)
        [task] = await records(at)
        assert (task.status, task.cause, task.attempt) == (Status.FAILED, Cause.EXIT, 1)
        assert (task.detail["exitCode"], task.error) == (3, "exit code 3")
        assert await at.verbs(task.id) == ["create", "claim", "fail"]


# ---- who has seen an end by himself


@pytest.mark.parametrize("ask", ["poll", "wait"])
@asynchronous
async def test_who_was_given_the_end_of_a_session_is_not_told_of_its_task(tmp_path: Path, ask: str) -> None:
    """The end is seen a moment before it is on record; its notice must not overtake that."""
    async with ledger_world(tmp_path) as at:
        outbox = Outbox(at.store, at.clock, lambda target: None)
        at.books._tellers = Speaking(outbox)
        outbox.start()
        told = []
        for times in (1, 2):
            task = await at.ask("exec", command=f"make {times}", detach=True)
            await at.settle()
            session = at.sessions.all[(await at.task(task.task_id)).session_id]
            given = {"sessionIds": [session.id]} if ask == "wait" else {}
            if times == 1:
                asking = asyncio.create_task(
                    at.ask(ask, session.id if ask == "poll" else None, timeoutMs=60_000, **given)
                )
                await at.settle()
            session.ends(0)
            await at.settle()
            await at.clock.advance(1)
            if times == 1:
                assert asking.done()
            told += [e.data["how"] for e in await at.store.events_of(task.task_id) if e.verb == "delivered"]
        await outbox.stop()
    assert told == ["poll", "conversation"]


class Speaking:
    """What tells, as far as it is needed here."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    async def stop(self) -> None:
        """Nothing."""
