"""A worker whose work is the test: runtimes that do what they are told, at a real ledger under a clock that stands."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))

from api_fakes import asynchronous
from api_ledger import LedgerWorld, ledger_world

from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, Runtime, Task
from outlast.runtimes.base import Hands
from outlast.store.base import Created

__all__ = [
    "DONE",
    "FAILED",
    "NO_PAUSE",
    "STOPPED",
    "FakeRuntime",
    "Run",
    "Shop",
    "asynchronous",
    "ledger_world",
    "shop",
]

DONE = Outcome(status=Status.SUCCEEDED, cause=Cause.EXIT, detail={"exitCode": 0})
FAILED = Outcome(status=Status.FAILED, cause=Cause.EXIT, detail={"exitCode": 3}, error="exit code 3")
STOPPED = Outcome(status=Status.CANCELLED, cause=Cause.OPERATOR)
NO_PAUSE = {"delaySeconds": 0.0, "delayMaxSeconds": 0.0}


class Run:
    """One attempt under way."""

    def __init__(self, task: Task, payload: dict[str, Any] | None, hands: Hands) -> None:
        self.task = task
        self.payload = payload
        self.hands = hands
        self.over: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()


class FakeRuntime:
    """Does work that ends when the test says so."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.resumed: list[Run] = []
        self.cancelled: list[tuple[str, str]] = []
        self.obeys = True
        self.stubborn: asyncio.Event | None = None

    async def run(self, task: Task, payload: dict[str, Any], hands: Hands) -> Outcome:
        self.runs.append(Run(task, payload, hands))
        return await self.runs[-1].over

    async def resume(self, task: Task, hands: Hands) -> Outcome:
        self.resumed.append(Run(task, None, hands))
        return await self.resumed[-1].over

    async def cancel(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        self.cancelled.append((task.id, cause.value))
        if self.stubborn is not None:
            await self.stubborn.wait()
        for run in self.live(task.id):
            if self.obeys:
                status = Status.TIMED_OUT if cause is Cause.DEADLINE else Status.CANCELLED
                run.over.set_result(Outcome(status=status, cause=cause))

    def live(self, task_id: str | None = None) -> list[Run]:
        """The attempts that have not ended."""
        every = [*self.runs, *self.resumed]
        return [run for run in every if not run.over.done() and task_id in (None, run.task.id)]

    @property
    def running(self) -> list[str]:
        """The tasks that are being worked on, in the order they were begun."""
        return [run.task.id for run in self.live()]


class Shop(LedgerWorld):
    """A ledger world whose commands are done by a `FakeRuntime`."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.runtime = FakeRuntime()
        super().__init__(home, runtimes={Runtime.CLI: self.runtime}, **options)

    def new(self, name: str, **fields: Any) -> NewTask:
        given = {
            "id": name, "runtime": Runtime.CLI, "kind": "exec", "source": "test", "requester": "local",
            "created_at": self.clock.now(), "payload": {"what": name},
        }  # fmt: skip
        return NewTask(**{**given, **fields})

    async def submit(self, *names: str, **fields: Any) -> list[Created]:
        """Have work done; returns when everything that can move has moved."""
        made = [await self.books.submit(self.new(name, **fields)) for name in names]
        await self.settle()
        return made

    async def finish(self, name: str, outcome: Outcome | BaseException = DONE) -> Task:
        """End an attempt; return the task once that is on record."""
        [run] = self.runtime.live(name)
        if isinstance(outcome, BaseException):
            run.over.set_exception(outcome)
        else:
            run.over.set_result(outcome)
        return await self.task(name)

    async def status(self, *names: str) -> list[str]:
        """Return how tasks stand."""
        return [(await self.task(name)).status.value for name in names]


@asynccontextmanager
async def shop(home: Path, **options: Any) -> AsyncIterator[Shop]:
    """A `Shop` for as long as the block lasts."""
    async with ledger_world(home, made=Shop, **options) as world:
        yield world
