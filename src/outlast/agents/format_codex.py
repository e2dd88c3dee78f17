"""The JSON lines of ``codex exec --json``."""

from __future__ import annotations

from typing import Any

from outlast.agents.desk import Desk
from outlast.agents.formats import Result, decode, first_text, usage_in
from outlast.core.agent import Usage

_STATUSES = {"in_progress": "in_progress", "completed": "completed", "failed": "failed", "declined": "failed"}


class CodexLines:
    """Threads, turns and items; the last message of the agent is its answer."""

    by_line = True

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.session: str | None = None
        self._answer: str | None = None
        self._error: str | None = None
        self._complete = False
        self._usage: Usage | None = None

    def feed(self, line: bytes) -> None:
        """Take a line."""
        event = decode(line) if line.strip() else None
        if not isinstance(event, dict):
            if line.strip():
                self._desk.note(line.decode("utf-8", "replace").strip())
            return
        match event.get("type"):
            case "thread.started":
                self.session = first_text(event, "thread_id") or self.session
            case "item.started" | "item.updated" | "item.completed" as kind:
                if isinstance(event.get("item"), dict):
                    self._item(event["item"], done=kind == "item.completed")
            case "turn.completed":
                self._complete = True
                self._usage = usage_in(event.get("usage"), None)
            case "turn.failed":
                error = event.get("error")
                self._error = first_text(error, "message") if isinstance(error, dict) else None
                self._error = self._error or "the turn failed"
            case "error":
                self._desk.note(first_text(event, "message") or "an error without a message")

    def result(self) -> Result:
        """Say what the run came to: a turn that is complete is a result, even without a message."""
        answer = self._answer if self._answer is not None else "" if self._complete else None
        return Result(answer, error=self._error, usage=self._usage, session=self.session)

    def _item(self, item: dict[str, Any], *, done: bool) -> None:
        number, kind = str(item.get("id")), str(item.get("type"))
        if kind in ("agent_message", "assistant_message"):
            if done:
                self._answer = first_text(item, "text") or ""
                self._desk.text(self._answer, number)
        elif kind == "reasoning":
            if done:
                self._desk.thought(first_text(item, "text") or "", number)
        elif kind == "todo_list":
            self._plan(item.get("items"))
        elif kind == "error":
            self._desk.note(first_text(item, "message") or "an error without a message")
        else:
            status = _STATUSES.get(str(item.get("status")), "completed" if done else "in_progress")
            self._desk.tool(number, title=_title(kind, item), status=status, kind=kind, given=_given(item),
                            output=item.get("aggregated_output") or item.get("result") or None)  # fmt: skip

    def _plan(self, entries: object) -> None:
        if isinstance(entries, list):
            self._desk.plan(
                [
                    {"content": entry.get("text"), "status": "completed" if entry.get("completed") else "pending"}
                    for entry in entries
                    if isinstance(entry, dict)
                ]
            )


def _title(kind: str, item: dict[str, Any]) -> str:
    said = first_text(item, "command", "query", "tool", "text")
    return said or kind.replace("_", " ")


def _given(item: dict[str, Any]) -> dict[str, Any]:
    known = ("command", "changes", "server", "tool", "arguments", "query", "exit_code")
    return {name: item[name] for name in known if item.get(name) is not None}
