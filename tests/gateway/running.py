"""A gateway in a process of its own, with a home of its own, and a plain HTTP client to it."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from houses import House
from outlast import config as config_module

PATIENCE = 60.0
ANSWER_SECONDS = PATIENCE + 30.0
"""How long an answer is waited for: it may say itself that what it waited for has not come within `PATIENCE`."""


class Reply(NamedTuple):
    """One JSON answer."""

    status: int
    json: Any


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(self._path)


class Gateway:
    """Starts, asks and ends gateways of one home; `close` leaves no process and no file behind."""

    def __init__(self) -> None:
        self.home = tempfile.mkdtemp(prefix="olg-")
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.env = {**keep, "OUTLAST_HOME": self.home, "SHELL": "/bin/bash"}
        self.paths = config_module.load(self.env).paths
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self, *words: str, ready_fd: int | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Start ``outlast gateway run``; with ``ready_fd`` as a command line starts it."""
        fds = () if ready_fd is None else (ready_fd,)
        ready = () if ready_fd is None else ("--ready-fd", str(ready_fd))
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        argv = [sys.executable, "-m", "outlast", "gateway", "run", *ready, *words]
        return subprocess.Popen(argv, env=self.env, cwd="/", pass_fds=fds, **options)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a gateway and return when it says that it is ready."""
        reader, writer = os.pipe()
        try:
            self.process = self.spawn(*words, ready_fd=writer, **options)
        finally:
            os.close(writer)
        assert is_ready(reader, self.log), self.log()
        return self.process

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """End the gateway and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signum)
        code = self.process.wait(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """Make one request on the Unix socket."""
        connection = UnixConnection(self.paths.socket)
        return exchange(connection, method, path, body, headers or {})

    def exec(self, command: str, **fields: Any) -> dict[str, Any]:
        """Run a command and return the result."""
        reply = self.ask("POST", "/v1/exec", {"command": command, **fields})
        assert reply.status == 200, reply
        return dict(reply.json)

    def log(self) -> str:
        """What the gateway has logged."""
        try:
            with open(self.paths.log, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)
        house = House.__new__(House)
        house.home = self.home
        kill_keeper(self.paths.run)
        house.close()
        for name in os.listdir(self.paths.run) if os.path.isdir(self.paths.run) else ():
            os.unlink(f"{self.paths.run}/{name}")
        if os.path.isdir(self.paths.run):
            os.rmdir(self.paths.run)


def is_ready(reader: int, log: Callable[[], str]) -> bool:
    """Wait for what a gateway says of itself; False when it has ended before it was ready."""
    said, end = b"", time.monotonic() + PATIENCE
    try:
        while said != b"ready\n":
            left = max(0.0, end - time.monotonic())
            assert select.select([reader], [], [], left)[0], f"it is neither ready nor gone: {said!r} {log()}"
            data = os.read(reader, 64)
            if not data:
                break
            said += data
    finally:
        os.close(reader)
    return said == b"ready\n"


def kill_keeper(run: str) -> None:
    """End the keeper of a run directory and everything below it."""
    from outlast.process.keeper import proc
    from outlast.process.launcher import find

    pid = find(run).pid
    for victim in [pid, *proc.descendants(pid)] if pid else []:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any, headers: dict[str, str]
) -> Reply:
    """Send one request and read its JSON answer."""
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return Reply(response.status, json.loads(response.read()))
    finally:
        connection.close()
