"""What may happen to a task: fences, late reports, second chances, and the wish to call it off."""

from __future__ import annotations

import msgspec
import pytest
from api_fakes import asynchronous
from ledger_fakes import DONE, FAILED, SINCE, ledgers

from outlast.core.errors import BadInput, NotFound
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, NotifyPolicy, Runtime

Address = tuple[str, str]
LOST = Outcome(status=Status.LOST, cause=Cause.EVIDENCE_GONE, error="nothing is there")
STOPPED = Outcome(status=Status.CANCELLED, cause=Cause.OPERATOR)


@asynchronous
async def test_the_write_of_a_stale_worker_is_refused_by_its_fence(address: Address) -> None:
    """A worker that was thought dead must not end what another one has taken over: it leaves a line, no more."""
    async with ledgers(address) as at:
        stale = await at.one.begun(node=None)
        held = await at.two.reclaim(stale)
        assert held is not None and held.claim_id != stale.claim_id
        recorded = await at.one.finish(stale, FAILED)
        assert (recorded.how, recorded.task.status, recorded.task.claim_id) == ("late", Status.RUNNING, held.claim_id)
        event = (await at.one.store.events_of("t1"))[-1]
        assert (event.verb, event.status) == ("late", None)
        assert event.data == {"status": "failed", "cause": "exit", "exitCode": 3, "claimId": stale.claim_id}
        assert await at.one.renew([str(stale.claim_id)]) == set()
        assert await at.one.progress("t1", 50, None, claim_id=stale.claim_id) is None
        assert await at.one.attach(stale, "s1") is None
        assert await at.one.never_began(stale) is None
        assert (await at.two.finish(held, DONE)).how == "ended"
        assert await at.two.verbs() == ["create", "claim", "reclaim", "late", "succeed"]


