"""The life of a forked supervisor: waiting as a spare, turning into a session, or replacing one that was killed."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import time
from typing import Any

from outlast.process.keeper import escrow, libc, proc
from outlast.process.keeper import record as records
from outlast.process.keeper.channel import Channel
from outlast.process.keeper.crash import point
from outlast.process.keeper.record import RecordFile
from outlast.process.keeper.spawn import Descriptors, Prepared
from outlast.process.keeper.spool import Spool
from outlast.process.keeper.supervisor import Supervisor
from outlast.process.keeper.wire import PROTOCOL, Message, WireError, pack, receive

REQUEST_SECONDS = 30.0
"""How long a caller may take to send its request once connected."""


class Context:
    """What every session of one keeper shares."""

    __slots__ = ("boot", "home", "nofile", "run", "version")

    def __init__(self, home: str, run: str, version: str, nofile: tuple[int, int]) -> None:
        self.home = home
        self.run = run
        self.version = version
        self.nofile = nofile
        self.boot = proc.boot_id()

    def folder(self, session_id: str) -> str:
        """Return the directory of a session."""
        return f"{self.home}/sessions/{session_id}"


def serve_spare(context: Context, listen: socket.socket, zygote: socket.socket) -> None:
    """Wait for a start request and become that session's supervisor; leave when the zygote retires."""
    wake = _settle_in()
    taken = _wait_for_request(listen, zygote)
    if taken is None:
        return
    conn, spec = taken
    listen.close()
    try:
        supervisor = start(context, conn, spec, zygote, wake)
    except OSError as error:
        _reply(conn, {"error": "cannot_start", "errno": error.errno, "message": _reason(error)})
        escrow.tell(zygote, {"done": True})
        return
    if supervisor is not None:
        supervisor.run()


def _wait_for_request(listen: socket.socket, zygote: socket.socket) -> tuple[socket.socket, dict[str, Any]] | None:
    poll = select.poll()
    poll.register(listen, select.POLLIN)
    poll.register(zygote, select.POLLIN | select.POLLHUP)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if zygote.fileno() in ready:
            return None
        try:
            conn, _ = listen.accept()
        except OSError:  # another spare was quicker
            continue
        spec = _read_request(conn)
        if spec is not None:
            return conn, spec
        conn.close()


def _read_request(conn: socket.socket) -> dict[str, Any] | None:
    conn.settimeout(REQUEST_SECONDS)
    try:
        message = receive(conn)
    except (OSError, WireError):
        return None
    if message is None:
        return None
    spec = message.get("spec")
    if message.get("op") != "start" or not isinstance(spec, dict):
        _reply(conn, {"error": "unknown_op"})
        return None
    return spec


