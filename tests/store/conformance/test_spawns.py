"""What is spawned: conversation, task and flow in one act, within limits that hold however many spawn at once."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from outlast.core.errors import Conflict, Refused
from outlast.core.flow import FlowFilter, FlowStatus
from outlast.core.lifecycle import Verb
from outlast.core.session import Status
from outlast.core.task import Runtime, TaskFilter
from store.agent_fakes import MAIN, child, flow_of, hold, wish
from store.store_fakes import make, move, new, running, start
from store.stores import make_store


async def spawned(store, number: int, parent: str = MAIN, **given):
    return (await store.spawn(*wish(number, parent, **given))).task


async def left_behind(store) -> tuple:
    """All there is of spawns, to show that an act left nothing."""
    tasks = (await store.list_tasks(TaskFilter(), 100)).tasks
    flows = (await store.list_flows(FlowFilter(), 100)).flows
    keys = [one.key for one in await store.agent_conversations(None, 100)]
    return [one.id for one in tasks], [one.id for one in flows], keys


async def test_a_spawn_is_a_conversation_a_task_and_a_flow_that_follows_it(store):
    created = await store.spawn(*wish(1), start("c1"))
    task = created.task
    assert not created.existing
    assert (task.status, task.claim_id, task.parent_id) == (Status.RUNNING, "c1", None)
    assert await store.get_task(task.id) == task
    held = await store.get_agent_conversation(task.conversation)
    assert (held.parent, held.depth, held.agent) == (MAIN, 1, "coder")
    assert (await store.get_flow("f1")).status is FlowStatus.RUNNING
    await store.apply(move(task.id, Verb.SUCCEED, claim_id="c1"))
    assert (await store.get_flow("f1")).status is FlowStatus.SUCCEEDED


@pytest.mark.parametrize("taken", ["task", "flow"])
async def test_a_spawn_that_cannot_be_leaves_nothing(store, taken):
    if taken == "task":
        await make(store, 1)
    else:
        await store.create_flow(replace(wish(1)[2], task_id=None))
    before = await left_behind(store)
    others = [store.spawn(*wish(number)) for number in (2, 3)]
    refused, *made = await asyncio.gather(store.spawn(*wish(1)), *others, return_exceptions=True)
    assert isinstance(refused, Conflict) and refused.code == f"{taken}_exists"
    assert [one.task.id for one in made] == [new(2).id, new(3).id], "others of the same commit are not held up"
    tasks, flows, keys = await left_behind(store)
    assert (set(tasks) - set(before[0]), set(flows) - set(before[1])) == ({new(2).id, new(3).id}, {"f2", "f3"})
    assert keys == [child(2).key, child(3).key]


async def test_the_sixth_live_child_is_refused_and_the_place_of_one_that_has_ended_is_free(store):
    for number in range(1, 6):
        await spawned(store, number)
    await spawned(store, 11, "agent:other:main")
    with pytest.raises(Refused) as caught:
        await spawned(store, 6)
    assert caught.value.code == "too_many_children"
    assert await store.get_agent_conversation(child(6).key) is None
    await store.apply(move(new(3).id, Verb.CANCEL))
    await spawned(store, 6)


async def test_a_conversation_that_was_spawned_five_deep_spawns_nothing(store):
    parent = MAIN
    for number in range(1, 6):
        parent = (await spawned(store, number, parent)).conversation
        assert (await store.get_agent_conversation(parent)).depth == number
    with pytest.raises(Refused) as caught:
        await spawned(store, 6, parent)
    assert caught.value.code == "too_deep"


async def test_a_spawn_that_is_asked_for_again_is_the_one_that_lives(store):
    """Also where there is no place for another one; once it has ended there is a new one."""
    first = await spawned(store, 1, dedupe_key="k")
    for number in range(2, 6):
        await spawned(store, number)
    again = await store.spawn(*wish(6, dedupe_key="k"))
    assert (again.existing, again.task.id) == (True, first.id)
    assert await store.get_agent_conversation(child(6).key) is None
    assert await store.get_flow("f6") is None
    await store.apply(move(first.id, Verb.CANCEL))
    assert not (await store.spawn(*wish(7, dedupe_key="k"))).existing


async def test_many_at_once_with_one_key_are_one(store):
    created = await asyncio.gather(*(store.spawn(*wish(number, dedupe_key="k")) for number in range(1, 21)))
    assert [one.existing for one in created].count(False) == 1
    assert len({one.task.id for one in created}) == 1
    assert len(await store.child_conversations(MAIN, 100)) == 1


async def test_the_turn_that_runs_in_the_conversation_is_the_parent_and_one_that_is_called_off_spawns_nothing(store):
    turn = await running(store, "c1", runtime=Runtime.ACP, kind="turn", conversation=MAIN, queue=f"conv:{MAIN}")
    await make(store, conversation=MAIN)  # a command of the conversation is none of its turns
    assert (await spawned(store, 1)).parent_id == turn.id
    assert (await spawned(store, 2, parent_id="t9")).parent_id == "t9"
    await store.ask_cancel(turn.id, 5001.0)
    with pytest.raises(Conflict) as caught:
        await spawned(store, 3)
    assert caught.value.code == "parent_ended"
    await store.apply(move(turn.id, Verb.CANCEL, claim_id="c1"))
    assert (await spawned(store, 3)).parent_id is None


def turn(number: int, requester: str = MAIN, **given):
    """A turn that a conversation asks for, in the conversation ``c`` and its number."""
    key = f"c{number}"
    fields = {
        "runtime": Runtime.ACP,
        "kind": "turn",
        "requester": requester,
        "conversation": key,
        "queue": f"conv:{key}",
    }
    return new(number, **fields | given)


async def test_a_turn_belongs_to_the_one_it_is_asked_for_from(store):
    """Unless it names another; what nobody asks for from within a turn belongs to none."""
    first = (await store.give_turn(turn(1, "local"), start("k1"))).task
    assert (first.status, first.parent_id) == (Status.RUNNING, None)
    assert (await store.give_turn(turn(2, "c1"), start("k2"))).task.parent_id == first.id
    assert (await store.give_turn(turn(3, "c1", parent_id="t9"))).task.parent_id == "t9"
    assert (await store.give_turn(turn(4, "c4"))).task.parent_id is None
    await store.apply(move(first.id, Verb.SUCCEED, claim_id="k1"))
    assert (await store.give_turn(turn(5, "c1"))).task.parent_id is None


async def test_a_turn_that_is_asked_for_again_or_from_one_that_is_called_off_is_none(store):
    calling = (await store.give_turn(turn(1, "local"), start("k1"))).task
    first = (await store.give_turn(turn(5, "c1", dedupe_key="k"))).task
    again = await store.give_turn(turn(6, "c1", dedupe_key="k"))
    assert (again.existing, again.task.id) == (True, first.id)
    await store.ask_cancel(calling.id, 5001.0)
    with pytest.raises(Conflict) as caught:
        await store.give_turn(turn(7, "c1"))
    assert caught.value.code == "parent_ended"
    assert await store.get_task(new(7).id) is None


async def test_what_is_spawned_at_once_over_two_stores_is_never_one_too_many(store, request, tmp_path):
    """Again and again, with ends in between: at no moment are more than five of them live."""
    kind = "sqlite" if hasattr(store, "path") else "postgresql"
    other = make_store(kind, request, tmp_path)
    await other.open()
    try:
        numbers = iter(range(1, 1000))
        for _ in range(5):
            tries = [side.spawn(*wish(next(numbers))) for _ in range(8) for side in (store, other)]
            made = await asyncio.gather(*tries, return_exceptions=True)
            assert {one.code for one in made if isinstance(one, BaseException)} == {"too_many_children"}
            live = await store.live_children(MAIN)
            assert len(live) == 5
            for task_id in live[:3]:
                await other.apply(move(task_id, Verb.CANCEL))
    finally:
        await other.close()


async def test_a_task_that_is_mirrored_comes_with_its_flow_or_not_at_all(store):
    task = new(1, runtime=Runtime.EXTERNAL, flow_id="f1", dedupe_key="k")
    created = await store.create_mirrored(task, flow_of(task), start("c1", force=True, lease_until=None))
    assert (created.task.status, (await store.get_flow("f1")).status) == (Status.RUNNING, FlowStatus.RUNNING)
    again = new(2, runtime=Runtime.EXTERNAL, flow_id="f2", dedupe_key="k")
    assert (await store.create_mirrored(again, flow_of(again))).existing
    assert await store.get_flow("f2") is None
    third = new(3, flow_id="f1")
    with pytest.raises(Conflict) as caught:
        await store.create_mirrored(third, flow_of(third))
    assert caught.value.code == "flow_exists"
    assert await store.get_task(third.id) is None
    await store.apply(move(created.task.id, Verb.FAIL, claim_id="c1"))
    assert (await store.get_flow("f1")).status is FlowStatus.FAILED


async def test_spawned_agents_are_listed_in_pages_that_are_full(store):
    """However much else their requester has begun; by status, and of everybody, too."""
    for number in range(1, 31):
        if number % 6 == 0:
            await spawned(store, number, MAIN if number % 12 else "agent:other:main")
        else:
            await make(store, number, requester=MAIN)
    await store.apply(move(new(18).id, Verb.CANCEL))
    mine = TaskFilter(kind="spawn", requester=MAIN)
    first = await store.list_tasks(mine, 2)
    assert [one.id for one in first.tasks] == [new(30).id, new(18).id]
    rest = await store.list_tasks(mine, 2, first.next)
    assert ([one.id for one in rest.tasks], rest.next) == ([new(6).id], None)
    everybody = await store.list_tasks(TaskFilter(kind="spawn"), 100)
    assert [one.id for one in everybody.tasks] == [new(number).id for number in (30, 24, 18, 12, 6)]
    for statuses, numbers in (((Status.CANCELLED,), [18]), ((Status.QUEUED,), [30, 24, 12, 6])):
        found = await store.list_tasks(TaskFilter(kind="spawn", statuses=statuses), 100)
        assert [one.id for one in found.tasks] == [new(number).id for number in numbers]
    found = await store.list_tasks(TaskFilter(kind="spawn", search=new(12).id), 100)
    assert [one.id for one in found.tasks] == [new(12).id]
    assert len((await store.list_tasks(TaskFilter(kind="exec"), 100)).tasks) == 25
    held = await store.list_tasks(TaskFilter(kind="spawn", conversation=child(6).key), 100)
    assert [one.id for one in held.tasks] == [new(6).id]


async def test_a_spawned_conversation_is_held_as_it_was_made(store):
    """Whoever holds it again, for a turn of it, changes nothing of where it comes from."""
    task = await spawned(store, 1)
    held = await hold(store, task.conversation, agent="coder")
    assert (held.parent, held.depth) == (MAIN, 1)
