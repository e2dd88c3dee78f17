"""A real store, real outbox and wakes, scripted channels, and a clock that stands still."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from api_fakes import FakeClock, settle

from outlast.core.conversation import NewSystemEvent, Wake
from outlast.core.errors import BadInput
from outlast.core.lifecycle import Verb, transition
from outlast.core.task import NewTask, Runtime, StartClaim, Task
from outlast.delivery.channels.base import Channel, Message, SendFailed
from outlast.delivery.outbox import Outbox
from outlast.delivery.wake import Wakes
from outlast.store.sqlite import SqliteStore
from watched_store import WatchedStore

SINCE = 1_800_000_000.0
A, B = "agent:a:main", "agent:b:main"
_numbers = itertools.count(1)


def failed(reason: str = "it said 500", **given: Any) -> SendFailed:
    return SendFailed(reason, **{"retryable": True, **given})


class Scripted:
    """A channel: keeps what it is sent, and answers with the next of ``script`` (None: taken). ``gate`` holds it up."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.sent: list[Message] = []
        self.at: list[float] = []
        self.script: list[Exception | None] = []
        self.always: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = self.most = 0
        self.cancelled = 0

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.at.append(round(self.clock.at, 3))
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.busy -= 1
        answer = self.script.pop(0) if self.script else self.always
        if answer is not None:
            raise answer

    @property
    def ids(self) -> list[str]:
        return [message.id for message in self.sent]


class House:
    """One gateway's outbox and wakes over a file that may outlive it."""

    def __init__(self, path: Path, clock: FakeClock | None = None, *, shared: bool = False) -> None:
        self.clock = clock or FakeClock(SINCE)
        self.clock.settle = self.settle
        self.store = WatchedStore(SqliteStore(str(path)))
        self.channels: defaultdict[str, Scripted] = defaultdict(lambda: Scripted(self.clock))
        self.refused: dict[str, str] = {}
        self.outbox = Outbox(self.store, self.clock, self._target, shared=shared)
        self.merged: set[str] = set()
        self.wakes = Wakes(self.store, self.clock, self._wake, shared=shared, merges=self._merges)

    async def _merges(self, conversation: str) -> bool:
        return conversation in self.merged

    def _target(self, target: str) -> Channel | None:
        return None if target.startswith("agent:") else self._channel(target)

    def _wake(self, wake: Wake) -> Channel:
        return self._channel(wake.channel)

    def _channel(self, name: str) -> Channel:
        if name in self.refused:
            raise BadInput(self.refused[name])
        return self.channels[name]

    async def settle(self) -> None:
        """Return when nothing moves any more without the clock."""
        while True:
            before = sum(self.store.calls.values())
            await self.store.at_rest()
            await settle()
            if sum(self.store.calls.values()) == before:
                return

    async def go(self, seconds: float = 0.05) -> None:
        """Let time pass."""
        await self.settle()
        await self.clock.advance(seconds)

    async def stop(self) -> None:
        for part in (self.wakes, self.outbox):
            await part.stop()

    # ---- short ways

    async def ends(self, channel: str | None = None, *, requester: str = A, verb: Verb = Verb.SUCCEED) -> Task:
        """A task that has just ended; whoever asked for it, or its channel, is to hear."""
        number = next(_numbers)
        new = NewTask(
            id=f"t{number:014d}", runtime=Runtime.CLI, kind="exec", source="test", requester=requester,
            created_at=self.clock.now(), channel=channel, label=f"job {number}",
        )  # fmt: skip
        start = StartClaim(claim_id=f"c{number}", worker="w", lease_until=None, force=True)
        inner = self.store.inner
        await inner.create_task(new, start)
        task = await inner.apply(transition(new.id, verb, self.clock.now(), claim_id=f"c{number}"))
        assert task is not None
        return task

    async def says(self, text: str = "hello", conversation: str = A, **given: Any) -> None:
        """An event for a conversation."""
        new = {"at": self.clock.now(), "kind": "note", "text": text, "source_key": f"k{next(_numbers)}", **given}
        await self.store.inner.add_system_event(NewSystemEvent(conversation=conversation, **new))

    async def wake(self, channel: str = "wake", conversation: str = A) -> str:
        """A registered wake."""
        wake_id = f"w{next(_numbers)}"
        await self.store.inner.add_wake(
            Wake(id=wake_id, conversation=conversation, channel=channel, secret=None, created_at=SINCE)
        )
        return wake_id

    async def waiting(self, conversation: str = A) -> list[str]:
        return [event.text for event in await self.store.inner.system_events(conversation, 0, 1000)]

    async def states(self) -> list[str]:
        """What became of all notices, oldest first."""
        return [row.state for row in reversed(await self.store.inner.list_notices(None, None, 1000))]


@asynccontextmanager
async def open_house(
    path: Path, *, started: bool = True, clock: FakeClock | None = None, shared: bool = False
) -> AsyncIterator[House]:
    """A `House` for as long as the block lasts."""
    house = House(path, clock, shared=shared)
    await house.store.open()
    try:
        if started:
            house.outbox.start()
            house.wakes.start()
            await house.settle()
        yield house
    finally:
        for gate in (*house.store.gates.values(), *house.store.after.values()):
            gate.set()
        house.store.failing.clear()
        await house.stop()
        await house.store.close()


def about(channel: Scripted) -> list[object]:
    """Which tasks a channel has heard of, in order."""
    return [message.data["taskId"] for message in channel.sent]
