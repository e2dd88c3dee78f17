"""The record of a session: one file of JSON lines, appended by its supervisor, read by anybody.

Lines, in order: ``spec`` (what was asked; environment values never), ``started`` (pid, ticks, boot), and later any of
``kill`` (who asked for the end), ``taken_over``, ``exit`` (how the command ended), ``end`` (no more output can come).
A line is one ``write``: a reader sees it whole or not at all, and skips a torn last line. Room for the lines that
matter is set aside at the start, so that a full disk cannot swallow the exit code.
"""

from __future__ import annotations

import json
import os
from typing import Any

from outlast.process.keeper import libc
from outlast.process.keeper.wire import compact

ROOM = 16 * 1024
"""Bytes set aside behind the spec line. An exit line takes about 300, a list of lost ranges at most 4 KiB."""

Line = dict[str, Any]


class RecordFile:
    """The writing side; held by exactly one supervisor."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def create(cls, folder: str, spec: str) -> RecordFile:
        """Make ``record`` in a new session folder; ``spec`` is its first line's JSON. Raises OSError."""
        fd = os.open(f"{folder}/record", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self = cls(fd)
        size = self._append(f'{{"spec":{spec}}}')
        try:
            libc.reserve(fd, size, ROOM)
        except OSError as error:
            if error.errno == 28:  # no space: say so now, not when the exit code is due
                raise
        return self

    @classmethod
    def resume(cls, folder: str) -> RecordFile:
        """Open an existing record to append to it."""
        return cls(os.open(f"{folder}/record", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))

    def add(self, kind: str, line: Line) -> int:
        """Append one line; return its size in bytes. Raises OSError."""
        return self._append(compact({kind: line}))

    def _append(self, text: str) -> int:
        data = text.encode("ascii") + b"\n"
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        return len(data)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def sync(self) -> None:
        """Force what was written to the disk, so that it also survives a power cut."""
        try:
            os.fdatasync(self._fd)
        except OSError:
            pass


def read(folder: str) -> Line | None:
    """Return the record of a session folder merged into one dict by kind; None when there is none.

    Of repeated kinds the last counts, except ``kill``, where the first asked and the rest agreed.
    """
    try:
        with open(f"{folder}/record", "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    merged: Line = {}
    for raw in data.split(b"\n")[:-1]:
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if not isinstance(line, dict):
            continue
        for kind, value in line.items():
            if kind != "kill" or kind not in merged:
                merged[kind] = value
    return merged or None
