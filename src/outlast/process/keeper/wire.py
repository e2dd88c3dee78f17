"""Framing between gateway and keeper: a 4-byte big-endian length, then one JSON object.

The protocol only ever grows: a reader ignores fields it does not know, an ``op`` it does not know is answered with
``{"error": "unknown_op"}``. That is what lets a newer gateway talk to an older keeper.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

PROTOCOL = 1
FRAME_MAX = 64 * 1024 * 1024
"""Bytes in one message: far above any environment plus command the kernel would accept."""

Message = dict[str, Any]


class WireError(Exception):
    """The other side sent something that is not a frame of this protocol."""


_DECODER = json.JSONDecoder()


def pack(message: Message) -> bytes:
    """Return the frame for one message. ASCII JSON, so undecodable file names survive as lone surrogates."""
    body = compact(message).encode("ascii")
    return len(body).to_bytes(4, "big") + body


def compact(value: object) -> str:
    """Return ``value`` as ASCII JSON without blanks.

    Written here because the first use of the library's encoder dirties some 200 KiB in every supervisor, and a
    supervisor says little but numbers and plain words; any other string is left to the library.
    """
    if isinstance(value, str):
        plain = value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
        return f'"{value}"' if plain else json.dumps(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(int(value))  # an enumeration's own repr is not a number
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{compact(str(k))}:{compact(v)}" for k, v in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([compact(item) for item in value]) + "]"
    raise TypeError(f"{type(value).__name__} does not travel")


def parse(body: bytes) -> Message:
    """Return the object a body holds. Raises WireError."""
    try:
        message, end = _DECODER.raw_decode(body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise WireError("frame is not JSON") from error
    if not isinstance(message, dict) or end != len(body):
        raise WireError("frame is not an object")
    return message


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
            out.append(parse(held[at + 4 : at + 4 + size]))
            at += 4 + size
        self._held = held[at:]
        return out


def receive(sock: socket.socket, late: Callable[[], None] | None = None) -> Message | None:
    """Read one whole message from a blocking socket; None when the peer closed before it was complete.

    ``late`` is called each time the socket's timeout passes; it may raise. Raises WireError, OSError.
    """
    head = _exactly(sock, 4, late)
    if head is None:
        return None
    size = int.from_bytes(head, "big")
    if size > FRAME_MAX:
        raise WireError(f"frame of {size} bytes")
    body = _exactly(sock, size, late)
    if body is None:
        return None
    return parse(body)


def _exactly(sock: socket.socket, size: int, late: Callable[[], None] | None) -> bytes | None:
    parts: list[bytes] = []
    while size:
        try:
            part = sock.recv(min(size, 1 << 18))
        except TimeoutError:
            if late is None:
                raise
            late()
            continue
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
