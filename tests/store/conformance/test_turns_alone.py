"""One turn at a time in a conversation, whoever begins them where: turns of tasks, beats, and what was spawned."""

from __future__ import annotations

import asyncio
import itertools

from msgspec.structs import replace

from outlast.core.lifecycle import Verb
from outlast.core.session import Status
from outlast.core.task import Runtime
from store.agent_fakes import MAIN, beat, conversation, heartbeat, wish
from store.store_fakes import claim, make, move, new, start, take
from store.stores import make_store

QUEUE = f"conv:{MAIN}"


def turn(number: int | None = None, key: str = MAIN, **given):
    """A turn of an agent in a conversation."""
    return new(number, runtime=Runtime.ACP, kind="turn", conversation=key, queue=f"conv:{key}", **given)


async def begun(store, task, claim_id: str):
    return (await store.create_task(task, start(claim_id))).task


async def take_beat(store, number: int, expected: float | None = None, agent: str = "main") -> int | None:
    state = heartbeat(agent, next_at=1000.0 + number)
    return await store.take_beat(state, expected, beat(number, agent))


async def test_the_second_turn_waits_without_anybody_having_set_a_limit(store):
    first, second = await asyncio.gather(begun(store, turn(), "c1"), begun(store, turn(), "c2"))
    assert [first.status, second.status] == [Status.RUNNING, Status.QUEUED]
    third = await begun(store, turn(), "c3")
    assert await take(store, "c4", "c5") == []
    await store.apply(move(first.id, Verb.SUCCEED, claim_id="c1"))
    assert [one.id for one in await take(store, "c4", "c5")] == [second.id]
    assert (await store.get_task(third.id)).status is Status.QUEUED


async def test_a_limit_that_somebody_has_set_stays(store):
    await store.set_queue_limit(QUEUE, 0)
    assert (await begun(store, turn(), "c1")).status is Status.QUEUED
    assert [(one.name, one.limit_max) for one in await store.queues()] == [(QUEUE, 0)]


async def test_the_limit_of_a_quiet_conversation_is_forgotten_and_that_of_a_busy_one_stays(store):
    """Also where a turn comes in the same moment: it is alone."""
    first = await begun(store, turn(), "c1")
    await store.forget_queue(QUEUE)
    assert [one.limit_max for one in await store.queues()] == [1]
    await store.apply(move(first.id, Verb.SUCCEED, claim_id="c1"))
    await store.forget_queue(QUEUE)
    assert await store.queues() == []
    made, _, again = await asyncio.gather(
        begun(store, turn(), "c2"), store.forget_queue(QUEUE), begun(store, turn(), "c3")
    )
    assert [made.status, again.status] == [Status.RUNNING, Status.QUEUED]


async def test_no_turn_begins_while_a_beat_has_the_conversation(store):
    taken = await take_beat(store, 1)
    waiting = await begun(store, turn(), "c1")
    assert waiting.status is Status.QUEUED
    other = await begun(store, turn(key="agent:other:main"), "c2")
    assert other.status is Status.RUNNING, "the beat of one agent holds up no other"
    assert await take(store, "c3") == []
    seen = []
    store.on_change(seen.append)
    await store.end_beat(taken, "silent", "", None, 1005.0)
    assert [one.queued for one in seen] == [True], "whoever holds the turn that waits is told"
    assert [one.id for one in await take(store, "c3")] == [waiting.id]


async def test_no_beat_begins_while_a_turn_runs_or_another_beat(store):
    first = await begun(store, turn(), "c1")
    await make(store, conversation=MAIN, runtime=Runtime.ACP, kind="turn", queue=QUEUE)
    assert await take_beat(store, 1) is None
    assert await store.beat_states() == [], "it has not moved either"
    await store.apply(move(first.id, Verb.SUCCEED, claim_id="c1"))
    taken = await take_beat(store, 1)
    assert taken is not None
    assert await take_beat(store, 2, 1001.0) is None
    assert await take_beat(store, 2, agent="other") is not None
    await store.end_beat(taken, "silent", "", None, 1005.0)
    assert await take_beat(store, 2, 1001.0) is not None


async def test_of_a_turn_and_a_beat_in_one_commit_one_has_the_conversation(store):
    expected: float | None = None
    for one in range(1, 21):
        pair = [store.create_task(turn(), start(f"c{one}")), take_beat(store, one, expected)]
        await asyncio.gather(make(store), *(pair if one % 2 else reversed(pair)))
        running = [task for task in await store.running_tasks(None, 10) if task.conversation == MAIN]
        beats = await store.open_beats()
        assert len(running) + len(beats) == 1
        for open_beat in beats:
            expected = 1000.0 + one
            await store.end_beat(open_beat.id, "silent", "", None, 1005.0)
        for task_id in await store.live_in_conversation(MAIN):
            await store.apply(move(task_id, Verb.CANCEL))


