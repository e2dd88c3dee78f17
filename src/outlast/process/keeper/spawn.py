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

    def layout(self) -> str:
        """Describe ``all()`` by position, so that a replacement supervisor can use the duplicates."""
        fds = self.all()
        streams = "".join([str(self.out[fd]) for fd in self.out])
        return f"{streams} {fds.index(self.stdin) if self.stdin >= 0 else -1} {int(self.pty)}"

    @classmethod
    def from_layout(cls, streams: str, stdin: int, pty: bool, fds: list[int]) -> Descriptors:
        """Rebuild from duplicates that arrived in the order of ``all()``."""
        out = {fd: int(stream) for fd, stream in zip(fds, streams, strict=False)}
        return cls(out, fds[stdin] if stdin >= 0 else -1, pty)


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
        """Start the command with ordinary limits; return its pid. Raises OSError with the reason the kernel gave."""
        resource.setrlimit(resource.RLIMIT_NOFILE, nofile)
        umask = spec.get("umask")
        old_umask = os.umask(umask) if umask is not None else None
        try:
            os.chdir(spec["cwd"])
            return os.posix_spawn(
                find_program(spec["argv"][0], spec["env"].get("PATH")),
                spec["argv"],
                spec["env"],
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


def prefer_for_oom(pid: int) -> None:
    """Ask the kernel to end this command before its keeper when memory runs out. Best effort."""
    try:
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.pwrite(fd, b"%d" % min(int(os.read(fd, 16)) + 200, 1000), 0)
    except (OSError, ValueError):
        pass
    finally:
        os.close(fd)


def find_program(name: str, path: str | None) -> str:
    """Resolve a program as the command's own PATH says (not ours). Raises FileNotFoundError or PermissionError."""
    if "/" in name:
        return name
    denied = False
    for folder in (path or os.defpath).split(":"):
        candidate = f"{folder or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
        denied = denied or os.path.isfile(candidate)
    code = errno.EACCES if denied else errno.ENOENT
    raise OSError(code, os.strerror(code), name)


def set_size(master: int, cols: int, rows: int) -> None:
    """Tell a pty its window size; the kernel sends SIGWINCH to its foreground group."""
    size = rows.to_bytes(2, sys.byteorder) + cols.to_bytes(2, sys.byteorder) + b"\0\0\0\0"
    fcntl.ioctl(master, _TIOCSWINSZ, size)
