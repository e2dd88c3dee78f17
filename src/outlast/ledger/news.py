"""Who waits for a task to move, and is told by the act that moved it: nobody looks at a task again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from outlast.core.task import Task
from outlast.store.base import Change, Store

Waiter = asyncio.Future[None]


class _TaskWaiter(asyncio.Future[None]):
    """Waits for tasks by name. It is forgotten in the act that wakes it, or in the one that gives it up.

    A done callback would do the same one turn of the loop later, and that turn costs as much as all the rest of
    waiting.
    """

    forget: Callable[[_TaskWaiter], None]
    task_ids: tuple[str, ...]

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ANN401 — as the class above has it
        """Give it up."""
        self.forget(self)
        return super().cancel(msg)


class News:
    """The waiters of one process. Moves of this process name their task; what others commit wakes everybody."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[_TaskWaiter]] = {}
        self._events: set[Waiter] = set()
        self._flows: set[Waiter] = set()
        self._questions: set[Waiter] = set()
        self._entries: set[Waiter] = set()
        self._moved: list[Callable[[Task], None]] = []

    def follow(self, store: Store) -> None:
        """Listen to a store's commits."""
        store.on_change(self._changed)

    def on_moved(self, callback: Callable[[Task], None]) -> None:
        """Call back with each task this process has just moved; called in the loop, must not block."""
        self._moved.append(callback)

    def moved(self, task: Task) -> None:
        """Say that a task has moved."""
        if task.id in self._waiters:
            self._wake_all(self._waiters[task.id])
        for callback in self._moved:
            callback(task)

    def waiting_for(self, task_ids: Iterable[str]) -> Waiter:
        """Return a future that is done when one of the tasks may have moved.

        Ask for it first and look then, so that nothing falls between the two.
        """
        waiter = _TaskWaiter(loop=asyncio.get_running_loop())
        waiter.forget = self._forget
        waiter.task_ids = tuple(task_ids)
        for task_id in waiter.task_ids:
            waiters = self._waiters.get(task_id)
            if waiters is None:
                self._waiters[task_id] = {waiter}
            else:
                waiters.add(waiter)
        return waiter

    def next_event(self) -> Waiter:
        """Return a future that is done when the history has grown."""
        return _among(self._events)

    def next_flow(self) -> Waiter:
        """Return a future that is done when a flow may have moved, or a step of one."""
        return _among(self._flows)

    def next_entry(self) -> Waiter:
        """Return a future that is done when a transcript has grown."""
        return _among(self._entries)

    def next_question(self) -> Waiter:
        """Return a future that is done when an approval may have been asked or answered."""
        return _among(self._questions)

    def stir(self) -> None:
        """Wake everybody: something may have happened anywhere."""
        for waiters in tuple(self._waiters.values()):
            self._wake_all(waiters)
        for waiter in (*self._events, *self._flows, *self._questions, *self._entries):
            _wake(waiter)

    def _wake_all(self, waiters: set[_TaskWaiter]) -> None:
        for waiter in tuple(waiters):
            self._forget(waiter)
            _wake(waiter)

    def _forget(self, waiter: _TaskWaiter) -> None:
        for task_id in waiter.task_ids:
            waiters = self._waiters.get(task_id)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[task_id]

    def _changed(self, change: Change) -> None:
        if change.foreign:
            self.stir()
            return
        if change.events:
            for waiter in tuple(self._events):
                _wake(waiter)
        if change.flows or change.steps:
            for waiter in tuple(self._flows):
                _wake(waiter)
        if change.flows:
            for waiter in tuple(self._questions):
                _wake(waiter)
        if change.entries:
            for waiter in tuple(self._entries):
                _wake(waiter)


def _among(waiters: set[Waiter]) -> Waiter:
    waiter: Waiter = asyncio.get_running_loop().create_future()
    waiters.add(waiter)
    waiter.add_done_callback(waiters.discard)
    return waiter


def _wake(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(None)
