"""The books of a gateway: its store, the ledger in it, and who works for it. Opened beside everything else.

Commands run without them: a store that is damaged, newer or out of reach costs the tasks, not the sessions. What
outlived its call meanwhile is put on record as soon as the store is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

from outlast.api.context import AgentTurns
from outlast.core.conversation import Wake
from outlast.core.errors import BadInput, Conflict, GatewayTrouble
from outlast.core.ids import task_of_session
from outlast.core.outcome import outcome_of
from outlast.core.redact import MASK
from outlast.core.session import Cause, Status
from outlast.core.task import OUTLIVED, NewTask, NotifyPolicy, Runtime, Task
from outlast.core.text import is_sound, sound
from outlast.delivery.channels.base import Channel
from outlast.flows.engine import Program
from outlast.gateway.flow_engine import Maker
from outlast.gateway.flow_room import FlowRoom
from outlast.gateway.hands import TRY_AGAIN_FIRST, TRY_AGAIN_MAX, insist
from outlast.gateway.rounds import Rounds, settle
from outlast.gateway.tellers import Tellers
from outlast.gateway.telling import Telling
from outlast.gateway.worker import Record, Worker
from outlast.ledger.tasks import Ledger
from outlast.process.keeper.crash import point
from outlast.process.sessions import Session, SessionInfo, Sessions
from outlast.runtimes import base
from outlast.runtimes.cli import summary_of
from outlast.runtimes.turn_marks import is_alone
from outlast.scheduler.heartbeat import Heartbeats
from outlast.scheduler.service import Compose
from outlast.scheduler.steps import Steps
from outlast.store.base import Change, Created, Store

log = logging.getLogger("outlast.books")

RECORD_SECONDS = 30.0
"""How long the end of a session that somebody has seen may take to be on record."""

OUTLIVED_QUEUE = "outlived"
"""The queue of commands that merely outlived their call: no limit is ever meant for them."""


class Books:
    """Opens the store, settles what the last gateway held, records what outlives its call."""

    def __init__(
        self,
        ledger: Ledger,
        sessions: Sessions,
        runtimes: Mapping[Runtime, base.Runtime],
        *,
        slots: int,
    ) -> None:
        self._ledger = ledger
        self._sessions = sessions
        self.worker = Worker(ledger, runtimes, slots=slots)
        self.rounds = Rounds(ledger, self.worker)
        self.worker.on_requeued = self.rounds.look
        self._tellers: Tellers | None = None
        self._flows: FlowRoom | None = None
        self._agents: AgentTurns | None = None
        self._heartbeats: Heartbeats | None = None
        self._steps = Steps(self._stepped)
        self._wake_waiters: set[asyncio.Future[None]] = set()
        self.worker.settle = self.settle
        self._trouble: GatewayTrouble | None = GatewayTrouble(
            "the ledger is not open yet", code="store_closed", hint="try again"
        )
        self._opened = False
        self._unrecorded: dict[str, Session] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    # ---- life

    async def open(self) -> None:
        """Open the store now, or keep trying in the background when it is in trouble that may pass."""
        if not await self._open():
            self._spawn(self._open_later())

    async def _open(self) -> bool:
        try:
            if not self._opened:
                await self._ledger.store.open()
                self._opened = True
                self._ledger.news.follow(self._ledger.store)
            await self._take_over()
        except GatewayTrouble as trouble:
            log.error("the ledger cannot be opened: %s", trouble.message)  # noqa: TRY400 — the trouble is the message
            self._trouble = trouble
            self.rounds.spare()
            return False
        except Exception as error:  # a fault of ours costs the tasks, not the sessions
            log.exception("the ledger cannot be opened")
            self._trouble = GatewayTrouble(f"the ledger cannot be opened: {error}", code="store_error")
            return False
        self._trouble = None
        for session in list(self._unrecorded.values()):
            self._spawn(self._record(session))
        if self._agents is not None:
            await self._agents.open()
        self.worker.start()
        self.rounds.start()
        self._ledger.store.on_change(self._changed)
        if self._tellers is not None:
            self._tellers.start()
        if self._heartbeats is not None:
            self._heartbeats.start()
        if self._flows is not None:
            await self._flows.start()
        self._steps.start()
        return True

    async def _open_later(self) -> None:
        pause = TRY_AGAIN_FIRST
        while self._trouble is not None and self._trouble.retryable:
            await self._ledger.clock.sleep(pause)
            pause = min(pause * 2, TRY_AGAIN_MAX)
            await self._open()

    async def close(self) -> None:
        """Let go: what runs goes on and is found again."""
        for job in list(self._jobs):
            job.cancel()
        self._steps.stop()
        if self._flows is not None:
            await self._flows.stop()
        if self._heartbeats is not None:
            await self._heartbeats.stop()
        if self._tellers is not None:
            await self._tellers.stop()
        if self._agents is not None:
            await self._agents.close()
        await self.rounds.stop()
        await self.worker.stop()
        await self._ledger.store.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    # ---- what the API asks

    @property
    def ledger(self) -> Ledger:
        """The ledger. Raises GatewayTrouble while its store is not open."""
        if self._trouble is not None:
            raise self._trouble.with_traceback(None)  # raised again and again: it would grow by every one who asks
        return self._ledger

    @property
    def store(self) -> Store:
        """The store. Raises GatewayTrouble while it is not open."""
        return self.ledger.store

    def tell_by(self, telling: Telling, compose: Compose) -> None:
        """Say how notices are sent, and what the instants of schedules bring. Before `open`."""
        self._tellers = Tellers(self._ledger, telling, compose, self._told_by_heartbeat)

    async def _told_by_heartbeat(self, conversation: str) -> bool:
        return self._heartbeats is not None and await self._heartbeats.takes(conversation)

    def flow_by(self, maker: Maker, programs: Mapping[str, Program], umask: int) -> None:
        """Say what flows are made with, and which programs run here. Before `open`."""
        self._flows = FlowRoom(
            self._ledger.store, self._sessions, maker, programs, node=self._ledger.node, umask=umask
        )  # fmt: skip

    def beat_by(self, make: Callable[[AgentTurns], Heartbeats]) -> None:
        """Say who has agents look around by themselves. After `agents_by`, before `open`."""
        assert self._agents is not None
        self._heartbeats = make(self._agents)

    def _stepped(self) -> None:
        """The clock was set, or the machine has slept: what is due is due now, not when the seconds have been awake."""
        self.rounds.look()
        if self._tellers is not None:
            self._tellers.nudge()
        if self._heartbeats is not None:
            self._heartbeats.nudge()
        if self._flows is not None:
            self._flows.engine.nudge()

    @property
    def heartbeats(self) -> Heartbeats:
        """Who has agents look around by themselves. Raises BadInput where nobody does."""
        if self._heartbeats is None:
            raise BadInput("no agent runs here", code="not_available")
        self.ledger  # noqa: B018 — raises while the store is not open
        return self._heartbeats

    def agents_by(self, turns: AgentTurns) -> None:
        """Say where turns of agents begin. Before `open`."""
        self._agents = turns

    @property
    def agents(self) -> AgentTurns:
        """Where turns of agents begin. Raises BadInput where none do."""
        if self._agents is None:
            raise BadInput("no agent runs here", code="not_available")
        self.ledger  # noqa: B018 — raises while the store is not open
        return self._agents

    async def submit(self, new: NewTask, record: Record | None = None) -> Created:
        """Put work on record, by ``record`` where that is given, and begin it when nothing stands before it."""
        self.ledger  # noqa: B018 — raises while the store is not open
        created = await self.worker.submit(new, record)
        if new.deadline_at is not None or new.not_before_at is not None:
            self.rounds.look()
        return created

    @property
    def node(self) -> str:
        """The name of this gateway among those that share the store."""
        return self._ledger.node

    def holds(self, task_id: str) -> bool:
        """True while a task is in the hands of this gateway."""
        return self.worker.holds(task_id)

    async def settle(self) -> None:
        """Take up tasks of this node that nobody holds."""
        await settle(self._ledger, self.worker)

    async def call_off(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        """End work this gateway holds; others see the wish on record."""
        await self.worker.call_off(task, cause, grace_seconds)

    def look(self) -> None:
        """Something may be due earlier than it was."""
        self.rounds.look()

    def open_wake(self, wake: Wake) -> Channel:
        """Return the channel of a wake. Raises BadInput for one that is no use."""
        if self._tellers is None:
            raise BadInput("nothing is told here", code="not_available")
        return self._tellers.telling.open_wake(wake)

    def holding(self, task_ids: Iterable[str], target: str) -> AbstractContextManager[None]:
        """Keep notices back while somebody waits who will see for himself."""
        return nullcontext() if self._tellers is None else self._tellers.outbox.holding(task_ids, target)

    def saw_end(self, session: Session, target: str) -> None:
        """Note that a requester was given the end of a session: he is not told the end of its task again."""
        task_id = session.info.task_id
        if task_id is not None and self._tellers is not None and self._trouble is None:
            held = self.holding([task_id], target)
            held.__enter__()  # at once: its notice may be on its way before the loop comes round to what is spawned
            self._spawn(self._seen(task_id, session.id, target, held))

    async def _seen(self, task_id: str, session_id: str, target: str, held: AbstractContextManager[None]) -> None:
        with ExitStack() as stack:
            stack.push(held)
            deadline = self._ledger.clock.monotonic() + RECORD_SECONDS
            while (left := deadline - self._ledger.clock.monotonic()) > 0:
                moved = self._ledger.news.waiting_for([task_id])
                try:
                    task = await self._ledger.store.get_task(task_id)
                    if task is None or task.session_id != session_id:
                        return  # that was one try: how the task ends, nobody has seen
                    if task.status.final:
                        await self._ledger.store.settle_seen([task_id], target, self._ledger.clock.now(), "poll")
                        return
                    await asyncio.wait([moved], timeout=left)
                except GatewayTrouble as trouble:
                    log.warning("the end of task %s may be told to who has seen it: %s", task_id, trouble.message)
                    return
                finally:
                    moved.cancel()

    def next_wake(self) -> asyncio.Future[None]:
        """Return a future that is done when a conversation may have something new to hear."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake_waiters.add(waiter)
        waiter.add_done_callback(self._wake_waiters.discard)
        return waiter

    def _changed(self, change: Change) -> None:
        if change.wakes or change.foreign:
            for waiter in tuple(self._wake_waiters):
                if not waiter.done():
                    waiter.set_result(None)

    # ---- sessions that outlive their call

    def outlived(self, session: Session) -> None:
        """Put a session on record whose call has returned. Returns at once; what a crash prevents is mended later."""
        if session.info.task_id is not None or session.id in self._unrecorded:
            return
        self._sessions.hold(session.id)
        self._unrecorded[session.id] = session
        if self._trouble is None:
            self._spawn(self._record(session))

    async def record_of(self, session: Session) -> Task | None:
        """Return the record of a session; of one that is just being put on record as soon as it is there."""
        if session.id in self._unrecorded:
            return await self._recorded(session)  # whoever comes second finds the record of the first
        return await self.store.get_task(session.info.task_id or task_of_session(session.id))

    async def _record(self, session: Session) -> None:
        waits = f"session {session.id} waits to be recorded"
        task = await insist(partial(self._recorded, session), self._ledger.clock, waits)
        self._unrecorded.pop(session.id, None)
        self._sessions.release(session)
        if task is None or task.status is not Status.RUNNING or self.worker.holds(task.id):
            return
        if session.end is None:
            self.worker.resume(task)
        else:  # what is known is not looked up again: somebody may have removed the session meanwhile
            self.worker.conclude(task, outcome_of(session.end, summary=summary_of(session)))

    async def _recorded(self, session: Session) -> Task | None:
        point("books:before_record")
        try:
            task = (await self._ledger.record_running(task_for(session))).task
            point("books:after_record")
            return task
        except Conflict:  # an earlier gateway came as far as this
            return await self._ledger.store.get_task(task_of_session(session.id))

    async def _take_over(self) -> None:
        """Settle what the last gateway held, then see to what it had no time to record. May be done again."""
        count = await settle(self._ledger, self.worker)
        adoptees = self._sessions.adoptees
        while adoptees:
            session = adoptees[0]
            if is_alone(session.info):
                self._sessions.release(session)
            elif session.info.task_id is None:
                self.outlived(session)
            else:
                await self._rejoin(session, session.info.task_id)
            adoptees.pop(0)
        if count:
            log.info("took up %d tasks", count)

    async def _rejoin(self, session: Session, task_id: str) -> None:
        """A session that goes on though its task was given up: its true end will replace *lost*."""
        task = await self._ledger.store.get_task(task_id)
        lost = task is not None and task.status is Status.LOST and session.status is not Status.LOST
        if task is not None and lost and not self.worker.holds(task.id):
            self.worker.resume(task)
        self._sessions.release(session)


