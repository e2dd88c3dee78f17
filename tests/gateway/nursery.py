"""Gateways and workers for flows as processes of their own that start in no time: forked from one that has read all
the code already.

A crash test starts hundreds of them, and most of a start is Python reading modules.
"""

from __future__ import annotations

import array
import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any

PATIENCE = 60.0
MESSAGE_MAX = 65536


class Born:
    """A forked gateway, seen from the test: what `subprocess.Popen` would be, had the test been its parent."""

    stdout = stderr = None

    def __init__(self, pid: int, fd: int) -> None:
        """``fd`` refers to the process, whoever has its number once it has ended."""
        self.pid = pid
        self._fd = fd

    def poll(self) -> int | None:
        return 0 if self._ended(0.0) else None

    def wait(self, timeout: float = PATIENCE) -> int:
        assert self._ended(timeout), f"process {self.pid} does not end"
        return 0

    def send_signal(self, signum: int) -> None:
        try:
            signal.pidfd_send_signal(self._fd, signum)
        except ProcessLookupError:
            pass

    def _ended(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def __del__(self) -> None:
        os.close(self._fd)


_nursery: socket.socket | None = None


def bear(env: dict[str, str], ready_fd: int, **given: Any) -> Born:
    """Start a gateway or a worker; ``given`` is what `_live` understands."""
    global _nursery
    if _nursery is None:
        _nursery, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, __file__, str(theirs.fileno())]
            process = subprocess.Popen(argv, cwd="/", pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        _nursery.settimeout(PATIENCE)
        atexit.register(_end, process)
        atexit.register(_nursery.close)  # the last to be registered is the first to be called
    message = json.dumps({"env": env, **given}).encode()
    _nursery.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ready_fd]))])
    said, fds, _, _ = socket.recv_fds(_nursery, 64, 1)
    assert said and fds, "the nursery has ended"
    os.set_inheritable(fds[0], False)
    return Born(int(said), fds[0])


def _end(nursery: subprocess.Popen[bytes]) -> None:
    try:
        nursery.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        nursery.kill()
        nursery.wait()


def _main(calls: socket.socket) -> None:
    import outlast.gateway.flow_worker
    import outlast.store.postgres
    import outlast.store.sqlite
    import outlast.surfaces.http.server  # noqa: F401 — read once, here

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody is left a zombie
    while True:
        message, fds, _, _ = socket.recv_fds(calls, MESSAGE_MAX, 1)
        if not message:
            return
        held, go = os.pipe()
        pid = os.fork()
        if pid == 0:
            calls.close()
            os.close(go)
            os.read(held, 1)  # until somebody holds on to us: who dies at once would be gone before that
            os.close(held)
            code = 1
            try:
                code = _live(fds[0], **json.loads(message))
            finally:
                os._exit(code)
        born = os.pidfd_open(pid)
        socket.send_fds(calls, [str(pid).encode()], [born])
        for fd in (fds[0], held, go, born):
            os.close(fd)


def _live(
    ready_fd: int,
    env: dict[str, str],
    crash_at: list[str] | None = None,
    settings: dict[str, Any] | None = None,
    lose_answer: str | None = None,
    sources: list[str] | None = None,
    lease_seconds: float | None = None,
    log: str | None = None,
) -> int:
    """Be a gateway, or a worker for flows where there are ``sources``.

    ``settings`` are constants of modules to be changed, by their full names. ``log`` is where errors go.
    """
    import importlib

    from outlast.config import load
    from outlast.gateway import app, flow_worker
    from outlast.surfaces.http.server import HttpServer

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(env)
    os.setsid()
    for name, value in (settings or {}).items():
        module, _, constant = name.rpartition(".")
        assert hasattr(importlib.import_module(module), constant), name
        setattr(importlib.import_module(module), constant, value)
    if lose_answer is not None:
        _lose_answer(lose_answer)
    point = None if crash_at is None else (crash_at[0], crash_at[1])
    if log is not None:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    if sources is not None:
        os.close(ready_fd)
        return flow_worker.run(load(env), sources, lease_seconds=lease_seconds, crash_at=point)
    return app.run(load(env), face=HttpServer, ready_fd=ready_fd, crash_at=point)


def _lose_answer(act: str) -> None:
    """Have the connection to PostgreSQL break just after the first commit of such an act, before it is answered."""
    import psycopg

    from outlast.store.acts import ACTS
    from outlast.store.postgres.writer import Writer

    together, lost = Writer._together, False

    def losing(self: Writer, batch: list[Any]) -> Any:
        nonlocal lost
        settled = together(self, batch)
        if not lost and any(one.do is ACTS[act] for one in batch):
            lost = True
            self.brought = 0
            self._connection.close()
            self._connection = None
            raise psycopg.OperationalError("the connection is lost")
        return settled

    Writer._together = losing


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
