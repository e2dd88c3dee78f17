"""The signals of the terminal while a session is followed.

Ctrl-C, Ctrl-\\ and a changed window size are left as bytes in a pipe, for the loop to deal with in its
turn. A closed terminal (SIGHUP) and SIGTERM are the end of this call at once, wherever it is, so they raise
Left.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType


class Left(Exception):  # not an error: the caller leaves, the session goes on
    """The caller leaves the session; ``code`` is the exit code that fits, the message says why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Signals:
    """While in a ``with`` block, collects SIGINT, SIGQUIT and SIGWINCH; poll on it, then ``take`` them."""

    COLLECTED = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)
    LEAVING = (signal.SIGHUP, signal.SIGTERM)

    def __init__(self) -> None:
        self._reader, self._writer = -1, -1
        self._before: list[tuple[int, object]] = []

    def __enter__(self) -> Signals:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        for number in (*self.COLLECTED, *self.LEAVING):
            # What our own caller ignores stays ignored: `nohup outlast exec` means it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before.append((number, signal.getsignal(number)))
                signal.signal(number, self._leave if number in self.LEAVING else self._collect)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler if callable(handler) else signal.SIG_DFL)
        os.close(self._reader)
        os.close(self._writer)

    def hush(self) -> None:
        """From now on nothing raises: what follows is putting things back, and must not be broken off."""
        for each in self.LEAVING:
            signal.signal(each, signal.SIG_IGN)

    def fileno(self) -> int:
        """Readable when there is something to take."""
        return self._reader

    def take(self) -> list[int]:
        """Return the numbers of the signals since the last time, in order."""
        try:
            return list(os.read(self._reader, 1024))
        except BlockingIOError:
            return []

    def _collect(self, number: int, _frame: FrameType | None) -> None:
        try:
            os.write(self._writer, bytes([number]))
        except BlockingIOError:  # a thousand are waiting already
            pass

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        self.hush()
        why = "the terminal was closed" if number == signal.SIGHUP else "asked to stop"
        raise Left(128 + number, why)
