"""The three kernel calls the standard library does not offer, by ctypes.

Each degrades on its own: where a call is missing the caller is told, and works without it.
"""

from __future__ import annotations

import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_KEEP_SIZE = 1
_PUNCH_HOLE = 2

_fallocate = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    _fallocate.restype = ctypes.c_int


def become_subreaper() -> bool:
    """Make orphaned descendants children of this process instead of init. False where the kernel has no such thing."""
    prctl = getattr(_libc, "prctl", None)
    return prctl is not None and prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def set_name(name: str) -> None:
    """Show ``name`` (at most 15 bytes count) in process lists."""
    prctl = getattr(_libc, "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0)


def reserve(fd: int, start: int, size: int) -> None:
    """Set disk blocks aside beyond the end of a file without changing its length. Raises OSError."""
    _call(fd, _KEEP_SIZE, start, size)


def punch(fd: int, start: int, size: int) -> None:
    """Give a range of a file back to the disk; offsets after it stay as they are. Raises OSError."""
    _call(fd, _KEEP_SIZE | _PUNCH_HOLE, start, size)


def _call(fd: int, mode: int, start: int, size: int) -> None:
    if _fallocate is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    while _fallocate(fd, mode, start, size) != 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
