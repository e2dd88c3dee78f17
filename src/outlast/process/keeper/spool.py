"""The writing side of a session's output: one file with absolute offsets, whatever happens to it.

``out``   every byte at the offset it was produced at; ranges left out are holes.
``seg``   where the output changes between stdout and stderr: 8 bytes an entry, ``offset << 1 | is_stderr``.
``gaps``  what is missing: the range dropped by the cap, then the ranges a full disk swallowed, rewritten in place.

Past the cap the first MiB and the newest rest are kept and the middle is handed back to the disk. On a full disk the
pump goes on draining, so the command never blocks, and the bytes that found no room are counted as lost ranges.
A hole reads as zeros, so no hole ever comes to be before ``gaps`` tells of it.
"""

from __future__ import annotations

import errno
import os
from typing import Any, NamedTuple

from outlast.process.keeper import libc

HEAD = 1 << 20
"""Bytes at the start that the cap never drops."""
STEP = 8 << 20
"""How far the kept part may outgrow the cap before the middle is dropped; a multiple of any block size."""
TAKE_MAX = 1 << 20
"""Bytes moved at once."""
SEG_MAX = 4 << 20
"""Bytes of stream changes kept (half a million changes); later output is then not told apart."""
LOST_MAX = 64
"""Separate lost ranges kept; the nearest are merged beyond that."""
_BLOCK = 1 << 16
_GAPS_MAX = 4096


class Gap(NamedTuple):
    """A range of output that is not there; ``errno`` 0 when the cap dropped it, else why it was lost."""

    start: int
    end: int
    errno: int


