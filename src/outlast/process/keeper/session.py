"""The life of a forked supervisor: waiting as a spare, turning into a session, or replacing one that was killed."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select
import shutil
import signal
import socket
import time
from typing import Any

from outlast.process.keeper import escrow, libc, proc
from outlast.process.keeper import record as records
from outlast.process.keeper.channel import Channel, accept
from outlast.process.keeper.crash import point
from outlast.process.keeper.record import RecordFile
from outlast.process.keeper.spawn import Descriptors, Prepared, prefer_for_oom
from outlast.process.keeper.spool import Spool
from outlast.process.keeper.supervisor import Supervisor
from outlast.process.keeper.wire import PROTOCOL, Message, WireError, pack, receive

_NONSENSE = (AttributeError, KeyError, TypeError, ValueError)
"""What a request raises that no gateway of ours would send."""
Taken = tuple[socket.socket, Message]
PROMPT_SECONDS = 0.2
"""A caller that takes longer to send its request does not keep others waiting: the zygote orders another spare."""
REQUEST_SECONDS = 30.0
"""How long a caller may take to send its request once connected."""


class Context:
    """What every session of one keeper shares."""

    __slots__ = ("boot", "home", "nofile", "run", "version", "zygote")

    def __init__(self, home: str, run: str, version: str, nofile: tuple[int, int]) -> None:
        self.home = home
        self.run = run
        self.version = version
        self.nofile = nofile
        self.boot = proc.boot_id()
        self.zygote = os.getpid()

    def folder(self, session_id: str) -> str:
        """Return the directory of a session."""
        return f"{self.home}/sessions/{session_id}"


def serve_spare(context: Context, listen: socket.socket, zygote: socket.socket) -> None:
    """Wait for a start request and become that session's supervisor; leave when the zygote retires."""
    wake = _settle_in()
    poll = select.epoll()
    taken = _wait_for_request(poll, listen, zygote)
    if taken is None:
        return
    conn, request = taken
    poll.unregister(listen.fileno())
    listen.close()
    if request["op"] == "launch":
        escrow.tell(zygote, "done")
        _launch(conn, request)
        return
    try:
        supervisor = start(context, conn, request, zygote, wake, poll)
    except (OSError, *_NONSENSE) as error:
        _reply(conn, {"error": "cannot_start", "errno": getattr(error, "errno", None), "message": _reason(error)})
        escrow.tell(zygote, "done")
        return
    if supervisor is not None:
        supervisor.run()


