"""A model endpoint on this machine that answers what a test wants: chat completions, responses, and messages.

``Endpoint(decide)`` asks ``decide(request)`` for each answer: ``Say``, ``Call``, ``Fail`` or ``Hang``. It streams where
it is asked to, and keeps what it was asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Say(NamedTuple):
    text: str


class Call(NamedTuple):
    tool: str
    arguments: dict[str, Any]
    namespace: str | None = None


class Fail(NamedTuple):
    status: int
    message: str


class Hang(NamedTuple):
    """No answer before the endpoint is closed."""


Answer = Say | Call | Fail | Hang


class Asked(NamedTuple):
    """A request: its path, its body, the tools it offers (with a namespace where they are in one), and whether the
    result of one is in it.
    """

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    tools: list[tuple[str | None, str]]
    has_result: bool


class Endpoint:
    """The server, from its making to `close`."""

    def __init__(self, decide: Callable[[Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        endpoint = self

        class Handler(_Handler):
            def answer(self, asked: Asked) -> Answer:
                endpoint.asked.append(asked)
                return decide(asked)

            def hang(self) -> None:
                endpoint.closing.wait()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


def in_turn(*answers: Answer) -> Callable[[Asked], Answer]:
    """Answer one after the other; the last one again and again."""
    left = list(answers)
    return lambda _asked: left.pop(0) if len(left) > 1 else left[0]


def one_call(tool: str, arguments: dict[str, Any], text: str) -> Callable[[Asked], Answer]:
    """Call a tool when it is offered and was not called yet, then say something."""

    def decide(asked: Asked) -> Answer:
        offered = [(space, name) for space, name in asked.tools if name == tool]
        if asked.has_result or not offered:
            return Say(text)
        return Call(tool, arguments, offered[0][0])

    return decide


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, asked: Asked) -> Answer:
        raise NotImplementedError

    def hang(self) -> None:
        raise NotImplementedError

    def log_message(self, *_args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._send(200, {})

    def do_GET(self) -> None:
        if "Upgrade" in self.headers:
            self._send(426, {"error": {"message": "no web sockets here"}})
            return
        self._send(200, {"object": "list", "data": [{"id": "made-up", "object": "model"}], "models": []})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        if "count_tokens" in self.path:
            self._send(200, {"input_tokens": 5})
            return
        answer = self.answer(Asked(self.path, body, dict(self.headers), list(_tools(body)), _has_result(raw)))
        if isinstance(answer, Hang):
            self.hang()
            self.close_connection = True
        elif isinstance(answer, Fail):
            self._send(answer.status, {"type": "error", "error": {"type": "made_up", "message": answer.message}})
        elif self.path.partition("?")[0].endswith("/messages"):
            self._messages(body, answer)
        elif self.path.endswith("/responses"):
            self._stream([(event["type"], event) for event in _responses(body, answer)])
        else:
            self._completions(body, answer)

    def _send(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: list[tuple[str | None, object]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for name, value in events:
            data = value if isinstance(value, str) else json.dumps(value)
            self.wfile.write((f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def _messages(self, body: dict[str, Any], answer: Say | Call) -> None:
        message = {
            "id": "msg_made_up",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 1},
        }
        stop = "end_turn" if isinstance(answer, Say) else "tool_use"
        if isinstance(answer, Say):
            block: dict[str, Any] = {"type": "text", "text": answer.text}
            start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": answer.text}
        else:
            block = {"type": "tool_use", "id": "toolu_made_up", "name": answer.tool, "input": answer.arguments}
            start = block | {"input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(answer.arguments)}
        if not body.get("stream"):
            self._send(200, message | {"content": [block], "stop_reason": stop})
            return
        ending = {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 7}}
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": start},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", **ending},
            {"type": "message_stop"},
        ]
        self._stream([(event["type"], event) for event in events])

    def _completions(self, body: dict[str, Any], answer: Say | Call) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        head = {"id": "made_up", "created": 1, "model": body.get("model")}
        if isinstance(answer, Say):
            said: dict[str, Any] = {"role": "assistant", "content": answer.text}
        else:
            call = {"name": answer.tool, "arguments": json.dumps(answer.arguments)}
            said = {"role": "assistant", "tool_calls": [{"index": 0, "id": "call_made_up", "type": "function",
                                                         "function": call}]}  # fmt: skip
        stop = "stop" if isinstance(answer, Say) else "tool_calls"
        if not body.get("stream"):
            choice = {"index": 0, "message": said, "finish_reason": stop}
            self._send(200, head | {"object": "chat.completion", "choices": [choice], "usage": usage})
            return
        chunk = head | {"object": "chat.completion.chunk"}
        self._stream(
            [
                (None, chunk | {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}),
                (None, chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": stop}], "usage": usage}),
                (None, "[DONE]"),
            ]
        )


def _responses(body: dict[str, Any], answer: Say | Call) -> Iterator[dict[str, Any]]:
    response: dict[str, Any] = {
        "id": "resp_made_up",
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": body.get("model"),
        "output": [],
    }
    at = {"output_index": 0, "item_id": "item_1"}
    item, growing, pieces = _item(answer)
    yield {"type": "response.created", "response": response}
    yield {"type": "response.output_item.added", "output_index": 0, "item": growing}
    yield from (at | piece for piece in pieces)
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    usage = {
        "input_tokens": 5,
        "output_tokens": 7,
        "total_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    done = response | {"status": "completed", "output": [item], "usage": usage}
    yield {"type": "response.completed", "response": done}


def _item(answer: Say | Call) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """An item when it is complete, when it begins, and how it grows."""
    if isinstance(answer, Say):
        part = {"type": "output_text", "text": answer.text, "annotations": []}
        item = {"type": "message", "id": "item_1", "role": "assistant", "status": "completed", "content": [part]}
        pieces = [
            {"type": "response.content_part.added", "content_index": 0, "part": part | {"text": ""}},
            {"type": "response.output_text.delta", "content_index": 0, "delta": answer.text, "logprobs": []},
            {"type": "response.output_text.done", "content_index": 0, "text": answer.text, "logprobs": []},
        ]
        return item, item | {"status": "in_progress", "content": []}, pieces
    arguments = json.dumps(answer.arguments)
    call = {
        "type": "function_call",
        "id": "item_1",
        "call_id": "call_made_up",
        "name": answer.tool,
        "arguments": arguments,
        "status": "completed",
    }
    if answer.namespace:
        call["namespace"] = answer.namespace
    pieces = [{"type": "response.function_call_arguments.delta", "delta": arguments}]
    return call, call | {"status": "in_progress", "arguments": ""}, pieces


def _tools(body: dict[str, Any]) -> Iterator[tuple[str | None, str]]:
    for tool in body.get("tools") or []:
        if tool.get("type") == "namespace":
            yield from ((tool.get("name"), inner.get("name")) for inner in tool.get("tools") or [])
        else:
            yield None, tool.get("name") or (tool.get("function") or {}).get("name")


def _has_result(raw: bytes) -> bool:
    flat = raw.replace(b" ", b"")
    return any(mark in flat for mark in (b'"tool_result"', b'"function_call_output"', b'"role":"tool"'))
