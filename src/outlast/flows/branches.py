"""Branches of a program: lines of work that run beside others, each counting the names of its steps by itself."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any


class Branch:
    """A line of a program's work that runs beside others: names of steps count up within it."""

    __slots__ = ("elsewhere", "gathers", "names", "path", "task")

    def __init__(self, path: str, task: asyncio.Task[Any] | None) -> None:
        self.path = path
        self.task = task
        self.names: dict[str, int] = {}
        self.elsewhere: set[str] = set()
        self.gathers = 0

    def key(self, name: str) -> str:
        """Return the key of the next step of that name. Raises RuntimeError where that would depend on chance."""
        count = self.names[name] = self.names.get(name, 0) + 1
        base = f"{name}#{self.path}" if self.path else name
        if count == 1:
            if asyncio.current_task() is not self.task:
                self.elsewhere.add(name)
            return base
        if name in self.elsewhere or asyncio.current_task() is not self.task:
            raise RuntimeError(
                f"the step {name!r} is used twice in tasks that run beside each other: use ctx.gather, or other names"
            )
        return f"{base}#{count}"


branches: ContextVar[Branch | None] = ContextVar("outlast_branch", default=None)
"""The branch that runs here; None in the line a program begins with."""
