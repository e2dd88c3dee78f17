"""A world with agents whose turns are played by the test: they run until it says how they end."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from agent_world import AgentWorld
from api_ledger import ledger_world

from outlast.core.agent import EntryKind, NewEntry
from outlast.core.agent_end import TurnEnd
from outlast.core.agent_journal import TurnRef
from outlast.core.errors import Conflict
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Exit, Status, status_of
from outlast.core.task import Runtime, Task
from outlast.gateway.agent_room import AgentRoom
from outlast.gateway.agent_turns import AgentTurns
from outlast.gateway.books import Books
from outlast.gateway.flow_engine import Maker
from outlast.ledger.tasks import Ledger
from outlast.runtimes.base import Hands
from outlast.runtimes.cli import CliRuntime
from outlast.runtimes.turn_marks import turn_of
from outlast.scheduler.heartbeat import Heartbeats

BEATING = """[agents.coder]
backend = "acp"
command = ["coder"]
heartbeat = { every = "30m" }
[agents.quick]
backend = "command"
command = ["q"]
heartbeat = { every = "1h" }
[agents.calm]
backend = "command"
command = ["c"]
"""


class Players:
    """The runtime of agents: nothing runs, and every turn waits for the test."""

    def __init__(self, world: PlayedWorld) -> None:
        self.world = world
        self.room: AgentRoom | None = None
        self.playing: dict[str, asyncio.Future[Outcome]] = {}
        self.beats: dict[str, asyncio.Future[TurnEnd]] = {}
        self.heard: list[tuple[str, str, bool]] = []
        self.prompts: dict[str, str] = {}

    async def run(self, task: Task, payload: dict[str, Any], hands: Hands) -> Outcome:
        await hands.attach(f"session-of-{task.id}")
        hands.began({"sessionId": f"session-of-{task.id}"})
        self.prompts[task.id] = payload["message"]
        return await self.resume(task, hands)

    async def resume(self, task: Task, hands: Hands) -> Outcome:
        playing = self.playing[task.id] = asyncio.get_running_loop().create_future()
        try:
            return await playing
        finally:
            del self.playing[task.id]

    async def cancel(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        assert self.room is not None
        await self.room.call_off_below(turn_of(task, ""), cause)
        end = Exit(cause=cause, at=self.world.clock.now())
        self.ends(task.id, status_of(end), cause=cause)

    async def steer(self, task: Task, steer_id: str, text: str, *, interrupt: bool = False) -> None:
        if task.id not in self.playing:
            raise Conflict("it does not run here", code="not_running")
        self.heard.append((task.id, text, interrupt))

    def ends(self, task_id: str, status: Status = Status.SUCCEEDED, **fields: Any) -> None:
        """Have the turn of a task end."""
        given: dict[str, Any] = {"cause": Cause.EXIT, "at": self.world.clock.now(), **fields}
        if (playing := self.playing.get(task_id)) is not None and not playing.done():
            playing.set_result(Outcome(status=status, **given))

    # ---- turns without a task

    async def start_alone(self, turn: TurnRef, payload: dict[str, Any]) -> None:
        self.beats[turn.session_id] = asyncio.get_running_loop().create_future()

    async def hand_over_alone(self, turn: TurnRef, payload: dict[str, Any]) -> None:
        """There is none of an earlier gateway."""

    async def follow_alone(self, turn: TurnRef) -> TurnEnd | None:
        beat = self.beats.get(turn.session_id)
        return None if beat is None else await beat


class PlayedWorld(AgentWorld):
    """Use `played_world`."""

    def make_books(self) -> Books:
        self.players = Players(self)
        agents = dict.fromkeys((Runtime.ACP, Runtime.SUBAGENT), self.players)
        self.runtimes = {Runtime.CLI: CliRuntime(self.sessions, self.clock, umask=0o022), **agents}  # type: ignore
        return super().make_books()

    def staff(self, books: Books, ledger: Ledger) -> None:
        self.configure()
        maker = Maker(self.config, self.clock, {"HOME": str(self.home)})
        self.players.room = AgentRoom(ledger, maker)
        books.agents_by(AgentTurns(books, self.players.room, self.players, maker))  # type: ignore[arg-type]
        books.beat_by(
            partial(
                Heartbeats, ledger.store, self.clock, self.config.agents, home=self.config.paths.home,
                new_session_id=self.sessions.new_id, news=ledger.news, node=self.node,
            )
        )  # fmt: skip

    def configure(self, more: str = "", agents: str = BEATING) -> None:
        super().configure(more, agents)

    async def turn(self, message: str = "look", *, agent: str = "coder", **fields: Any) -> Any:
        """Give an agent a turn and let it get under way; return its task as it was answered."""
        made = await self.ask("agents.run", agent=agent, message=message, **fields)
        await self.settle()
        return made

    async def spawn(self, task: str = "look", *, agent: str = "coder", **fields: Any) -> Any:
        """Spawn an agent and let it get under way."""
        await self.clock.advance(0.002)  # ids are in the order of time
        made = await self.ask("subagents.spawn", agent=agent, task=task, **fields)
        await self.settle()
        return made

    async def play_out(self, task_id: str, status: Status = Status.SUCCEEDED, **fields: Any) -> Task:
        """Have a turn end; return its task once that is on record."""
        self.players.ends(task_id, status, **fields)
        return await self.task(task_id)

    async def say(self, conversation: str, *texts: str, kind: EntryKind = EntryKind.TEXT, **fields: Any) -> None:
        """Have something said in a conversation."""
        there = len(await self.store.entries_before(conversation, None, 1000))
        who = f"session-of-{fields['task_id']}" if "task_id" in fields else "said"
        entries = [
            NewEntry(at=self.clock.now(), kind=kind, text=text, source_key=f"{who}:{there + n}", **fields)
            for n, text in enumerate(texts)
        ]
        await self.store.append_entries(conversation, entries)


def played_world(home: Path, **options: Any) -> Any:
    """A `PlayedWorld` for as long as the block lasts."""
    return ledger_world(home, made=PlayedWorld, **options)
