"""Sessions without processes, and a clock that stands still, for tests of the commands and queries.

The output is the real one, in real files: only who writes them is pretended.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from outlast import config as config_module
from outlast.api.acts import ACTS, perform
from outlast.api.context import Api, Caller, GatewayFacts
from outlast.api.decode import from_value
from outlast.core.errors import BadInput, Conflict, GatewayTrouble, NotFound
from outlast.core.session import Cause, ExecSpec, Exit, status_of
from outlast.process.output import Output
from outlast.process.sessions import SessionInfo, _public

PATIENCE = 120.0
"""Seconds after which a test that waits for something that never comes is a failure, not a hang."""


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test to its end."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), PATIENCE))

    return run


class FakeClock:
    """Stands still until it is told to move on."""

    def __init__(self, since: float = 1_700_000_000.0) -> None:
        self.since = since
        self.at = 0.0
        self.settle: Callable[[], Awaitable[None]] = settle
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.since + self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self.at + seconds, future)
        self._sleepers.append(entry)
        try:
            await future
        finally:
            self._sleepers.remove(entry)

    @property
    def due(self) -> list[float]:
        """Seconds until each sleeper wakes, the first one first."""
        return sorted(round(at - self.at, 9) for at, _ in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move on, and let everybody whose time has come do what they waited to do."""
        end = self.at + seconds
        while due := [entry for entry in self._sleepers if entry[0] <= end + 1e-9 and not entry[1].done()]:
            first = min(due, key=lambda entry: entry[0])
            self.at = max(self.at, first[0])
            first[1].set_result(None)
            await self.settle()
        self.at = end
        await self.settle()


async def settle() -> None:
    """Let the loop run until what can run has run."""
    for _ in range(30):
        await asyncio.sleep(0)


class FakeSession:
    """A session whose command is the test."""

    def __init__(self, spec: ExecSpec, folder: str, clock: FakeClock) -> None:
        os.makedirs(folder)
        Path(folder, "out").write_bytes(b"")
        self.id = spec.id
        self.spec = spec
        self.info = msgspec.convert(_public(spec, "boot"), SessionInfo)
        self.pid = 4242
        self.started_at = clock.now()
        self.end: Exit | None = None
        self.leftovers = 0
        self.output = Output(folder)
        self.folder = folder
        self.last_output_at: float | None = None
        self.drained = False
        self.unsupervised: str | None = None
        self.link: object | None = object()
        self.started = None
        self.cols, self.rows = spec.cols, spec.rows
        self.input = b""
        self.input_closed = False
        self.signals: list[tuple[int, str]] = []
        self.grace: float | None = None
        self.changed = asyncio.Event()
        self._clock = clock
        self._turns = 0

    @property
    def produced(self) -> int:
        return self.output.produced

    @property
    def status(self) -> Any:
        return status_of(self.end) if self.end else "running"

    def prints(self, data: bytes, stream: int = 1) -> None:
        """Output arrives."""
        if (stream == 2) != bool(self._turns % 2):
            with open(f"{self.folder}/seg", "ab") as seg:
                seg.write((self.produced << 1 | (stream == 2)).to_bytes(8, "big"))
            self._turns += 1
        with open(f"{self.folder}/out", "ab") as out:
            out.write(data)
        self.last_output_at = self._clock.now()
        self._tell()

    def ends(self, code: int | None = 0, *, cause: Cause = Cause.EXIT, signal: int | None = None) -> None:
        """The leader ends; without leftovers no more output can come."""
        self.end = Exit(cause=cause, at=self._clock.now(), code=code, signal=signal, produced=self.produced)
        self.drained = not self.leftovers
        self._tell()

    def drains(self) -> None:
        """Whoever still held the output has let go."""
        self.leftovers = 0
        self.drained = True
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class FakeSessions:
    """As `outlast.process.sessions.Sessions`, with sessions that do what the test says."""

    def __init__(self, home: Path, clock: FakeClock) -> None:
        self.home = home
        self.clock = clock
        self.all: dict[str, FakeSession] = {}
        self.adopted = SimpleNamespace(live=0, ended=0, lost=0, ms=0.0)
        self.keeper = SimpleNamespace(pid=None, version=None, protocol=None, started_at=None)
        self.starting: asyncio.Event | None = None
        self.on_start: Callable[[FakeSession], None] = lambda session: None
        self.waiting = 0
        self.held: list[str] = []
        self.adoptees: list[FakeSession] = []
        self.forestalled: set[str] = set()
        self._listeners: list[Callable[[str, Any], None]] = []
        self._number = 0

    def new_id(self) -> str:
        self._number += 1
        return f"s{self._number:07d}"

    def on_event(self, callback: Callable[[str, Any], None]) -> None:
        self._listeners.append(callback)

    def tell(self, name: str, session: FakeSession) -> None:
        for listener in self._listeners:
            listener(name, session)

    async def start(self, spec: ExecSpec, umask: int | None = None) -> FakeSession:
        if self.starting is not None:
            await self.starting.wait()
        if spec.id in self.forestalled:
            raise GatewayTrouble("the command was not started: its directory is there", code="cannot_start")
        session = FakeSession(spec, str(self.home / "sessions" / spec.id), self.clock)
        self.all[spec.id] = session
        self.on_start(session)
        self.tell("started", session)
        return session

    async def until_started(self, name: str) -> None:
        """Starts take no time here."""

    def get(self, name: str) -> FakeSession:
        if name in self.all:
            return self.all[name]
        found = [session for id_, session in self.all.items() if id_.startswith(name)] if len(name) >= 4 else []
        if not found:
            raise NotFound(f"no session {name}")
        if len(found) > 1:
            raise BadInput("ambiguous", code="ambiguous", hint=", ".join(s.id for s in found))
        return found[0]

    def live(self) -> list[FakeSession]:
        return [session for session in self.all.values() if not session.drained]

    def count_ended(self) -> int:
        return len(self.all) - len(self.live())

    def ended(self, *, limit: int, before: str | None = None) -> list[FakeSession]:
        done = sorted((s for s in self.all.values() if s.drained), key=lambda s: s.id, reverse=True)
        return [s for s in done if before is None or s.id < before][:limit]

    def find_running(self, key: str) -> FakeSession | None:
        return next((s for s in self.live() if s.end is None and s.spec.start_key == key), None)

    async def _until(self, session: FakeSession, over: Callable[[], bool]) -> None:
        self.waiting += 1
        try:
            while not over():
                await session.changed.wait()
        finally:
            self.waiting -= 1

    async def until_output(self, s: FakeSession, after: int) -> None:
        await self._until(s, lambda: s.produced > after or s.end is not None)

    async def until_more(self, s: FakeSession, after: int) -> None:
        await self._until(s, lambda: s.produced > after or s.drained)

    async def until_end(self, s: FakeSession) -> None:
        await self._until(s, lambda: s.end is not None)

    async def until_drained(self, s: FakeSession) -> None:
        await self._until(s, lambda: s.drained)

    async def write(self, s: FakeSession, data: bytes, eof: bool = False) -> int:
        s.input += data
        s.input_closed = s.input_closed or eof
        return len(data)

    async def signal(self, s: FakeSession, signum: int, *, scope: str) -> int:
        s.signals.append((signum, scope))
        return 1

    async def resize(self, s: FakeSession, cols: int, rows: int) -> None:
        s.cols, s.rows = cols, rows

    def hold(self, session_id: str) -> None:
        self.held.append(session_id)

    def release(self, session: FakeSession) -> None:
        if session.id in self.held:
            self.held.remove(session.id)

    async def take_up(self, session_id: str) -> FakeSession | None:
        return self.all.get(session_id)

    def traces(self, session_id: str) -> list[int]:
        return []

    async def forestall(self, session_id: str) -> bool:
        self.forestalled.add(session_id)
        return session_id not in self.all

    async def kill(
        self,
        s: FakeSession,
        *,
        cause: Cause = Cause.OPERATOR,
        signum: int = 15,
        grace: float | None = None,
    ) -> Any:
        s.signals.append((signum, "kill"))
        s.grace = grace
        s.leftovers = 0
        s.drained = True
        if s.end is None:
            s.ends(None, cause=cause, signal=signum)
        return SimpleNamespace(ended=[(s.pid, "fake", "SIGTERM")], survivors=[])

    async def probe(self, s: FakeSession) -> Any:
        return SimpleNamespace(waiting_for_input=True, processes=1)

    async def remove(self, s: FakeSession) -> None:
        if not s.drained:
            raise Conflict("still running", code="still_running")
        del self.all[s.id]


