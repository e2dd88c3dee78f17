"""What an agent asks its client for on disk: files below its directory, of a size that is known, and no others.

This confines what is done *for* an agent. What its process does by itself, it does with the rights of its user.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

READ_MAX = WRITE_MAX = 10 * 1024 * 1024
"""Bytes of a file that is read or written for an agent."""
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutOfBounds(Exception):
    """The agent asked for what it must not have; says why."""


class Workspace:
    """A directory and all below it."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)

    def read(self, path: str, line: int | None = None, limit: int | None = None) -> str:
        """Return a file as text, from that line on (the first is 1), at most so many. Raises OutOfBounds, OSError."""
        fd = self._open(path, os.O_RDONLY)
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_size > READ_MAX:
                raise OutOfBounds(f"it is larger than {READ_MAX} bytes")
            data = file.read(READ_MAX + 1)
        text = data[:READ_MAX].decode("utf-8", "replace")
        if line is None and limit is None:
            return text
        start = max((line or 1) - 1, 0)
        found = text.splitlines(keepends=True)
        return "".join(found[start:] if limit is None else found[start : start + max(limit, 0)])

    def write(self, path: str, text: str) -> None:
        """Write a file, and make the directories it needs. Raises OutOfBounds, OSError."""
        data = text.encode("utf-8", "replace")
        if len(data) > WRITE_MAX:
            raise OutOfBounds(f"it is larger than {WRITE_MAX} bytes")
        with os.fdopen(self._open(path, os.O_WRONLY | os.O_CREAT, make=True), "wb") as file:
            file.truncate(0)
            file.write(data)

    def _open(self, path: str, flags: int, *, make: bool = False) -> int:
        """Open a plain file, and make sure that what was opened is where it should be: paths may change meanwhile."""
        real = self._inside(path)
        parent = self._parent(real, make=make)
        try:
            name = os.path.basename(real)
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OutOfBounds("it is not a plain file")
            self._check(os.readlink(f"/proc/self/fd/{fd}"))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _parent(self, real: str, *, make: bool) -> int:
        """Return a descriptor of the directory a file is in, which is made where there is none and ``make`` says so.

        Each on the way is opened in the one before, and none through a link: so nothing is ever made outside.
        """
        fd = os.open(self.root, _DIRECTORY)
        try:
            for name in os.path.relpath(os.path.dirname(real), self.root).split("/"):
                if make and name != ".":
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=fd)
                before, fd = fd, os.open(name, _DIRECTORY, dir_fd=fd)
                os.close(before)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def directory(self, path: str | None) -> int:
        """Return a descriptor of a directory, without a path of this one. Raises OutOfBounds, OSError."""
        if path is not None and ("\0" in path or not path.startswith("/")):
            raise OutOfBounds("the path must be absolute")
        real = self.root if path is None else os.path.realpath(path)
        self._check_directory(real)
        fd = os.open(real, _DIRECTORY)
        try:
            self._check_directory(os.readlink(f"/proc/self/fd/{fd}"))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _check_directory(self, real: str) -> None:
        if real != self.root:
            self._check(real)

    def _inside(self, path: str) -> str:
        if "\0" in path or not path.startswith("/"):
            raise OutOfBounds("the path must be absolute")
        real = os.path.realpath(path)
        self._check(real)
        return real

    def _check(self, real: str) -> None:
        if self.root != "/" and not real.startswith(self.root + "/"):
            raise OutOfBounds(f"it is outside of {self.root}")
