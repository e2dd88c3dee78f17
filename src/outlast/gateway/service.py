"""Loops as they are all the same here: start, stop, one pass at a time, and no bad pass can end one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from outlast.process.clock import Clock

log = logging.getLogger("outlast.gateway")

BACKOFF_FIRST = 1.0
BACKOFF_MAX = 300.0


class Service:
    """Runs ``one_pass`` now and then every ``every`` seconds; after a failure sooner, with growing pauses."""

    def __init__(self, name: str, one_pass: Callable[[], Awaitable[object]], *, every: float, clock: Clock) -> None:
        self.name = name
        self._pass = one_pass
        self._every = every
        self._clock = clock
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """End; a pass under way is cancelled."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(await self._turn())

    async def _turn(self) -> float:
        """Do one pass and return the seconds until the next."""
        try:
            await self._pass()
        except Exception:
            self._failures += 1
            pause: float = min(self._every, BACKOFF_MAX, BACKOFF_FIRST * 2.0 ** (self._failures - 1))
            log.exception("%s failed, again in %g s", self.name, pause)
            return pause
        self._failures = 0
        return self._every
