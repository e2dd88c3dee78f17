"""One connection of a supervisor: messages in, messages out, never blocking on a peer that does not read."""

from __future__ import annotations

import socket

from outlast.process.keeper.wire import Inbox, Message, pack

BACKLOG_MAX = 1 << 20
"""Bytes waiting for one peer. A peer further behind than this is cut off; it can connect again and ask."""


class Channel:
    """A non-blocking message connection."""

    __slots__ = ("_inbox", "_out", "sock", "watch")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.watch: int | None = None
        self._inbox = Inbox()
        self._out = bytearray()

    def read(self) -> list[Message] | None:
        """Return the messages that have arrived; None when the peer is gone. Raises WireError."""
        try:
            data = self.sock.recv(1 << 18)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        return self._inbox.feed(data) if data else None

    def send(self, message: Message) -> bool:
        """Queue a message and push what fits. False when the peer is gone or hopelessly behind."""
        self._out += pack(message)
        return self.flush() and len(self._out) < BACKLOG_MAX

    def flush(self) -> bool:
        """Push queued bytes. False when the peer is gone."""
        while self._out:
            try:
                del self._out[: self.sock.send(self._out)]
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
        return True

    @property
    def pending(self) -> bool:
        """True while bytes wait for the peer."""
        return bool(self._out)


def accept(listen: socket.socket) -> socket.socket:
    """Accept a connection without the detour over enumerations, which would dirty pages in every supervisor."""
    fd, _ = listen._accept()  # type: ignore[attr-defined]  # the C half of socket.accept
    return socket.socket(fileno=fd)
