"""One command that runs for an agent: its output, of a size that is known, its end, and the end of all it started."""

from __future__ import annotations

import asyncio
import codecs
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from outlast.agents import orphans, warden
from outlast.core.signals import signal_name
from outlast.core.text import sound

READ_SIZE = 64 * 1024
SLACK = 4 * READ_SIZE
"""Bytes kept beyond the limit, so that not every piece has the rest moved."""
DRAIN_MAX = 2 * 1024 * 1024
"""Bytes read at once where somebody wants to see them: the pipe holds less, so what comes later was written later."""
GONE_SECONDS = warden.GRACE_SECONDS + orphans.KILL_SECONDS + 2.0
"""How long the end of a tree is waited for."""
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOT = "import sys; sys.path.append({!r}); from outlast.agents import warden; warden.main()"


class Exit(NamedTuple):
    """How a command ended: by itself or by a signal; neither when its parent was taken away and nobody saw it."""

    code: int | None = None
    signal: str | None = None

    def __str__(self) -> str:
        if self.code is not None:
            return f"exit code {self.code}"
        return "its end was not seen" if self.signal is None else f"ended by {self.signal}"


class Terminal:
    """A started command; `end` must be called. It has no keyboard and no screen: its output is a pipe."""

    def __init__(
        self, argv: Sequence[str], cwd: int, env: Mapping[str, str], limit: int, told: Callable[[], None]
    ) -> None:
        """Start in the directory ``cwd``, a descriptor; keep the last ``limit`` bytes. Raises OSError, ValueError.

        ``told`` is called when the command runs, and when it has ended.
        """
        self.exit: Exit | None = None
        self._limit = limit
        self._told = told
        self._kept = bytearray()
        self._produced = 0
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[int] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._gone = asyncio.Event()
        self._heard = b""
        self._output, output = os.pipe2(os.O_CLOEXEC)
        self._status, status = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT.format(_ROOT), str(status), *argv],
                # By its descriptor, so that it is the directory that was looked at, whatever has its name by now.
                cwd=f"/proc/self/fd/{cwd}", env=dict(env), stdin=subprocess.PIPE, stdout=output, stderr=output,
                pass_fds=(status,), start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(self._output)
            os.close(self._status)
            raise
        finally:
            os.close(output)
            os.close(status)
        for fd, ready in ((self._output, self._read), (self._status, self._hear)):
            os.set_blocking(fd, False)
            self._loop.add_reader(fd, ready)

    async def started(self) -> None:
        """Wait until the command itself runs. Raises OSError."""
        refused = await asyncio.shield(self._started)
        if refused:
            raise OSError(refused, os.strerror(refused))

    async def ended(self) -> Exit:
        """Wait for the end of the command; what it left running may go on."""
        await self._ended.wait()
        assert self.exit is not None
        return self.exit

    def let_go(self) -> None:
        """Have the command and all it started end, and wait for nothing."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def kill(self) -> bool:
        """End the command and all it started; False when something of it withstands. Its output stays."""
        self.let_go()
        try:
            await asyncio.wait_for(self._gone.wait(), GONE_SECONDS)
        except TimeoutError:
            return False
        return True

    async def end(self) -> bool:
        """End it, and forget its output."""
        done = await self.kill()
        self._close_output()
        self._close_status()
        self._kept.clear()
        return done

    def text(self) -> tuple[str, bool]:
        """Return the last of the output as text of at most ``limit`` bytes, and whether there was more."""
        self._drain()
        data = bytes(self._kept[max(0, len(self._kept) - self._limit) :])
        cut = self._produced > len(data)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text: str = sound(decoder.decode(_from_character(data) if cut else data, final=self.exit is not None))
        encoded = text.encode()
        if len(encoded) > self._limit:  # what is no text takes more bytes as U+FFFD
            cut = True
            text = _from_character(encoded[len(encoded) - self._limit :]).decode()
        return text, cut

    def _read(self) -> bool:
        """Take what is there; False when that was nothing."""
        try:
            data = os.read(self._output, READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close_output()
            return False
        self._produced += len(data)
        self._kept += data
        if len(self._kept) > self._limit + SLACK:
            del self._kept[: len(self._kept) - self._limit]
        return True

    def _drain(self) -> None:
        """Take what is in the pipe already: the end of a command may be heard before the last it has written."""
        taken = 0
        while taken < DRAIN_MAX and self._output >= 0 and self._read():
            taken += READ_SIZE

    def _hear(self) -> None:
        try:
            data = os.read(self._status, 4096)
        except BlockingIOError:
            return
        self._heard += data
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            self._take(*line.decode().split())
        if not data:
            self._leave()

    def _take(self, what: str, number: str = "0") -> None:
        if what in ("started", "refused"):
            self._begin(int(number))
        else:
            self._finish(Exit(int(number)) if what == "exit" else Exit(None, signal_name(int(number))))

    def _begin(self, refused: int) -> None:
        if not self._started.done():
            self._started.set_result(refused)
            if not refused:
                self._told()

    def _finish(self, how: Exit) -> None:
        self.exit = how
        self._ended.set()
        if self._started.result() == 0:
            self._told()

    def _leave(self) -> None:
        """The warden has gone."""
        self._close_status()
        self.let_go()
        self._process.wait()
        self._begin(0)  # a command may be quicker than its warden's first word, and end that
        if self.exit is None:
            self._finish(Exit())
        self._gone.set()

    def _close_output(self) -> None:
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1

    def _close_status(self) -> None:
        if self._status >= 0:
            self._loop.remove_reader(self._status)
            os.close(self._status)
            self._status = -1


def _from_character(data: bytes) -> bytes:
    """Leave out the rest of a character at the beginning."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]
