"""Questions that somebody answers once, and the work that is held for the answer. The same for all stores."""

from __future__ import annotations

import asyncio
import json

import pytest

from outlast.core.approval import HELD_UNTIL, ApprovalFilter, ApprovalKind, ApprovalStatus
from outlast.core.errors import BadInput, Conflict
from outlast.core.flow import StepKind
from outlast.core.lifecycle import FlowVerb, IllegalMove, Verb
from outlast.core.session import Cause, Status
from outlast.core.task import Notice, Runtime, TaskFilter
from outlast.store.base_flows import Child
from store.flow_fakes import everything, move, question, running, verdict, waiting_for
from store.store_fakes import claim as task_claim
from store.store_fakes import move as task_move
from store.store_fakes import new as new_task

APPROVED, REJECTED, EXPIRED = ApprovalStatus.APPROVED, ApprovalStatus.REJECTED, ApprovalStatus.EXPIRED
CANCELLED, PENDING = ApprovalStatus.CANCELLED, ApprovalStatus.PENDING


async def test_a_question_is_put_on_record_whole_and_told_to_its_conversation(store):
    asked = question(
        1, kind=ApprovalKind.ACP, conversation="agent:a:work", preview="| rm", step="s", detail={"options": ["once"]},
        expires_at=9e6,
    )  # fmt: skip
    answer = await store.ask_approval(asked)
    assert (answer.approval, answer.task, answer.existing) == (asked, None, False)
    assert await store.get_approval(asked.id) == asked
    [notice] = await store.pending_outbox(10)
    assert (notice.kind, notice.target, notice.task_id) == ("approval_asked", "agent:a:work", asked.id)
    assert (notice.idempotency_key, notice.event_id) == (f"{asked.id}:asked", 0)
    await store.ask_approval(question(2))
    assert (await store.pending_outbox(10))[1].target == "agent:a:main"


async def test_a_second_question_with_the_same_id_is_refused(store):
    await store.ask_approval(question(1))
    with pytest.raises(Conflict, match=question(1).id) as caught:
        await store.ask_approval(question(1, prompt="other"), new_task(1))
    assert caught.value.code == "approval_exists"
    assert await store.get_task(new_task(1).id) is None
    assert (await store.get_approval(question(1).id)).prompt == "Ship it?"


@pytest.mark.parametrize("status", [APPROVED, REJECTED, CANCELLED])
async def test_a_question_is_answered_once(store, status):
    await store.ask_approval(question(1))
    told = await store.decide(verdict(question(1).id, status, note="why not"))
    assert told == await store.get_approval(question(1).id)
    assert (told.status, told.decided_at, told.decided_by, told.decided_how) == (status, 2_000_100.0, "ann", "cli")
    assert (told.note, told.revision) == ("why not", 2)
    for again in ApprovalStatus:
        if again is not PENDING:
            assert await store.decide(verdict(question(1).id, again)) is None
    assert await store.get_approval(question(1).id) == told
    assert [row.idempotency_key.split(":")[1] for row in await store.pending_outbox(10)] == ["asked", str(status)]
    with pytest.raises(IllegalMove):
        await store.decide(verdict(question(1).id, PENDING))


async def test_of_answers_at_once_one_counts(store):
    await store.ask_approval(question(1))
    given = [verdict(question(1).id, status, by=by) for status in (APPROVED, REJECTED) for by in ("ann", "bob")]
    answers = await asyncio.gather(*map(store.decide, given))
    [counted] = [answer for answer in answers if answer is not None]
    assert counted == await store.get_approval(question(1).id)


async def test_an_answer_is_for_the_question_as_it_was_read(store):
    await store.ask_approval(question(1))
    assert await store.decide(verdict(question(1).id, revision=2)) is None
    assert await store.decide(verdict("unknown")) is None
    assert (await store.decide(verdict(question(1).id, revision=1))).status is APPROVED


