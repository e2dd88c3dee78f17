"""Start the gateway on first need: one per home, whoever asks and however many ask at once.

Callers queue on ``home/start.lock``; whoever holds it looks again and only then starts a gateway. The gateway
says ``ready`` on a pipe when it listens, so nobody polls. Its own lock (``home/gateway.lock``) is what makes
a second one impossible; the one here only keeps callers from starting one in vain.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time

from outlast.client.connection import Address, NotRunning, connect
from outlast.config import private_directory
from outlast.core.errors import Conflict, GatewayTrouble, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from outlast.client.connection import Placed

READY_SECONDS = 20.0
LOG_LINES_SHOWN = 8
LOG_BYTES_READ = 8_192
_SESSION_NAMES = ("OUTLAST_SESSION_ID", "OUTLAST_TASK_ID", "OUTLAST_REQUESTER", "OUTLAST_TOKEN")
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
# Long enough not to burn a core, short enough not to be felt: only while another gateway is coming or going.
AGAIN_SECONDS = 0.05


def ensure(config: Placed, extra: tuple[str, ...] = ()) -> bool:
    """Return when a gateway listens; True when this call started it (``gateway run`` gets ``extra``)."""
    if listening(config):
        return False
    with Starting(config):
        return ensure_locked(config, extra)


def ensure_locked(config: Placed, extra: tuple[str, ...] = ()) -> bool:
    """Like ``ensure``, for a caller that already holds ``Starting``."""
    deadline = time.monotonic() + READY_SECONDS
    while not listening(config):
        try:
            _start(config, extra, deadline)
        except Conflict as error:
            # Another gateway holds the lock but does not listen: it is starting or stopping just now.
            if time.monotonic() > deadline:
                raise GatewayTrouble(error.message, hint=error.hint) from error
            time.sleep(AGAIN_SECONDS)
        else:
            return True
    return False


def listening(config: Placed) -> bool:
    """True when somebody accepts connections on the gateway's socket."""
    try:
        connect(Address(path=config.paths.socket)).close()
    except NotRunning:
        return False
    return True


class Starting:
    """Holds ``home/start.lock`` for a ``with`` block; waits for whoever holds it, at most for one start."""

    def __init__(self, config: Placed) -> None:
        self._path = config.paths.start_lock
        self._home = config.paths.home
        self._fd = -1

    def __enter__(self) -> Starting:
        try:
            os.makedirs(os.path.dirname(self._home), 0o700, exist_ok=True)
            private_directory(self._home)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Refused(
                f"cannot write to {self._home}: {error.strerror}",
                code="home_unwritable",
                hint="set OUTLAST_HOME to a directory of your own",
            ) from error
        # No time limit: the holder has its own, READY_SECONDS, and the kernel frees the lock of a dead one.
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _start(config: Placed, extra: tuple[str, ...], deadline: float) -> None:
    """Spawn a gateway and wait for its word; raises Conflict when another one holds the lock."""
    reader, writer = os.pipe()
    try:
        pid = _spawn_outside(config, extra, writer) or _spawn(config, extra, writer)
    except OSError as error:
        os.close(reader)
        raise GatewayTrouble(f"cannot start the gateway: {error}", hint="outlast doctor") from error
    finally:
        os.close(writer)
    try:
        word = _wait_for_word(reader, deadline)
    finally:
        os.close(reader)
    if word == b"ready\n":
        return
    if word is None:
        raise GatewayTrouble(
            f"the gateway (pid {pid}) was not ready within {READY_SECONDS:g} s",
            code="start_failed",
            hint=_log_tail(config),
        )
    code = _exit_code(pid)
    if code == Conflict.exit_code:
        raise Conflict("another gateway holds the lock but does not answer", hint=f"see {config.paths.lock}")
    raise GatewayTrouble(f"the gateway did not start (exit code {code})", code="start_failed", hint=_log_tail(config))


def _wait_for_word(reader: int, deadline: float) -> bytes | None:
    """Read the ready word; empty when the gateway died, None when the time ran out."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    word = b""
    while not word.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        data = os.read(reader, 64)
        if not data:
            return b""
        word += data
    return word


def _environment(config: Placed) -> dict[str, str]:
    """Return what the gateway of a home inherits. A caller in Python may mean another home than its environment says.

    One that is started from within a session belongs to no session.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _SESSION_NAMES}
    return {**kept, "OUTLAST_HOME": config.paths.home}


def _spawn(config: Placed, extra: tuple[str, ...], ready_fd: int) -> int:
    """Start ``outlast gateway run`` in a session of its own, with nothing of ours but the ready pipe."""
    import signal

    os.set_inheritable(ready_fd, True)
    # -P: the caller's directory must not shadow modules of a process that outlives the call.
    argv = [sys.executable, "-P", "-m", "outlast", "gateway", "run", "--ready-fd", str(ready_fd), *extra]
    log = os.open(config.paths.log, _LOG_FLAGS, 0o600)
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited() if fd != ready_fd]
    defaults = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD}
    env = _environment(config)
    try:
        return os.posix_spawn(argv[0], argv, env, file_actions=actions, setsid=True, setsigdef=defaults, setsigmask=[])
    finally:
        os.close(log)


def _spawn_outside(config: Placed, extra: tuple[str, ...], ready_fd: int) -> int | None:
    """From within a session, have the keeper start the gateway; None when this is not such a case.

    As our own child the gateway would belong to the session's tree, and whoever ends the session would end it too.
    """
    session_id = os.environ.get("OUTLAST_SESSION_ID", "")
    if not session_id.isalnum() or not os.path.isdir(os.path.join(config.paths.sessions, session_id)):
        return None
    import socket

    from outlast.process.keeper.wire import pack, receive

    env = _environment(config)
    argv = [sys.executable, "-P", "-m", "outlast", "gateway", "run", "--ready-fd", "3", *extra]
    ready = f"/proc/{os.getpid()}/fd/{ready_fd}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(os.path.join(config.paths.run, "keeper.sock"))
            sock.sendall(pack({"op": "launch", "argv": argv, "env": env, "ready": ready, "log": config.paths.log}))
            answer = receive(sock)
        except OSError:
            answer = None
    if answer is None or "pid" not in answer:
        raise GatewayTrouble(
            "no gateway runs, and one started from within a session would end with it",
            code="inside_session",
            hint="run outside of any session: outlast gateway start",
        )
    return int(answer["pid"])


def _exit_code(pid: int) -> int | None:
    """The exit code of a gateway that gave up; None when it was not our child."""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status)


def _inherited() -> Iterator[int]:
    """Yield what a child would inherit above 2: a gateway must not keep a caller's pipe open."""
    names = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(3, 256))
    for fd in sorted(int(name) for name in names):
        try:
            if fd > 2 and os.get_inheritable(fd):
                yield fd
        except OSError:  # the descriptor of the listing itself
            continue


def _log_tail(config: Placed) -> str:
    """The last lines the gateway wrote, for the hint of an error."""
    try:
        with open(config.paths.log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_BYTES_READ))
            lines = file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES_SHOWN:]
    except OSError:
        lines = []
    return "\n".join([f"the end of {config.paths.log}:", *(f"  {line}" for line in lines)])
