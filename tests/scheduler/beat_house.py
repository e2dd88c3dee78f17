"""Real stores on one database, heartbeats over each, agents that answer what a test says, and one clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from api_fakes import FakeClock, settle

from outlast.core.agent import AgentSpec, Beat, BeatState, HeartbeatSpec, main_conversation
from outlast.core.agent_end import TurnEnd
from outlast.core.conversation import Mode, NewSystemEvent
from outlast.core.errors import OutlastError
from outlast.core.lifecycle import Verb, transition
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, Runtime, Task
from outlast.ledger.news import News
from outlast.scheduler.heartbeat import Heartbeats
from outlast.store.base import Claim
from outlast.store.sqlite import SqliteStore
from watched_store import WatchedStore

SINCE = 1_800_000_000.0
"""Friday, 2027-01-15 08:00:00 UTC."""
MAIN = main_conversation("main")
_numbers = itertools.count(1)


class Turns:
    """Does beats as a gateway does: what waits is told, and consumed when the turn has ended."""

    def __init__(self, house: House, store: WatchedStore) -> None:
        self.house = house
        self.store = store
        self._locks: dict[str, asyncio.Lock] = {}

    def lock(self, conversation: str) -> asyncio.Lock:
        return self._locks.setdefault(conversation, asyncio.Lock())

    async def begin_beat(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        assert self.lock(main_conversation(agent)).locked()
        if self.house.refusing is not None:
            raise self.house.refusing
        events = await self.store.system_events(main_conversation(agent), 0, 500)
        self.house.sessions[session_id] = (self.store, events[-1].id if events else 0)
        self.house.asked.append((round(self.house.clock.now() - SINCE, 3), message))
        self.house.told += [event.text for event in events]

    async def resume_beat(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        assert self.lock(main_conversation(agent)).locked()

    async def end_of_beat(self, agent: str, session_id: str) -> TurnEnd | None:
        assert self.lock(main_conversation(agent)).locked()
        at, upto = self.house.sessions.get(session_id, (None, 0))
        if at is not self.store:  # nothing is to be seen here of the sessions of another gateway
            return None
        await self.house.gate.wait()
        now = self.house.clock.now()
        if isinstance(self.house.answer, TurnEnd):
            return self.house.answer
        await self.store.ack_events(main_conversation(agent), upto, now)
        return TurnEnd(status=Status.SUCCEEDED, cause=Cause.EXIT, at=now, text=self.house.answer)


class House:
    """Several gateways' heartbeats over one database. ``agents`` share one table of a heartbeat."""

    def __init__(self, address: tuple[str, str], folder: Path, nodes: int, spec: HeartbeatSpec) -> None:
        self.clock = FakeClock(SINCE)
        self.clock.settle = self.settle
        self.folder = folder
        self.agents = {
            "main": AgentSpec(name="main", backend="acp", command=("x",), workdir=str(folder), heartbeat=spec)
        }
        self.stores = [WatchedStore(_store(address)) for _ in range(nodes)]
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: str | TurnEnd = "HEARTBEAT_OK"
        self.refusing: OutlastError | None = None
        self.sessions: dict[str, tuple[WatchedStore, int]] = {}
        self.asked: list[tuple[float, str]] = []
        self.told: list[str] = []
        self.beating: list[Heartbeats] = []
        self.checklist("- look at the mail")

    def make(self, node: int = 0) -> Heartbeats:
        """The heartbeats of a gateway that starts."""
        store = self.stores[node]
        news = News()
        news.follow(store)
        made = Heartbeats(
            store, self.clock, self.agents, Turns(self, store), home=str(self.folder),
            new_session_id=lambda: f"s{next(_numbers)}", news=news, node=f"n{node}",
            shared=len(self.stores) > 1,
        )  # fmt: skip
        self.beating.append(made)
        return made

    @property
    def store(self) -> WatchedStore:
        return self.stores[0]

    def checklist(self, text: str | None) -> None:
        path = self.folder / "HEARTBEAT.md"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)

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
        await self.settle()
        await self.clock.advance(seconds)

    # ---- what happens meanwhile

    async def tell(self, count: int = 1, kind: str = "succeeded", mode: Mode = Mode.NOW) -> None:
        """Tell the agent's conversation something."""
        for _ in range(count):
            number = next(_numbers)
            await self.store.inner.add_system_event(
                NewSystemEvent(
                    conversation=MAIN, at=self.clock.now(), kind=kind, text=f"event {number}", source_key=f"e{number}",
                    mode=mode,
                )
            )  # fmt: skip

    async def turn(self, requester: str = "agent:boss:main", runtime: Runtime = Runtime.ACP, **given: Any) -> Task:
        """A task of the agent's conversation that runs."""
        number = next(_numbers)
        new = NewTask(
            id=f"t{number:014d}", runtime=runtime, kind="turn", source="agent", requester=requester,
            created_at=self.clock.now(), conversation=MAIN, **given,
        )  # fmt: skip
        await self.store.inner.create_task(new)
        claim = Claim(worker="w", claim_ids=[f"c{number}"], lease_until=None, now=self.clock.now())
        [taken] = await self.store.inner.claim_tasks(claim)
        return taken.task

    async def end(self, task: Task) -> None:
        moved = transition(task.id, Verb.SUCCEED, self.clock.now(), claim_id=task.claim_id)
        ended = await self.store.inner.apply(moved)
        for heartbeats in self.beating:
            heartbeats._news.moved(ended)

    # ---- what came of it

    async def state(self) -> BeatState:
        [state] = await self.store.inner.beat_states()
        return state

    async def beats(self) -> list[Beat]:
        """All beats, oldest first."""
        return (await self.store.inner.beats_of(None, 1000))[::-1]

    async def history(self) -> list[tuple[float, str, str, str]]:
        return [(round(b.at - SINCE, 3), b.why, b.outcome, b.reason) for b in await self.beats()]

    async def outcomes(self) -> list[tuple[float, str]]:
        return [(round(b.at - SINCE, 3), b.outcome) for b in await self.beats()]

    async def notices(self) -> list[tuple[str, str]]:
        """Who was told what."""
        rows = await self.store.inner.list_notices(None, None, 1000)
        return [(row.target, str(row.body["text"])) for row in rows if row.kind == "heartbeat"][::-1]

    async def waiting(self) -> int:
        return len(await self.store.inner.system_events(MAIN, 0, 1000))


def _store(address: tuple[str, str]) -> Any:
    kind, place = address
    if kind == "sqlite":
        return SqliteStore(place)
    from outlast.store.postgres import PostgresStore

    return PostgresStore(place)


@asynccontextmanager
async def beat_house(
    address: tuple[str, str], folder: Path, nodes: int = 1, *, started: bool = True, **spec: Any
) -> AsyncIterator[House]:
    """A `House` for as long as the block lasts."""
    house = House(address, folder, nodes, HeartbeatSpec(**{"tz": "UTC", **spec}))
    for store in house.stores:
        await store.open()
    try:
        if started:
            for node in range(nodes):
                house.make(node).start()
            await house.settle()
        yield house
    finally:
        for heartbeats in house.beating:
            await heartbeats.stop()
        for store in house.stores:
            await store.close()
