"""The questions about agents, as functions of a reader like those of `outlast.store.questions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from outlast.core.agent import AgentConversation, Beat, BeatState, Entry
from outlast.core.session import Status
from outlast.store.agent_rows import agent_conversation_of, beat_of, beat_state_of, entry_of
from outlast.store.flow_rows import approval_of
from outlast.store.listing import cut
from outlast.store.questions import Reader
from outlast.store.rows import Row, task_of

_NEWEST = 2**62


def entries_of(reader: Reader, conversation: str, after: int, limit: int) -> list[Entry]:
    """Return entries in order."""
    rows = reader.rows("entries_of", conversation=conversation, after=after, limit=cut(limit))
    return [entry_of(row) for row in rows]


def entries_before(reader: Reader, conversation: str, before: int | None, limit: int) -> list[Entry]:
    """Return the entries that lead up to a place, in order."""
    below = _NEWEST if before is None else before
    rows = reader.rows("entries_before", conversation=conversation, before=below, limit=cut(limit))
    return [entry_of(row) for row in reversed(rows)]


def last_entry_of_task(reader: Reader, task_id: str) -> Entry | None:
    """Return the entry that was made of the furthest line of a task's journal."""
    rows = reader.rows("last_entry_of_task", task_id=task_id)
    return entry_of(rows[0]) if rows else None


def get_agent_conversation(reader: Reader, key: str) -> AgentConversation | None:
    """Return a conversation."""
    rows = reader.rows("get_agent_conversation", key=key)
    return agent_conversation_of(rows[0]) if rows else None


def agent_conversations(reader: Reader, agent: str | None, limit: int, after: str) -> list[AgentConversation]:
    """Return conversations by key."""
    if agent is None:
        rows = reader.rows("agent_conversations", after=after, limit=cut(limit))
    else:
        rows = reader.rows("conversations_of_agent", agent=agent, after=after, limit=cut(limit))
    return [agent_conversation_of(row) for row in rows]


def child_conversations(reader: Reader, parent: str, limit: int, after: str) -> list[AgentConversation]:
    """Return what a conversation has spawned, by key."""
    rows = reader.rows("child_conversations", parent=parent, after=after, limit=cut(limit))
    return [agent_conversation_of(row) for row in rows]


def live_turns(reader: Reader, requester: str | None) -> dict[str, tuple[int, int]]:
    """Return how many turns of each agent run, and how many wait."""
    found: dict[str, list[int]] = {}
    for agent, status, count in reader.rows("live_turns", requester=requester):
        if agent is not None:
            found.setdefault(agent, [0, 0])[status == Status.QUEUED] = count
    return {agent: (running, queued) for agent, (running, queued) in found.items()}


def beat_states(reader: Reader) -> list[BeatState]:
    """Return all heartbeats."""
    return [beat_state_of(row) for row in reader.rows("beat_states")]


def beats_of(reader: Reader, agent: str | None, limit: int, before: int | None) -> list[Beat]:
    """Return beats, newest first."""
    below = _NEWEST if before is None else before
    if agent is None:
        rows = reader.rows("list_beats", before=below, limit=cut(limit))
    else:
        rows = reader.rows("beats_of_agent", agent=agent, before=below, limit=cut(limit))
    return [beat_of(row) for row in rows]


def open_beats(reader: Reader, limit: int) -> list[Beat]:
    """Return beats that run, oldest first."""
    return [beat_of(row) for row in reader.rows("open_beats", limit=cut(limit))]


def beats_since(reader: Reader, agent: str, since: float) -> int:
    """Return how many beats have run."""
    found: int = reader.rows("beats_since", agent=agent, since=since)[0][0]
    return found


def beat_told(reader: Reader, agent: str, text: str, since: float) -> bool:
    """Return whether a text was told."""
    return bool(reader.rows("beat_told", agent=agent, text=text, since=since))


def _ids(name: str, of: str) -> Callable[..., list[str]]:
    def question(reader: Reader, key: str, limit: int) -> list[str]:
        return [row[0] for row in reader.rows(name, **{of: key}, limit=cut(limit))]

    return question


def _many(name: str, make: Callable[[Row], Any]) -> Callable[..., list[Any]]:
    def question(reader: Reader, limit: int, **params: Any) -> list[Any]:  # noqa: ANN401
        return [make(row) for row in reader.rows(name, limit=cut(limit), **params)]

    return question


_LISTS: Sequence[tuple[str, Callable[[Row], Any]]] = (
    ("login_wanted", task_of), ("silent_agents", task_of), ("parked_permissions", approval_of),
    ("failing_beats", beat_of),
)  # fmt: skip
AGENT_QUESTIONS: dict[str, Callable[..., Any]] = {
    question.__name__: question
    for question in (
        entries_of, entries_before, last_entry_of_task, get_agent_conversation, agent_conversations,
        child_conversations, beat_states, beats_of, open_beats, beats_since,
        beat_told, live_turns,
    )
} | {name: _many(name, make) for name, make in _LISTS} | {
    "live_in_conversation": _ids("live_in_conversation", "conversation"),
    "live_children": _ids("live_children", "parent"),
    "live_below": _ids("live_below", "parent"),
}  # fmt: skip
