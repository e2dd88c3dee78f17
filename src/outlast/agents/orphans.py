"""Leaving nothing behind: whoever loses its parent becomes ours, and is ended."""

from __future__ import annotations

import os
import signal
import time

KILL_SECONDS = 3.0
"""How long to look for descendants that are still there after SIGKILL."""
_PR_SET_CHILD_SUBREAPER = 36


def adopt() -> bool:
    """Become the parent of every descendant that loses its own; False where the system cannot do that."""
    import ctypes

    try:
        done: int = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        return False
    return done == 0


def end_all() -> None:
    """Kill all our descendants, those that left their group included, and reap them."""
    until = time.monotonic() + KILL_SECONDS
    while (left := descendants(os.getpid())) and time.monotonic() < until:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        _reap()


def _reap() -> None:
    """Wait until a child has ended, if there is one; grandchildren become children as their parents go."""
    try:
        os.waitpid(-1, 0)
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    """Return the ids of all descendants of a process, parents first."""
    found: list[int] = []
    for child in _children(pid):
        found += [child, *descendants(child)]
    return found


def _children(pid: int) -> list[int]:
    """Each thread has children of its own in the list of the kernel."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [child for thread in threads for child in _children_of(pid, thread)]


def _children_of(pid: int, thread: str) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []
