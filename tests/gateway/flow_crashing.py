"""Workers for flows that are killed with -9, alone or with their gateway, and what is on record afterwards."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from crashing import Node, until
from nursery import Born, bear
from running import PATIENCE

from houses import environment
from outlast.core.approval import Approval, ApprovalFilter, ApprovalStatus, Verdict
from outlast.core.flow import FLOW_ENDS, Flow, FlowEvent, FlowMode, FlowStatus, FlowWorker, NewFlow, StepKind, StepRow
from outlast.core.ids import timed_id
from outlast.core.lifecycle import FLOW_MOVES, FlowVerb
from outlast.core.session import Status
from outlast.core.task import NotifyPolicy
from outlast.gateway.stores import make_store
from outlast.store.base import Store

T = TypeVar("T")
PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "every_flow.py")
EVERY = f"{PROGRAMS}:every"
LEASE = 300.0
"""Seconds: so long that no machine is so busy that a worker of ours loses what it holds."""
QUICK = {"outlast.gateway.flow_engine.LINGER_SECONDS": 0.02}
"""What waits is put away at once."""
FAR_AWAY = "elsewhere/w1-1"
NET = 0.05
"""Seconds between two looks: who died may have had no time to say that he had written."""
FLOW_END_VERBS = (FlowVerb.SUCCEED, FlowVerb.FAIL, FlowVerb.CANCEL, FlowVerb.LOSE)
_numbers = itertools.count(1)


class FlowNode(Node):
    """A home with workers for flows."""

    def __init__(self, store_url: str = "") -> None:
        super().__init__(store_url)
        self.workers: list[Born] = []
        self.place = str(self.path("marks"))
        self.env["OUTLAST_FLOWS_LEASE_SECONDS"] = str(LEASE)

    def close(self) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGKILL)
        for name in self.path("").glob("worker-*.pid"):
            name.unlink()
        super().close()

    # ---- workers

    def work(
        self, point: str | None = None, *, source: str = PROGRAMS, lease: float = LEASE, settings: Any = None
    ) -> Born:
        """Start a worker that dies at a point."""
        self._points += 1
        crash_at = None if point is None else (point, f"{self.home}/crashed-{self._points}")
        reader, writer = os.pipe()
        try:
            born = bear(
                self.env, writer, crash_at=crash_at, sources=[source], lease_seconds=lease,
                settings=QUICK if settings is None else settings, log=self.worker_log,
            )  # fmt: skip
        finally:
            os.close(writer)
            os.close(reader)
        self.workers.append(born)
        return born

    def begin_without_hosting(self, point: str | None = None) -> None:
        """Start a gateway that starts no workers: somebody far away is said to serve everything."""
        now = time.time()
        handlers = [EVERY, f"{PROGRAMS}:child"]
        self.act("flow_worker", FlowWorker(FAR_AWAY, "elsewhere", 999_999_999, handlers, now, now + 3600))
        assert self.begin(point)

    @property
    def worker_log(self) -> str:
        return f"{self.home}/worker.log"

    def said(self) -> str:
        """What workers and gateways have logged."""
        return self.worker_said() + self.log()

    def worker_said(self) -> str:
        """What all workers have logged."""
        try:
            return Path(self.worker_log).read_text()
        except FileNotFoundError:
            return ""

    def worker_dies(self) -> None:
        """Wait until the worker that was started last has killed itself at its point."""
        self.workers[-1].wait(PATIENCE)
        assert self.crashed(), self.worker_said()
        self.bury()

    def bury(self) -> None:
        """Let others take at once what dead workers held, as a gateway does."""

        async def release(store: Store) -> None:
            for worker in await store.flow_workers():
                if worker.id != FAR_AWAY and not self.lives(worker):
                    await store.release_flows_of(worker.id, time.time())
                    await store.remove_flow_worker(worker.id)

        self.ask_store(release)

    def kill_worker(self, worker: FlowWorker) -> None:
        """End a worker as a crash does: one of ours, or one that a gateway of this home has started."""
        born = self._born(worker)
        if born is not None:
            born.send_signal(signal.SIGKILL)
        elif self.lives(worker):
            os.kill(worker.pid, signal.SIGKILL)

    def lives(self, worker: FlowWorker) -> bool:
        """True while a worker's process is there: its number may have been given to somebody else's since."""
        born = self._born(worker)
        if born is not None:
            return born.poll() is None
        return f"OUTLAST_HOME={self.home}".encode() in environment(worker.pid)

    def _born(self, worker: FlowWorker) -> Born | None:
        return next((born for born in reversed(self.workers) if born.pid == worker.pid), None)

    # ---- flows

    def start(self, kind: str, handler: str = EVERY, **fields: Any) -> str:  # type: ignore[override]
        """Put a flow of `every_flow` on record; return its id."""
        return self.put(handler, [self.place, kind], **fields)

    def put(self, handler: str, args: list[object], **fields: Any) -> str:
        """Put a flow on record as a process does that has nothing more to do with it; return its id."""
        now = time.time()
        flow_id = timed_id("f", now, next(_numbers), 4)
        new = NewFlow(
            id=flow_id, mode=FlowMode.PROGRAM, name=handler.rpartition(":")[2], handler=handler, requester="local",
            created_at=now, input={"args": args, "kwargs": {}, "workdir": self.home},
            notify=NotifyPolicy.SILENT, **fields,
        )  # fmt: skip
        self.act("create_flow", new)
        return flow_id

    def ask_store(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        """Ask the store, as a process of its own."""

        async def main() -> T:
            store = make_store(self.config)
            await store.open()
            try:
                return await ask(store)
            finally:
                await store.close()

        return asyncio.run(main())

    def until_flow(self, flow_id: str, comes: Callable[[Flow], object], seconds: float = PATIENCE) -> Flow:
        """Wait until a flow stands as wanted."""

        async def look(store: Store) -> Flow:
            end = time.monotonic() + seconds
            news = asyncio.Event()
            store.on_change(lambda _: news.set())
            while True:
                news.clear()
                flow = await store.get_flow(flow_id)
                assert flow is not None
                if comes(flow):
                    return flow
                assert time.monotonic() < end, (flow, await store.steps_of(flow_id), self.said()[-6000:])
                try:
                    await asyncio.wait_for(news.wait(), NET)
                except TimeoutError:
                    pass

        return self.ask_store(look)

    def flow_ended(self, flow_id: str, seconds: float = PATIENCE) -> Flow:
        """Wait for the end of a flow, or until it is blocked."""
        return self.until_flow(
            flow_id, lambda flow: flow.status.final or flow.status is FlowStatus.BLOCKED, seconds
        )  # fmt: skip

    def flow_waits(self, flow_id: str) -> Flow:
        """Wait until a flow waits on record."""
        return self.until_flow(flow_id, lambda flow: flow.status is FlowStatus.WAITING)

    def flow(self, flow_id: str) -> Flow:
        """A flow as it stands."""
        found = self.ask_store(lambda store: store.get_flow(flow_id))
        assert found is not None
        return found

    def steps(self, flow_id: str) -> dict[str, StepRow]:
        """The steps of a flow by key."""
        return {row.key: row for row in self.ask_store(lambda store: store.steps_of(flow_id))}

    def flow_events(self, flow_id: str) -> list[FlowEvent]:
        """The history of a flow."""
        return self.ask_store(lambda store: store.flow_events(flow_id))

    def questions(self, flow_id: str, *statuses: ApprovalStatus) -> list[Approval]:
        """The questions of a flow, newest first; with ``statuses`` only those."""
        narrow = ApprovalFilter(flow_id=flow_id, statuses=statuses)
        return self.ask_store(lambda store: store.list_approvals(narrow, 100)).approvals

    def decide(self, approval_id: str, status: ApprovalStatus = ApprovalStatus.APPROVED, **fields: Any) -> Any:
        """Answer a question; None when that came to nothing."""
        return self.act(
            "decide",
            Verdict(approval_id=approval_id, status=status, at=time.time(), by="test", how="test", **fields),
        )  # fmt: skip

    def answer(self, flow_id: str, note: str | None = None) -> None:
        """Approve what a flow asks, as soon as it does."""
        until(lambda: self.questions(flow_id))
        assert self.decide(self.questions(flow_id)[0].id, note=note) is not None

    def signal(self, flow_id: str, name: str, payload: str = "null", key: str | None = None) -> Any:
        """Send a signal to a flow; None when it has ended."""
        return self.act("send_signal", flow_id, name, payload, time.time(), "test", key)

    def marks(self) -> Counter[str]:
        """How often each thing was really done."""
        return Counter(key for key, _ in self.marked())

    def marked(self) -> list[tuple[str, float]]:
        """All that was really done, and when."""
        try:
            lines = Path(self.place).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(key, float(at)) for key, at in (line.split() for line in lines)]

    # ---- what is on record afterwards

    def judge_flow(self, flow_id: str, status: FlowStatus = FlowStatus.SUCCEEDED) -> Flow:
        """Check that the record of an ended flow is whole: its history, its steps, what it began."""
        flow, events = self.flow(flow_id), self.flow_events(flow_id)
        assert flow.status is status, (flow, self.worker_said()[-4000:])
        assert replay_flow(events) is status
        assert [event.verb in FLOW_END_VERBS for event in events].count(True) == 1, events
        assert flow.claim_id is None and flow.lease_until is None and flow.ready_at is None
        for row in self.steps(flow_id).values():
            assert row.status.final and row.ended_at is not None, row
            self._judge_child(row)
        assert self.questions(flow_id, ApprovalStatus.PENDING) == []
        assert self.ask_store(lambda store: store.live_tasks_of_flow(flow_id)) == []
        return flow

    def _judge_child(self, row: StepRow) -> None:
        """What a step began has ended as the step says; a step has begun nothing twice."""
        if row.ref is None:
            return
        if row.kind is StepKind.FLOW:
            assert self.flow(row.ref).status.value == row.status.value
        elif row.kind is StepKind.RUN:
            task = self.ask_store(lambda store: store.get_task(row.ref or ""))
            assert task is not None and task.status is row.status, (task, row)
        children = self.ask_store(lambda store: store.child_flows(row.flow_id))
        assert len([one for one in children if one.parent_step == row.key]) == (row.kind is StepKind.FLOW)


def replay_flow(events: list[FlowEvent]) -> FlowStatus:
    """Go through a history by the table of moves; return where it leads. Every line must be allowed where it stands."""
    assert events[0].verb == FlowVerb.CREATE and events[0].status is not None
    status = events[0].status
    for event in events[1:]:
        if event.status is None:
            assert event.verb in ("ask_cancel", "signal", "fork", "link"), event
            continue
        verb = FlowVerb.CLAIM if event.verb in ("takeover", "resume") and event.status == "running" else event.verb
        move = FLOW_MOVES[FlowVerb(verb)]
        assert status in move.sources and event.status in move.targets, (status, event)
        status = event.status
    return status


def done_before_its_record(node: FlowNode, flow_id: str) -> None:
    """Nothing was done again once its end was on record."""
    rows = node.steps(flow_id)
    for key, at in node.marked():
        row = rows.get(key)
        if row is not None and row.status is Status.SUCCEEDED:
            assert row.ended_at is not None and at <= row.ended_at, (key, at, row)


def ends(flow: Flow) -> bool:
    """True for a flow that has ended."""
    return flow.status in FLOW_ENDS