async def test_what_has_passed_is_not_answered_any_more_and_nothing_expires_early(store):
    for number in (1, 2, 3):
        await store.ask_approval(question(number, expires_at=2_000_050.0 if number < 3 else None))
    early, late, never = (question(number).id for number in (1, 2, 3))
    assert await store.decide(verdict(early, EXPIRED, at=2_000_049.0)) is None
    assert await store.decide(verdict(never, EXPIRED)) is None
    assert (await store.decide(verdict(early, at=2_000_049.0))).status is APPROVED
    assert await store.decide(verdict(late, at=2_000_050.0)) is None
    assert await store.decide(verdict(late, REJECTED, at=2_000_050.0)) is None
    assert (await store.decide(verdict(late, EXPIRED, at=2_000_050.0))).status is EXPIRED


async def test_expiries_come_due_in_their_order(store):
    for number, moment in ((1, 2_000_300.0), (2, 2_000_200.0), (3, None), (4, 2_000_200.0)):
        await store.ask_approval(question(number, expires_at=moment))
    assert await store.next_approval_due() == 2_000_200.0
    assert await store.next_approval_due(after=2_000_200.0) == 2_000_300.0
    assert await store.due_approvals(2_000_199.0, 10) == []
    assert [one.id for one in await store.due_approvals(2_000_300.0, 2)] == [question(2).id, question(4).id]
    for number in (1, 2, 4):
        await store.decide(verdict(question(number).id, CANCELLED))
    assert await store.next_approval_due() is None


# ---- what waits for the answer


async def test_a_flow_hears_the_answer_to_its_question(store):
    """The step has the whole answer; nobody else is told of it, for the flow tells what comes of it."""
    flow = await running(store, "c1")
    for seq, (status, at) in enumerate(((APPROVED, 2_000_100.0), (REJECTED, 2_000_100.0), (EXPIRED, 2_000_100.0))):
        asked = question(seq, flow_id=flow.id, step=f"ok#{seq}", expires_at=2_000_100.0 if status is EXPIRED else None)
        row = waiting_for(flow.id, asked.id, f"ok#{seq}", seq, StepKind.APPROVAL)
        assert await store.start_child(flow.id, "c1", row, Child(approval=asked))
        await store.look_at_flow(flow.id, "c1")
        await store.decide(verdict(asked.id, status, note="n", at=at))
        assert await store.nudged_flows("w1") == [flow.id]
        settled = (await store.steps_of(flow.id))[seq]
        assert (settled.status, settled.ended_at) == (Status.SUCCEEDED, at)
        assert json.loads(settled.result) == {
            "approved": status is APPROVED, "status": status.value, "note": "n", "by": "ann", "at": at,
            "approvalId": asked.id,
        }  # fmt: skip
    assert {row.kind for row in await store.pending_outbox(10)} == {"approval_asked"}


async def test_an_answer_wakes_a_flow_that_waits_for_it(store):
    flow = await running(store, "c1")
    asked = question(1, flow_id=flow.id)
    row = waiting_for(flow.id, asked.id, "ok", 0, StepKind.APPROVAL)
    await store.start_child(flow.id, "c1", row, Child(approval=asked))
    await store.move_flow(move(flow.id, FlowVerb.WAIT, claim_id="c1", unless_nudged=True))
    assert await store.next_flow_ready([]) is None
    await store.decide(verdict(asked.id))
    assert await store.next_flow_ready([]) == 2_000_100.0


async def test_held_work_is_not_begun_before_the_answer(store):
    answer = await store.ask_approval(question(1), new_task(1, payload={"run": 1}))
    held = await store.get_task(new_task(1).id)
    assert answer.task == held
    assert (answer.approval.task_id, held.status, held.not_before_at) == (held.id, Status.QUEUED, HELD_UNTIL)
    assert held.ask["approvalId"] == question(1).id
    assert await store.claim_tasks(task_claim("c1", now=9e9)) == []
    assert await store.next_due() is None
    assert await store.stale_queued(9e9, 10) == []
    # It holds up nobody else.
    await store.create_task(new_task(2, created_at=1.0))
    assert [one.id for one in await store.stale_queued(9e9, 10)] == [new_task(2).id]
    assert [one.task.id for one in await store.claim_tasks(task_claim("c1", "c2"))] == [new_task(2).id]


