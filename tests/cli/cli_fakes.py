"""A scripted gateway on a Unix socket, for what a real one never does: answers cut off, garbled, late."""

import json
import socket
import threading


class FakeGateway:
    """Answers each connection's requests from a script, in order; ``seen`` are the requests as bytes.

    A script item is bytes to send, a callable that is given the socket, or None to close the connection.
    """

    def __init__(self, path):
        self.path = path
        self.seen = []
        self.connections = 0
        self._script = []
        self._listen = socket.socket(socket.AF_UNIX)
        self._listen.bind(path)
        self._listen.listen(16)
        self._threads = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def will(self, *items):
        self._script.extend(items)

    def close(self):
        if self._accepting.is_alive():
            self._listen.shutdown(socket.SHUT_RDWR)
            self._listen.close()
        self._accepting.join(60)

    def _accept(self):
        while True:
            try:
                conn, _ = self._listen.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(conn,), daemon=True)
            thread.start()

    def _serve(self, conn):
        with conn:
            while (request := read_request(conn)) is not None:
                self.seen.append(request)
                item = self._script.pop(0) if self._script else answer({"error": {"code": "unscripted"}}, 500)
                if item is None:
                    return
                if callable(item):
                    if item(conn) is False:
                        return
                else:
                    conn.sendall(item)


def read_request(conn):
    """Read one request; None at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            more = conn.recv(65536)
        except OSError:
            return None
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")),
        0,
    )
    while len(body) < length:
        more = conn.recv(65536)
        if not more:
            return None
        body += more
    return head + b"\r\n\r\n" + body


def answer(value, status=200, extra=""):
    """A whole JSON answer."""
    body = json.dumps(value).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def chunked(*parts, end=True):
    """A chunked answer of these parts."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for part in parts:
        data += b"%x\r\n%s\r\n" % (len(part), part)
    return data + (b"0\r\n\r\n" if end else b"")


def frame(kind, payload):
    """One frame of an output stream; a payload that is no bytes is sent as JSON."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return bytes([kind]) + len(data).to_bytes(4, "big") + data


def body(gateway, index=-1):
    """What a request that was seen asked for."""
    return json.loads(gateway.seen[index].partition(b"\r\n\r\n")[2])


def event(name, data, id=None):
    """One server-sent event."""
    id_line = "" if id is None else f"id: {id}\n"
    return f"event: {name}\n{id_line}data: {json.dumps(data)}\n\n".encode()
