"""What command-line agents print, read as it comes: plain text, one JSON document, or JSON lines of two families.

A format is handed lines and says at the end what they came to. A line that is none of its own is no error: programs
print other things too.
"""

from __future__ import annotations

import codecs
import json
from collections import deque
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

from outlast.agents import tidy
from outlast.agents.desk import Desk
from outlast.core.agent import OutputFormat, Usage
from outlast.core.text import sound

DOCUMENT_MAX = 8 * 1024 * 1024
"""Bytes of a JSON document, of which the last are kept."""
TRIES_MAX = 20
"""Lines at either end of the output at which the document may begin."""


class Result(NamedTuple):
    """What the output came to. ``answer`` None: no result in it. ``error`` is what the agent says went wrong."""

    answer: str | None
    error: str | None = None
    stop: str = "end_turn"
    usage: Usage | None = None
    session: str | None = None


class Format(Protocol):
    """Reads the output of one run: line by line, or in pieces as they come."""

    by_line: bool
    session: str | None
    """The agent's own session, as soon as it is known."""

    def feed(self, line: bytes) -> None:
        """Take a line, its end included, or a piece."""

    def result(self) -> Result:
        """Say what all lines came to."""


def reader(output: OutputFormat, desk: Desk) -> Format:
    """Return a new reader of a format."""
    if output == "text":
        return Text(desk)
    if output == "json":
        return Document(desk)
    if output == "claude-stream-json":
        from outlast.agents.format_claude import ClaudeStream

        return ClaudeStream(desk)
    from outlast.agents.format_codex import CodexLines

    return CodexLines(desk)


class Text:
    """Everything that is printed is the answer."""

    by_line = False
    session: str | None = None

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._any = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, line: bytes) -> None:
        """Pass it on."""
        text = self._decoder.decode(line)
        self._any = self._any or bool(text.strip())
        self._desk.text(text)

    def result(self) -> Result:
        """The desk has the answer, if there was one."""
        return Result(self._desk.answer() if self._any else None)


class Document:
    """One JSON document; lines before it are taken for talk."""

    by_line = True
    session: str | None = None

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lines: deque[bytes] = deque()
        self._size = 0

    def feed(self, line: bytes) -> None:
        """Keep it."""
        self._lines.append(line)
        self._size += len(line)
        while self._size > DOCUMENT_MAX and len(self._lines) > 1:
            self._size -= len(self._lines.popleft())

    def result(self) -> Result:
        """Read the document."""
        found = self._document()
        if found is None:
            return Result(None)
        answer = first_text(found, "result", "response", "answer", "text", "content", "message", "output")
        error = _error(found)
        if answer and error is None:
            self._desk.text(answer)
        return Result(
            answer,
            error=error,
            usage=usage_in(found.get("usage"), cost_in(found)),
            session=first_text(found, "session_id", "sessionId", "thread_id", "threadId", "conversation_id"),
        )

    def _document(self) -> dict[str, Any] | None:
        """The whole output, or what of it begins at the first line from which on all is one document."""
        starts = [index for index, line in enumerate(self._lines) if line.lstrip().startswith((b"{", b"["))]
        if len(starts) > 2 * TRIES_MAX:
            starts = starts[:TRIES_MAX] + starts[-TRIES_MAX:]
        for index in starts:
            found = decode(b"".join(islice(self._lines, index, None)))
            if isinstance(found, list) and found and isinstance(found[-1], dict):
                found = found[-1]
            if isinstance(found, dict):
                return found
        return None


def decode(data: bytes) -> object:
    """Return JSON as a value with sound texts; None for what is none."""
    try:
        return sound(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return sound(json.loads(data.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        return None


def first_text(table: dict[str, Any], *names: str) -> str | None:
    """Return the first of these that is text."""
    return next((table[name] for name in names if isinstance(table.get(name), str)), None)


def usage_in(given: object, cost_usd: float | None) -> Usage | None:
    """Return token counts as most agents write them, in either spelling; None when there is neither."""
    said = given if isinstance(given, dict) else {}
    into = _count(said, "input_tokens", "inputTokens", "prompt_tokens")
    out = _count(said, "output_tokens", "outputTokens", "completion_tokens")
    total = _count(said, "total_tokens", "totalTokens")
    if into is None and out is None and total is None and cost_usd is None:
        return None
    if total is None and into is not None and out is not None:
        total = into + out
    return Usage(input_tokens=into, output_tokens=out, total_tokens=total, cost_usd=cost_usd)


def cost_in(table: dict[str, Any]) -> float | None:
    """Return what a run cost in US dollars, where it is said."""
    names = ("total_cost_usd", "cost_usd", "costUsd")
    return next((cost for name in names if (cost := tidy.money(table.get(name))) is not None), None)


def _count(said: dict[str, Any], *names: str) -> int | None:
    return next((number for name in names if (number := tidy.count(said.get(name))) is not None), None)


def _error(found: dict[str, Any]) -> str | None:
    error = found.get("error")
    if isinstance(error, dict):
        return first_text(error, "message", "type") or "an error without a message"
    if isinstance(error, str) and error:
        return error
    if found.get("is_error") is True:
        return first_text(found, "result", "subtype") or "an error without a message"
    return None
