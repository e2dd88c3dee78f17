"""Waiting for tasks, calling them off with all they have started, and marking them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from api_ledger import ledger_world

from outlast.core.errors import BadInput, Conflict, GatewayTrouble, NotFound
from outlast.core.session import Cause, Status
from watched_store import trouble

# ---- waiting


async def waiting(at: Any, *names: str, **fields: Any) -> asyncio.Task[Any]:
    """Begin to wait; return when the wait is under way."""
    task = asyncio.ensure_future(at.ask("tasks.wait", lookups=list(names), **fields))
    await at.settle()
    return task


@asynchronous
async def test_a_wait_ends_with_the_last_of_all_or_the_first_of_any(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        one, two = await at.run("one"), await at.run("two")
        every = await waiting(at, one.task_id, two.task_id)
        first = await waiting(at, one.task_id, two.task_id, mode="any")
        await at.end(two.task_id, 3)
        result = first.result()
        assert (result.met, result.timed_out) == (True, False)
        assert [task.status for task in result.tasks] == ["running", "failed"]
        assert not every.done()
        await at.end(one.task_id)
        result = every.result()
        assert (result.met, [task.status for task in result.tasks]) == (True, ["succeeded", "failed"])


@asynchronous
async def test_a_wait_for_the_past_is_answered_at_once(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        await at.end(task.task_id)
        result = await at.ask("tasks.wait", lookups=[task.task_id, task.task_id[:12], task.session_id])
        assert (result.met, len(result.tasks)) == (True, 1)


@asynchronous
async def test_a_wait_lasts_as_long_as_it_was_asked_to(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        question = await at.ask("tasks.wait", lookups=[task.task_id], timeoutMs=0)
        assert (question.met, question.timed_out, question.tasks[0].status) == (False, True, "running")
        wait = await waiting(at, task.task_id, timeoutMs=5000)
        await at.clock.advance(4.9)
        assert not wait.done()
        await at.clock.advance(0.2)
        assert (wait.result().met, wait.result().timed_out) == (False, True)


@asynchronous
async def test_progress_does_not_end_a_wait_and_nobody_polls(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        wait = await waiting(at, task.task_id)
        before = at.store.calls["get_task"]
        await at.clock.advance(300)
        assert at.store.calls["get_task"] == before
        await at.ask("tasks.report", task.task_id, progress=5)
        await at.settle()
        assert not wait.done()
        await at.end(task.task_id)
        assert wait.result().met


@asynchronous
async def test_a_wait_is_over_only_when_no_attempt_is_left(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run(retries=1, retryDelaySeconds=0)
        wait = await waiting(at, task.task_id)
        await at.end(task.task_id, 1)
        await at.clock.advance(1)
        assert not wait.done()
        await at.end(task.task_id, 0)
        assert wait.result().tasks[0].status == "succeeded"


@asynchronous
async def test_a_gateway_that_stops_answers_who_waits_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        wait = await waiting(at, task.task_id)
        at.api.stop_waits()
        result = await wait
        assert (result.met, result.timed_out, result.tasks[0].status) == (False, False, "running")
        await at.restart()
        again = await waiting(at, task.task_id)
        await at.end(task.task_id)
        assert again.result().met


@asynchronous
async def test_a_wait_for_nothing_is_refused_before_it_begins(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        with pytest.raises(NotFound):
            await at.ask("tasks.wait", lookups=[task.task_id, "t-none"])
        with pytest.raises(BadInput):
            await at.ask("tasks.wait", lookups=[])


@asynchronous
async def test_whoever_gives_up_waiting_is_forgotten(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        wait = await waiting(at, task.task_id)
        wait.cancel()
        await asyncio.gather(wait, return_exceptions=True)
        assert at.ledger.news._waiters == {}


@asynchronous
async def test_a_store_out_of_reach_is_told_to_who_waits(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        wait = await waiting(at, task.task_id)
        at.store.failing["get_task"] = trouble()
        at.ledger.news.stir()
        with pytest.raises(GatewayTrouble):
            await wait


# ---- calling off


@asynchronous
async def test_running_work_is_ended_and_its_end_is_the_answer(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        ended = await at.ask("tasks.cancel", task.task_id, reason="not needed: TOKEN=abcdefghijk", graceSeconds=3)
        assert (ended.status, ended.cause, ended.exit_signal) == ("cancelled", "operator", "SIGTERM")
        assert (await at.session_of(task.task_id)).grace == 3
        data = [event.data for event in await at.store.events_of(task.task_id)]
        assert {"reason": "not needed: TOKEN=***"} in data


@asynchronous
async def test_queued_work_is_called_off_without_ado(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1")
        ended = await at.ask("tasks.cancel", "t1", reason="not needed")
        assert (ended.status, ended.cause, ended.detail) == ("cancelled", "operator", {"reason": "not needed"})
        assert ended.started_at is None and ended.duration_ms is None


@asynchronous
async def test_what_has_ended_cannot_be_called_off(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        await at.end(task.task_id)
        with pytest.raises(Conflict) as caught:
            await at.ask("tasks.cancel", task.task_id)
        assert caught.value.code == "already_ended"


@asynchronous
async def test_a_command_that_is_just_being_started_is_called_off(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        at.sessions.starting = asyncio.Event()
        task = await at.run()
        cancelling = asyncio.ensure_future(at.ask("tasks.cancel", task.task_id))
        await at.settle()
        at.sessions.starting.set()
        assert (await cancelling).status == "cancelled"


@asynchronous
async def test_all_that_a_task_has_started_ends_with_it(tmp_path: Path) -> None:
    """Children and their children, running and queued, with the cause that it was their parent's end."""
    async with ledger_world(tmp_path) as at:
        top = await at.run("top")
        child = await at.run("child", parentId=top.task_id)
        grandchild = await at.run("grandchild", parentId=child.task_id)
        await at.record("t-queued", parent_id=grandchild.task_id)
        done = await at.run("done", parentId=top.task_id)
        await at.end(done.task_id)
        below_done = await at.run("below", parentId=done.task_id)
        other = await at.run("other")
        ended = await at.ask("tasks.cancel", top.task_id)
        assert (ended.task_id, ended.cause) == (top.task_id, "operator")
        for name in (child.task_id, grandchild.task_id, "t-queued", below_done.task_id):
            task = await at.task(name)
            assert (task.status, task.cause) == (Status.CANCELLED, Cause.PARENT), name
        assert (await at.task(done.task_id)).status is Status.SUCCEEDED
        assert (await at.task(other.task_id)).status is Status.RUNNING


