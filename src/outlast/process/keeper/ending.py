"""Ending a whole tree: a polite signal, a grace period, then SIGKILL until nothing is left.

A supervisor is a child subreaper, so nothing that the command started can leave: whoever loses its parent becomes the
supervisor's child, and each death is a SIGCHLD that drives the next look. While people are polite there is no timer.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

from outlast.process.keeper import proc

KILL_PHASE_MAX = 5.0
"""Seconds after which what ignores SIGKILL (another user's process, an uninterruptible wait) is called a survivor."""
_NAMES = {number.value: number.name for number in signal.Signals if number.value < signal.SIGRTMIN}
LOOK_AGAIN = 0.03
"""Seconds between two looks at the tree: deaths come in crowds, and in the SIGKILL phase a process may be born and
orphaned between two looks."""


class Ending:
    """One attempt to end a tree. ``step`` is due at ``deadline`` and after every death; it says when all is over."""

    __slots__ = (
        "_grace_until",
        "_kill_until",
        "_look_at",
        "_looked_at",
        "_signum",
        "_told",
        "_tree",
        "ended",
        "survivors",
        "waiters",
    )

    def __init__(self, tree: Callable[[], list[int]], signum: int, grace: float, now: float, *, told: bool) -> None:
        """``told``: every death in the tree is announced to us, so that nobody needs to look by the clock."""
        self._tree = tree
        self._signum = signum
        self._told = told
        self._grace_until = now + (0.0 if signum == signal.SIGKILL else grace)
        self._kill_until: float | None = None
        self._look_at: float | None = now
        self._looked_at = now - 1.0
        self.ended: dict[int, list[str]] = {}
        self.survivors: dict[int, str] = {}
        self.waiters: list[Callable[[dict[str, object]], None]] = []

    @property
    def deadline(self) -> float:
        """The next moment (monotonic seconds) at which ``step`` has something to do."""
        phase = self._grace_until if self._kill_until is None else self._kill_until
        return phase if self._look_at is None else min(phase, self._look_at)

    def hurry(self, signum: int, grace: float, now: float) -> None:
        """Take in a second, maybe harsher, wish: the end never comes later for it."""
        self._grace_until = min(self._grace_until, now + (0.0 if signum == signal.SIGKILL else grace))

    def death(self) -> None:
        """Somebody of the tree died: whoever that orphaned wants the signal too."""
        if self._look_at is None:
            self._look_at = self._looked_at + LOOK_AGAIN

    def step(self, now: float) -> bool:
        """Signal whoever is left as the phase asks. True when nothing is left or nothing more can be done."""
        if now < self.deadline:
            return False
        left = self._tree()
        self._looked_at = now
        self._look_at = now + LOOK_AGAIN
        if not left:
            self.survivors.clear()
            return True
        polite = now < self._grace_until
        if polite:
            if self._told:
                self._look_at = None
            for pid in left:
                if pid not in self.ended:
                    self._send(pid, self._signum)
                    self._send(pid, signal.SIGCONT, note=False)  # a stopped process must wake up to die politely
            return False
        if self._kill_until is None:
            self._kill_until = now + KILL_PHASE_MAX
        for pid in left:
            self._send(pid, signal.SIGKILL)
        if now < self._kill_until and len(self.survivors) < len(left):
            return False
        for pid in left:
            self.ended.pop(pid, None)
            self.survivors.setdefault(pid, "still there after SIGKILL")
        return True

    def report(self) -> dict[str, object]:
        """Return ``ended`` as [pid, name, signal name] rows and ``survivors`` as [pid, name, why] rows."""
        return {
            "ended": [[pid, *row] for pid, row in self.ended.items()],
            "survivors": [[pid, proc.name_of(pid), why] for pid, why in self.survivors.items()],
        }

    def _send(self, pid: int, signum: int, *, note: bool = True) -> None:
        name = self.ended[pid][0] if pid in self.ended else proc.name_of(pid)
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            return
        except OSError as error:
            if note:
                self.survivors[pid] = "not ours to signal" if error.errno == errno.EPERM else str(error.strerror)
            return
        if note:
            self.ended[pid] = [name, _NAMES.get(signum, f"SIG{signum}")]
