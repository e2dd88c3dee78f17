"""What a runtime says while it works, put on record without making it wait."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from outlast.core.errors import GatewayTrouble
from outlast.core.task import Task
from outlast.ledger.tasks import Ledger, has_begun
from outlast.process.clock import Clock
from outlast.process.keeper.crash import point
from outlast.runtimes.base import NotHeld

log = logging.getLogger("outlast.worker")

TRY_AGAIN_FIRST, TRY_AGAIN_MAX, TRY_AGAIN_HOPELESS = 0.2, 5.0, 60.0
"""Seconds between two tries while the store is in trouble: growing, and when that will not pass by itself."""
SEEN_SECONDS = 60.0
"""Between two signs of life on record of work that says nothing else; an audit asks after half an hour."""


T = TypeVar("T")


async def insist(act: Callable[[], Awaitable[T]], clock: Clock, what: str) -> T:
    """Do what must be done, and try again for as long as the store is in trouble. ``what`` waits is logged."""
    pause = TRY_AGAIN_FIRST
    while True:
        try:
            return await act()
        except GatewayTrouble as trouble:
            log.warning("%s: %s", what, trouble.message)
            pause = pause if trouble.retryable else TRY_AGAIN_HOPELESS
        await clock.sleep(pause)
        pause = min(pause * 2, TRY_AGAIN_MAX)


class WorkerHands:
    """The hands of one attempt at one task."""

    def __init__(self, ledger: Ledger, task: Task, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._ledger = ledger
        self._task = task
        self._spawn = spawn
        self._percent = task.progress
        self._message = task.progress_message
        self._seen_at = 0.0

    async def attach(self, session_id: str) -> None:
        """Put the session on record. Raises NotHeld."""
        attach = partial(self._ledger.attach, self._task, session_id)
        if await insist(attach, self._ledger.clock, f"task {self._task.id} waits to be started") is None:
            raise NotHeld
        point("worker:before_spawn")

    def began(self, data: dict[str, object]) -> None:
        """Put the start on record: from now on a missing session is lost, not a start that never was."""
        point("worker:after_spawn")
        self._spawn(self._told(self._ledger.note(self._task.id, "began", {"attempt": self._task.attempt, **data})))

    async def has_begun(self) -> bool:
        """Look for the start in the history of this attempt, for as long as it takes: nobody may guess instead."""
        told = partial(has_begun, self._ledger.store, self._task)
        return await insist(told, self._ledger.clock, f"task {self._task.id} waits to be settled")

    def progress(self, percent: int | None, message: str | None) -> None:
        """Put progress on record when it has changed, a sign of life when it is time for one."""
        now = self._ledger.clock.now()
        changed = (percent is not None and percent != self._percent) or (message and message != self._message)
        if changed:
            self._percent = self._percent if percent is None else percent
            self._message = message or self._message
            work: Coroutine[Any, Any, object] = self._ledger.progress(
                self._task.id, percent, message, claim_id=self._task.claim_id
            )
        elif now - self._seen_at >= SEEN_SECONDS:
            work = self._ledger.seen([self._task.id])
        else:
            return
        self._seen_at = now
        self._spawn(self._told(work))

    async def _told(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except GatewayTrouble as trouble:
            log.warning("task %s: %s", self._task.id, trouble.message)
