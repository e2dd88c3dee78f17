"""Rounds: what is due is seen to when it is due, leases never run out on a worker that lives, and wishes are heeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from worker_fakes import DONE, FAILED, STOPPED, Shop, asynchronous, shop

from outlast.core.errors import GatewayTrouble
from outlast.core.session import Cause, Status
from outlast.core.task import Runtime
from outlast.gateway.rounds import LATE_MAX

# ---- deadlines


@asynchronous
async def test_queued_work_is_called_off_at_its_deadline(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.store.set_queue_limit("paused", 0)
        await at.submit("t1", queue="paused", deadline_at=at.clock.now() + 50)
        await at.clock.advance(49)
        assert await at.status("t1") == ["queued"]
        await at.clock.advance(2)
        task = await at.task("t1")
        assert (task.status, task.cause) == (Status.CANCELLED, Cause.DEADLINE)
        assert await at.store.payload_of("t1") is None


@asynchronous
async def test_running_work_is_ended_at_its_deadline_and_timed_out(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", deadline_at=at.clock.now() + 50, attempts_max=5)
        await at.clock.advance(52)
        task = await at.task("t1")
        assert (task.status, task.cause, task.attempt) == (Status.TIMED_OUT, Cause.DEADLINE, 1)
        assert at.runtime.cancelled == [("t1", "deadline")]
        assert task.cancel_asked_at is None


@asynchronous
async def test_outside_work_is_timed_out_at_its_deadline(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        new = at.new("t1", runtime=Runtime.EXTERNAL, deadline_at=at.clock.now() + 50)
        await at.ledger.record_running(new, leased=False)
        at.books.look()
        await at.settle()
        await at.clock.advance(52)
        task = await at.task("t1")
        assert (task.status, task.cause) == (Status.TIMED_OUT, Cause.DEADLINE)
        assert at.runtime.cancelled == []


@asynchronous
async def test_failed_work_waits_for_its_next_attempt_and_is_called_off_there(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        retry = {"delaySeconds": 30.0, "delayMaxSeconds": 30.0}
        await at.submit("t1", deadline_at=at.clock.now() + 50, attempts_max=5, retry=retry)
        await at.finish("t1", FAILED)
        await at.store.set_queue_limit("default", 0)
        await at.clock.advance(52)
        task = await at.task("t1")
        assert (task.status, task.cause, task.attempt) == (Status.CANCELLED, Cause.DEADLINE, 1)


@asynchronous
async def test_what_is_due_and_cannot_be_helped_hides_nothing_for_long(tmp_path: Path) -> None:
    """A deadline passes for work that does not obey; another one, later, must be seen to all the same."""
    async with shop(tmp_path) as at:
        await at.store.set_queue_limit("paused", 0)
        at.runtime.obeys = False
        await at.submit("t1", deadline_at=at.clock.now() + 10)
        await at.submit("t2", queue="paused", deadline_at=at.clock.now() + 200)
        await at.clock.advance(200 + LATE_MAX + 1)
        assert await at.status("t1", "t2") == ["running", "cancelled"]


@asynchronous
async def test_what_does_not_obey_is_no_reason_for_a_tight_loop(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        at.runtime.obeys = False
        await at.submit("t1", deadline_at=at.clock.now() + 10)
        await at.clock.advance(60)
        before = at.store.calls["next_due"]
        await at.clock.advance(600)
        assert at.store.calls["next_due"] - before <= 600 / LATE_MAX + 1


# ---- wishes of others


@asynchronous
async def test_a_wish_on_record_is_heeded_at_the_next_round(tmp_path: Path) -> None:
    """Somebody at another gateway wants it ended; he cannot reach it himself."""
    async with shop(tmp_path) as at:
        await at.submit("t1")
        await at.store.ask_cancel("t1", at.clock.now())
        await at.clock.advance(601)
        assert at.runtime.cancelled == [("t1", "operator")]
        assert await at.status("t1") == ["cancelled"]


@asynchronous
async def test_a_calling_off_that_meets_trouble_is_tried_again(tmp_path: Path) -> None:
    """Nothing else would come back to it before the next slow round: its work would go on for minutes."""
    async with shop(tmp_path) as at:
        await at.submit("t1")
        call_off, troubles = at.runtime.cancel, iter([GatewayTrouble("the store is locked", code="store_busy")])

        async def troubled(*given: Any) -> None:
            for trouble in troubles:
                raise trouble
            await call_off(*given)

        at.runtime.cancel = troubled  # type: ignore[method-assign]
        at.books.worker.call_off_soon(await at.task("t1"), Cause.OPERATOR)
        await at.settle()
        assert at.runtime.cancelled == []
        await at.clock.advance(10)
        await at.settle()
        assert await at.status("t1") == ["cancelled"]


@asynchronous
async def test_an_end_that_takes_its_time_is_asked_for_once_and_holds_nobody_up(tmp_path: Path) -> None:
    """A command may have an hour to end in; meanwhile leases are renewed and other work is ended."""
    async with shop(tmp_path, lease_seconds=60.0) as at:
        at.runtime.stubborn = asyncio.Event()
        await at.submit("t1", "t2")
        await at.store.ask_cancel("t1", at.clock.now())
        await at.clock.advance(300)
        assert at.runtime.cancelled == [("t1", "operator")]
        await at.store.ask_cancel("t2", at.clock.now())
        await at.clock.advance(30)
        assert at.runtime.cancelled == [("t1", "operator"), ("t2", "operator")]
        assert await at.store.expired_leases(at.clock.now(), 10) == []
        at.runtime.stubborn.set()
        await at.settle()
        assert await at.status("t1", "t2") == ["cancelled", "cancelled"]


# ---- leases, among nodes


@asynccontextmanager
async def two(folder: Path, lease_seconds: float = 60.0) -> AsyncIterator[tuple[Shop, Shop]]:
    """Two gateways of two homes that share a ledger, and one clock."""
    homes = [folder / "one", folder / "two"]
    for home in homes:
        home.mkdir()
    options = {"file": folder / "shared.db", "lease_seconds": lease_seconds}
    async with (
        shop(homes[0], node="n1", **options) as first,
        shop(homes[1], node="n2", clock=first.clock, **options) as second,
    ):

        async def both() -> None:
            await first.settle()
            await second.settle()

        first.clock.settle = both
        yield first, second


@asynchronous
async def test_work_is_shared_and_done_once(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second):
        await first.store.set_queue_limit("default", 0)
        await first.submit(*[f"t{n:02d}" for n in range(16)])
        await second.store.set_queue_limit("default", None)
        await first.clock.advance(61)
        running = [*first.runtime.running, *second.runtime.running]
        assert sorted(running) == [f"t{n:02d}" for n in range(16)]
        assert len(first.runtime.running) == len(second.runtime.running) == 8


@asynchronous
async def test_two_that_share_a_ledger_do_not_keep_each_other_awake(tmp_path: Path) -> None:
    """Each renews the leases of its work; to notice that is no reason for the other to do so, too."""
    async with two(tmp_path) as (first, second):
        await first.submit("t1")
        await second.submit("t2")
        await first.clock.advance(30)
        before = first.store.calls + second.store.calls
        await first.clock.advance(120)
        spent = first.store.calls + second.store.calls - before
        assert 12 <= spent["renew_leases"] <= 14
        assert spent["look_around"] <= 40


@pytest.mark.parametrize("after", [0.0, 0.01, 1.0, 19.0, 59.0, 59.99])
@asynchronous
async def test_a_lease_never_runs_out_on_a_worker_that_lives(tmp_path: Path, after: float) -> None:
    """Whenever between two rounds the work was claimed: the other node looks for the very moment it runs out."""
    async with two(tmp_path) as (first, second):
        await first.clock.advance(61 + after)
        await first.submit("t1", node="n1")
        await second.clock.advance(0.1)
        second.books.look()
        for _ in range(40):
            await first.clock.advance(7.5)
            assert await second.store.expired_leases(first.clock.now(), 10) == []
        assert await first.status("t1") == ["running"]


@asynchronous
async def test_a_node_that_is_gone_loses_its_work_to_nobody(tmp_path: Path) -> None:
    """It may still run over there: it is given up, never run again."""
    async with two(tmp_path) as (first, second):
        await first.submit("t1")
        await first.close()
        first.clock.settle = second.settle
        await second.clock.advance(59)
        assert await second.status("t1") == ["running"]
        await second.clock.advance(LATE_MAX + 20)
        task = await second.task("t1")
        assert (task.status, task.cause) == (Status.LOST, Cause.LEASE_EXPIRED)
        assert task.error is not None and task.error.startswith("worker n1/1 on node n1 let its lease run out")
        assert second.runtime.running == []
        first.books = first.make_books()
        await first.store.open()


@asynchronous
async def test_a_node_that_comes_back_knows_better(tmp_path: Path) -> None:
    """Its work was given up while it was away. The truth about it is found there, and replaces *lost*."""
    async with two(tmp_path) as (first, second):
        await first.submit("t1", "t2")
        await second.ledger.lose(await second.task("t1"), Cause.LEASE_EXPIRED, "away")
        await second.ledger.lose(await second.task("t2"), Cause.LEASE_EXPIRED, "away")
        await first.finish("t1", DONE)
        assert await second.status("t1", "t2") == ["succeeded", "lost"]
        await first.restart()
        assert [run.task.id for run in first.runtime.resumed] == ["t2"]
        await first.finish("t2", FAILED)
        assert await second.status("t2") == ["failed"]
        assert (await second.verbs("t2"))[-2:] == ["lose", "recover"]


@asynchronous
async def test_a_node_that_comes_back_and_finds_nothing_says_nothing(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second):
        await first.submit("t1")
        await second.ledger.lose(await second.task("t1"), Cause.LEASE_EXPIRED, "away")
        await first.restart()
        lost = STOPPED.__class__(status=Status.LOST, cause=Cause.EVIDENCE_GONE)
        before = await second.verbs("t1")
        [run] = first.runtime.live("t1")
        run.over.set_result(lost)
        assert await second.verbs("t1") == before
        assert not first.books.holds("t1")


@asynchronous
async def test_a_claim_whose_answer_got_lost_is_taken_up(tmp_path: Path) -> None:
    """The connection broke after the commit: nobody knows that the work is his until its lease runs out."""
    async with shop(tmp_path, lease_seconds=60.0) as at:
        await at.store.set_queue_limit("default", 0)
        await at.submit("t1")
        await at.store.set_queue_limit("default", None)
        await at.books.worker.stop()
        [taken] = await at.ledger.claim(1)
        at.books.worker._open = True
        await at.clock.advance(59)
        assert at.runtime.resumed == []
        await at.clock.advance(30)
        assert [run.task.id for run in at.runtime.resumed] == ["t1"]
        assert at.runtime.resumed[0].task.claim_id != taken.task.claim_id


@asynchronous
async def test_a_wish_from_another_gateway_reaches_the_one_that_holds_the_work(tmp_path: Path) -> None:
    async with two(tmp_path) as (first, second):
        await first.submit("t1")
        asked = await second.ask("tasks.cancel", "t1")
        assert (asked.status, asked.cancel_asked_at is not None) == ("running", True)
        await first.clock.advance(21)
        assert await second.status("t1") == ["cancelled"]