@asynchronous
async def test_of_two_that_take_over_one_gets_it(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun()
        assert await at.two.reclaim(task) is not None
        assert await at.one.reclaim(task) is None


@asynchronous
async def test_a_second_end_changes_nothing(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun()
        first = await at.one.finish(task, DONE)
        at.clock.at += 5
        second = await at.one.finish(task, FAILED)
        assert (second.how, second.task) == ("late", first.task)
        assert await at.one.verbs() == ["create", "claim", "succeed", "late"]
        assert "claimId" not in (await at.one.store.events_of("t1"))[-1].data


@pytest.mark.parametrize("outcome", [DONE, FAILED, STOPPED])
@asynchronous
async def test_late_truth_replaces_lost(address: Address, outcome: Outcome) -> None:
    """Its worker was only out of reach: what it saw counts, and whoever was told of a loss is told better."""
    async with ledgers(address) as at:
        task = await at.one.begun(notify=NotifyPolicy.FAILURES_ONLY)
        at.clock.at += 61
        [expired] = await at.two.store.expired_leases(at.clock.now(), 10)
        assert await at.two.lose(expired, Cause.LEASE_EXPIRED, "no sign of n1") is not None
        at.clock.at += 1
        recorded = await at.one.finish(task, msgspec.structs.replace(outcome, at=SINCE + 30))
        assert (recorded.how, recorded.task.status) == ("recovered", outcome.status)
        assert (recorded.task.ended_at, recorded.task.error) == (SINCE + 30, outcome.error)
        kinds = [(row.kind, row.body["status"]) for row in await at.two.store.pending_outbox(10)]
        assert kinds == [("ended", "lost"), ("corrected", outcome.status.value)]
        again = msgspec.structs.replace(outcome, at=SINCE + 30)
        assert (await at.one.finish(task, again, repeated=True)).how == "ended"  # the answer to the first was lost
        assert (await at.one.finish(task, again)).how == "late"


@asynchronous
async def test_not_knowing_is_no_truth(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun()
        lost = (await at.one.finish(task, LOST)).task
        assert (lost.status, lost.error, lost.ended_at) == (Status.LOST, "nothing is there", SINCE)
        assert await at.one.recover(lost, LOST) is None
        assert (await at.one.finish(task, LOST, repeated=True)).how == "ended"
        assert (await at.one.finish(task, LOST)).how == "late"


@asynchronous
async def test_a_requeue_whose_answer_was_lost_is_not_reported_as_late(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun(attempts_max=3)
        assert (await at.one.finish(task, FAILED)).how == "requeued"
        assert (await at.one.finish(task, FAILED, repeated=True)).how == "requeued"
        assert await at.one.verbs() == ["create", "claim", "requeue"]
        assert (await at.one.finish(task, FAILED)).how == "late"


@asynchronous
async def test_an_end_is_never_in_the_future(address: Address) -> None:
    """The moment comes from another clock: one that runs ahead must not make an end that is still to come."""
    async with ledgers(address) as at:
        ahead = await at.one.finish(await at.one.begun("t1"), msgspec.structs.replace(DONE, at=SINCE + 500))
        before = await at.one.finish(await at.one.begun("t2"), msgspec.structs.replace(DONE, at=SINCE - 0.5))
        assert (ahead.task.ended_at, before.task.ended_at) == (SINCE, SINCE - 0.5)


@asynchronous
async def test_a_recovered_end_is_never_in_the_future_either(address: Address) -> None:
    async with ledgers(address) as at:
        lost = (await at.one.finish(await at.one.begun(), LOST)).task
        found = await at.one.recover(lost, msgspec.structs.replace(DONE, at=SINCE + 500))
        assert found is not None and found.ended_at == SINCE


@asynchronous
async def test_failed_work_with_attempts_left_goes_back_to_its_queue(address: Address) -> None:
    async with ledgers(address) as at:
        retry: dict[str, object] = {"delaySeconds": 8.0, "delayMaxSeconds": 60.0}
        task = await at.one.begun(attempts_max=2, retry=retry, session_id="s1", payload={"a": 1})
        recorded = await at.one.finish(task, FAILED)
        again = recorded.task
        assert (recorded.how, again.status, again.attempt, again.session_id) == ("requeued", Status.QUEUED, 1, None)
        assert again.not_before_at is not None and SINCE + 6 <= again.not_before_at <= SINCE + 8
        assert (again.error, again.claim_id, again.lease_until) == ("exit code 3", None, None)
        assert await at.one.claim(1) == []
        at.clock.at += 8
        [taken] = await at.one.claim(1)
        assert (taken.task.attempt, taken.payload) == (2, {"a": 1})
        last = await at.one.finish(taken.task, FAILED)
        assert (last.how, last.task.status) == ("ended", Status.FAILED)
        assert await at.one.verbs() == ["create", "claim", "requeue", "claim", "fail"]
        assert await at.one.store.payload_of("t1") is None


@pytest.mark.parametrize("outcome", [DONE, STOPPED, LOST])
@asynchronous
async def test_only_failures_are_tried_again(address: Address, outcome: Outcome) -> None:
    async with ledgers(address) as at:
        recorded = await at.one.finish(await at.one.begun(attempts_max=9), outcome)
        assert (recorded.how, recorded.task.status) == ("ended", outcome.status)


@asynchronous
async def test_a_start_that_never_was_costs_no_attempt(address: Address) -> None:
    async with ledgers(address) as at:
        back = await at.one.never_began(await at.one.begun())
        assert back is not None and (back.status, back.attempt, back.not_before_at) == (Status.QUEUED, 0, None)
        [taken] = await at.one.claim(1)
        assert (taken.task.attempt, (await at.one.store.events_of("t1"))[-2].data) == (1, {"neverBegan": True})


@pytest.mark.parametrize("how", ["failed", "never began"])
@asynchronous
async def test_a_wish_to_cancel_is_heeded_when_the_work_goes_back_to_its_queue(address: Address, how: str) -> None:
    """Else the attempt that failed in the moment it was called off would be followed by another at.one."""
    async with ledgers(address) as at:
        task = await at.one.begun(attempts_max=3)
        asked = await at.two.cancel(task, Cause.OPERATOR)
        assert (asked.status, asked.cancel_asked_at) == (Status.RUNNING, SINCE)
        if how == "failed":
            recorded = await at.one.finish(task, FAILED)
            assert recorded.how == "ended"
        else:
            await at.one.never_began(task)
        stands = await at.one.require("t1")
        assert (stands.status, stands.cause) == (Status.CANCELLED, Cause.OPERATOR)
        assert await at.two.claim(1) == []


@asynchronous
async def test_queued_work_is_called_off_at_once(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.make(payload={"a": 1})
        ended = await at.two.cancel(task, Cause.PARENT, "the parent was called off")
        assert (ended.status, ended.cause, ended.detail) == (
            Status.CANCELLED, Cause.PARENT, {"reason": "the parent was called off"},
        )  # fmt: skip
        assert await at.one.claim(1) == [] and await at.one.store.payload_of("t1") is None


@asynchronous
async def test_work_that_is_claimed_meanwhile_is_asked_to_end(address: Address) -> None:
    """Whoever calls it off saw it queued; by now a worker holds it, and only that one may end it."""
    async with ledgers(address) as at:
        seen = await at.one.make()
        [taken] = await at.two.claim(1)
        asked = await at.one.cancel(seen, Cause.OPERATOR)
        assert (asked.status, asked.cancel_asked_at) == (Status.RUNNING, SINCE)
        assert (await at.two.finish(taken.task, STOPPED)).task.status is Status.CANCELLED


@asynchronous
async def test_a_deadline_that_comes_too_late_asks_for_nothing(address: Address) -> None:
    """Work that was claimed in the last moment answers for its deadline itself: nobody wished to cancel it."""
    async with ledgers(address) as at:
        seen = await at.one.make(deadline_at=SINCE + 5)
        await at.two.claim(1)
        stands = await at.one.cancel(seen, Cause.DEADLINE)
        assert (stands.status, stands.cancel_asked_at) == (Status.RUNNING, None)


@asynchronous
async def test_what_has_ended_stays_as_it_is_when_it_is_called_off(address: Address) -> None:
    async with ledgers(address) as at:
        seen = await at.one.begun()
        done = (await at.one.finish(seen, DONE)).task
        assert await at.two.cancel(done, Cause.OPERATOR) == done
        assert await at.two.cancel(seen, Cause.OPERATOR) == done


@asynchronous
async def test_outside_work_is_held_by_nobody(address: Address) -> None:
    """It has no lease that could run out, and ends at once when it is called off: there is nobody to ask."""
    async with ledgers(address) as at:
        task = await at.one.begun("t0")
        new = {"runtime": Runtime.EXTERNAL, "kind": "ci", "source": "report", "requester": "local"}
        made = await at.one.record_running(
            msgspec.convert({**new, "id": "t1", "created_at": SINCE, "notify": "done_only"}, type=NewTask),
            leased=False,
        )
        assert (made.task.status, made.task.lease_until) == (Status.RUNNING, None)
        at.clock.at += 10_000
        assert [late.id for late in await at.two.store.expired_leases(at.clock.now(), 10)] == [task.id]
        ended = await at.two.cancel(made.task, Cause.OPERATOR)
        assert ended.status is Status.CANCELLED
        assert (await at.one.finish(made.task, DONE)).how == "late"


@asynchronous
async def test_what_json_cannot_hold_is_refused_in_good_words(address: Address) -> None:
    async with ledgers(address) as at:
        with pytest.raises(BadInput) as caught:
            await at.one.make(title="\udcff")
        assert caught.value.code == "not_text"
        assert (await at.one.make("t2")).status is Status.QUEUED


@asynchronous
async def test_a_task_that_was_forgotten_is_not_found(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun(notify=NotifyPolicy.SILENT)
        await at.one.finish(task, DONE)
        assert await at.one.store.prune(["t1"]) == 1
        with pytest.raises(NotFound):
            await at.one.finish(task, DONE)
        with pytest.raises(NotFound):
            await at.one.require("t1")


@asynchronous
async def test_a_ledger_without_leases_has_nothing_to_renew(address: Address) -> None:
    """The home's own file: its lock is the lease, and an idle gateway writes nothing."""
    async with ledgers(address) as at:
        at.one.lease_seconds = None
        task = await at.one.begun()
        assert task.lease_until is None
        assert await at.one.renew([str(task.claim_id)]) == {task.claim_id}
        at.clock.at += 1e6
        assert await at.two.store.expired_leases(at.clock.now(), 10) == []


@asynchronous
async def test_claim_ids_are_never_the_same(address: Address) -> None:
    async with ledgers(address) as at:
        names = [ledger.new_claim() for ledger in (at.one, at.two) for _ in range(1000)]
        assert len(set(names)) == 2000
        assert len({at.one.new_id() for _ in range(2000)}) == 2000
