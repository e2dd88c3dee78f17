"""The bytes of the wire, without a socket: heads, bodies, frames, server-sent events, fed piece by piece.

Every parser takes whatever arrived and gives back what is complete; none of them waits. Bytes that cannot be
right raise GatewayTrouble with the code ``bad_answer``: guessing at a broken stream would corrupt output.
"""

from __future__ import annotations

from outlast.core.errors import BadInput, Conflict, GatewayTrouble, NotFound, OutlastError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_MAX = 65_536
FRAME_MAX = 16 * 1024 * 1024
SIZE_LINE_MAX = 1_024

STDOUT, STDERR, OMITTED, EVENT, KEEP_ALIVE = 1, 2, 3, 0, 4


def bad_answer(what: str) -> GatewayTrouble:
    """Build the error for an answer that is not the protocol."""
    return GatewayTrouble(
        f"the gateway's answer makes no sense: {what}",
        code="bad_answer",
        hint="check that the address is an outlast gateway: outlast doctor",
    )


def cut_off(what: str) -> GatewayTrouble:
    """Build the error for a connection that ended before the answer did."""
    return GatewayTrouble(f"the gateway closed the connection {what}", code="cut_off", hint="outlast gateway status")


def parse_head(block: bytes) -> tuple[int, dict[str, str]]:
    """Read a status line and headers (without the empty line); header names come back in lower case."""
    lines = block.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or len(words[1]) != 3 or not words[1].isdigit():
        raise bad_answer(f"not HTTP but {lines[0][:60]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise bad_answer(f"a header without a colon, {line[:60]!r}")
        headers[name.strip().lower()] = value.strip()
    return int(words[1]), headers


class Body:
    """The payload of one answer, however it is delimited; ``done`` when the last byte of it was fed."""

    __slots__ = ("_buffer", "_chunked", "_left", "_owed", "_trailer", "done")

    def __init__(self, headers: dict[str, str]) -> None:
        self._buffer = bytearray()
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._trailer = False
        self._owed = False  # the line end that closes a chunk is still to come
        self._left: int | None = 0 if self._chunked else None
        self.done = False
        length = headers.get("content-length")
        if not self._chunked and length is not None:
            if not length.isdigit():
                raise bad_answer(f"content-length {length[:20]!r}")
            self._left = int(length)
            self.done = self._left == 0

    def feed(self, data: bytes) -> bytes:
        """Take what arrived and return the payload in it (bytes after the end are not expected: an error)."""
        if self._chunked:
            self._buffer += data
            return b"".join(self._chunks())
        if self._left is None:
            return data
        if len(data) > self._left:
            raise bad_answer("more bytes than were announced")
        self._left -= len(data)
        self.done = self._left == 0
        return data

    def end(self) -> None:
        """Note that the connection ended: an error unless the body was delimited by just that."""
        if self._left is None and not self._chunked:
            self.done = True
        if not self.done:
            raise cut_off("in the middle of its answer")

    def _chunks(self) -> Iterator[bytes]:
        """Yield what is here of each chunk, so that a slow big one is seen as it comes."""
        buffer = self._buffer
        while not self.done:
            if self._left:
                part = bytes(buffer[: self._left])
                if not part:
                    return
                del buffer[: len(part)]
                self._left -= len(part)
                self._owed = self._left == 0
                yield part
            elif self._owed:
                if len(buffer) < 2:
                    return
                if buffer[:2] != b"\r\n":
                    raise bad_answer("a chunk longer than announced")
                del buffer[:2]
                self._owed = False
            elif not self._next_size():
                return

    def _next_size(self) -> bool:
        """Read a size line, or a trailer line after the last chunk; False when it is not all here yet."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > SIZE_LINE_MAX:
                raise bad_answer("a chunk size line without an end")
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._trailer:
            self.done = not line
            return True
        size = line.split(b";", 1)[0].strip()
        if not size or len(size) > 8 or size.strip(b"0123456789abcdefABCDEF"):
            raise bad_answer(f"chunk size {size[:20]!r}")
        self._left = int(size, 16)
        self._trailer = self._left == 0
        return True


class Unframer:
    """Cuts a stream into its frames: one octet kind, four octets length (big endian), the payload."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what arrived and return the frames that are complete, as (kind, payload)."""
        buffer = self._buffer
        buffer += data
        frames: list[tuple[int, bytes]] = []
        at = 0
        while len(buffer) - at >= 5:
            kind = buffer[at]
            length = int.from_bytes(buffer[at + 1 : at + 5], "big")
            if kind > KEEP_ALIVE or length > FRAME_MAX:
                raise bad_answer(f"a frame of kind {kind} and {length} bytes")
            if len(buffer) - at < 5 + length:
                break
            frames.append((kind, bytes(buffer[at + 5 : at + 5 + length])))
            at += 5 + length
        del buffer[:at]
        return frames

    @property
    def empty(self) -> bool:
        """True between two frames."""
        return not self._buffer


class EventParser:
    """Cuts a text/event-stream into events, as (event, data, id)."""

    __slots__ = ("_buffer", "_data", "_event", "_id")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._event = "message"
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, data: bytes) -> list[tuple[str, str, str | None]]:
        """Take what arrived and return the events that are complete."""
        self._buffer += data
        events: list[tuple[str, str, str | None]] = []
        while (end := self._buffer.find(b"\n")) >= 0:
            line = self._buffer[:end].rstrip(b"\r").decode("utf-8", "replace")
            del self._buffer[: end + 1]
            if line:
                self._field(line)
            elif self._data:
                events.append((self._event, "\n".join(self._data), self._id))
                self._event, self._data = "message", []
        return events

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            self._id = value


def error_from(status: int, body: object) -> OutlastError:
    """Rebuild the error behind an HTTP status of 400 or more from its JSON body (any body is accepted)."""
    family = _FAMILY_OF.get(status) or (BadInput if status < 500 else GatewayTrouble)
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return family(f"the gateway answered with status {status}", hint="outlast doctor")
    code, hint = error.get("code"), error.get("hint")
    return family(
        error["message"],
        code=code if isinstance(code, str) else None,
        hint=hint if isinstance(hint, str) else None,
    )


_FAMILY_OF: dict[int, type[OutlastError]] = {401: Refused, 403: Refused, 404: NotFound, 409: Conflict}
