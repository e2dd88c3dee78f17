"""Talk to a gateway: a light, synchronous HTTP client over its Unix socket or TCP, standard library only.

Used by the command line and by Python programs. It imports quickly on purpose (a test watches): an agent
calls the command line for everything it does.
"""

from __future__ import annotations

import json

from outlast.client.connection import (
    Address,
    Answer,
    Connection,
    EventStream,
    FrameStream,
    NotRunning,
    StreamLost,
    read_events,
)
from outlast.client.wire import EVENT, KEEP_ALIVE, OMITTED, STDERR, STDOUT, bad_answer, error_from
from outlast.core.errors import BadInput, GatewayTrouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from outlast.client.connection import Placed

__all__ = [
    "EVENT",
    "KEEP_ALIVE",
    "OMITTED",
    "STDERR",
    "STDOUT",
    "Client",
    "EventStream",
    "FrameStream",
    "NotRunning",
    "StreamLost",
    "ensure_gateway",
    "quote",
    "with_query",
]

ANSWER_SECONDS = 60.0
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def ensure_gateway(config: Placed) -> None:
    """Return when the gateway of this home listens, starting it if need be; raises GatewayTrouble."""
    from outlast.client import start

    start.ensure(config)


def quote(text: str) -> str:
    """Percent-encode one path segment or query value."""
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(octet) if octet in _SAFE else f"%{octet:02X}" for octet in data)


class Client:
    """A caller of one gateway; one request at a time, the connection kept between them.

    ``gateway`` names another gateway than the one of this home (``http://HOST:PORT``); then ``token`` is sent
    and nothing is ever started. ``requester`` says for whom the calls are made. With ``autostart`` the home's
    own gateway is started when nobody listens.
    """

    def __init__(
        self,
        config: Placed,
        *,
        gateway: str | None = None,
        token: str | None = None,
        requester: str | None = None,
        autostart: bool = True,
    ) -> None:
        self.config = config
        self.local = not gateway
        self.autostart = autostart and self.local
        self._address = Address.parse(gateway) if gateway else Address(path=config.paths.socket)
        self._headers: dict[str, str] = {}
        if requester is not None:
            self._headers["Outlast-Requester"] = _header_value("requester", requester)
        if not self._address.path:
            token = token or _read_token(config.paths.token)
            if token:
                self._headers["Authorization"] = f"Bearer {_header_value('token', token)}"
        self._connection: Connection | None = None

    def close(self) -> None:
        """Drop the kept connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        seconds: float | None = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        """Make one call and return its JSON object; raises the error the gateway meant.

        ``seconds`` bounds the wait for the answer (None: no bound), not the work behind it.
        """
        self.begin(method, path, body, headers, seconds=seconds)
        return self.finish()

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """GET with a query; values that are None are left out."""
        return self.request("GET", with_query(path, query))

    def post(self, path: str, body: object = None, *, seconds: float | None = ANSWER_SECONDS) -> dict[str, Any]:
        """POST a JSON object; see ``request``."""
        return self.request("POST", path, {} if body is None else body, seconds=seconds)

    def begin(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        seconds: float | None = ANSWER_SECONDS,
    ) -> int:
        """Send a request and return the descriptor on which the answer will come; ``finish`` reads it."""
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        connection = self._open()
        try:
            connection.send(method, path, data, headers or {}, seconds)
        except GatewayTrouble:
            self.close()
            raise
        return connection.fileno()

    def finish(self) -> dict[str, Any]:
        """Wait for the answer to what ``begin`` sent."""
        connection = self._connection
        if connection is None:
            raise GatewayTrouble("the connection to the gateway is closed", code="cut_off")
        try:
            answer = connection.receive_head()
            data = b"".join(connection.payload(answer))
        except GatewayTrouble:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return _object(answer, data)

    def download(self, path: str, **query: object) -> tuple[dict[str, str], Iterator[bytes]]:
        """GET raw octets: the headers (names in lower case) and the parts of the body as they come."""
        connection, answer = self._stream(with_query(path, query), {}, ANSWER_SECONDS)
        return answer.headers, _closing(connection, connection.payload(answer))

    def stream(self, session: str, start: int | str = 0, *, seconds: float | None = None) -> FrameStream:
        """Open a session's output at a byte offset or at ``"end"``; ``seconds`` bounds each read."""
        path = with_query(f"/v1/sessions/{quote(session)}/stream", {"from": start, "frames": 1})
        connection, answer = self._stream(path, {}, ANSWER_SECONDS)
        connection.patience(seconds)
        return FrameStream(connection, answer)

    def stream_frames(self, session: str, start: int | str = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, payload) from an offset to the session's end; raises StreamLost if it breaks off."""
        stream = self.stream(session, start)
        try:
            while True:
                for kind, payload in stream.receive():
                    yield kind, payload
                    if kind == EVENT:
                        return
        finally:
            stream.close()

    def events(self, path: str, last_id: str | None = None) -> Iterator[tuple[str, str, str | None]]:
        """Yield server-sent events as (event, data, id) until the gateway closes the stream."""
        connection, answer = self._events(path, last_id)
        return _closing(connection, read_events(connection, answer))

    def event_stream(self, path: str, last_id: str | None = None) -> EventStream:
        """Open server-sent events for a poll, from the event after ``last_id`` if there is one."""
        return EventStream(*self._events(path, last_id))

    def _events(self, path: str, last_id: str | None) -> tuple[Connection, Answer]:
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = _header_value("event id", last_id)
        connection, answer = self._stream(path, headers, ANSWER_SECONDS)
        connection.patience(None)
        return connection, answer

    def _stream(self, path: str, headers: dict[str, str], seconds: float) -> tuple[Connection, Answer]:
        """Send a GET on a connection of its own and return it with the head of a good answer."""
        connection = self._dial()
        try:
            connection.send("GET", path, None, headers, seconds)
            answer = connection.receive_head()
            if answer.status != 200:
                _object(answer, b"".join(connection.payload(answer)))
                raise bad_answer(f"status {answer.status} for a stream")
        except BaseException:
            connection.close()
            raise
        return connection, answer

    def _open(self) -> Connection:
        if self._connection is not None and self._connection.stale():
            self.close()
        if self._connection is None:
            self._connection = self._dial()
        return self._connection

    def _dial(self) -> Connection:
        try:
            return Connection(self._address, self._headers)
        except NotRunning:
            if not self.autostart:
                raise
        ensure_gateway(self.config)
        return Connection(self._address, self._headers)


def with_query(path: str, query: dict[str, object]) -> str:
    """Append a query to a path; values that are None are left out, True is ``true``."""
    pairs = []
    for name, value in query.items():
        if value is not None and value is not False:
            pairs.append(f"{name}={quote('true' if value is True else str(value))}")
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def _object(answer: Answer, data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data) if data else {}
    except ValueError as error:
        if answer.status < 400:
            raise bad_answer("its body is not JSON") from error
        body = None
    if answer.status >= 400:
        raise error_from(answer.status, body)
    if not isinstance(body, dict):
        raise bad_answer("its body is not an object")
    return body


def _closing(connection: Connection, parts: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from parts
    finally:
        connection.close()


def _header_value(what: str, value: str) -> str:
    """Check that a value can travel in a header: printable ASCII, at most 200 characters."""
    if not value or len(value) > 200 or not value.isascii() or not value.isprintable():
        raise BadInput(f"the {what} must be 1 to 200 printable ASCII characters", code="bad_input")
    return value


def _read_token(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() or None
    except (OSError, UnicodeError):
        return None
