"""One HTTP/1.1 connection to a gateway over a Unix socket or TCP, blocking, kept alive between requests."""

from __future__ import annotations

import errno
import os
import socket
import sys

from outlast.client.wire import HEAD_MAX, Body, EventParser, Unframer, bad_answer, cut_off, parse_head
from outlast.core.errors import BadInput, GatewayTrouble, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from outlast.config import Paths

    class Placed(Protocol):
        """What says where a gateway is found: the settings in force, or their paths alone."""

        @property
        def paths(self) -> Paths:
            """Where everything is."""


READ_SIZE = 262_144
CONNECT_SECONDS = 10.0


class NotRunning(GatewayTrouble):
    """Nobody listens on the gateway's socket."""

    default_code = "not_running"


class Address:
    """Where a gateway listens: a socket path, or a host and port."""

    __slots__ = ("host", "path", "port")

    def __init__(self, *, path: str = "", host: str = "", port: int = 0) -> None:
        self.path = path
        self.host = host
        self.port = port

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``http://HOST:PORT``, ``HOST:PORT``, ``unix:PATH`` or a path; raises BadInput."""
        if text.startswith("unix:"):
            return cls(path=text[5:].removeprefix("//"))
        if text.startswith("/"):
            return cls(path=text)
        if text.startswith("https://"):
            raise BadInput(
                "the gateway speaks plain HTTP only",
                code="bad_gateway",
                hint="forward the port with ssh -L and use http://127.0.0.1:PORT",
            )
        host, colon, port = text.removeprefix("http://").rstrip("/").rpartition(":")
        if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
            raise BadInput(f"not a gateway address: {text!r}", code="bad_gateway", hint="use http://HOST:PORT")
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))

    @property
    def header(self) -> str:
        """The Host header that fits."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.path or f"http://{self.header}"


def _connect(address: Address) -> socket.socket:
    if not address.path:
        sock = socket.create_connection((address.host, address.port), CONNECT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Blocking on purpose: with a time limit a full backlog is an error at once instead of a short wait.
        sock.connect(address.path)
        _check_peer(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_peer(sock: socket.socket, address: Address) -> None:
    """Refuse a socket somebody else listens on, before a word is sent: /tmp is everybody's."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return
    # struct ucred: pid, uid, gid, four octets each.
    uid = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, option, 12)[4:8], sys.byteorder)
    if uid != os.getuid():
        raise Refused(
            f"{address} is held by user {uid}, not by us",
            code="stranger",
            hint="set OUTLAST_HOME to a directory of your own",
        )


def connect(address: Address) -> socket.socket:
    """Open the connection; raises NotRunning when nobody listens, Refused without permission."""
    try:
        return _connect(address)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunning(f"no gateway listens on {address}", hint="outlast gateway start") from error
    except PermissionError as error:
        raise Refused(
            f"no permission to connect to {address}",
            hint="the gateway of another user is out of reach: set OUTLAST_HOME to your own",
        ) from error
    except (OSError, UnicodeError) as error:
        raise GatewayTrouble(f"cannot reach the gateway on {address}: {error}", hint="outlast doctor") from error


