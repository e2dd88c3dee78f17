"""How a listing is narrowed: terms, the index that leads, and pages. The dialect of both stores is the same here."""

from __future__ import annotations

from typing import Any, NamedTuple

from outlast.core.session import Status
from outlast.core.task import AGENTS, SPAWN, Task, TaskFilter
from outlast.store.base import LIST_MAX, Page
from outlast.store.rows import Row, cursor_of, read_cursor, tasks_of

_SEARCHED = "(id || ' ' || coalesce(title, '') || ' ' || coalesce(label, '') || ' ' || ask || ' ' || \
coalesce(summary, '') || ' ' || coalesce(error, ''))"
_TURNS = "runtime IN (" + ", ".join(f"'{runtime.value}'" for runtime in AGENTS) + ")"
_RARE = (Status.QUEUED, Status.RUNNING, Status.LOST)


class Lane(NamedTuple):
    """One walk along one index, newest first."""

    leader: str
    where: str
    params: dict[str, Any]


def lanes(narrow: TaskFilter, cursor: str | None, like: str) -> list[Lane]:
    """Return the walks whose merged results are the listing, without the text search.

    Several statuses with nothing narrower are one walk each: one walk over all records would look at every one
    that stands elsewhere. ``like`` is the operator of the dialect that compares without case.
    """
    terms, params = _terms(narrow, like)
    if cursor is not None:
        params["cursor_at"], params["cursor_id"] = read_cursor(cursor)
        terms.append("(created_at, id) < (:cursor_at, :cursor_id)")
    index = _leader(narrow)
    if index != "task_status":
        if narrow.statuses:
            names = ", ".join(f"'{status.value}'" for status in dict.fromkeys(narrow.statuses))
            terms.append(f"status IN ({names})")
        return [Lane(index, " AND ".join(terms or ["true"]), params)]
    return [
        Lane(index, " AND ".join(["status = :status", *terms]), {**params, "status": status.value})
        for status in dict.fromkeys(narrow.statuses)
    ]


def _terms(narrow: TaskFilter, like: str) -> tuple[list[str], dict[str, Any]]:
    params: dict[str, Any] = {
        "runtime": None if narrow.runtime is None else narrow.runtime.value,
        "requester": narrow.requester,
        "conversation": narrow.conversation,
        "parent_id": narrow.parent_id,
        "schedule_id": narrow.schedule_id,
        "flow_id": narrow.flow_id,
        "label": narrow.label,
    }
    params = {name: value for name, value in params.items() if value is not None}
    terms = [f"{name} = :{name}" for name in params]
    if narrow.kind is not None:
        spawned = narrow.kind == SPAWN  # spelled out: the indexes of one kind are of no use to a parameter
        terms.append(f"kind = '{SPAWN}'" if spawned else "kind = :kind")
        params |= {} if spawned else {"kind": narrow.kind}
    if narrow.turns:
        terms.append(_TURNS)
    if narrow.since is not None:
        terms.append("created_at >= :since")
        params["since"] = narrow.since
    if narrow.dismissed is not None:
        terms.append(f"dismissed_at IS {'NOT ' if narrow.dismissed else ''}NULL")
    if narrow.search:
        plain = narrow.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        terms.append(f"{_SEARCHED} {like} :search ESCAPE '\\'")
        params["search"] = f"%{plain}%"
    return terms, params


def _leader(narrow: TaskFilter) -> str:
    if narrow.schedule_id is not None:
        return "task_schedule"
    if narrow.parent_id is not None:
        return "task_parent"
    if narrow.flow_id is not None:
        return "task_flow"
    if narrow.label is not None:
        return "task_label"
    if narrow.dismissed:
        return "task_dismissed"
    if narrow.statuses and all(status in _RARE for status in narrow.statuses):
        return "task_status"
    if narrow.kind == SPAWN and narrow.conversation is None:
        return "task_spawn" if narrow.requester is None else "task_spawn_of"
    if narrow.conversation is not None:
        return "task_conversation"
    if narrow.requester is not None:
        return "task_requester"
    if narrow.statuses:
        return "task_status"
    return "task_created" if narrow.runtime is None else "task_runtime"


def cut(limit: int) -> int:
    """Return the number of rows a question may answer."""
    return max(1, min(limit, LIST_MAX))


def page_of(rows: list[Row], limit: int, floor: tuple[float, str] | None) -> Page:
    """Merge the rows of all lanes into one page; ``floor`` is where a search stopped looking."""
    tasks = sorted(tasks_of(rows), key=_newest, reverse=True)
    if len(tasks) > limit:
        return Page(tasks[:limit], cursor_of(*_newest(tasks[limit - 1])))
    return Page(tasks, None if floor is None else cursor_of(*floor))


def _newest(task: Task) -> tuple[float, str]:
    return task.created_at, task.id
