"""A model endpoint that misbehaves, by the first part of the address: what comes is not what was asked for."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WHOLE = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(**delta: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return b"data: " + json.dumps({**WHOLE, "choices": [choice]}).encode() + b"\n\n"


END = b'data: {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, ' \
    b'"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'  # fmt: skip


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone."""


class RudeEndpoint:
    """The server, from its making to `close`."""

    def __init__(self) -> None:
        self.closing = closing = threading.Event()
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                habit = self.path.split("/")[1]
                asked.append(habit)
                self.close_connection = True
                if habit == "hangs-up":
                    return
                if habit in ("silent", "killed"):
                    closing.wait()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                getattr(self, habit.replace("-", "_"))()

            def good(self) -> None:
                self.wfile.write(chunk(role="assistant", content="Hello.") + END)

            def garbage(self) -> None:
                self.wfile.write(b'data: {"id": "x", "choices": [{\n\ndata: not json\n\n')

            def cut(self) -> None:
                self.wfile.write(chunk(role="assistant", content="half of it"))

            def too_long(self) -> None:
                self.wfile.write(chunk(role="assistant", content="half of it") + END.replace(b'"stop"', b'"length"'))

            def empty(self) -> None:
                self.wfile.write(chunk(role="assistant", content="") + END)

            def stalls(self) -> None:
                self.wfile.write(chunk(role="assistant", content="half of it"))
                self.wfile.flush()
                closing.wait()

            def floods(self) -> None:
                for _ in range(10):
                    self.wfile.write(chunk(role="assistant", content="x" * 100_000))
                self.wfile.write(END)

            def endless(self) -> None:
                self.wfile.write(b"data: ")
                for _ in range(500):  # as good as: a test that fails shall not take the machine either
                    self.wfile.write(b"x" * 1_000_000)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def until_asked(self, habit: str, seconds: float) -> None:
        """Wait until somebody has asked in that way."""
        end = time.monotonic() + seconds
        while habit not in self.asked:
            assert time.monotonic() < end, habit
            time.sleep(0.01)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
