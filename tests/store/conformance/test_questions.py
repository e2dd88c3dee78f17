"""Every question asked of a store. The same for all stores."""

from __future__ import annotations

import itertools

import pytest

from outlast.core.errors import BadInput
from outlast.core.lifecycle import Verb
from outlast.core.session import Cause, Status
from outlast.core.task import NotifyPolicy, Runtime, TaskFilter
from outlast.store import questions
from outlast.store.base import Change
from store.store_fakes import claim, make, move, new, running, start, take


async def _walk(store, narrow: TaskFilter, limit: int) -> list[str]:
    seen, cursor = [], None
    for _ in range(1000):
        page = await store.list_tasks(narrow, limit, cursor)
        assert len(page.tasks) <= limit
        seen += [task.id for task in page.tasks]
        cursor = page.next
        if cursor is None:
            return seen
    raise AssertionError("no end of pages")


async def _varied(store) -> list:
    """Tasks of every status, in lots of combinations; the last made comes first."""
    words = itertools.product(("cli", "cron"), ("a", "b"), (None, "x"), (None, "f"))
    made = []
    for number, (runtime, requester, label, flow) in enumerate(words):
        for verb in (None, Verb.CLAIM, Verb.SUCCEED, Verb.LOSE):
            task = await make(
                store, number * 4 + len(made) % 4, runtime=Runtime(runtime), requester=requester, label=label,
                flow_id=flow, title=f"Job {number}", created_at=1000.0 + number // 3,
            )  # fmt: skip
            if verb is not None:
                await store.claim_tasks(claim(task.id, queues=("default",)))
            made.append((task.id, verb))
    return made


async def test_a_listing_is_what_a_plain_filter_gives(store):
    await _varied(store)
    for task in (await store.list_tasks(TaskFilter(statuses=(Status.RUNNING,)), 1000)).tasks[::2]:
        await store.apply(move(task.id, Verb.LOSE if task.label else Verb.SUCCEED))
    everything = (await store.list_tasks(TaskFilter(), 1000)).tasks
    assert [t.id for t in everything] == [
        t.id for t in sorted(everything, key=lambda t: (t.created_at, t.id), reverse=True)
    ]
    assert len(everything) == 64
    statuses = [(), (Status.QUEUED,), (Status.LOST, Status.RUNNING), (Status.SUCCEEDED, Status.QUEUED, Status.FAILED)]
    combos = itertools.product(
        statuses, (None, Runtime.CRON), (None, "b"), (None, "f"), (None, "x"), (None, 1002.0), (None, "job 1")
    )
    for among, runtime, requester, flow, label, since, search in combos:
        narrow = TaskFilter(
            statuses=among, runtime=runtime, requester=requester, flow_id=flow, label=label, since=since, search=search
        )
        expected = [
            t.id for t in everything
            if (not among or t.status in among) and runtime in (None, t.runtime) and requester in (None, t.requester)
            and flow in (None, t.flow_id) and label in (None, t.label) and (since is None or t.created_at >= since)
            and (search is None or search in t.title.lower())
        ]  # fmt: skip
        assert [t.id for t in (await store.list_tasks(narrow, 1000)).tasks] == expected, narrow
        assert await _walk(store, narrow, 7) == expected, narrow


async def test_pages_have_no_gaps_and_no_doubles_while_tasks_come_in(store):
    for number in range(100, 150):
        await make(store, number, created_at=float(number // 10))
    expected = [task.id for task in (await store.list_tasks(TaskFilter(), 1000)).tasks]
    seen, cursor, number = [], None, 1000
    while True:
        page = await store.list_tasks(TaskFilter(), 3, cursor)
        seen += [task.id for task in page.tasks]
        if (cursor := page.next) is None:
            break
        for _ in range(5):
            number += 1
            await make(store, number)
    assert seen == expected


async def test_dismissed_tasks_are_left_out_on_request(store):
    one, two = await running(store, "c1"), await make(store)
    await store.apply(move(one.id, Verb.SUCCEED))
    await store.dismiss(one.id, 7000.0)
    assert [t.id for t in (await store.list_tasks(TaskFilter(dismissed=False), 9)).tasks] == [two.id]
    assert [t.id for t in (await store.list_tasks(TaskFilter(dismissed=True), 9)).tasks] == [one.id]


async def test_signs_of_patterns_are_searched_for_as_they_are(store):
    await make(store, 1, title="100% done_")
    await make(store, 2, title="100 times doneX")
    for text in ("100%", "done_", "DONE_"):
        assert [t.title for t in (await store.list_tasks(TaskFilter(search=text), 9)).tasks] == ["100% done_"]
    assert (await store.list_tasks(TaskFilter(search="\\"), 9)).tasks == []


async def test_a_search_looks_at_a_window_and_its_cursor_leads_on(store, monkeypatch):
    monkeypatch.setattr(questions, "SEARCH_WINDOW", 10)
    for number in range(1, 36):
        await make(store, number, title="needle" if number in (3, 4, 30) else "hay", label="l" if number % 2 else None)
    page = await store.list_tasks(TaskFilter(search="needle"), 5)
    assert [t.id for t in page.tasks] == [new(30).id] and page.next is not None
    page = await store.list_tasks(TaskFilter(search="needle"), 5, page.next)
    assert page.tasks == [] and page.next is not None
    assert await _walk(store, TaskFilter(search="needle"), 5) == [new(n).id for n in (30, 4, 3)]
    assert await _walk(store, TaskFilter(search="needle"), 1) == [new(n).id for n in (30, 4, 3)]
    several = TaskFilter(search="needle", statuses=(Status.QUEUED, Status.RUNNING))
    assert await _walk(store, several, 2) == [new(n).id for n in (30, 4, 3)]


@pytest.mark.parametrize("cursor", ["", "x", "1.0:", "zz:t1", ":"])
async def test_a_cursor_that_is_not_ours_is_refused(store, cursor):
    with pytest.raises(BadInput) as caught:
        await store.list_tasks(TaskFilter(), 10, cursor)
    assert caught.value.code == "bad_cursor"


async def test_lookups_by_id_prefix_session_and_conversation(store):
    await make(store, id="tabc1", session_id="s-1", conversation="agent:a:main")
    await make(store, id="tabc2", session_id="s-2", conversation="agent:a:main")
    await make(store, id="tabd1", session_id="s-1", conversation="agent:b:main")
    await make(store, id="t%b", conversation="tab")

    async def found(lookup: str, limit: int = 10) -> list[str]:
        return [task.id for task in await store.find_tasks(lookup, limit)]

    assert await found("tabc1") == ["tabc1"]
    assert sorted(await found("tabc")) == ["tabc1", "tabc2"]
    assert len(await found("tab", limit=2)) == 2
    assert await found("t%") == ["t%b"]
    assert await found("s-1") == ["tabd1"]
    assert await found("agent:a:main") == ["tabc2"]
    assert await found("none") == await found("") == await found("TABC1") == []


async def test_events_resume_where_a_reader_stopped(store):
    ids = [(await make(store)).id for _ in range(5)]
    await store.claim_tasks(claim("c1"))
    seen, after = [], 0
    while events := await store.events_since(after, 2):
        seen += events
        after = events[-1].id
    assert [event.task_id for event in seen] == [*ids, ids[0]]
    assert [event.id for event in seen] == sorted({event.id for event in seen})
    assert await store.last_event_id() == after
    assert await store.events_of(ids[0], after=seen[0].id) == [seen[-1]]


async def test_an_empty_store_has_answers_too(store):
    assert await store.last_event_id() == 0
    assert await store.next_due() is None
    assert await store.get_task("t1") is None
    assert await store.payload_of("t1") is None
    assert await store.queues() == []
    assert await store.claim_tasks(claim("c1")) == []
    assert await store.counts() == dict.fromkeys(Status, 0)
    assert await store.check() == []
    assert not await store.look_around()


async def test_counts_by_status(store):
    for number in range(3):
        await make(store, number)
    await store.claim_tasks(claim("c1"))
    assert await store.counts() == dict.fromkeys(Status, 0) | {Status.QUEUED: 2, Status.RUNNING: 1}


async def test_children_in_the_order_they_came(store):
    ids = [(await make(store, parent_id="p")).id for _ in range(3)]
    await make(store, parent_id="q")
    assert [task.id for task in await store.children_of("p")] == ids
    assert [task.id for task in await store.children_of("p", 2)] == ids[:2]


async def test_running_tasks_by_node_in_pages(store):
    for number in range(6):
        await make(store, number)
        await store.claim_tasks(claim(f"c{number}", node="n1" if number % 2 else "n2"))
    await make(store, 99)
    assert [t.claim_id for t in await store.running_tasks("n1", 2)] == ["c1", "c3"]
    assert [t.claim_id for t in await store.running_tasks("n1", 2, after=new(3).id)] == ["c5"]
    assert len(await store.running_tasks(None, 100)) == 6


async def test_what_is_due_next(store):
    await make(store, 1, not_before_at=8000.0)
    assert await store.next_due() == 8000.0
    await make(store, 2, deadline_at=7000.0)
    assert await store.next_due() == 7000.0
    await store.claim_tasks(claim("c1", lease_until=6000.0))
    assert await store.next_due() == 6000.0
    assert [t.id for t in await store.past_deadline(7000.5, 10)] == [new(2).id]
    await store.apply(move(new(2).id, Verb.TIME_OUT))
    assert await store.next_due() == 8000.0
    assert await store.past_deadline(7000.5, 10) == []


async def test_what_an_audit_asks(store):
    old, young = await make(store, 1), await make(store, 500)
    assert [t.id for t in await store.stale_queued(1400.0, 10)] == [old.id]
    quiet, lively = await take(store, "c1", "c2")
    await store.note_seen([lively.id], 5900.0)
    assert (quiet.id, lively.id) == (old.id, young.id)
    assert [t.id for t in await store.stale_running(5500.0, 10)] == [quiet.id]
    assert await store.missing_cleanup(10) == []
    assert await store.inconsistent_timestamps(10) == []
    await store.apply(move(quiet.id, Verb.SUCCEED, at=10.0))
    assert [t.id for t in await store.inconsistent_timestamps(10)] == [quiet.id]


async def test_retention_sees_the_oldest_ends_first_and_prunes_in_bounds(store):
    for number in range(10):
        await store.create_task(new(number, notify=NotifyPolicy.SILENT), start(f"c{number}"))
        await store.apply(move(new(number).id, Verb.SUCCEED, at=9000.0 - number))
    some = await store.ended_before(8998.5, 3)
    assert [task.ended_at for task in some] == [8991.0, 8992.0, 8993.0]
    assert await store.prune([task.id for task in some]) == 3
    assert [task.ended_at for task in await store.ended_before(8995.5, 100)] == [8994.0, 8995.0]


async def test_lists_are_cut_to_their_bound(store):
    for number in range(5):
        await make(store, number)
    assert len((await store.list_tasks(TaskFilter(), 0)).tasks) == 1
    assert len(await store.events_since(0, 10**9)) == 5


async def test_looking_around_is_for_others_commits_only(store):
    told: list[Change] = []
    await make(store)
    store.on_change(told.append)
    assert not await store.look_around()
    assert told == []


async def test_outbox_rows_read_back(store):
    """A notice waits with all that a messenger needs: who, what, when, and a key that marks a second delivery."""
    task = await running(store, "c1", conversation="agent:x", label="nightly")
    await store.apply(move(task.id, Verb.FAIL, detail={"exitCode": 3}, error="exit code 3"))
    [row] = await store.pending_outbox(10)
    assert (row.target, row.kind, row.state, row.at) == ("agent:x", "ended", "pending", 6000.0)
    assert row.body == {
        "taskId": task.id, "status": "failed", "label": "nightly", "attempt": 1, "startedAt": 5000.0,
        "endedAt": 6000.0, "exitCode": 3, "error": "exit code 3",
    }  # fmt: skip


async def test_live_work_is_counted_without_looking_at_history(store):
    """What has ended is in neither number; what waits for its moment is queued."""
    assert await store.counts_live() == {Status.QUEUED: 0, Status.RUNNING: 0}
    for number in range(4):
        await make(store, number)
    await make(store, 9, not_before_at=99999.0)
    first, _ = await take(store, "c1", "c2")
    await store.apply(move(first.id, Verb.SUCCEED))
    assert await store.counts_live() == {Status.QUEUED: 3, Status.RUNNING: 1}


async def test_who_is_to_be_cancelled_by_node(store):
    """A worker finds the wishes that concern its own running work, the oldest wish first."""
    for number, node in enumerate(("n1", "n2", "n1", "n1")):
        await store.create_task(new(number), start(f"c{number}", node=node))
    for number, at in ((2, 5001.0), (0, 5002.0), (1, 5003.0)):
        await store.ask_cancel(new(number).id, at)
    assert [task.claim_id for task in await store.cancel_asked("n1", 10)] == ["c2", "c0"]
    assert [task.claim_id for task in await store.cancel_asked(None, 10)] == ["c2", "c0", "c1"]
    assert [task.claim_id for task in await store.cancel_asked(None, 1)] == ["c2"]
    await store.apply(move(new(2).id, Verb.CANCEL))
    assert [task.claim_id for task in await store.cancel_asked("n1", 10)] == ["c0"]


async def test_a_node_that_returns_finds_what_was_given_up_while_it_was_away(store):
    """Only what was lost because a lease ran out, only of that node, in pages."""
    for number, (node, cause) in enumerate(
        [("n1", Cause.LEASE_EXPIRED), ("n1", Cause.EVIDENCE_GONE), ("n2", Cause.LEASE_EXPIRED)]
        + [("n1", Cause.LEASE_EXPIRED)] * 2
    ):
        await store.create_task(new(number), start(f"c{number}", node=node))
        await store.apply(move(new(number).id, Verb.LOSE, cause=cause))
    assert [task.claim_id for task in await store.lost_on("n1", 2)] == ["c0", "c3"]
    assert [task.claim_id for task in await store.lost_on("n1", 2, after=new(3).id)] == ["c4"]
    await store.apply(move(new(0).id, Verb.RECOVER, target=Status.SUCCEEDED, cause=Cause.EXIT))
    assert [task.claim_id for task in await store.lost_on("n1", 9)] == ["c3", "c4"]
    assert await store.lost_on("n9", 9) == []


async def test_a_listing_of_the_turns_of_agents(store):
    """Whoever does them, and together with the rest."""
    runtimes = (Runtime.CLI, Runtime.ACP, Runtime.SUBAGENT, Runtime.EXTERNAL)
    for number in range(8):
        await make(store, number, runtime=runtimes[number % 4], requester=f"r{number % 3}")
    assert await _walk(store, TaskFilter(turns=True), 2) == [new(number).id for number in (6, 5, 2, 1)]
    assert await _walk(store, TaskFilter(turns=True, runtime=Runtime.ACP), 2) == [new(5).id, new(1).id]
    assert await _walk(store, TaskFilter(turns=True, statuses=(Status.QUEUED,), requester="r2"), 2) == [
        new(5).id, new(2).id,
    ]  # fmt: skip


async def test_a_listing_of_one_conversation_and_of_one_parent(store):
    """Both narrow a listing, alone and together with the rest, in pages."""
    for number in range(12):
        parent = None if number % 3 else "p"
        await make(store, number, conversation="ab"[number % 2], parent_id=parent, requester=f"r{number % 4}")
    for narrow, expected in (
        (TaskFilter(conversation="a"), [10, 8, 6, 4, 2, 0]),
        (TaskFilter(parent_id="p"), [9, 6, 3, 0]),
        (TaskFilter(conversation="a", parent_id="p"), [6, 0]),
        (TaskFilter(conversation="a", statuses=(Status.QUEUED,), requester="r2"), [10, 6, 2]),
        (TaskFilter(parent_id="p", search=new(3).id), [3]),
        (TaskFilter(conversation="none"), []),
    ):
        assert await _walk(store, narrow, 2) == [new(number).id for number in expected], narrow
