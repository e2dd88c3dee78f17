"""Who waits for a task to move, and is told by the act that moved it: nobody looks at a task again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from outlast.core.task import Task
from outlast.store.base import Change, Store

Waiter = asyncio.Future[None]


class News:
    """The waiters of one process. Moves of this process name their task; what others commit wakes everybody."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[Waiter]] = {}
        self._events: set[Waiter] = set()
        self._moved: list[Callable[[Task], None]] = []

    def follow(self, store: Store) -> None:
        """Listen to a store's commits."""
        store.on_change(self._changed)

    def on_moved(self, callback: Callable[[Task], None]) -> None:
        """Call back with each task this process has just moved; called in the loop, must not block."""
        self._moved.append(callback)

    def moved(self, task: Task) -> None:
        """Say that a task has moved."""
        for waiter in self._waiters.get(task.id, ()):
            _wake(waiter)
        for callback in self._moved:
            callback(task)

    def waiting_for(self, task_ids: Iterable[str]) -> Waiter:
        """Return a future that is done when one of the tasks may have moved.

        Ask for it first and look then, so that nothing falls between the two.
        """
        waiter: Waiter = asyncio.get_running_loop().create_future()
        ids = tuple(task_ids)
        for task_id in ids:
            self._waiters.setdefault(task_id, set()).add(waiter)
        waiter.add_done_callback(lambda done: self._forget(ids, done))
        return waiter

    def next_event(self) -> Waiter:
        """Return a future that is done when the history has grown."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._events.add(waiter)
        waiter.add_done_callback(self._events.discard)
        return waiter

    def stir(self) -> None:
        """Wake everybody: something may have happened anywhere."""
        for waiters in tuple(self._waiters.values()):
            for waiter in tuple(waiters):
                _wake(waiter)
        for waiter in tuple(self._events):
            _wake(waiter)

    def _forget(self, task_ids: tuple[str, ...], waiter: Waiter) -> None:
        for task_id in task_ids:
            waiters = self._waiters.get(task_id)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[task_id]

    def _changed(self, change: Change) -> None:
        if change.foreign:
            self.stir()
        elif change.events:
            for waiter in tuple(self._events):
                _wake(waiter)


def _wake(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(None)
