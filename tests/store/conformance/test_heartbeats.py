"""Heartbeats: set by who read them last, and a line of history for every beat."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from outlast.core.agent import Beat
from outlast.core.task import Notice
from store.agent_fakes import beat, heartbeat


async def test_where_a_heartbeat_stands_is_written_by_who_saw_it_as_it_is(store):
    first = heartbeat(next_at=1000.1, last_at=7.0, last_text_hash="h", last_text_at=6.0)
    assert not await store.set_beat(first, 5.0), "there is none yet"
    assert await store.set_beat(first, None)
    assert await store.beat_states() == [first]
    assert not await store.set_beat(heartbeat(next_at=2.0), None), "there is one"
    assert not await store.set_beat(heartbeat(next_at=2.0), 1000.2)
    assert await store.beat_states() == [first]
    paused = replace(first, next_at=None, paused_at=9.0)
    assert await store.set_beat(paused, 1000.1)
    assert not await store.set_beat(first, 1000.1), "who read it before the pause comes too late"
    assert await store.set_beat(heartbeat("another", next_at=3.0), None)
    assert await store.set_beat(heartbeat(next_at=2.0), None), "a paused one was read with no next moment"
    assert await store.beat_states() == [heartbeat("another", next_at=3.0), heartbeat(next_at=2.0)]


async def test_of_many_who_move_a_heartbeat_at_once_one_does(store):
    await store.set_beat(heartbeat(next_at=1.0), None)
    won = await asyncio.gather(*(store.set_beat(heartbeat(next_at=10.0 + one), 1.0) for one in range(10)))
    assert won.count(True) == 1
    assert await store.beat_states() == [heartbeat(next_at=10.0 + won.index(True))]


async def test_a_heartbeat_that_is_set_is_news_for_who_waits_for_wakes(store):
    seen = []
    store.on_change(seen.append)
    await store.set_beat(heartbeat(next_at=1.0), None)
    assert [(one.wakes, one.events, one.entries) for one in seen] == [(True, False, False)]
    await store.add_beat(beat(1))
    assert len(seen) == 1


async def test_a_beat_is_written_when_it_begins_and_ended_once(store):
    begun = await store.add_beat(beat(1))
    skipped = await store.add_beat(beat(2, outcome="skipped", session_id=None, ended_at=1002.0, reason="busy"))
    assert begun < skipped
    assert [one.id for one in await store.open_beats()] == [begun]
    assert await store.end_beat(begun, "told", "an an\0swer", "hello \ud800", 1005.0)
    assert not await store.end_beat(begun, "silent", "again", None, 1006.0)
    assert not await store.end_beat(skipped, "silent", "again", None, 1006.0)
    assert await store.open_beats() == []
    last, first = await store.beats_of(None, 10)
    assert first == Beat(begun, "main", 1001.0, "due", "told", "an an\ufffdswer", "s1", 1005.0, "hello \ufffd")
    assert last == Beat(skipped, "main", 1002.0, "due", "skipped", "busy", None, 1002.0, None)


async def test_beats_are_read_newest_first_counted_but_for_the_skipped_and_forgotten_when_they_are_old(store):
    ids = [
        await store.add_beat(beat(number, "main" if number % 2 else "other", "skipped" if number == 5 else "ran"))
        for number in range(1, 9)
    ]
    assert [one.id for one in await store.beats_of(None, 3)] == ids[:-4:-1]
    assert [one.id for one in await store.beats_of(None, 3, ids[5])] == ids[4:1:-1]
    assert [one.id for one in await store.beats_of("main", 10)] == [ids[6], ids[4], ids[2], ids[0]]
    assert [one.id for one in await store.beats_of("main", 2, ids[4])] == [ids[2], ids[0]]
    assert await store.beats_since("main", 1003.0) == 2
    assert await store.beats_since("other", 0.0) == 4
    assert await store.beats_since("nobody", 0.0) == 0
    await store.prune_beats(1003.0)
    assert [one.id for one in await store.beats_of(None, 10)] == ids[:1:-1]


async def test_a_beat_is_taken_with_the_move_of_its_heartbeat_or_not_at_all(store):
    await store.set_beat(heartbeat(next_at=1.0), None)
    taken = await asyncio.gather(*(store.take_beat(heartbeat(next_at=9.0 + n), 1.0, beat(n)) for n in range(10)))
    [beat_id] = [one for one in taken if one is not None]
    assert [one.id for one in await store.open_beats()] == [beat_id]
    assert await store.beat_states() == [heartbeat(next_at=9.0 + taken.index(beat_id))]
    assert await store.take_beat(heartbeat(next_at=50.0), 1.0, beat(20)) is None
    assert len(await store.beats_of(None, 10)) == 1


async def test_the_answer_of_a_beat_is_told_in_the_act_that_ends_it_and_once(store):
    beat_id = await store.add_beat(beat(1))
    notice = Notice(target="local", kind="heartbeat", idempotency_key="k1", body={"title": "hello", "text": "hello"})
    assert await store.end_beat(beat_id, "told", "told local", "hello", 1005.0, notice)
    assert not await store.end_beat(beat_id, "told", "told local", "hello", 1006.0, notice)
    [row] = await store.list_notices(None, None, 10)
    assert (row.kind, row.target, row.at, row.body["text"]) == ("heartbeat", "local", 1005.0, "hello")
    assert await store.check() == []
    assert await store.deliver_to_conversation("local", 1007.0) == 1
    [event] = await store.system_events("local", 0, 10)
    assert (event.kind, event.text) == ("heartbeat", "hello")
    await store.prune_beats(2000.0)
    assert await store.list_notices(None, None, 10) == []


async def test_what_a_beat_has_told_is_known_by_its_very_text(store):
    told = await store.add_beat(beat(1))
    silent = await store.add_beat(beat(2))
    await store.end_beat(told, "told", "", "Disk full", 1005.0)
    await store.end_beat(silent, "silent", "", "All fine", 1005.0)
    assert await store.beat_told("main", "Disk full", 1001.0)
    assert not await store.beat_told("main", "Disk full", 1001.5)
    assert not await store.beat_told("main", "Disk ful", 0.0)
    assert not await store.beat_told("main", "All fine", 0.0)
    assert not await store.beat_told("other", "Disk full", 0.0)
