"""Where each reader of each session stands: a byte offset, and how nervously it has been asking.

Kept in memory, and in ``sessions/<id>/cursors.json`` so that a reader goes on where it was after a restart.
The file is a convenience: it is replaced whole, never synced, and a full disk costs nothing but the memory of
it.
"""

from __future__ import annotations

import os
from collections import OrderedDict

import msgspec

from outlast.core.guards import NervousReader

SESSIONS_MAX = 4096
"""Sessions whose cursors stay in memory; of the others the file is read again."""
READERS_MAX = 64
"""Readers remembered per session, the most recently moved."""


class Readers:
    """The cursors of all readers. ``folder`` holds one directory a session."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._cursors: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._habits: OrderedDict[tuple[str, str], NervousReader] = OrderedDict()

    def cursor(self, session_id: str, reader: str) -> int:
        """Return the offset from which this reader has not read yet; 0 for a new reader."""
        return self._of(session_id).get(reader, 0)

    def move(self, session_id: str, reader: str, offset: int) -> None:
        """Note that a reader has read up to ``offset``."""
        cursors = self._of(session_id)
        if cursors.get(reader) == offset:
            return
        cursors.pop(reader, None)
        cursors[reader] = offset
        while len(cursors) > READERS_MAX:
            del cursors[next(iter(cursors))]
        self._write(session_id, cursors)

    def forget(self, session_id: str) -> None:
        """Drop what is remembered of a session; its file goes with its directory."""
        self._cursors.pop(session_id, None)
        for key in [key for key in self._habits if key[0] == session_id]:
            del self._habits[key]

    def habit(self, session_id: str, reader: str) -> NervousReader:
        """Return how this reader has been polling lately."""
        return self._habits.get((session_id, reader), NervousReader())

    def note_habit(self, session_id: str, reader: str, habit: NervousReader) -> None:
        """Remember how this reader polls; a calm one needs no remembering."""
        key = (session_id, reader)
        self._habits.pop(key, None)
        if habit != NervousReader():
            self._habits[key] = habit
            if len(self._habits) > SESSIONS_MAX:
                self._habits.popitem(last=False)

    def _of(self, session_id: str) -> dict[str, int]:
        known = self._cursors.get(session_id)
        if known is None:
            known = self._cursors[session_id] = self._read(session_id)
            if len(self._cursors) > SESSIONS_MAX:
                self._cursors.popitem(last=False)
        self._cursors.move_to_end(session_id)
        return known

    def _path(self, session_id: str) -> str:
        return os.path.join(self._folder, session_id, "cursors.json")

    def _read(self, session_id: str) -> dict[str, int]:
        try:
            with open(self._path(session_id), "rb") as file:
                return msgspec.json.decode(file.read(), type=dict[str, int])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}

    def _write(self, session_id: str, cursors: dict[str, int]) -> None:
        path = self._path(session_id)
        try:
            fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, msgspec.json.encode(cursors))
            finally:
                os.close(fd)
            os.replace(f"{path}.new", path)
        except (OSError, UnicodeEncodeError):
            pass
