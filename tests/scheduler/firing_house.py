"""Real stores on one database, a scheduler over each, and one clock that stands still."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from api_fakes import FakeClock, settle
from msgspec.structs import replace

from outlast.core import schedule as rules
from outlast.core.conversation import NewSystemEvent
from outlast.core.errors import BadInput
from outlast.core.lifecycle import Verb, transition
from outlast.core.schedule import CommandPayload, EventPayload, Kind, Overlap, Schedule
from outlast.core.task import NewTask, NotifyPolicy, Runtime, Task, TaskFilter
from outlast.scheduler.instants import following
from outlast.scheduler.service import Scheduler
from outlast.store.base import Claim
from outlast.store.base_told import FiringRow, NewFiring
from outlast.store.sqlite import SqliteStore
from watched_store import WatchedStore

SINCE = 1_800_000_000.0
"""Friday, 2027-01-15 08:00:00 UTC."""
DAY = 86_400.0
_numbers = itertools.count(1)


class House:
    """Several gateways' schedulers over one database."""

    def __init__(self, address: tuple[str, str], nodes: int = 1) -> None:
        self.clock = FakeClock(SINCE)
        self.clock.settle = self.settle
        self.stores = [WatchedStore(_store(address)) for _ in range(nodes)]
        self.schedulers = [Scheduler(store, self.clock, self.compose) for store in self.stores]
        self.refusing: dict[str, Exception] = {}

    @property
    def store(self) -> WatchedStore:
        return self.stores[0]

    def start(self) -> None:
        for scheduler in self.schedulers:
            scheduler.start()

    async def stop(self) -> None:
        for scheduler in self.schedulers:
            await scheduler.stop()

    async def settle(self) -> None:
        """Return when nothing moves any more without the clock."""
        while True:
            before = sum(sum(store.calls.values()) for store in self.stores)
            for store in self.stores:
                await store.at_rest()
            await settle()
            if sum(sum(store.calls.values()) for store in self.stores) == before:
                return

    async def go(self, seconds: float = 0.1) -> None:
        """Let time pass."""
        await self.settle()
        await self.clock.advance(seconds)

    async def compose(self, schedule: Schedule, instant: float, how: Literal["fired", "manual"]) -> NewFiring:
        """What an instant brings, as the API composes it."""
        if error := self.refusing.get(schedule.name):
            raise error
        if isinstance(schedule.payload, EventPayload):
            to, text = schedule.payload.conversation, schedule.payload.text
            key = f"{schedule.id}:{instant!r}"
            event = NewSystemEvent(conversation=to, at=self.clock.now(), kind="cron", text=text, source_key=key)
            return NewFiring(instant=instant, how=how, event=event)
        if not isinstance(schedule.payload, CommandPayload):
            raise BadInput("what is this?")
        task = NewTask(
            id=f"t{next(_numbers):014d}", runtime=Runtime.CLI, kind="exec", source="cron", requester="agent:a:main",
            created_at=self.clock.now(), schedule_id=schedule.id, label=schedule.name, notify=NotifyPolicy.SILENT,
            ask={"command": schedule.payload.command}, payload={"instant": instant},
            queue=f"cron:{schedule.id}" if schedule.overlap is Overlap.QUEUE else "default",
        )  # fmt: skip
        return NewFiring(instant=instant, how=how, task=task)

    # ---- rules

    async def rule(self, name: str = "job", *, every: float | None = None, **given: Any) -> Schedule:
        """A rule that was added now: every so many seconds from now on, or what is given."""
        now = self.clock.now()
        if every is not None:
            given |= {"kind": Kind.EVERY, "expr": f"{every:g}"}
        made = {
            "id": f"r-{name}", "name": name, "requester": "agent:a:main", "created_at": now, "updated_at": now,
            "payload": CommandPayload(command="make"), "overlap": Overlap.ALLOW,
        }  # fmt: skip
        schedule = Schedule(**{**made, **given})
        schedule = rules.begin(schedule, now, following(schedule))
        await self.store.inner.add_schedule(schedule)
        if schedule.overlap is Overlap.QUEUE:
            await self.store.inner.set_queue_limit(f"cron:{schedule.id}", 1)
        return schedule

    async def now_is(self, name: str = "job") -> Schedule:
        found = await self.store.inner.find_schedule(name)
        assert found is not None
        return found

    async def change(self, name: str, **given: Any) -> Schedule:
        written = await self.store.inner.edit_schedule(replace(await self.now_is(name), **given))
        assert written is not None
        return written

    # ---- what came of it

    async def firings(self, name: str = "job") -> list[FiringRow]:
        """Settled instants of a rule, oldest first."""
        rows, before = [], None
        while page := await self.store.inner.firings_of(f"r-{name}", 1000, before):
            rows += page
            before = page[-1].instant
        return rows[::-1]

    async def how(self, name: str = "job") -> list[tuple[float, str]]:
        """The same as (seconds since the start, how)."""
        return [(round(row.instant - SINCE, 3), row.how) for row in await self.firings(name)]

    async def tasks(self) -> list[Task]:
        found, cursor = [], None
        while True:
            page = await self.store.inner.list_tasks(TaskFilter(), 1000, cursor)
            found += page.tasks
            if (cursor := page.next) is None:
                return found[::-1]

    async def once_each(self, name: str = "job") -> list[float]:
        """Assert that each fired instant has exactly one task, and return the instants."""
        rows = [row for row in await self.firings(name) if row.task_id is not None]
        tasks = [task for task in await self.tasks() if task.schedule_id == f"r-{name}"]
        assert sorted(task.id for task in tasks) == sorted(str(row.task_id) for row in rows)
        assert max(Counter(row.instant for row in rows).values(), default=1) == 1
        return [round(row.instant - SINCE, 3) for row in rows]

    async def claim(self, count: int = 10) -> list[Task]:
        """Take what may run, as a worker does."""
        ids = [f"c{next(_numbers)}" for _ in range(count)]
        now = self.clock.now()
        claim = Claim(worker="w", claim_ids=ids, lease_until=None, now=now)
        return [taken.task for taken in await self.store.inner.claim_tasks(claim)]

    async def end(self, task: Task, verb: Verb = Verb.SUCCEED) -> None:
        await self.store.inner.apply(transition(task.id, verb, self.clock.now(), claim_id=task.claim_id))


def _store(address: tuple[str, str]) -> Any:
    kind, place = address
    if kind == "sqlite":
        return SqliteStore(place)
    from outlast.store.postgres import PostgresStore

    return PostgresStore(place)


@asynccontextmanager
async def open_house(address: tuple[str, str], nodes: int = 1, *, started: bool = True) -> AsyncIterator[House]:
    """A `House` for as long as the block lasts."""
    house = House(address, nodes)
    for store in house.stores:
        await store.open()
    try:
        if started:
            house.start()
            await house.settle()
        yield house
    finally:
        for store in house.stores:
            for gate in (*store.gates.values(), *store.after.values()):
                gate.set()
        await house.stop()
        for store in house.stores:
            await store.close()
