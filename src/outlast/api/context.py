"""What every command and query works with: the sessions, the clock, who asks, and the gateway behind it all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from outlast.api.followed import Followed
from outlast.api.readers import Readers
from outlast.config import Config
from outlast.core.agent_end import TurnEnd
from outlast.core.conversation import Wake, no_channel
from outlast.core.errors import BadInput, NotFound, Refused
from outlast.core.session import Cause
from outlast.core.task import NewTask, Task
from outlast.delivery.channels.base import Channel
from outlast.ledger.tasks import Ledger
from outlast.process.clock import Clock
from outlast.process.sessions import Session, Sessions
from outlast.scheduler.heartbeat import Heartbeats
from outlast.store.base import Created, Store

if TYPE_CHECKING:
    from outlast.api.agent_work import TurnAsk

T = TypeVar("T")

LOCAL = "local"
REMOTE = "remote"
PAGE = 64
"""Ended sessions read from disk in one go."""


class Caller(NamedTuple):
    """Who asks. An operator sees all sessions, everybody else only their own; ``remote`` callers came over TCP."""

    requester: str = LOCAL
    operator: bool = True
    remote: bool = False

    def acting_for(self, requester: str | None) -> Caller:
        """Return the caller narrowed to one requester, when one is named. Raises BadInput or Refused for the name."""
        if requester is None:
            return self
        if not requester.isprintable() or not requester.strip() or len(requester) > 200:
            raise BadInput("requester: must be 1 to 200 printable characters")
        no_channel(requester, "requester")
        if self.remote and requester == LOCAL:
            raise Refused(f"requester: {LOCAL!r} is the operator's own name", hint="choose another")
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


class AgentTurns(Protocol):
    """The one place where turns of agents begin. See `outlast.gateway.agent_turns`."""

    async def open(self) -> None:
        """Begin, once the store is open."""

    async def close(self) -> None:
        """End; turns run on."""

    async def start(self, ask: TurnAsk) -> Created:
        """Put a turn on record and begin it when its conversation is free.

        Raises BadInput, Refused (``too_deep``), Conflict (``parent_ended``), GatewayTrouble.
        """

    async def prepare(self, new: NewTask) -> None:
        """Make ready what a composed turn needs before it is on record. Raises BadInput (``other_agent``)."""

    async def spawn(self, ask: TurnAsk, parent: str) -> Created:
        """Have an agent do something for a conversation, in one of its own.

        Raises Refused (``too_deep``, ``too_many_children``), Conflict (``parent_ended``), BadInput, GatewayTrouble.
        """

    async def tidy(self) -> None:
        """Forget what was only needed by conversations in which nothing is under way."""

    async def steer(self, task: Task, text: str, *, interrupt: bool = False) -> str:
        """Tell a running agent something; return the name its transcript has for it. Raises Conflict."""

    async def cancel_tree(self, conversation: str, cause: Cause = Cause.OPERATOR) -> list[str]:
        """Call off all that a conversation has spawned, at any depth; return the tasks there were."""

    async def begin_beat(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        """Start a turn of an agent that is no task, in its main conversation. Raises BadInput, GatewayTrouble."""

    async def resume_beat(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        """Go on with such a turn of an earlier gateway, which may not have come to tell its runner what to do."""

    async def end_of_beat(self, agent: str, session_id: str) -> TurnEnd | None:
        """Stay with such a turn to its end, also of an earlier gateway; None when there is no record of it."""

    def lock(self, conversation: str) -> asyncio.Lock:
        """Return what keeps two turns of one conversation apart: held around a turn that is no task."""


class Books(Protocol):
    """Where what outlives its call is on record, and who works for it. See `outlast.gateway.books`."""

    @property
    def ledger(self) -> Ledger:
        """The ledger. Raises GatewayTrouble while its store is not open."""

    @property
    def store(self) -> Store:
        """The store, for questions. Raises GatewayTrouble while it is not open."""

    @property
    def node(self) -> str:
        """The name of this gateway among those that share a store."""

    async def submit(self, new: NewTask) -> Created:
        """Put work on record and begin it when nothing stands before it."""

    def outlived(self, session: Session) -> None:
        """Put a session on record whose call has returned; returns at once."""

    async def record_of(self, session: Session) -> Task | None:
        """Return the record of a session; None when there is none and none is about to be."""

    def holds(self, task_id: str) -> bool:
        """True while a task is in the hands of this gateway."""

    async def call_off(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        """End the work of a task this gateway holds."""

    async def settle(self) -> None:
        """Take up tasks of this node that nobody holds."""

    def look(self) -> None:
        """Something may be due earlier than it was."""

    def open_wake(self, wake: Wake) -> Channel:
        """Return the channel of a wake. Raises BadInput for one that is no use."""

    def saw_end(self, session: Session, target: str) -> None:
        """Note that a requester was given the end of a session: he is not told the end of its task again."""

    @property
    def agents(self) -> AgentTurns:
        """Where turns of agents begin. Raises BadInput where none do, GatewayTrouble while the store is not open."""

    @property
    def heartbeats(self) -> Heartbeats:
        """Who has agents look around by themselves. Raises as `agents` does."""

    def next_wake(self) -> asyncio.Future[None]:
        """Return a future that is done when a conversation may have something new to hear."""

    def holding(self, task_ids: Iterable[str], target: str) -> AbstractContextManager[None]:
        """Keep notices back while somebody waits who will see for himself."""


class Making(Protocol):
    """What it takes to make a command of a request: settings, time, and the environment it inherits."""

    @property
    def config(self) -> Config:
        """The settings."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment of commands whose caller brought none."""

    def new_session_id(self) -> str:
        """Return a fresh session id."""


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
        books: Books,
        umask: int = 0o022,
    ) -> None:
        self.sessions = sessions
        self.config = config
        self.clock = clock
        self.environ = environ
        self.umask = umask
        self.gateway = gateway
        self.books = books
        self.readers = Readers(config.paths.sessions)
        self.starting: dict[str, asyncio.Future[Session]] = {}
        self.starts = 0
        self.followed = Followed(books)
        self._stops: set[asyncio.Future[None]] = set()
        self._stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listeners: set[Callable[[str, Session], None]] = set()
        sessions.on_event(self._tell)

    def new_session_id(self) -> str:
        """Return a fresh session id."""
        return self.sessions.new_id()

    @property
    def ledger(self) -> Ledger:
        """The ledger. Raises GatewayTrouble while its store is not open."""
        return self.books.ledger

    @property
    def store(self) -> Store:
        """The ledger's store, for questions. Raises GatewayTrouble while it is not open."""
        return self.books.store

    async def find(self, caller: Caller, name: str) -> Session:
        """Return the caller's session by id or unique prefix.

        Raises NotFound, also for somebody else's session, and BadInput (``ambiguous``) naming the candidates.
        """
        if not name:
            raise BadInput("sessionId: must not be empty")
        await self.sessions.until_started(name)  # its id is told as soon as its task is on record
        try:
            session = self.sessions.get(name)
        except NotFound:
            raise no_such_session(name) from None
        except BadInput:
            if caller.operator:
                raise
            return await self._find_among_own(caller, name)
        if not caller.may_see(session):
            raise no_such_session(name)
        return session

    async def _find_among_own(self, caller: Caller, name: str) -> Session:
        """Resolve a prefix that is ambiguous among all sessions without a word about those of others."""
        everyone = [*self.running(caller), *[session async for session in self.ended(caller)]]
        own = [session for session in everyone if session.id.startswith(name)]
        if len(own) == 1:
            return own[0]
        if not own:
            raise no_such_session(name)
        candidates = ", ".join(session.id for session in own[:10])
        raise BadInput(f"{name}: {len(own)} sessions begin like this", code="ambiguous", hint=candidates)

    def running(self, caller: Caller) -> list[Session]:
        """Sessions the caller may see whose command runs, newest first."""
        return [s for s in reversed(self.sessions.live()) if s.end is None and caller.may_see(s)]

    async def ended(self, caller: Caller, before: str | None = None) -> AsyncIterator[Session]:
        """Sessions the caller may see whose command has ended, newest first; those before the id ``before``.

        Those that left processes behind are among them. The others are read from disk a page at a time, and
        everybody else gets a turn between two pages: there may be very many, few of them the caller's.
        """
        leftover = [s for s in self.sessions.live() if s.end is not None and (before is None or s.id < before)]
        while page := self.sessions.ended(limit=PAGE, before=before):
            before = page[-1].id
            while leftover and leftover[-1].id > before:
                page.append(leftover.pop())
            for session in sorted(page, key=lambda s: s.id, reverse=True):
                if caller.may_see(session):
                    yield session
            await asyncio.sleep(0)
        for session in reversed(leftover):
            if caller.may_see(session):
                yield session

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns; it goes on to its end even when whoever asked for it leaves."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        _forget(task)  # whoever still waits gets what it raised; when nobody does there is nobody to tell

    async def first(self, *waits: Coroutine[Any, Any, object], seconds: float | None = None) -> int | None:
        """Wait for the first of several waits; return its index.

        None means that the time was over or that the gateway is stopping (`stopping`). The rest is
        cancelled, also when the caller is. Exceptions of the winner are raised.
        """
        if self._stopping:
            for wait in waits:
                wait.close()
            return None
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tasks = [asyncio.ensure_future(_then(over, wait)) for wait in waits]
        clock = [] if seconds is None else [asyncio.ensure_future(_then(over, self.clock.sleep(max(0.0, seconds))))]
        self._stops.add(over)
        try:
            await over
            for index, task in enumerate(tasks):
                if task.done():
                    task.result()
                    return index
            return None
        finally:
            self._stops.discard(over)
            drop([*tasks, *clock])

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

    def left_behind(self, session: Session) -> int:
        """How many processes a command left behind when it ended: those still there, or those that ended with it."""
        ended_with_it = session.end.leftovers if session.end and session.info.leftovers == "kill" else 0
        return session.leftovers or ended_with_it

    def _tell(self, event: str, session: Session) -> None:
        for listener in tuple(self._listeners):
            listener(event, session)


async def until(waiter: asyncio.Future[None]) -> None:
    """Return when a future is done: `Api.first` takes coroutines."""
    await waiter


async def _then(over: asyncio.Future[None], wait: Coroutine[Any, Any, object]) -> None:
    """Wait, and say that it is over from within the task: a callback would come two turns of the loop later."""
    try:
        await wait
    finally:
        if not over.done():
            over.set_result(None)


def drop(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel what is not done and forget what it came to. They end in the next turn of the loop."""
    for task in tasks:
        if not task.cancel() and not task.cancelled():
            task.exception()
        else:
            task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


def no_such_session(name: str) -> NotFound:
    """The answer for a session that does not exist or is somebody else's: the same words for both."""
    return NotFound(f"no session {name!r}", hint="`outlast process list` shows the sessions there are")