class NoBooks:
    """A ledger that is not open; what outlives its call is only noted."""

    node = "n1"

    def __init__(self) -> None:
        self.outlived_ids: list[str] = []

    @property
    def ledger(self) -> Any:
        raise GatewayTrouble("no ledger here", code="store_closed")

    store = ledger

    def saw_end(self, session: Any, target: str) -> None:
        """Nobody is told here."""

    def outlived(self, session: FakeSession) -> None:
        self.outlived_ids.append(session.id)


class World:
    """An Api over fake sessions, and short ways to ask it."""

    since = 1_700_000_000.0

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None, clock: FakeClock | None = None) -> None:
        self.home = home
        home.chmod(0o700)
        environ = {"OUTLAST_HOME": str(home), "HOME": str(home), "PATH": os.defpath, **(settings or {})}
        self.config = config_module.load(environ)
        self.clock = clock or FakeClock(self.since)
        self.sessions = FakeSessions(home, self.clock)
        self.stops = 0
        self.books = self.make_books()
        self.api = self.make_api()

    def make_books(self) -> Any:
        """The books of this world: none."""
        return NoBooks()

    def make_api(self) -> Api:
        """An Api as a gateway makes one at its start."""
        home = self.home
        return Api(
            sessions=self.sessions,  # type: ignore[arg-type]
            config=self.config,
            clock=self.clock,
            environ={"PATH": os.defpath, "HOME": str(home), "SHELL": "/bin/sh"},
            gateway=self,
            books=self.books,
        )

    @property
    def facts(self) -> GatewayFacts:
        return GatewayFacts(1, "0", 1, self.clock.now(), "socket", None, str(self.config.paths.home))

    def request_stop(self) -> None:
        self.stops += 1

    async def ask(self, act: str, name: str | None = None, *, caller: Caller | None = None, **fields: Any) -> Any:
        """Perform one act with a request in its wire spelling (``for_`` is ``for``)."""
        fields = {key.rstrip("_"): value for key, value in fields.items()}
        row = ACTS[act]
        return await perform(self.api, caller or Caller(), row, name, from_value(fields, row.request))

    async def session(self, **fields: Any) -> FakeSession:
        """Start a session in the background."""
        fields = {"command": f"true {len(self.sessions.all)}", "background": True, **fields}
        result = await self.ask("exec", **fields)
        return self.sessions.all[result.session_id]
