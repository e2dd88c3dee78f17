"""A thread that renews the leases of an engine whose loop is blocked by a program's code."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from outlast.flows.engine import Engine
from outlast.store.base import Store

log = logging.getLogger("outlast.flows")

LOOKS, BLOCKED, RENEWS = 1 / 12, 1 / 6, 1 / 6
"""Parts of a lease: between two looks, after which a loop that does not answer counts as blocked, and between renewals.
The engine itself renews after a third, so there is a third left for the store to be slow."""


class Watchdog:
    """Watches that the loop of an engine turns. ``open_store`` makes another store object of the same store.

    While the engine holds nothing, it sleeps.
    """

    def __init__(self, open_store: Callable[[], Store], engine: Engine) -> None:
        self._open_store = open_store
        self._engine = engine
        self._ended = threading.Event()
        self._answered = True
        self._asked_at = self._renewed_at = 0.0
        self._thread = threading.Thread(target=self._watch, name="flow watchdog", daemon=True)

    def start(self) -> None:
        """Begin. Call it in the loop that is to be watched."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self._engine.watched.set()

    def _watch(self) -> None:
        while self._engine.watched.wait() and not self._ended.wait(self._engine.lease_seconds * LOOKS):
            try:
                self._look(time.monotonic())
            except Exception as error:
                log.warning("leases cannot be renewed: %s", error)

    def _look(self, now: float) -> None:
        """Ask the loop to answer; where it has not for long, do its part."""
        if self._answered:
            self._answered, self._asked_at = False, now
            self._loop.call_soon_threadsafe(self._answer)
            return
        lease, claims = self._engine.lease_seconds, self._engine.claims
        if now - self._asked_at < lease * BLOCKED or now - self._renewed_at < lease * RENEWS or not claims:
            return
        self._renewed_at = now
        log.warning("the loop has been blocked for %.1f s by a step that does not await", now - self._asked_at)
        asyncio.run(self._renew(claims))

    def _answer(self) -> None:
        self._answered = True

    async def _renew(self, claims: list[str]) -> None:
        store = self._open_store()
        await store.open()
        try:
            now = self._engine.clock.now()
            await store.renew_flow_leases(claims, now + self._engine.lease_seconds)
        finally:
            await store.close()