class Answer:
    """The head of an answer: its status and headers."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers


class Connection:
    """A socket that carries one request at a time: ``send``, then ``receive_head``, then the body."""

    def __init__(self, address: Address, headers: dict[str, str]) -> None:
        self._sock = connect(address)
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in {"Host": address.header, **headers}.items())
        self._spare = b""
        self.fresh = True

    def fileno(self) -> int:
        """The descriptor, for poll."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket; harmless twice."""
        self._sock.close()

    def stale(self) -> bool:
        """True when the other side has closed a kept connection, or sent what nobody asked for."""
        try:
            self._sock.setblocking(False)
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float | None) -> None:
        """Send one request; the answer may take ``seconds`` between two reads (None: for ever)."""
        lines = [f"{method} {path} HTTP/1.1\r\n{self._fixed}"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n")
        lines.append("\r\n")
        self._sock.settimeout(seconds)
        try:
            self._sock.sendall("".join(lines).encode("latin-1") + (body or b""))
        except TimeoutError as error:
            raise _too_slow(seconds) from error
        except OSError as error:
            # An answer may be waiting although the request was not taken in full (too large, refused).
            if error.errno not in (errno.EPIPE, errno.ECONNRESET) or not self._has_bytes():
                raise cut_off("before it had the whole request") from error
        self.fresh = False

    def _has_bytes(self) -> bool:
        try:
            self._sock.setblocking(False)
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False
        finally:
            self._sock.settimeout(CONNECT_SECONDS)

    def receive_head(self) -> Answer:
        """Wait for the status line and headers of the answer."""
        data = self._spare
        self._spare = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                status, headers = parse_head(data[:end])
                data = data[end + 4 :]
                if 100 <= status < 200:
                    continue
                self._spare = data
                return Answer(status, headers)
            if len(data) > HEAD_MAX or (len(data) > 8 and not data.startswith(b"HTTP/1.")):
                raise bad_answer(f"not HTTP but {data[:60]!r}")
            more = self.read()
            if not more:
                raise cut_off("before it answered" if not data else "in the middle of its answer")
            data += more

    def take_spare(self) -> bytes:
        """Give away the bytes that came together with the head."""
        spare, self._spare = self._spare, b""
        return spare

    def read(self) -> bytes:
        """Read what is there, waiting for the first byte; empty at the end of the connection."""
        try:
            return self._sock.recv(READ_SIZE)
        except TimeoutError as error:
            raise _too_slow(self._sock.gettimeout()) from error
        except OSError as error:
            raise cut_off(f"({error.strerror or error})") from error

    def payload(self, answer: Answer) -> Iterator[bytes]:
        """Yield the parts of the body as they come, to its end."""
        body = Body(answer.headers)
        spare = self.take_spare()
        if spare and not body.done:
            yield body.feed(spare)
        while not body.done:
            data = self.read()
            if data:
                yield body.feed(data)
            else:
                body.end()

    def patience(self, seconds: float | None) -> None:
        """Set how long a read may wait, in seconds; None for ever."""
        self._sock.settimeout(seconds)


def _too_slow(seconds: float | None) -> GatewayTrouble:
    return GatewayTrouble(
        f"the gateway did not answer within {seconds:g} s" if seconds else "the gateway did not answer",
        code="too_slow",
        hint="outlast gateway status",
    )


class FrameStream:
    """The open output stream of a session, for a blocking loop or beside other descriptors in a poll.

    ``receive`` gives frames as (kind, payload); StreamLost means: open another one where this one stopped.
    """

    def __init__(self, connection: Connection, answer: Answer) -> None:
        self._connection = connection
        self._body = Body(answer.headers)
        self._unframer = Unframer()
        self._ready = self._decode(connection.take_spare())

    def fileno(self) -> int:
        """The descriptor to poll; look at ``waiting`` first."""
        return self._connection.fileno()

    @property
    def waiting(self) -> bool:
        """True when frames are here already, or none will come any more, so that a poll would wait in vain."""
        return bool(self._ready) or self._body.done

    def close(self) -> None:
        """Close the connection below."""
        self._connection.close()

    def receive(self) -> list[tuple[int, bytes]]:
        """Return the frames at hand, else read once (waiting for bytes); may be empty. Raises StreamLost."""
        if not self._ready:
            try:
                if self._body.done:
                    raise cut_off("before the session ended")
                data = self._connection.read()
                if not data:
                    raise cut_off("in the middle of the output")
            except GatewayTrouble as error:
                raise StreamLost(error.message, hint=error.hint) from error
            self._ready = self._decode(data)
        frames, self._ready = self._ready, []
        return frames

    def _decode(self, data: bytes) -> list[tuple[int, bytes]]:
        return self._unframer.feed(self._body.feed(data)) if data else []


class EventStream:
    """Open server-sent events, for a blocking loop or beside other descriptors in a poll.

    ``receive`` gives events as (event, data, id). StreamLost means that there will be no more: ``told`` says
    whether the gateway ended the stream in order (it is stopping) rather than broke it off.
    """

    def __init__(self, connection: Connection, answer: Answer) -> None:
        self._connection = connection
        self._body = Body(answer.headers)
        self._parser = EventParser()
        self._spare = connection.take_spare()
        self.told = False

    def fileno(self) -> int:
        """The descriptor to poll; look at ``waiting`` first."""
        return self._connection.fileno()

    @property
    def waiting(self) -> bool:
        """True when bytes are here already, so that a poll would wait in vain."""
        return bool(self._spare) or self._body.done

    def close(self) -> None:
        """Close the connection below."""
        self._connection.close()

    def receive(self) -> list[tuple[str, str, str | None]]:
        """Return the events at hand, else read once (waiting for bytes); none when that was a sign of life only."""
        data, self._spare = self._spare, b""
        try:
            if not data:
                if self._body.done:
                    self.told = True
                    raise cut_off("in order")
                data = self._connection.read()
                if not data:
                    raise cut_off("in the middle of the events")
            return self._parser.feed(self._body.feed(data))
        except GatewayTrouble as error:
            raise StreamLost(error.message, hint=error.hint) from error


class StreamLost(GatewayTrouble):
    """A stream broke off before its session ended; the command itself is not concerned."""

    default_code = "stream_lost"


def read_events(connection: Connection, answer: Answer) -> Iterator[tuple[str, str, str | None]]:
    """Yield server-sent events as (event, data, id) until the gateway ends the stream."""
    parser = EventParser()
    for part in connection.payload(answer):
        yield from parser.feed(part)
