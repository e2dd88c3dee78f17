"""Noticing that the clock was set or the machine woke up, without looking: the kernel ends a timer then.

A timer of the loop counts seconds that pass. Over a suspend, or when somebody sets the clock, the moment it was meant
for has come long before it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
from collections.abc import Callable

log = logging.getLogger("outlast.scheduler")

_CLOCK_REALTIME = 0
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_ABSTIME, _CANCEL_ON_SET = 1, 2
_FAR = 1 << 40
"""Seconds since the epoch at which the timer would end by itself."""


class _Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("again", "again_ns", "at", "at_ns")]


class Steps:
    """Calls back in the event loop after each step of the clock; where the kernel cannot tell, never."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = -1

    def start(self) -> None:
        """Begin to listen, in the running loop."""
        try:
            self._fd = self._libc.timerfd_create(_CLOCK_REALTIME, _NONBLOCK | _CLOEXEC)
        except AttributeError:
            return
        if self._fd >= 0 and self._arm():
            asyncio.get_running_loop().add_reader(self._fd, self.heard)

    def stop(self) -> None:
        """End."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def heard(self) -> None:
        """The timer has ended: the clock was set. Listen for the next time."""
        try:
            os.read(self._fd, 8)
        except OSError:
            pass  # ECANCELED is how the kernel says it
        log.info("the clock was set, or the machine has slept")
        if not self._arm():
            self.stop()
        self._callback()

    def _arm(self) -> bool:
        spec = _Spec(0, 0, _FAR, 0)
        return bool(self._libc.timerfd_settime(self._fd, _ABSTIME | _CANCEL_ON_SET, ctypes.byref(spec), None) == 0)
