"""What the tests that break things share: who is who in a session, killing it, and bounded waits for what follows."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

from outlast.process.keeper import proc
from outlast.process.keeper import record as records
from outlast.process.session import Session
from outlast.process.sessions import Sessions

LIMIT = 90.0
"""Seconds any single thing may take before a test calls it hanging."""


def supervisor_of(session: Session) -> int:
    """The process that looks after a session now, as the record says."""
    record = records.read(session.folder) or {}
    return int({**record.get("started", {}), **record.get("taken_over", {})}["supervisor"])


def kill9(*pids: int) -> None:
    """SIGKILL, all at once."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """True while a process runs; a zombie does not."""
    return proc.state_of(pid) not in ("", "Z", "X")


async def within(what: Awaitable[Any], seconds: float = LIMIT) -> Any:
    """Await something, but not for ever."""
    return await asyncio.wait_for(what, seconds)


async def until(condition: Callable[[], Any], seconds: float = LIMIT) -> Any:
    """Wait for something outside our process to become true, and return it."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"did not come true within {seconds} s"
        await asyncio.sleep(0.005)
    return value


async def printed(table: Sessions, session: Session, size: int) -> None:
    """Wait until a session has printed at least so many bytes."""
    while (seen := session.produced) < size:  # one look: what comes between two would be waited for in vain
        assert session.end is None, f"ended after {seen} bytes: {session.end}"
        await within(table.until_output(session, seen))


def abandon(table: Sessions) -> None:
    """Drop a table the way kill -9 of its gateway does: every connection breaks, nothing is said or written."""
    table._spawn = lambda coroutine: coroutine.close()  # type: ignore[method-assign]
    for task in table._tasks:
        task.cancel()
    for session in table._live.values():
        if session.link is not None:
            session.link.on_event = session.link.on_lost = lambda *_: None
            session.link._transport.abort()


def numbers(session: Session) -> list[str]:
    """Everything a session printed, as words."""
    return session.output.read(0, session.produced).decode().split()
