"""What ACP agents say in mid-turn (``session/update``), put into the words of the journal."""

from __future__ import annotations

from typing import Any

from outlast.agents import tidy
from outlast.agents.desk import Desk
from outlast.core.agent import Usage

_STATUSES = frozenset(("pending", "in_progress", "completed", "failed"))


class Updates:
    """Takes the updates of one session. While ``replaying`` an agent tells what was before, and nothing is noted."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.replaying = False
        self._cost_before: float | None = None
        self._cost: float | None = None

    def mark(self) -> None:
        """The prompt is sent now: what was spent before is not this turn's."""
        self._cost_before = self._cost

    @property
    def cost_usd(self) -> float | None:
        """What was spent since `mark`, in US dollars; None when the agent does not say."""
        return None if self._cost is None else max(0.0, self._cost - (self._cost_before or 0.0))

    def take(self, update: dict[str, Any]) -> None:
        """Take one update; kinds that are not known are no news."""
        kind = update.get("sessionUpdate")
        if kind == "usage_update":
            self._usage(update)
        elif self.replaying:
            return
        elif kind in ("agent_message_chunk", "agent_thought_chunk"):
            say = self._desk.text if kind == "agent_message_chunk" else self._desk.thought
            say(content_text(update.get("content")), _text(update.get("messageId")))
        elif kind in ("tool_call", "tool_call_update"):
            self._tool(update)
        elif kind == "plan":
            self._plan(update.get("entries"))
        elif kind == "plan_update" and isinstance(update.get("plan"), dict):
            self._plan(update["plan"].get("entries"))

    def _tool(self, update: dict[str, Any]) -> None:
        status = _text(update.get("status"))
        output = contents_text(update.get("content"))
        self._desk.tool(
            _text(update.get("toolCallId")) or "?",
            title=_text(update.get("title")),
            status=status if status in _STATUSES else None,
            kind=_text(update.get("kind")),
            given=update.get("rawInput"),
            output=output or update.get("rawOutput"),
            locations=update.get("locations") or None,
        )

    def _plan(self, entries: object) -> None:
        if isinstance(entries, list):
            known = ("content", "priority", "status")
            rows = [{name: entry.get(name) for name in known} for entry in entries if isinstance(entry, dict)]
            self._desk.plan(rows)

    def _usage(self, update: dict[str, Any]) -> None:
        cost = update.get("cost")
        if isinstance(cost, dict) and cost.get("currency") == "USD":
            spent = tidy.money(cost.get("amount"))
            self._cost = self._cost if spent is None else spent
        if not self.replaying:
            usage = None if self.cost_usd is None else Usage(cost_usd=self.cost_usd)
            self._desk.usage(usage, used=update.get("used"), size=update.get("size"))


def content_text(content: object) -> str:
    """Return a content block as text: what is no text is named."""
    if not isinstance(content, dict):
        return ""
    kind = content.get("type")
    if kind == "text":
        return _text(content.get("text")) or ""
    if kind == "resource_link":
        return f"[{_text(content.get('name')) or 'resource'}: {_text(content.get('uri')) or ''}]"
    if kind == "resource" and isinstance(content.get("resource"), dict):
        return _text(content["resource"].get("text")) or f"[{_text(content['resource'].get('uri')) or 'resource'}]"
    return f"[{kind}]" if isinstance(kind, str) else ""


def contents_text(contents: object) -> str:
    """Return what a tool call shows as text."""
    return "\n".join(filter(None, map(_shown, contents))) if isinstance(contents, list) else ""


def _shown(item: object) -> str:
    if not isinstance(item, dict):
        return ""
    if item.get("type") == "content":
        return content_text(item.get("content"))
    if item.get("type") == "diff":
        old, new = _text(item.get("oldText")) or "", _text(item.get("newText")) or ""
        return f"{_text(item.get('path')) or '?'}: {len(old.splitlines())} lines become {len(new.splitlines())}"
    return ""


def usage_of(given: object, cost_usd: float | None) -> Usage | None:
    """Return what an agent says it used, None when it says nothing."""
    said = given if isinstance(given, dict) else {}
    tokens = [tidy.count(said.get(name)) for name in ("inputTokens", "outputTokens", "totalTokens")]
    if cost_usd is None and tokens == [None, None, None]:
        return None
    return Usage(input_tokens=tokens[0], output_tokens=tokens[1], total_tokens=tokens[2], cost_usd=cost_usd)


def _text(given: object) -> str | None:
    return given if isinstance(given, str) else None
