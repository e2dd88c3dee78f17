"""How processes that share one file hear of each other's commits: each has a bell, and rings those of the others.

A bell is a FIFO in a directory beside the file; what is rung is one byte, the sum of what a commit brought. So nobody
looks at the file again and again, and a process that is alone pays one `stat` a commit. A bell whose owner is dead has
no reader: whoever rings it takes it away.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
from collections.abc import Callable
from time import time_ns

SUFFIX = "-bells"
_TICK_NS = 50_000_000
"""Nanoseconds within which two changes of a directory may bear one moment: kernels before 6.13 stamp by their tick."""
_GONE = (errno.ENXIO, errno.ENOENT, errno.EPIPE)


class Bell:
    """One process's bell at one file. `ring` is called in the writer's thread, `rung` in the loop."""

    def __init__(self, path: str, rung: Callable[[int], None]) -> None:
        self._place = path + SUFFIX
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._rung = rung
        self._fd = -1
        self._known_mtime = -1
        self._others: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def hang(self, loop: asyncio.AbstractEventLoop) -> None:
        """Put the bell up. Where the file system has no FIFOs, changes are noticed by the slow rounds only."""
        path = os.path.join(self._place, self._name)
        try:
            os.makedirs(self._place, mode=0o700, exist_ok=True)
            if os.stat(self._place).st_uid != os.geteuid():
                return
            self._fd = self._put_up(path)
        except OSError:
            return
        self._loop = loop
        loop.add_reader(self._fd, self._hear)

    def _put_up(self, path: str) -> int:
        """Make the bell and listen to it before others see it: they take away one that nobody hears."""
        hidden = os.path.join(self._place, f".{self._name}")
        os.mkfifo(hidden, 0o600)
        fd = os.open(hidden, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.rename(hidden, path)
        except OSError:
            os.close(fd)
            raise
        return fd

    def take_down(self) -> None:
        """Take the bell away."""
        if self._fd >= 0:
            assert self._loop is not None
            self._loop.remove_reader(self._fd)
            _remove(os.path.join(self._place, self._name))
            os.close(self._fd)
            self._fd = -1
        for fd in self._others.values():
            os.close(fd)
        self._others.clear()

    def _hear(self) -> None:
        try:
            told = os.read(self._fd, 65_536)
        except BlockingIOError:
            return
        brought = 0
        for one in set(told):
            brought |= one
        self._rung(brought)

    def ring(self, brought: int) -> None:
        """Tell the others what a commit brought."""
        try:
            mtime = os.stat(self._place).st_mtime_ns
        except OSError:
            return
        if mtime != self._known_mtime:
            self._look(mtime)
        for name, fd in tuple(self._others.items()):
            try:
                os.write(fd, bytes((brought & 0xFF,)))
            except BlockingIOError:
                pass  # it has been rung so often that it will be heard
            except OSError:
                os.close(self._others.pop(name))
                _remove(os.path.join(self._place, name))

    def _look(self, mtime: int) -> None:
        """Learn who has come and gone since the directory was looked at last."""
        # One that comes in the tick of the last change leaves the moment as it is: then this look is not the last.
        self._known_mtime = mtime if abs(time_ns() - mtime) > _TICK_NS else -1
        try:
            names = {name for name in os.listdir(self._place) if not name.startswith(".")} - {self._name}
        except OSError:
            return
        for name in self._others.keys() - names:
            os.close(self._others.pop(name))
        for name in names - self._others.keys():
            path = os.path.join(self._place, name)
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError as error:
                if error.errno in _GONE:
                    _remove(path)
                continue
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                self._others[name] = fd
            else:
                os.close(fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # somebody else was first
