"""The one place where turns of agents begin: asked for, spawned, by a schedule or by the agent's own heartbeat."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from functools import partial

import msgspec

from outlast.api.agent_rights import depth_below
from outlast.api.agent_work import TurnAsk, agent_named, compose_turn, main_conversation, other_agent
from outlast.core.agent import LANE, LANE_MAX, AgentConversation, only_in_a_row
from outlast.core.agent_end import TurnEnd
from outlast.core.agent_journal import TurnRef
from outlast.core.conversation import check_key
from outlast.core.flow import FlowMode, NewFlow
from outlast.core.ids import timed_id
from outlast.core.session import Cause, Status
from outlast.core.task import SPAWN, NewTask, NotifyPolicy, Runtime, Task
from outlast.gateway.agent_room import AgentRoom
from outlast.gateway.books import Books
from outlast.gateway.flow_engine import Maker
from outlast.ledger.tasks import Ledger
from outlast.process.keeper.crash import point
from outlast.process.sessions import Sessions
from outlast.runtimes import base
from outlast.runtimes.agent import AgentRuntime
from outlast.runtimes.cli import CliRuntime
from outlast.store.base import Created

log = logging.getLogger("outlast.agents")


class AgentTurns:
    """Starts, steers and ends turns of agents. ``start`` and ``stop`` it with the books."""

    def __init__(self, books: Books, room: AgentRoom, runtime: AgentRuntime, maker: Maker) -> None:
        self._books = books
        self._room = room
        self._runtime = runtime
        self._maker = maker
        room.call_off = self._call_off

    async def open(self) -> None:
        """Begin, once the store is open. The lane of spawned agents keeps a limit that somebody has set."""
        known = {queue.name: queue.limit_max for queue in await self._books.store.queues()}
        if known.get(LANE) is None:
            await self._books.store.set_queue_limit(LANE, LANE_MAX)
        self._room.start()

    async def close(self) -> None:
        """End; turns run on."""
        await self._room.stop()

    # ---- turns

    async def start(self, ask: TurnAsk) -> Created:
        """Put a turn on record and begin it when its conversation is free.

        Raises BadInput (``no_such_agent``, ``other_agent`` and what `compose_turn` raises), Refused (``too_deep``),
        Conflict (``parent_ended``), GatewayTrouble.
        """
        new = compose_turn(self._maker, self._books.ledger.new_id(), ask, node=self._books.node)
        depth = await depth_below(self._books.store, new.requester, str(new.conversation))
        await self.prepare(new, depth=depth)
        return await self._books.submit(new, partial(self._books.ledger.give_turn, new))

    async def prepare(self, new: NewTask, *, depth: int = 0) -> None:
        """Make ready what a turn needs before it is on record: its conversation, ``depth`` levels down.

        Raises BadInput (``other_agent``).
        """
        assert new.conversation is not None
        now, agent = self._maker.clock.now(), str(new.ask["agent"])
        workdir = agent_named(self._maker, agent).workdir
        fresh = AgentConversation(new.conversation, agent, now, now, workdir, depth=depth)
        held = await self._books.store.hold_conversation(fresh)
        if held.agent != agent:
            raise other_agent(held)

    async def spawn(self, ask: TurnAsk, parent: str) -> Created:
        """Have an agent do something in a conversation of its own, for another conversation, which is told its end.

        A live one with the same dedupe key stands in for it. Raises Refused (``too_deep``, ``too_many_children``),
        Conflict (``parent_ended``), BadInput, GatewayTrouble.
        """
        check_key(parent, "conversation")
        now = self._maker.clock.now()
        child = f"agent:{ask.agent}:subagent:{uuid.uuid4()}"
        flow_id = timed_id("f", now, secrets.randbits(40), 4)
        ask = msgspec.structs.replace(ask, kind=SPAWN, conversation=child, requester=parent, flow_id=flow_id)
        new = compose_turn(self._maker, self._books.ledger.new_id(), ask, node=self._books.node)
        workdir = agent_named(self._maker, ask.agent).workdir
        conversation = AgentConversation(child, ask.agent, now, now, workdir, parent=parent)
        point("agents:before_spawn")
        created = await self._books.submit(
            new, partial(self._books.ledger.spawn, new, conversation, _mirror(new, flow_id))
        )
        point("agents:after_spawn")
        return created

    async def tidy(self) -> None:
        """Forget the limits of queues of conversations in which nothing is under way: there may be very many."""
        for queue in await self._books.store.queues():
            if only_in_a_row(queue.name, queue.limit_max) and not queue.queued and not queue.running:
                await self._books.store.forget_queue(queue.name)

    # ---- while they run

    async def steer(self, task: Task, text: str, *, interrupt: bool = False) -> str:
        """Tell a running agent something; return the name by which its transcript says what became of that.

        Raises Conflict (``not_running``).
        """
        steer_id = timed_id("m", self._maker.clock.now(), secrets.randbits(20), 2)
        await self._runtime.steer(task, steer_id, text, interrupt=interrupt)
        return steer_id

    async def cancel_tree(self, conversation: str, cause: Cause = Cause.OPERATOR) -> list[str]:
        """Call off all that a conversation has spawned, at any depth; return the tasks there were."""
        found = await self._books.store.live_below(conversation)
        for task_id in found:
            task = await self._books.store.get_task(task_id)
            if task is not None:
                await self._call_off(task, cause)
        return found

    async def _call_off(self, task: Task, cause: Cause) -> None:
        present = await self._books.ledger.cancel(task, cause)
        if present.status is Status.RUNNING:
            self._books.worker.call_off_soon(present, cause)

    # ---- turns without a task

    async def begin_beat(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        """Start a turn of an agent in its main conversation that is no task, as the session of that name.

        The caller holds the `lock` of the conversation until `end_of_beat` has returned. Raises BadInput,
        GatewayTrouble.
        """
        turn = self._beat(agent, session_id)
        await self._runtime.start_alone(turn, {"message": message, "timeoutSeconds": timeout_seconds})

    async def resume_beat(self, agent: str, message: str, session_id: str, *, timeout_seconds: float | None) -> None:
        """Go on with such a turn of an earlier gateway, which may have died before it told its runner what to do.

        Where there is no record of it nothing is done. Raises BadInput, GatewayTrouble.
        """
        turn = self._beat(agent, session_id)
        await self._runtime.hand_over_alone(turn, {"message": message, "timeoutSeconds": timeout_seconds})

    async def end_of_beat(self, agent: str, session_id: str) -> TurnEnd | None:
        """Stay with such a turn to its end, also of an earlier gateway; None when there is no record of it."""
        return await self._runtime.follow_alone(self._beat(agent, session_id))

    def lock(self, conversation: str) -> asyncio.Lock:
        """Return what keeps two turns of one conversation apart."""
        return self._room.lock(conversation)

    def _beat(self, agent: str, session_id: str) -> TurnRef:
        conversation = main_conversation(agent)
        return TurnRef(conversation, agent, session_id, conversation)


def _mirror(new: NewTask, flow_id: str) -> NewFlow:
    """Return the flow that follows a spawned agent: so it is seen among the flows of its requester."""
    agent = str(new.ask["agent"])
    return NewFlow(
        id=flow_id, mode=FlowMode.MIRRORED, name=f"agent {agent}", requester=new.requester, created_at=new.created_at,
        task_id=new.id, goal=new.title, label=new.label, node=new.node, notify=NotifyPolicy.SILENT,
        ask={"agent": agent},
    )  # fmt: skip


def staffed(ledger: Ledger, sessions: Sessions, maker: Maker, *, slots: int, umask: int) -> Books:
    """Return books with everybody who does work here: commands and agents."""
    room = AgentRoom(ledger, maker)
    agents = AgentRuntime(sessions, maker.clock, room, umask=umask)
    runtimes: dict[Runtime, base.Runtime] = {
        Runtime.CLI: CliRuntime(sessions, maker.clock, umask=umask), Runtime.SUBAGENT: agents, Runtime.ACP: agents,
    }  # fmt: skip
    books = Books(ledger, sessions, runtimes, slots=slots)
    books.agents_by(AgentTurns(books, room, agents, maker))
    return books