async def test_an_approval_lets_held_work_go(store):
    await store.ask_approval(question(1), new_task(1, payload={"run": 1}))
    told = []
    store.on_change(told.append)
    await store.decide(verdict(question(1).id))
    assert any(change.queued for change in told)
    [claimed] = await store.claim_tasks(task_claim("c1"))
    assert (claimed.task.id, claimed.payload, claimed.task.not_before_at) == (new_task(1).id, {"run": 1}, None)
    verbs = [(event.verb, event.data) for event in await store.events_of(new_task(1).id)]
    assert verbs[1] == ("approve", {"approvalId": question(1).id, "by": "ann"})
    assert len(await store.pending_outbox(10)) == 1  # the question; what comes of the work is told by the work


async def test_an_approval_leaves_work_the_delay_it_had_of_its_own(store):
    await store.ask_approval(question(1, detail={"notBeforeAt": 2_000_500.0}), new_task(1))
    await store.decide(verdict(question(1).id))
    assert await store.next_due() == 2_000_500.0
    assert await store.claim_tasks(task_claim("c1", now=2_000_499.0)) == []
    assert len(await store.claim_tasks(task_claim("c1", now=2_000_500.0))) == 1


@pytest.mark.parametrize(("status", "cause"), [(REJECTED, Cause.REJECTED), (EXPIRED, Cause.EXPIRED)])
async def test_any_other_answer_cancels_held_work(store, status, cause):
    expires = 2_000_100.0 if status is EXPIRED else None
    await store.ask_approval(question(1, expires_at=expires), new_task(1, payload={"run": 1}))
    await store.decide(verdict(question(1).id, status, note="no"))
    task = await store.get_task(new_task(1).id)
    assert (task.status, task.cause) == (Status.CANCELLED, cause)
    assert task.detail == {"approvalId": question(1).id, "reason": "no"}
    assert await store.payload_of(task.id) is None


async def test_held_work_that_ends_otherwise_takes_its_question_back(store):
    await store.ask_approval(question(1), new_task(1))
    await store.apply(task_move(new_task(1).id, Verb.CANCEL, cause=Cause.DEADLINE))
    told = await store.get_approval(question(1).id)
    assert (told.status, told.decided_at) == (CANCELLED, 6000.0)
    assert (await store.get_task(new_task(1).id)).cause is Cause.DEADLINE


async def test_the_end_of_a_turn_takes_its_open_questions_back(store):
    """A turn that asks for leave runs: no answer lets it go or cancels it, and its end is the end of what it asks."""
    await store.create_task(new_task(1, runtime=Runtime.ACP))
    for number in (1, 2, 3):
        await store.ask_approval(question(number, kind=ApprovalKind.ACP, task_id=new_task(1).id))
    await store.decide(verdict(question(1).id, REJECTED))
    await store.decide(verdict(question(2).id, APPROVED))
    [claimed] = await store.claim_tasks(task_claim("c1"))
    assert claimed.task.status is Status.RUNNING and claimed.task.not_before_at is None
    await store.apply(task_move(new_task(1).id, Verb.FAIL, claim_id="c1"))
    asked = [await store.get_approval(question(number).id) for number in (1, 2, 3)]
    assert [approval.status for approval in asked] == [REJECTED, APPROVED, CANCELLED]


async def test_live_work_with_the_same_key_stands_in_for_a_second_question(store):
    first = await store.ask_approval(question(1), new_task(1, dedupe_key="d"))
    before = await everything(store)
    second = await store.ask_approval(question(2), new_task(2, dedupe_key="d"))
    assert (second.approval, second.task, second.existing) == (first.approval, first.task, True)
    assert await everything(store) == before
    assert await store.get_approval(question(2).id) is None
    await store.decide(verdict(question(1).id))
    third = await store.ask_approval(question(3), new_task(3, dedupe_key="d"))
    assert (third.approval, third.task.id, third.existing) == (None, new_task(1).id, True)


