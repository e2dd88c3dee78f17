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
import time
from collections.abc import Callable
from typing import NoReturn

from outlast.process.keeper import crash, escrow, libc, proc, session, template
from outlast.process.keeper.spawn import Descriptors
from outlast.process.keeper.wire import PROTOCOL

SPARES = 3
REFILL_AFTER = 0.004
"""Seconds to let a start go first before a new spare is forked beside it, while others are still waiting."""
SHORT_OF_SECONDS = 1.0
"""Between two tries when the system has no process or descriptor left for a spare."""
STEADY_SECONDS = 1.0
"""A supervisor that lived for so long is replaced at once, however often that comes."""
AT_ONCE_MAX = 3
PAUSE_FIRST, PAUSE_MAX = 0.05, 30.0
"""Seconds before the next try, from the `AT_ONCE_MAX`th in a row on that died as it began: doubled from try to try."""
BACKLOG = 4096
STRAYS_MAX = 256
WAITING_MAX = 64
"""Spares that may be held up by callers who connected and said nothing, before starts have to wait as well."""
REHEARSALS = 20


class Child:
    """A supervisor as its zygote sees it. It is dead when its socket closes; ``done`` means it was ready to."""

    __slots__ = (
        "born", "done", "end", "fds", "id", "pty", "sock", "started", "stdin", "streams", "tries", "waiting",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.id: str | None = None
        self.fds: list[int] = []
        self.streams = ""
        self.stdin = -1
        self.pty = False
        self.started: tuple[int, int, float] | None = None
        self.end: str | None = None
        self.waiting = False
        self.done = False
        self.born = time.monotonic()
        self.tries = 0


class Zygote:
    """The keeper's centre for one home: orders spares, holds descriptors in escrow, replaces the killed."""

    def __init__(self, home: str, run: str, version: str, nofile: tuple[int, int]) -> None:
        self._context = session.Context(home, run, version, nofile)
        self._home, self._run, self._version = home, run, version
        self._poll = select.epoll()
        self._children: dict[int, Child] = {}
        self._leaders: dict[int, Child] = {}
        self._strays: dict[tuple[int, int], str] = {}
        self._template: template.Template | None = None
        self._listen: socket.socket | None = None
        self._lock_fd = -1
        self._inode = 0
        self._wake_r = -1
        self._retiring = False
        self._refill_at: float | None = None
        self._later: list[tuple[float, Child]] = []
        """Sessions without a supervisor, and when the next is tried."""

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
        self._wake_r = session.wake_pipe()
        signal.signal(signal.SIGCHLD, session.nothing)
        signal.signal(signal.SIGTERM, self._on_term)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        self._poll.register(self._wake_r, select.EPOLLIN)

    def _on_term(self, *_: object) -> None:
        self._retiring = True

    def warm_up(self) -> None:
        """Let the interpreter settle before anything is forked from it."""
        wakeup = signal.set_wakeup_fd(-1)
        scratch = f"{self._run}/rehearsal-{os.getpid()}"
        os.mkdir(scratch, 0o700)
        session.rehearse(self._context, scratch, REHEARSALS)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        libc.set_name("outlast-keeper")

    def run(self, ready_fd: int) -> None:
        """Serve until retired and no session is left."""
        self._refill()
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
        while not (self._retiring and not self._children and not self._later):
            for fd, _ in self._poll.poll(self._patience()):
                if fd == self._wake_r:
                    os.read(fd, 4096)
                    self._reap()
                elif fd in self._children:
                    self._hear(self._children[fd])
                elif self._template is not None and fd == self._template.sock.fileno():
                    self._lose_template()
            self._replace_late()
            if self._retiring:
                self._retire()
            elif self._refill_due():
                try:
                    self._refill()
                except OSError:  # no process or descriptor is free: what runs needs none, and we look again
                    self._refill_at = time.monotonic() + SHORT_OF_SECONDS

    def _patience(self) -> float:
        """How long to sleep: for ever when all is there that has to be."""
        spare = self._spare_patience()
        if not self._later:
            return spare
        late = max(0.0, min(due for due, _ in self._later) - time.monotonic())
        return late if spare < 0 else min(spare, late)

    def _spare_patience(self) -> float:
        """For ever when all spares are there, else just long enough to let a start go first."""
        if self._retiring or self._spares() >= SPARES:
            self._refill_at = None
            return -1
        if self._refill_at is None:
            self._refill_at = time.monotonic() + REFILL_AFTER
        return max(0.0, self._refill_at - time.monotonic())

    def _refill_due(self) -> bool:
        spares = self._spares()
        return spares == 0 or (spares < SPARES and self._refill_at is not None and time.monotonic() >= self._refill_at)

    def _spares(self) -> int:
        waiting = sum(child.waiting for child in self._children.values())
        return sum(child.id is None for child in self._children.values()) - min(waiting, WAITING_MAX)

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
        self._lose_template()
        for child in [c for c in self._children.values() if c.id is None]:
            child.sock.shutdown(socket.SHUT_WR)  # a waiting spare leaves; one that was just taken says so and stays

    # ---- children

    def _refill(self) -> None:
        """Order one spare at a time: between two forks a waiting start gets its turn on the processor."""
        assert self._listen is not None
        if self._template is None:
            listen = self._listen

            def serve(end: socket.socket) -> None:
                _leave(session.serve_spare, self._context, listen, end)

            self._template = template.start([listen.fileno()], self._close_others, serve)
            self._poll.register(self._template.sock.fileno(), select.EPOLLIN)
        ours, theirs = escrow.pair()
        ordered = self._template.order(theirs)
        theirs.close()
        if ordered:
            self._add(Child(ours))
            self._refill_at = None
        else:
            ours.close()
            self._lose_template()

    def _lose_template(self) -> None:
        """The template was killed (the next spare starts another) or is not needed any more."""
        if self._template is not None:
            self._poll.unregister(self._template.sock.fileno())
            self._template.sock.close()
            self._template = None

    def _add(self, child: Child) -> None:
        self._children[child.sock.fileno()] = child
        self._poll.register(child.sock.fileno(), select.EPOLLIN)

    def _close_others(self, keep: list[int]) -> None:
        """In a fresh fork: close everything that belongs to other sessions."""
        low = 3
        for fd in sorted(keep):
            os.closerange(low, fd)
            low = fd + 1
        os.closerange(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def _hear(self, child: Child) -> None:
        message, fds = escrow.hear_fds(child.sock)
        if message is None:
            self._bury(child)
        elif message[0] == "taken":
            child.id, child.fds = message[1], fds
            child.streams, child.stdin, child.pty = message[2], int(message[3]), message[4] == "1"
            child.waiting = False
        elif message[0] in ("waiting", "waited"):
            child.waiting = message[0] == "waiting"
        elif message[0] == "started":
            child.started = (int(message[1]), int(message[2]), float(message[3]))
        elif message[0] == "input_closed" and 0 <= child.stdin < len(child.fds):
            os.close(child.fds.pop(child.stdin))
            child.stdin = -1
        elif message[0] == "done":
            child.done = True
            self._drop_fds(child)

    def _bury(self, child: Child) -> None:
        """A supervisor is gone. If it still had a session, put another in its place."""
        fd = child.sock.fileno()
        self._poll.unregister(fd)
        del self._children[fd]
        child.sock.close()
        self._leaders = {pid: c for pid, c in self._leaders.items() if c is not child}
        if child.id is not None and not child.done:
            child.started = child.started or _orphan_of(child.id)
            if child.started is not None:
                self._try_again(child)
                return
        self._drop_fds(child)

    def _try_again(self, child: Child) -> None:
        """Have another go on with a session: at once, but later and later where each dies as it begins."""
        child.tries = 0 if time.monotonic() - child.born >= STEADY_SECONDS else child.tries + 1
        if child.tries <= AT_ONCE_MAX:
            self._replace(child)
        else:
            pause = min(PAUSE_MAX, PAUSE_FIRST * 2.0 ** min(child.tries - AT_ONCE_MAX - 1, 16))
            self._later.append((time.monotonic() + pause, child))

    def _replace_late(self) -> None:
        now = time.monotonic()
        due = [child for at, child in self._later if at <= now]
        self._later = [(at, child) for at, child in self._later if at > now]
        for child in due:
            self._replace(child)

    def _drop_fds(self, child: Child) -> None:
        for fd in child.fds:
            os.close(fd)
        child.fds = []

    def _reap(self) -> None:
        """Collect the dead: commands that lost their supervisor, and what such commands left behind."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            ticks = proc.start_ticks(found.si_pid) or 0
            pid, status, usage = os.wait4(found.si_pid, 0)
            end = f"reaped {status} {usage.ru_utime} {usage.ru_stime} {usage.ru_maxrss * 1024}"
            replacement = self._leaders.pop(pid, None)
            if replacement is not None:
                replacement.end = end  # it may be dead as well: then the next one needs it
                escrow.tell(replacement.sock, end)
                continue
            self._strays[pid, ticks] = end  # the death of its supervisor may be the next thing we hear of
            while len(self._strays) > STRAYS_MAX:
                del self._strays[next(iter(self._strays))]

    def _replace(self, child: Child) -> None:
        """Fork a supervisor that goes on where a killed one stopped; none where the session is no more."""
        assert child.started is not None and child.id is not None
        if not os.path.isdir(self._context.folder(child.id)):
            self._drop_fds(child)  # removed by hand, its home perhaps with it: there is nothing to go on with
            return
        try:
            ours, theirs = escrow.pair()
        except OSError:
            self._later.append((time.monotonic() + SHORT_OF_SECONDS, child))
            return
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            self._later.append((time.monotonic() + SHORT_OF_SECONDS, child))
            return
        if pid == 0:
            self._close_others([theirs.fileno(), *child.fds])
            kept = Descriptors.from_layout(child.streams, child.stdin, child.pty, child.fds)
            _leave(session.serve_replacement, self._context, child.id, kept, child.started, theirs)
        theirs.close()
        replacement = Child(ours)
        replacement.id, replacement.started, replacement.tries = child.id, child.started, child.tries
        replacement.streams, replacement.stdin, replacement.pty = child.streams, child.stdin, child.pty
        replacement.fds, child.fds = child.fds, []
        self._add(replacement)
        leader, ticks, _ = child.started
        replacement.end = child.end or self._strays.pop((leader, ticks), None)
        if replacement.end is not None:
            escrow.tell(ours, replacement.end)
        elif proc.start_ticks(leader) == ticks:
            self._leaders[leader] = replacement
        else:
            escrow.tell(ours, "gone")  # the killed one had reaped it and told nobody


def _orphan_of(session_id: str) -> tuple[int, int, float] | None:
    """A supervisor killed between spawn and note: its command is our child now and carries the session's mark."""
    leaders: list[tuple[int, int]] = []
    for pid in proc.marked(session_id, 0):
        try:
            if os.getsid(pid) == pid:
                leaders.append((proc.start_ticks(pid) or 0, pid))
        except OSError:
            continue
    if not leaders:
        return None
    ticks, pid = min(leaders)  # whatever else leads a kernel session and carries the mark was started by it, later
    return pid, ticks, time.time()


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


def main(arguments: list[str]) -> int:
    """Run as ``zygote HOME RUN VERSION READY_FD [CRASH_POINT CRASH_FILE]``."""
    home, run, version, ready_fd = arguments[0], arguments[1], arguments[2], int(arguments[3])
    os.umask(0o077)
    nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (nofile[1], nofile[1]))
    zygote = Zygote(home, run, version, nofile)
    if not zygote.open():
        os.write(ready_fd, b"taken\n")
        return 0
    zygote.warm_up()
    if len(arguments) > 5:
        crash.arm(arguments[4], arguments[5])
    gc.collect()
    gc.disable()
    gc.freeze()
    zygote.run(ready_fd)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