def start(
    context: Context, conn: socket.socket, spec: dict[str, Any], zygote: socket.socket, wake: int
) -> Supervisor | None:
    """Put the session on record, start the command, answer. None when the command could not be spawned.

    Raises OSError when there is no room or right to keep a record: then nothing was started.
    """
    folder = context.folder(spec["id"])
    os.mkdir(folder, 0o700)
    record = RecordFile.create(folder, _public(spec, context))
    os.close(os.open(f"{context.home}/open/{spec['id']}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    spool = Spool(folder, spec.get("output_cap") or 1 << 28)
    prepared = Prepared(spec)
    escrow.tell(zygote, {"taken": spec["id"], "layout": prepared.ours.layout()}, prepared.ours.all())
    libc.set_name("outlast-session")
    supervisor = Supervisor(spec, context.run, record, spool, prepared.ours, zygote, wake, context.version)
    point("supervisor:before_spawn")
    at = time.time()
    try:
        pid = prepared.spawn(spec, context.nofile)
    except OSError as error:
        _record_failure(supervisor, record, conn, error, at)
        escrow.tell(zygote, {"done": True})
        return None
    point("supervisor:after_spawn")
    spec.pop("env", None)
    started = {
        "pid": pid,
        "ticks": proc.start_ticks(pid) or 0,
        "boot": context.boot,
        "at": at,
        "supervisor": os.getpid(),
        "supervisor_ticks": proc.start_ticks(os.getpid()) or 0,
    }
    escrow.tell(zygote, started)
    record.add("started", started)
    point("supervisor:after_started_record")
    channel = Channel(conn)
    supervisor.add_channel(channel)
    channel.send({"ev": "started", "protocol": PROTOCOL, "version": context.version, **started})
    supervisor.parent(pid)
    return supervisor


def _record_failure(supervisor: Supervisor, record: RecordFile, conn: socket.socket, error: OSError, at: float) -> None:
    supervisor.exit = {
        "cause": "spawn_error",
        "at": at,
        "code": None,
        "signal": None,
        "leftovers": 0,
        "note": _reason(error),
        "produced": 0,
    }
    supervisor.write_exit()
    record.add("end", {"produced": 0})
    _reply(conn, {"ev": "exit", **supervisor.exit})


def serve_replacement(
    context: Context,
    session_id: str,
    layout: Message,
    fds: list[int],
    started: Message,
    zygote: socket.socket,
) -> None:
    """Go on for a supervisor that was killed: same files, same descriptors, exit status by way of the zygote."""
    wake = _settle_in()
    libc.set_name("outlast-session")
    folder = context.folder(session_id)
    known = records.read(folder) or {}
    spec = known.get("spec") or {"id": session_id}
    record = RecordFile.resume(folder)
    if "started" not in known:
        record.add("started", started)
    record.add("taken_over", {"at": time.time(), "supervisor": os.getpid()})
    spool = Spool(folder, spec.get("output_cap") or 1 << 28)
    descriptors = Descriptors.from_layout(layout, fds)
    supervisor = Supervisor(spec, context.run, record, spool, descriptors, zygote, wake, context.version)
    kill = known.get("kill")
    supervisor.adopt(started["pid"], started["ticks"], started["at"], known.get("exit"), kill and kill["cause"])
    supervisor.run()


def rehearse(context: Context, scratch: str, times: int) -> None:
    """Play whole sessions inside the zygote, in a scratch directory, before the first fork.

    The interpreter rewrites its code and fills its caches the first times a line runs. Done once here the pages stay
    shared by all supervisors; done in each of them it costs about half a megabyte a session.
    """
    wake = _wake_on_child()
    for folder in ("sessions", "open"):
        os.mkdir(f"{scratch}/{folder}")
    stage = Context(scratch, scratch, context.version, context.nofile)
    for turn in range(times):
        ours, theirs = socket.socketpair()
        zygote, child = escrow.pair()
        spec = {
            "id": f"r{turn}",
            "argv": ["/bin/sh", "-c", "echo out; echo err >&2; read line"],
            "command": "rehearsal",
            "cwd": "/",
            "env": {},
            "stdin": "pipe",
            "pty": turn % 4 == 3,
        }
        theirs.sendall(pack({"op": "start", "spec": spec}))
        received = _read_request(ours)
        assert received is not None
        supervisor = start(stage, ours, received, child, wake)
        theirs.sendall(pack({"op": "hello", "n": 1}) + pack({"op": "watch", "after": 0}))
        theirs.sendall(pack({"op": "write", "n": 2, "data": "Cg==", "eof": True}))
        if supervisor is not None:
            supervisor.bind()
            supervisor.run()
        for sock in (ours, theirs, zygote, child):
            sock.close()
    shutil.rmtree(scratch, ignore_errors=True)


def _settle_in() -> int:
    """Make a fresh fork a session leader and subreaper of its own, woken by the death of children."""
    os.setsid()
    libc.become_subreaper()
    return _wake_on_child()


def _wake_on_child() -> int:
    r, w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(w, warn_on_full_buffer=False)
    return r


def _nothing(*_: object) -> None:
    """A handler that only makes the wake-up descriptor speak."""


def _public(spec: dict[str, Any], context: Context) -> dict[str, Any]:
    """Return what goes on record: names of environment variables, never their values, and never what was fed in."""
    public = {key: value for key, value in spec.items() if key not in ("env", "stdin_text")}
    public["stdin_text"] = "" if spec.get("stdin_text") is not None else None
    public["boot"] = context.boot
    public["keeper"] = {"version": context.version, "protocol": PROTOCOL}
    return public


def _reason(error: OSError) -> str:
    where = error.filename
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    return f"{error.strerror}: {where}" if where else str(error.strerror)


def _reply(conn: socket.socket, message: Message) -> None:
    try:
        conn.setblocking(True)
        conn.settimeout(REQUEST_SECONDS)
        conn.sendall(pack(message))
    except OSError:
        pass
