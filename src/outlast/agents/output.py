"""Writing to a pipe that somebody else empties: never in the way of the turn, whoever is slow or gone."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections import deque
from collections.abc import Callable

HIGH, LOW = 4 * 1024 * 1024, 1024 * 1024
"""Bytes that wait to be written: from ``HIGH`` on the turn waits too, until they are down to ``LOW``."""
STALL_SECONDS = 60.0
"""A reader that takes nothing for so long is no longer waited for: what would make the backlog grow is dropped."""


class Output:
    """A descriptor with a thread that writes to it, so that no write ever stops the event loop."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.broken = False
        self.dropped = 0
        self._on_broken: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._backlog = 0
        self._stalled = False
        self._free = asyncio.Event()
        self._free.set()
        self._more = threading.Condition()
        self._idle = asyncio.Event()
        self._idle.set()
        threading.Thread(target=self._write_all, name=f"output-{fd}", daemon=True).start()

    def when_broken(self, act: Callable[[], None]) -> None:
        """Call this, in the loop, when nobody can read any more: at once, also while there is nothing to write."""
        self._on_broken = act
        threading.Thread(target=self._watch, name=f"watch-{self.fd}", daemon=True).start()

    def put(self, data: bytes, *, must: bool = False) -> bool:
        """Queue bytes; False when they were dropped, since nobody takes them. ``must``: dropped for nothing."""
        with self._more:
            if self.broken or (self._backlog >= HIGH and self._stalled and not must):
                self.dropped += 1
                return False
            self._waiting.append(data)
            self._backlog += len(data)
            self._idle.clear()
            if self._backlog >= HIGH:
                self._free.clear()
            self._more.notify()
        return True

    async def room(self) -> None:
        """Wait while too much is queued, at most as long as a reader is believed in."""
        if self._free.is_set() or self._stalled or self.broken:
            return
        try:
            await asyncio.wait_for(self._free.wait(), STALL_SECONDS)
        except TimeoutError:
            self._stalled = True

    async def close(self, seconds: float) -> bool:
        """Wait until all is written, for at most so long; False when something was not."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return not self.broken

    def _write_all(self) -> None:
        while True:
            with self._more:
                while not self._waiting:
                    self._more.wait()
                data = self._waiting.popleft()
            try:
                self._write(data)
            except OSError:
                self._break()
                return
            with self._more:
                self._backlog -= len(data)
                empty, freed = not self._backlog, self._backlog <= LOW and not self._free.is_set()
            if freed:
                self._stalled = False
            if empty or freed:
                self._tell(self._note)

    def _watch(self) -> None:
        """Wait for the end of whoever reads. A file has no such end."""
        poll = select.poll()
        poll.register(self.fd, 0)
        poll.poll()
        self._break()

    def _note(self) -> None:
        """In the loop: tell those who wait how much is left."""
        if self._backlog <= LOW:
            self._free.set()
        if not self._backlog:
            self._idle.set()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.fd, view) :]
            except BlockingIOError:
                select.select([], [self.fd], [])

    def _break(self) -> None:
        with self._more:
            self.broken = True
            self._waiting.clear()
            self._backlog = 0
        self._tell(self._note)
        if self._on_broken is not None:
            self._tell(self._on_broken)

    def _tell(self, act: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(act)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more
