"""A ledger seen through what there is to be seen of its work: how it will stand once a gateway has settled it.

A task on record as running, whose session has ended meanwhile, is shown as it ended, found and counted as such. What
runs here is little, however long history is; nothing is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from outlast.core.lifecycle import Verb, verb_for
from outlast.core.notification import told
from outlast.core.outcome import Outcome
from outlast.core.retry import again_at
from outlast.core.session import Status
from outlast.core.task import AGENTS, Delivery, Runtime, Task, TaskFilter
from outlast.ledger.tasks import has_begun, retry_policy
from outlast.process.clock import Clock
from outlast.process.sessions import Sessions
from outlast.runtimes.evidence import seen_end, session_of
from outlast.runtimes.reattach import evidence_gone
from outlast.store.base import LIST_MAX, Page, QueueState, Store, StoreInfo
from outlast.store.rows import cursor_of

Change = tuple[Task, Task]
"""A task as it is on record, and as it will stand."""


class Eyes:
    """Looks at the tasks of one node."""

    def __init__(self, sessions: Sessions, clock: Clock, node: str) -> None:
        self._sessions = sessions
        self._clock = clock
        self._node = node

    async def look(self, store: Store, task: Task) -> Task:
        """Return a task as a gateway of this node would have it: an end that was seen replaces running and lost."""
        if task.status not in (Status.RUNNING, Status.LOST) or task.node != self._node:
            return task
        now = self._clock.now()
        outcome = seen_end(self._sessions, task, now)
        if outcome is None and task.status is Status.RUNNING and await self._left_no_trace(store, task):
            outcome = evidence_gone(task)
        return task if outcome is None else settled(task, outcome, now)

    async def _left_no_trace(self, store: Store, task: Task) -> bool:
        missing = task.session_id is not None and session_of(self._sessions, task) is None
        return missing and task.runtime in (Runtime.CLI, *AGENTS) and await has_begun(store, task)

    async def changes(self, store: Store) -> list[Change]:
        """Return the tasks of this node that stand otherwise than is on record."""
        found = []
        for question in (store.running_tasks, store.lost_on):
            ask = cast(Callable[[str, int, str], Awaitable[list[Task]]], question)
            after = ""
            while tasks := await ask(self._node, LIST_MAX, after):
                after = tasks[-1].id
                found += [(task, await self.look(store, task)) for task in tasks]
        return [(old, new) for old, new in found if old is not new]


def settled(task: Task, outcome: Outcome, now: float) -> Task:
    """Return how a task will stand once its outcome is on record."""
    recovered = task.status is Status.LOST
    again = None if recovered or not outcome.may_retry else _again(task, now)
    status = outcome.status if again is None else Status.QUEUED
    verb = Verb.RECOVER if recovered else Verb.REQUEUE if again is not None else verb_for(status)
    common = {
        "status": status,
        "detail": outcome.detail or task.detail,
        "error": outcome.error,
        "summary": outcome.summary or task.summary,
        "delivery": Delivery.PENDING if task.notify in told(verb, status) else task.delivery,
        "lease_until": None,
        "revision": task.revision + (1 if recovered else 2),  # a gateway takes it over before it ends it
    }
    if again is not None:
        return msgspec.structs.replace(
            task, **common, not_before_at=again, started_at=None, seen_at=now, session_id=None, progress=None,
            progress_message=None, claim_id=None, claimed_by=None,
        )  # fmt: skip
    at = now if outcome.at is None or status is Status.LOST else outcome.at
    return msgspec.structs.replace(task, **common, cause=outcome.cause, ended_at=at, seen_at=at)


def _again(task: Task, now: float) -> float | None:
    return again_at(
        retry_policy(task), attempt=task.attempt, attempts_max=task.attempts_max, now=now, luck=0.0,
        deadline_at=task.deadline_at,
    )  # fmt: skip


class SeenStore:
    """A store whose tasks are looked at before they are handed out or counted. Only questions work.

    ``place`` is where a store that was never made will be.
    """

    def __init__(self, store: Store, eyes: Eyes, place: str | None = None) -> None:
        self._store = store
        self._eyes = eyes
        self._place = place

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._store, name)

    async def _look(self, tasks: list[Task]) -> list[Task]:
        return [await self._eyes.look(self._store, task) for task in tasks]

    async def info(self) -> StoreInfo:
        """See `outlast.store.base`."""
        info = await self._store.info()
        return info if self._place is None else msgspec.structs.replace(info, place=self._place)

    async def get_task(self, task_id: str) -> Task | None:
        """See `outlast.store.base`."""
        task = await self._store.get_task(task_id)
        return None if task is None else await self._eyes.look(self._store, task)

    async def find_tasks(self, lookup: str, limit: int = 10) -> list[Task]:
        """See `outlast.store.base`."""
        return await self._look(await self._store.find_tasks(lookup, limit))

    async def children_of(self, task_id: str, limit: int = LIST_MAX) -> list[Task]:
        """See `outlast.store.base`."""
        return await self._look(await self._store.children_of(task_id, limit))

    async def list_tasks(self, narrow: TaskFilter, limit: int, cursor: str | None = None) -> Page:
        """See `outlast.store.base`."""
        page = await self._store.list_tasks(narrow, limit, cursor)
        if not narrow.statuses:
            return Page(await self._look(page.tasks), page.next)
        tasks = [task for task in await self._look(page.tasks) if task.status in narrow.statuses]
        tasks += await self._joining(narrow, cursor, None if page.next is None else page.tasks[-1])
        tasks.sort(key=_newest, reverse=True)
        if len(tasks) > limit:
            return Page(tasks[:limit], cursor_of(*_newest(tasks[limit - 1])))
        return Page(tasks, page.next)

    async def _joining(self, narrow: TaskFilter, cursor: str | None, last: Task | None) -> list[Task]:
        """Return tasks of a page that are on record as something else; those behind its ``last`` come with the next."""
        moving = msgspec.structs.replace(narrow, statuses=(Status.RUNNING, Status.LOST))
        page = await self._store.list_tasks(moving, LIST_MAX, cursor)
        return [
            new
            for old, new in zip(page.tasks, await self._look(page.tasks), strict=True)
            if old.status not in narrow.statuses
            and new.status in narrow.statuses
            and (last is None or _newest(old) > _newest(last))
        ]

    async def stale_running(self, before: float, limit: int) -> list[Task]:
        """See `outlast.store.base`."""
        return await self._running(await self._store.stale_running(before, limit))

    async def silent_agents(self, before: float, limit: int) -> list[Task]:
        """See `outlast.store.base`."""
        return await self._running(await self._store.silent_agents(before, limit))

    async def _running(self, tasks: list[Task]) -> list[Task]:
        return [task for task in await self._look(tasks) if task.status is Status.RUNNING]

    async def counts(self) -> dict[Status, int]:
        """See `outlast.store.base`."""
        return await self._moved(await self._store.counts())

    async def counts_live(self) -> dict[Status, int]:
        """See `outlast.store.base`."""
        return await self._moved(await self._store.counts_live())

    async def _moved(self, counts: dict[Status, int]) -> dict[Status, int]:
        for old, new in await self._eyes.changes(self._store):
            for status, more in ((old.status, -1), (new.status, 1)):
                if status in counts:
                    counts[status] += more
        return counts

    async def queues(self) -> list[QueueState]:
        """See `outlast.store.base`."""
        found = {queue.name: queue for queue in await self._store.queues()}
        for old, new in await self._eyes.changes(self._store):
            if old.status is Status.RUNNING:
                queue = found[old.queue]
                found[old.queue] = msgspec.structs.replace(
                    queue, running=queue.running - 1, queued=queue.queued + (new.status is Status.QUEUED)
                )
        return [q for q in found.values() if q.limit_max is not None or q.queued or q.running]

    async def outbox_counts(self) -> dict[str, int]:
        """See `outlast.store.base`."""
        counts = await self._store.outbox_counts()
        for old, new in await self._eyes.changes(self._store):
            verb = Verb.RECOVER if old.status is Status.LOST else Verb.REQUEUE if new.status is Status.QUEUED else None
            counts["pending"] += new.notify in told(verb or verb_for(new.status), new.status)
        return counts


def _newest(task: Task) -> tuple[float, str]:
    return task.created_at, task.id
