"""What an act is made of: steps of statements, each sent the rows of the one before."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from outlast.core.session import Cause, Status
from outlast.store.rows import Row

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
