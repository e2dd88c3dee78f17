"""A runner as the keeper starts it: its own process, its pipes, and a look at what it leaves behind."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from outlast.core.agent import AgentEvent, AgentSpec, EventKind, Turn

HERE = Path(__file__).parent
SCRIPTED = [sys.executable, "-S", str(HERE / "scripted_acp.py")]
PATIENCE = 60.0
RUNNER = [sys.executable, "-P", "-m", "outlast.agents.runner"]


def acp(*habits: str, **fields: Any) -> AgentSpec:
    """The scripted ACP agent with habits."""
    return AgentSpec(name="scripted", backend="acp", command=(*SCRIPTED, *habits), **fields)


def command(*argv: str, **fields: Any) -> AgentSpec:
    return AgentSpec(name="scripted", backend="command", command=argv, **fields)


def python(code: str, *more: str, **fields: Any) -> AgentSpec:
    """A command-line agent that is a piece of Python; ``more`` are its arguments."""
    return command(sys.executable, "-S", "-c", code.replace("{", "{{").replace("}", "}}"), *more, **fields)


class Running:
    """A turn that runs. ``events`` grows as lines come; every process of it carries a mark."""

    def __init__(
        self,
        agent: AgentSpec,
        prompt: str = "hello",
        *,
        workdir: Path | str = "/tmp",
        argv: list[str] = RUNNER,
        env: dict[str, str] | None = None,
        raw: bytes | None = None,
        **fields: Any,
    ) -> None:
        self.mark = f"OUTLAST_TEST_MARK={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.turn = Turn(
            agent=agent,
            conversation="agent:scripted:main",
            prompt=prompt,
            workdir=str(workdir),
            env=env or {},
            **fields,
        )
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, name: value}
        )
        self.events: list[AgentEvent] = []
        self.lines: list[bytes] = []
        self.errors = b""
        self._come: queue.SimpleQueue[AgentEvent | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self._reading_errors = threading.Thread(target=self._read_errors, daemon=True)
        self._reading_errors.start()
        self.write(msgspec.json.encode(self.turn) + b"\n" if raw is None else raw)

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            self._come.put(msgspec.json.decode(line, type=AgentEvent))
        self._come.put(None)

    def _read_errors(self) -> None:
        self.errors = self.process.stderr.read()

    def write(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def tell(self, **wish: Any) -> None:
        """Write a line to the runner."""
        self.write(json.dumps(wish).encode() + b"\n")

    def _next(self) -> AgentEvent | None:
        try:
            return self._come.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"nothing more came: {self.events}") from None

    def until(self, fits: EventKind | Callable[[AgentEvent], bool]) -> AgentEvent:
        """Wait for an event."""
        wanted = (lambda event: event.ev is fits) if isinstance(fits, EventKind) else fits
        while True:
            event = self._next()
            assert event is not None, f"it ended first: {self.events}"
            self.events.append(event)
            if wanted(event):
                return event

    def end(self) -> AgentEvent:
        """Wait for the last line and the end of the runner; nothing of it may run any more."""
        while (event := self._next()) is not None:
            self.events.append(event)
        self.process.wait(PATIENCE)
        self._reading_errors.join(PATIENCE)
        last = self.events[-1]
        assert last.ev is EventKind.END, self.events
        assert [event.ev for event in self.events].count(EventKind.END) == 1
        assert self.process.returncode == (0 if last.error is None else 1), self.errors
        assert max(map(len, self.lines)) <= 256 * 1024
        return last

    def alive(self) -> list[int]:
        """The living processes of this turn."""
        return marked(self.mark)

    def of(self, kind: EventKind) -> list[AgentEvent]:
        return [event for event in self.events if event.ev is kind]

    def close(self) -> None:
        for pid in self.alive():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


def wait_for(path: Path) -> None:
    """Wait until a file is there: somebody's sign that something has begun."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


def marked(mark: str) -> list[int]:
    """The living processes that have a mark in their environment."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark.encode() in _environment(pid)]


def sleeping_in(place: Path) -> list[int]:
    """The processes that sleep there, whatever their environment."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                if file.read() == "sleep\n" and os.readlink(f"/proc/{pid}/cwd") == str(place):
                    found.append(pid)
        except OSError:
            pass
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []
