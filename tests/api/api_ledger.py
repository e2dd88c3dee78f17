"""A World with a real ledger: real books, worker and rounds over pretended sessions, and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from api_fakes import FakeClock, FakeSession, World, settle

from outlast.api.context import Caller
from outlast.core.task import NewTask, Runtime, Task
from outlast.gateway.books import Books
from outlast.ledger.tasks import Ledger
from outlast.runtimes.base import Runtime as Worker
from outlast.runtimes.cli import CliRuntime
from outlast.store.sqlite import SqliteStore
from watched_store import WatchedStore


class LedgerWorld(World):
    """An Api over fake sessions whose tasks are on a real record. Use `ledger_world`."""

    since = 1_800_000_000.0

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, str] | None = None,
        *,
        slots: int = 8,
        lease_seconds: float | None = None,
        runtimes: Mapping[Runtime, Worker] | None = None,
        failing: Mapping[str, Exception] | None = None,
        file: Path | None = None,
        node: str = "n1",
        clock: FakeClock | None = None,
    ) -> None:
        """``failing`` is how the store is in trouble to begin with, ``file`` where the ledger is that others share."""
        self.failing = failing or {}
        self.file = file or home / "ledger.db"
        self.node = node
        self.slots = slots
        self.lease_seconds = lease_seconds
        self.runtimes = runtimes
        self.starts = 0
        super().__init__(home, settings, clock)
        self.clock.settle = self.settle

    def make_books(self) -> Books:
        """New books over the file of this home, as a gateway makes them at its start."""
        self.starts += 1
        self.store = WatchedStore(SqliteStore(str(self.file)))
        self.store.failing.update(self.failing)
        worker = f"{self.node}/{self.starts}"
        ledger = Ledger(self.store, self.clock, node=self.node, worker=worker, lease_seconds=self.lease_seconds)
        runtimes = self.runtimes
        if runtimes is None:
            runtimes = {Runtime.CLI: CliRuntime(self.sessions, self.clock, umask=0o022)}  # type: ignore[arg-type]
        books = Books(ledger, self.sessions, runtimes, slots=self.slots)  # type: ignore[arg-type]
        self.staff(books, ledger)
        return books

    def staff(self, books: Books, ledger: Ledger) -> None:
        """Have more who do work; nobody here."""

    # ---- life

    async def open(self) -> None:
        await self.books.open()
        await self.settle()

    async def close(self) -> None:
        """Let go of everything, as a gateway does that stops."""
        for gate in (*self.store.gates.values(), *self.store.after.values()):
            gate.set()
        await self.books.close()

    async def restart(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Stop this gateway and start the next one of the home; ``meanwhile`` happens while none runs."""
        await self.close()
        if meanwhile is not None:
            await meanwhile()
        self.sessions.adoptees = [session for session in self.sessions.all.values() if not session.drained]
        self.books = self.make_books()
        self.api = self.make_api()
        await self.open()

    async def settle(self) -> None:
        """Return when nothing moves any more without the clock or a session."""
        while True:
            before = sum(self.store.calls.values())
            await self.store.at_rest()
            await settle()
            if sum(self.store.calls.values()) == before:
                return

    # ---- short ways

    @property
    def ledger(self) -> Ledger:
        return self.books.ledger

    async def run(self, command: str = "make", *, caller: Caller | None = None, **fields: Any) -> Any:
        """Start a detached command and let it get under way; return its task as it was answered."""
        result = await self.ask("exec", command=command, detach=True, caller=caller, **fields)
        await self.settle()
        return result

    async def task(self, task_id: str) -> Task:
        """Return a task as it stands on record."""
        await self.settle()
        task = await self.store.get_task(task_id)
        assert task is not None
        return task

    async def session_of(self, task_id: str) -> FakeSession:
        """Return the session that does the work of a task."""
        task = await self.task(task_id)
        assert task.session_id is not None
        return self.sessions.all[task.session_id]

    async def end(self, task_id: str, code: int = 0, **fields: Any) -> Task:
        """Have the command of a task end; return the task once that is on record."""
        (await self.session_of(task_id)).ends(code, **fields)
        return await self.task(task_id)

    async def verbs(self, task_id: str) -> list[str]:
        """Return the verbs of a task's history."""
        await self.settle()
        return [event.verb for event in await self.store.events_of(task_id)]

    async def record(self, task_id: str, **fields: Any) -> Task:
        """Put a task on record without anybody to run it."""
        given = {
            "id": task_id, "runtime": Runtime.CLI, "kind": "exec", "source": "test", "requester": "local",
            "created_at": self.clock.now(), "queue": "nobody",
        }  # fmt: skip
        await self.store.set_queue_limit("nobody", 0)
        return (await self.store.create_task(NewTask(**{**given, **fields}))).task


@asynccontextmanager
async def ledger_world(home: Path, made: Any = LedgerWorld, **options: Any) -> AsyncIterator[Any]:
    """A `LedgerWorld` for as long as the block lasts."""
    world = made(home, **options)
    try:
        await world.open()
        yield world
    finally:
        await world.close()
