"""The template: a process that does nothing but fork, so that its pages stay clean and its children share them.

A fork shares every page until either side writes to it. The zygote writes all the time; children forked from it would
each be left with a private copy of whatever it touched since. The template sleeps between two forks and touches next
to nothing: measured, that is a quarter of a megabyte a session.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

from outlast.process.keeper import escrow, libc


class Template:
    """The zygote's handle on its template: ask for a child, hear its pid."""

    __slots__ = ("pid", "sock")

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self.sock = sock

    def order(self, end: socket.socket) -> bool:
        """Ask for one more spare that talks to us over ``end``. False when the template is gone."""
        return escrow.tell(self.sock, "fork", [end.fileno()])


def start(
    keep: list[int], close_others: Callable[[list[int]], None], serve: Callable[[socket.socket], None]
) -> Template:
    """Fork the template. Its children run ``serve`` with the socket they were ordered with. Raises OSError."""
    ours, theirs = escrow.pair()
    pid = os.fork()
    if pid == 0:
        try:
            close_others([theirs.fileno(), *keep])
            libc.set_name("outlast-template")
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # retiring is the zygote's to decide
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps supervisors; their sockets tell the rest
            _serve_orders(theirs, serve)
        finally:
            os._exit(0)
    theirs.close()
    return Template(pid, ours)


def _serve_orders(orders: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    while True:
        message, fds = escrow.hear_fds(orders)
        if message is None:
            return
        try:
            pid = os.fork()
        except OSError:  # no more processes for now: the closed socket tells the zygote
            pid = -1
        if pid == 0:
            orders.close()
            serve(socket.socket(fileno=fds[0]))
            os._exit(0)
        for fd in fds:
            os.close(fd)
