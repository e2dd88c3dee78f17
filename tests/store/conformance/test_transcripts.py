"""Transcripts: entries once and without gaps, pages both ways, where a journal was read to, and what is forgotten."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from outlast.core.agent import Entry, EntryKind
from outlast.core.lifecycle import Verb
from outlast.core.task import Runtime
from store.agent_fakes import MAIN, conversation, entries, entry, hold, spawn, turn
from store.store_fakes import claim, everything, make, move, running


async def _all_of(store, key: str = MAIN) -> list[Entry]:
    return await store.entries_of(key, 0, 1000)


def _numbers(page: list[Entry]) -> list[int]:
    return [one.seq for one in page]


async def test_entries_are_numbered_from_one_and_read_back_as_they_were(store):
    await hold(store)
    tool = entry(
        2, kind=EntryKind.TOOL, data={"title": "ls", "more": [1, None, {"a": "ä"}]}, task_id=None, journal_at=None
    )
    assert await store.append_entries(MAIN, [entry(1), tool]) == 2
    first, second = await _all_of(store)
    assert first == Entry(MAIN, 1, 1001.0, EntryKind.TEXT, "line 1", {}, "t1", "s:1", 10)
    assert second == Entry(MAIN, 2, 1002.0, EntryKind.TOOL, "line 2", tool.data, None, "s:2", None)
    assert await store.append_entries(MAIN, []) == 2
    assert await store.append_entries("agent:other:main", []) == 0


async def test_what_is_appended_twice_is_there_once_and_leaves_no_gap(store):
    await hold(store)
    assert await store.append_entries(MAIN, entries(1, 3)) == 3
    assert await store.append_entries(MAIN, entries(1, 5)) == 5
    assert await store.append_entries(MAIN, [entry(6), entry(6, text="again"), entry(2), entry(7)]) == 7
    assert await store.append_entries(MAIN, entries(1, 7)) == 7
    found = await _all_of(store)
    assert _numbers(found) == [1, 2, 3, 4, 5, 6, 7]
    assert [one.source_key for one in found] == [f"s:{number}" for number in range(1, 8)]
    assert found[5].text == "line 6"


async def test_a_source_stands_for_the_same_thing_in_every_conversation(store):
    await hold(store)
    await hold(store, "agent:other:main")
    await store.append_entries(MAIN, [entry(1)])
    assert await store.append_entries("agent:other:main", [entry(1), entry(2)]) == 1
    assert [one.source_key for one in await _all_of(store, "agent:other:main")] == ["s:2"]


async def test_many_who_append_at_once_leave_each_conversation_without_gaps_and_each_act_in_order(store):
    """They are asked for together, so that one commit carries them all."""
    keys = [MAIN, "agent:other:main", "agent:third:main"]
    for key in keys:
        await hold(store, key)
    acts = [
        store.append_entries(key, entries(1, 4, source=f"{key}/{act}") + entries(1, 2, source=f"{key}/{act}"))
        for act in range(30)
        for key in keys
    ]
    newest = await asyncio.gather(*acts)
    assert max(newest) == 120
    for key in keys:
        found = await _all_of(store, key)
        assert _numbers(found) == list(range(1, 121))
        for act in range(30):
            of_act = [one.seq for one in found if one.source_key.startswith(f"{key}/{act}:")]
            assert of_act == list(range(of_act[0], of_act[0] + 4)), "the entries of an act stand together"


async def test_the_answer_is_the_newest_number_after_the_act(store):
    await hold(store)
    newest = await asyncio.gather(*(store.append_entries(MAIN, [entry(number)]) for number in range(1, 21)))
    assert all(number <= answer <= 20 for number, answer in enumerate(newest, 1))
    assert newest[-1] == 20


async def test_texts_that_no_record_can_hold_are_made_sound(store):
    await hold(store)
    hurt = entry(1, text="a\0b\ud800c\x1b[31m{{x}}", data={"k\0": ["\udfff", {"y": "\0"}]})
    await store.append_entries(MAIN, [hurt])
    [found] = await _all_of(store)
    assert found.text == "a\ufffdb\ufffdc\x1b[31m{{x}}"
    assert found.data == {"k\ufffd": ["\ufffd", {"y": "\ufffd"}]}


async def test_a_transcript_pages_both_ways_without_a_hole_or_a_double(store):
    await hold(store)
    await hold(store, MAIN + "2")  # a neighbour by name, whose entries are none of ours
    await store.append_entries(MAIN + "2", entries(1, 9, source="other"))
    await store.append_entries(MAIN, entries(1, 25))
    onward: list[int] = []
    while page := await store.entries_of(MAIN, onward[-1] if onward else 0, 10):
        onward += _numbers(page)
    assert onward == list(range(1, 26))
    back = _numbers(await store.entries_before(MAIN, None, 10))
    while page := await store.entries_before(MAIN, back[0], 10):
        back = _numbers(page) + back
    assert back == list(range(1, 26))
    assert _numbers(await store.entries_before(MAIN, 2**60, 2)) == [24, 25]
    assert await store.entries_of(MAIN, 2**60, 10) == []
    assert await store.entries_before(MAIN, 1, 10) == []


async def test_where_a_journal_was_read_to_is_its_furthest_line_whatever_was_said_after(store):
    await hold(store)
    await store.append_entries(MAIN, entries(1, 12))
    await store.append_entries(MAIN, [entry(99, source="steer", journal_at=None), entry(50, source="o", task_id="t2")])
    last = await store.last_entry_of_task("t1")
    assert last is not None
    assert (last.journal_at, last.source_key) == (120, "s:12")
    assert await store.last_entry_of_task("t3") is None


async def test_an_append_brings_news_of_entries_and_of_nothing_else(store):
    seen = []
    await hold(store)
    store.on_change(seen.append)
    await store.append_entries(MAIN, entries(1, 3))
    assert [(one.entries, one.steps, one.events, one.wakes, one.foreign) for one in seen] == [
        (True, False, False, False, False)
    ]
    await store.set_notify("t-unknown", "silent", 1.0)
    await hold(store, "agent:x:main")
    assert len(seen) == 1


async def test_a_conversation_is_held_once_and_comes_back_as_it_stands(store):
    first = await hold(store)
    assert first == conversation()
    again = await hold(store, agent="other", workdir="/elsewhere", created_at=5000.0, updated_at=900.0)
    assert again == first
    await store.note_agent_session(MAIN, "abc", 2000.0)
    held = replace(first, agent_session="abc", updated_at=2000.0, turns=1)
    assert await store.get_agent_conversation(MAIN) == held
    assert await hold(store) == held
    await store.note_agent_session(MAIN, None, 1500.0)  # a clock that went back takes nothing with it
    assert await store.get_agent_conversation(MAIN) == replace(held, agent_session=None, turns=2)
    await store.append_entries(MAIN, [entry(1500)])
    await store.append_entries(MAIN, [entry(700)])
    assert (await store.get_agent_conversation(MAIN)).updated_at == 2500.0
    await store.note_agent_session("agent:nobody:main", "x", 3.0)
    assert await store.get_agent_conversation("agent:nobody:main") is None


async def test_conversations_are_listed_by_key_of_one_agent_or_of_all_or_of_a_parent(store):
    await hold(store)
    children = [await spawn(store, MAIN, f"agent:coder:subagent:{number:02}") for number in range(5)]
    await spawn(store, children[0], "agent:coder:subagent:99", depth=2)
    listed = [one.key for one in await store.agent_conversations(None, 4)]
    listed += [one.key for one in await store.agent_conversations(None, 100, listed[-1])]
    assert listed == [*children, "agent:coder:subagent:99", MAIN]
    assert [one.key for one in await store.agent_conversations("main", 10)] == [MAIN]
    assert [one.key for one in await store.agent_conversations("coder", 2, children[2])] == children[3:]
    found = await store.child_conversations(MAIN, 3)
    found += await store.child_conversations(MAIN, 3, found[-1].key)
    assert [one.key for one in found] == children
    assert (found[0].parent, found[0].depth) == (MAIN, 1)


async def test_live_tasks_are_known_by_conversation_by_parent_and_in_the_whole_tree(store):
    await hold(store)
    done = await running(store, conversation=MAIN)
    await store.apply(move(done.id, Verb.SUCCEED))
    own = await turn(store, MAIN)
    left, right = [await spawn(store, MAIN, f"agent:coder:subagent:{side}") for side in "lr"]
    below = await spawn(store, left, "agent:coder:subagent:below", depth=2)
    deep = await spawn(store, below, "agent:coder:subagent:deep", depth=3)
    await spawn(store, "agent:else:main", "agent:coder:subagent:else")
    await turn(store, "agent:coder:subagent:else")
    in_right, in_deep = await turn(store, right), await turn(store, deep)
    assert await store.live_in_conversation(MAIN) == [own]
    assert await store.live_children(MAIN) == [in_right]
    assert await store.live_children(left) == []
    assert await store.live_below(MAIN) == [in_right, in_deep], "also where nothing lives in between"
    assert await store.live_below(left) == [in_deep]
    assert await store.live_below(MAIN, 1) == [in_right]
    await store.apply(move(in_deep, Verb.CANCEL))
    assert await store.live_below(left) == []


async def test_live_turns_are_counted_by_agent_wherever_they_are_and_for_one_requester(store):
    async def made(agent: str, key: str, runtime: Runtime = Runtime.SUBAGENT, **given):
        ask = {"agent": agent, "message": 'say "agent":"quick"'}
        return await make(store, runtime=runtime, conversation=key, ask=ask, queue=f"conv:{key}", **given)

    assert await store.live_turns() == {}
    for key in "ab":
        await made("coder", key)
    await made("coder", "b", Runtime.ACP, requester="me")
    await made("quick", "c", requester="me")
    await made("quick", "d", Runtime.CLI)
    gone = await made("calm", "e")
    await store.apply(move(gone.id, Verb.CANCEL))
    assert await store.live_turns() == {"coder": (0, 3), "quick": (0, 1)}
    await store.claim_tasks(claim("c1"))
    assert await store.live_turns() == {"coder": (1, 2), "quick": (0, 1)}
    assert await store.live_turns("me") == {"coder": (0, 1), "quick": (0, 1)}
    assert await store.live_turns("nobody") == {}


async def test_quiet_conversations_are_forgotten_the_longest_quiet_first_a_bounded_piece_at_a_time(store):
    for key, first, last in (("a", 1, 10), ("b", 11, 14), ("c", 500, 500), ("empty", 0, -1)):
        await hold(store, key)
        await store.append_entries(key, entries(first, last, source=key))
    assert await store.prune_transcripts(1100.0, 4) == 4  # "empty", and three entries of "a"
    assert _numbers(await _all_of(store, "a")) == list(range(4, 11))
    assert await store.append_entries("a", []) == 10
    assert await store.get_agent_conversation("empty") is None
    assert await store.prune_transcripts(1100.0, 100) == 7 + 1 + 4 + 1
    assert await store.prune_transcripts(1100.0, 100) == 0
    assert [one.key for one in await store.agent_conversations(None, 10)] == ["c"]
    assert await _all_of(store, "a") == await _all_of(store, "b") == []
    assert len(await _all_of(store, "c")) == 1
    assert await store.last_entry_of_task("t1") == (await _all_of(store, "c"))[0]


async def test_a_conversation_is_kept_while_somebody_speaks_or_works_in_it(store):
    for key in ("spoken", "works", "gone"):
        await hold(store, key)
        await store.append_entries(key, entries(1, 2, source=key))
    await store.append_entries("spoken", [entry(900, source="spoken")])
    task_id = await turn(store, "works")
    before = await everything(store)
    assert await store.prune_transcripts(1500.0, 100) == 3
    assert [one.key for one in await store.agent_conversations(None, 10)] == ["spoken", "works"]
    assert await everything(store) == before
    await store.apply(move(task_id, Verb.CANCEL))
    assert await store.prune_transcripts(1500.0, 100) == 3


async def test_who_holds_a_conversation_that_is_about_to_be_forgotten_keeps_it(store):
    """A turn holds it and then speaks: whatever comes between, its entries are of a conversation that is known."""
    await hold(store)
    await store.append_entries(MAIN, entries(1, 3))
    held, gone = await asyncio.gather(hold(store, updated_at=9000.0), store.prune_transcripts(5000.0, 100))
    assert (held.created_at, held.updated_at, gone) == (1000.0, 9000.0, 0)
    assert await store.append_entries(MAIN, [entry(4)]) == 4
    gone, held = await asyncio.gather(store.prune_transcripts(9500.0, 100), hold(store, updated_at=9600.0))
    assert (held.updated_at, gone) == (9600.0, 5)
    assert await store.append_entries(MAIN, [entry(5)]) == 1
    assert await store.check() == []


async def test_the_check_finds_entries_that_nobody_would_ever_forget(store):
    await hold(store)
    await store.append_entries(MAIN, [entry(1)])
    assert await store.check() == []
    await store.append_entries("agent:stray:main", [entry(2)])
    assert await store.check() == ["entry 1 belongs to no conversation of an agent (agent:stray:main)"]
