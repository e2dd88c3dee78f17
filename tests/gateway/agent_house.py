"""A gateway's books with agents, in this process: a real store, real sessions, and runners that do as they are told."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from houses import House
from outlast import config as config_module
from outlast.api.agent_work import TurnAsk
from outlast.core.agent import Entry, EntryKind
from outlast.core.approval import Approval, ApprovalFilter, ApprovalStatus, Verdict
from outlast.core.conversation import SystemEvent
from outlast.core.session import Cause
from outlast.core.task import Runtime, Task
from outlast.flows.files.program import FILE_PROGRAMS
from outlast.gateway.agent_room import AgentRoom
from outlast.gateway.agent_turns import AgentTurns
from outlast.gateway.books import Books
from outlast.gateway.flow_engine import Maker
from outlast.gateway.telling import Telling
from outlast.ledger import approvals
from outlast.ledger.tasks import Ledger
from outlast.process.clock import SystemClock
from outlast.process.sessions import Sessions
from outlast.runtimes import agent as agent_runtime
from outlast.runtimes.agent import AgentRuntime
from outlast.runtimes.cli import CliRuntime
from outlast.scheduler.heartbeat import Heartbeats
from outlast.store.sqlite import SqliteStore

PATIENCE = 120.0
"""Seconds: twenty agents that begin at once take a busy machine a while."""
SCRIPTED = (sys.executable, "-S", str(Path(__file__).parent / "scripted_runner.py"))
YES = [{"id": "yes", "name": "Allow", "kind": "allow_once"}, {"id": "no", "name": "Reject", "kind": "reject_once"}]


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**given), 2 * PATIENCE))  # type: ignore[arg-type]

    return run


def script(*acts: Any) -> str:
    """Return the message that has a scripted runner do something."""
    return json.dumps(list(acts))


def toml(value: Any) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def config_text(exec_requesters: dict[str, str] | None = None, **tables: dict[str, Any]) -> str:
    """Return a config file that names agents."""
    lines: list[str] = []
    for name, mode in (exec_requesters or {}).items():
        lines += ["[exec.requesters]", f"{json.dumps(name)} = {json.dumps(mode)}"]
    for name, fields in {"coder": {"backend": "acp", "command": ["scripted"]}, **tables}.items():
        lines += [f"[agents.{name}]", *(f"{key} = {toml(value)}" for key, value in fields.items())]
    return "\n".join(lines) + "\n"


async def no_firing(*_: Any) -> Any:
    """No house has schedules."""
    raise AssertionError


class AgentHouse:
    """One home; `books` are those of the present gateway."""

    def __init__(self, house: House, *, flows: bool = False, telling: bool = False, **tables: Any) -> None:
        self.house = house
        self.flows, self.telling = flows, telling
        self.path = Path(house.home)
        (self.path / "config.toml").write_text(config_text(**tables))
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.config = config_module.load({**keep, "OUTLAST_HOME": house.home})
        self.clock = SystemClock()
        self.environ = keep

    async def open(self) -> None:
        """Begin as a starting gateway does."""
        self.sessions: Sessions = self.house.table()
        await self.sessions.open(hold=True)
        self.store = SqliteStore(str(self.path / "ledger.db"))
        ledger = Ledger(self.store, self.clock, node="n1", worker=f"n1/{id(self)}", lease_seconds=None)
        self.maker = maker = Maker(self.config, self.clock, self.environ)
        self.room = AgentRoom(ledger, maker)
        self.runtime = AgentRuntime(self.sessions, self.clock, self.room, umask=0o022)
        runtimes = {
            Runtime.CLI: CliRuntime(self.sessions, self.clock, umask=0o022), Runtime.ACP: self.runtime,
            Runtime.SUBAGENT: self.runtime,
        }  # fmt: skip
        self.books = Books(ledger, self.sessions, runtimes, slots=64)
        self.turns = AgentTurns(self.books, self.room, self.runtime, maker)
        self.books.agents_by(self.turns)
        self.books.beat_by(
            functools.partial(
                Heartbeats, self.store, self.clock, self.config.agents, home=self.config.paths.home,
                new_session_id=self.sessions.new_id, news=ledger.news, node="n1",
            )
        )  # fmt: skip
        if self.flows:
            self.books.flow_by(maker, FILE_PROGRAMS, 0o022)
        if self.telling:
            self.books.tell_by(Telling(self.config, self.clock, self.environ), no_firing)
        await self.books.open()

    async def close(self) -> None:
        """Let go of everything; turns run on."""
        await self.books.close()
        await self.sessions.close()

    async def restart(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """Stop this gateway and start the next one; ``meanwhile`` happens while none runs."""
        await self.close()
        if meanwhile is not None:
            await meanwhile()
        await self.open()

    # ---- short ways

    async def start(self, *acts: Any, agent: str = "coder", **fields: Any) -> Task:
        """Give an agent a turn in which it does as is said."""
        ask = TurnAsk(agent=agent, message=fields.pop("message", None) or script(*acts), **fields)
        return (await self.turns.start(ask)).task

    async def ended(self, task: Task | str) -> Task:
        """Wait for the end of a task; return it."""
        return await self.until(task, lambda found: found.status.final)

    async def until(self, task: Task | str, holds: Callable[[Task], bool]) -> Task:
        """Wait until something holds of a task."""
        task_id = task if isinstance(task, str) else task.id
        async with asyncio.timeout(PATIENCE):
            while True:
                moved = self.books.ledger.news.next_event()
                found = await self.store.get_task(task_id)
                assert found is not None
                if holds(found):
                    return found
                await asyncio.wait([moved], timeout=0.2)

    async def turn(self, *acts: Any, **fields: Any) -> Task:
        """Give an agent a turn and see it to its end."""
        return await self.ended(await self.start(*acts, **fields))

    async def transcript(self, conversation: str = "agent:coder:main") -> list[Entry]:
        return await self.store.entries_of(conversation, 0, 1000)

    async def said(self, text: str, conversation: str = "agent:coder:main") -> list[Entry]:
        """Wait until a transcript has an entry with a text; return all of it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                entries = await self.transcript(conversation)
                if any(text in entry.text for entry in entries if entry.kind is not EntryKind.PROMPT):
                    return entries
                await asyncio.sleep(0.01)

    async def asked(self, count: int = 1) -> list[Approval]:
        """Wait until so many questions wait for an answer; return them."""
        narrow = ApprovalFilter(statuses=(ApprovalStatus.PENDING,))
        async with asyncio.timeout(PATIENCE):
            while True:
                news = self.books.ledger.news.next_question()
                found = (await self.store.list_approvals(narrow, 100)).approvals
                if len(found) >= count:
                    return found
                await asyncio.wait([news], timeout=0.2)

    async def answer(self, approval: Approval, status: ApprovalStatus = ApprovalStatus.APPROVED) -> None:
        verdict = Verdict(approval_id=approval.id, status=status, at=self.clock.now(), by="local", how="cli")
        assert await approvals.decide(self.books.ledger, verdict) is not None

    async def decide_by_hand(self, approval: Approval) -> None:
        """Answer a question while no gateway is there."""
        store = SqliteStore(str(self.path / "ledger.db"))
        await store.open()
        at = self.clock.now()
        verdict = Verdict(approval_id=approval.id, status=ApprovalStatus.APPROVED, at=at, by="local", how="cli")
        assert await store.decide(verdict) is not None
        await store.close()

    async def record(self, task: Task) -> Task:
        """Return a task as it stands."""
        return await self.books.ledger.require(task.id)

    async def cancel(self, task: Task, grace_seconds: float | None = None) -> None:
        """Call a task off, as the command does."""
        present = await self.books.ledger.cancel(await self.record(task), Cause.OPERATOR)
        await self.books.call_off(present, Cause.OPERATOR, grace_seconds)

    async def told(self, conversation: str) -> list[SystemEvent]:
        """Wait until a conversation has been told something; return all it was told."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.store.deliver_to_conversation(conversation, self.clock.now())
                if found := await self.store.system_events(conversation, 0, 100, waiting=False):
                    return found
                await asyncio.sleep(0.01)

    def gate(self, name: str = "gate") -> str:
        return str(self.path / name)

    def open_gate(self, name: str = "gate") -> None:
        (self.path / name).touch()

    async def exists(self, name: str) -> None:
        """Wait until a runner has made a file."""
        async with asyncio.timeout(PATIENCE):
            while not (self.path / name).exists():
                await asyncio.sleep(0.005)

    async def nothing_left(self) -> None:
        """Wait until no process of any session is there any more."""
        async with asyncio.timeout(PATIENCE):
            while self.house.processes():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def agent_house(
    house: House, *, runner: tuple[str, ...] | None = SCRIPTED, **tables: Any
) -> AsyncIterator[AgentHouse]:
    """An `AgentHouse` with scripted runners (None: real ones) for as long as the block lasts.

    Whoever does as is told has all the time that takes him when he is called off.
    """
    made = AgentHouse(house, **tables)
    before = agent_runtime.RUNNER, agent_runtime.GRACE_SECONDS
    if runner is not None:
        agent_runtime.RUNNER, agent_runtime.GRACE_SECONDS = runner, PATIENCE
    try:
        await made.open()
        try:
            yield made
        finally:
            await made.close()
    finally:
        agent_runtime.RUNNER, agent_runtime.GRACE_SECONDS = before


def kinds(entries: list[Entry]) -> list[tuple[str, str]]:
    """Return entries as pairs of kind and text."""
    return [(entry.kind.value, entry.text) for entry in entries]
