"""The worker: takes what is ready, no more than it has slots for, and writes down how each attempt came out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from worker_fakes import DONE, FAILED, NO_PAUSE, asynchronous, shop

from outlast.core.session import Cause, Status
from outlast.core.task import NotifyPolicy, Runtime
from outlast.gateway.worker import CLAIM_MAX
from outlast.runtimes.base import NeverBegan, NotHeld

# ---- taking work


@asynchronous
async def test_work_begins_in_the_commit_that_puts_it_on_record(tmp_path: Path) -> None:
    """One commit, not two: that is what makes a detached command as quick as it is."""
    async with shop(tmp_path) as at:
        before = at.store.calls.copy()
        created = await at.books.submit(at.new("t1"))
        assert created.task.status is Status.RUNNING
        assert at.store.calls - before == {"create_task": 1}
        await at.settle()
        [run] = at.runtime.runs
        assert (run.task.id, run.payload, run.task.attempt) == ("t1", {"what": "t1"}, 1)
        assert (await at.finish("t1")).status is Status.SUCCEEDED
        assert await at.verbs("t1") == ["create", "claim", "succeed"]


@asynchronous
async def test_no_more_is_begun_than_there_are_slots(tmp_path: Path) -> None:
    async with shop(tmp_path, slots=2) as at:
        made = await at.submit("t1", "t2", "t3", "t4")
        assert [one.task.status.value for one in made] == ["running", "running", "queued", "queued"]
        assert at.runtime.running == ["t1", "t2"]
        await at.finish("t1")
        assert at.runtime.running == ["t2", "t3"]
        await at.finish("t2")
        await at.finish("t3")
        await at.finish("t4")
        assert await at.status("t1", "t2", "t3", "t4") == ["succeeded"] * 4


@asynchronous
async def test_slots_hold_however_many_come_at_once(tmp_path: Path) -> None:
    async with shop(tmp_path, slots=3) as at:
        await asyncio.gather(*(at.books.submit(at.new(f"t{n:02d}")) for n in range(20)))
        await at.settle()
        seen = 0
        while running := at.runtime.running:
            assert len(running) <= 3
            seen += 1
            await at.finish(running[0])
        assert seen == 20 == len(at.runtime.runs)


@asynchronous
async def test_commands_that_outlived_their_call_need_no_slot(tmp_path: Path) -> None:
    """They may be many and run for weeks; they must not keep new work from being done."""
    async with shop(tmp_path, slots=2) as at:
        await at.submit("t1", "t2")
        for name in ("t3", "t4", "t5"):
            task = (await at.ledger.record_running(at.new(name, source="exec"))).task
            at.books.worker.resume(task)
        await at.finish("t1")
        [created] = await at.submit("t6")
        assert created.task.status is Status.RUNNING
        [waits] = await at.submit("t7")
        assert waits.task.status is Status.QUEUED
        await at.finish("t3")
        assert await at.status("t7") == ["queued"]
        await at.finish("t2")
        assert await at.status("t7") == ["running"]


@asynchronous
async def test_what_was_taken_up_after_a_restart_keeps_its_slot(tmp_path: Path) -> None:
    """Else every restart would let as much again run at once."""
    async with shop(tmp_path, slots=2) as at:
        await at.submit("t1", "t2")
        await at.restart()
        [waits] = await at.submit("t3")
        assert waits.task.status is Status.QUEUED
        await at.finish("t1")
        assert at.runtime.running == ["t3", "t2"]


@asynchronous
async def test_the_more_important_goes_first_then_the_older(tmp_path: Path) -> None:
    async with shop(tmp_path, slots=1) as at:
        await at.submit("t0")
        for name, priority in (("t1", 0), ("t2", -5), ("t3", 9), ("t4", 0)):
            await at.submit(name, priority=priority)
            at.clock.at += 1
        order = []
        while running := at.runtime.running:
            order += running
            await at.finish(running[0])
        assert order == ["t0", "t3", "t1", "t4", "t2"]


@asynchronous
async def test_new_work_does_not_jump_the_queue(tmp_path: Path) -> None:
    """A slot is free, but something older waits in the same queue: that goes first."""
    async with shop(tmp_path) as at:
        await at.store.set_queue_limit("default", 0)
        await at.submit("t1")
        at.store.gates["claim_tasks"] = asyncio.Event()
        await at.store.set_queue_limit("default", 1)
        [created] = await at.submit("t2")
        assert created.task.status is Status.QUEUED
        at.store.gates.pop("claim_tasks").set()
        await at.settle()
        assert at.runtime.running == ["t1"]


@asynchronous
async def test_the_limit_of_a_queue_holds_and_another_queue_goes_on(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.store.set_queue_limit("db", 1)
        await at.submit("t1", "t2", queue="db")
        await at.submit("t3", queue="web")
        assert at.runtime.running == ["t1", "t3"]
        await at.finish("t1")
        assert at.runtime.running == ["t3", "t2"]


@asynchronous
async def test_a_limit_that_is_lifted_lets_work_begin_at_once(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.store.set_queue_limit("default", 0)
        await at.submit("t1")
        assert at.runtime.running == []
        await at.store.set_queue_limit("default", None)
        await at.settle()
        assert at.runtime.running == ["t1"]


@asynchronous
async def test_work_that_is_to_wait_begins_when_its_time_has_come(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", not_before_at=at.clock.now() + 100)
        await at.clock.advance(99)
        assert at.runtime.running == []
        await at.clock.advance(1.1)
        assert at.runtime.running == ["t1"]


@asynchronous
async def test_work_of_another_node_is_left_alone(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", node="elsewhere")
        await at.submit("t2")
        assert at.runtime.running == ["t2"]


@asynchronous
async def test_the_same_work_twice_is_begun_once(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        first, second = await at.submit("t1", "t2", dedupe_key="k")
        assert (first.existing, second.existing, second.task.id) == (False, True, "t1")
        assert at.runtime.running == ["t1"]


@asynchronous
async def test_more_than_one_claim_can_bring_is_taken_in_turns(tmp_path: Path) -> None:
    count = CLAIM_MAX + 3
    async with shop(tmp_path, slots=count) as at:
        await at.store.set_queue_limit("default", 0)
        names = [f"t{n:04d}" for n in range(count)]
        await asyncio.gather(*(at.books.submit(at.new(name)) for name in names))
        await at.store.set_queue_limit("default", None)
        await at.settle()
        assert sorted(at.runtime.running) == names


# ---- how it came out


@asynchronous
async def test_failed_work_is_tried_again_when_its_pause_is_over(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", attempts_max=3, retry={"delaySeconds": 40.0, "delayMaxSeconds": 50.0})
        back = await at.finish("t1", FAILED)
        assert (back.status, back.attempt, back.error) == (Status.QUEUED, 1, "exit code 3")
        await at.clock.advance(29)
        assert at.runtime.running == []
        await at.clock.advance(12)
        assert at.runtime.running == ["t1"]
        await at.finish("t1", FAILED)
        await at.clock.advance(51)
        assert [run.task.attempt for run in at.runtime.runs] == [1, 2, 3]
        assert [run.payload for run in at.runtime.runs] == [{"what": "t1"}] * 3
        last = await at.finish("t1", FAILED)
        assert (last.status, last.attempt) == (Status.FAILED, 3)


@asynchronous
async def test_a_pause_of_nothing_is_no_tight_loop(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", attempts_max=4, retry=NO_PAUSE)
        for _ in range(4):
            await at.finish("t1", FAILED)
            await at.clock.advance(0.2)
        assert (len(at.runtime.runs), await at.status("t1")) == (4, ["failed"])


@asynchronous
async def test_what_never_began_goes_back_and_is_begun_again(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1")
        task = await at.finish("t1", NeverBegan())
        assert (task.status, task.attempt) == (Status.RUNNING, 1)
        assert await at.verbs("t1") == ["create", "claim", "requeue", "claim"]
        assert (await at.finish("t1")).status is Status.SUCCEEDED


@asynchronous
async def test_what_somebody_else_holds_is_left_to_him(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1")
        task = await at.finish("t1", NotHeld())
        assert (task.status, at.books.holds("t1")) == (Status.RUNNING, False)
        assert await at.verbs("t1") == ["create", "claim"]


@asynchronous
async def test_a_runtime_that_breaks_fails_its_task_and_no_other(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", "t2")
        broken = await at.finish("t1", RuntimeError("a fault of ours"))
        assert (broken.status, broken.cause) == (Status.FAILED, Cause.SPAWN_ERROR)
        assert broken.error == "RuntimeError: a fault of ours"
        assert (await at.finish("t2")).status is Status.SUCCEEDED


@asynchronous
async def test_work_nobody_can_do_fails_in_good_words(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", runtime=Runtime.ACP)
        await at.submit("t2", payload=None)
        one, two = await at.task("t1"), await at.task("t2")
        assert (one.status, one.error) == (Status.FAILED, "no runtime for acp here")
        assert (two.status, two.error) == (Status.FAILED, "what was to be run is not on record")


@asynchronous
async def test_an_outcome_that_no_record_can_hold_still_ends_the_task(tmp_path: Path) -> None:
    """Half a surrogate pair in a message cannot be written down; the end must be, all the same."""
    async with shop(tmp_path) as at:
        await at.submit("t1")
        await at.finish("t1", RuntimeError("no such file: \udcff"))
        task = await at.task("t1")
        assert (task.status, at.books.holds("t1")) == (Status.FAILED, False)
        assert task.error == "RuntimeError: no such file: \ufffd"


@asynchronous
async def test_an_end_for_a_task_that_was_forgotten_is_dropped(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", notify=NotifyPolicy.SILENT)
        await at.ledger.lose(await at.task("t1"), Cause.EVIDENCE_GONE, "gone")
        await at.store.prune(["t1"])
        [run] = at.runtime.live("t1")
        run.over.set_result(DONE)
        await at.settle()
        assert not at.books.holds("t1")


@asynchronous
async def test_a_late_outcome_is_a_line_of_history(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1")
        task = await at.task("t1")
        await at.ledger.finish(task, DONE)
        await at.finish("t1", FAILED)
        assert await at.verbs("t1") == ["create", "claim", "succeed", "late"]


# ---- stopping


@asynchronous
async def test_stopping_lets_go_and_records_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1")
        await at.submit("t2", queue="other")
        last = await at.store.last_event_id()
        await at.close()
        assert all(run.over.cancelled() for run in at.runtime.runs)
        at.books = at.make_books()
        await at.store.open()
        assert await at.store.last_event_id() == last
        assert [(await at.store.get_task(name)).status.value for name in ("t1", "t2")] == ["running"] * 2


@asynchronous
async def test_the_next_worker_takes_up_what_this_one_held(tmp_path: Path) -> None:
    async with shop(tmp_path, slots=1) as at:
        await at.submit("t1", "t2")
        await at.restart()
        assert [run.task.id for run in at.runtime.resumed] == ["t1"]
        assert at.runtime.resumed[0].task.claimed_by == "n1/2"
        await at.finish("t1")
        assert await at.verbs("t1") == ["create", "claim", "reclaim", "succeed"]
        assert await at.status("t2") == ["running"]


@asynchronous
async def test_work_handed_in_while_it_stops_stays_in_the_queue(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.books.worker.stop()
        [created] = await at.submit("t1")
        assert created.task.status is Status.QUEUED
        assert at.runtime.runs == []


@pytest.mark.parametrize("how", ["submitted", "claimed"])
@asynchronous
async def test_what_is_being_begun_as_it_stops_is_not_begun_by_it(tmp_path: Path, how: str) -> None:
    """The commit is under way: the work is claimed by a worker that is gone, and the next one settles it."""
    async with shop(tmp_path) as at:
        await at.store.set_queue_limit("default", 0 if how == "claimed" else None)
        await at.settle()
        gate = asyncio.Event()
        if how == "claimed":
            await at.submit("t1")
            at.store.after["claim_tasks"] = gate
            await at.store.set_queue_limit("default", None)
        else:
            at.store.after["create_task"] = gate
        submitting = asyncio.ensure_future(at.books.submit(at.new("t2" if how == "claimed" else "t1")))
        await at.settle()
        stopping = asyncio.ensure_future(at.books.worker.stop())
        await at.settle()
        gate.set()
        await stopping
        await submitting
        await at.settle()
        assert at.runtime.live("t1") == []
        await at.restart()
        assert [run.task.id for run in at.runtime.resumed][:1] == ["t1"]
