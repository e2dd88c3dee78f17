"""Every act of a store, with its guards. The same for all stores."""

from __future__ import annotations

import asyncio

import pytest

from outlast.core.errors import Conflict
from outlast.core.lifecycle import TASK_MOVES, IllegalMove, Verb
from outlast.core.session import Cause, Status
from outlast.core.task import Delivery, Notice, NotifyPolicy, Runtime, TaskFilter
from outlast.store import ends
from store.store_fakes import claim, everything, make, move, new, running, take


async def test_a_new_task_reads_back_as_it_was_given(store):
    given = new(
        1, ask={"command": "make «all»"}, payload={"command": "make SECRET=x"}, conversation="agent:a:main",
        parent_id="t0", flow_id="f1", node="n1", label="nightly", title="Nightly", attempts_max=3,
        retry={"delay": 2.5}, notify=NotifyPolicy.SILENT, priority=-5, queue="slow", dedupe_key="k",
        deadline_at=9000.5, not_before_at=1500.25, session_id="s1", runtime=Runtime.ACP,
    )  # fmt: skip
    made = await store.create_task(given)
    assert not made.existing
    read = await store.get_task(given.id)
    assert read == made.task
    assert {name: getattr(read, name) for name in given.__struct_fields__ if name != "payload"} == {
        name: getattr(given, name) for name in given.__struct_fields__ if name != "payload"
    }
    assert (read.status, read.revision, read.attempt, read.started_at) == (Status.QUEUED, 1, 0, None)
    assert await store.payload_of(given.id) == {"command": "make SECRET=x"}
    [event] = await store.events_of(given.id)
    assert (event.verb, event.status, event.at) == ("create", Status.QUEUED, 1001.0)


async def test_text_of_any_language_and_size_survives(store):
    odd = "é\u2028\U0001f600\t\"'\\ :name %s ? {task} " * 2000
    await make(store, 1, title=odd, ask={"command": odd}, label=odd[:90])
    read = await store.get_task(new(1).id)
    assert (read.title, read.ask, read.label) == (odd, {"command": odd}, odd[:90])


async def test_an_id_is_given_once(store):
    await make(store, 1)
    before = await everything(store)
    with pytest.raises(Conflict) as caught:
        await make(store, 1, title="another")
    assert caught.value.code == "task_exists"
    assert await everything(store) == before


async def test_a_failing_act_leaves_the_others_of_its_batch_alone(store):
    await make(store, 1)
    acts = [store.create_task(new(number)) for number in (2, 1, 3, 1, 4)]
    results = await asyncio.gather(*acts, return_exceptions=True)
    assert [isinstance(result, Conflict) for result in results] == [False, True, False, True, False]
    assert [task.id for task in (await store.list_tasks(TaskFilter(), 9)).tasks] == [new(n).id for n in (4, 3, 2, 1)]
    assert len(await store.events_since(0)) == 4


async def test_a_dedupe_key_finds_the_live_task_only(store):
    first = await make(store, dedupe_key="k")
    again = await store.create_task(new(dedupe_key="k"))
    assert again.existing and again.task == first
    await store.claim_tasks(claim("c1"))
    assert (await store.create_task(new(dedupe_key="k"))).task.id == first.id
    await store.apply(move(first.id, Verb.SUCCEED))
    after = await store.create_task(new(dedupe_key="k"))
    assert not after.existing and after.task.id != first.id


async def test_the_same_key_at_the_same_moment_makes_one_task(store):
    made = await asyncio.gather(*(store.create_task(new(dedupe_key="k")) for _ in range(20)))
    assert len({one.task.id for one in made}) == 1
    assert sum(not one.existing for one in made) == 1