async def test_a_beat_that_is_skipped_takes_nothing_and_waits_for_nobody(store):
    await begun(store, turn(), "c1")
    line = beat(1, outcome="skipped", ended_at=1001.0)
    assert await store.take_beat(heartbeat(next_at=1001.0), None, line) is not None


async def test_a_command_of_the_conversation_is_no_turn_of_it(store):
    command = await begun(store, new(conversation=MAIN), "c1")
    assert command.status is Status.RUNNING
    assert await take_beat(store, 1) is not None
    assert (await begun(store, new(conversation=MAIN), "c2")).status is Status.RUNNING


async def test_a_turn_waits_for_the_agent_that_was_spawned_with_its_conversation(store):
    """Also while that waits in the lane: it was there before."""
    task, held, flow = wish(1)
    await store.spawn(task, held, flow)
    after = await begun(store, turn(key=held.key), "c1")
    assert after.status is Status.QUEUED
    assert [one.id for one in await take(store, "c2", "c3")] == [task.id]
    assert await take(store, "c4") == []
    seen = []
    store.on_change(seen.append)
    await store.apply(move(task.id, Verb.SUCCEED, claim_id="c2"))
    assert any(one.queued for one in seen)
    assert [one.id for one in await take(store, "c4")] == [after.id]


async def test_a_turn_waits_for_one_of_its_conversation_that_stands_in_another_queue(store):
    """As that of a rule does whose instants wait for each other; a command of the conversation is no turn."""
    key = "cron:r1:2027"
    await make(store, conversation=key, queue="cron:r1")
    first = await begun(store, replace(turn(key=key), queue="cron:r1"), "c1")
    second = await begun(store, turn(key=key), "c2")
    assert second.status is Status.QUEUED
    claimed = await take(store, "c3", "c4", queues=["cron:r1"])
    assert first.id in [one.id for one in claimed]
    assert await take(store, "c5", queues=[second.queue]) == []
    for one in claimed:
        await store.apply(move(one.id, Verb.SUCCEED, claim_id=one.claim_id))
    assert [one.id for one in await take(store, "c5")] == [second.id]


async def test_the_lease_of_a_beat_is_renewed_until_it_has_ended(store):
    taken = await take_beat(store, 1)
    assert await store.renew_beat(taken, 2000.0)
    assert [one.lease_until for one in await store.open_beats()] == [2000.0]
    await store.end_beat(taken, "silent", "", None, 1005.0)
    assert not await store.renew_beat(taken, 3000.0)
    assert [one.lease_until for one in await store.beats_of(None, 10)] == [2000.0]


async def test_of_turns_and_beats_that_come_at_once_over_two_stores_one_has_the_conversation(store, request, tmp_path):
    """Begun as they are put on record, claimed from the queue, taken as a beat: again and again."""
    await store.hold_conversation(conversation())
    kind = "sqlite" if hasattr(store, "path") else "postgresql"
    other = make_store(kind, request, tmp_path)
    await other.open()
    expected: float | None = None
    won = set()
    try:
        for one in itertools.count(1):  # until either has won: who is first is luck
            if one > 30 and won == {"beat", "turn"}:
                break
            sides = (store, other) if one % 2 else (other, store)
            if one % 3:
                turns = [sides[0].create_task(turn(), start(f"c{one}"))]
            else:
                await store.create_task(turn())
                turns = [sides[0].claim_tasks(claim(f"c{one}"))]
            taken = take_beat(sides[1], one, expected)
            answers = (
                await asyncio.gather(*turns, taken) if one % 4 < 2 else (await asyncio.gather(taken, *turns))[::-1]
            )
            running = [task for task in await store.running_tasks(None, 10) if task.conversation == MAIN]
            beats = await store.open_beats()
            assert len(running) + len(beats) == 1, (one, answers)
            won.add("beat" if beats else "turn")
            for task in running:
                await store.apply(move(task.id, Verb.SUCCEED, claim_id=task.claim_id))
            for open_beat in beats:
                expected = 1000.0 + one
                await other.end_beat(open_beat.id, "silent", "", None, 1005.0)
            for task_id in await store.live_in_conversation(MAIN):
                await store.apply(move(task_id, Verb.CANCEL))
    finally:
        await other.close()
