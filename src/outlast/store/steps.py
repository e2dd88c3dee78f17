"""What an act is made of: steps of statements, each sent the rows of the one before."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from outlast.core.session import Cause, Status
from outlast.store.rows import Row, json_text

T = TypeVar("T")
Step = tuple[str, dict[str, Any]]
Rows = Sequence[Row]
Steps = Generator[Sequence[Step], Sequence[Rows], T]


def line(
    task_id: str, at: float, verb: str, data: str, status: Status | None = None, cause: Cause | None = None
) -> Step:
    """Return the statement for a line of a task's history."""
    return "append_event", {
        "task_id": task_id, "at": at, "verb": verb, "status": status, "cause": cause, "data": data,
    }  # fmt: skip


def settled_lines(owner_id: str, event_id: int, at: float, verb: str, data: dict[str, object]) -> list[Step]:
    """Return the statements that write down how a notice came out. Flows have no line for it, approvals nothing."""
    if event_id == 0:
        return [("set_flow_delivery", {"id": owner_id})]
    return [("set_delivery", {"id": owner_id}), line(owner_id, at, verb, json_text(data))]
