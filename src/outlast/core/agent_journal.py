"""The journal of a turn: from the lines a runner writes to the entries of a transcript, and what a turn has come to.

A line is named by the offset after it, which never moves: read twice, it makes the same entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from outlast.core.agent import AgentEvent, EntryKind, EventKind, NewEntry, Usage
from outlast.core.ids import timed_id
from outlast.core.redact import redact
from outlast.core.text import sound

PIECES_MAX = 64 * 1024
"""Characters of one entry that is made of several pieces of a message."""
UNREAD_MAX = 200
"""Characters shown of a line that is no event."""
_PIECES = {EventKind.TEXT: EntryKind.TEXT, EventKind.THOUGHT: EntryKind.THOUGHT}
_OTHERS = {
    EventKind.TOOL: EntryKind.TOOL, EventKind.PLAN: EntryKind.PLAN, EventKind.PERMISSION: EntryKind.PERMISSION,
    EventKind.PERMITTED: EntryKind.PERMISSION, EventKind.STEERED: EntryKind.STEER, EventKind.NOTE: EntryKind.NOTE,
    EventKind.END: EntryKind.END,
}  # fmt: skip
_DECODER = msgspec.json.Decoder(AgentEvent)


class JournalLine(NamedTuple):
    """One line of a journal: the offset after it, and what it says."""

    end: int
    event: AgentEvent


class TurnRef(NamedTuple):
    """Which turn a journal belongs to. ``task_id`` is None where the turn is no task."""

    conversation: str
    agent: str
    session_id: str
    requester: str
    task_id: str | None = None


SESSION_GONE = "session_gone"
"""The code of a turn that could not go on with the agent's session of before: it is not tried again."""


class TurnState:
    """What the journal of a turn has said so far: all that matters once its lines are in the transcript."""

    def __init__(self) -> None:
        self.begun = False
        self.agent_session: str | None = None
        self.usage: Usage | None = None
        self.asked: dict[str, AgentEvent] = {}
        self.end: AgentEvent | None = None

    @property
    def session_gone(self) -> bool:
        """True when the agent's session of before is of no use any more."""
        return self.end is not None and self.end.code == SESSION_GONE

    def take(self, event: AgentEvent) -> None:
        """Learn from a line."""
        self.agent_session = event.agent_session or self.agent_session
        self.usage = event.usage or self.usage
        match event.ev:
            case EventKind.BEGUN:
                self.begun = True
            case EventKind.PERMISSION if event.id is not None:
                self.asked[event.id] = event
            case EventKind.PERMITTED if event.id is not None:
                self.asked.pop(event.id, None)
            case EventKind.END:
                self.end = event


def approval_id_of(turn: TurnRef, question: AgentEvent) -> str:
    """Return the id of the approval of a question: the same whenever it is made."""
    named = f"{turn.session_id}:{question.id}".encode()
    return timed_id("a", question.at, int.from_bytes(hashlib.sha256(named).digest()[:5], "big"), 4)


def read_line(line: bytes, now: float) -> AgentEvent:
    """Return the event of a line. A line that is none comes back as a note that says so, at ``now``."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        shown = redact(sound(line[: UNREAD_MAX * 4].decode("utf-8", "replace")))[:UNREAD_MAX]
        return AgentEvent(ev=EventKind.NOTE, at=now, text=f"a line of the journal is no event: {shown}")


def entries_of(turn: TurnRef, lines: Iterable[JournalLine]) -> list[NewEntry]:
    """Return the entries that lines make. Pieces of one message that follow each other are one entry."""
    made: list[NewEntry] = []
    pieces: list[str] = []
    size, last = 0, ""
    for line in lines:
        entry = _entry(turn, line)
        if entry is None:
            continue
        message = line.event.id or "" if line.event.ev in _PIECES else ""
        goes_on = made and message and message == last and made[-1].kind is entry.kind
        if goes_on and size + len(entry.text) <= PIECES_MAX:
            pieces.append(entry.text)
            size += len(entry.text)
            made[-1] = msgspec.structs.replace(entry, at=made[-1].at)
            continue
        _join(made, pieces)
        made.append(entry)
        pieces, size, last = [entry.text], len(entry.text), message
    _join(made, pieces)
    return made


def _join(made: list[NewEntry], pieces: Sequence[str]) -> None:
    if len(pieces) > 1:
        made[-1] = msgspec.structs.replace(made[-1], text="".join(pieces))


def _entry(turn: TurnRef, line: JournalLine) -> NewEntry | None:
    event = line.event
    kind = _PIECES.get(event.ev) or _OTHERS.get(event.ev)
    if kind is None:
        return None
    data = _data(event)
    if event.ev is EventKind.PERMISSION:
        data["approvalId"] = approval_id_of(turn, event)
    return NewEntry(
        at=event.at, kind=kind, text=_text(event), data=data, task_id=turn.task_id,
        source_key=f"{turn.session_id}:{line.end}", journal_at=line.end,
    )  # fmt: skip


def _text(event: AgentEvent) -> str:
    if event.ev is EventKind.PLAN:
        steps = event.data.get("entries")
        return "\n".join(_step(step) for step in steps) if isinstance(steps, list) else ""
    if event.ev in (EventKind.TOOL, EventKind.PERMISSION, EventKind.PERMITTED):
        return event.text or event.title or ""
    return event.text or ""


def _step(step: object) -> str:
    if not isinstance(step, dict):
        return str(step)
    mark = {"completed": "x", "in_progress": "~"}.get(str(step.get("status")), " ")
    return f"[{mark}] {step.get('content', '')}"


def _data(event: AgentEvent) -> dict[str, object]:
    """Return what an event says beside its text, as JSON."""
    facts: dict[str, object] = {
        "id": event.id, "title": event.title, "status": event.status, "stop": event.stop, "code": event.code,
        "error": event.error, "usage": None if event.usage is None else usage_facts(event.usage),
        "agentSession": event.agent_session if event.ev is EventKind.END else None,
    }  # fmt: skip
    return {**{name: fact for name, fact in facts.items() if fact is not None}, **event.data}


def usage_facts(usage: Usage) -> dict[str, object]:
    """Return what is known of a turn's use of tokens and money, as JSON."""
    return {name: fact for name, fact in msgspec.to_builtins(usage).items() if fact is not None}
