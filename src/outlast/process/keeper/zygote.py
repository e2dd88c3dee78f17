"""The zygote: forks supervisors ahead of need, keeps duplicates of their descriptors, replaces the ones that die.

Spare supervisors wait in ``accept`` on one shared socket, so a start never passes through the zygote: the kernel hands
the caller straight to a ready process. The zygote is a subreaper too: when a supervisor is killed its command becomes
the zygote's child, the duplicates keep the pipe alive, and a replacement is forked that goes on with the same files.

SIGTERM retires it: it stops serving starts at once and leaves when the last of its sessions has ended. A newer
version is started beside it; running work is never touched.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NoReturn

from outlast.process.keeper import crash, escrow, libc, proc, session
from outlast.process.keeper.wire import PROTOCOL, Message

SPARES = 3
REFILL_AFTER = 0.004
"""Seconds to let a start go first before a new spare is forked beside it, while others are still waiting."""
BACKLOG = 4096
STRAYS_MAX = 256
REHEARSALS = 12


class Child:
    """A supervisor as its zygote sees it."""

    __slots__ = ("done", "fds", "id", "layout", "pid", "replaced", "sock", "started")

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self.sock = sock
        self.id: str | None = None
        self.fds: list[int] = []
        self.layout: Message = {}
        self.started: Message | None = None
        self.done = False
        self.replaced = False


class Zygote:
    """The one parent of supervisors of one home."""

    def __init__(self, home: str, run: str, version: str, nofile: tuple[int, int]) -> None:
        self._context = session.Context(home, run, version, nofile)
        self._home, self._run, self._version = home, run, version
        self._poll = select.epoll()
        self._children: dict[int, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._leaders: dict[int, Child] = {}
        self._strays: dict[int, list[Any]] = {}
        self._listen: socket.socket | None = None
        self._lock_fd = -1
        self._wake_r, self._wake_w = -1, -1
        self._retiring = False

    def open(self) -> bool:
        """Take the lock and the address. False when another zygote of this home serves starts."""
        self._lock_fd = os.open(f"{self._home}/keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        path = f"{self._run}/keeper.sock"
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        listen = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listen.bind(path)
        os.chmod(path, 0o600)
        listen.listen(BACKLOG)
        listen.setblocking(False)
        self._listen = listen
        self._inode = os.stat(path).st_ino
        self._describe()
        libc.become_subreaper()
        libc.set_name("outlast-keeper")
        self._catch_signals()
        return True

    def _describe(self) -> None:
        """Leave a card, so that a gateway knows whom it meets: written whole, then moved into place."""
        card = {
            "pid": os.getpid(),
            "ticks": proc.start_ticks(os.getpid()),
            "boot": proc.boot_id(),
            "version": self._version,
            "protocol": PROTOCOL,
            "startedAt": time.time(),
        }
        temporary = f"{self._run}/keeper.json.{os.getpid()}"
        with open(temporary, "w", encoding="ascii") as file:
            json.dump(card, file)
        os.replace(temporary, f"{self._run}/keeper.json")

    def _catch_signals(self) -> None:
        self._wake_r, self._wake_w = _wake_pipe()
        signal.signal(signal.SIGCHLD, _nothing)
        signal.signal(signal.SIGTERM, self._on_term)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        self._poll.register(self._wake_r, select.EPOLLIN)

    def _on_term(self, *_: object) -> None:
        self._retiring = True

    def warm_up(self) -> None:
        """Let the interpreter settle before anything is forked from it."""
        wakeup, handler = signal.set_wakeup_fd(-1), signal.getsignal(signal.SIGCHLD)
        session.rehearse(self._context, tempfile.mkdtemp(prefix="rehearsal-", dir=self._run), REHEARSALS)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, handler)
        libc.set_name("outlast-keeper")

    def run(self, ready_fd: int) -> None:
        """Serve until retired and no session is left."""
        self._refill()
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
        while not (self._retiring and not self._by_pid):
            spare_missing = not self._retiring and self._spares() < SPARES
            for fd, _ in self._poll.poll(REFILL_AFTER if spare_missing else -1):
                if fd == self._wake_r:
                    os.read(fd, 4096)
                    self._reap()
                elif fd in self._children:
                    self._hear(self._children[fd])
                spare_missing = spare_missing and self._spares() == 0
            if self._retiring:
                self._retire()
            elif spare_missing or self._spares() == 0:
                self._refill()

    def _spares(self) -> int:
        return sum(1 for child in self._by_pid.values() if child.id is None)

    def _refill(self) -> None:
        """Fork one spare at a time: between two forks a waiting start gets its turn on the processor."""
        self._fork_spare()

    def _retire(self) -> None:
        """Stop serving starts: give the address and the lock back, send the spares home."""
        if self._listen is None:
            return
        self._listen.close()
        self._listen = None
        try:
            if os.stat(f"{self._run}/keeper.sock").st_ino == self._inode:
                os.unlink(f"{self._run}/keeper.sock")
        except OSError:
            pass
        os.close(self._lock_fd)
        for child in [c for c in self._by_pid.values() if c.id is None]:
            self._forget_socket(child)  # a spare that sees this end closed leaves; one just taken stays

    # ---- children

    def _fork_spare(self) -> None:
        assert self._listen is not None
        ours, theirs = escrow.pair()
        try:
            pid = os.fork()
        except OSError:  # no more processes for now: a later look tries again
            ours.close()
            theirs.close()
            return
        if pid == 0:
            self._become_child([theirs.fileno(), self._listen.fileno()])
            _leave(session.serve_spare, self._context, self._listen, theirs)
        theirs.close()
        self._add(Child(pid, ours))

    def _add(self, child: Child) -> None:
        self._children[child.sock.fileno()] = child
        self._by_pid[child.pid] = child
        self._poll.register(child.sock.fileno(), select.EPOLLIN)

    def _become_child(self, keep: list[int]) -> None:
        """In a fresh fork: close everything that belongs to other sessions."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        low = 3
        for fd in sorted(keep):
            os.closerange(low, fd)
            low = fd + 1
        os.closerange(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def _hear(self, child: Child) -> None:
        message, fds = escrow.hear_fds(child.sock)
        if message is None:
            self._forget_socket(child)
        elif "taken" in message:
            child.id, child.layout, child.fds = message["taken"], message["layout"], fds
        elif "pid" in message:
            child.started = message
        elif "input_closed" in message:
            os.close(child.fds.pop(child.layout["stdin"]))
            child.layout["stdin"] = -1
        elif message.get("done"):
            child.done = True
            self._drop_fds(child)

    def _forget_socket(self, child: Child) -> None:
        fd = child.sock.fileno()
        if fd >= 0:
            self._poll.unregister(fd)
            self._children.pop(fd, None)
            child.sock.close()

    def _drop_fds(self, child: Child) -> None:
        for fd in child.fds:
            os.close(fd)
        child.fds = []

    def _reap(self) -> None:
        """Collect the dead: supervisors, and commands that lost theirs."""
        dead: list[Child] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            child = self._by_pid.pop(pid, None)
            if child is not None:
                dead.append(child)
            else:
                self._note_end(pid, [status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024])
        for child in dead:
            while child.sock.fileno() >= 0:  # what it managed to say before it died
                self._hear(child)
            self._leaders = {pid: c for pid, c in self._leaders.items() if c is not child}
            if child.id is not None and not child.done:
                child.started = child.started or self._orphan_of(child.id)
                if child.started is not None:
                    self._replace(child)
            self._drop_fds(child)

    def _orphan_of(self, session_id: str) -> Message | None:
        """A supervisor killed between spawn and note: its command is our child now and carries the session's mark."""
        for pid in proc.marked(session_id, 0):
            if os.getsid(pid) == pid and pid in proc.children(os.getpid()):
                ticks = proc.start_ticks(pid) or 0
                return {"pid": pid, "ticks": ticks, "boot": proc.boot_id(), "at": time.time()}
        return None

    def _note_end(self, pid: int, end: list[Any]) -> None:
        replacement = self._leaders.pop(pid, None)
        if replacement is not None:
            escrow.tell(replacement.sock, {"reaped": end})
            return
        self._strays[pid] = end  # its supervisor may be the next one we collect
        while len(self._strays) > STRAYS_MAX:
            del self._strays[next(iter(self._strays))]

    def _replace(self, child: Child) -> None:
        """Fork a supervisor that goes on where a killed one stopped."""
        assert child.started is not None and child.id is not None
        ours, theirs = escrow.pair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return
        if pid == 0:
            self._become_child([theirs.fileno(), *child.fds])
            _leave(
                session.serve_replacement,
                self._context,
                child.id,
                child.layout,
                child.fds,
                child.started,
                theirs,
            )
        theirs.close()
        replacement = Child(pid, ours)
        replacement.id, replacement.layout, replacement.started = child.id, child.layout, child.started
        replacement.fds, child.fds = child.fds, []
        self._add(replacement)
        leader = child.started["pid"]
        if leader in self._strays:
            escrow.tell(ours, {"reaped": self._strays.pop(leader)})
        else:
            self._leaders[leader] = replacement


def _leave(serve: Callable[..., None], *args: object) -> NoReturn:
    """Run the child's life and leave without unwinding into the zygote's."""
    code = 70
    try:
        serve(*args)
        code = 0
    except BaseException as error:
        try:
            os.write(
                2,
                f"{time.strftime('%FT%T')} keeper[{os.getpid()}] {type(error).__name__}: {error}\n".encode(),
            )
        except OSError:
            pass
    finally:
        os._exit(code)


def _wake_pipe() -> tuple[int, int]:
    r, w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(w, warn_on_full_buffer=False)
    return r, w


def _nothing(*_: object) -> None:
    """A handler that only makes the wake-up descriptor speak."""


def main(arguments: list[str]) -> int:
    """Run as ``zygote HOME RUN VERSION READY_FD [CRASH_POINT CRASH_FILE]``."""
    home, run, version, ready_fd = arguments[0], arguments[1], arguments[2], int(arguments[3])
    if len(arguments) > 5:
        crash.arm(arguments[4], arguments[5])
    os.umask(0o077)
    nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (nofile[1], nofile[1]))
    zygote = Zygote(home, run, version, nofile)
    if not zygote.open():
        os.write(ready_fd, b"taken\n")
        return 0
    zygote.warm_up()
    gc.collect()
    gc.disable()
    gc.freeze()
    zygote.run(ready_fd)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
