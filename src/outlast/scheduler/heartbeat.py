"""Heartbeats: agents look around by themselves, by one timer, and when news has gathered for them.

Where each stands is on record: of several gateways on one store one takes a beat, and the one that starts after a crash
reads back how a beat under way came out. A beat is no task; its line of history says why it was and what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from outlast.core.agent import AgentSpec, Beat, BeatState, main_conversation
from outlast.core.agent_end import TurnEnd
from outlast.core.conversation import names_channel
from outlast.core.errors import GatewayTrouble, OutlastError
from outlast.core.heartbeat import WINDOW_FIRST, Decision, Run, Skip, Wait, decide, first_due, following, why_stopped
from outlast.core.heartbeat_answer import SAME_SECONDS, hash_of, message_of, notice_for, told_text
from outlast.core.notice_text import one_line
from outlast.core.session import Status
from outlast.core.task import AGENTS, Notice, TaskFilter
from outlast.delivery.loop import Loop, insist
from outlast.ledger.news import News
from outlast.process.clock import Clock
from outlast.process.keeper.crash import point
from outlast.scheduler.heartbeat_leases import BeatLeases
from outlast.scheduler.heartbeat_look import Checklist, local_of, look, read_checklist, spec_of, turns_in, waiting
from outlast.store.base import Change, Store

log = logging.getLogger("outlast.heartbeat")

TURN_MAX = 1800.0
"""Seconds a beat may take at most; less where its agent's own limit is shorter."""
FREE_SECONDS = 60.0
"""How often it is looked whether a busy conversation is free, beside being told."""
REASON_MAX = 500
TURNS_LOOKED_AT = 50
"""Newest tasks of a conversation among which its last turn is looked for: who asked for it hears of beats."""


