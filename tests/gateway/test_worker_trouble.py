"""A store in trouble: what is known waits until it can be written down, and nobody asks in a tight loop."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path

import pytest
from msgspec.structs import replace
from worker_fakes import DONE, FAILED, asynchronous, shop

from outlast.core.errors import Conflict, GatewayTrouble
from outlast.core.session import Status
from outlast.gateway.worker import TRY_AGAIN_MAX
from outlast.runtimes.base import NeverBegan
from watched_store import trouble

CODES = ["store_busy", "store_full", "store_read_only", "store_unreachable", "store_damaged", "store_error"]


@pytest.mark.parametrize("code", CODES)
@asynchronous
async def test_an_outcome_is_kept_until_it_is_recorded(tmp_path: Path, code: str) -> None:
    """A command that ran for a day must not be lost to a full disk in its last second."""
    async with shop(tmp_path) as at:
        await at.submit("t1")
        at.store.failing["apply"] = trouble(code)
        [run] = at.runtime.live("t1")
        run.over.set_result(DONE)
        await at.clock.advance(3600)
        assert (await at.status("t1"), at.books.holds("t1")) == (["running"], True)
        del at.store.failing["apply"]
        await at.clock.advance(TRY_AGAIN_MAX)
        assert (await at.status("t1"), at.books.holds("t1")) == (["succeeded"], False)
        assert await at.verbs("t1") == ["create", "claim", "succeed"]


@asynchronous
async def test_a_long_outage_costs_few_tries(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1")
        at.store.failing["apply"] = trouble()
        [run] = at.runtime.live("t1")
        run.over.set_result(DONE)
        await at.settle()
        before = at.store.calls["apply"]
        await at.clock.advance(3600)
        assert at.store.calls["apply"] - before <= 10 + 3600 / TRY_AGAIN_MAX


@asynchronous
async def test_the_moment_of_the_end_is_that_of_the_end_however_late_it_is_recorded(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1")
        at.store.failing["apply"] = trouble()
        [run] = at.runtime.live("t1")
        ended_at = at.clock.now()
        run.over.set_result(replace(DONE, at=ended_at))
        await at.clock.advance(60)
        del at.store.failing["apply"]
        await at.clock.advance(30)
        assert (await at.task("t1")).ended_at == ended_at


@asynchronous
async def test_a_start_that_never_was_waits_to_be_recorded_too(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1")
        at.store.failing["apply"] = trouble()
        [run] = at.runtime.live("t1")
        run.over.set_exception(NeverBegan())
        await at.clock.advance(10)
        del at.store.failing["apply"]
        await at.clock.advance(30)
        assert await at.verbs("t1") == ["create", "claim", "requeue", "claim"]


@asynchronous
async def test_claims_are_tried_again_until_the_store_is_back(tmp_path: Path) -> None:
    async with shop(tmp_path, slots=1) as at:
        await at.submit("t1", "t2")
        at.store.failing["claim_tasks"] = trouble()
        await at.finish("t1")
        before = at.store.calls["claim_tasks"]
        await at.clock.advance(3600)
        assert at.store.calls["claim_tasks"] - before <= 10 + 3600 / TRY_AGAIN_MAX
        del at.store.failing["claim_tasks"]
        await at.clock.advance(TRY_AGAIN_MAX)
        assert at.runtime.running == ["t2"]


@asynchronous
async def test_a_fault_in_a_claim_does_not_end_the_claiming(tmp_path: Path) -> None:
    async with shop(tmp_path, slots=1) as at:
        await at.submit("t1", "t2")
        at.store.failing["claim_tasks"] = RuntimeError("a bad row")
        await at.finish("t1")
        del at.store.failing["claim_tasks"]
        await at.clock.advance(TRY_AGAIN_MAX)
        assert at.runtime.running == ["t2"]


@asynchronous
async def test_whoever_hands_in_work_hears_of_the_trouble_and_no_slot_is_lost(tmp_path: Path) -> None:
    async with shop(tmp_path, slots=1) as at:
        at.store.failing["create_task"] = trouble("store_full")
        for _ in range(3):
            with pytest.raises(GatewayTrouble):
                await at.books.submit(at.new("t1"))
        del at.store.failing["create_task"]
        [created] = await at.submit("t1")
        assert created.task.status is Status.RUNNING


@asynchronous
async def test_an_id_that_is_taken_costs_no_slot(tmp_path: Path) -> None:
    async with shop(tmp_path, slots=2) as at:
        await at.submit("t1")
        with pytest.raises(Conflict):
            await at.books.submit(at.new("t1"))
        await at.submit("t2")
        assert at.runtime.running == ["t1", "t2"]


@asynchronous
async def test_progress_that_cannot_be_recorded_harms_nobody(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1")
        [run] = at.runtime.live("t1")
        at.store.failing.update(note_progress=trouble(), note_seen=trouble(), append_event=trouble())
        run.hands.progress(10, None)
        run.hands.began({"sessionId": "s1"})
        await at.clock.advance(61)
        run.hands.progress(None, None)
        await at.settle()
        at.store.failing.clear()
        run.hands.progress(20, None)
        await at.settle()
        assert (await at.task("t1")).progress == 20
        assert (await at.finish("t1")).status is Status.SUCCEEDED


@asynchronous
async def test_whether_work_has_begun_is_never_guessed(tmp_path: Path) -> None:
    """With its history out of reach the answer is waited for: a wrong one would run the work twice, or lose it."""
    async with shop(tmp_path) as at:
        await at.submit("t1")
        [run] = at.runtime.live("t1")
        run.hands.began({"sessionId": "s1"})
        await at.settle()
        at.store.failing["events_of"] = trouble()
        asking = asyncio.ensure_future(run.hands.has_begun())
        await at.clock.advance(100)
        assert not asking.done()
        at.store.failing.clear()
        await at.clock.advance(30)
        assert await asking is True


@asynchronous
async def test_a_round_that_fails_is_followed_by_another(tmp_path: Path) -> None:
    async with shop(tmp_path) as at:
        await at.submit("t1", not_before_at=at.clock.now() + 30, queue="later")
        at.store.failing["*"] = trouble()
        await at.clock.advance(40)
        at.store.failing.clear()
        await at.clock.advance(40)
        assert at.runtime.running == ["t1"]


# ---- opening


@pytest.mark.parametrize("where", ["open", "running_tasks"])
@asynchronous
async def test_a_gateway_starts_without_its_store_and_opens_it_later(tmp_path: Path, where: str) -> None:
    """Commands run without the ledger; it must not keep them from being run."""
    async with shop(tmp_path, failing={where: trouble()}) as at:
        with pytest.raises(GatewayTrouble):
            await at.books.submit(at.new("t1"))
        await at.clock.advance(3600)
        assert 100 <= at.store.calls[where] <= 10 + 3600 / TRY_AGAIN_MAX
        assert at.store.calls["open"] == (1 if where == "running_tasks" else at.store.calls[where])
        at.store.failing.clear()
        await at.clock.advance(30)
        [created] = await at.submit("t1")
        assert created.task.status is Status.RUNNING
        await at.finish("t1", FAILED)


@pytest.mark.parametrize("code", ["store_newer", "store_damaged"])
@asynchronous
async def test_trouble_that_does_not_pass_is_not_tried_again(tmp_path: Path, code: str) -> None:
    lasting = trouble(code)
    lasting.retryable = False
    async with shop(tmp_path, failing={"open": lasting}) as at:
        await at.clock.advance(3600)
        assert at.store.calls["open"] == 1
        with pytest.raises(GatewayTrouble) as caught:
            at.books.store  # noqa: B018
        assert caught.value.code == code


@asynchronous
async def test_a_fault_in_what_is_taken_up_costs_the_tasks_only(tmp_path: Path) -> None:
    async with shop(tmp_path, failing={"running_tasks": ValueError("a row nobody can read")}) as at:
        with pytest.raises(GatewayTrouble, match="a row nobody can read"):
            at.books.store  # noqa: B018


@asynchronous
async def test_trouble_that_is_told_again_and_again_does_not_grow(tmp_path: Path) -> None:
    """Every caller hears the same error; raised as it is it would collect the frames of all of them."""
    async with shop(tmp_path, failing={"open": trouble()}) as at:
        depths = []
        for _ in range(50):
            try:
                at.books.ledger  # noqa: B018
            except GatewayTrouble as told:
                depths.append(len(list(traceback.walk_tb(told.__traceback__))))
        assert max(depths) == depths[0]


@asynchronous
async def test_what_outlived_its_call_meanwhile_is_recorded_once_the_store_is_there(tmp_path: Path) -> None:
    async with shop(tmp_path, failing={"open": trouble()}) as at:
        session = await at.session()
        assert at.sessions.held == [session.id]
        at.store.failing.clear()
        await at.clock.advance(60)
        assert at.sessions.held == []
        assert await at.status("t" + session.id[1:]) == ["running"]


# ---- rest


@asynchronous
async def test_a_worker_at_rest_asks_nothing(tmp_path: Path) -> None:
    """With work running, waiting, and paused: an idle gateway costs nothing but a slow round now and then."""
    async with shop(tmp_path, slots=2) as at:
        await at.store.set_queue_limit("paused", 0)
        await at.submit("t1", "t2", "t3")
        await at.submit("t4", queue="paused")
        await at.submit("t5", not_before_at=at.clock.now() + 1e6)
        await at.clock.advance(1)
        before = sum(at.store.calls.values())
        await at.clock.advance(590)
        assert sum(at.store.calls.values()) - before == 0
        await at.clock.advance(3600)
        assert sum(at.store.calls.values()) - before <= 7 * 6


@asynchronous
async def test_with_leases_there_is_one_round_for_each_third_of_one(tmp_path: Path) -> None:
    async with shop(tmp_path, lease_seconds=60.0) as at:
        await at.submit("t1")
        await at.clock.advance(1)
        before = at.store.calls.copy()
        await at.clock.advance(600)
        spent = at.store.calls - before
        assert 28 <= spent["renew_leases"] <= 31
        assert sum(spent.values()) <= 31 * 7
        assert set(spent) <= {
            "renew_leases", "look_around", "cancel_asked", "past_deadline", "expired_leases", "next_due"
        }  # fmt: skip
