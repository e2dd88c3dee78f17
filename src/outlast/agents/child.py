"""An agent as a process: started, its standard error always drained, and ended with its group."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from outlast.agents.backend import NO_PROGRAM, AgentTrouble
from outlast.agents.orphans import descendants
from outlast.agents.tidy import clean
from outlast.core.signals import signal_name

EOF_SECONDS = 0.25
"""How long an agent whose work is done may take to leave by itself when its input ends."""
LEAVE_SECONDS = 1.0
"""How long what an agent has started may stay after it, to write down what is to be written: its history, say."""
TERM_SECONDS = 2.0
"""From SIGTERM to SIGKILL."""
DRAIN_SECONDS = 1.0
"""How long the last output is waited for after the end: a child of the agent may hold the pipe open."""
READ_SIZE = 64 * 1024
UNREAD_MAX = 4 * 1024 * 1024
"""Bytes that wait to be read by an agent; while there are more, nothing is heard from it either."""
PASS_MAX = 256 * 1024
"""Bytes of standard error that are passed on as they come; of what follows only the end."""
TAIL_MAX = 8 * 1024
QUOTED_LINES, QUOTED_MAX = 5, 600


class _Heeding(asyncio.Protocol):
    """Says whether an agent reads what it is told."""

    def __init__(self) -> None:
        self.fine = asyncio.Event()
        self.fine.set()

    def pause_writing(self) -> None:
        self.fine.clear()

    def resume_writing(self) -> None:
        self.fine.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fine.set()


class Child:
    """A started agent. ``stdin`` is None when it has none; ``end`` must be called."""

    def __init__(self, process: subprocess.Popen[bytes], pass_on: Callable[[bytes], None]) -> None:
        self._process = process
        self._pass_on = pass_on
        self._loop = asyncio.get_running_loop()
        self._passed = 0
        self._cut = 0
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._gone = asyncio.Event()
        self.code: int | None = None
        self.stdin: asyncio.WriteTransport | None = None
        self.stdout = asyncio.StreamReader(READ_SIZE)
        self._heeding = _Heeding()
        self._drains: list[asyncio.Task[None]] = []
        self._pipes: list[asyncio.BaseTransport] = []
        self._watch_fd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._watch_fd, self._died)

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        stdin: bool,
        pass_on: Callable[[bytes], None],
    ) -> Child:
        """Start a program in a process group of its own. Raises AgentTrouble (no_program, bad_workdir)."""
        child = cls(_spawn(argv, cwd, env, stdin=stdin), pass_on)
        try:
            await child._connect()
        except BaseException:
            await child.end(polite=False)  # called off meanwhile: whoever hears of it finds nothing running
            raise
        return child

    async def _connect(self) -> None:
        process = self._process
        assert process.stdout and process.stderr
        errors = asyncio.StreamReader(READ_SIZE)
        for reader, pipe in ((self.stdout, process.stdout), (errors, process.stderr)):
            protocol = partial(asyncio.StreamReaderProtocol, reader)
            transport, _ = await self._loop.connect_read_pipe(protocol, pipe)
            self._pipes.append(transport)
        if process.stdin:
            writer, _ = await self._loop.connect_write_pipe(lambda: self._heeding, process.stdin)
            writer.set_write_buffer_limits(UNREAD_MAX)
            self.stdin = writer
            self._pipes.append(writer)
        self._drains.append(asyncio.create_task(self._drain(errors)))

    def close_input(self) -> None:
        """Let the agent read the end of its input."""
        if self.stdin is not None:
            self.stdin.close()

    @property
    def heeds(self) -> asyncio.Event:
        """Set unless much of what the agent was told waits to be read by it."""
        return self._heeding.fine

    async def gone(self) -> int:
        """Wait for the end and return the exit code, or minus the number of a signal."""
        await self._gone.wait()
        assert self.code is not None
        return self.code

    async def end(self, *, polite: bool = True) -> None:
        """End the process and its group; what left the group is the session's business. Twice is once."""
        if self._watch_fd < 0 and not self._pipes:
            return
        family = _watch(descendants(self._process.pid)) if polite and self.code is None else []
        self.close_input()
        try:
            if polite and not await self._gone_within(EOF_SECONDS):
                self._signal(signal.SIGTERM)
                await self._gone_within(TERM_SECONDS)
            elif family:
                await self._left(family)
        finally:
            for fd in family:
                os.close(fd)
        # Even when the leader has gone: it is not reaped yet, so the number of its group is still its own.
        self._signal(signal.SIGKILL)
        await self._gone.wait()
        self._process.wait()
        await self._finish_pipes()

    async def _finish_pipes(self) -> None:
        if self._drains:
            await asyncio.wait(self._drains, timeout=DRAIN_SECONDS)
        for task in self._drains:
            task.cancel()
        for pipe in self._pipes:
            pipe.close()
        self._pipes.clear()
        self.stdout.feed_eof()
        if self._cut:
            note = f"\n[{self._cut} bytes of standard error left out]\n".encode()
            tail = b"".join(self._tail)
            self._pass_on(note + tail[tail.find(b"\n") + 1 :])  # half a line may be half a secret
            self._cut = 0

    async def _left(self, family: Sequence[int]) -> None:
        """Wait until those who were started by the agent have left as well, for some time."""
        ended = [asyncio.Event() for _ in family]
        for fd, one in zip(family, ended, strict=True):
            self._loop.add_reader(fd, one.set)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                for one in ended:
                    await one.wait()
        except TimeoutError:
            pass
        finally:
            for fd in family:
                self._loop.remove_reader(fd)

    async def _gone_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def terminate(self, grace: float) -> None:
        """Ask the process and its group to end, and see to it after ``grace`` seconds. `end` is still to be called."""
        if self.code is None:
            self._signal(signal.SIGTERM)
            self._loop.call_later(grace, self._kill)

    def _kill(self) -> None:
        if self.code is None:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def _died(self) -> None:
        """The process ended; it is looked at, not reaped (see `end`)."""
        self._loop.remove_reader(self._watch_fd)
        os.close(self._watch_fd)
        self._watch_fd = -1
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        assert found is not None
        self.code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        self._gone.set()

    async def _drain(self, errors: asyncio.StreamReader) -> None:
        while data := await errors.read(READ_SIZE):
            if self._passed < PASS_MAX:
                self._passed += len(data)
                self._pass_on(data)
            else:
                self._cut += len(data)
            self._tail.append(data[-TAIL_MAX:])
            self._tail_size += len(self._tail[-1])
            while self._tail_size - len(self._tail[0]) >= TAIL_MAX:
                self._tail_size -= len(self._tail.popleft())

    def last_words(self) -> str:
        """Return the last lines of standard error, for an error that quotes them; empty when there are none."""
        text = clean(b"".join(self._tail).decode("utf-8", "replace"))
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " / ".join(lines[-QUOTED_LINES:])[-QUOTED_MAX:]

    async def drained(self) -> None:
        """Wait for the rest of standard error after the end, but not for those who inherited it."""
        if self._drains:
            await asyncio.wait(self._drains, timeout=DRAIN_SECONDS / 4)

    def how(self) -> str:
        """Say how it ended."""
        code = self.code
        assert code is not None
        return f"exit code {code}" if code >= 0 else f"signal {signal_name(-code)}"


def _watch(pids: Sequence[int]) -> list[int]:
    """Return a descriptor of each process that lives, which becomes readable with its end."""
    found = []
    for pid in pids:
        try:
            found.append(os.pidfd_open(pid))
        except OSError:  # it has ended, or there are no descriptors left
            continue
    return found


def _spawn(argv: Sequence[str], cwd: str, env: Mapping[str, str], *, stdin: bool) -> subprocess.Popen[bytes]:
    if not os.path.isdir(cwd):
        raise AgentTrouble("bad_workdir", f"the directory {cwd} is not there", hint="set workdir of the agent")
    path = shutil.which(argv[0], path=env.get("PATH"))
    if path is None and not (os.sep in argv[0] and os.access(os.path.join(cwd, argv[0]), os.X_OK)):
        raise AgentTrouble("no_program", f"there is no program {argv[0]!r}", hint=NO_PROGRAM)
    try:
        return subprocess.Popen(
            list(argv),
            executable=path if os.sep not in argv[0] else None,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
    except (OSError, ValueError) as error:
        raise AgentTrouble("no_program", f"{argv[0]!r} cannot be started: {error}") from None
