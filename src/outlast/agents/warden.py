"""The parent of one terminal's command: whatever the command starts stays below it, and ends with it.

A process of its own, since only one that takes in orphans knows whose they were: the runner would find those of the
agent and of every terminal side by side. It runs without site packages and costs some 10 ms and 10 MB while there is
something to look after.

Its standard input is its leash: whatever is written there ends the tree, and so does its end. It says on another
descriptor, a line each, what happens: ``started``, or ``refused ERRNO``; ``exit CODE`` or ``signal NUMBER``. When
nobody is left to look after, it goes.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from outlast.agents import orphans

GRACE_SECONDS = 1.0
"""From SIGTERM to SIGKILL."""
LOOK_SECONDS = 0.05
"""Between two looks while SIGKILL goes round: one may be born and lose its parent between two deaths that are told."""
_LEASH = 0
_DEAF_TO = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""What is sent to a whole session: the leash decides, since the command may take its time to end."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class Warden:
    """Starts a command, and is the parent of all that comes of it."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _DEAF_TO:
            signal.signal(number, signal.SIG_IGN)
        self._leader: int | None = None
        self._kill_from: float | None = None

    def run(self, argv: list[str]) -> None:
        """Start the command and stay until nobody is left."""
        if not self._start(argv):
            return
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(_LEASH, select.POLLIN)
        while True:
            for fd, _ in poll.poll(self._patience()):
                if fd == _LEASH:
                    poll.unregister(_LEASH)
                    self._begin_ending()
                else:
                    os.read(self._woken, 4096)
            self._reap()
            if not self._look():
                return

    def _start(self, argv: list[str]) -> bool:
        orphans.adopt()
        try:
            self._leader = os.posix_spawnp(
                argv[0], argv, os.environ, setsid=True, setsigmask=(), setsigdef=(*_DEAF_TO, *_IGNORED_BY_PYTHON),
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            )  # fmt: skip
        except OSError as error:
            self._say(f"refused {error.errno}")
            return False
        # The output is the command's alone: when all of its holders have gone, it has ended.
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        self._say("started")
        return True

    def _begin_ending(self) -> None:
        self._kill_from = time.monotonic() + GRACE_SECONDS
        self._signal_all(signal.SIGTERM)

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._leader:
                    self._leader = None
                    code = os.waitstatus_to_exitcode(ended[1])
                    self._say(f"exit {code}" if code >= 0 else f"signal {-code}")
        except ChildProcessError:
            pass

    def _look(self) -> bool:
        """Go on with the ending, if there is one; False when nobody is left, or nobody who heeds SIGKILL."""
        if not orphans.descendants(os.getpid()):
            return False
        late = -1.0 if self._kill_from is None else time.monotonic() - self._kill_from
        if late >= 0:
            self._signal_all(signal.SIGKILL)
        return late < orphans.KILL_SECONDS

    def _patience(self) -> float | None:
        """How long to wait for news, in milliseconds."""
        if self._kill_from is None:
            return None
        left = self._kill_from - time.monotonic()
        return 1000 * (left if left > 0 else LOOK_SECONDS)

    def _signal_all(self, number: int) -> None:
        for pid in orphans.descendants(os.getpid()):
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def _say(self, line: str) -> None:
        try:
            os.write(self._status, line.encode() + b"\n")
        except OSError:
            pass  # nobody listens any more; the leash says so too


def main() -> None:
    """``STATUS-FD PROGRAM ARGUMENT…``."""
    status = int(sys.argv[1])
    os.set_inheritable(status, False)
    Warden(status).run(sys.argv[2:])
    os._exit(0)
