"""The small loop of every sender: one round when there is news or something is due, and no bad round ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from outlast.core.errors import GatewayTrouble
from outlast.process.clock import Clock

log = logging.getLogger("outlast.delivery")

NET_SECONDS = 600.0
"""The longest it sleeps though nobody told it of anything."""
TROUBLE_SECONDS = 5.0
GAP_SECONDS = 0.001
"""The least time from round to round: news that comes together is seen to together."""
INSIST_FIRST, INSIST_MAX = 0.5, 30.0


async def insist(write: Callable[[], Awaitable[object]], clock: Clock) -> None:
    """Write down what became of a sending, however long the store is in trouble.

    Giving up would be to send it again, and again at every turn for as long as a disk is full.
    """
    pause = INSIST_FIRST
    while True:
        try:
            await write()
            return
        except GatewayTrouble as trouble:
            log.warning("what became of a sending waits to be recorded: %s", trouble.message)
        await clock.sleep(pause)
        pause = min(pause * 2, INSIST_MAX)


class Loop:
    """Goes round when nudged, or when what ``one_round`` returned (a moment, None for never) has come."""

    def __init__(self, name: str, one_round: Callable[[], Awaitable[float | None]], clock: Clock) -> None:
        self._name = name
        self._round = one_round
        self._clock = clock
        self._turn = asyncio.Event()
        self._job: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._over = False

    def start(self) -> None:
        """Begin with a first round."""
        self._turn.set()
        self._job = asyncio.create_task(self._go(), name=self._name)

    async def stop(self) -> None:
        """End, and cancel what was begun beside."""
        self._over = True
        jobs = [*self._jobs, *([self._job] if self._job else [])]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    def nudge(self) -> None:
        """Go round soon."""
        self._turn.set()

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that may take long without holding up the rounds; its end is a nudge, but not at once if bad."""
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._done)

    def _done(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if job.cancelled() or self._over:
            return
        if job.exception() is None:
            self._turn.set()
        else:
            log.error("%s: %r", self._name, job.exception())
            self.beside(self._clock.sleep(TROUBLE_SECONDS))

    async def _go(self) -> None:
        while True:
            began = self._clock.monotonic()
            self._turn.clear()
            due = await self._guarded()
            wait = NET_SECONDS if due is None else min(NET_SECONDS, max(0.0, due - self._clock.now()))
            turn = asyncio.ensure_future(self._turn.wait())
            timer = asyncio.ensure_future(self._clock.sleep(wait))
            try:
                await asyncio.wait((turn, timer), return_when=asyncio.FIRST_COMPLETED)
            finally:
                turn.cancel()
                timer.cancel()
            # News after a rest is seen to at once; what follows closely, together.
            await self._clock.sleep(max(0.0, began + GAP_SECONDS - self._clock.monotonic()))

    async def _guarded(self) -> float | None:
        try:
            return await self._round()
        except GatewayTrouble as trouble:
            log.warning("%s: %s", self._name, trouble.message)
        except Exception:
            log.exception("%s: a round failed", self._name)
        return self._clock.now() + TROUBLE_SECONDS
