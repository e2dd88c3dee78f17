"""What the scripts of all peers share: their arguments, the two measurements, and the one line they print.

A script runs in an environment that has its peer and nothing of ours, so this is standard library only.

Every task is submitted by itself, as by callers who know nothing of each other; what a peer does to gather them is its
own business. The end of a task is heard of inside the process, when the peer's own code has just committed it: no peer
pays for somebody who looks again and again whether a task has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import math
import platform
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

PATIENCE = 120.0
"""Seconds to wait for what is still in flight when a measurement is over."""

POSTGRES_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "server_version")
_SYNCHRONOUS = {0: "off", 1: "normal", 2: "full", 3: "extra"}


def arguments(doc: str | None, words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read what the driver asks for. The defaults are those of a real measurement."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--folder", default=".", help="where the peer may put its database")
    parser.add_argument("--dsn", default="", help="address of an empty PostgreSQL database, for peers that use one")
    parser.add_argument("--variant", default="", help="of the peer's settings, see its script")
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--warm", type=float, default=1.0, help="seconds that are not counted")
    parser.add_argument("--seconds", type=float, default=4.0, help="that are counted")
    parser.add_argument("--tasks", type=int, default=0, help="stop after so many, whatever the time")
    parser.add_argument("--singles", type=int, default=200, help="tasks run one at a time, for at most SECONDS")
    return parser.parse_args(words)


class Window:
    """When tasks ended while many were in flight, the warm-up apart. Threads may share it."""

    def __init__(self, words: argparse.Namespace) -> None:
        self._tasks_max = words.tasks or math.inf
        self._opens = time.perf_counter() + words.warm
        self._closes = self._opens + words.seconds
        self._started = 0
        self._ends: list[float] = []

    def another(self) -> bool:
        """Whether one more task is to be submitted now."""
        if self._started >= self._tasks_max or time.perf_counter() >= self._closes:
            return False
        self._started += 1
        return True

    def ended(self) -> None:
        self._ends.append(time.perf_counter())

    def figures(self) -> dict[str, Any]:
        """Count the ends from where the window opened to where it closed, or to the last when a number closed it."""
        inside = [moment for moment in self._ends if self._opens <= moment <= self._closes]
        if not inside:
            raise RuntimeError(f"{len(self._ends)} tasks ended, none of them in time")
        seconds = (max(inside) if self._started >= self._tasks_max else self._closes) - self._opens
        return {"tasks": len(inside), "seconds": seconds, "tasksPerSecond": len(inside) / seconds}


class Ends:
    """Who waits for the end of which task. It may be heard of before its submitter knows the id."""

    def __init__(self) -> None:
        self._early: set[Hashable] = set()
        self._waiting: dict[Hashable, asyncio.Future[None]] = {}

    def ended(self, key: Hashable) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            self._early.add(key)
        elif not waiting.done():
            waiting.set_result(None)

    async def wait(self, key: Hashable) -> None:
        if key in self._early:
            self._early.remove(key)
            return
        self._waiting[key] = asyncio.get_running_loop().create_future()
        await self._waiting[key]


One = Callable[[], Awaitable[None]]
"""Submits one task and returns when its end is known."""


async def many(one: One, words: argparse.Namespace, window: Window | None = None) -> dict[str, Any]:
    """Keep as many tasks going as are to be in flight."""
    window = window or Window(words)

    async def lane() -> None:
        while window.another():
            await one()
            window.ended()

    async with asyncio.timeout(words.warm + words.seconds + PATIENCE):
        await asyncio.gather(*(lane() for _ in range(words.in_flight)))
    return window.figures()


async def single(one: One, words: argparse.Namespace) -> list[float]:
    """Run tasks one at a time: milliseconds from submit to the end known."""
    took: list[float] = []
    stop = time.perf_counter() + words.seconds
    while len(took) < words.singles and (time.perf_counter() < stop or len(took) < 2):
        began = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            await one()
        took.append((time.perf_counter() - began) * 1000)
    return took


Submit = Callable[[Callable[[], None]], None]
"""Submits one task and has its argument called, in whatever thread, when the end of that task is recorded."""


def many_in_threads(submit: Submit, words: argparse.Namespace, window: Window | None = None) -> dict[str, Any]:
    """Like `many` for a peer made of threads: one producer, which waits while enough tasks are in flight."""
    window, room = window or Window(words), threading.Semaphore(words.in_flight)

    def ended() -> None:
        window.ended()
        room.release()

    while room.acquire(timeout=PATIENCE) and window.another():
        submit(ended)
    for _ in range(words.in_flight - 1):
        if not room.acquire(timeout=PATIENCE):
            raise TimeoutError("some tasks never ended")
    return window.figures()


def single_in_threads(submit: Submit, words: argparse.Namespace) -> list[float]:
    """Like `single` for a peer made of threads."""
    took: list[float] = []
    stop = time.perf_counter() + words.seconds
    while len(took) < words.singles and (time.perf_counter() < stop or len(took) < 2):
        ended = threading.Event()
        began = time.perf_counter()
        submit(ended.set)
        if not ended.wait(PATIENCE):
            raise TimeoutError("a task never ended")
        took.append((time.perf_counter() - began) * 1000)
    return took


def report(
    *, many: dict[str, Any] | None, single: Sequence[float], durability: dict[str, str], versions: dict[str, str],
    settings: Sequence[str], steps: Sequence[float] = (), commits: Sequence[float] = (),
) -> None:  # fmt: skip
    """Print the line the driver reads. ``durability`` was read back from the database; ``settings`` are our tuning.

    ``steps`` are the milliseconds of single steps, of those who ran flows; ``commits`` those of raw commits between.
    """
    ordered = sorted(single)
    one = {
        "n": len(ordered),
        "p50": statistics.median(ordered),
        "p99": ordered[max(0, math.ceil(0.99 * len(ordered)) - 1)],
        "milliseconds": list(single),
    }
    line = {"many": many, "single": one, "durability": durability, "versions": versions, "settings": list(settings)}
    print(json.dumps({**line, "steps": list(steps), "commits": list(commits)}), flush=True)


def versions(*packages: str, **others: str) -> dict[str, str]:
    """What was measured: installed packages by name, anything else under its own name."""
    found = {name: importlib.metadata.version(name) for name in packages}
    return {**found, **others, "python": platform.python_version()}


def sqlite_durability(ask: Callable[[str], Any]) -> dict[str, str]:
    """Read back what decides durability, through a connection made as the peer makes its own."""
    synchronous = int(ask("PRAGMA synchronous"))
    return {"journal_mode": str(ask("PRAGMA journal_mode")).lower(), "synchronous": _SYNCHRONOUS[synchronous]}
