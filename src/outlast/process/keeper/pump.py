"""Moving bytes: from the command's pipes or pty into the spool, and from callers into its standard input.

One buffer per session, mapped once; its pages go back to the system when a loud session falls quiet.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import time
from collections.abc import Callable

from outlast.process.keeper.spawn import Descriptors
from outlast.process.keeper.spool import Spool

BUFFER = 1 << 20
STDIN_MAX = 1 << 20
"""Bytes of input held for a command that does not read; more is answered with ``stdin_full``."""
DRAIN_MAX = 4 << 20
"""Bytes read after the command's end before its exit is told: more than its pipes or pty can hold."""
_LOUD = 1 << 16
_F_SETPIPE_SZ = 1031
_F_GETPIPE_SZ = 1032
_MADV_DONTNEED = 4


class Pump:
    """The data side of one session.

    ``wrote`` is called after every piece of output, ``closed_input`` when the command's input was closed.
    """

    __slots__ = (
        "_buffer",
        "_eof",
        "_pending",
        "_poll",
        "_spool",
        "_touched",
        "_view",
        "closed_input",
        "fds",
        "last_output",
        "wrote",
    )

    def __init__(
        self,
        poll: select.epoll,
        fds: Descriptors,
        spool: Spool,
        wrote: Callable[[], None],
        closed_input: Callable[[], None],
    ) -> None:
        self._poll = poll
        self._spool = spool
        self._buffer = mmap.mmap(-1, BUFFER)
        self._view = memoryview(self._buffer)
        self._touched = 0
        self._pending = b""
        self._eof = False
        self.fds = fds
        self.wrote = wrote
        self.closed_input = closed_input
        self.last_output = time.monotonic()
        for fd in fds.out:
            poll.register(fd, select.EPOLLIN)

    @property
    def open(self) -> bool:
        """True while more output can come."""
        return bool(self.fds.out)

    @property
    def takes_input(self) -> bool:
        """True while the command's standard input is ours to write."""
        return self.fds.stdin >= 0 and not self._eof

    @property
    def input_waiting(self) -> int:
        """Bytes accepted that the command has not taken yet."""
        return len(self._pending)

    def owns(self, fd: int) -> bool:
        """True when an event on ``fd`` is for ``turn``."""
        return fd in self.fds.out or fd == self.fds.stdin

    def turn(self, fd: int, mask: int) -> None:
        """Serve one event."""
        if fd in self.fds.out and mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self.read(fd)
        if fd == self.fds.stdin and mask & (select.EPOLLOUT | select.EPOLLERR):
            self._feed()

    def read(self, fd: int) -> int:
        """Move one read's worth of output to the spool; return its size, 0 when there was none."""
        try:
            n = self._move(fd)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # a pty answers EIO when its last user has gone
            n = 0
        if n == 0:
            self._stop_reading(fd)
            return 0
        if n >= _LOUD and not self.fds.pty:
            _widen(fd)
        self.last_output = time.monotonic()
        self.wrote()
        return n

    def _move(self, fd: int) -> int:
        stream = self.fds.out[fd]
        if not self.fds.pty and (n := self._spool.take(stream, fd)) is not None:
            return n
        n = os.readv(fd, [self._view])
        if n:
            self._touched = max(self._touched, n)
            self._spool.append(stream, self._view[:n])
        return n

    def drain(self) -> None:
        """Read what is already there, and no more: who still holds the pipe may write for ever."""
        left = DRAIN_MAX
        for fd in list(self.fds.out):
            while left > 0 and fd in self.fds.out and (n := self.read(fd)):
                left -= n

    def before_sleep(self) -> None:
        """Give the pages of a big read back: a quiet session shall not cost what a loud one did."""
        if self._touched > _LOUD and not self._poll.poll(0):
            self._buffer.madvise(_MADV_DONTNEED)
            self._touched = 0

    def write(self, data: bytes, *, eof: bool) -> None:
        """Queue input for the command and push what fits. The caller has checked ``takes_input`` and STDIN_MAX."""
        self._pending += data
        if eof and self.fds.pty:
            self._pending += b"\x04"  # what a person types to end the input of a terminal
        elif eof:
            self._eof = True
        self._feed()

    def _feed(self) -> None:
        fd = self.fds.stdin
        while fd >= 0 and self._pending:
            try:
                n = os.write(fd, self._pending[:65536])
            except (BlockingIOError, InterruptedError):
                self._want(fd, True)
                return
            except OSError:  # the command closed its standard input: what is left can reach nobody
                self._pending = b""
                self._eof = True
                break
            self._pending = self._pending[n:]
        if fd < 0:
            return
        self._want(fd, False)
        if self._eof and not self.fds.pty:
            self.fds.stdin = -1
            os.close(fd)
            self.closed_input()

    def _want(self, fd: int, want: bool) -> None:
        if self.fds.pty:
            if fd in self.fds.out:
                self._poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if want else 0))
            return
        try:
            if want:
                self._poll.register(fd, select.EPOLLOUT)
            else:
                self._poll.unregister(fd)
        except OSError:
            pass  # already as wanted

    def _stop_reading(self, fd: int) -> None:
        self._poll.unregister(fd)
        del self.fds.out[fd]
        if fd == self.fds.stdin:
            self.fds.stdin = -1
        os.close(fd)


def _widen(fd: int) -> None:
    try:
        if fcntl.fcntl(fd, _F_GETPIPE_SZ) < BUFFER:
            fcntl.fcntl(fd, _F_SETPIPE_SZ, BUFFER)
    except OSError:
        pass  # the user's share of pipe memory is spent: it works with the small one
