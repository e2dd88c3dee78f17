"""What a supervisor and its zygote tell each other, with duplicates of the session's descriptors for safe keeping.

One datagram is one message of plain words: ``taken ID STREAMS STDIN PTY``, ``started PID TICKS AT``, ``input_closed``,
``done``, and from the zygote ``reaped STATUS USER SYSTEM MAXRSS``. The zygote holds the duplicates so that a command
whose supervisor is killed still has a reader on its pipe; a replacement supervisor is forked with them.
"""

from __future__ import annotations

import socket
import sys

_FD_BYTES = 4
FDS_MAX = 4


def pair() -> tuple[socket.socket, socket.socket]:
    """Return (zygote's end, supervisor's end)."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def tell(sock: socket.socket, message: str, fds: list[int] | None = None) -> bool:
    """Send one message, with descriptors. False when the other side is gone: both can live without each other."""
    data = message.encode("ascii")
    extra = []
    if fds:
        packed = b"".join(fd.to_bytes(_FD_BYTES, sys.byteorder) for fd in fds)
        extra.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, packed))
    try:
        sock.sendmsg([data], extra)
    except OSError:
        return False
    return True


def hear(sock: socket.socket) -> list[str] | None:
    """Receive one message as its words; None when the other side is gone."""
    message, fds = hear_fds(sock)
    for fd in fds:
        socket.close(fd)
    return message


def hear_fds(sock: socket.socket) -> tuple[list[str] | None, list[int]]:
    """Receive one message and the descriptors that came with it."""
    fds: list[int] = []
    try:
        data, extra, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(FDS_MAX * _FD_BYTES), socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return None, fds
    for level, kind, packed in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(packed) - len(packed) % _FD_BYTES
            fds.extend(int.from_bytes(packed[i : i + _FD_BYTES], sys.byteorder) for i in range(0, whole, _FD_BYTES))
    return (data.decode("ascii").split(" ") if data else None), fds
