"""Where turns of agents meet the record: their prompts, their transcripts, what they ask leave for.

The runtime that does a turn writes nothing; this does, and insists while the store is in trouble.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec

from outlast.api.agent_work import agent_named, other_agent
from outlast.core.agent import AgentConversation, AgentEvent, AgentSpec, EntryKind, NewEntry, Turn, own_folder
from outlast.core.agent_end import TurnEnd, unsaid
from outlast.core.agent_journal import JournalLine, TurnRef, TurnState, entries_of, usage_facts
from outlast.core.agent_prompt import prompt_of
from outlast.core.conversation import EVENTS_MAX, SystemEvent
from outlast.core.environment import child_environment
from outlast.core.errors import BadInput
from outlast.core.outcome import Outcome
from outlast.core.redact import redact
from outlast.core.session import Cause
from outlast.core.task import AGENTS, SPAWN, Task
from outlast.delivery.wake import text_of
from outlast.gateway.agent_questions import Questions
from outlast.gateway.flow_engine import Maker
from outlast.gateway.hands import insist
from outlast.ledger.tasks import Ledger
from outlast.process.keeper.crash import point
from outlast.runtimes.agent import Answer, Opened

log = logging.getLogger("outlast.agents")

ENTRIES_MAX = 500
"""Entries that are kept in one act."""
LOOK_BACK = 50
"""Newest entries of a conversation that are looked through for those of the present turn."""

T = TypeVar("T")


class AgentRoom:
    """What the runtime of agents works in. ``start`` and ``stop`` it once."""

    def __init__(self, ledger: Ledger, maker: Maker) -> None:
        self._ledger = ledger
        self._maker = maker
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.questions = Questions(ledger)
        self.call_off: Callable[[Task, Cause], Awaitable[None]] = _nobody
        """Calls off a live task; set by whoever holds the worker."""

    def start(self) -> None:
        """Begin to pass on answers."""
        self.questions.start()

    async def stop(self) -> None:
        """End."""
        await self.questions.stop()

    async def _insist(self, act: Callable[[], Awaitable[T]]) -> T:
        return await insist(act, self._ledger.clock, "what an agent says waits to be kept")

    # ---- before a turn

    def lock(self, conversation: str) -> asyncio.Lock:
        """Return what keeps two turns of one conversation apart."""
        found = self._locks.get(conversation)
        if found is None:
            found = self._locks[conversation] = asyncio.Lock()
        return found

    async def open(self, turn: TurnRef, task: Task | None, payload: dict[str, Any]) -> Opened:
        """Put the prompt on record and return what is started. Raises BadInput where that cannot be."""
        agent = agent_named(self._maker, turn.agent)
        workdir = self._workdir(agent, payload)
        held = await self._held(turn, workdir)
        key = turn.session_id if task is None else f"{task.id}:{task.attempt}"
        events = await self._events(turn, f"{key}:prompt")
        told = text_of(events).text if events else ""
        message = str(payload["message"])
        await self._prompted(turn, key, events, told, message)
        point("agents:after_prompt")
        limit = self._limit(agent, task, payload)
        config = self._maker.config
        return Opened(
            turn=Turn(
                agent=msgspec.structs.replace(agent, timeout_seconds=limit),
                conversation=turn.conversation,
                prompt=prompt_of(message, told),
                workdir=workdir,
                env=dict(payload.get("env") or {}),
                task_id=turn.task_id,
                agent_session=held.agent_session,
                socket=config.paths.socket,
            ),
            env=self._environment(turn, payload),
            cwd=config.paths.home,
            title=redact(task.title if task is not None and task.title else turn.agent),
            upto=events[-1].id if events else 0,
            timeout_seconds=limit,
        )

    def _workdir(self, agent: AgentSpec, payload: dict[str, Any]) -> str:
        """Return where the agent works: as the turn says, or its table; else a folder of its own in the home.

        Raises BadInput (``bad_workdir``) where that cannot be made.
        """
        named = payload.get("workdir") or agent.workdir
        if named:
            return os.path.expanduser(str(named))
        own = own_folder(self._maker.config.paths.home, agent.name)
        try:
            os.makedirs(own, mode=0o700, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"cannot make the directory {own} it would work in: {error.strerror}", code="bad_workdir",
                hint=f"set workdir of [agents.{agent.name}]",
            ) from None  # fmt: skip
        return own

    async def _held(self, turn: TurnRef, workdir: str) -> AgentConversation:
        now = self._ledger.clock.now()
        fresh = AgentConversation(turn.conversation, turn.agent, now, now, workdir)
        held = await self._insist(partial(self._ledger.store.hold_conversation, fresh))
        if held.agent != turn.agent:
            raise other_agent(held)
        return held

    async def _events(self, turn: TurnRef, prompt_key: str) -> list[SystemEvent]:
        """Return what the conversation has to hear. A turn that is begun again is told what it was told before."""
        store = self._ledger.store
        newest = await self._insist(partial(store.entries_before, turn.conversation, None, LOOK_BACK))
        waiting = await self._insist(partial(store.system_events, turn.conversation, 0, EVENTS_MAX))
        told = next((entry for entry in newest if entry.source_key == prompt_key), None)
        if told is None:
            return waiting
        upto = told.data.get("eventsUpto")
        return [event for event in waiting if isinstance(upto, int) and event.id <= upto]

    async def _prompted(self, turn: TurnRef, key: str, events: Sequence[SystemEvent], told: str, message: str) -> None:
        now = self._ledger.clock.now()
        entries = []
        if events:
            ids = [event.id for event in events]
            entries.append(
                NewEntry(
                    at=now, kind=EntryKind.EVENT, text=redact(told), data={"eventIds": ids}, task_id=turn.task_id,
                    source_key=f"{key}:events",
                )
            )  # fmt: skip
        data: dict[str, object] = {"eventsUpto": events[-1].id if events else 0, "requester": turn.requester}
        entries.append(
            NewEntry(
                at=now, kind=EntryKind.PROMPT, text=redact(message), data=data, task_id=turn.task_id,
                source_key=f"{key}:prompt",
            )
        )  # fmt: skip
        await self._insist(partial(self._ledger.store.append_entries, turn.conversation, entries))

    def _limit(self, agent: AgentSpec, task: Task | None, payload: dict[str, Any]) -> float | None:
        """Return how long the turn may take: as it says, else its agent, and never past its task's deadline."""
        asked = payload.get("timeoutSeconds")
        limit = agent.timeout_seconds if asked is None else float(asked)
        if task is not None and task.deadline_at is not None:
            left = max(0.001, task.deadline_at - self._ledger.clock.now())
            limit = left if limit is None else min(limit, left)
        return limit

    def _environment(self, turn: TurnRef, payload: dict[str, Any]) -> dict[str, str]:
        base = payload.get("callerEnv")
        given = self._maker.environ if base is None else base
        # No requester: for whom an agent acts, its runner says.
        env = child_environment(given, {}, turn.session_id, turn.task_id, shell=False)
        return {**env, "OUTLAST_HOME": self._maker.config.paths.home}

    # ---- while it runs

    async def reached(self, turn: TurnRef) -> int:
        """Return the offset in the journal after the last line that is in the transcript."""
        store, mark = self._ledger.store, f"{turn.session_id}:"
        entries = await self._insist(partial(store.entries_before, turn.conversation, None, LOOK_BACK))
        if turn.task_id is not None:
            last = await self._insist(partial(store.last_entry_of_task, turn.task_id, turn.session_id))
            entries += [last] if last is not None else []
        return max((entry.journal_at or 0 for entry in entries if entry.source_key.startswith(mark)), default=0)

    async def append(self, turn: TurnRef, lines: Sequence[JournalLine]) -> None:
        """Keep lines, in order; those that are kept already are left out."""
        entries = entries_of(turn, lines)
        for first in range(0, len(entries), ENTRIES_MAX):
            part = entries[first : first + ENTRIES_MAX]
            await self._insist(partial(self._ledger.store.append_entries, turn.conversation, part))

    async def ask(self, turn: TurnRef, question: AgentEvent, answer: Answer) -> None:
        """Have somebody asked, once, and the answer passed on when it is there."""
        await self.questions.ask(turn, question, answer)

    async def asked(self, turn: TurnRef, answered: AgentEvent) -> None:
        """Note that a question is settled, however that came."""
        await self.questions.settled(turn, answered)

    # ---- at its end

    async def over(self, turn: TurnRef, outcome: Outcome) -> None:
        """Keep how a turn ended whose journal does not say so."""
        entry = unsaid(turn, outcome, self._ledger.clock.now())
        await self._insist(partial(self._ledger.store.append_entries, turn.conversation, [entry]))

    async def close(self, turn: TurnRef, state: TurnState, upto: int) -> None:
        """Note that a turn has ended: what it was told counts as heard, its questions as void."""
        store, now = self._ledger.store, self._ledger.clock.now()
        for question in list(state.asked.values()):
            await self.questions.void(turn, question)
        if state.session_gone:  # else every turn to come would fail of the same
            await self._insist(partial(store.note_agent_session, turn.conversation, None, now))
        if state.session_gone or not state.begun:
            return  # the agent has heard nothing
        await self._insist(partial(store.note_agent_session, turn.conversation, state.agent_session, now))
        if upto:
            await self._insist(partial(store.ack_events, turn.conversation, upto, now))

    async def call_off_below(self, turn: TurnRef, cause: Cause) -> None:
        """Call off what a turn has spawned or given others to do; of a spawned agent all that is below it."""
        store = self._ledger.store
        task = None if turn.task_id is None else await store.get_task(turn.task_id)
        if task is None:
            return
        below = await store.live_below(turn.conversation) if task.kind == SPAWN else []
        below += [child.id for child in await store.children_of(task.id) if child.runtime in AGENTS]
        for task_id in dict.fromkeys(below):
            child = await store.get_task(task_id)
            if child is not None and not child.status.final:
                await self.call_off(child, Cause.PARENT)

    async def payload(self, task: Task) -> dict[str, Any] | None:
        """Return what a task was to run."""
        return await self._insist(partial(self._ledger.store.payload_of, task.id))

    def result(self, turn: TurnRef, task: Task, end: TurnEnd) -> str | None:
        """Return what the step of a flow comes to that waits for the turn; None where none does."""
        if task.flow_id is None:
            return None
        facts: dict[str, object] = {
            "status": end.status.value, "text": end.text, "stop": end.stop, "error": end.error,
            "usage": None if end.usage is None else usage_facts(end.usage), "durationMs": end.duration_ms,
            "taskId": task.id, "sessionId": turn.session_id, "conversation": turn.conversation,
        }  # fmt: skip
        return msgspec.json.encode({name: fact for name, fact in facts.items() if fact is not None}).decode()


async def _nobody(task: Task, cause: Cause) -> None:
    """Nobody works here yet."""
