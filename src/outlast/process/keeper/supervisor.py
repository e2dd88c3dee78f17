"""One supervisor looks after one session, from spawn to the last descendant.

It owns the command (as parent and subreaper), its descriptors, the spool and the record. It has no opinion about
gateways: they connect, ask, listen and go away. While nothing happens it sleeps in the kernel; there is no timer unless
the session has a limit that needs one.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from outlast.process.keeper import escrow, ops, pidfd, proc
from outlast.process.keeper.channel import Channel, accept
from outlast.process.keeper.crash import point
from outlast.process.keeper.ending import Ending
from outlast.process.keeper.pump import Pump
from outlast.process.keeper.record import RecordFile
from outlast.process.keeper.spawn import Descriptors
from outlast.process.keeper.spool import Spool
from outlast.process.keeper.wire import Message, WireError

BIND_AFTER = 0.005
"""Seconds a session lives before it gets an address of its own: most short commands never need one."""


class Supervisor:
    """The event loop of one session."""

    def __init__(
        self,
        spec: dict[str, Any],
        run: str,
        record: RecordFile,
        spool: Spool,
        fds: Descriptors,
        zygote: socket.socket,
        wake_fd: int,
        version: str,
        poll: select.epoll,
    ) -> None:
        self.spec = spec
        self.version = version
        self.spool = spool
        self.pid = 0
        self.exit: dict[str, Any] | None = None
        self._record = record
        self._ctl_path = f"{run}/{spec['id']}.ctl"
        self._zygote: socket.socket | None = zygote
        self._wake_fd = wake_fd
        self._poll = poll
        self._channels: dict[int, Channel] = {}
        self._listen: socket.socket | None = None
        self._bound = False
        self._ticks = 0
        self._is_parent = True
        self._childless = False
        self._ending: Ending | None = None
        self._end_cause: str | None = None
        self._note: str | None = None
        self._pidfd: int | None = None
        self._started = time.monotonic()
        self.pump = Pump(self._poll, fds, spool, self._wrote, self._closed_input)
        self._poll.register(wake_fd, select.EPOLLIN)

    def parent(self, pid: int) -> None:
        """Take charge of the command this process has just spawned."""
        self.pid = pid
        text = self.spec.get("stdin_text")
        if text is not None:
            self.pump.write(os.fsencode(text), eof=True)

    def adopt(self, pid: int, ticks: int, started_at: float, end: dict[str, Any] | None, kill: str | None) -> None:
        """Take over from a supervisor that was killed: the zygote is the command's parent now."""
        self._is_parent = False
        self.pid, self._ticks, self.exit, self._end_cause = pid, ticks, end, kill
        self._started = time.monotonic() - max(0.0, time.time() - started_at)
        self.bind()

    def cut_input(self) -> None:
        """Close an input that a killed supervisor was still feeding: what was left of the text died with it."""
        if self.pump.takes_input:
            self._note = "its supervisor was killed while it fed the input: the command got only the first part"
            self.pump.write(b"", eof=True)

    def add_channel(self, channel: Channel) -> None:
        """Listen to one more peer."""
        self._channels[channel.sock.fileno()] = channel
        self._poll.register(channel.sock.fileno(), select.EPOLLIN)

    # ---- the loop

    def run(self) -> None:
        """Serve until the command has ended, its output is complete and none of its descendants is left."""
        self._collect()  # it may have ended before we listened
        while not self._finished():
            timeout = self._timeout()
            if not self._bound and (timeout < 0 or timeout > BIND_AFTER):
                timeout = BIND_AFTER
            self.pump.before_sleep()
            events = self._poll.poll(timeout)
            if not events and not self._bound:
                self.bind()
            for fd, mask in events:
                self._dispatch(fd, mask)
            self._check_limits()
        self._close()

    def _finished(self) -> bool:
        over = self.exit is not None and self._ending is None and not self.pump.open
        return over and (self._childless or not self._is_parent)

    def _timeout(self) -> float:
        deadlines = [] if self._ending is None else [self._ending.deadline]
        if self.exit is None and self._ending is None:
            deadlines += [at for at, _ in self._limits()]
        if not deadlines:
            return -1
        return max(0.0, min(deadlines) - time.monotonic()) + 0.0005

    def _limits(self) -> list[tuple[float, str]]:
        limits = []
        if (total := self.spec.get("timeout_seconds")) is not None:
            limits.append((self._started + total, "timeout"))
        if (idle := self.spec.get("idle_timeout_seconds")) is not None:
            limits.append((self.pump.last_output + idle, "idle_timeout"))
        return limits

    def _check_limits(self) -> None:
        now = time.monotonic()
        if self._ending is not None:
            self._step_ending(now)
            return
        if self.exit is None:
            for at, cause in self._limits():
                if now >= at:
                    self.end_tree(cause, signal.SIGTERM, None, None)
                    return

    def _dispatch(self, fd: int, mask: int) -> None:
        if self.pump.owns(fd):
            self.pump.turn(fd, mask)
        elif fd == self._wake_fd:
            os.read(fd, 4096)
            self._collect()
            if self._ending is not None:
                self._ending.death()
        elif fd in self._channels:
            self._serve(self._channels[fd], mask)
        elif self._listen is not None and fd == self._listen.fileno():
            self._accept()
        elif self._zygote is not None and fd == self._zygote.fileno():
            self._hear_zygote()
        elif fd == self._pidfd:
            self._hear_kernel()

    def _close(self) -> None:
        produced = self.spool.report()
        self.spool.close()
        try:
            self._record.add("end", produced)
        except OSError:
            pass
        if self._listen is not None:
            _unlink(self._ctl_path)
            self._listen.close()
        self.tell({"ev": "end", **produced})
        for channel in list(self._channels.values()):
            channel.sock.settimeout(2.0)
            channel.flush()
        self._record.sync()
        if self._zygote is not None:
            escrow.tell(self._zygote, "done")

    # ---- the command's end

    def _collect(self) -> None:
        """Reap every child that has died: one is the command, the others are orphans it left to us."""
        while self._is_parent:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if pid == 0:
                self._childless = False
                return
            if pid == self.pid and self.exit is None:
                spent = {"user": usage.ru_utime, "system": usage.ru_stime, "maxrss": usage.ru_maxrss * 1024}
                self._command_ended(status, spent)

    def _command_ended(self, status: int, usage: dict[str, float]) -> None:
        """Write down how the command ended, tell everyone, and see to what it left behind."""
        point("supervisor:reaped")
        signum = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        cause = self._end_cause or ("exit" if signum is None else "signal")
        if cause == "signal" and signum == signal.SIGKILL and proc.killed_for_memory(self.pid):
            cause = "out_of_memory"
        code = None if signum is not None else os.WEXITSTATUS(status)
        self._end({"cause": cause, "at": time.time(), "code": code, "signal": signum, **usage})

    def _end_unseen(self, why: str) -> None:
        """The command is gone and nobody who still lives saw how."""
        self._note = why
        self._end({"cause": "evidence_gone", "at": None, "code": None, "signal": None})

    def _end(self, how: dict[str, Any]) -> None:
        self.pump.drain()
        left = len(self.tree())
        self.exit = {**how, "leftovers": left, **self.spool.report()}
        if self._note is not None:
            self.exit["note"] = self._note
        self.write_exit()
        if left and self.spec.get("leftovers") == "kill" and self._ending is None:
            self.end_tree("leftovers", signal.SIGTERM, None, None)

    def write_exit(self) -> None:
        """Put the end on record, then tell it: in this order, so that nobody is told what could be forgotten."""
        assert self.exit is not None
        point("supervisor:before_exit_record")
        try:
            self._record.add("exit", self.exit)
        except OSError as error:
            self.exit["record_error"] = error.strerror
        point("supervisor:after_exit_record")
        self.tell({"ev": "exit", **self.exit})

    def tree(self) -> list[int]:
        """Return the living descendants of the session."""
        if self._is_parent:
            return [] if self._childless else proc.descendants(os.getpid())
        found: list[int] = []
        if proc.is_same(self.pid, self._ticks, proc.boot_id()):
            found += [self.pid, *proc.descendants(self.pid), *proc.in_session(self.pid, self._ticks)]
        elif self._zygote is not None:  # without its leader the kernel session may be a stranger's of that number:
            orphans = proc.descendants(os.getppid())  # ours are among the orphans that fell to the zygote
            found += set(orphans).intersection(proc.in_session(self.pid, self._ticks))
        return list(dict.fromkeys([*found, *proc.marked(self.spec["id"], self._ticks)]))

    def foreground_group(self) -> int:
        """Return the process group that ^C would reach."""
        if self.pump.fds.pty and self.pump.open:
            group = os.tcgetpgrp(next(iter(self.pump.fds.out)))
            if group > 0:
                return group
        return self.pid

    def end_tree(
        self, cause: str, signum: int, grace: float | None, waiter: Callable[[dict[str, object]], None] | None
    ) -> None:
        """Begin to end the tree, or hurry the ending that is under way. The first cause is the one that counts."""
        now = time.monotonic()
        grace = float(self.spec.get("grace_seconds", 5.0)) if grace is None else grace
        if self.exit is None and self._end_cause is None:
            self._end_cause = cause
            try:
                self._record.add("kill", {"cause": cause, "at": time.time(), "signal": signum})
            except OSError:
                pass
        if self._ending is None:
            self._ending = Ending(self.tree, signum, grace, now, told=self._is_parent)
        else:
            self._ending.hurry(signum, grace, now)
        if waiter is not None:
            self._ending.waiters.append(waiter)
        self._step_ending(now)

    def _step_ending(self, now: float) -> None:
        ending = self._ending
        if ending is None:
            return
        self._collect()
        over = (self._is_parent and self._childless) or ending.step(now)
        if not over:
            return
        self._collect()  # the command may be a zombie of ours: its end belongs into the answer
        if self.exit is None and not ending.survivors and not self._is_parent and self._zygote is not None:
            return  # the zygote is about to tell how the command ended
        self._ending = None
        report = ending.report()
        for waiter in ending.waiters:
            waiter(report)

    # ---- peers

    def tell(self, message: Message) -> None:
        """Send an event to every peer."""
        for channel in list(self._channels.values()):
            self.settle(channel, channel.send(message))

    def notify(self, channel: Channel) -> None:
        """Tell a watching peer, once, that output has passed the offset it named."""
        if channel.watch is not None and self.spool.produced > channel.watch:
            channel.watch = None
            self.settle(channel, channel.send({"ev": "out", **self.spool.report()}))

    def settle(self, channel: Channel, alive: bool) -> bool:
        """After talking to a peer: drop it if it is gone, or wait until it can take more."""
        fd = channel.sock.fileno()
        if not alive:
            self._drop(channel)
        elif fd in self._channels:
            self._poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if channel.pending else 0))
        return alive

    def _wrote(self) -> None:
        for channel in list(self._channels.values()):
            self.notify(channel)

    def _closed_input(self) -> None:
        """The zygote's duplicate must go too, or the command would never see the end of its input."""
        if self._zygote is not None:
            escrow.tell(self._zygote, "input_closed")

    def _serve(self, channel: Channel, mask: int) -> None:
        if mask & select.EPOLLOUT and not self.settle(channel, channel.flush()):
            return
        try:
            messages = channel.read()
        except WireError:
            messages = None
        if messages is None:
            self._drop(channel)
            return
        for message in messages:
            if not self.settle(channel, ops.answer(self, channel, message)):
                return

    def _drop(self, channel: Channel) -> None:
        fd = channel.sock.fileno()
        if self._channels.pop(fd, None) is not None:
            self._poll.unregister(fd)
            channel.sock.close()

    def bind(self) -> None:
        """Open an address of our own, at which a later gateway finds this session."""
        self._bound = True
        _unlink(self._ctl_path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(self._ctl_path)
            sock.listen(16)
        except OSError:  # the run directory is gone: whoever is connected can still talk to us
            sock.close()
            return
        sock.setblocking(False)
        self._listen = sock
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _accept(self) -> None:
        assert self._listen is not None
        try:
            conn = accept(self._listen)
        except OSError:
            return
        self.add_channel(Channel(conn))

    def _hear_zygote(self) -> None:
        """A replacement is not the command's parent: the zygote is, and passes on how it ended."""
        assert self._zygote is not None
        message = escrow.hear(self._zygote)
        if message is None:
            self._poll.unregister(self._zygote.fileno())  # it retires, and still listens; or it was killed
            if not self._is_parent:
                self._zygote.close()
                self._zygote = None
                if self.exit is None:
                    self._watch_command()
        elif message[0] == "reaped" and self.exit is None:
            status, user, system, rss = message[1:]
            self._command_ended(int(status), {"user": float(user), "system": float(system), "maxrss": int(rss)})
        elif message[0] == "gone" and self.exit is None:
            self._end_unseen(
                f"the supervisor that saw the end of process {self.pid} was killed before it was on record"
            )
        if self._ending is not None:
            self._step_ending(time.monotonic())

    def _watch_command(self) -> None:
        """Both who were the command's parents are gone: the kernel says when it ends, and mostly how."""
        self._pidfd = pidfd.open_pidfd(self.pid)
        if self._pidfd is not None and proc.is_same(self.pid, self._ticks, proc.boot_id()):
            self._poll.register(self._pidfd, select.EPOLLIN)
        else:
            self._hear_kernel()

    def _hear_kernel(self) -> None:
        status = None
        if self._pidfd is not None:
            status = pidfd.status_of_ended(self._pidfd, self.pid, self._ticks)
            os.close(self._pidfd)
            self._pidfd = None
        if status is None:
            self._end_unseen(f"its supervisor and keeper were killed; process {self.pid} is gone and left no status")
        else:
            self._note = "its supervisor and keeper were killed; the status comes from the kernel"
            self._command_ended(status, {})


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
