"""The writing side of a session's output: one file with absolute offsets, whatever happens to it.

``out``   every byte at the offset it was produced at; ranges left out are holes.
``seg``   where the output changes between stdout and stderr: 8 bytes an entry, ``offset << 1 | is_stderr``.
``gaps``  the range dropped by the cap, two 20-digit numbers, rewritten in place.

Past the cap the first MiB and the newest rest are kept and the middle is handed back to the disk. On a full disk the
pump goes on draining, so the command never blocks, and the bytes that found no room are counted as lost ranges.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from outlast.process.keeper import libc

HEAD = 1 << 20
"""Bytes at the start that the cap never drops."""
STEP = 8 << 20
"""How far the kept part may outgrow the cap before the middle is dropped; a multiple of any block size."""
SEG_MAX = 4 << 20
"""Bytes of stream changes kept (half a million changes); later output is then not told apart."""
LOST_MAX = 64
"""Separate lost ranges kept; the nearest are merged beyond that."""
_BLOCK = 1 << 16


class Spool:
    """Appends output, keeps to the cap, and knows what is missing."""

    __slots__ = (
        "_cap",
        "_dropped",
        "_fd",
        "_folder",
        "_head",
        "_last_stream",
        "_seg_fd",
        "_seg_size",
        "lost",
        "produced",
    )

    def __init__(self, folder: str, cap: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._folder = folder
        self._fd = os.open(f"{folder}/out", flags, 0o600)
        self._cap = cap
        self._head = min(HEAD, cap // 2 // _BLOCK * _BLOCK)
        self._seg_fd = -1
        self._seg_size = 0
        self._last_stream = 1
        self._dropped = self._head
        self.produced = os.fstat(self._fd).st_size
        self.lost: list[list[int]] = []
        if self.produced:
            self._resume()

    def _resume(self) -> None:
        """Pick up where a killed supervisor stopped: the files say how far it came."""
        gap = read_gap(self._folder)
        if gap:
            self._dropped = gap[1]
        try:
            self._seg_size = os.stat(f"{self._folder}/seg").st_size // 8 * 8
        except OSError:
            return
        self._seg_fd = os.open(f"{self._folder}/seg", os.O_RDWR | os.O_CLOEXEC)
        if self._seg_size:
            self._last_stream = 1 + (os.pread(self._seg_fd, 8, self._seg_size - 8)[7] & 1)

    def append(self, stream: int, data: memoryview) -> None:
        """Add bytes of stream 1 (stdout, pty) or 2 (stderr). Never raises for a full or failing disk."""
        if stream != self._last_stream:
            self._turn(stream)
        start = self.produced
        self.produced = end = start + len(data)
        while data:
            try:
                n = os.pwrite(self._fd, data, end - len(data))
            except OSError as error:
                self._lose(end - len(data), end, error)
                break
            data = data[n:]
        if end - self._dropped > self._cap - self._head + STEP:
            self._drop(end)

    def report(self) -> dict[str, Any]:
        """Say what was produced and what of it is not there: for the exit record and for readers of a live session."""
        out: dict[str, Any] = {"produced": self.produced}
        if self._dropped > self._head:
            out["dropped"] = [self._head, self._dropped]
        if self.lost:
            out["lost"] = [entry[:2] for entry in self.lost]
            out["lost_errno"] = errno.errorcode.get(self.lost[-1][2], "EIO")
        return out

    def close(self) -> None:
        """Let go of the files. A lost tail is made part of the length, so that the length is what was produced."""
        try:
            if os.fstat(self._fd).st_size < self.produced:
                os.ftruncate(self._fd, self.produced)
        except OSError:
            pass
        os.close(self._fd)
        if self._seg_fd >= 0:
            os.close(self._seg_fd)

    def _turn(self, stream: int) -> None:
        self._last_stream = stream
        if self._seg_size >= SEG_MAX:
            return
        try:
            if self._seg_fd < 0:
                self._seg_fd = os.open(f"{self._folder}/seg", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._seg_fd, (self.produced << 1 | (stream == 2)).to_bytes(8, "big"), self._seg_size)
            self._seg_size += 8
        except OSError:
            pass  # a full disk: the bytes matter more than which stream they came from

    def _lose(self, start: int, end: int, error: OSError) -> None:
        if self.lost and self.lost[-1][1] == start:
            self.lost[-1][1] = end
        else:
            self.lost.append([start, end, error.errno or errno.EIO])
        if len(self.lost) > LOST_MAX:
            gaps = [self.lost[i + 1][0] - self.lost[i][1] for i in range(len(self.lost) - 1)]
            i = gaps.index(min(gaps))
            self.lost[i][1] = self.lost[i + 1][1]
            del self.lost[i + 1]

    def _drop(self, end: int) -> None:
        """Hand the middle back to the disk. Readers are told first, so that none takes the hole for zeros."""
        upto = (end - (self._cap - self._head)) // _BLOCK * _BLOCK
        told = self._tell_gap(upto)
        try:
            libc.punch(self._fd, self._dropped, upto - self._dropped)
        except OSError:
            self._lose_instead()
            return
        self._dropped = upto
        if not told:  # the disk was full; now there is room to say what was dropped
            self._tell_gap(upto)

    def _tell_gap(self, upto: int) -> bool:
        try:
            write_gap(self._folder, self._head, upto)
        except OSError:
            return False
        return True

    def _lose_instead(self) -> None:
        """Where the file system cannot punch holes, keep the head and start again behind the newest byte."""
        try:
            os.ftruncate(self._fd, self._head)
        except OSError:
            return
        self._dropped = self.produced
        self._tell_gap(self.produced)


def write_gap(folder: str, start: int, end: int) -> None:
    """Note the range dropped by the cap. Raises OSError."""
    fd = os.open(f"{folder}/gaps", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, b"%020d %020d\n" % (start, end), 0)
    finally:
        os.close(fd)


def read_gap(folder: str) -> tuple[int, int] | None:
    """Return the range dropped by the cap, or None."""
    try:
        with open(f"{folder}/gaps", "rb") as file:
            start, end = file.read(42).split()
    except (OSError, ValueError):
        return None
    return int(start), int(end)
