"""A short helper program: run beside the loop, ended with its whole group when its time is over.

Not asyncio's own subprocesses: their end is told only when their pipes are closed, so a daemon that a helper leaves
behind would make every sending take the whole limit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, NamedTuple

PROGRAMS_MAX = 4
OUTPUT_MAX = 64 * 1024
"""Bytes kept of each output; the rest is read and dropped, so that no program waits for us."""
REAP_SECONDS = 5.0
"""How long a killed program may take to be gone; then it is left to the kernel."""


class Ran(NamedTuple):
    """How a program ended: its exit code (negative: the signal that ended it) and what it printed, cut to the bound."""

    code: int
    out: bytes
    err: bytes


class Programs:
    """At most ``max_count`` programs at a time; further ones wait."""

    def __init__(self, max_count: int = PROGRAMS_MAX) -> None:
        self._free = asyncio.Semaphore(max_count)

    async def run(
        self, argv: Sequence[str], *, env: Mapping[str, str], stdin: bytes = b"", timeout_seconds: float
    ) -> Ran:
        """Run a program to its end and return how it ended.

        Raises TimeoutError when it has not ended after ``timeout_seconds``, waiting included, and OSError when it
        cannot be started. Whatever happens, neither it nor what it started in its group is left running.
        """
        async with asyncio.timeout(timeout_seconds), self._free:
            with _memory(stdin) as source:
                process = subprocess.Popen(
                    argv,
                    env=dict(env),
                    cwd="/",
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            ended = _watched(process)
            out, err = _Output(process.stdout), _Output(process.stderr)
            try:
                await ended.event.wait()
            finally:
                _kill_group(process)  # not reaped yet, so its number is nobody else's
                data = out.finish(), err.finish()
                code = await ended.reap()
        assert code is not None
        return Ran(code, *data)


@contextmanager
def _memory(data: bytes) -> Iterator[int]:
    """Lend a file descriptor to read ``data`` from: no pipe that could fill up, nothing on a disk."""
    source = os.memfd_create("outlast-stdin")
    try:
        with open(source, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(source, 0, os.SEEK_SET)
        yield source
    finally:
        os.close(source)


def _watched(process: subprocess.Popen[bytes]) -> _Ended:
    try:
        return _Ended(process)
    except OSError:  # no descriptor left: then nobody could tell when it ends
        _kill_group(process)
        process.wait()
        raise


class _Ended:
    """Notices the end of a child without reaping it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.event = asyncio.Event()
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self.event.set)

    async def reap(self) -> int | None:
        """Return the exit code of a child that has ended or was killed; None when even the kill takes too long."""
        try:
            await asyncio.wait_for(self.event.wait(), REAP_SECONDS)
        except TimeoutError:
            pass
        finally:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
        return self._process.poll()


class _Output:
    """Keeps the beginning of what comes out of a pipe."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        self._pipe = pipe
        self._kept = bytearray()
        os.set_blocking(pipe.fileno(), False)
        asyncio.get_running_loop().add_reader(pipe.fileno(), self._read)

    def finish(self) -> bytes:
        """Take what is still in the pipe, close it, and return what was kept."""
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        while len(self._kept) < OUTPUT_MAX and self._read():
            pass
        self._pipe.close()
        return bytes(self._kept)

    def _read(self) -> bool:
        """Read once; False at the end, or when there is nothing just now."""
        try:
            data = os.read(self._pipe.fileno(), OUTPUT_MAX)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._kept += data[: OUTPUT_MAX - len(self._kept)]
        return bool(data)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
