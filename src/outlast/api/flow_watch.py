"""Waiting for news of flows: told by commits and by the ends of workers, never by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from outlast.api.context import Api, until
from outlast.api.flow_trouble import is_worker
from outlast.process.sessions import Session

PAUSE_FIRST, PAUSE_MAX = 0.005, 0.2
"""Seconds before another look after one that brought nothing: many flows may move while one is watched."""


async def watched(api: Api, look: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> Any:  # noqa: ANN401
    """Return what ``look`` finds as soon as it finds something; None when the time is over or the gateway stops.

    It looks when the store says that flows have moved, or a worker of programs has ended. Each look that brings
    nothing makes the next one a little later, so that a busy store does not make everybody look at each of its
    commits.
    """
    deadline = api.clock.monotonic() + seconds
    pause = PAUSE_FIRST
    worker_ended = asyncio.Event()

    def heard(event: str, session: Session) -> None:
        if event == "ended" and is_worker(session):
            worker_ended.set()

    with api.listening(heard):
        while True:
            moved = api.ledger.news.next_flow()  # before looking, so that nothing falls between
            worker_ended.clear()
            try:
                found = await look()
                left = deadline - api.clock.monotonic()
                if found is not None or left <= 0 or api.stopping:
                    return found
                woken = await api.first(until(moved), _set(worker_ended), seconds=left)
                if woken is not None:
                    await api.first(api.clock.sleep(min(pause, max(0.0, deadline - api.clock.monotonic()))))
                    pause = min(pause * 2, PAUSE_MAX)
            finally:
                moved.cancel()


async def _set(event: asyncio.Event) -> None:
    await event.wait()
