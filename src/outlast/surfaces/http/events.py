"""What happens, as it happens: the ledger's history and the coming and going of sessions, as server-sent events.

The id of an event is the ledger's, which orders all history and survives restarts: a reader that comes back with
``Last-Event-ID`` misses nothing. Sessions have no history of their own; their events carry no id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.types import Send

from outlast.api import results
from outlast.api.context import Api, Caller
from outlast.api.follow import KEEP_ALIVE
from outlast.api.task_lookup import may_see
from outlast.api.task_requests import EventStreamRequest
from outlast.api.task_results import describe, describe_event
from outlast.core.errors import GatewayTrouble
from outlast.core.task import Task
from outlast.process.sessions import Session
from outlast.surfaces.http import wire
from outlast.surfaces.http.stream import EVENTS, event, send_all
from outlast.surfaces.http.wire import Connection

QUEUE_MAX = 1000
"""Events of sessions a slow listener may fall behind before it is let go; it comes back and lists."""
PAGE = 500
"""Lines of history read at a time."""


async def all_events(
    api: Api, caller: Caller, request: EventStreamRequest, last_id: str | None, line: Connection, send: Send
) -> None:
    """Send every event of the caller's tasks and sessions from now on, or from behind the last one he has seen."""
    listener = _Listener(api, caller, with_sessions=not request.tasks)
    await listener.begin(int(last_id) if last_id is not None else request.after)
    await wire.start(send, 200, EVENTS)
    await line.while_there(send_all(send, listener.events()))


class _Listener:
    def __init__(self, api: Api, caller: Caller, *, with_sessions: bool) -> None:
        self._api = api
        self._caller = caller
        self._with_sessions = with_sessions
        self._queue: asyncio.Queue[tuple[str, Session]] = asyncio.Queue(QUEUE_MAX)
        self._stirred = asyncio.Event()
        self._fell_behind = False
        self._after: int | None = None

    async def begin(self, after: int | None) -> None:
        """Find out where to begin. Without a ledger there are sessions only."""
        try:
            self._after = await self._api.store.last_event_id() if after is None else after
        except GatewayTrouble:
            if not self._with_sessions:
                raise

    async def events(self) -> AsyncIterator[bytes]:
        """Yield events until the gateway stops or the listener has fallen too far behind."""
        with self._api.listening(self._tell):
            yield b": listening\n\n"
            while not self._fell_behind and not self._api.stopping:
                news = self._news()
                try:
                    sent = False
                    async for part in self._history():
                        sent = True
                        yield part
                    self._stirred.clear()
                    while not self._queue.empty():
                        sent = True
                        name, session = self._queue.get_nowait()
                        yield event(name, results.describe(self._api, session))
                    if not sent:
                        woken = await self._api.first(_wait(news), self._something(), seconds=KEEP_ALIVE)
                        if woken is None and not self._api.stopping:
                            yield b":\n\n"
                finally:
                    news.cancel()

    def _news(self) -> asyncio.Future[None]:
        try:
            return self._api.ledger.news.next_event()
        except GatewayTrouble:
            return asyncio.get_running_loop().create_future()

    def _tell(self, name: str, session: Session) -> None:
        if not self._with_sessions or not self._caller.may_see(session):
            return
        try:
            self._queue.put_nowait((name, session))
            self._stirred.set()
        except asyncio.QueueFull:
            self._fell_behind = True

    async def _something(self) -> None:
        """Return when a session has something to say."""
        await self._stirred.wait()

    async def _history(self) -> AsyncIterator[bytes]:
        try:
            store = self._api.store
            if self._after is None:  # it could not be found out to begin with
                self._after = await store.last_event_id()
            while lines := await store.events_since(self._after, PAGE):
                ids = list(dict.fromkeys(line.task_id for line in lines))
                tasks = dict(zip(ids, await asyncio.gather(*map(store.get_task, ids)), strict=True))
                for line in lines:
                    task = tasks[line.task_id]
                    if task is not None and may_see(self._caller, task):
                        yield event("task", self._described(task, describe_event(line)), line.id)
                self._after = lines[-1].id
        except GatewayTrouble:
            return  # it passes or it does not; meanwhile there are sessions

    def _described(self, task: Task, line: Any) -> dict[str, Any]:  # noqa: ANN401
        fields: dict[str, Any] = msgspec.to_builtins(line)
        return {**fields, "task": msgspec.to_builtins(describe(task, self._api.clock.now()))}


async def _wait(future: asyncio.Future[None]) -> None:
    await future
