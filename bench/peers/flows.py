"""What the scripts that run flows share: how long a flow is, how its steps are timed, and when many are counted.

Standard library only, like `common`. A step is timed inside its flow, from where the program goes on after the step
before it: what a peer does to record it is in there, whatever it does before or after the step itself.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from peers import common

STEPS = 10
"""Steps a flow has. Each does nothing and returns its number."""


class Laps:
    """Milliseconds of the steps of flows that run one at a time."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.counting = False

    def start(self) -> Callable[[], None]:
        """Begin with a flow; call what is returned whenever one of its steps is done."""
        last = time.perf_counter()

        def lap() -> None:
            nonlocal last
            if self.counting:
                now = time.perf_counter()
                self.milliseconds.append((now - last) * 1000)
                last = now

        return lap


class Wave(common.Window):
    """Counts every flow, from the first submit until the last one has ended.

    Flows of a slow peer end in crowds, a hundred at a time: a window that closes at some moment would count one crowd
    too few or too many.
    """

    def figures(self) -> dict[str, Any]:
        if not self._ends:
            raise RuntimeError("no flow ended")
        seconds = max(self._ends) - self._opens
        return {"tasks": len(self._ends), "seconds": seconds, "tasksPerSecond": len(self._ends) / seconds}


async def singles(
    one: Callable[[], Awaitable[None]],
    words: argparse.Namespace,
    laps: Laps,
    between: Callable[[], object] = lambda: None,
) -> list[float]:
    """Run flows one at a time, the first few uncounted; their steps are found in ``laps``.

    ``between`` is done after each flow, and is not part of any.
    """
    for _ in range(3):
        async with asyncio.timeout(common.PATIENCE):
            await one()
    laps.counting = True
    took: list[float] = []
    stop = time.perf_counter() + words.seconds
    while len(took) < words.singles and (time.perf_counter() < stop or len(took) < 2):
        took += await common.single(one, argparse.Namespace(singles=1, seconds=words.seconds))
        between()
    laps.counting = False
    return took


def singles_in_threads(submit: common.Submit, words: argparse.Namespace, laps: Laps) -> list[float]:
    """Like `singles` for a peer made of threads."""
    common.single_in_threads(submit, argparse.Namespace(singles=3, seconds=words.seconds))
    laps.counting = True
    took = common.single_in_threads(submit, words)
    laps.counting = False
    return took
