"""Telling: notices on their way, the queues of conversations, wakes. The same for all stores."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from outlast.core.conversation import EVENTS_MAX, FOLDED, Mode, NewSystemEvent, Wake
from outlast.core.lifecycle import Verb
from outlast.core.task import Delivery
from store.store_fakes import make, move, running

_keys = itertools.count(1)
A, B = "agent:a:main", "agent:b:main"


def event(conversation: str = A, **given) -> NewSystemEvent:
    number = next(_keys)
    made = {"at": 100.0 + number, "kind": "note", "text": f"text {number}", "source_key": f"key{number}"}
    return NewSystemEvent(conversation=conversation, **{**made, **given})


def wake(wake_id: str = "w1", conversation: str = A, **given) -> Wake:
    return Wake(**{"id": wake_id, "conversation": conversation, "channel": "desktop:", "secret": None,
                   "created_at": 1.0, **given})  # fmt: skip


async def ended(store, claim_id: str, **given):
    task = await running(store, claim_id, **given)
    return await store.apply(move(task.id, Verb.SUCCEED, claim_id=claim_id))


async def waiting(store, conversation: str = A):
    return await store.system_events(conversation, 0, 1000)


async def test_the_oldest_notice_of_each_target_goes_first_and_no_younger_one_overtakes(store):
    first, second = await ended(store, "c1", requester=A), await ended(store, "c2", requester=A)
    other = await ended(store, "c3", requester=B)
    heads = await store.due_heads(7000.0, 10)
    assert [(head.target, head.task_id) for head in heads] == [(A, first.id), (B, other.id)]
    assert await store.retry_notice(heads[0].id, 8000.0, "refused")
    assert [head.target for head in await store.due_heads(7000.0, 10)] == [B]
    assert await store.next_notice_due() == 0.0
    assert await store.settle_notice(heads[1].id, "delivered", 7001.0)
    assert await store.next_notice_due() == 8000.0
    assert await store.next_notice_due(8000.0) is None
    [late] = await store.due_heads(8000.0, 10)
    assert (late.task_id, late.attempts, late.error) == (first.id, 1, "refused")
    assert [row.task_id for row in await store.pending_of(A, 10)] == [first.id, second.id]


async def test_a_settled_notice_is_not_tried_again(store):
    await ended(store, "c1")
    [head] = await store.due_heads(7000.0, 10)
    assert await store.settle_notice(head.id, "parked", 7000.0, "gone for good")
    assert not await store.retry_notice(head.id, 7001.0, "x")
    assert (await store.get_notice(head.id)).error == "gone for good"
    assert await store.due_heads(9000.0, 10) == []
    assert [row.id for row in await store.list_notices("parked", None, 10)] == [head.id]


async def test_a_parked_notice_can_be_revived_or_dismissed(store):
    task = await ended(store, "c1")
    [head] = await store.due_heads(7000.0, 10)
    await store.settle_notice(head.id, "parked", 7000.0, "no")
    assert (await store.get_task(task.id)).delivery is Delivery.FAILED
    assert await store.revive_notice(head.id, 7500.0)
    assert (await store.get_task(task.id)).delivery is Delivery.PENDING
    [again] = await store.due_heads(7500.0, 10)
    assert (again.id, again.attempts) == (head.id, 0)
    assert await store.dismiss_notice(head.id, 7600.0)
    assert not await store.dismiss_notice(head.id, 7601.0)
    assert (await store.get_task(task.id)).delivery is Delivery.NOT_NEEDED
    assert [row.state for row in await store.list_notices(None, None, 10)] == ["dismissed"]


async def test_notices_are_listed_newest_first_by_pages(store):
    for number in range(5):
        await ended(store, f"c{number}", requester=A if number % 2 else B)
    page = await store.list_notices(None, None, 2)
    following = await store.list_notices(None, None, 10, before=page[-1].id)
    ids = [row.id for row in (*page, *following)]
    assert ids == sorted(ids, reverse=True) and len(ids) == 5
    assert len(await store.list_notices("pending", A, 10)) == 2


async def test_notices_move_into_the_queue_of_their_conversation_in_order(store):
    first, second = await ended(store, "c1", requester=A), await ended(store, "c2", requester=A)
    assert await store.deliver_to_conversation(A, 7000.0) == 2
    heard = await waiting(store)
    assert [one.data["taskId"] for one in heard] == [first.id, second.id]
    assert [(one.kind, one.mode, one.acked_at) for one in heard] == [("succeeded", Mode.NOW, None)] * 2
    assert "succeeded" in heard[0].text
    assert (await store.get_task(first.id)).delivery is Delivery.DELIVERED
    assert [row.verb for row in await store.events_of(first.id)][-1] == "delivered"
    assert await store.deliver_to_conversation(A, 7001.0) == 0
    assert len(await waiting(store)) == 2


async def test_what_a_requester_has_seen_by_himself_is_not_told(store):
    task, other = await ended(store, "c1", requester=A), await ended(store, "c2", requester=A)
    assert await store.settle_seen([task.id, "t-none"], B, 7000.0, "wait") == 0
    assert await store.settle_seen([task.id, "t-none"], A, 7000.0, "wait") == 1
    assert await store.settle_seen([task.id], A, 7000.0, "wait") == 0
    assert (await store.get_task(task.id)).delivery is Delivery.DELIVERED
    assert [row.task_id for row in await store.pending_of(A, 10)] == [other.id]
    assert (await store.events_of(task.id))[-1].data["how"] == "wait"


async def test_an_event_is_queued_once_and_consumed_once(store):
    new = event()
    assert await store.add_system_event(new)
    assert not await store.add_system_event(new)
    await store.add_system_event(event())
    first, second = await waiting(store)
    assert await store.ack_events(A, first.id, 500.0) == 1
    assert await store.ack_events(A, first.id, 501.0) == 0
    assert [one.id for one in await waiting(store)] == [second.id]
    everything = await store.system_events(A, 0, 10, waiting=False)
    assert [one.acked_at for one in everything] == [500.0, None]
    await store.prune_system_events(501.0)
    assert [one.id for one in await store.system_events(A, 0, 10, waiting=False)] == [second.id]


async def test_a_queue_that_grows_too_long_is_folded_and_says_so(store):
    for number in range(EVENTS_MAX + 2):
        await store.add_system_event(event(kind="failed" if number % 5 == 0 else "succeeded"))
    heard = await waiting(store)
    assert len(heard) <= EVENTS_MAX
    folded = heard[0]
    assert folded.kind == FOLDED
    assert folded.data["folded"] == sum(folded.data["kinds"].values())
    assert folded.data["folded"] + len(heard) - 1 == EVENTS_MAX + 2
    assert str(folded.data["folded"]) in folded.text
    assert [one.id for one in heard] == sorted(one.id for one in heard)


async def test_what_was_folded_before_is_counted_in_what_is_folded_later(store):
    total = 2 * EVENTS_MAX
    for _ in range(total):
        await store.add_system_event(event())
    heard = await waiting(store)
    assert sum(one.kind == FOLDED for one in heard) == 1
    assert heard[0].data["folded"] + len(heard) - 1 == total


async def test_conversations_say_what_waits_for_them(store):
    await store.add_wake(wake())
    await store.add_system_event(event(A, at=10.0))
    await store.add_system_event(event(A, at=20.0))
    await store.add_system_event(event(B, at=15.0))
    [first] = await store.system_events(B, 0, 1)
    await store.ack_events(B, first.id, 16.0)
    a, b = await store.conversations(10)
    assert (a.key, a.waiting, a.oldest_at, a.newest_at, a.wakes) == (A, 2, 10.0, 20.0, 1)
    assert (b.key, b.waiting, b.oldest_at, b.newest_at, b.wakes) == (B, 0, None, 15.0, 0)
    assert [one.key for one in await store.conversations(1, after=A)] == [B]


async def test_the_first_of_a_burst_wakes_at_once_and_the_rest_go_together(store):
    await store.add_wake(wake())
    await store.add_system_event(event(at=1000.0))
    [due] = await store.due_wakes(1000.0, 10)
    [first] = await waiting(store)
    assert await store.settle_wake(due, first.id, 1000.0)
    assert await waiting(store) == []
    assert await store.next_wake_due() is None
    for moment in (1000.05, 1000.1, 1000.2):
        await store.add_system_event(event(at=moment))
    assert await store.next_wake_due() == 1000.25
    assert await store.next_wake_due(1000.25) is None
    assert await store.due_wakes(1000.24, 10) == []
    assert len(await store.due_wakes(1000.25, 10)) == 1


async def test_what_comes_while_a_wake_is_on_its_way_makes_it_due_again(store):
    await store.add_wake(wake())
    await store.add_system_event(event(at=1000.0))
    [due], [first] = await store.due_wakes(1000.0, 10), await waiting(store)
    await store.add_system_event(event(at=1000.1))
    assert await store.settle_wake(due, first.id, 1000.2)
    assert [one.id > first.id for one in await waiting(store)] == [True]
    assert await store.next_wake_due() == pytest.approx(1000.45)


async def test_an_event_for_the_next_turn_wakes_nobody(store):
    await store.add_wake(wake())
    await store.add_system_event(event(mode=Mode.NEXT_HEARTBEAT))
    assert await store.next_wake_due() is None
    assert len(await waiting(store)) == 1


async def test_a_wake_that_fails_is_put_off_parked_and_revived(store):
    await store.add_wake(wake())
    await store.add_system_event(event(at=1000.0))
    assert await store.retry_wake("w1", 1010.0, "refused")
    assert await store.due_wakes(1009.0, 10) == []
    [again] = await store.due_wakes(1010.0, 10)
    assert (again.attempts, again.error) == (1, "refused")
    assert await store.park_wake("w1", 1010.0, "gave up")
    assert await store.next_wake_due() is None
    await store.add_system_event(event(at=1011.0))
    assert await store.next_wake_due() is None
    assert [one.error for one in await store.parked_wakes(10)] == ["gave up"]
    assert await store.revive_wake("w1", 1020.0)
    [back] = await store.due_wakes(1020.0, 10)
    assert (back.attempts, back.parked_at) == (0, None)


async def test_a_wake_that_was_removed_meanwhile_is_settled_by_nobody(store):
    await store.add_wake(wake())
    await store.add_system_event(event(at=1000.0))
    [due] = await store.due_wakes(1000.0, 10)
    assert await store.remove_wake("w1")
    assert not await store.remove_wake("w1")
    assert not await store.settle_wake(due, 99, 1001.0)
    assert len(await waiting(store)) == 1


async def test_a_tasks_own_channel_is_told_before_its_conversation(store):
    await ended(store, "c1", requester=A, conversation=B, channel="webhook:https://example.test/hook")
    [head] = await store.due_heads(7000.0, 10)
    assert head.target == "webhook:https://example.test/hook"


async def test_changes_say_that_a_wake_may_be_due(store):
    told = []
    store.on_change(told.append)
    await make(store, 1)
    await store.add_system_event(event())
    assert [change.wakes for change in told] == [False, True]


async def test_of_several_who_want_to_send_one_gets_it(store):
    await ended(store, "c1")
    [head] = await store.due_heads(7000.0, 10)
    got = await asyncio.gather(*(store.claim_notice(head.id, head.next_at, 7030.125) for _ in range(5)))
    assert sum(got) == 1
    assert await store.due_heads(7000.0, 10) == []
    assert await store.claim_notice(head.id, 7030.125, 7060.0)
    await store.settle_notice(head.id, "delivered", 7001.0)
    assert not await store.claim_notice(head.id, 7060.0, 7090.0)
    await store.add_wake(wake())
    await store.add_system_event(event(at=1000.1))
    [due] = await store.due_wakes(2000.0, 10)
    got = await asyncio.gather(*(store.claim_wake(due.id, due.due_at, 2030.125) for _ in range(5)))
    assert sum(got) == 1
    assert await store.next_wake_due() == 2030.125
    await store.settle_wake(due, 99, 2001.0)
    assert not await store.claim_wake(due.id, 2030.125, 2060.0)


async def test_a_clock_that_was_set_back_delays_no_wake(store):
    await store.add_wake(wake())
    await store.add_system_event(event(at=9000.0))
    [due] = await store.due_wakes(9000.0, 10)
    [first] = await waiting(store)
    await store.settle_wake(due, first.id, 9000.0)
    await store.add_system_event(event(at=5400.0))
    assert await store.next_wake_due() == 5400.0
