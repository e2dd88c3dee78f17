"""Detached commands: on record before they begin, once, under the rules they were given."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from api_ledger import ledger_world

from outlast.api import followed
from outlast.api.context import Caller
from outlast.api.detach import ONLY_DETACHED, msgspec_name
from outlast.core.errors import BadInput, GatewayTrouble, NotFound, OutlastError, Refused
from outlast.core.session import Status
from watched_store import trouble

ANN = Caller("agent:ann:main", operator=False)
VALUES: dict[str, Any] = {
    "queue": "q", "priority": 1, "retries": 1, "retryDelaySeconds": 1, "retryDelayMaxSeconds": 1,
    "deadlineSeconds": 1, "delaySeconds": 1, "dedupeKey": "k", "notify": "silent", "conversation": "c",
    "parentId": "t1", "node": "any",
}  # fmt: skip


@asynchronous
async def test_a_detached_command_is_on_record_before_it_begins(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        at.sessions.starting = asyncio.Event()
        task = await at.run("make", title="Build", labels=["nightly", "x"])
        assert (task.status, task.attempt, task.source, task.label) == ("running", 1, "detach", "nightly")
        assert (task.title, task.command, task.queue, task.notify) == ("Build", "make", "default", "done_only")
        assert (task.node, task.follow_up) == ("n1", f"outlast tasks wait {task.task_id}")
        assert at.sessions.all == {}
        at.sessions.starting.set()
        session = await at.session_of(task.task_id)
        assert session.id == task.session_id
        assert session.spec.env["OUTLAST_TASK_ID"] == task.task_id


@pytest.mark.parametrize("field", [msgspec_name(name) for name in ONLY_DETACHED])
@asynchronous
async def test_what_goes_with_detach_only_is_refused_without(tmp_path: Path, field: str) -> None:
    """Silently ignored it would be a promise that nobody keeps."""
    async with ledger_world(tmp_path) as at:
        for how in ({}, {"background": True}, {"detach": False}):
            with pytest.raises(BadInput) as caught:
                await at.ask("exec", command="make", **how, **{field: VALUES[field]})
            assert caught.value.message == f"{field}: goes with detach only"
        assert at.sessions.all == {}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"readyWhen": {"port": 80}}, "readyWhen"),
        ({"follow": True}, "follow"),
        ({"queue": "\udcff"}, "queue"),
        ({"conversation": "a\0"}, "conversation"),
        ({"priority": 1001}, "priority"),
        ({"retries": -1}, "retries"),
        ({"retries": 1000}, "retries"),
        ({"deadlineSeconds": 0}, "deadlineSeconds"),
        ({"delaySeconds": -1}, "delaySeconds"),
        ({"notify": "sometimes"}, "notify"),
        ({"env": {"A": "\udcff"}}, "valid UTF-8"),
    ],
)
@asynchronous
async def test_what_does_not_go_with_detach_is_refused(tmp_path: Path, fields: dict[str, Any], word: str) -> None:
    async with ledger_world(tmp_path) as at:
        with pytest.raises(BadInput) as caught:
            await at.run("make", **fields)
        assert word in caught.value.message
        assert (await at.ask("tasks.list")).tasks == []


@asynchronous
async def test_a_command_that_may_not_run_is_not_on_record(tmp_path: Path) -> None:
    async with ledger_world(tmp_path, settings={"OUTLAST_EXEC_MODE": "deny"}) as at:
        with pytest.raises(Refused):
            await at.run("make")
        with pytest.raises(Refused):
            await at.run("make", delaySeconds=100)
        assert (await at.ask("tasks.list")).tasks == []


@asynchronous
async def test_a_caller_that_leaves_leaves_the_work_on_record(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        at.store.gates["create_task"] = asyncio.Event()
        asking = asyncio.ensure_future(at.ask("exec", command="make", detach=True))
        await at.settle()
        asking.cancel()
        at.store.gates.pop("create_task").set()
        await at.settle()
        [task] = (await at.ask("tasks.list")).tasks
        assert task.status == "running" and len(at.sessions.all) == 1


@asynchronous
async def test_without_the_ledger_nothing_is_detached(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        at.store.failing["*"] = trouble("store_full")
        with pytest.raises(GatewayTrouble) as caught:
            await at.run("make")
        assert caught.value.code == "store_full"
        assert at.sessions.all == {}


# ---- once


@asynchronous
async def test_the_same_command_again_is_the_same_task_while_it_lives(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        first = await at.run("make", delaySeconds=10)
        second = await at.run("make")
        assert (first.existing, second.existing, second.task_id) == (False, True, first.task_id)
        await at.clock.advance(11)
        third = await at.run("make")
        assert (third.existing, third.task_id, third.status) == (True, first.task_id, "running")
        await at.end(first.task_id)
        assert not (await at.run("make")).existing


@pytest.mark.parametrize(
    "other",
    [
        {"command": "make all"},
        {"workdir": "/"},
        {"env": {"A": "1"}},
        {"stdin": {"text": "x"}},
        {"allowDuplicate": True},
        {"dedupeKey": "k"},
        {"caller": ANN},
    ],
)
@asynchronous
async def test_other_work_is_another_task(tmp_path: Path, other: dict[str, Any]) -> None:
    async with ledger_world(tmp_path) as at:
        first = await at.run(command="make")
        second = await at.run(**{"command": "make", **other})
        assert not second.existing and second.task_id != first.task_id


@asynchronous
async def test_a_key_of_ones_own_says_what_is_the_same(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        first = await at.run("make", dedupeKey="nightly")
        second = await at.run("another command", dedupeKey="nightly")
        assert (second.existing, second.task_id) == (True, first.task_id)
        assert not (await at.run("make", dedupeKey="nightly", caller=ANN)).existing


@pytest.mark.parametrize("at_once", [True, False])
@asynchronous
async def test_a_command_that_runs_in_the_background_already_is_not_started_again(
    tmp_path: Path, at_once: bool
) -> None:
    """Also in the moment between its start and its record."""
    async with ledger_world(tmp_path) as at:
        result = await at.ask("exec", command="make", background=True)
        if not at_once:
            await at.settle()
        task = await at.run("make")
        assert (task.existing, task.session_id) == (True, result.session_id)
        assert len(at.sessions.all) == 1
        assert task.advice == [
            "the same command runs already, started by a call that asked for no notice of its end; "
            f"to get one: outlast tasks notify {task.task_id} done_only"
        ]
        assert (await at.run("make", notify="silent")).advice == []
        await at.end(task.task_id)
        assert await at.verbs(task.task_id) == ["create", "claim", "succeed"]


@asynchronous
async def test_a_detached_command_asked_for_in_the_foreground_is_its_session(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make")
        result = await at.ask("exec", command="make", background=True)
        assert (result.existing, result.session_id) == (True, task.session_id)
        assert [one.task_id for one in (await at.ask("tasks.list")).tasks] == [task.task_id]


# ---- when


@asynchronous
async def test_a_delay_and_a_deadline_are_moments_from_now(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make", delaySeconds=30, deadlineSeconds=100)
        assert (task.status, task.not_before_at, task.deadline_at) == (
            "queued", "2027-01-15T08:00:30.000Z", "2027-01-15T08:01:40.000Z",
        )  # fmt: skip
        await at.clock.advance(31)
        session = await at.session_of(task.task_id)
        assert session.spec.timeout_seconds is not None and 68 < session.spec.timeout_seconds <= 70
        await at.clock.advance(70)
        shown = await at.ask("tasks.show", task.task_id)
        assert (shown.status, shown.cause) == ("timed_out", "deadline")


@asynchronous
async def test_a_deadline_before_the_delay_is_over_means_never(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make", delaySeconds=100, deadlineSeconds=10)
        await at.clock.advance(101)
        shown = await at.ask("tasks.show", task.task_id)
        assert (shown.status, shown.cause, shown.started_at) == ("cancelled", "deadline", None)
        assert at.sessions.all == {}


@asynchronous
async def test_retries_go_by_their_rule(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make", retries=2, retryDelaySeconds=10, retryDelayMaxSeconds=10)
        assert task.attempts_max == 3
        sessions = []
        for _ in range(3):
            sessions.append((await at.task(task.task_id)).session_id)
            await at.end(task.task_id, 1)
            await at.clock.advance(11)
        assert len(set(sessions)) == 3
        shown = await at.ask("tasks.show", task.task_id)
        assert (shown.status, shown.attempt, shown.session_id) == ("failed", 3, sessions[-1])


@asynchronous
async def test_a_node_is_ones_own_unless_it_is_said(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        here, there = await at.run("a"), await at.run("b", node="n2")
        anywhere = await at.run("c", node="any", delaySeconds=5)
        assert (here.node, there.node, there.status, anywhere.node) == ("n1", "n2", "queued", None)


@asynchronous
async def test_a_parent_must_be_there(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        with pytest.raises(NotFound):
            await at.run("make", parentId="t-none")
        assert (await at.ask("tasks.list")).tasks == []


@asynchronous
async def test_advice_comes_with_the_task(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("sleep 3600 && make")
        assert task.advice and "cron" in task.advice[0]


# ---- output


@asynchronous
async def test_the_output_of_a_task_is_that_of_its_session(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make")
        (await at.session_of(task.task_id)).prints(b"one\ntwo\n")
        assert (await at.ask("tasks.log", task.task_id)).text == "one\ntwo\n"
        assert (await at.ask("tasks.log", task.task_id, tail=1)).text == "two\n"
        await at.end(task.task_id)
        at.sessions.all.clear()
        kept = await at.ask("tasks.log", task.task_id)
        assert (kept.text, kept.produced_bytes, kept.status) == ("one\ntwo", 8, "succeeded")


@asynchronous
async def test_a_task_without_output_says_so(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1")
        with pytest.raises(NotFound) as caught:
            await at.ask("tasks.log", "t1")
        assert (caught.value.code, caught.value.message) == ("no_output", "task t1 has no output yet")


# ---- somebody stays


@asynchronous
async def test_a_command_somebody_follows_is_on_record_only_when_he_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "ARRIVAL_SECONDS", 0.0)
    async with ledger_world(tmp_path) as at:
        result = await at.ask("exec", command="make", follow=True, yieldMs=0)
        session = at.sessions.all[result.session_id]
        with at.api.followed.following(session):
            await at.settle()
            assert (await at.ask("tasks.list")).tasks == []
            with at.api.followed.following(session):
                pass
            await at.settle()
            assert (await at.ask("tasks.list")).tasks == []
        await asyncio.sleep(0.01)
        await at.settle()
        [task] = (await at.ask("tasks.list")).tasks
        assert (task.session_id, task.notify) == (session.id, "silent")


@asynchronous
async def test_a_command_that_ends_while_somebody_follows_is_on_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "ARRIVAL_SECONDS", 0.0)
    async with ledger_world(tmp_path) as at:
        before = at.store.calls.copy()
        result = await at.ask("exec", command="make", follow=True, yieldMs=0)
        session = at.sessions.all[result.session_id]
        with at.api.followed.following(session):
            session.ends(0)
        await asyncio.sleep(0.01)
        await at.settle()
        assert at.store.calls == before
        assert not at.api.followed.has(session)


@asynchronous
async def test_every_error_of_an_act_is_one_of_the_family(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        for fields in ({"command": ""}, {"command": "x", "workdir": "/no/such"}, {"argv": []}, {}):
            with pytest.raises(OutlastError):
                await at.ask("exec", detach=True, **fields)
        assert (await at.run("ok")).status == Status.RUNNING
