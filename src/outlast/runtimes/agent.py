"""Turns of agents: the work of a task is a runner in a session, and the journal it writes is kept as it grows.

The runner outlives us. Whoever comes next reads on after the last line that is in the transcript, so the transcript
has every line once, and an end that came while nobody watched is read back.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import msgspec

from outlast.core.agent import AgentEvent, EventKind, Turn
from outlast.core.agent_end import TurnEnd, turn_end
from outlast.core.agent_journal import JournalLine, TurnRef, TurnState
from outlast.core.errors import BadInput, Conflict, GatewayTrouble, NotFound
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, ExecSpec, Exit, Status, status_of
from outlast.core.task import Task
from outlast.process.clock import Clock
from outlast.process.keeper.crash import point
from outlast.process.sessions import Session, Sessions
from outlast.runtimes.base import Hands
from outlast.runtimes.journal import Journal, last_words, states_until
from outlast.runtimes.reattach import reattach
from outlast.runtimes.turn_marks import command_of, conversation_of, events_of, labels_of, turn_of

RUNNER = (sys.executable, "-P", "-m", "outlast.agents.runner")
GRACE_SECONDS = 6.0
"""How long a turn that is called off has to end by itself; the runner gives its agent half of that."""
LAST_SECONDS = 10.0
"""How long a runner may stay after its last line, and its output open after its end."""
NET_SECONDS = 30.0
"""How much later than the runner the keeper ends a turn whose time is up."""
GAP_SECONDS = 0.03
"""Between two looks at a journal: what comes closely is kept in one act."""
PIECE = 256 * 1024
"""Bytes of the standard input handed over in one go."""
INPUT_PAUSE = 0.02
LOOK_SECONDS = 1.0
"""Between two signs of progress told of a turn."""


class Opened(NamedTuple):
    """All it takes to start the runner of a turn. ``upto`` is the newest system event its prompt tells of."""

    turn: Turn
    env: dict[str, str]
    cwd: str
    title: str
    upto: int
    timeout_seconds: float | None


Answer = Callable[[str | None], Awaitable[None]]
"""Tells a runner which option was chosen; None is no."""


class Room(Protocol):
    """Who keeps what agents say, and knows what they are to be told. What it is asked for is on record on return.

    It insists while a store is in trouble; the wait may be cancelled at any moment.
    """

    def lock(self, conversation: str) -> asyncio.Lock:
        """Return what keeps two turns of one conversation apart."""

    async def open(self, turn: TurnRef, task: Task | None, payload: dict[str, Any]) -> Opened:
        """Put the prompt on record and return what is started. Raises BadInput where that cannot be."""

    async def reached(self, turn: TurnRef) -> int:
        """Return the offset in the journal after the last line that is in the transcript."""

    async def append(self, turn: TurnRef, lines: Sequence[JournalLine]) -> None:
        """Keep lines, in order; those that are kept already are left out."""

    async def ask(self, turn: TurnRef, question: AgentEvent, answer: Answer) -> None:
        """Have somebody asked, once, and the answer passed on when it is there."""

    async def asked(self, turn: TurnRef, answered: AgentEvent) -> None:
        """Note that a question is settled, however that came."""

    async def over(self, turn: TurnRef, outcome: Outcome) -> None:
        """Keep how a turn ended whose journal does not say so."""

    async def close(self, turn: TurnRef, state: TurnState, upto: int) -> None:
        """Note that a turn has ended: what it was told counts as heard, its questions as void."""

    async def call_off_below(self, turn: TurnRef, cause: Cause) -> None:
        """Call off what the conversation has spawned."""

    async def payload(self, task: Task) -> dict[str, Any] | None:
        """Return what a task was to run."""

    def result(self, turn: TurnRef, task: Task, end: TurnEnd) -> str | None:
        """Return what the step of a flow comes to that waits for the turn; None where none does."""


class _Calling(NamedTuple):
    cause: Cause
    grace_seconds: float | None


class AgentRuntime:
    """Does turns of agents, each in a session of its own."""

    def __init__(self, sessions: Sessions, clock: Clock, room: Room, *, umask: int) -> None:
        self._sessions = sessions
        self._clock = clock
        self._room = room
        self._umask = umask
        self._starting: dict[str, asyncio.Future[_Calling]] = {}
        self._live: dict[str, Session] = {}
        self._causes: dict[str, Cause] = {}
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # ---- tasks

    async def run(self, task: Task, payload: dict[str, Any], hands: Hands) -> Outcome:
        """Start the turn when its conversation is free, and stay. Raises NotHeld, NeverBegan."""
        now = self._clock.now()
        if task.deadline_at is not None and task.deadline_at <= now:
            return Outcome(status=Status.TIMED_OUT, cause=Cause.DEADLINE, at=now, error="the deadline had passed")
        async with self._turn_of(task) as calling:
            if calling.done():
                return self._never(calling.result())
            return await self._run(task, payload, hands, calling)

    async def _run(
        self, task: Task, payload: dict[str, Any], hands: Hands, calling: asyncio.Future[_Calling]
    ) -> Outcome:
        session_id = task.session_id or self._sessions.new_id()
        turn, opened = turn_of(task, session_id), None
        try:
            if task.session_id is None:
                await hands.attach(session_id)
            session = await self._sessions.take_up(session_id)
            if session is None:
                opened = await self._room.open(turn, task, payload)
                if calling.done():
                    return await self._over(turn, self._never(calling.result()))
                session = await self._start(turn, opened)
        except (BadInput, GatewayTrouble) as trouble:
            refused = self._refused(trouble.message, trouble.code)
            return refused if opened is None else await self._over(turn, refused)
        if session.end is None:
            hands.began({"sessionId": session.id, "pid": session.pid})
        return await self._stay(task, turn, session, hands, calling, opened)

    async def resume(self, task: Task, hands: Hands) -> Outcome:
        """Stay with a turn that is there; read back the end of one that has ended. Raises NeverBegan."""
        found = await reattach(self._sessions, task, hands)
        if isinstance(found, Outcome):
            return await self._over(turn_of(task, task.session_id or ""), found)
        async with self._turn_of(task) as calling:
            return await self._stay(task, turn_of(task, found.id), found, hands, calling, None)

    async def cancel(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        """End the turn, and what its conversation has spawned unless it merely took too long."""
        if cause in (Cause.OPERATOR, Cause.PARENT):
            await self._room.call_off_below(turn_of(task, task.session_id or ""), cause)
        starting = self._starting.get(task.id)
        if starting is not None and not starting.done():
            starting.set_result(_Calling(cause, grace_seconds))
        session = self._live.get(task.id)
        if session is not None:
            await self._call_off(session, cause, grace_seconds)

    async def steer(self, task: Task, steer_id: str, text: str, *, interrupt: bool = False) -> None:
        """Tell a running agent something. Raises Conflict (``not_running``) where it does not run here."""
        session = self._live.get(task.id)
        if session is None or session.end is not None:
            raise Conflict(
                f"task {task.id} does not run here", code="not_running", hint=f"outlast subagents show {task.id}"
            )
        op: dict[str, object] = {"op": "steer", "id": steer_id, "text": text}
        await self._tell(session, {**op, "interrupt": True} if interrupt else op)

    # ---- turns without a task

    async def start_alone(self, turn: TurnRef, payload: dict[str, Any]) -> Session:
        """Start a turn that is no task; `follow_alone` stays with it. Raises BadInput, GatewayTrouble."""
        opened = await self._room.open(turn, None, payload)
        session = await self._start(turn, opened)
        try:
            async with self._line(session):
                await self._give(session, opened.turn)
        except GatewayTrouble:
            await self._kill(session, Cause.OPERATOR)
            raise
        return session

    async def hand_over_alone(self, turn: TurnRef, payload: dict[str, Any]) -> None:
        """Give the runner of such a turn, of an earlier gateway, what it is to do, where it may wait for that."""
        session = await self._sessions.take_up(turn.session_id)
        if session is None or session.end is not None or session.produced:
            return
        try:
            async with self._line(session):
                await self._give(session, (await self._room.open(turn, None, payload)).turn)
        except (BadInput, GatewayTrouble):
            await self._kill(session, Cause.OPERATOR)
            raise

    async def follow_alone(self, turn: TurnRef) -> TurnEnd | None:
        """Stay with a turn that is no task to its end; None when there is no record of it."""
        session = await self._sessions.take_up(turn.session_id)
        if session is None:
            return None
        return await self._follow(turn, session, None, None)

    async def end_alone(self, session_id: str, cause: Cause) -> None:
        """End a turn that is no task, if it is there and runs."""
        with suppress(NotFound):
            session = self._sessions.get(session_id)
            if session.end is None:
                await self._call_off(session, cause, None)

    # ---- starting

    @asynccontextmanager
    async def _turn_of(self, task: Task) -> AsyncIterator[asyncio.Future[_Calling]]:
        """Wait until the conversation of a task is free, or the task is called off, which the future then says."""
        calling: asyncio.Future[_Calling] = asyncio.get_running_loop().create_future()
        self._starting[task.id] = calling
        lock = self._room.lock(conversation_of(task))
        getting = asyncio.ensure_future(lock.acquire())
        try:
            await asyncio.wait((getting, calling), return_when=asyncio.FIRST_COMPLETED)
            yield calling
        finally:
            if not getting.cancel() and not getting.cancelled():
                lock.release()
            self._starting.pop(task.id, None)
            self._live.pop(task.id, None)

    async def _start(self, turn: TurnRef, opened: Opened) -> Session:
        now, limit = self._clock.now(), opened.timeout_seconds
        spec = ExecSpec(
            id=turn.session_id, argv=RUNNER, command=command_of(turn.agent), cwd=opened.cwd, env=opened.env,
            requester="local", created_at=now, stdin="pipe", leftovers="kill", title=opened.title,
            timeout_seconds=None if limit is None else limit + NET_SECONDS, task_id=turn.task_id,
            labels=labels_of(turn, opened.upto),
        )  # fmt: skip
        point("agents:before_start")
        session = await self._sessions.start(spec, umask=self._umask)
        point("agents:after_start")
        return session

    def _never(self, calling: _Calling) -> Outcome:
        end = Exit(cause=calling.cause, at=self._clock.now())
        return Outcome(status=status_of(end), cause=end.cause, at=end.at)

    def _refused(self, message: str, code: str) -> Outcome:
        return Outcome(
            status=Status.FAILED, cause=Cause.SPAWN_ERROR, at=self._clock.now(), error=message, detail={"code": code}
        )

    async def _over(self, turn: TurnRef, outcome: Outcome) -> Outcome:
        """Return the outcome of a turn that has its prompt and no journal to say how it ended, once that is kept."""
        await self._room.over(turn, outcome)
        return outcome

    # ---- staying

    async def _stay(
        self,
        task: Task,
        turn: TurnRef,
        session: Session,
        hands: Hands,
        calling: asyncio.Future[_Calling],
        opened: Opened | None,
    ) -> Outcome:
        self._live[task.id] = session
        if session.end is None and (opened is not None or not session.produced):
            try:
                await self._hand_over(task, turn, session, opened)
            except (BadInput, GatewayTrouble) as trouble:  # a runner that is told nothing would wait for ever
                await self._kill(session, Cause.OPERATOR)
                return await self._over(turn, self._refused(trouble.message, trouble.code))
        if calling.done():
            await self._call_off(session, *calling.result())
        end = await self._follow(turn, session, hands, task.deadline_at)
        return end.outcome(self._room.result(turn, task, end))

    async def _hand_over(self, task: Task, turn: TurnRef, session: Session, opened: Opened | None) -> None:
        """Give the runner its turn. After a restart nobody knows whether it has it: a second one it passes over."""
        async with self._line(session):
            if opened is None:
                payload = await self._room.payload(task)
                if payload is None:
                    return
                opened = await self._room.open(turn, task, payload)
            await self._give(session, opened.turn)
        point("agents:after_turn")

    async def _give(self, session: Session, turn: Turn) -> None:
        """Write the turn to its runner; again where nobody can say whether that was done. Raises GatewayTrouble.

        The caller holds its `_line`.
        """
        for last in (False, False, True):
            try:
                await self._write(session, turn)
                return
            except Conflict:
                return  # it has ended by itself: its journal, or the lack of one, says why
            except GatewayTrouble:
                if last:
                    raise

    async def _follow(self, turn: TurnRef, session: Session, hands: Hands | None, deadline_at: float | None) -> TurnEnd:
        """Keep the journal as it grows until the runner has ended; return how the turn came out."""
        at = await self._room.reached(turn)
        state = TurnState()
        for _ in states_until(state, session.output, at, self._clock.now):
            await asyncio.sleep(0)  # it may be long
        answer = self._answers(session)
        for question in list(state.asked.values()):
            await self._room.ask(turn, question, answer(question))
        journal = Journal(session.output, at, self._clock.now)
        told_at = 0.0
        while True:
            over, produced = session.end is not None, session.produced
            lines = journal.read()
            if lines:
                await self._keep(turn, state, lines, answer)
                now = self._clock.monotonic()
                if hands is not None and now - told_at >= LOOK_SECONDS:
                    told_at = now
                    hands.progress(None, _doing(lines))
            elif over and (session.drained or state.end is not None):
                break
            elif over:
                if not await self._within(self._sessions.until_more(session, produced), LAST_SECONDS):
                    break
            elif state.end is not None:
                await self._leave(session)
            else:
                await self._sessions.until_output(session, produced)
                await self._within(self._sessions.until_end(session), GAP_SECONDS)
        assert session.end is not None
        end = turn_end(
            state, session.end, began_at=session.started_at, called_off=self._causes.pop(session.id, None),
            deadline_at=deadline_at, tail="" if state.end else last_words(session.output), missing=journal.missing(),
        )  # fmt: skip
        point("agents:before_close")
        if state.end is None:
            await self._over(turn, end.outcome())
        await self._room.close(turn, state, events_of(session))
        return end

    async def _keep(
        self, turn: TurnRef, state: TurnState, lines: list[JournalLine], answer: Callable[[AgentEvent], Answer]
    ) -> None:
        point("agents:before_entries")
        await self._room.append(turn, lines)
        point("agents:after_entries")
        for line in lines:
            state.take(line.event)
            if line.event.ev is EventKind.PERMITTED:
                await self._room.asked(turn, line.event)
        for line in lines:
            if line.event.ev is EventKind.PERMISSION and line.event.id in state.asked:
                await self._room.ask(turn, line.event, answer(line.event))

    async def _leave(self, session: Session) -> None:
        """The turn has said its last word: its runner has a moment to go."""
        if not await self._within(self._sessions.until_end(session), LAST_SECONDS):
            await self._kill(session, Cause.OPERATOR)

    async def _within(self, wait: Awaitable[None], seconds: float) -> bool:
        """Wait for so long at most; False when it took longer."""
        waiting: asyncio.Future[None] = asyncio.ensure_future(wait)
        clock = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((waiting, clock), return_when=asyncio.FIRST_COMPLETED)
            return waiting.done()
        finally:
            for job in (waiting, clock):
                job.cancel()
            await asyncio.gather(waiting, clock, return_exceptions=True)

    def _answers(self, session: Session) -> Callable[[AgentEvent], Answer]:
        def of(question: AgentEvent) -> Answer:
            async def answer(option: str | None) -> None:
                with suppress(Conflict):  # the turn is over
                    await self._tell(session, {"op": "permission", "id": question.id, "option": option})

            return answer

        return of

    # ---- telling the runner

    async def _tell(self, session: Session, said: object) -> None:
        """Write one line to a runner's standard input, whole. Raises Conflict where it has ended."""
        async with self._line(session):
            await self._write(session, said)

    def _line(self, session: Session) -> asyncio.Lock:
        """Return what keeps the lines to one runner apart, and its turn before all others."""
        return self._lines.setdefault(session.id, asyncio.Lock())

    async def _write(self, session: Session, said: object) -> None:
        """Write one line, which begins on a line of its own: a gateway may have died in the middle of the last."""
        line = memoryview(b"\n" + msgspec.json.encode(said) + b"\n")
        while line:
            try:
                line = line[await self._sessions.write(session, bytes(line[:PIECE])) :]
            except Conflict as full:
                if full.code != "stdin_full":
                    raise
                await self._clock.sleep(INPUT_PAUSE)

    async def _call_off(self, session: Session, cause: Cause, grace_seconds: float | None) -> None:
        """Ask for the end of a turn, and end its tree where it does not come."""
        if session.end is not None:
            return
        self._causes.setdefault(session.id, cause)
        grace = GRACE_SECONDS if grace_seconds is None else grace_seconds
        if not await self._within(self._end_asked(session), grace):
            await self._kill(session, cause)

    async def _end_asked(self, session: Session) -> None:
        """Ask a runner to end, and wait until it has. A line that is on its way comes first, and may never get in."""
        with suppress(Conflict, GatewayTrouble):
            await self._tell(session, {"op": "cancel"})
        await self._sessions.until_end(session)

    async def _kill(self, session: Session, cause: Cause) -> None:
        with suppress(Conflict):  # it has just ended by itself
            await self._sessions.kill(session, cause=cause, grace=2.0)


def _doing(lines: Sequence[JournalLine]) -> str | None:
    """Return what the agent is at, as its newest use of a tool says."""
    tools = [line.event for line in lines if line.event.ev is EventKind.TOOL and line.event.title]
    return tools[-1].title if tools else None
