"""For tests of flows: time that is skipped, commands and answers that are made up, workers that die where you say.

::

    with outlast.testing.Harness() as flows:
        flows.command("build", stdout="wheel 1.2")
        flows.crash_at("publish")                          # the worker dies once, after it and before its record
        run = flows.start(release, "1.2")
        flows.approve(run)
        assert flows.result(run) == "https://…"            # sleeps of months included, in milliseconds

The engine and the store are the real ones (an SQLite file in a directory of its own); only the clock is not. A flow
that waits for a signal or an answer nobody gives makes `Harness.result` raise `Stuck`, which says what it waits for;
so does one that is at work and from which nothing is heard for ``patience`` seconds of real time, whatever is called.
Commands the test has not made up are really run; agents never are.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from outlast.api.flow_work import compose_agent
from outlast.config import Config, ConfiguredAgents, ensure_dirs, load
from outlast.core.approval import Approval, ApprovalFilter, ApprovalStatus, Verdict
from outlast.core.flow import Flow, FlowEvent, FlowMode, FlowStatus, NewFlow, StepRow
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import AGENTS, NewTask
from outlast.flows.children import rules_of
from outlast.flows.engine import Compose, Engine, Program
from outlast.flows.errors import FlowFailed
from outlast.flows.files.program import FILE_PROGRAMS
from outlast.flows.program import FlowFunction
from outlast.flows.retrying import Span, seconds_of
from outlast.flows.skipped_clock import SkippedClock
from outlast.flows.waits import AgentAsk, AgentResult, CommandAsk
from outlast.gateway.flow_engine import Maker, make_engine
from outlast.gateway.stores import make_store
from outlast.ledger.tasks import Ledger
from outlast.store.base import Claimed, Store

__all__ = ["BEGIN", "FakeCommand", "FlowFailed", "Harness", "SkippedClock", "Stuck"]

T = TypeVar("T")
_MADE_UP = {"backend": "command", "command": ["made-up"]}
BEGIN = 1_767_225_600.0
"""When the harness's time begins: 2026-01-01, 00:00 UTC."""
ROUNDS_MAX = 100_000
"""Skips of time after which a flow counts as one that never ends."""
PATIENCE = 300.0
"""Seconds of real time in which nothing happens, after which a flow that is at work counts as one that hangs."""


class Stuck(AssertionError):
    """A flow waits for something that only the test can give, or hangs."""


class FakeCommand(NamedTuple):
    """How a command step that the test has made up comes out."""

    status: str
    exit_code: int | None
    stdout: str


class _CrashingEngine(Engine):
    """An engine whose runs die where the harness says."""

    harness: Harness

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._seen: dict[str, str] = {}

    async def round(self) -> float:
        """Look, and say when that is over: the harness waits for a look that somebody else has begun."""
        try:
            return await super().round()
        finally:
            self.idle()

    def at_work_on(self) -> list[str]:
        """Name the flows that are held, and where each was seen last."""
        return [f"flow {run.flow.name} (last seen {self._seen.get(run.id, 'nowhere')})" for run in self._runs.values()]

    def reached(self, at: str, row: StepRow | None) -> None:
        """Die here, if the test asked for it."""
        key = None if row is None else row.key
        if row is not None:
            self._seen[row.flow_id] = f"at {at} of {key}"
        if self.harness.dies_at(at, key):
            for run in tuple(self._runs.values()):
                error = run.crash()
            raise error