@pytest.mark.parametrize("verb", [Verb.SUCCEED, Verb.FAIL, Verb.TIME_OUT, Verb.CANCEL, Verb.LOSE])
async def test_an_end_is_written_with_history_and_notice_and_the_payload_goes(store, verb):
    task = await running(store, payload={"secret": 1})
    ended = await store.apply(
        move(task.id, verb, cause=Cause.EXIT, claim_id="c1", detail={"exitCode": 0}, error="e", summary="s")
    )
    assert ended == await store.get_task(task.id)
    assert (ended.status, ended.cause) == (TASK_MOVES[verb].targets[0], Cause.EXIT)
    assert (ended.ended_at, ended.detail, ended.error, ended.summary) == (6000.0, {"exitCode": 0}, "e", "s")
    assert (ended.lease_until, ended.delivery, ended.claim_id) == (None, Delivery.PENDING, "c1")
    assert await store.payload_of(task.id) is None
    event = (await store.events_of(task.id))[-1]
    assert (event.verb, event.status, event.cause) == (verb, ended.status, Cause.EXIT)
    assert event.data == {"exitCode": 0}
    [row] = await store.pending_outbox(10)
    assert (row.kind, row.event_id, row.task_id, row.target) == ("ended", event.id, task.id, task.requester)
    assert (row.body["status"], row.body["exitCode"], row.body["summary"]) == (ended.status, 0, "s")


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [
        (NotifyPolicy.DONE_ONLY, ["ended", "ended"]),
        (NotifyPolicy.STATE_CHANGES, ["changed", "changed", "changed", "changed", "ended", "ended"]),
        (NotifyPolicy.FAILURES_ONLY, ["ended"]),
        (NotifyPolicy.SILENT, []),
    ],
)
async def test_the_policy_of_a_task_decides_which_moves_are_told(store, policy, kinds):
    """Each move brings its own notice, or none, and the record says that telling is pending from the first on."""
    good, bad = await make(store, 1, notify=policy), await make(store, 2, notify=policy)
    await take(store, "c1")
    await store.apply(move(good.id, Verb.REQUEUE))
    await take(store, "c1", "c2")
    await store.apply(move(good.id, Verb.SUCCEED))
    await store.apply(move(bad.id, Verb.FAIL))
    rows = await store.pending_outbox(10)
    assert [row.kind for row in rows] == kinds
    events = {event.id: event for event in await store.events_since(0)}
    assert all(events[row.event_id].task_id == row.task_id for row in rows)
    assert all(events[row.event_id].status == row.body["status"] for row in rows)
    for task in (good, bad):
        told = any(row.task_id == task.id for row in rows)
        assert (await store.get_task(task.id)).delivery is (Delivery.PENDING if told else Delivery.NOT_NEEDED)


async def _in_status(store, status: Status):
    task = await make(store)
    if status is Status.QUEUED:
        return task
    [task] = await take(store, "c1")
    for verb, table in TASK_MOVES.items():
        if status in table.targets and status.final and verb is not Verb.RECOVER:
            return await store.apply(move(task.id, verb))
    return task


@pytest.mark.parametrize("status", list(Status))
async def test_no_move_starts_where_the_table_does_not_let_it(store, status):
    task = await _in_status(store, status)
    for verb, table in TASK_MOVES.items():
        if verb is Verb.CLAIM or status in table.sources:
            continue
        before = await everything(store)
        for target in table.targets:
            assert await store.apply(move(task.id, verb, target=target)) is None
        assert await everything(store) == before


async def test_a_move_of_an_unknown_task_is_nothing(store):
    assert await store.apply(move("t-none", Verb.CANCEL)) is None
    assert await everything(store) == ([], [], [])


async def test_a_late_report_becomes_an_event(store):
    task = await running(store)
    await store.apply(move(task.id, Verb.CANCEL))
    assert await store.apply(move(task.id, Verb.SUCCEED, claim_id="c1")) is None
    event = await store.append_event(task.id, "late", 7000.0, {"status": "succeeded"})
    assert event == (await store.events_of(task.id))[-1]
    assert (await store.get_task(task.id)).status is Status.CANCELLED
    assert await store.append_event("t-none", "late", 7000.0, {}) is None


async def test_a_requeue_makes_the_task_new_but_for_its_attempts(store):
    task = await running(store, session_id="s1", attempts_max=3, payload={"run": 1})
    await store.note_progress(task.id, 5001.0, progress=80, message="nearly")
    back = await store.apply(move(task.id, Verb.REQUEUE, error="exit 1", not_before_at=7000.0, claim_id="c1"))
    assert (back.status, back.attempt, back.error, back.not_before_at) == (Status.QUEUED, 1, "exit 1", 7000.0)
    assert (back.claim_id, back.claimed_by, back.lease_until, back.session_id) == (None, None, None, None)
    assert (back.progress, back.started_at, back.ended_at) == (None, None, None)
    assert await store.payload_of(task.id) == {"run": 1}
    assert await store.claim_tasks(claim("c2", now=6999.0)) == []
    [again] = await take(store, "c2", now=7000.0)
    ended = await store.apply(move(again.id, Verb.SUCCEED))
    assert (ended.attempt, ended.error) == (2, None)