class BeatTurns(Protocol):
    """Who does the turns. See `outlast.api.context.AgentTurns`."""

    async def begin_beat(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        """Start a turn that is no task."""

    async def resume_beat(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        """Go on with one of an earlier gateway, whose runner may still wait for what it is to do."""

    async def end_of_beat(self, agent: str, session_id: str) -> TurnEnd | None:
        """Stay with it to its end; None when there is no record of it."""

    def lock(self, conversation: str) -> asyncio.Lock:
        """Return what keeps two turns of one conversation apart."""


class Begin(Protocol):
    """How a turn is begun, or gone on with."""

    async def __call__(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        """Return when it is under way."""


class Heartbeats:
    """Looks when a beat is due, and sees to it. ``shared``: other gateways may do so, too, from the same store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        agents: Mapping[str, AgentSpec],
        turns: BeatTurns,
        *,
        home: str,
        new_session_id: Callable[[], str],
        news: News,
        node: str,
        shared: bool = False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._agents = agents
        self._turns = turns
        self._home = home
        self._new_session_id = new_session_id
        self._news = news
        self._begun = f"begun on node {node}"
        self._leases = BeatLeases(store, self._begun, shared=shared)
        self._loop = Loop("heartbeat", self._round, clock)
        self._taking = asyncio.Lock()
        self._resumed = False
        self._held_until: dict[str, float] = {}
        self._busy_told: dict[str, float] = {}
        self._watched: set[str] = set()
        self._mine: dict[int, asyncio.Event] = {}

    def start(self) -> None:
        """Begin: what passed while no gateway ran is one beat."""
        self._store.on_change(self._changed)
        self._loop.start()

    async def stop(self) -> None:
        """End; a beat under way goes on, and the next gateway reads its end."""
        await self._loop.stop()

    def _changed(self, change: Change) -> None:
        if change.wakes or change.foreign:
            self._loop.nudge()

    def nudge(self) -> None:
        """Look again: agents have been added, or changed."""
        self._loop.nudge()

    # ---- the rounds

    async def _round(self) -> float | None:
        moments = [await self._see_to_open()]
        states = {state.agent: state for state in await self._store.beat_states()}
        for agent in self._agents.values():
            if agent.heartbeat is not None:
                moments.append(await self._guarded(agent, states.get(agent.name)))
        return min((moment for moment in moments if moment is not None), default=None)

    async def _guarded(self, agent: AgentSpec, state: BeatState | None) -> float | None:
        """See to one agent; one that cannot be seen to stops no other."""
        try:
            async with self._taking:
                return await self._see_to(agent, state)
        except GatewayTrouble:
            raise
        except OutlastError as wrong:
            log.warning("no heartbeat of agent %s: %s", agent.name, wrong.message)
        return None

    async def _see_to(self, agent: AgentSpec, state: BeatState | None) -> float | None:
        spec, now = spec_of(agent), self._clock.now()
        if spec.every_seconds <= 0:
            return None
        state = await self._straight(agent, state, now)
        if state is None or why_stopped(spec, state) is not None:
            return None
        held_until = self._held_until.get(agent.name, 0.0)
        if now < held_until <= now + WINDOW_FIRST:
            return held_until
        events = await waiting(self._store, agent.name)
        due_at = first_due(spec, state, now, events)
        if due_at is None or due_at > now:
            return self._hold(agent.name, due_at)
        seen, checklist = await look(self._store, agent, self._home, now, events=events)
        return await self._act(agent, state, decide(spec, state, now, local_of(spec), seen), checklist)

    def _hold(self, name: str, until: float | None) -> float | None:
        """Note that news brings no beat any earlier: what gathers is not looked at again with each that comes."""
        if until is not None:
            self._held_until[name] = min(until, self._clock.now() + WINDOW_FIRST)
        return until

    async def _straight(self, agent: AgentSpec, state: BeatState | None, now: float) -> BeatState | None:
        """Begin a heartbeat that is new, and bring one forward that is due later than its table says by now.

        None where somebody else was first: that is a change, which brings the next round.
        """
        spec = spec_of(agent)
        if state is None:
            state = replace(_new(agent.name), next_at=following(spec, now, local_of(spec)))
            return state if await self._store.set_beat(state, None) else None
        if state.paused_at is not None or (state.next_at is not None and state.next_at <= now + spec.every_seconds):
            return state
        next_at = following(spec, now, local_of(spec))
        if state.next_at is not None and next_at is not None and state.next_at <= next_at:
            return state
        moved = replace(state, next_at=next_at)
        return moved if await self._store.set_beat(moved, state.next_at) else None

    async def _act(self, agent: AgentSpec, state: BeatState, decision: Decision, checklist: Checklist) -> float | None:
        match decision:
            case Run(why):
                beat = await self._take(agent, state, why)
                if beat is None:
                    return self._clock.now()  # somebody was first: with the beat, or with a turn of the conversation
                self._begin(agent, beat, checklist)
                return None  # its own commit brings the next round
            case Skip(reason, None):
                await self._told_busy(agent.name, state, reason)
                self._watch(agent.name)
                return None
            case Skip(reason, next_at):
                moved = replace(state, next_at=_other(next_at, state.next_at))
                await self._store.take_beat(moved, state.next_at, self._line(agent.name, "interval", reason))
                return moved.next_at
            case Wait(_, None):
                self._watch(agent.name)
                return None
            case Wait(_, until):
                return self._hold(agent.name, until)

    async def _told_busy(self, name: str, state: BeatState, reason: str) -> None:
        """Put it on record once that a beat has to wait for its conversation."""
        due_at = state.next_at or 0.0
        if self._busy_told.get(name) != due_at:
            self._busy_told[name] = due_at
            await self._store.add_beat(self._line(name, "interval", f"{reason}; again when it is free"))

    def _line(self, name: str, why: str, reason: str) -> Beat:
        now = self._clock.now()
        return Beat(0, name, now, why, "skipped", one_line(reason, REASON_MAX), None, now, None)

    def _watch(self, name: str) -> None:
        """Look again when the conversation is free."""
        if name not in self._watched:
            self._watched.add(name)
            self._loop.beside(self._until_free(name))

    async def _until_free(self, name: str) -> None:
        try:
            turns: list[str] = []
            while True:
                moved = self._news.waiting_for(turns)
                present = await turns_in(self._store, name)
                if not present:
                    moved.cancel()
                    return await self._until_beats_end(name)
                if present == turns:
                    await self._first(moved)
                moved.cancel()
                turns = present
        finally:
            self._watched.discard(name)

    async def _until_beats_end(self, name: str) -> None:
        for beat in await self._store.open_beats():
            if beat.agent == name and beat.id in self._mine:
                await self._mine[beat.id].wait()
            elif beat.agent == name:  # another gateway's: its end is told, and a round sees to it should that have died
                await self._clock.sleep(FREE_SECONDS)

    async def _first(self, moved: asyncio.Future[None]) -> None:
        clock = asyncio.ensure_future(self._clock.sleep(FREE_SECONDS))
        try:
            await asyncio.wait((moved, clock), return_when=asyncio.FIRST_COMPLETED)
        finally:
            clock.cancel()

    # ---- a beat

    async def _take(self, agent: AgentSpec, state: BeatState, why: str) -> Beat | None:
        """Put a beat on record before it begins; None where somebody was first."""
        spec, now = spec_of(agent), self._clock.now()
        next_at = None if why_stopped(spec, state) else following(spec, now, local_of(spec))
        moved = replace(state, last_at=now, next_at=_other(next_at, state.next_at))
        until = self._leases.until(now)
        beat = Beat(0, agent.name, now, why, "ran", self._begun, self._new_session_id(), None, None, until)
        point("heartbeat:before_take")
        beat_id = await self._store.take_beat(moved, state.next_at, beat)
        point("heartbeat:after_take")
        return None if beat_id is None else replace(beat, id=beat_id)

    def _begin(self, agent: AgentSpec, beat: Beat, checklist: Checklist) -> None:
        self._mine[beat.id] = asyncio.Event()
        self._loop.beside(self._beat(agent, beat, checklist))

    async def _beat(self, agent: AgentSpec, beat: Beat, checklist: Checklist) -> None:
        assert beat.session_id is not None
        async with self._turns.lock(main_conversation(agent.name)):
            end = await self._guarded_turn(self._turns.begin_beat, agent, beat, checklist)
        await self._settle(beat, end)

    async def _guarded_turn(
        self, begin: Begin, agent: AgentSpec, beat: Beat, checklist: Checklist
    ) -> TurnEnd | str | None:
        """Have a turn and return how it ended; a text says why it could not be had."""
        assert beat.session_id is not None
        spec = spec_of(agent)
        limit = TURN_MAX if agent.timeout_seconds is None else min(agent.timeout_seconds, TURN_MAX)
        try:
            shown = local_of(spec)(beat.at).strftime("%Y-%m-%d %H:%M %z")
            message = message_of(beat.why, shown, spec.file, checklist.text)
            await begin(agent.name, message, beat.session_id, timeout_seconds=limit)
            point("heartbeat:begun")
            return await self._turns.end_of_beat(agent.name, beat.session_id)
        except OutlastError as wrong:
            return wrong.message
        except Exception as fault:
            log.exception("beat %d of agent %s", beat.id, agent.name)
            return f"{type(fault).__name__}: {fault}"

    async def _see_to_open(self) -> float | None:
        """Stay with the beats that were under way when the last gateway ended; return when to look again.

        On a shared store also with those whose gateway is not heard of any more, and others are to hear of ours.
        """
        if self._resumed and not self._leases.shared:
            return None
        moments, now = [], self._clock.now()
        for beat in await self._store.open_beats():
            if self._leases.held_elsewhere(beat, now) and beat.id not in self._mine:
                moments.append(beat.lease_until)
                continue
            if beat.id not in self._mine:
                self._mine[beat.id] = asyncio.Event()
                self._loop.beside(self._back(beat))
            moments.append(await self._leases.renewed(beat, now))
        self._resumed = True
        return min((moment for moment in moments if moment is not None), default=None)

    async def _back(self, beat: Beat) -> None:
        async with self._turns.lock(main_conversation(beat.agent)):
            end = await self._taken_up(beat)
        await self._settle(beat, end)

    async def _taken_up(self, beat: Beat) -> TurnEnd | str | None:
        agent = self._agents.get(beat.agent)
        if agent is not None:
            checklist = read_checklist(agent, self._home)
            return await self._guarded_turn(self._turns.resume_beat, agent, beat, checklist)
        return await self._turns.end_of_beat(beat.agent, beat.session_id or "")

    async def _settle(self, beat: Beat, end: TurnEnd | str | None) -> None:
        """Put it on record what became of a beat, and pass on what somebody is to hear."""
        outcome, reason, text, notice = await self._judged(beat, end)
        point("heartbeat:before_settle")
        now = self._clock.now()
        reason = one_line(reason, REASON_MAX)
        await insist(lambda: self._store.end_beat(beat.id, outcome, reason, text, now, notice), self._clock)
        point("heartbeat:after_settle")
        if notice is not None and text is not None:
            await self._note_told(beat.agent, text, now)
        ended = self._mine.pop(beat.id, None)
        if ended is not None:
            ended.set()

    async def _judged(self, beat: Beat, end: TurnEnd | str | None) -> tuple[str, str, str | None, Notice | None]:
        if end is None and self._leases.elsewhere(beat):
            return "failed", f"{beat.reason}, which is not heard of any more", None, None
        if end is None:
            return "failed", f"nothing is on record of its session {beat.session_id}: it never began", None, None
        if isinstance(end, str):
            return "failed", end, None, None
        if end.status is not Status.SUCCEEDED:
            return "failed", end.error or f"{end.status}: {end.cause}", end.text or None, None
        agent = self._agents.get(beat.agent)
        text = told_text(end.text, 0 if agent is None else spec_of(agent).ack_max)
        if text is None:
            return "silent", "nobody has to hear of anything", end.text or None, None
        if await self._store.beat_told(beat.agent, text, self._clock.now() - SAME_SECONDS):
            return "silent", "the same was told within the last 24 hours", text, None
        target = await self._listener(beat.agent)
        notice = notice_for(beat, target, text, main_conversation(beat.agent))
        return "told", f"told {target.partition(':')[0] if names_channel(target) else target}", text, notice

    async def _listener(self, name: str) -> str:
        """Return who hears of beats: whoever asked for the last turn of the conversation, else the operator."""
        own = main_conversation(name)
        page = await self._store.list_tasks(TaskFilter(conversation=own), TURNS_LOOKED_AT)
        for task in page.tasks:
            if task.runtime in AGENTS and (task.channel or task.requester) != own:
                return task.channel or task.requester
        return "local"

    async def _note_told(self, name: str, text: str, now: float) -> None:
        """Note the newest text that was told; no harm is done where that is not possible just now."""
        with suppress(GatewayTrouble):
            for state in await self._store.beat_states():
                if state.agent == name:
                    noted = replace(state, last_text_hash=hash_of(text), last_text_at=now)
                    await self._store.set_beat(noted, state.next_at)

    # ---- what is asked of them

    async def takes(self, conversation: str) -> bool:
        """True where a heartbeat sees to what a conversation has to hear, so that no wake has to."""
        for agent in self._agents.values():
            if agent.heartbeat is not None and main_conversation(agent.name) == conversation:
                try:
                    local_of(agent.heartbeat)
                except OutlastError:
                    return False
                states = {state.agent: state for state in await self._store.beat_states()}
                return why_stopped(agent.heartbeat, states.get(agent.name) or _new(agent.name)) is None
        return False

    async def run(self, agent: AgentSpec, by: str) -> Beat:
        """Have an agent look around now; return the beat as it stands, which says why there is none if so.

        Raises BadInput (a bad zone), GatewayTrouble.
        """
        spec = spec_of(agent)
        async with self._taking:
            now = self._clock.now()
            states = {state.agent: state for state in await self._store.beat_states()}
            state = states.get(agent.name) or _new(agent.name)
            seen, checklist = await look(self._store, agent, self._home, now, asked=by)
            decision = decide(spec, state, now, local_of(spec), seen)
            if isinstance(decision, Run):
                beat = await self._take(agent, state, decision.why)
                if beat is not None:
                    self._begin(agent, beat, checklist)
                    return beat
            reason = "somebody was first" if isinstance(decision, Run) else decision.reason
            line = self._line(agent.name, f"asked by {by}", reason)
            return replace(line, id=await self._store.add_beat(line))

    async def ended(self, beat_id: int) -> None:
        """Wait for the end of a beat of this gateway; returns at once for any other."""
        ending = self._mine.get(beat_id)
        if ending is not None:
            await ending.wait()

    async def pause(self, agent: AgentSpec) -> BeatState:
        """Have no beats until `resume`; one under way goes on. Raises GatewayTrouble."""
        return await self._set(agent, lambda state, now: replace(state, next_at=None, paused_at=state.paused_at or now))

    async def resume(self, agent: AgentSpec) -> BeatState:
        """Have beats again, the next one when it would be due, at once if that has passed. Raises BadInput."""
        spec = spec_of(agent)

        def resumed(state: BeatState, now: float) -> BeatState:
            if state.paused_at is None:
                return state
            since = now - spec.every_seconds if state.last_at is None else min(state.last_at, now)
            due_at = following(spec, max(since, now - spec.every_seconds), local_of(spec))
            return replace(state, paused_at=None, next_at=due_at)

        return await self._set(agent, resumed)

    async def _set(self, agent: AgentSpec, change: Callable[[BeatState, float], BeatState]) -> BeatState:
        async with self._taking:
            self._held_until.pop(agent.name, None)
            while True:
                found = {state.agent: state for state in await self._store.beat_states()}.get(agent.name)
                before = found or _new(agent.name)
                after = change(before, self._clock.now())
                if after == found or await self._store.set_beat(after, before.next_at):
                    return after


def _new(agent: str) -> BeatState:
    """Return where a heartbeat stands of which nothing is on record."""
    return BeatState(agent, None, None, None, None, None)


def _other(next_at: float | None, before: float | None) -> float | None:
    """Return a moment that differs from the one before: whoever saw that one must find that somebody was first."""
    return next_at if next_at is None or next_at != before else next_at + 0.001
