"""Answers while no gateway runs: straight from the store, by the same questions, changing nothing.

What a gateway would find out at its start is looked up here: a task that is on record as running, and whose session
has ended meanwhile, is shown as it ended. So the answer is the same with a gateway and without.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from typing import Any

import msgspec

from outlast.api import decode
from outlast.api.acts import ACTS, perform
from outlast.api.context import Api, Caller, GatewayFacts
from outlast.api.results import iso
from outlast.api.task_results import AuditResult
from outlast.api.tasks import describe_finding, tasks_status
from outlast.config import Config
from outlast.core.errors import GatewayTrouble
from outlast.core.findings import Code, Finding
from outlast.core.ids import task_of_session
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import Delivery, NewTask, Task, TaskFilter
from outlast.gateway.places import node_at
from outlast.gateway.stores import FILE_NAME, make_store
from outlast.ledger.tasks import Ledger
from outlast.process.clock import SystemClock
from outlast.process.launcher import Launcher
from outlast.process.sessions import Session, Sessions
from outlast.runtimes.evidence import seen_end
from outlast.store.base import LIST_MAX, Created, Page, Store, StoreInfo
from outlast.store.sqlite import SqliteStore


def answer(
    config: Config, act: str, name: str | None, query: dict[str, Any], requester: str | None = None
) -> dict[str, Any]:
    """Answer one question about the ledger as the gateway would over HTTP. Raises the errors of the act.

    ``act`` is a word of `outlast.api.acts` that can be answered offline. Nothing on record is an empty answer.
    """
    return asyncio.run(_answer(config, act, name, {**query, "requester": requester}))


async def _answer(config: Config, act: str, name: str | None, query: dict[str, Any]) -> dict[str, Any]:
    row = ACTS[act]
    if not row.offline:
        raise GatewayTrouble(f"{act} needs a gateway", code="not_running", hint="outlast gateway start")
    books = OfflineBooks(config)
    try:
        await books.open()
    except GatewayTrouble as trouble:
        if act != "tasks.audit" or trouble.code != "store_damaged":
            raise
        return _damaged(trouble, books.clock.now())
    try:
        api = Api(
            sessions=books.sessions, config=config, clock=books.clock, environ={}, gateway=_NoGateway(), books=books
        )
        if act == "status":
            caller = Caller().acting_for(query.get("requester"))
            return {"gateway": None, "keeper": None, "sessions": None, "tasks": _plain(await tasks_status(api, caller))}
        request = decode.from_value({k: v for k, v in query.items() if v is not None}, row.request, strict=False)
        if getattr(request, "apply", None):
            raise GatewayTrouble(
                "maintenance --apply needs a gateway", code="not_running", hint="outlast gateway start"
            )
        result: dict[str, Any] = _plain(await perform(api, Caller(), row, name, request))
        return result
    finally:
        await books.close()


def _damaged(trouble: GatewayTrouble, now: float) -> dict[str, Any]:
    """Return the audit of a store that cannot be read: what a gateway would answer."""
    finding = describe_finding(Finding(Code.STORE_DAMAGED, "store", trouble.message), now)
    result = AuditResult(
        findings=[finding], counts={"error": 1, "warn": 0, "info": 0}, codes={finding.code: 1}, more=False,
        checked_at=iso(now),
    )  # fmt: skip
    fields: dict[str, Any] = _plain(result)
    return fields


def _plain(value: object) -> Any:  # noqa: ANN401
    return msgspec.to_builtins(value)


class _NoGateway:
    """There is none."""

    @property
    def facts(self) -> GatewayFacts:
        """Who it is. Raises GatewayTrouble."""
        raise GatewayTrouble("no gateway is running", code="not_running")

    def request_stop(self) -> None:
        """Raise GatewayTrouble."""
        raise GatewayTrouble("no gateway is running", code="not_running")


class OfflineBooks:
    """The store opened for reading, seen through the evidence there is on disk."""

    def __init__(self, config: Config) -> None:
        self.clock = SystemClock()
        launcher = Launcher(config.paths.home, config.paths.run, "offline")
        self.sessions = Sessions(config.paths.home, config.paths.run, self.clock, launcher)
        self._node = node_at(config.paths.node) if os.path.exists(config.paths.node) else ""
        self._empty: tempfile.TemporaryDirectory[str] | None = None
        store = make_store(config, read_only=True)
        self._store = store
        self._place = os.path.join(config.paths.home, FILE_NAME)
        self._ledger = Ledger(_Seen(store, self._true), self.clock, node=self._node, worker="offline")

    async def open(self) -> None:
        """Open the store. One that was never made is an empty one."""
        try:
            await self._store.open()
        except GatewayTrouble as trouble:
            if trouble.code != "store_missing":
                raise
            self._empty = tempfile.TemporaryDirectory(prefix="outlast-empty-")
            self._store = SqliteStore(os.path.join(self._empty.name, FILE_NAME))
            await self._store.open()
            self._ledger.store = _Seen(self._store, self._true, self._place)

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()
        if self._empty is not None:
            self._empty.cleanup()

    def _true(self, task: Task) -> Task:
        """Return a task as a gateway of this node would have it: an end that was seen replaces running and lost."""
        if task.status not in (Status.RUNNING, Status.LOST) or task.node != self._node:
            return task
        outcome = seen_end(self.sessions, task, self.clock.now())
        return task if outcome is None else ended_as(task, outcome)

    @property
    def ledger(self) -> Ledger:
        """The ledger; only questions work."""
        return self._ledger

    @property
    def store(self) -> Store:
        """The store; only questions work."""
        return self._ledger.store

    @property
    def node(self) -> str:
        """The name of this home among the gateways that share its store."""
        return self._node

    async def submit(self, new: NewTask) -> Created:
        """Refuse."""
        raise GatewayTrouble("no gateway is running", code="not_running")

    def outlived(self, session: Session) -> None:
        """Do nothing: nothing is started here."""

    async def record_of(self, session: Session) -> Task | None:
        """Return the record of a session."""
        return await self.store.get_task(session.info.task_id or task_of_session(session.id))

    def holds(self, task_id: str) -> bool:
        """Hold nothing."""
        return False

    async def call_off(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        """Do nothing: nothing is held here."""

    async def settle(self) -> None:
        """Do nothing: a gateway does that at its start."""

    def look(self) -> None:
        """Do nothing."""


def ended_as(task: Task, outcome: Outcome) -> Task:
    """Return how a task will stand once its outcome is on record."""
    if outcome.may_retry and task.attempt < task.attempts_max and task.cancel_asked_at is None:
        return msgspec.structs.replace(
            task, status=Status.QUEUED, error=outcome.error, summary=outcome.summary, started_at=None, session_id=None,
            claim_id=None, claimed_by=None, lease_until=None, progress=None, progress_message=None,
        )  # fmt: skip
    told = task.delivery if task.notify == "silent" else Delivery.PENDING
    return msgspec.structs.replace(
        task,
        status=outcome.status,
        cause=outcome.cause,
        detail=outcome.detail,
        error=outcome.error,
        summary=outcome.summary or task.summary,
        ended_at=outcome.at or task.seen_at,
        lease_until=None,
        delivery=told,
    )


class _Seen:
    """A store whose tasks are looked at before they are handed out."""

    def __init__(self, store: Store, look: Callable[[Task], Task], place: str | None = None) -> None:
        self._store = store
        self._look = look
        self._place = place

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._store, name)

    async def get_task(self, task_id: str) -> Task | None:
        """See `outlast.store.base`."""
        task = await self._store.get_task(task_id)
        return None if task is None else self._look(task)

    async def find_tasks(self, lookup: str, limit: int = 10) -> list[Task]:
        """See `outlast.store.base`."""
        return [self._look(task) for task in await self._store.find_tasks(lookup, limit)]

    async def list_tasks(self, narrow: TaskFilter, limit: int, cursor: str | None = None) -> Page:
        """See `outlast.store.base`. What is on record as running may belong to another status by now."""
        page = await self._store.list_tasks(narrow, limit, cursor)
        tasks = [self._look(task) for task in page.tasks]
        if narrow.statuses:
            tasks = [task for task in tasks if task.status in narrow.statuses]
            tasks += await self._ended_meanwhile(narrow, page, cursor)
            tasks.sort(key=lambda task: (task.created_at, task.id), reverse=True)
        return Page(tasks, page.next)

    async def _ended_meanwhile(self, narrow: TaskFilter, page: Page, cursor: str | None) -> list[Task]:
        """Return tasks that belong on a page though they are on record as running."""
        if Status.RUNNING in narrow.statuses:
            return []
        running = msgspec.structs.replace(narrow, statuses=(Status.RUNNING,))
        found = await self._store.list_tasks(running, LIST_MAX, cursor)
        oldest = (page.tasks[-1].created_at, page.tasks[-1].id) if page.next and page.tasks else None
        seen = [self._look(task) for task in found.tasks if oldest is None or (task.created_at, task.id) > oldest]
        return [task for task in seen if task.status in narrow.statuses]

    async def counts_live(self) -> dict[Status, int]:
        """See `outlast.store.base`."""
        return await self._recounted(await self._store.counts_live())

    async def counts(self) -> dict[Status, int]:
        """See `outlast.store.base`."""
        return await self._recounted(await self._store.counts())

    async def _recounted(self, counts: dict[Status, int]) -> dict[Status, int]:
        running = await self._store.list_tasks(TaskFilter(statuses=(Status.RUNNING,)), LIST_MAX)
        moved = [seen.status for task in running.tasks if (seen := self._look(task)).status is not Status.RUNNING]
        counts = dict(counts)
        for status in moved:
            counts[Status.RUNNING] -= 1
            if status in counts:
                counts[status] += 1
        return counts

    async def info(self) -> StoreInfo:
        """See `outlast.store.base`. A store that was never made is told by where it will be."""
        info = await self._store.info()
        return info if self._place is None else msgspec.structs.replace(info, place=self._place)
