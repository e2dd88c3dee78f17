"""The questions about telling and rules, as functions of a reader like those of `outlast.store.questions`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from outlast.core.conversation import Conversation, SystemEvent, Wake
from outlast.core.schedule import Schedule
from outlast.store.base_told import FiringRow, NoticeRow
from outlast.store.listing import cut
from outlast.store.questions import Reader
from outlast.store.rows import Row
from outlast.store.told import notice_of_row
from outlast.store.told_rows import firing_of, schedule_of, system_event_of, wake_of

_NEWEST = 2**62


def list_notices(
    reader: Reader, state: str | None, target: str | None, limit: int, before: int | None
) -> list[NoticeRow]:
    """Return notices newest first."""
    below = _NEWEST if before is None else before
    if state == "parked" and target is None:  # by an index of their own: there may be very many others
        rows = reader.rows("parked_notices", before=below, limit=cut(limit))
    else:
        rows = reader.rows("list_notices", state=state, target=target, before=below, limit=cut(limit))
    return [notice_of_row(row) for row in rows]


def conversations(reader: Reader, limit: int, after: str) -> list[Conversation]:
    """Return conversations by key."""
    wakes = Counter(row[1] for row in reader.rows("list_wakes", limit=cut(1000)))
    return [
        Conversation(key=row[0], waiting=row[1], oldest_at=row[2], newest_at=row[3], wakes=wakes[row[0]])
        for row in reader.rows("conversations", after=after, limit=cut(limit))
    ]


def system_events(reader: Reader, conversation: str, after: int, limit: int, waiting: bool) -> list[SystemEvent]:
    """Return the events of a conversation."""
    name = "waiting_events" if waiting else "system_events"
    rows = reader.rows(name, conversation=conversation, after=after, limit=cut(limit))
    return [system_event_of(row) for row in rows]


def list_schedules(reader: Reader, limit: int, after: str, requester: str | None) -> list[Schedule]:
    """Return rules by name."""
    if requester is None:
        rows = reader.rows("list_schedules", after=after, limit=cut(limit))
    else:
        rows = reader.rows("schedules_of", requester=requester, after=after, limit=cut(limit))
    return [schedule_of(row) for row in rows]


def firings_of(reader: Reader, schedule_id: str, limit: int, before: float | None) -> list[FiringRow]:
    """Return settled instants of a rule, newest first."""
    below = 1e18 if before is None else before
    return [
        firing_of(row) for row in reader.rows("firings_of", schedule_id=schedule_id, before=below, limit=cut(limit))
    ]


def _many(name: str, make: Callable[[Row], Any]) -> Callable[..., list[Any]]:
    def question(reader: Reader, limit: int, **params: Any) -> list[Any]:  # noqa: ANN401
        return [make(row) for row in reader.rows(name, limit=cut(limit), **params)]

    return question


def _first(name: str, make: Callable[[Row], Any]) -> Callable[..., Any]:
    def question(reader: Reader, **params: Any) -> Any:  # noqa: ANN401
        rows = reader.rows(name, **params)
        return make(rows[0]) if rows else None

    return question


def _value(row: Row) -> Any:  # noqa: ANN401
    return row[0]


def wakes_of(reader: Reader, conversation: str) -> list[Wake]:
    """Return the wakes of a conversation."""
    return [wake_of(row) for row in reader.rows("wakes_of", conversation=conversation)]


_LISTS: Sequence[tuple[str, Callable[[Row], Any]]] = (
    ("due_heads", notice_of_row), ("pending_of", notice_of_row), ("list_wakes", wake_of), ("due_wakes", wake_of),
    ("parked_wakes", wake_of), ("due_schedules", schedule_of), ("disabled_schedules", schedule_of),
    ("missed_firings", firing_of),
)  # fmt: skip
_FIRSTS: Sequence[tuple[str, Callable[[Row], Any]]] = (
    ("get_notice", notice_of_row), ("get_wake", wake_of), ("get_schedule", schedule_of), ("find_schedule", schedule_of),
    ("next_notice_due", _value), ("next_wake_due", _value), ("next_schedule_due", _value),
    ("last_system_event", _value),
)  # fmt: skip

TOLD_QUESTIONS: dict[str, Callable[..., Any]] = (
    {
        question.__name__: question
        for question in (list_notices, conversations, system_events, list_schedules, firings_of, wakes_of)
    }
    | {name: _many(name, make) for name, make in _LISTS}
    | {name: _first(name, make) for name, make in _FIRSTS}
)
