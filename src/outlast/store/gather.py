"""Group commit: acts that wait together are committed together, by one thread.

A durable commit costs one fsync whatever it carries. While one is under way, new acts gather; they are the next
batch. A batch first runs without safety nets. Only when an act in it fails is the batch rolled back and run again
with a net around each act, so that the failure stays with the act that made it.

The loop hears of the end of a batch by a pipe: `call_soon_threadsafe` wakes it 10 us later, and work that is alone
pays that at every step.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from outlast.store.acts import OUTBOX, SCHEDULES, change_of
from outlast.store.base import Change
from outlast.store.migrate import trouble
from outlast.store.steps import Steps

BATCH_MAX = 512
"""Acts in one commit: bounds how long the first of them waits for the last."""


class Act(msgspec.Struct, frozen=True):
    """An act that waits, and who waits for it."""

    future: asyncio.Future[Any]
    do: Callable[..., Steps[Any]]
    args: tuple[Any, ...]


Settled = list[tuple[asyncio.Future[Any], Any, BaseException | None]]

_reached: Callable[[str], None] | None = None


def on_points(callback: Callable[[str], None]) -> None:
    """Be told when a commit is about to be made, and when it was: for tests that crash there."""
    global _reached
    _reached = callback


class Gatherer(ABC):
    """Runs acts in batches in a thread of its own; used from one event loop."""

    def __init__(self, place: str, loop: asyncio.AbstractEventLoop, changed: Callable[[Change], None]) -> None:
        self.place = place
        self.brought = 0
        self._loop = loop
        self._changed = changed
        self._acts: queue.SimpleQueue[Act | None] = queue.SimpleQueue()
        self._settled: deque[tuple[Settled, int]] = deque()
        self._heard = self._bell = -1
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="outlast-store", daemon=True)

    @abstractmethod
    def write(self, batch: list[Act]) -> Settled:
        """Commit a batch and say how each act of it ended. Never raises; sets ``brought``."""

    @abstractmethod
    def let_go(self) -> None:
        """Give up the database: the thread has ended."""

    def tell_others(self, brought: int) -> None:
        """Tell other processes what a commit has brought, where the commit itself does not."""
        return

    def near(self, point: str, batch: list[Act]) -> None:
        """Pass the named points of a commit: one for each act in it, and one where it brings notices."""
        if _reached is None:
            return
        if self.brought & (OUTBOX | SCHEDULES):
            _reached(f"store:{point}_commit")
        for act in batch:
            _reached(f"store:{point}_commit:{act.do.__name__}")

    def start(self) -> None:
        """Start the thread."""
        self._heard, self._bell = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._bell, False)
        self._loop.add_reader(self._heard, self._hear)
        self._thread.start()

    def submit(self, do: Callable[..., Steps[Any]], *args: Any) -> asyncio.Future[Any]:  # noqa: ANN401
        """Ask for an act; the future is resolved after its commit."""
        future = self._loop.create_future()
        if self._closed:
            future.set_exception(trouble(f"{self.place} is closed", "store_closed", "open it again", retryable=True))
        else:
            self._acts.put(Act(future, do, args))
        return future

    async def close(self) -> None:
        """Finish what was asked for, end the thread, let go of the database."""
        if self._closed:
            return
        self._closed = True
        await self._loop.run_in_executor(None, self._finish)
        self._deliver_all()
        self._loop.remove_reader(self._heard)
        os.close(self._heard)
        os.close(self._bell)

    def _finish(self) -> None:
        self._acts.put(None)
        self._thread.join()
        self.let_go()

    def _run(self) -> None:
        more = True
        while more:
            act = self._acts.get()
            batch: list[Act] = []
            while act is not None:
                batch.append(act)
                if len(batch) == BATCH_MAX:
                    break
                try:
                    act = self._acts.get_nowait()
                except queue.Empty:
                    break
            else:
                more = False
            if batch:
                settled = self.write(batch)
                self.near("after", batch)
                if self.brought:
                    self.tell_others(self.brought)
                self._settle(settled)

    def _settle(self, settled: Settled) -> None:
        self._settled.append((settled, self.brought))
        try:
            os.write(self._bell, b"!")
        except BlockingIOError:
            pass  # it has been rung so often that it will be heard, or the loop is gone and nobody waits any more

    def _hear(self) -> None:
        os.read(self._heard, 4096)
        self._deliver_all()

    def _deliver_all(self) -> None:
        while self._settled:
            self._deliver(*self._settled.popleft())

    def _deliver(self, settled: Settled, brought: int) -> None:
        for future, result, error in settled:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        if brought:
            self._changed(change_of(brought))