class Harness:
    """Runs flows as a worker would, in no time. Use it as a context manager; not within a running event loop.

    ``home`` is where it keeps its files (default: a temporary directory that is removed). ``start_at`` is when its
    time begins, in seconds since the epoch. ``store`` is the address of an empty PostgreSQL database, where a test is
    to run over that instead of a file. ``patience`` is how many seconds of real time nothing may happen while a flow
    or a command is at work; then whatever waits for it raises `Stuck`.
    """

    def __init__(
        self, *, home: str | None = None, start_at: float = BEGIN, store: str = "", patience: float = PATIENCE
    ) -> None:
        self.clock = SkippedClock(start_at)
        self._patience = patience
        self._home = home
        self._store_url = store
        self._temporary = home is None
        self._commands: dict[str, FakeCommand | Callable[[Sequence[str]], FakeCommand]] = {}
        self._answers: dict[str, AgentResult] = {}
        self._deaths: list[tuple[str, str | None]] = []
        self._programs: dict[str, Program] = {}
        self._workers = itertools.count(1)
        self._busy = 0
        self._jobs: set[asyncio.Task[None]] = set()
        self._dead = False
        self.crashes = 0

    # ---- life

    def __enter__(self) -> Harness:
        """Open the store."""
        self._loop = asyncio.new_event_loop()
        if self._home is None:
            self._home = tempfile.mkdtemp(prefix="outlast-flows-")
        environ = {**os.environ, "OUTLAST_HOME": self._home}
        environ.pop("OUTLAST_STORE_URL", None)
        if self._store_url:
            environ["OUTLAST_STORE_URL"] = self._store_url
        self.config: Config = load(environ)
        ensure_dirs(self.config.paths)
        self._maker = Maker(self.config, self.clock, environ)
        self._do(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, and remove what is temporary."""
        self._do(self._close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        if self._temporary and self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    async def _open(self) -> None:
        self._moved = asyncio.Event()
        self.store: Store = make_store(self.config)
        await self.store.open()
        self.store.on_change(lambda _: self._moved.set())
        self._ledger = Ledger(self.store, self.clock, node="here", worker="harness", lease_seconds=None)
        self._new_engine()

    async def _close(self) -> None:
        await self.engine.stop()
        for job in tuple(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self.store.close()

    def _new_engine(self) -> None:
        worker = f"worker-{next(self._workers)}"
        engine = make_engine(
            self._maker, self.store, self._programs, worker=worker, linger_seconds=0.0, kind=_CrashingEngine
        )
        assert isinstance(engine, _CrashingEngine)
        engine.compose = self._composing(engine.compose)
        self.engine: _CrashingEngine = engine
        self.engine.harness = self
        self.engine.open = True
        self.engine.idle = self._moved.set

    def _composing(self, compose: Compose) -> Compose:
        def composed(flow: Flow, given: dict[str, Any], ask: CommandAsk | AgentAsk) -> NewTask:
            if isinstance(ask, CommandAsk):
                return compose(flow, given, ask)
            config = self.config._replace(agents=ConfiguredAgents({ask.agent: _MADE_UP}))
            return compose_agent(self._maker._replace(config=config), self.engine.new_id("t"), flow, given, ask)

        return composed

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    # ---- what the test makes up

    def command(self, step: str, *, stdout: str = "", exit_code: int = 0) -> None:
        """Say how the command of a step comes out, instead of running it."""
        self._commands[step] = FakeCommand("succeeded" if exit_code == 0 else "failed", exit_code, stdout)

    def agent(self, step: str, *, text: str = "", error: str | None = None) -> None:
        """Say how the agent of a step answers: none is ever really run here, and none has to be configured."""
        self._answers[step] = AgentResult("succeeded" if error is None else "failed", text, error=error)

    def crash_at(self, step: str, when: str = "unrecorded", *, times: int = 1) -> None:
        """Have the worker die at a step: ``before`` it runs, ``unrecorded`` (it ran, and nobody knows), ``recorded``.

        The flow goes on with another worker when its lease has run out.
        """
        points = {"before": "before_step", "unrecorded": "before_checkpoint", "recorded": "after_checkpoint"}
        if when not in points:
            raise ValueError(f"when: {when!r} is none of {', '.join(points)}")
        self._deaths += [(points[when], step)] * times

    def crash_at_point(self, point: str, step: str | None = None) -> None:
        """Have the worker die at a point of the engine: ``before_checkpoint``, ``after_child``, ``before_park`` …"""
        self._deaths.append((point, step))

    def dies_at(self, point: str, step: str | None) -> bool:
        """True where a death was asked for; it is used up."""
        for death in self._deaths:
            if death[0] == point and death[1] in (None, step):
                self._deaths.remove(death)
                self._dead = True
                self.crashes += 1
                return True
        return False

    # ---- flows

    def serve(self, *functions: FlowFunction[..., Any]) -> None:
        """Serve more flows: those that are called as sub-flows by name."""
        for function in functions:
            self._programs[function.handler] = function

    def serve_files(self) -> None:
        """Serve flow files, too."""
        self._programs |= FILE_PROGRAMS

    def start(self, function: FlowFunction[..., Any], *args: Any, **kwargs: Any) -> str:  # noqa: ANN401
        """Start a flow and let it run as far as it comes without time passing; return its id."""
        self.serve(function)
        given = msgspec.to_builtins({"args": list(args), "kwargs": kwargs})
        now = self.clock.now()
        new = NewFlow(
            id=self.engine.new_id("f"), mode=FlowMode.PROGRAM, name=function.name, handler=function.handler,
            requester="local", created_at=now, input=given, **rules_of(function, args, kwargs, now),
        )  # fmt: skip
        return self.submit(new)

    def submit(self, new: NewFlow) -> str:
        """Put a flow on record as it is, and let it run as far as it comes."""
        self._do(self.store.create_flow(new))
        self.settle()
        return new.id

    def run(self, function: FlowFunction[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run a flow to its end, skipping all waits for time, and return its result. Raises Stuck, FlowFailed."""
        return self.result(self.start(function, *args, **kwargs))

    def result(self, flow_id: str) -> Any:  # noqa: ANN401
        """Let a flow run to its end, skipping time, and return its result. Raises Stuck, FlowFailed."""
        flow = self.finish(flow_id)
        if flow.status is not FlowStatus.SUCCEEDED:
            raise FlowFailed(flow)
        return self.engine.values.read(
            str(self._do(self.store.flow_input(flow_id)).get("values") or flow_id), flow.result
        )

    def finish(self, flow_id: str) -> Flow:
        """Let a flow run until it has ended or is blocked, skipping time; return its record. Raises Stuck."""
        for _ in range(ROUNDS_MAX):
            self.settle()
            flow = self.flow(flow_id)
            if flow.status.final or flow.status is FlowStatus.BLOCKED:
                return flow
            if not self._skip():
                raise Stuck(f"flow {flow.name} waits for {flow.wait or 'nothing'}, and no time will bring it")
        raise Stuck(f"flow {flow_id} does not come to an end")

    def flow(self, flow_id: str) -> Flow:
        """Return a flow's record."""
        found = self._do(self.store.get_flow(flow_id))
        assert found is not None, f"no flow {flow_id}"
        return found

    def steps(self, flow_id: str) -> dict[str, StepRow]:
        """Return what is on record of a flow's steps, by key."""
        return {row.key: row for row in self._do(self.store.steps_of(flow_id))}

    def events(self, flow_id: str) -> list[FlowEvent]:
        """Return a flow's history."""
        return self._do(self.store.flow_events(flow_id))

    # ---- what comes from outside

    def signal(self, flow_id: str, name: str, payload: object = None) -> None:
        """Send a signal."""
        text = msgspec.json.encode(payload).decode()
        self._do(self.store.send_signal(flow_id, name, text, self.clock.now(), "test", None))
        self.settle()

    def questions(self, flow_id: str) -> list[Approval]:
        """Return the questions of a flow that nobody has answered, oldest first."""
        narrow = ApprovalFilter(statuses=(ApprovalStatus.PENDING,), flow_id=flow_id)
        return self._do(self.store.list_approvals(narrow, 100)).approvals[::-1]

    def approve(self, flow_id: str, note: str | None = None) -> None:
        """Approve the oldest question of a flow. Raises Stuck when it asks none."""
        self._decide(flow_id, ApprovalStatus.APPROVED, note)

    def reject(self, flow_id: str, note: str | None = None) -> None:
        """Reject the oldest question of a flow. Raises Stuck when it asks none."""
        self._decide(flow_id, ApprovalStatus.REJECTED, note)

    def _decide(self, flow_id: str, status: ApprovalStatus, note: str | None) -> None:
        asked = self.questions(flow_id)
        if not asked:
            raise Stuck(f"flow {flow_id} asks nothing")
        self._do(
            self.store.decide(
                Verdict(approval_id=asked[0].id, status=status, at=self.clock.now(), by="test", how="test", note=note)
            )
        )
        self.settle()

    def cancel(self, flow_id: str, reason: str | None = None) -> None:
        """Call a flow off."""
        self._do(self.store.ask_cancel_flow(flow_id, self.clock.now(), reason))
        self.settle()

    # ---- time

    def advance(self, span: Span) -> None:
        """Let time pass; whatever comes due meanwhile comes in its order."""
        until = self.clock.now() + seconds_of(span)
        self.settle()
        while self._skip(until):
            self.settle()
        self.clock.move(until)
        self.settle()

    def _skip(self, until: float | None = None) -> bool:
        """Move time on to the next moment anything is due, within bounds."""
        now = self.clock.now()
        # What was due before and has not been taken, nobody takes: to move on to it again would turn for ever.
        ready = self._do(self.store.next_flow_ready([], now))
        tasks = self._do(self.store.next_due())
        moments = [one for one in (ready, tasks, self.clock.next_due) if one is not None and one > now]
        if not moments or (until is not None and min(moments) > until):
            return False
        self.clock.move(min(moments))
        return True

    def settle(self) -> None:
        """Let everything run that needs no time."""
        self._do(self._settle())

    async def _settle(self) -> None:
        while True:
            self._moved.clear()
            if self._dead and self.engine.held == 0:
                await self._replace()
            if not self._dead:
                await Engine.round(self.engine)  # of this one nobody has to hear
            await self._take_tasks()
            if self._dead and self.engine.held == 0:
                continue  # it died while it looked for more: nobody says so again
            if self.engine.held or self._busy:
                await self._until_moved()
            elif not self._moved.is_set():
                return

    async def _until_moved(self) -> None:
        try:
            await asyncio.wait_for(self._moved.wait(), self._patience)
        except TimeoutError:
            held = "; ".join([*self.engine.at_work_on(), f"{self._busy} commands"])
            raise Stuck(f"nothing has happened for {self._patience:g} s of real time; still at work: {held}") from None

    async def _replace(self) -> None:
        """A worker has died: another takes its place. What the dead one held waits for the end of its lease."""
        self._dead = False
        self._new_engine()
        due = await self.store.next_flow_ready([])
        lease = self.clock.now() + self.engine.lease_seconds
        if due is not None and due <= lease:
            self.clock.move(due)

    # ---- commands

    async def _take_tasks(self) -> None:
        for claimed in await self._ledger.claim(32):
            self._busy += 1
            job = asyncio.create_task(self._see_through(claimed))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _see_through(self, claimed: Claimed) -> None:
        try:
            if claimed.task.runtime in AGENTS:
                return await self._answered(claimed)
            fake, tail = await self._carried_out(claimed)
            status = Status(fake.status)
            result = {
                "status": fake.status, "exitCode": fake.exit_code, "stdout": fake.stdout, "tail": tail,
                "taskId": claimed.task.id, "sessionId": claimed.task.session_id, "truncated": False,
            }  # fmt: skip
            error = None if status is Status.SUCCEEDED else f"exit code {fake.exit_code}"
            await self._ledger.finish(
                claimed.task,
                Outcome(
                    status=status, cause=Cause.EXIT, at=self.clock.now(), detail={"exitCode": fake.exit_code},
                    summary=tail or None, error=error, output=msgspec.json.encode(result).decode(),
                ),
            )  # fmt: skip
        finally:
            self._busy -= 1
            self._moved.set()

    async def _answered(self, claimed: Claimed) -> None:
        step = (claimed.payload or {}).get("env", {}).get("OUTLAST_STEP", "")  # type: ignore[attr-defined]
        none = AgentResult("failed", error=f"the test makes up no answer for step {step}")
        answer = replace(self._answers.get(step, none), task_id=claimed.task.id, conversation=claimed.task.conversation)
        ended = Outcome(
            status=Status(answer.status), cause=Cause.EXIT, at=self.clock.now(), summary=answer.text or None,
            error=answer.error, output=msgspec.json.encode(answer).decode(),
        )  # fmt: skip
        await self._ledger.finish(claimed.task, ended)

    async def _carried_out(self, claimed: Claimed) -> tuple[FakeCommand, str]:
        spec: Mapping[str, Any] = msgspec.convert((claimed.payload or {})["spec"], dict[str, Any])
        made_up = self._commands.get(spec["env"].get("OUTLAST_STEP", ""))
        if made_up is not None:
            fake = made_up if isinstance(made_up, FakeCommand) else made_up(spec["argv"])
            return fake, fake.stdout[-1000:]
        process = await asyncio.create_subprocess_exec(
            *spec["argv"], cwd=spec["cwd"], env=spec["env"], stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate((spec.get("stdin_text") or "").encode())
        text = out.decode("utf-8", "replace")
        status = "succeeded" if process.returncode == 0 else "failed"
        return FakeCommand(status, process.returncode, text), (text + err.decode("utf-8", "replace"))[-1000:].rstrip()
