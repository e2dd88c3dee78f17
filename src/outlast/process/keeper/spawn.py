"""Starting one command: its pipes or pty, its own kernel session, a clean signal state, and a prompt answer.

``posix_spawn`` rather than fork: errors come back at once, nothing of Python runs in the child, and it costs the same
however large the parent is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import sys
from typing import Any

_TIOCSWINSZ = 0x5414
_CLEAN_SIGNALS = [n for n in range(1, signal.NSIG) if n not in (signal.SIGKILL, signal.SIGSTOP, 32, 33)]


class Descriptors:
    """The supervisor's ends: ``out`` maps a descriptor to its stream (1 stdout or pty, 2 stderr); stdin -1 for none."""

    __slots__ = ("out", "pty", "stdin")

    def __init__(self, out: dict[int, int], stdin: int, pty: bool) -> None:
        self.out = out
        self.stdin = stdin
        self.pty = pty

    def all(self) -> list[int]:
        """Return every descriptor once, as they are handed to the zygote for safe keeping."""
        fds = list(self.out)
        if self.stdin >= 0 and self.stdin not in self.out:
            fds.append(self.stdin)
        return fds

    def layout(self) -> dict[str, Any]:
        """Describe ``all()`` by position, so that a replacement supervisor can use the duplicates."""
        fds = self.all()
        return {
            "streams": [self.out[fd] for fd in self.out],
            "stdin": fds.index(self.stdin) if self.stdin >= 0 else -1,
            "pty": self.pty,
        }

    @classmethod
    def from_layout(cls, layout: dict[str, Any], fds: list[int]) -> Descriptors:
        """Rebuild from duplicates that arrived in the order of ``all()``."""
        out = dict(zip(fds, layout["streams"], strict=False))
        at = layout["stdin"]
        return cls(out, fds[at] if at >= 0 else -1, layout["pty"])


class Prepared:
    """Both ends of a command's descriptors, before it runs."""

    __slots__ = ("_actions", "_theirs", "ours")

    def __init__(self, spec: dict[str, Any]) -> None:
        self._theirs: list[int] = []
        self._actions: list[tuple[Any, ...]] = []
        self.ours = self._pty(spec) if spec.get("pty") else self._pipes(spec)
        for fd in self.ours.all():
            os.set_blocking(fd, False)

    def _pty(self, spec: dict[str, Any]) -> Descriptors:
        master, slave = os.openpty()
        set_size(master, spec.get("cols") or 80, spec.get("rows") or 24)
        self._theirs.append(slave)
        # Opened by name after setsid, so that it becomes the controlling terminal and ^C works.
        self._actions.append((os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0))
        self._actions.append((os.POSIX_SPAWN_DUP2, 0, 1))
        self._actions.append((os.POSIX_SPAWN_DUP2, 0, 2))
        return Descriptors({master: 1}, master, pty=True)

    def _pipes(self, spec: dict[str, Any]) -> Descriptors:
        stdin = -1
        if spec.get("stdin") == "pipe" or spec.get("stdin_text") is not None:
            theirs, stdin = os.pipe()
            self._theirs.append(theirs)
            self._actions.append((os.POSIX_SPAWN_DUP2, theirs, 0))
        else:
            self._actions.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
        out: dict[int, int] = {}
        ours, theirs = os.pipe()
        out[ours] = 1
        self._theirs.append(theirs)
        self._actions.append((os.POSIX_SPAWN_DUP2, theirs, 1))
        if spec.get("streams") == "merged":
            self._actions.append((os.POSIX_SPAWN_DUP2, theirs, 2))
        else:
            ours, theirs = os.pipe()
            out[ours] = 2
            self._theirs.append(theirs)
            self._actions.append((os.POSIX_SPAWN_DUP2, theirs, 2))
        return Descriptors(out, stdin, pty=False)

    def spawn(self, spec: dict[str, Any], nofile: tuple[int, int]) -> int:
        """Start the command; return its pid. Raises OSError with the reason the kernel gave."""
        env = {os.fsencode(k): os.fsencode(v) for k, v in spec["env"].items()}
        argv = [os.fsencode(word) for word in spec["argv"]]
        umask = spec.get("umask")
        old_umask = os.umask(umask) if umask is not None else None
        try:
            os.chdir(spec["cwd"])
            program = find_program(argv[0], env.get(b"PATH"))
            with _Limits(nofile):
                return os.posix_spawn(
                    program,
                    argv,
                    env,
                    file_actions=self._actions,
                    setsid=True,
                    setsigmask=[],
                    setsigdef=_CLEAN_SIGNALS,
                )
        finally:
            os.chdir("/")  # never keep a file system busy that the command has left
            if old_umask is not None:
                os.umask(old_umask)
            for fd in self._theirs:
                os.close(fd)


class _Limits:
    """Gives the child the limits and the memory-kill preference of an ordinary process for the moment of its birth.

    The kernel is asked to prefer commands over their keepers when memory runs out.
    """

    def __init__(self, nofile: tuple[int, int]) -> None:
        self._nofile = nofile

    def __enter__(self) -> None:
        self._old = resource.getrlimit(resource.RLIMIT_NOFILE)
        if self._old != self._nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._nofile)
        self._score = _swap_oom_score(None)

    def __exit__(self, *_: object) -> None:
        if self._score is not None:
            _swap_oom_score(self._score)


def _swap_oom_score(restore: int | None) -> int | None:
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        old = int(os.read(fd, 16)) if restore is None else restore
        os.pwrite(fd, str(min(old + 200, 1000) if restore is None else restore).encode(), 0)
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)
    return old


def find_program(name: bytes, path: bytes | None) -> bytes:
    """Resolve a program as the command's own PATH says (not ours). Raises FileNotFoundError or PermissionError."""
    if b"/" in name:
        return name
    denied = False
    for folder in (path or os.fsencode(os.defpath)).split(b":"):
        candidate = os.path.join(folder or b".", name)
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
        denied = denied or os.path.isfile(candidate)
    code = errno.EACCES if denied else errno.ENOENT
    raise OSError(code, os.strerror(code), name)


def set_size(master: int, cols: int, rows: int) -> None:
    """Tell a pty its window size; the kernel sends SIGWINCH to its foreground group."""
    size = rows.to_bytes(2, sys.byteorder) + cols.to_bytes(2, sys.byteorder) + b"\0\0\0\0"
    fcntl.ioctl(master, _TIOCSWINSZ, size)
