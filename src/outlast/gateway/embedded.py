"""``outlast.open()``: flows inside a process of one's own, with no gateway.

It works on the store directly, beside a gateway that may run or not. Steps that are functions need nothing else. For
commands somebody has to hold sessions: the gateway of the home if one runs, else this process takes its place (and its
lock) from the first command on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec

from outlast._version import __version__
from outlast.config import Config, ensure_dirs, load
from outlast.core.approval import ApprovalFilter, ApprovalStatus, Verdict
from outlast.core.errors import Conflict, NotFound
from outlast.core.flow import Flow, FlowMode, FlowStatus, NewFlow, StepRow
from outlast.core.ids import own_key
from outlast.core.task import NewTask, NotifyPolicy
from outlast.flows.children import rules_of
from outlast.flows.engine import LINGER_SECONDS, Engine, Program
from outlast.flows.errors import FlowFailed
from outlast.flows.files.program import FILE_PROGRAMS
from outlast.flows.loading import find
from outlast.flows.program import FlowFunction
from outlast.flows.retrying import Span, seconds_of
from outlast.flows.watchdog import Watchdog
from outlast.gateway import places
from outlast.gateway.agent_turns import staffed
from outlast.gateway.flow_engine import Maker, make_engine
from outlast.gateway.stores import make_store
from outlast.ledger.tasks import LEASE_SECONDS, Ledger
from outlast.process.clock import SystemClock
from outlast.process.launcher import Launcher
from outlast.process.sessions import Sessions
from outlast.store.base import Change, Store


class FlowHandle:
    """One flow on record, as who started it sees it."""

    def __init__(self, runtime: FlowRuntime, flow_id: str) -> None:
        self._runtime = runtime
        self.id = flow_id

    async def record(self) -> Flow:
        """Return the flow as it stands. Raises NotFound."""
        return await self._runtime.record(self.id)

    async def steps(self) -> list[StepRow]:
        """Return what is on record of its steps."""
        return await self._runtime.store.steps_of(self.id)

    async def result(self) -> Any:  # noqa: ANN401  # a program's result is its own
        """Wait for the end and return the flow's result. Raises FlowFailed when it ended otherwise, or is blocked."""
        flow = await self._runtime.ended(self.id)
        if flow.status is not FlowStatus.SUCCEEDED:
            raise FlowFailed(flow)
        owner = self.id
        if flow.parent_id is not None:  # what a child keeps beside its rows is with the first of its line
            owner = str((await self._runtime.store.flow_input(self.id)).get("values") or owner)
        return self._runtime.engine.values.read(owner, flow.result)

    async def signal(self, name: str, payload: object = None, *, key: str | None = None) -> None:
        """Send a signal. The same ``key`` a second time changes nothing. Raises Conflict when the flow has ended."""
        text, now = msgspec.json.encode(payload).decode(), self._runtime.clock.now()
        if await self._runtime.store.send_signal(self.id, name, text, now, "local", key) is None:
            raise Conflict(f"flow {self.id} has ended", code="flow_ended")

    async def cancel(self, reason: str | None = None) -> None:
        """Call it off; its compensations run. Nothing happens to one that has ended."""
        await self._runtime.store.ask_cancel_flow(self.id, self._runtime.clock.now(), reason)

    async def approve(self, note: str | None = None) -> None:
        """Approve its oldest question. Raises NotFound when it asks none."""
        await self._decide(ApprovalStatus.APPROVED, note)

    async def reject(self, note: str | None = None) -> None:
        """Reject its oldest question. Raises NotFound when it asks none."""
        await self._decide(ApprovalStatus.REJECTED, note)

    async def _decide(self, status: ApprovalStatus, note: str | None) -> None:
        store = self._runtime.store
        narrow = ApprovalFilter(statuses=(ApprovalStatus.PENDING,), flow_id=self.id)
        asked = (await store.list_approvals(narrow, 100)).approvals
        if not asked:
            raise NotFound(f"flow {self.id} asks nothing")
        now = self._runtime.clock.now()
        await store.decide(
            Verdict(approval_id=asked[-1].id, status=status, at=now, by="local", how="python", note=note)
        )