def _wait_for_request(poll: select.epoll, listen: socket.socket, zygote: socket.socket) -> Taken | None:
    poll.register(listen.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
    poll.register(zygote.fileno(), select.EPOLLIN)
    while True:
        if zygote.fileno() in [fd for fd, _ in poll.poll()]:
            return None
        try:
            conn = accept(listen)
        except OSError:  # another spare was quicker
            continue
        request = _read_request(conn, zygote)
        if request is not None:
            return conn, request
        conn.close()


def _read_request(conn: socket.socket, zygote: socket.socket) -> dict[str, Any] | None:
    def late() -> None:
        if conn.gettimeout() == REQUEST_SECONDS:
            raise TimeoutError
        escrow.tell(zygote, "waiting")
        conn.settimeout(REQUEST_SECONDS)

    conn.settimeout(PROMPT_SECONDS)
    try:
        message = receive(conn, late)
    except (OSError, WireError):
        message = None
    if conn.gettimeout() == REQUEST_SECONDS:
        escrow.tell(zygote, "waited")
    if message is None:
        return None
    wanted = {"start": ("spec", "line"), "launch": ("argv", "env", "ready", "log")}.get(message.get("op", ""))
    if wanted is None or not all(field in message for field in wanted):
        _reply(conn, {"error": "unknown_op"})
        return None
    if message["op"] == "start" and not _is_name(message["spec"]):
        _reply(conn, {"error": "bad_request", "message": "a start needs a spec with an id"})
        return None
    return message


def _is_name(spec: object) -> bool:
    """True when a request names a session by what can be the name of a folder and nothing else."""
    name = spec.get("id") if isinstance(spec, dict) else None
    return isinstance(name, str) and name.isascii() and name.isalnum()


def _launch(conn: socket.socket, request: Message) -> None:
    """Start a gateway on behalf of a caller that is itself part of a session.

    As a child of the caller it would be part of that session's tree and die with it. This process leaves at once, so
    that the gateway becomes the zygote's child. ``ready`` and ``log`` are files to open as descriptors 3 and 1, 2.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        (os.POSIX_SPAWN_OPEN, 3, request["ready"], os.O_WRONLY, 0),
    ]
    argv = request["argv"]
    try:
        pid = os.posix_spawn(argv[0], argv, request["env"], file_actions=actions, setsid=True, setsigmask=[])
    except OSError as error:
        _reply(conn, {"error": "cannot_start", "errno": error.errno, "message": _reason(error)})
        return
    _reply(conn, {"pid": pid})


def start(
    context: Context, conn: socket.socket, request: Message, zygote: socket.socket, wake: int, poll: select.epoll
) -> Supervisor | None:
    """Put the session on record, start the command, answer. None when the command could not be spawned.

    ``request`` holds ``spec``, what we need to start it, and ``line``, what goes on record, composed by the caller: it
    holds the names of environment variables and never their values.

    Raises OSError when there is no room or right to keep a record, and others for a spec that makes no sense: then
    nothing was started.
    """
    spec: dict[str, Any] = request["spec"]
    record, spool, prepared = _prepare(context, spec, request["line"], conn)
    escrow.tell(zygote, f"taken {spec['id']} {prepared.ours.layout()}", prepared.ours.all())
    libc.set_name("outlast-session")
    supervisor = Supervisor(spec, context.run, record, spool, prepared.ours, zygote, wake, context.version, poll)
    point("supervisor:before_spawn")
    at = time.time()
    try:
        pid = prepared.spawn(spec, context.nofile)
    except (OSError, *_NONSENSE) as error:
        _record_failure(supervisor, record, conn, error, at)
        escrow.tell(zygote, "done")
        return None
    point("supervisor:after_spawn")
    spec.pop("env", None)
    started = {
        "pid": pid,
        "ticks": proc.start_ticks(pid) or 0,
        "boot": context.boot,
        "at": at,
        "supervisor": os.getpid(),
        "zygote": context.zygote,
        "keeper": context.version,
    }
    escrow.tell(zygote, f"started {pid} {started['ticks']} {at}")
    try:
        record.add("started", started)
    except OSError:  # a disk that fails in this moment: the command runs, and who is connected hears of it
        pass
    point("supervisor:after_started_record")
    channel = Channel(conn)
    supervisor.add_channel(channel)
    channel.send({"ev": "started", "protocol": PROTOCOL, **started})
    supervisor.parent(pid)
    prefer_for_oom(pid)
    return supervisor


def _prepare(
    context: Context, spec: dict[str, Any], line: str, conn: socket.socket
) -> tuple[RecordFile, Spool, Prepared]:
    folder = context.folder(spec["id"])
    os.mkdir(folder, 0o700)
    point("supervisor:before_record")
    try:
        record = RecordFile.create(folder, line)
        os.close(os.open(f"{context.home}/open/{spec['id']}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        _require_caller(conn)
        return record, Spool(folder, spec.get("output_cap") or 1 << 28), Prepared(spec)
    except (OSError, *_NONSENSE):
        _forget(context, spec["id"])
        raise


def _require_caller(conn: socket.socket) -> None:
    """Raise ConnectionResetError when whoever asked is gone: nobody would know of this session.

    Asked once the mark in ``open`` is there: a gateway that started too late to ask finds the mark, and one that
    looked before it was made started after the caller had died.
    """
    conn.setblocking(False)
    try:
        gone = not conn.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        gone = False
    if gone:
        raise ConnectionResetError("whoever asked for this session is gone")


def _forget(context: Context, session_id: str) -> None:
    """Nothing was started: nothing of it stays on record either."""
    shutil.rmtree(context.folder(session_id), ignore_errors=True)
    try:
        os.unlink(f"{context.home}/open/{session_id}")
    except OSError:
        pass


def _record_failure(
    supervisor: Supervisor, record: RecordFile, conn: socket.socket, error: Exception, at: float
) -> None:
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
    context: Context, session_id: str, kept: Descriptors, started: tuple[int, int, float], zygote: socket.socket
) -> None:
    """Go on for a supervisor that was killed: same files, same descriptors, exit status by way of the zygote."""
    wake = _settle_in()
    libc.set_name("outlast-session")
    folder = context.folder(session_id)
    known = records.read(folder) or {}
    spec = known.get("spec") or {"id": session_id}
    record = RecordFile.resume(folder)
    if "started" not in known:
        pid, ticks, at = started
        who = {"pid": pid, "ticks": ticks, "boot": context.boot, "at": at}
        record.add("started", {**who, "zygote": context.zygote, "keeper": context.version})
    record.add("taken_over", {"at": time.time(), "supervisor": os.getpid()})
    spool = Spool(folder, spec.get("output_cap") or 1 << 28)
    poll = select.epoll()
    poll.register(zygote.fileno(), select.EPOLLIN)
    supervisor = Supervisor(spec, context.run, record, spool, kept, zygote, wake, context.version, poll)
    kill = known.get("kill")
    supervisor.adopt(*started, known.get("exit"), kill and kill["cause"])
    if spec.get("stdin_text") is not None:
        supervisor.cut_input()
    supervisor.run()


def rehearse(context: Context, scratch: str, times: int) -> None:
    """Play whole sessions inside the zygote, in a scratch directory, before the first fork.

    The interpreter rewrites its code and fills its caches the first times a line runs. Done once here the pages stay
    shared by all supervisors; done in each of them it costs about half a megabyte a session.
    """
    for folder in ("sessions", "open"):
        os.mkdir(f"{scratch}/{folder}")
    stage = Context(scratch, scratch, context.version, context.nofile)
    listen = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listen.bind(f"{scratch}/keeper.sock")
    listen.listen()
    listen.setblocking(False)
    for turn in range(times):
        _rehearse_once(stage, listen, turn)
    listen.close()
    shutil.rmtree(scratch, ignore_errors=True)


def _rehearse_once(stage: Context, listen: socket.socket, turn: int) -> None:
    wake = _settle_in()
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    caller.connect(f"{stage.run}/keeper.sock")
    zygote, child = escrow.pair()
    env = {f"NAME_{n}": "value " * (n % 9) for n in range(30)}
    spec = {
        "id": f"r{turn}",
        "argv": ["/bin/sh", "-c", "echo out; echo err >&2; read line"],
        "cwd": "/",
        "env": env,
        "stdin": "pipe",
        "pty": turn % 4 == 3,
    }
    caller.sendall(pack({"op": "start", "spec": spec, "line": "{}" * 200}))
    poll = select.epoll()
    taken = _wait_for_request(poll, listen, child)
    assert taken is not None
    conn, request = taken
    poll.unregister(listen.fileno())
    supervisor = start(stage, conn, request, child, wake, poll)
    caller.sendall(pack({"op": "hello", "n": 1}) + pack({"op": "watch", "after": 0}))
    caller.sendall(pack({"op": "write", "n": 2, "data": "Cg==", "eof": True}))
    if supervisor is not None:
        supervisor.bind()
        supervisor.run()
    for sock in (caller, conn, zygote, child):
        sock.close()


def _settle_in() -> int:
    """Make a fresh fork a session leader and subreaper of its own, woken by the death of children."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    libc.become_subreaper()
    _signal.signal(_signal.SIGCHLD, nothing)  # the C half: the other one goes by way of enumerations
    return wake_pipe()


def wake_pipe() -> int:
    """Return a descriptor that turns readable at a signal that has a handler."""
    r, w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(w, warn_on_full_buffer=False)
    return r


def nothing(*_: object) -> None:
    """A handler that only makes the wake-up descriptor speak."""


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
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
