"""Gateways that are killed with -9, at named points or by hand, and a look at what their ledger says afterwards."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import json
import os
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nursery import Born, bear
from running import PATIENCE, Gateway, UnixConnection, is_ready

from outlast import config as config_module
from outlast.core.conversation import SystemEvent
from outlast.core.lifecycle import FINAL, TASK_MOVES, Verb
from outlast.core.session import Cause, Status
from outlast.core.task import Event, Task, TaskFilter
from outlast.gateway.stores import make_store
from outlast.process.keeper import proc
from outlast.process.keeper import record as records
from outlast.store.base import Store
from outlast.store.base_told import NoticeRow

ENDS = frozenset((Verb.SUCCEED, Verb.FAIL, Verb.TIME_OUT, Verb.CANCEL, Verb.LOSE))

BESIDE = ("began", "attach", "reclaim", "ask_cancel", "progress", "late", "delivered", "approve")
"""Lines of history that move nothing."""

STANDS = frozenset((("pending", 0), ("delivered", 1), ("delivered", 0)))
"""How a notice stands, and how often its conversation has heard it: not at all where a waiter saw the end itself."""


OPEN_TRANSACTIONS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""


class Books(NamedTuple):
    """All that a ledger holds, read straight from its store."""

    tasks: list[Task]
    events: dict[str, list[Event]]
    notices: list[NoticeRow]
    payloads: dict[str, dict[str, object]]
    told: list[SystemEvent]

    def notices_of(self, task: Task) -> list[NoticeRow]:
        return [row for row in self.notices if row.task_id == task.id]

    def verbs_of(self, task: Task) -> list[str]:
        return [event.verb for event in self.events[task.id]]


class Node(Gateway):
    """A home whose gateways can be told where to die."""

    def __init__(self, store_url: str = "") -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self._points = 0
        if store_url:
            self.env["OUTLAST_STORE_URL"] = store_url
        self.config = config_module.load(self.env)

    # ---- life and death

    def begin(self, point: str | None = None, **given: Any) -> bool:
        """Start a gateway that dies at a point; False when it does so before it is ready."""
        self._points += 1
        crash_at = None if point is None else (point, f"{self.home}/crashed-{self._points}")
        reader, writer = os.pipe()
        try:
            self.process = bear(self.env, writer, crash_at=crash_at, settings=self.settings, **given)  # type: ignore[assignment]
        finally:
            os.close(writer)
        return is_ready(reader, self.log)

    def kill(self) -> None:
        """End the gateway as a crash does."""
        self.stop(signal.SIGKILL)

    def dies(self) -> None:
        """Wait until the gateway has killed itself at its point."""
        assert self.process is not None
        self.process.wait(PATIENCE)
        assert self.crashed(), self.log()

    def crashed(self) -> bool:
        """True once somebody has died at the point of the last start."""
        return os.path.exists(f"{self.home}/crashed-{self._points}")

    # ---- work

    def path(self, name: str) -> Path:
        return Path(self.home, name)

    def counting(self, rest: str = "exit 5") -> str:
        """A command that leaves a line for each time it is run."""
        return f"echo ran >> {self.path('ran')}; {rest}"

    def runs(self) -> int:
        """How often the counting command has run."""
        try:
            return len(self.path("ran").read_text().splitlines())
        except FileNotFoundError:
            return 0

    @property
    def gate(self) -> str:
        """A shell word that waits until the gate is open."""
        return f"while [ ! -e {self.path('gate')} ]; do sleep 0.01; done"

    def open_gate(self) -> None:
        self.path("gate").touch()

    def submit(self, command: str, **fields: Any) -> dict[str, Any] | None:
        """Detach a command; None when the gateway died instead of answering."""
        try:
            return self.exec(command, detach=True, **fields)
        except (OSError, http.client.HTTPException):
            return None

    def queue_up(self, command: str, **fields: Any) -> str:
        """Leave a command in its queue, with no gateway about, for the next one to claim; return its task's id."""
        assert self.begin()
        assert self.ask("POST", "/v1/tasks/queues", {"name": "default", "limit": 0}).status == 200
        task = self.submit(command, **fields)
        assert task is not None and task["status"] == "queued"
        self.kill()
        self.act("set_queue_limit", "default", None)
        return str(task["taskId"])

    def ended(self, *lookups: str) -> list[dict[str, Any]]:
        """Wait until tasks have ended and return how."""
        reply = self.ask("POST", "/v1/tasks/wait", {"lookups": lookups, "timeoutMs": int(PATIENCE * 1000)})
        assert reply.status == 200 and reply.json["met"], (reply, self.log())
        return list(reply.json["tasks"])

    def only_task(self) -> str:
        """The id of the one task on record."""
        [task] = self.ask("GET", "/v1/tasks").json["tasks"]
        return str(task["taskId"])

    def see_through(self) -> dict[str, Any]:
        """Let another gateway see the only task to its end."""
        assert self.begin(), self.log()
        [task] = self.ended(self.only_task())
        return task

    def events(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """The history of all tasks, as it happens. Raises ConnectionError when the gateway dies."""
        end = time.monotonic() + PATIENCE
        connection = UnixConnection(self.paths.socket)
        try:
            connection.request("GET", f"/v1/events?tasks=true&after={after}")
            response = connection.getresponse()
            while line := response.readline():
                assert time.monotonic() < end, self.log()
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
        finally:
            connection.close()
        raise ConnectionError

    def until(self, verb: str, task_id: str | None = None) -> dict[str, Any]:
        """Wait until a line of history says ``verb``."""
        return next(
            event for event in self.events() if event["verb"] == verb and task_id in (None, event["taskId"])
        )  # fmt: skip

    # ---- what there is afterwards

    def books(self) -> Books:
        return asyncio.run(self._books())

    async def _books(self) -> Books:
        """All there is at one moment, while a gateway may write: what two readings in a row found held between them."""
        store = make_store(self.config, read_only=True)
        await store.open()
        try:
            found = await read_books(store)
            while (again := await read_books(store)) != found:
                found = again
            return found
        finally:
            await store.close()

    def judge(self, status: Status, cause: Cause, **known: Any) -> Task:
        """There is exactly one record, and it says so."""
        books = self.books()
        [task] = books.tasks
        check(books, task, status, cause, **known)
        return task

    def act(self, name: str, *args: Any) -> Any:
        """Do one act on the store by hand, as a process that died just afterwards."""

        async def main() -> Any:
            store = make_store(self.config)
            await store.open()
            try:
                return await getattr(store, name)(*args)
            finally:
                await store.close()

        return asyncio.run(main())

    def record(self, session_id: str) -> dict[str, Any]:
        return records.read(f"{self.paths.sessions}/{session_id}") or {}


async def read_books(store: Store) -> Books:
    tasks: list[Task] = []
    page = await store.list_tasks(TaskFilter(), 1000)
    tasks += page.tasks
    while page.next:
        page = await store.list_tasks(TaskFilter(), 1000, page.next)
        tasks += page.tasks
    events = {task.id: await store.events_of(task.id) for task in tasks}
    payloads = {task.id: body for task in tasks if (body := await store.payload_of(task.id)) is not None}
    notices: list[NoticeRow] = []
    while rows := await store.list_notices(None, None, 100, notices[-1].id if notices else None):
        notices += rows
    told: list[SystemEvent] = []
    for key in sorted({task.requester for task in tasks}):
        after = 0
        while heard := await store.system_events(key, after, 100, waiting=False):
            told += heard
            after = heard[-1].id
    return Books(tasks, events, notices[::-1], payloads, told)


def freeze(node: Node, process: Born | subprocess.Popen[bytes]) -> None:
    """Stop a process of a home where it stands, but not where it holds up all others: within a change of the store."""
    url, end = node.config.store_url or f"sqlite://{node.home}/ledger.db", time.monotonic() + PATIENCE
    while True:
        process.send_signal(signal.SIGSTOP)
        until(lambda: proc.state_of(process.pid) == "T")
        if not holds_store(url):
            return
        process.send_signal(signal.SIGCONT)
        assert time.monotonic() < end, f"process {process.pid} is always within a change"
        until(lambda: not holds_store(url))  # stopped again at once it would never come to the end of its change


def holds_store(url: str) -> bool:
    """True while somebody is within a change of a store: has the file locked, or a transaction open."""
    if not url.startswith("sqlite://"):
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(OPEN_TRANSACTIONS).fetchone() is not None
    file = sqlite3.connect(url.removeprefix("sqlite://"), timeout=0, isolation_level=None)
    try:
        file.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    finally:
        file.close()
    return False


def exits(pid: int) -> None:
    """Wait for the end of a process, whoever its parent is."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(PATIENCE * 1000), f"process {pid} does not end"
    finally:
        os.close(fd)


def until(condition: Callable[[], object]) -> None:
    """Wait for something that nobody tells to come true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it did not come true: {inspect.getsource(condition).strip()}"
        time.sleep(0.005)


def supervisor_of(node: Node, session_id: str) -> int:
    """The process that looks after a session, once it is on record."""
    until(lambda: "started" in node.record(session_id))
    return int(node.record(session_id)["started"]["supervisor"])


def replay(events: list[Event]) -> Status:
    """Go through a history by the table of moves; return where it leads. Every line must be allowed where it stands."""
    assert [event.verb for event in events].count(Verb.CREATE) == 1 and events[0].verb == Verb.CREATE
    assert [event.id for event in events] == sorted(event.id for event in events)
    status = Status.QUEUED
    for event in events[1:]:
        if event.status is None:
            assert event.verb in BESIDE, event
            assert (event.verb in ("late", "delivered")) or status not in FINAL, events
            continue
        move = TASK_MOVES[Verb(event.verb)]
        assert status in move.sources and event.status in move.targets, (status, event)
        status = event.status
    return status


def check(
    books: Books,
    task: Task,
    status: Status,
    cause: Cause,
    *,
    code: int | None = None,
    attempt: int = 1,
    notices: int = 1,
) -> None:
    """One record with the right end: its history in order, its notice in the outbox once, nothing left to run."""
    assert (task.status, task.cause, task.detail.get("exitCode")) == (status, cause, code), (task, books.events)
    assert task.attempt == attempt
    assert replay(books.events[task.id]) is status
    ends = [event for event in books.events[task.id] if event.verb in ENDS]
    assert len(ends) == 1 and "late" not in books.verbs_of(task), books.events[task.id]
    told = books.notices_of(task)
    assert len(told) == notices, told
    for notice in told:
        assert (notice.kind, notice.target) == ("ended", task.requester)
        heard = [event for event in books.told if event.source_key == notice.idempotency_key]
        assert (notice.state, len(heard)) in STANDS, (notice, books.told)
        assert notice.idempotency_key == f"{task.id}:{ends[0].verb}:{task.revision}"
        assert notice.body["status"] == status.value
    assert task.id not in books.payloads
    assert task.lease_until is None
