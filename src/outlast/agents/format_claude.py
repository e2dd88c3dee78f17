"""The JSON lines of ``claude -p --output-format stream-json``."""

from __future__ import annotations

from typing import Any

from outlast.agents.desk import Desk
from outlast.agents.formats import Result, cost_in, decode, first_text, usage_in

_STOPS = {
    "error_max_turns": "max_turns",
    "error_max_budget_usd": "max_turns",
    "refusal": "refusal",
    "max_tokens": "max_tokens",
}

PIECES_MAX = 200_000
"""Pieces of one message that are remembered, to know it again when it comes as a whole."""


class ClaudeStream:
    """Messages and tool calls as they come; the last line is the result."""

    by_line = True

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.session: str | None = None
        self._streamed: set[str] = set()
        self._pieces: list[str] = []
        self._result: dict[str, Any] | None = None

    def feed(self, line: bytes) -> None:
        """Take a line."""
        event = decode(line) if line.strip() else None
        if not isinstance(event, dict):
            if line.strip():
                self._desk.note(line.decode("utf-8", "replace").strip())
            return
        if isinstance(event.get("session_id"), str):
            self.session = event["session_id"]
        match event.get("type"):
            case "assistant":
                self._blocks(event, self._said)
            case "user":
                self._blocks(event, self._returned)
            case "stream_event":
                self._partial(event.get("event"))
            case "result":
                self._result = event

    def result(self) -> Result:
        """Say what the run came to."""
        found = self._result
        if found is None:
            return Result(None, session=self.session)
        subtype = first_text(found, "subtype") or ""
        answer = first_text(found, "result")
        failed = found.get("is_error") is True or subtype.startswith("error")
        stop = _STOPS.get(subtype) or _STOPS.get(str(found.get("stop_reason"))) or "end_turn"
        error = None
        if failed and stop == "end_turn":
            errors = found.get("errors")
            told = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
            error = told or answer or subtype or "an error without a message"
        usage = usage_in(found.get("usage"), cost_in(found))
        answer = answer if answer is not None else self._desk.answer()  # at its limits it has no last word
        return Result(answer, error=error, stop=stop, usage=usage, session=self.session)

    def _blocks(self, event: dict[str, Any], take: Any) -> None:  # noqa: ANN401
        message = event.get("message")
        blocks = message.get("content") if isinstance(message, dict) else None
        name = str(message.get("id") or "") if isinstance(message, dict) else ""
        for index, block in enumerate(blocks if isinstance(blocks, list) else []):
            if isinstance(block, dict):
                take(f"{name}.{event.get('uuid') or ''}.{index}", block)

    def _said(self, message: str, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind in ("text", "thinking"):
            text = first_text(block, "text", "thinking") or ""
            if text in self._streamed:
                self._streamed.discard(text)  # it came in pieces before
            elif kind == "text":
                self._desk.text(text, message)
            else:
                self._desk.thought(text, message)
        elif kind in ("tool_use", "server_tool_use"):
            name = str(block.get("name"))
            self._desk.tool(
                str(block.get("id")), title=_title(name, block.get("input")), status="in_progress", kind=name,
                given=block.get("input"),
            )  # fmt: skip

    def _returned(self, _message: str, block: dict[str, Any]) -> None:
        if block.get("type") == "tool_result":
            self._desk.tool(
                str(block.get("tool_use_id")),
                status="failed" if block.get("is_error") is True else "completed",
                output=_content(block.get("content")),
            )

    def _partial(self, event: object) -> None:
        """A piece of a message (``--include-partial-messages``); the whole comes again when it is complete."""
        if not isinstance(event, dict):
            return
        kind = event.get("type")
        if kind == "content_block_start":
            self._pieces = []
        elif kind == "content_block_delta" and isinstance(event.get("delta"), dict):
            delta = event["delta"]
            if isinstance(text := delta.get("text"), str):
                self._desk.text(text, f"partial{event.get('index')}")
            elif isinstance(text := delta.get("thinking"), str):
                self._desk.thought(text, f"partial{event.get('index')}")
            else:
                return
            if len(self._pieces) < PIECES_MAX:
                self._pieces.append(text)
        elif kind == "content_block_stop" and self._pieces:
            self._streamed = {"".join(self._pieces)}
            self._desk.close_message()


def _title(name: str, given: object) -> str:
    if isinstance(given, dict):
        said = first_text(given, "command", "file_path", "path", "pattern", "url", "query", "description")
        return f"{name}: {said}" if said else name
    return name


def _content(content: object) -> object:
    if isinstance(content, list):
        return "\n".join(
            str(block.get("text") or f"[{block.get('type')}]") for block in content if isinstance(block, dict)
        )
    return content
