"""What a runner is told on its standard input: first the turn, later what others want of it.

A thread reads, so that any kind of descriptor will do. Its end is no news: the gateway may have died, and the turn
goes on.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from outlast.core.agent import Turn
from outlast.core.text import sound

TURN_MAX = 64 * 1024 * 1024
"""Bytes of the first line."""
LINE_MAX = 4 * 1024 * 1024
"""Bytes of any other; longer ones are skipped."""


class BadTurn(Exception):
    """The first line is not a turn; says what is wrong with it."""


class Lines:
    """Reads lines of a descriptor, blocking."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()

    def next(self, limit: int) -> bytes | None:
        """Return the next line, None at the end. Of a longer one than ``limit`` bytes only the beginning."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            data = self._read()
            if not data:
                rest = bytes(self._buffer)
                self._buffer.clear()
                return rest or None
            self._buffer += data
            if searched > limit:
                del self._buffer[limit:searched]
                searched = limit
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line[:limit]

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, 64 * 1024)
        except OSError:
            return b""


def read_turn(lines: Lines) -> Turn:
    """Wait for the first line and return the turn. Raises BadTurn.

    One that is no JSON breaks off in the middle: the gateway died over it, and the next one begins again.
    """
    missing = "the standard input ended before there was a turn"
    while (line := lines.next(TURN_MAX)) is not None:
        if not line.strip():
            continue
        try:
            return msgspec.convert(sound(msgspec.json.decode(line)), Turn)
        except (msgspec.ValidationError, RecursionError) as error:
            raise BadTurn(f"the first line is not a turn: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            missing = f"the first line is not a turn: {error}"
    raise BadTurn(missing)


def follow(lines: Lines, heard: Callable[[dict[str, Any] | None, bytes], None]) -> None:
    """Hand every further line to ``heard``, in the loop: as a table, or None when it is none."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in _until_end(lines):
            try:
                loop.call_soon_threadsafe(heard, _table(line), line[:200])
            except RuntimeError:
                return  # the loop is closed: the turn is over

    threading.Thread(target=read, name="controls", daemon=True).start()


def _until_end(lines: Lines) -> Iterator[bytes]:
    while (line := lines.next(LINE_MAX)) is not None:
        if line.strip():
            yield line


def _table(line: bytes) -> dict[str, Any] | None:
    try:
        said = sound(msgspec.json.decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
