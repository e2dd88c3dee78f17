"""Framing between gateway and keeper: a 4-byte big-endian length, then one JSON object.

The protocol only ever grows: a reader ignores fields it does not know, an ``op`` it does not know is answered with
``{"error": "unknown_op"}``. That is what lets a newer gateway talk to an older keeper.
"""

from __future__ import annotations

import json
import socket
from typing import Any

PROTOCOL = 1
FRAME_MAX = 64 * 1024 * 1024
"""Bytes in one message: far above any environment plus command the kernel would accept."""

Message = dict[str, Any]


class WireError(Exception):
    """The other side sent something that is not a frame of this protocol."""


def pack(message: Message) -> bytes:
    """Return the frame for one message. ASCII JSON, so undecodable file names survive as lone surrogates."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return len(body).to_bytes(4, "big") + body


class Inbox:
    """Turns a byte stream into messages, whatever the boundaries of the reads."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[Message]:
        """Add bytes; return every message completed by them. Raises WireError on nonsense."""
        self._held = held = self._held + data if self._held else data
        out: list[Message] = []
        at = 0
        while len(held) - at >= 4:
            size = int.from_bytes(held[at : at + 4], "big")
            if size > FRAME_MAX:
                raise WireError(f"frame of {size} bytes")
            if len(held) - at - 4 < size:
                break
            try:
                message = json.loads(held[at + 4 : at + 4 + size])
            except ValueError as error:
                raise WireError("frame is not JSON") from error
            if not isinstance(message, dict):
                raise WireError("frame is not an object")
            out.append(message)
            at += 4 + size
        self._held = held[at:]
        return out


def receive(sock: socket.socket) -> Message | None:
    """Read one whole message from a blocking socket; None when the peer closed before it was complete."""
    head = _exactly(sock, 4)
    if head is None:
        return None
    size = int.from_bytes(head, "big")
    if size > FRAME_MAX:
        raise WireError(f"frame of {size} bytes")
    body = _exactly(sock, size)
    if body is None:
        return None
    try:
        message = json.loads(body)
    except ValueError as error:
        raise WireError("frame is not JSON") from error
    if not isinstance(message, dict):
        raise WireError("frame is not an object")
    return message


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = sock.recv(min(size, 1 << 18))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
