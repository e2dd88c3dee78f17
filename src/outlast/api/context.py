"""What every command and query works with:

the sessions, the clock, who asks, and the gateway behind it all.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from outlast.api.readers import Readers
from outlast.config import Config
from outlast.core.errors import BadInput, NotFound, Refused
from outlast.process.clock import Clock
from outlast.process.sessions import Session, Sessions

T = TypeVar("T")

LOCAL = "local"
REMOTE = "remote"


class Caller(NamedTuple):
    """Who asks.

    An operator sees all sessions, everybody else only their own; ``remote`` callers came over TCP.
    """

    requester: str = LOCAL
    operator: bool = True
    remote: bool = False

    def acting_for(self, requester: str | None) -> Caller:
        """Return the caller narrowed to one requester, when one is named.

        Raises BadInput for an unprintable name.
        """
        if requester is None:
            return self
        if not requester.isprintable() or not requester.strip() or len(requester) > 200:
            raise BadInput("requester: must be 1 to 200 printable characters")
        return Caller(requester, operator=False, remote=self.remote)

    def may_see(self, session: Session) -> bool:
        """True when the session is this caller's own, or the caller is the operator."""
        return self.operator or session.info.requester == self.requester

    def needs_operator(self, act: str) -> None:
        """Raise Refused unless the caller is the operator."""
        if not self.operator:
            raise Refused(
                f"only the operator may {act}",
                hint="ask on the local socket, without naming a requester",
            )


class GatewayFacts(NamedTuple):
    """What a running gateway says about itself. ``started_at`` in seconds since the epoch."""

    pid: int
    version: str
    protocol: int
    started_at: float
    socket: str
    listen: str | None
    home: str


class Gateway(Protocol):
    """The process that serves us, as far as commands may steer it."""

    @property
    def facts(self) -> GatewayFacts:
        """Who it is."""

    def request_stop(self) -> None:
        """Begin a graceful stop: it answers what is waiting, then leaves."""


class Api:
    """The one object every command and query takes.

    ``environ`` is the environment of commands whose caller brought none, ``umask`` that of all commands.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        config: Config,
        clock: Clock,
        environ: Mapping[str, str],
        gateway: Gateway,
        umask: int = 0o022,
    ) -> None:
        self.sessions = sessions
        self.config = config
        self.clock = clock
        self.environ = environ
        self.umask = umask
        self.gateway = gateway
        self.readers = Readers(config.paths.sessions)
        self.starting: dict[str, asyncio.Future[Session]] = {}
        self.starts = 0
        self._stops: set[asyncio.Future[None]] = set()
        self._stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listeners: set[Callable[[str, Session], None]] = set()
        sessions.on_event(self._tell)

    def find(self, caller: Caller, name: str) -> Session:
        """Return the caller's session by id or unique prefix.

        Raises NotFound, also for somebody else's session, and BadInput (``ambiguous``) naming the candidates.
        """
        if not name:
            raise BadInput("sessionId: must not be empty")
        try:
            session = self.sessions.get(name)
        except NotFound:
            raise no_such_session(name) from None
        except BadInput:
            if caller.operator:
                raise
            return self._find_among_own(caller, name)
        if not caller.may_see(session):
            raise no_such_session(name)
        return session

    def _find_among_own(self, caller: Caller, name: str) -> Session:
        """Resolve a prefix that is ambiguous among all sessions without a word about those of others."""
        own = [s for s in self.visible(caller) if s.id.startswith(name)]
        if len(own) == 1:
            return own[0]
        if not own:
            raise no_such_session(name)
        raise BadInput(
            f"{name}: {len(own)} sessions begin like this",
            code="ambiguous",
            hint=", ".join(s.id for s in own[:10]),
        )

    def visible(self, caller: Caller) -> Iterator[Session]:
        """Every session the caller may see: running ones, then ended ones, each newest first."""
        yield from self.running(caller)
        yield from self.ended(caller)

    def running(self, caller: Caller) -> list[Session]:
        """Sessions the caller may see whose command runs, newest first."""
        return [s for s in reversed(self.sessions.live()) if s.end is None and caller.may_see(s)]

    def ended(self, caller: Caller, before: str | None = None) -> Iterator[Session]:
        """Sessions the caller may see whose command has ended, newest first; those before the id ``before``.

        Those that left processes behind are among them.
        """
        leftover = [s for s in reversed(self.sessions.live()) if s.end is not None]
        newest_first = heapq.merge(
            (s for s in leftover if before is None or s.id < before),
            self._ended_pages(before),
            key=lambda s: s.id,
            reverse=True,
        )
        yield from (s for s in newest_first if caller.may_see(s))

    def _ended_pages(self, before: str | None) -> Iterator[Session]:
        while page := self.sessions.ended(limit=200, before=before):
            yield from page
            before = page[-1].id

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns; it goes on to its end even when whoever asked for it leaves."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; when nobody does there is nobody to tell

    async def first(self, *waits: Coroutine[Any, Any, object], seconds: float | None = None) -> int | None:
        """Wait for the first of several waits; return its index.

        None means that the time was over or that the gateway is stopping (`stopping`). The rest is
        cancelled, also when the caller is. Exceptions of the winner are raised.
        """
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(wait) for wait in waits]
        stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        everything = [*tasks, stop]
        if seconds is not None:
            everything.append(asyncio.ensure_future(self.clock.sleep(max(0.0, seconds))))
        self._stops.add(stop)
        if self._stopping:
            stop.set_result(None)
        try:
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            for index, task in enumerate(tasks):
                if task.done():
                    task.result()
                    return index
            return None
        finally:
            self._stops.discard(stop)
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    @property
    def stopping(self) -> bool:
        """True once the gateway has begun to stop: waits answer at once with what is known."""
        return self._stopping

    def stop_waits(self) -> None:
        """Make every wait answer now. Called once, when the gateway begins to stop."""
        self._stopping = True
        for stop in tuple(self._stops):
            if not stop.done():
                stop.set_result(None)

    @contextmanager
    def listening(self, callback: Callable[[str, Session], None]) -> Iterator[None]:
        """Call ``callback("started" | "ended", session)`` while the block lasts."""
        self._listeners.add(callback)
        try:
            yield
        finally:
            self._listeners.discard(callback)

    def _tell(self, event: str, session: Session) -> None:
        for listener in tuple(self._listeners):
            listener(event, session)


def no_such_session(name: str) -> NotFound:
    """The answer for a session that does not exist or is somebody else's: the same words for both."""
    return NotFound(f"no session {name!r}", hint="`outlast process list` shows the sessions there are")