class Spool:
    """Appends output, keeps to the cap, and knows what is missing."""

    __slots__ = (
        "_cap",
        "_dropped",
        "_fd",
        "_folder",
        "_gaps_fd",
        "_head",
        "_last_stream",
        "_seg_fd",
        "_seg_size",
        "_splices",
        "_told",
        "lost",
        "produced",
    )

    def __init__(self, folder: str, cap: int) -> None:
        self._folder = folder
        self._cap = cap
        self._head = min(HEAD, cap // 2 // _BLOCK * _BLOCK)
        self._seg_fd = -1
        self._seg_size = 0
        self._last_stream = 1
        self._dropped = self._head
        self._gaps_fd = -1
        self._told = True
        self._splices = hasattr(os, "splice")
        self.produced = 0
        self.lost: list[list[int]] = []
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._fd = os.open(f"{folder}/out", flags | os.O_EXCL, 0o600)
        except FileExistsError:
            self._fd = os.open(f"{folder}/out", flags, 0o600)
            self._resume()

    def _resume(self) -> None:
        """Pick up where a killed supervisor stopped: the files say how far it came."""
        gaps = read_gaps(self._folder)
        self.produced = max([os.fstat(self._fd).st_size, *(gap.end for gap in gaps)])
        for gap in gaps:
            if gap.errno:
                self.lost.append([*gap])
            else:
                self._dropped = gap.end
                self._punch(gap.start, gap.end)  # the killed one may have told it and not done it
        try:
            self._seg_size = os.stat(f"{self._folder}/seg").st_size // 8 * 8
        except OSError:
            return
        self._seg_fd = os.open(f"{self._folder}/seg", os.O_RDWR | os.O_CLOEXEC)
        if self._seg_size:
            self._last_stream = 1 + (os.pread(self._seg_fd, 8, self._seg_size - 8)[7] & 1)

    def take(self, stream: int, pipe: int) -> int | None:
        """Move what a pipe holds, 0 at its end; None where it has to be read and appended. Raises BlockingIOError.

        The kernel moves it, so that every byte is in the pipe or in the file: were it in our memory in between, it
        would die with us when we are killed.
        """
        if not self._splices or (not self._told and not self._tell()):
            return None
        if stream != self._last_stream:
            self._turn(stream)
        try:
            n = os.splice(pipe, self._fd, TAKE_MAX, offset_dst=self.produced, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            raise
        except OSError as error:
            self._splices = error.errno == errno.ENOSPC
            return None
        self.produced += n
        self._grown()
        return n

    def append(self, stream: int, data: memoryview) -> None:
        """Add bytes of stream 1 (stdout, pty) or 2 (stderr). Never raises for a full or failing disk."""
        if stream != self._last_stream:
            self._turn(stream)
        self.produced = end = self.produced + len(data)
        if not self._told and not self._tell():
            self._lose(end - len(data), end, errno.ENOSPC)  # nothing may follow a hole that nobody knows of
            return
        while data:
            try:
                n = os.pwrite(self._fd, data, end - len(data))
            except OSError as error:
                self._lose(end - len(data), end, error.errno or errno.EIO)
                self._told = self._tell()
                break
            data = data[n:]
        self._grown()

    def _grown(self) -> None:
        if self._gaps_fd < 0 and self.produced > self._head:
            self._tell()  # room for what may have to be told when there is none
        if self.produced - self._dropped > self._cap - self._head + STEP:
            self._drop(self.produced)

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
            if self._told and os.fstat(self._fd).st_size < self.produced:
                os.ftruncate(self._fd, self.produced)
        except OSError:
            pass
        for fd in (self._fd, self._seg_fd, self._gaps_fd):
            if fd >= 0:
                os.close(fd)

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

    def _lose(self, start: int, end: int, code: int) -> None:
        if self.lost and self.lost[-1][1] == start:
            self.lost[-1][1] = end
        else:
            self.lost.append([start, end, code])
        if len(self.lost) > LOST_MAX:
            gaps = [self.lost[i + 1][0] - self.lost[i][1] for i in range(len(self.lost) - 1)]
            i = gaps.index(min(gaps))
            self.lost[i][1] = self.lost[i + 1][1]
            del self.lost[i + 1]

    def _drop(self, end: int) -> None:
        """Hand the middle back to the disk. Readers are told first, so that none takes the hole for zeros."""
        upto = (end - (self._cap - self._head)) // _BLOCK * _BLOCK
        before, self._dropped = self._dropped, upto
        if not self._tell():
            self._dropped = before
            return
        if not self._punch(before, upto):
            self._lose_instead()

    def _punch(self, start: int, end: int) -> bool:
        try:
            libc.punch(self._fd, start, end - start)
        except OSError:
            return False
        return True

    def _lose_instead(self) -> None:
        """Where the file system cannot punch holes, keep the head and start again behind the newest byte."""
        before, self._dropped = self._dropped, self.produced
        if not self._tell():
            self._dropped = before
            return
        try:
            os.ftruncate(self._fd, self._head)
            os.ftruncate(self._fd, self.produced)
        except OSError:
            return

    def _tell(self) -> bool:
        """Write down what is missing. False when there is no room even for that."""
        text = b"%020d %020d\n" % (self._head, self._dropped)
        text += b"".join(b"%020d %020d %03d\n" % tuple(row) for row in self.lost)
        try:
            if self._gaps_fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
                self._gaps_fd = os.open(f"{self._folder}/gaps", flags, 0o600)
            os.pwrite(self._gaps_fd, text, 0)
            os.ftruncate(self._gaps_fd, len(text))
        except OSError:
            return False
        self._told = True
        return True


def read_gaps(folder: str) -> list[Gap]:
    """Return the ranges noted as missing; empty ones are left out."""
    try:
        fd = os.open(f"{folder}/gaps", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        rows = [line.split() for line in os.read(fd, _GAPS_MAX).split(b"\n")[:-1]]
    finally:
        os.close(fd)
    sound = [[*map(int, row)] for row in rows if len(row) in (2, 3) and all(map(bytes.isdigit, row))]
    return [Gap(row[0], row[1], row[2] if len(row) == 3 else 0) for row in sound if row[0] < row[1]]
