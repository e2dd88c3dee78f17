"""How much of its own time an act takes, on a machine that does other things as well."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIES = 20


def at_most(seconds: float, act: Callable[[], object]) -> bool:
    """True when an act takes less than so many seconds of this thread's time in one of some tries.

    What else the machine does is in some of them; what is slow by itself is so in all.
    """
    return any(_spent(act) < seconds for _ in range(TRIES))


def _spent(act: Callable[[], object]) -> float:
    began = time.thread_time()
    act()
    return time.thread_time() - began