@pytest.mark.parametrize("end", TASK_MOVES[Verb.RECOVER].targets)
async def test_late_truth_replaces_lost(store, end):
    task = await running(store)
    await store.apply(move(task.id, Verb.LOSE, cause=Cause.EVIDENCE_GONE))
    found = await store.apply(move(task.id, Verb.RECOVER, target=end, cause=Cause.EXIT, at=5500.0, claim_id="c1"))
    assert (found.status, found.cause, found.ended_at) == (end, Cause.EXIT, 5500.0)
    assert [event.verb for event in await store.events_of(task.id)] == ["create", "claim", "lose", "recover"]
    assert [row.kind for row in await store.pending_outbox(9)] == ["ended", "corrected"]


async def test_claim_and_create_are_not_moves_to_apply(store):
    task = await make(store)
    with pytest.raises(IllegalMove):
        await store.apply(move(task.id, Verb.CLAIM))
    assert (await store.get_task(task.id)).status is Status.QUEUED


def _one_key_for_all(monkeypatch):
    """Make every notice collide with the first: as near as a test comes to an outbox that refuses a row."""
    notice = Notice(target="agent:a:main", kind="ended", idempotency_key="taken")
    monkeypatch.setattr(ends, "notice_of", lambda *_: notice)


async def test_a_notice_that_cannot_be_written_takes_the_move_back(store, monkeypatch):
    first, second = await running(store, "c1"), await running(store, "c2", payload={"run": 2})
    _one_key_for_all(monkeypatch)
    await store.apply(move(first.id, Verb.SUCCEED))
    before = await everything(store)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.apply(move(second.id, Verb.SUCCEED))
    assert await everything(store) == before
    assert (await store.get_task(second.id)).status is Status.RUNNING
    assert await store.payload_of(second.id) == {"run": 2}


async def test_a_half_done_act_is_taken_back_though_its_batch_is_kept(store, monkeypatch):
    first, second = await running(store, "c1"), await running(store, "c2", payload={"run": 2})
    _one_key_for_all(monkeypatch)
    await store.apply(move(first.id, Verb.SUCCEED))
    before, history = await store.get_task(second.id), await store.events_of(second.id)
    acts = [make(store, 1), store.apply(move(second.id, Verb.SUCCEED)), make(store, 2)]
    results = await asyncio.gather(*acts, return_exceptions=True)
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert (await store.get_task(second.id), await store.events_of(second.id)) == (before, history)
    assert [row.task_id for row in await store.pending_outbox(10)] == [first.id]
    assert await store.payload_of(second.id) == {"run": 2}
    assert await store.get_task(new(1).id) and await store.get_task(new(2).id)


async def test_progress_is_kept_and_told(store):
    task = await running(store)
    await store.note_progress(task.id, 5001.0, progress=40, message="linking", claim_id="c1")
    told = await store.note_progress(task.id, 5002.0, progress=None, message="still linking")
    assert (told.progress, told.progress_message, told.seen_at) == (40, "still linking", 5002.0)
    assert [event.data for event in await store.events_of(task.id)][2:] == [
        {"progress": 40, "message": "linking"}, {"message": "still linking"},
    ]  # fmt: skip
    await store.apply(move(task.id, Verb.SUCCEED))
    assert await store.note_progress(task.id, 5003.0, progress=99, message=None) is None


async def test_signs_of_life_are_only_those_of_running_tasks_and_never_go_back(store):
    task, queued = await running(store), await make(store)
    assert await store.note_seen([task.id, queued.id, "t-none"], 5500.0) == 1
    assert await store.note_seen([task.id], 5400.0) == 1
    assert (await store.get_task(task.id)).seen_at == 5500.0
    assert (await store.get_task(queued.id)).seen_at is None
    assert len(await store.events_of(task.id)) == 2


