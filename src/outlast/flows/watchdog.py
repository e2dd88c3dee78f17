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


class Watchdog:
    """Watches that the loop of an engine turns while it holds flows; idle, it sleeps.

    ``open_store`` makes another store object of the same store.
    """

    def __init__(self, open_store: Callable[[], Store], engine: Engine) -> None:
        self._open_store = open_store
        self._engine = engine
        self._ended = threading.Event()
        self._wanted = threading.Event()
        self._turned_at = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="flow watchdog", daemon=True)
        self._turning: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Call it in the loop that is to be watched."""
        self._turning = asyncio.create_task(self._turn())
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self._wanted.set()
        if self._turning is not None:
            self._turning.cancel()

    async def _turn(self) -> None:
        while True:
            await self._engine.holding.wait()
            self._turned_at = time.monotonic()
            self._wanted.set()
            await asyncio.sleep(self._engine.lease_seconds / 6)
            if not self._engine.holding.is_set():
                self._wanted.clear()

    def _watch(self) -> None:
        lease = self._engine.lease_seconds
        while self._wanted.wait() and not self._ended.wait(lease / 3):
            blocked = time.monotonic() - self._turned_at
            claims = self._engine.claims
            if blocked < lease / 3 or not claims:
                continue
            log.warning("the loop has been blocked for %.0f s by a step that does not await", blocked)
            try:
                asyncio.run(self._renew(claims))
            except Exception as error:
                log.warning("leases cannot be renewed: %s", error)

    async def _renew(self, claims: list[str]) -> None:
        store = self._open_store()
        await store.open()
        try:
            now = self._engine.clock.now()
            await store.renew_flow_leases(claims, now + self._engine.lease_seconds)
        finally:
            await store.close()