# ---- telling, finding, forgetting


async def test_others_may_be_told_of_a_question_each_once(store):
    await store.ask_approval(question(1))
    more = Notice(target="channel:ops", kind="approval_asked", idempotency_key="k1", body={"text": "x"})
    assert await store.tell_approval(question(1).id, more, 2e6)
    assert not await store.tell_approval(question(1).id, more, 2e6)
    rows = await store.pending_outbox(10)
    assert [(row.target, row.task_id) for row in rows] == [
        ("agent:a:main", question(1).id), ("channel:ops", question(1).id),
    ]  # fmt: skip
    assert await store.settle_notice(rows[1].id, "delivered", 2e6)
    assert await store.deliver_to_conversation("agent:a:main", 2e6) == 1
    [heard] = await store.system_events("agent:a:main", 0, 10)
    assert (heard.kind, "Ship it?" in heard.text) == ("approval_asked", True)
    assert await store.events_since(0) == [] and await store.check() == []


async def test_approvals_are_listed_newest_first_and_narrowed(store):
    for number in range(12):
        given = {"requester": "agent:b:main"} if number % 3 == 0 else {}
        kind = ApprovalKind.ACP if number % 4 == 0 else ApprovalKind.EXEC
        flow = {"flow_id": "f1"} if number % 2 == 0 else {}
        await store.ask_approval(question(number, kind=kind, **given, **flow))
        if number % 5 == 0:
            await store.decide(verdict(question(number).id))

    async def numbers(**given) -> list[int]:
        found, cursor = [], None
        while True:
            page = await store.list_approvals(ApprovalFilter(**given), 2, cursor)
            found += [int(one.id[1:]) for one in page.approvals]
            cursor = page.next
            if cursor is None:
                return found

    assert await numbers() == list(range(11, -1, -1))
    assert await numbers(statuses=(PENDING,)) == [11, 9, 8, 7, 6, 4, 3, 2, 1]
    assert await numbers(statuses=(PENDING, APPROVED)) == list(range(11, -1, -1))
    assert await numbers(statuses=(APPROVED,), requester="agent:b:main") == [0]
    assert await numbers(requester="agent:b:main") == [9, 6, 3, 0]
    assert await numbers(kind=ApprovalKind.ACP) == [8, 4, 0]
    assert await numbers(flow_id="f1", statuses=(PENDING,)) == [8, 6, 4, 2]
    with pytest.raises(BadInput):
        await store.list_approvals(ApprovalFilter(), 2, "nonsense")


async def test_an_approval_is_found_by_the_beginning_of_its_id(store):
    for number in (1, 2, 30):
        await store.ask_approval(question(number))
    assert [one.id for one in await store.find_approvals(question(2).id)] == [question(2).id]
    assert [int(one.id[1:]) for one in await store.find_approvals("a0000000000000")] == [2, 1]
    assert await store.find_approvals("b") == await store.find_approvals("") == []


async def test_old_answers_are_forgotten(store):
    """Not those of a flow that is on record, nor those that somebody has yet to be told."""
    flow = await running(store, "c1")
    await store.ask_approval(question(1))
    await store.ask_approval(question(2, flow_id=flow.id))
    await store.ask_approval(question(3))
    await store.ask_approval(question(4), new_task(1))
    await store.ask_approval(question(5))
    await store.deliver_to_conversation("agent:a:main", 2e6)
    for number, at in ((1, 2_000_100.0), (2, 2_000_100.0), (3, 2_000_900.0), (4, 2_000_100.0)):
        await store.decide(verdict(question(number).id, at=at))
    assert await store.prune_approvals(2_000_500.0) == 1  # the answer to the first is yet to be told
    await store.deliver_to_conversation("agent:a:main", 2e6)
    assert await store.prune_approvals(2_000_500.0) == 1
    left = (await store.list_approvals(ApprovalFilter(), 10)).approvals
    assert [int(one.id[1:]) for one in left] == [5, 3, 2]
    assert len((await store.list_tasks(TaskFilter(), 10)).tasks) == 1
    assert await store.check() == []
