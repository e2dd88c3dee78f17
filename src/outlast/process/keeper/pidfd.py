"""Watching a process that is not our child, by pidfd: when it ends, and on newer kernels also how."""

from __future__ import annotations

import fcntl
import os
import sys

from outlast.process.keeper import proc

_GET_INFO = 0xC040FF0B
"""PIDFD_GET_INFO with the 64-byte first version of its structure (Linux 6.15 fills in the exit status)."""
_INFO_EXIT = 1 << 3
_STATUS_AT = 60


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor that turns readable when the process ends; None when it is gone or the kernel is too old."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None


def status_of_ended(pidfd: int, pid: int, ticks: int) -> int | None:
    """Return the wait status of a process that has ended and is not our child; None where nothing tells it.

    It waits for its parent to reap it, or it was reaped a moment ago: one of the two looks finds it.
    """
    status = proc.exit_of_zombie(pid, ticks)
    return _status_of_reaped(pidfd) if status is None else status


def _status_of_reaped(pidfd: int) -> int | None:
    info = bytearray(64)
    info[0:8] = _INFO_EXIT.to_bytes(8, sys.byteorder)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info, True)
    except OSError:
        return None
    if not int.from_bytes(info[0:8], sys.byteorder) & _INFO_EXIT:
        return None
    return int.from_bytes(info[_STATUS_AT : _STATUS_AT + 4], sys.byteorder)
