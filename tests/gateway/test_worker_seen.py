"""Looking without a gateway: the ledger as the next gateway will have it, in lists, counts and single tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from worker_fakes import asynchronous, ledger_world

from outlast.core.session import Cause, Status
from outlast.core.task import Runtime, Task, TaskFilter
from outlast.gateway.seen import Eyes, SeenStore
from outlast.store.sqlite import SqliteStore

EVERY = [*((status,) for status in Status), (), (Status.RUNNING, Status.FAILED), (Status.SUCCEEDED, Status.LOST)]


@asynccontextmanager
async def looking(at: Any) -> AsyncIterator[Any]:
    """The ledger of a world whose gateway is down, as somebody sees it who only looks."""
    store = SqliteStore(str(at.file), read_only=True)
    await store.open()
    try:
        yield SeenStore(store, Eyes(at.sessions, at.clock, at.node))  # type: ignore[arg-type]
    finally:
        await store.close()


def shown(task: Task) -> Task:
    """What is shown of a task: who holds it is not, nor that somebody else does by now."""
    revision = 0 if task.status is Status.RUNNING else task.revision
    return msgspec.structs.replace(task, claim_id=None, claimed_by=None, lease_until=None, revision=revision)


async def answers(store: Any) -> dict[str, Any]:
    """What is to be the same with a gateway and without."""
    pages = {
        "+".join(statuses): [shown(task) for task in (await store.list_tasks(TaskFilter(statuses=statuses), 100)).tasks]
        for statuses in EVERY
    }
    return {
        "pages": pages,
        "counts": await store.counts(),
        "live": await store.counts_live(),
        "queues": await store.queues(),
        "outbox": await store.outbox_counts(),
        "stale": [task.id for task in await store.stale_running(3e9, 100)],
        "found": [[shown(one) for one in await store.find_tasks(task.session_id)] for task in pages["running"]],
    }


async def variety(at: Any) -> dict[str, Any]:
    """Work of every kind, all of it running."""
    names = {}
    for name, fields in {
        "good": {}, "bad": {}, "told": {"notify": "failures_only"}, "quiet": {"notify": "silent"}, "gone": {},
        "runs": {}, "killed": {}, "elsewhere": {"node": "n9"},
    }.items():  # fmt: skip
        names[name] = await at.run(name, queue=f"q-{name[0]}", **fields)
        at.clock.at += 1
    names["outside"] = await at.ask("tasks.report-start")
    return names


@asynchronous
async def test_it_is_seen_as_the_next_gateway_will_have_it(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        names = await variety(at)
        sessions = {name: await at.session_of(names[name].task_id) for name in names if names[name].session_id in
                    at.sessions.all}  # fmt: skip
        seen: dict[str, Any] = {}

        async def meanwhile() -> None:
            sessions["good"].prints(b"done\n")
            sessions["good"].ends(0)
            sessions["bad"].ends(3)
            sessions["told"].ends(0)
            sessions["quiet"].ends(1)
            sessions["killed"].ends(None, cause=Cause.SIGNAL, signal=9)
            del at.sessions.all[sessions["gone"].id]
            async with looking(at) as store:
                seen.update(await answers(store))

        await at.restart(meanwhile)
        assert seen == await answers(at.store)
        assert {name: (await at.task(names[name].task_id)).status.value for name in names} == {
            "good": "succeeded", "bad": "failed", "told": "succeeded", "quiet": "failed", "gone": "lost",
            "runs": "running", "killed": "failed", "elsewhere": "queued", "outside": "running",
        }  # fmt: skip


@asynchronous
async def test_pages_are_complete_and_in_order_whatever_has_changed(tmp_path: Path) -> None:
    """What is on record as running comes among what has failed, where it belongs by its age."""
    async with ledger_world(tmp_path, slots=50) as at:
        tasks = [await at.run(f"job {number}") for number in range(12) if not await tick(at)]
        for task in tasks[::3]:
            await at.end(task.task_id, 1)

        async def meanwhile() -> None:
            for task in tasks[1::2]:
                session = at.sessions.all[task.session_id]
                if session.end is None:
                    session.ends(2)
            async with looking(at) as store:
                for statuses in EVERY:
                    narrow = TaskFilter(statuses=statuses)
                    whole = (await store.list_tasks(narrow, 100)).tasks
                    for limit in (1, 2, 3, 5):
                        assert await paged(store, narrow, limit) == [task.id for task in whole]
                failed = (await store.list_tasks(TaskFilter(statuses=(Status.FAILED,)), 100)).tasks
                assert len(failed) == 4 + 4

        await at.restart(meanwhile)
        failed = (await at.store.list_tasks(TaskFilter(statuses=(Status.FAILED,)), 100)).tasks
        assert len(failed) == 8


async def tick(at: Any) -> None:
    at.clock.at += 1


async def paged(store: Any, narrow: TaskFilter, limit: int) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await store.list_tasks(narrow, limit, cursor)
        found += [task.id for task in page.tasks]
        cursor = page.next
        if cursor is None:
            return found


@asynchronous
async def test_work_that_will_be_tried_again_is_seen_in_its_queue(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make", retries=1, retryDelaySeconds=30)

        async def meanwhile() -> None:
            at.sessions.all[task.session_id].ends(3)
            async with looking(at) as store:
                seen = await store.get_task(task.task_id)
                assert (seen.status, seen.attempt, seen.error, seen.session_id) == (
                    Status.QUEUED, 1, "exit code 3", None,
                )  # fmt: skip
                assert (await store.counts_live()) == {Status.QUEUED: 1, Status.RUNNING: 0}
                assert [queue.queued for queue in await store.queues()] == [1]

        await at.restart(meanwhile)
        assert (await at.task(task.task_id)).status is Status.QUEUED


@asynchronous
async def test_what_others_gave_up_is_seen_as_it_ended(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make")
        await at.ledger.lose(await at.task(task.task_id), Cause.LEASE_EXPIRED, "out of reach")
        seen: dict[str, Any] = {}

        async def meanwhile() -> None:
            at.sessions.all[task.session_id].ends(0)
            async with looking(at) as store:
                seen.update(await answers(store))
                assert (await store.list_tasks(TaskFilter(statuses=(Status.LOST,)), 10)).tasks == []

        await at.restart(meanwhile)
        await at.settle()
        assert seen == await answers(at.store)
        assert (await at.task(task.task_id)).status is Status.SUCCEEDED


@asynchronous
async def test_looking_changes_nothing_on_disk(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make")

        async def meanwhile() -> None:
            at.sessions.all[task.session_id].ends(0)
            before = at.file.read_bytes()
            async with looking(at) as store:
                await answers(store)
            assert at.file.read_bytes() == before

        await at.restart(meanwhile)


@asynchronous
async def test_a_turn_that_has_ended_meanwhile_is_not_silent(tmp_path: Path) -> None:
    async with ledger_world(tmp_path, slots=0) as at:
        session = await at.session()
        await at.record(
            "t1", runtime=Runtime.ACP, ask={"agent": "coder"}, session_id=session.id, node=at.node, queue="free"
        )
        await at.ledger.claim(1)
        async with looking(at) as store:
            assert [task.id for task in await store.silent_agents(3e9, 10)] == ["t1"]
            session.ends(0)
            assert await store.silent_agents(3e9, 10) == []
