"""Named points at which a test may have the keeper killed, as kill -9 would at the worst moment.

Off unless the keeper was started with ``--crash-at NAME``; then the process that reaches the point first after the
file ``--crash-once`` could be created kills itself. Without the flag a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

_armed = ""
_once = ""


def arm(name: str, once: str) -> None:
    """Choose the point; ``once`` is a file whose creation decides who dies, so that a point fires a single time."""
    global _armed, _once
    _armed, _once = name, once


def is_armed() -> bool:
    """True where a test has chosen a point in this process."""
    return bool(_armed)


def point(name: str) -> None:
    """Die here if a test asked for it."""
    if name != _armed:
        return
    try:
        os.close(os.open(_once, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
