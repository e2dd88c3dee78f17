"""A private home with a real keeper for tests, and no process left behind."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from outlast import __version__
from outlast.core.session import ExecSpec
from outlast.process.clock import SystemClock
from outlast.process.keeper import proc
from outlast.process.launcher import Launcher, find
from outlast.process.session import Session
from outlast.process.sessions import Sessions

T = TypeVar("T")


class House:
    """A home of its own. ``table`` opens the live table as a starting gateway does."""

    def __init__(self) -> None:
        self.home = tempfile.mkdtemp(prefix="ol-")
        self.version = __version__
        self.crash_at: tuple[str, str] | None = None

    def table(self) -> Sessions:
        launcher = Launcher(self.home, self.home, self.version, self.crash_at)
        return Sessions(self.home, self.home, SystemClock(), launcher)

    def run(self, act: Callable[[Sessions], Awaitable[T]], *, crash: bool = False, timeout: float = 240) -> T:
        """Open a table, act, and close it politely, or drop it the way kill -9 does (``crash``)."""

        async def main() -> T:
            table = self.table()
            await table.open()
            try:
                return await asyncio.wait_for(act(table), timeout)
            finally:
                if not crash:
                    await table.close()

        return asyncio.run(main())

    @property
    def keeper_pid(self) -> int:
        pid = find(self.home).pid
        assert pid is not None
        return pid

    def processes(self) -> list[int]:
        """Every living process that carries a mark of one of our sessions."""
        names = os.listdir(f"{self.home}/sessions") if os.path.isdir(f"{self.home}/sessions") else []
        marks = {f"OUTLAST_SESSION_ID={name}".encode() for name in names}
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if marks & environment(pid)]

    def close(self) -> None:
        pid = find(self.home).pid
        everyone = proc.descendants(pid) if pid else []
        end([*([pid] if pid else []), *everyone, *self.processes()])
        shutil.rmtree(self.home, ignore_errors=True)


def end(pids: Iterable[int]) -> None:
    """Kill processes, and return when they are gone: one that dies may still make a file where it lived."""
    dying: list[int] = []
    for pid in pids:
        with suppress(ProcessLookupError):
            victim = os.pidfd_open(pid)
            dying.append(victim)
            signal.pidfd_send_signal(victim, signal.SIGKILL)
        if len(dying) > 100:
            _until_dead(dying.pop(0))
    for victim in dying:
        _until_dead(victim)


def _until_dead(victim: int) -> None:
    death = select.poll()
    death.register(victim, select.POLLIN)
    death.poll(60_000)
    os.close(victim)


def environment(pid: int) -> set[bytes]:
    """What a living process has in its environment, as ``NAME=value``; nothing for one that is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return set(file.read().split(b"\0")) - {b""}
    except OSError:
        return set()


def spec(table: Sessions, command: str | list[str], **fields: Any) -> ExecSpec:
    """A start request as the gateway would compose it."""
    session_id = fields.pop("id", None) or table.new_id()
    env = {"PATH": os.environ["PATH"], "OUTLAST_SESSION_ID": session_id, **fields.pop("env", {})}
    argv = ("/bin/bash", "--noprofile", "--norc", "-c", command) if isinstance(command, str) else tuple(command)
    shown = command if isinstance(command, str) else " ".join(command)
    fields = {"cwd": "/tmp", "grace_seconds": 1.0, "requester": "local", "created_at": 1.0} | fields
    return ExecSpec(id=session_id, argv=argv, command=shown, env=env, **fields)


async def ended(table: Sessions, command: str | list[str], **fields: Any) -> Session:
    """Start a command and wait until its output is complete."""
    session = await table.start(spec(table, command, **fields))
    await table.until_drained(session)
    return session


def text(session: Session) -> str:
    return session.output.read(0, session.produced).decode()