async def test_a_session_is_attached_while_the_task_lives(store):
    task = await running(store)
    assert (await store.attach_session(task.id, "s1", 5001.0, claim_id="c1")).session_id == "s1"
    await store.apply(move(task.id, Verb.SUCCEED))
    assert await store.attach_session(task.id, "s2", 5002.0) is None


async def test_notify_dismiss_and_ask_cancel_have_their_guards(store):
    task = await running(store)
    assert (await store.set_notify(task.id, NotifyPolicy.SILENT, 1.0)).notify is NotifyPolicy.SILENT
    assert await store.set_notify(task.id, NotifyPolicy.SILENT, 1.0) is None
    assert await store.dismiss(task.id, 2.0) is None
    assert (await store.ask_cancel(task.id, 3.0)).cancel_asked_at == 3.0
    assert await store.ask_cancel(task.id, 4.0) is None
    await store.apply(move(task.id, Verb.CANCEL))
    assert await store.ask_cancel(task.id, 5.0) is None
    assert (await store.dismiss(task.id, 6.0)).dismissed_at == 6.0
    assert await store.dismiss(task.id, 7.0) is None
    verbs = [event.verb for event in await store.events_of(task.id)]
    assert verbs == ["create", "claim", "notify", "ask_cancel", "cancel", "dismiss"]


async def test_settling_notices_writes_how_telling_stands(store):
    task = await running(store, notify=NotifyPolicy.STATE_CHANGES)
    await store.apply(move(task.id, Verb.SUCCEED))
    first, second = await store.pending_outbox(10)
    assert [row.id for row in await store.pending_outbox(10, after=first.id)] == [second.id]
    assert await store.settle_notice(first.id, "parked", 6001.0)
    assert not await store.settle_notice(first.id, "delivered", 6002.0)
    assert (await store.get_task(task.id)).delivery is Delivery.PENDING
    assert await store.settle_notice(second.id, "delivered", 6003.0)
    assert (await store.get_task(task.id)).delivery is Delivery.FAILED
    assert [one.id for one in await store.delivery_failed(10)] == [task.id]
    assert await store.pending_outbox(10) == []


async def test_prune_forgets_what_has_ended_and_been_told(store):
    live, told, untold = await running(store, "c1"), await running(store, "c2"), await running(store, "c3")
    await store.apply(move(told.id, Verb.SUCCEED))
    [row] = await store.pending_outbox(10)
    await store.settle_notice(row.id, "delivered", 6001.0)
    await store.apply(move(untold.id, Verb.SUCCEED))
    assert await store.prune([live.id, told.id, untold.id, "t-none"]) == 1
    assert {task.id for task in (await store.list_tasks(TaskFilter(), 9)).tasks} == {live.id, untold.id}
    assert await store.events_of(told.id) == []
    assert {event.task_id for event in await store.events_since(0)} == {live.id, untold.id}


async def test_changes_are_told_in_the_loop_after_the_commit(store):
    told = []
    store.on_change(told.append)
    task = await make(store)
    await store.claim_tasks(claim("c1"))
    await store.apply(move(task.id, Verb.SUCCEED))
    assert [(c.events, c.queued, c.outbox) for c in told[:3]] == [
        (True, True, False), (True, False, False), (True, False, True),
    ]  # fmt: skip
    told.clear()
    assert await store.apply(move(task.id, Verb.SUCCEED)) is None
    assert told == []


async def test_moves_of_one_task_at_the_same_moment_are_written_one_after_the_other(store):
    """Acts of a moment share statements; still one end wins, and each line of history is its own."""
    task, other = await running(store, "c1", notify=NotifyPolicy.SILENT), await running(store, "c2")
    ends = await asyncio.gather(
        store.apply(move(task.id, Verb.SUCCEED)),
        store.apply(move(other.id, Verb.SUCCEED)),
        store.apply(move(task.id, Verb.FAIL)),
        store.apply(move(task.id, Verb.LOSE)),
    )
    assert [end and end.status for end in ends] == [Status.SUCCEEDED, Status.SUCCEEDED, None, None]
    notes = await asyncio.gather(*(store.append_event(task.id, "late", 7000.0, {"n": n}) for n in range(3)))
    assert notes == (await store.events_of(task.id))[-3:]
    assert [event.verb for event in await store.events_of(task.id)] == ["create", "claim", "succeed", *["late"] * 3]