class FlowRuntime:
    """Runs flows in this process. Use it as an asynchronous context manager; made by `outlast.open`."""

    def __init__(
        self,
        *functions: FlowFunction[..., Any],
        home: str | None = None,
        store: str | None = None,
        slots: int | None = None,
        lease: Span | None = None,
        linger: Span = LINGER_SECONDS,
    ) -> None:
        environ = dict(os.environ)
        if home is not None:
            environ["OUTLAST_HOME"] = os.path.abspath(home)
        if store is not None:
            environ["OUTLAST_STORE_URL"] = store
        self.config: Config = load(environ)
        self.clock = SystemClock()
        self.store: Store = make_store(self.config)
        self.environ = environ
        self._programs: dict[str, Program] = {**FILE_PROGRAMS}
        self.serve(*functions)
        self._waiters: dict[str, set[asyncio.Future[Flow | None]]] = {}
        self._slots = slots
        self._lease = None if lease is None else seconds_of(lease)
        self._linger = seconds_of(linger)
        self._hands = _Hands(self)

    def serve(self, *functions: FlowFunction[..., Any]) -> None:
        """Serve more flows: those that others start, or that are called by name."""
        for function in functions:
            self._programs[function.handler] = function

    async def __aenter__(self) -> FlowRuntime:
        """Open the store and begin to take flows. Raises GatewayTrouble."""
        ensure_dirs(self.config.paths)
        self._node = places.node_at(self.config.paths.node)
        await self.store.open()
        self.store.on_change(self._changed)
        maker = Maker(self.config, self.clock, self.environ)
        self.engine: Engine = make_engine(
            maker, self.store, self._programs, worker=f"{self._node}/p{os.getpid()}-{time.time_ns()}",
            lease_seconds=self._lease, linger_seconds=self._linger, held_max=self._slots,
        )  # fmt: skip
        self.engine.ended = self._seen
        compose = self.engine.compose

        def composed(flow: Flow, given: dict[str, Any], ask: Any) -> NewTask:  # noqa: ANN401
            self._hands.wanted()
            return compose(flow, given, ask)

        self.engine.compose = composed
        self._watchdog = Watchdog(lambda: make_store(self.config), self.engine)
        self.engine.start()
        self._watchdog.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go: flows that have not ended stay on record, for this or another process to go on with."""
        self._watchdog.stop()
        await self.engine.stop()
        await self._hands.close()
        await self.store.close()

    # ---- flows

    async def start(
        self,
        target: FlowFunction[..., Any] | str,
        *args: Any,  # noqa: ANN401
        goal: str | None = None,
        label: str | None = None,
        dedupe_key: str | None = None,
        delay: Span | None = None,
        deadline: Span | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> FlowHandle:
        """Put a flow on record and run it; return at once. ``target`` is a flow, or ``/path/file.py:name``.

        With ``dedupe_key`` a live flow that has the same one stands in for a second start.
        """
        function = find(target) if isinstance(target, str) else target
        self.serve(function)
        now = self.clock.now()
        rules = rules_of(function, args, kwargs, now)
        if deadline is not None:
            rules["deadline_at"] = now + seconds_of(deadline)
        new = NewFlow(
            id=self.engine.new_id("f"), mode=FlowMode.PROGRAM, name=function.name, handler=function.handler,
            requester="local", created_at=now, input=_given(args, kwargs), goal=goal, label=label, node=self._node,
            dedupe_key=None if dedupe_key is None else own_key("local", dedupe_key), notify=NotifyPolicy.SILENT,
            not_before_at=None if delay is None else now + seconds_of(delay), **rules,
        )  # fmt: skip
        created = await self.engine.submit(new)
        return FlowHandle(self, created.flow.id)

    async def run(self, target: FlowFunction[..., Any] | str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run a flow to its end and return its result. Raises FlowFailed."""
        return await (await self.start(target, *args, **kwargs)).result()

    def flow(self, flow_id: str) -> FlowHandle:
        """Return a handle of a flow that is on record."""
        return FlowHandle(self, flow_id)

    async def record(self, flow_id: str) -> Flow:
        """Return a flow as it stands. Raises NotFound."""
        found = await self.store.get_flow(flow_id)
        if found is None:
            raise NotFound(f"no flow {flow_id!r}")
        return found

    async def ended(self, flow_id: str) -> Flow:
        """Wait until a flow has ended or is blocked; return its record. Raises NotFound."""
        while True:
            future: asyncio.Future[Flow | None] = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(flow_id, set()).add(future)
            try:
                if not self.engine.holds(flow_id):
                    flow = await self.record(flow_id)
                    if flow.status.final or flow.status is FlowStatus.BLOCKED:
                        return flow
                seen = await future
                if seen is not None:
                    return seen
            finally:
                waiters = self._waiters[flow_id]
                waiters.discard(future)
                if not waiters:
                    del self._waiters[flow_id]

    def _seen(self, flow: Flow) -> None:
        for future in self._waiters.get(flow.id, ()):
            if not future.done():
                future.set_result(flow if flow.status.final or flow.status is FlowStatus.BLOCKED else None)

    def _changed(self, change: Change) -> None:
        if change.flows or change.foreign:  # somebody else may have ended it
            for waiters in self._waiters.values():
                for future in waiters:
                    if not future.done():
                        future.set_result(None)


def _given(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, object]:
    """Return the arguments of a start as they go on record."""
    given: dict[str, object] = {"args": list(args), "kwargs": dict(kwargs), "workdir": os.getcwd()}
    plain: dict[str, object] = msgspec.json.decode(msgspec.json.encode(given))
    return plain


class _Hands:
    """What carries commands out, where no gateway does: made when the first one is asked for."""

    def __init__(self, runtime: FlowRuntime) -> None:
        self._runtime = runtime
        self._opening: asyncio.Task[None] | None = None
        self._stack = contextlib.AsyncExitStack()

    def wanted(self) -> None:
        """Open, unless that was done."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())

    async def close(self) -> None:
        """Let go; commands run on, and the next gateway finds them."""
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
            await self._stack.aclose()

    async def _open(self) -> None:
        runtime, config = self._runtime, self._runtime.config
        lock = places.Lock(config.paths.lock)
        try:
            lock.take()
        except Conflict:
            return  # a gateway does it
        self._stack.callback(lock.release)
        lock.write({"pid": os.getpid(), "version": __version__, "embedded": True, "host": socket.gethostname()})
        sessions = Sessions(
            config.paths.home,
            config.paths.run,
            runtime.clock,
            Launcher(config.paths.home, config.paths.run, __version__),
        )
        await sessions.open(hold=True)
        self._stack.push_async_callback(sessions.close)
        node = places.node_at(config.paths.node)
        ledger = Ledger(
            make_store(config), runtime.clock, node=node, worker=f"{node}/{os.getpid()}-{time.time_ns()}",
            lease_seconds=LEASE_SECONDS if config.store_url else None,
        )  # fmt: skip
        maker = Maker(config, runtime.clock, runtime.environ)
        books = staffed(ledger, sessions, maker, slots=config.tasks_slots, umask=_umask())
        await books.open()
        self._stack.push_async_callback(books.close)


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now