@asynchronous
async def test_tasks_that_are_each_others_parents_are_no_endless_work(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1", parent_id="t2")
        await at.record("t2", parent_id="t1")
        assert (await at.ask("tasks.cancel", "t1")).status == "cancelled"
        assert (await at.task("t2")).status is Status.CANCELLED


@asynchronous
async def test_an_end_that_takes_long_is_answered_as_asked_for(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()

        async def stubborn(session: Any, **_: Any) -> None:
            await asyncio.Event().wait()

        at.sessions.kill = stubborn
        cancelling = asyncio.ensure_future(at.ask("tasks.cancel", task.task_id))
        await at.settle()
        await at.clock.advance(31)
        asked = await cancelling
        assert (asked.status, asked.cancel_asked_at) == ("running", "2027-01-15T08:00:00.000Z")


@asynchronous
async def test_outside_work_ends_at_once_and_its_report_comes_too_late(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start", label="ci")
        assert (await at.ask("tasks.cancel", made.task_id)).status == "cancelled"
        late = await at.ask("tasks.report", made.task_id, done=True)
        assert (late.status, late.late) == ("cancelled", True)


# ---- marks


@asynchronous
async def test_only_what_has_ended_is_dismissed(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        with pytest.raises(Conflict) as caught:
            await at.ask("tasks.dismiss", task.task_id)
        assert caught.value.code == "not_ended"
        await at.end(task.task_id)
        first = await at.ask("tasks.dismiss", task.task_id)
        at.clock.at += 5
        assert await at.ask("tasks.dismiss", task.task_id) == first


@asynchronous
async def test_of_what_one_is_told_can_be_changed_while_it_runs(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run(notify="silent")
        changed = await at.ask("tasks.notify", task.task_id, policy="done_only")
        assert changed.notify == "done_only"
        assert (await at.ask("tasks.notify", task.task_id, policy="done_only")) == changed
        await at.end(task.task_id)
        assert [row.kind for row in await at.store.pending_outbox(10)] == ["ended"]


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [
        ("done_only", ["ended"]),
        ("state_changes", ["changed", "changed", "changed", "ended"]),
        ("failures_only", ["ended"]),
        ("silent", []),
    ],
)
@asynchronous
async def test_what_is_told_is_what_the_policy_says(tmp_path: Path, policy: str, kinds: list[str]) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run(notify=policy, retries=1, retryDelaySeconds=0, conversation="agent:a:main")
        await at.end(task.task_id, 1)
        await at.clock.advance(1)
        await at.end(task.task_id, 2)
        rows = await at.store.pending_outbox(10)
        assert [row.kind for row in rows] == kinds
        assert {row.target for row in rows} <= {"agent:a:main"}
        shown = await at.ask("tasks.show", task.task_id)
        assert shown.delivery == ("pending" if kinds else "not_needed")
