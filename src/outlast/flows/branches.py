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


branches: ContextVar[Branch | None] = ContextVar("outlast_branch", default=None)
"""The branch that runs here; None in the line a program begins with."""