def task_for(session: Session) -> NewTask:
    """Return the record of a session that outlived its call."""
    info = session.info
    return NewTask(
        id=task_of_session(info.id),
        runtime=Runtime.CLI,
        kind="exec",
        source=OUTLIVED,
        requester=info.requester,
        created_at=session.started_at or info.created_at,
        ask=sound(asked_of(info)),
        label=sound(info.labels[0]) if info.labels else None,
        title=sound(info.title),
        notify=NotifyPolicy.SILENT,
        queue=OUTLIVED_QUEUE,
        session_id=info.id,
    )


def asked_of(info: SessionInfo) -> dict[str, object]:
    """Return what was asked, as far as the record of a session tells; ``kept`` is False where that is not all."""
    ask: dict[str, object] = {"workdir": info.cwd, "command": info.command}
    if info.argv[-2:] != ("-c", info.command):
        del ask["command"]
        ask["argv"] = list(info.argv)
    if info.pty:
        ask |= {"pty": True, "cols": info.cols, "rows": info.rows}
    limits = {"timeout_seconds": info.timeout_seconds, "idle_timeout_seconds": info.idle_timeout_seconds}
    ask |= {name: value for name, value in limits.items() if value is not None}
    if info.labels:
        ask["labels"] = list(info.labels)
    hidden = MASK in info.command or info.stdin_text is not None or bool(info.env_names)
    if hidden or not is_sound(info.command) or not is_sound(info.cwd):
        ask["kept"] = False
    return ask
