"""Custody of live sessions: listening to supervisors, adopting what an earlier gateway left, recovering from losses.

Everything here is driven by what supervisors say, or by a connection that breaks; nothing looks by the clock.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from outlast.core.errors import GatewayTrouble
from outlast.core.session import Cause, Exit
from outlast.process import evidence, settle
from outlast.process.clock import Clock
from outlast.process.keeper import proc
from outlast.process.keeper import record as records
from outlast.process.keeper.wire import Message
from outlast.process.launcher import KeeperStatus, Launcher, find
from outlast.process.link import Link, LinkLost
from outlast.process.session import DamagedRecord, Session

RECENT_MAX = 256
"""Ended sessions kept in memory because somebody is likely to ask again."""
WATCH_SECONDS = 1.0
"""Between two looks at an unsupervised command where the kernel cannot tell us of its end."""
TOLD_AFTER = 0.02
"""Seconds until the telling of an end is noted on disk: after the answers, and for most sessions not needed at all."""
NAME = re.compile(r"[a-z0-9]{1,40}\Z")
_NOBODY_SAW = (Cause.HOST_RESTART, Cause.EVIDENCE_GONE)


class AdoptReport(NamedTuple):
    """What a starting gateway found: sessions still live, ended meanwhile, lost, and how long that took."""

    live: int
    ended: int
    lost: int
    ms: float


class Custody:
    """The live sessions of one home and the connections to their supervisors."""

    def __init__(self, home: str, run: str, clock: Clock, launcher: Launcher) -> None:
        self._home, self._run = home, run
        self._clock = clock
        self._launcher = launcher
        self._boot = proc.boot_id()
        self._launching = asyncio.Lock()
        self._live: dict[str, Session] = {}
        self._recent: OrderedDict[str, Session] = OrderedDict()
        self._starting: dict[str, asyncio.Event] = {}
        self._by_key: dict[str, Session] = {}
        self._listeners: list[Callable[[str, Session], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[str] = set()
        self.adoptees: list[Session] = []
        self.adopted = AdoptReport(0, 0, 0, 0.0)

    # ---- life

    async def open(self, *, hold: bool = False) -> None:
        """Make sure a keeper runs, and adopt every session that an earlier gateway left unsettled.

        With ``hold`` those whose end was not told yet are ``adoptees``: whoever keeps books of them says by `release`
        when each may be settled.
        A keeper that cannot be started now (a full disk) keeps nobody from what is there: the next start tries again.
        """
        for folder in ("sessions", "open"):
            os.makedirs(f"{self._home}/{folder}", mode=0o700, exist_ok=True)
        began = time.perf_counter()
        with suppress(GatewayTrouble):
            await self._ensure_keeper()
        names = sorted(os.listdir(f"{self._home}/open"))
        if hold:
            self._held.update(names)
        kinds = await asyncio.gather(*(self._adopt(name) for name in names))
        ms = (time.perf_counter() - began) * 1000
        self.adopted = AdoptReport(kinds.count("live"), kinds.count("ended"), kinds.count("lost"), round(ms, 1))

    async def close(self) -> None:
        """Let go of all sessions; they run on. A keeper without sessions leaves."""
        for task in list(self._tasks):
            task.cancel()
        for session in self._live.values():
            if session.end is not None:
                self._note_told(session)
            session.wake()
            if session.link is not None:
                session.link.on_lost = _nothing
                session.link.close()
        self._launcher.retire()

    @property
    def keeper(self) -> KeeperStatus:
        """The keeper that serves starts."""
        return find(self._run)

    def on_event(self, callback: Callable[[str, Session], None]) -> None:
        """Be told ``("started" | "ended", session)``; called in the loop, must not block."""
        self._listeners.append(callback)

    def _emit(self, kind: str, session: Session) -> None:
        for callback in self._listeners:
            callback(kind, session)

    async def _ensure_keeper(self) -> None:
        async with self._launching:
            await asyncio.to_thread(self._launcher.ensure)

    # ---- settling

    def hold(self, session_id: str) -> None:
        """Keep a session from being settled until `release`: a gateway that dies before that leaves it to the next."""
        self._held.add(session_id)

    def release(self, session: Session) -> None:
        """Let a held session be settled; the end it has come to meanwhile is on record elsewhere by now."""
        self._held.discard(session.id)
        if session.end is None:
            return
        if session.drained:
            settle.mark_settled(self._home, session.id)
        else:
            self._note_told(session)

    # ---- listening

    def _track(self, session: Session, link: Link) -> None:
        """Hold a live session and listen to its supervisor."""
        session.link = link
        self._live[session.id] = session
        if session.info.start_key and session.end is None:
            self._by_key[session.info.start_key] = session
        link.on_event = lambda message: self._hear(session, message)
        link.on_lost = lambda: self._link_lost(session)
        early, link.early = link.early, []
        for message in early:
            self._hear(session, message)
        if link.lost:
            self._link_lost(session)

    def _hear(self, session: Session, message: Message) -> None:
        session.output.learn(message)
        kind = message.get("ev")
        if kind == "out":
            session.watched = False
        elif kind == "exit":
            self._ended(session, evidence.exit_of({"exit": message}), int(message.get("leftovers", 0)))
        elif kind == "end" and session.end is not None:
            self._drained(session)
        session.wake()

    def _ended(self, session: Session, end: Exit | None, leftovers: int = 0) -> None:
        if session.end is not None and session.end.cause not in _NOBODY_SAW:
            return
        session.end = end
        session.leftovers = leftovers
        key = session.info.start_key
        if self._by_key.get(key) is session:
            del self._by_key[key]
        asyncio.get_running_loop().call_later(TOLD_AFTER, self._note_told, session)
        self._emit("ended", session)

    def _note_told(self, session: Session) -> None:
        """Spare a later gateway to tell this end again, unless the session is settled by now, as most are."""
        if session.id in self._live and session.id not in self._held:
            settle.mark_told(self._home, session.id)

    def _drained(self, session: Session) -> None:
        session.drained = True
        session.leftovers = 0
        self._live.pop(session.id, None)
        self._remember(session)
        if session.link is not None:
            session.link.on_lost = _nothing
            session.link.close()
            session.link = None
        if session.id not in self._held:
            settle.mark_settled(self._home, session.id)

    def _remember(self, session: Session) -> None:
        self._recent[session.id] = session
        while len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    # ---- adoption

    async def _adopt(self, name: str) -> Literal["live", "ended", "lost"]:
        """Settle one session an earlier gateway left, from evidence."""
        folder = f"{self._home}/sessions/{name}"
        record = records.read(folder)
        if record is None or not NAME.match(name):
            settle.mark_settled(self._home, name)
            return "ended"
        told = settle.was_told(self._home, name)
        if told:
            self._held.discard(name)  # whoever keeps books has heard of it
        try:
            session = Session.from_record(name, folder, record)
        except DamagedRecord:
            settle.mark_settled(self._home, name)
            return "lost"
        session.drained = False
        link = None if "end" in record else await settle.connect(self._run, session)
        if link is None:
            record = records.read(folder)  # it may have ended while we knocked
            if record is None:  # its start was given up, because whoever had asked for it was gone
                settle.mark_settled(self._home, name)
                return "ended"
            session.learn(record)
        if name in self._held:
            self.adoptees.append(session)
        on_record = session.end is not None
        if link is not None:
            await self._rejoin(session, link)
        else:
            self._settle_without_link(session)
        if on_record and not told:
            if name not in self._held:
                settle.mark_told(self._home, name)
            self._emit("ended", session)
        if session.end is None:
            return "live"
        return "lost" if session.end.cause in _NOBODY_SAW else "ended"

    async def _rejoin(self, session: Session, link: Link) -> None:
        """Take up a live session again; what happened meanwhile comes with the greeting."""
        early: list[Message] = []
        link.on_event = early.append
        try:
            hello = await link.ask("hello")
        except LinkLost:
            link.early = early
            self._track(session, link)
            return
        session.output.learn(hello)
        if session.started is None:
            session.learn_start(records.read(session.folder) or {})
        link.early = early
        self._track(session, link)
        if hello.get("exit") and session.end is None:
            self._ended(session, evidence.exit_of({"exit": hello["exit"]}), int(hello.get("leftovers", 0)))
        session.leftovers = int(hello.get("leftovers", 0))
        session.wake()

    def _link_lost(self, session: Session) -> None:
        """A supervisor is gone. If it was killed, its zygote is about to put another in its place."""
        if session.link is not None:
            session.link.close()
        session.link = None
        session.watched = False
        self._spawn(self._recover(session))

    async def _recover(self, session: Session) -> None:
        record = records.read(session.folder) or {}
        session.output.learn(evidence.report_of(record))
        if "end" not in record:
            link = await settle.connect(self._run, session)
            if link is not None:
                await self._rejoin(session, link)
                return
            record = records.read(session.folder) or record
        session.learn_start(record)
        end = evidence.exit_of(record)
        if end is not None:
            self._ended(session, end)
            self._drained(session)
        else:
            self._settle_without_link(session)
        session.wake()

    def _settle_without_link(self, session: Session) -> None:
        """No supervisor answers: the record, or a living process, or *lost* with what was looked for."""
        if session.end is None and evidence.alive(session.started):
            session.unsupervised = "its supervisor was killed: later output is not captured"
            self._live[session.id] = session
            if session.info.start_key:
                self._by_key[session.info.start_key] = session
            self._spawn(self._watch_unsupervised(session))
            return
        if session.end is None:
            record = records.read(session.folder) or {}
            end = evidence.exit_of(record)  # its supervisor may only have been slow to answer
            if end is None:
                line = evidence.lost(record, session.started, self._clock.now())
                evidence.write_line(session.folder, "lost", line)
                end = evidence.exit_of({"lost": line})
            self._ended(session, end)
        self._drained(session)

    async def _watch_unsupervised(self, session: Session) -> None:
        line = await settle.end_of_stranger(session)
        if line is None:
            await self._clock.sleep(WATCH_SECONDS)  # a kernel that cannot tell, or a full table of descriptors
            self._settle_without_link(session)
        else:
            evidence.write_line(session.folder, "exit", line)
            self._ended(session, evidence.exit_of({"exit": line}))
            self._drained(session)
        session.wake()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _nothing() -> None:
    """A link we closed ourselves is no news."""
