"""Answers while no gateway runs: straight from the store, by the same questions, changing nothing.

What a gateway would find out at its start is looked up here (`outlast.gateway.seen`), so the answer is the same with
a gateway and without.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import msgspec

from outlast.api import decode
from outlast.api.acts import ACTS, perform
from outlast.api.context import Api, Caller, GatewayFacts
from outlast.api.flows import flows_status
from outlast.api.results import iso
from outlast.api.status import told_status
from outlast.api.task_results import AuditResult
from outlast.api.tasks import describe_finding, tasks_status
from outlast.config import Config
from outlast.core.conversation import Wake
from outlast.core.errors import GatewayTrouble
from outlast.core.findings import Code, Finding
from outlast.core.ids import task_of_session
from outlast.core.session import Cause
from outlast.core.task import NewTask, Task
from outlast.delivery.channels.base import Channel
from outlast.gateway.places import node_at
from outlast.gateway.seen import Eyes, SeenStore
from outlast.gateway.stores import FILE_NAME, make_store
from outlast.ledger.tasks import Ledger
from outlast.process.clock import SystemClock
from outlast.process.launcher import Launcher
from outlast.process.sessions import Session, Sessions
from outlast.store.base import Created, Store
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
            nobody = {"gateway": None, "keeper": None, "sessions": None}
            tasks, told = await tasks_status(api, caller), await told_status(api)
            flows = await flows_status(api, caller)
            return {**nobody, "tasks": _plain(tasks), "flows": _plain(flows), "told": _plain(told)}
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
        self._file = os.path.join(config.paths.home, FILE_NAME)
        launcher = Launcher(config.paths.home, config.paths.run, "offline")
        self.sessions = Sessions(config.paths.home, config.paths.run, self.clock, launcher)
        self._node = node_at(config.paths.node) if os.path.exists(config.paths.node) else ""
        self._empty: tempfile.TemporaryDirectory[str] | None = None
        self._place: str | None = None
        self._eyes = Eyes(self.sessions, self.clock, self._node)
        self._store = make_store(config, read_only=True)
        self._ledger = Ledger(self._seen(), self.clock, node=self._node, worker="offline")

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
            self._place = self._file
            self._ledger.store = self._seen()

    def _seen(self) -> Store:
        return cast(Store, SeenStore(self._store, self._eyes, self._place))

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()
        if self._empty is not None:
            self._empty.cleanup()

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

    def open_wake(self, wake: Wake) -> Channel:
        """Refuse."""
        raise GatewayTrouble("no gateway is running", code="not_running")

    def saw_end(self, session: Session, target: str) -> None:
        """Do nothing: nothing is told here."""

    def next_wake(self) -> asyncio.Future[None]:
        """Return a future that is never done: nobody tells us."""
        return asyncio.get_running_loop().create_future()

    @contextmanager
    def holding(self, task_ids: Iterable[str], target: str) -> Iterator[None]:
        """Do nothing: nothing is sent here."""
        yield
