"""Blocking work beside the event loop: never more than so many threads, and nobody waits for a thread that hangs.

An executor's threads are joined when the interpreter ends, so one hanging name server would hold up a gateway that
wants to stop. These are daemons, started when there is work and gone when it is done.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

THREADS_MAX = 8


class Threads:
    """At most ``max_count`` threads at a time; further work waits for one to end."""

    def __init__(self, max_count: int = THREADS_MAX) -> None:
        self._free = asyncio.Semaphore(max_count)

    async def run(self, work: Callable[[], T], *, abort: Callable[[], None] | None = None) -> T:
        """Do ``work`` in a thread and return what it returns, or raise what it raises.

        A cancelled call returns at once and calls ``abort``, which should make the work end early. The thread counts
        until it has really ended.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        thread = threading.Thread(target=self._work, args=(loop, done, work), name="outlast-delivery", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._free.release()
            raise
        try:
            return await done
        except asyncio.CancelledError:
            if abort is not None:
                abort()
            raise

    def _work(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], work: Callable[[], T]) -> None:
        settle: Callable[[], None]
        try:
            result = work()
        except BaseException as caught:
            error = caught
            settle = lambda: done.set_exception(error)  # noqa: E731
        else:
            settle = lambda: done.set_result(result)  # noqa: E731
        try:
            loop.call_soon_threadsafe(self._ended, done, settle)
        except RuntimeError:
            pass  # the loop has closed: nobody waits any more

    def _ended(self, done: asyncio.Future[T], settle: Callable[[], None]) -> None:
        self._free.release()
        if not done.done():
            settle()
