"""How the entries of a transcript look: the agent's answers as they are, everything else with its time and its sign."""

from __future__ import annotations

import sys

from outlast.core.durations import format_duration
from outlast.surfaces.cli.agents.words import safe_text
from outlast.surfaces.cli.moments import epoch, local
from outlast.surfaces.cli.output import DIM, colour

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

SIGNS = {
    "prompt": ">", "event": "*", "thought": "~", "tool": "$", "plan": "#", "permission": "?", "steer": ">",
    "note": "!", "end": "=",
}  # fmt: skip
STOPS = {
    "end_turn": "done", "cancelled": "cancelled", "refusal": "failed: the agent refused",
    "max_tokens": "failed: it came to its limit of tokens", "max_turns": "failed: it came to its limit of turns",
}  # fmt: skip
BY = {
    "policy": "by its policy", "expiry": "nobody answered in time", "cancel": "the turn did not wait for it",
    "limit": "too many questions are open",
}  # fmt: skip
AT_WORK = (None, "pending", "in_progress")
PROBE_MAX = 500
"""Characters of an answer by which it is recognised in what was streamed: a very long one is cut at its end."""


class Shown:
    """Prints entries in order. What is said twice on record (an answer, the steps of a tool) is shown once."""

    def __init__(self) -> None:
        self._day = ""
        self._line_open = False
        self._said: list[str] = []
        self._tools: dict[str, tuple[str, str | None]] = {}
        self._asked: dict[str, tuple[str, str | None]] = {}
        self._began: float | None = None

    def show(self, entry: Result) -> bool:
        """Print one entry; True for the end of a turn."""
        kind = entry["kind"]
        if kind == "prompt":
            self._begin(entry)
        if kind == "text":
            self._said.append(entry["text"])
            self._write(entry["text"])
        elif kind == "end":
            self._end(entry)
        elif text := self._text(entry):
            self._mark(entry, SIGNS.get(kind, " "), text)
        sys.stdout.flush()
        return bool(kind == "end")

    def show_all(self, entries: list[Result]) -> bool:
        """Print entries; True where the end of a turn was among them."""
        ended = False
        for entry in entries:
            ended = self.show(entry) or ended
        return ended

    def close(self) -> None:
        """End the line that is open."""
        if self._line_open:
            sys.stdout.write("\n")
            self._line_open = False

    def _begin(self, entry: Result) -> None:
        self._said, self._tools, self._asked = [], {}, {}
        self._began = epoch(entry["at"])

    def _text(self, entry: Result) -> str:
        match entry["kind"]:
            case "tool":
                return self._tool(entry)
            case "permission":
                return self._permission(entry)
            case "steer" if entry["data"].get("status") == "dropped":
                return f"(dropped, it never heard this) {entry['text']}"
        return str(entry["text"])

    def _tool(self, entry: Result) -> str:
        """What a tool is at, where that is news."""
        data = entry["data"]
        title, before = self._tools.get(str(data.get("id")), ("", None))
        status = data.get("status")
        known, title = title, entry["text"] or title
        self._tools[str(data.get("id"))] = title, status or before
        if not title or (title == known and (status in AT_WORK or status == before)):
            return ""
        return title if status in AT_WORK else f"{title}: {status}"

    def _permission(self, entry: Result) -> str:
        """A question, or what became of one."""
        data, text = entry["data"], str(entry["text"])
        title = str(data.get("title") or text)
        if data.get("by") is None:
            self._asked[str(data.get("id"))] = title, data.get("approvalId")
            return title if not text or text == title else f"{title}\n{text}"
        asked, approval = self._asked.get(str(data.get("id")), ("", None))
        how = BY.get(str(data["by"])) or (f"outlast approvals show {approval}" if approval else "")
        return f"{title or asked}: {data.get('status')}" + (f" ({how})" if how else "")

    def _end(self, entry: Result) -> None:
        """The end of a turn, with its answer only where that is not what was said last."""
        text, data = str(entry["text"]), entry["data"]
        if text and text[:PROBE_MAX].strip() not in "".join(self._said):
            self._write(text)
        error = data.get("error")
        word = "lost" if data.get("status") == "lost" else "timed out" if data.get("code") == "timeout" else "failed"
        how = f"{word}: {error}" if error else STOPS.get(str(data.get("stop")), "ended")
        began, ended = self._began, epoch(entry["at"])
        spent = "" if began is None or ended is None else f" after {format_duration(max(0.0, ended - began))}"
        self._mark(entry, SIGNS["end"], how + spent if not error else how)
        self._said, self._began = [], None

    def _write(self, text: str) -> None:
        sys.stdout.write(safe_text(text))
        self._line_open = not text.endswith("\n") if text else self._line_open

    def _mark(self, entry: Result, sign: str, text: str) -> None:
        day, _, clock = local(entry["at"]).partition(" ")
        begin = "\n" if self._line_open else ""
        if day != self._day:
            self._day = day
            begin += colour(day, DIM, sys.stdout) + "\n"
        first, *more = safe_text(text).split("\n")
        lines = [f"{clock} {sign} {first}", *(f"{'':{len(clock)}} {sign} {line}" for line in more)]
        sys.stdout.write(begin + colour("\n".join(lines), DIM, sys.stdout) + "\n")
        self._line_open = False
