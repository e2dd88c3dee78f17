"""Flows of thirty mixed steps while workers and gateways are killed again and again: in the end everything adds up."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections import Counter
from typing import Any

import msgspec
import pytest
from crashing import until
from flow_crashing import QUICK, FlowNode
from running import PATIENCE

from outlast.core.approval import ApprovalFilter, ApprovalStatus, Verdict
from outlast.core.flow import FlowStatus, StepKind
from outlast.core.session import Status
from outlast.gateway.stores import make_store
from outlast.store.base import Store

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mixed_flow.py")
STEPS = 30
AT_ONCE = 6
"""Flows under way at the same time."""
APART = (2, 16)
"""How many things are done between two kills."""
KINDS = (
    "coroutine", "thread", "run", "nap", "signal", "approval", "subflow", "value", "patch", "retried", "failed",
    "beside",
)  # fmt: skip
ONCE = frozenset((StepKind.RUN,))
"""Kinds of steps whose work is never done twice, whoever dies."""
LOOK = 0.05
STILL = 2 * PATIENCE
"""Seconds in which nothing at all is done: nobody will do any more."""


def plan_of(luck: random.Random) -> list[list[str]]:
    """Draw what one flow does; every kind comes up."""
    kinds = [*KINDS, *(luck.choice(KINDS) for _ in range(STEPS - len(KINDS)))]
    luck.shuffle(kinds)
    return [[kind, f"s{number:02d}-{kind}"] for number, kind in enumerate(kinds)]


def comes_to(kind: str, key: str) -> object:
    """What one thing comes to, whatever happens meanwhile."""
    loud = key.upper()
    return {
        "run": f"{key}\n", "nap": None, "signal": key, "approval": "approved", "subflow": f"{loud}-IN", "value": 36,
        "patch": True, "failed": "OSError: broken", "beside": [f"{loud}-A", f"{loud}-B", f"{key}-c\n", None],
    }.get(kind, loud)  # fmt: skip


class Friend(threading.Thread):
    """Gives flows what they wait for: answers, signals (each twice), and an end to those that are to be cancelled."""

    def __init__(self, node: FlowNode, seed: int) -> None:
        super().__init__(daemon=True)
        self._node = node
        self._luck = random.Random(seed)
        self._ended = threading.Event()
        self._later: list[tuple[float, str, str]] = []
        self.trouble: BaseException | None = None

    def cares_for(self, flow_id: str, plan: list[list[str]], *, cancel: bool) -> None:
        """Send a flow's signals, now or later; call it off later, where that is wanted."""
        now = time.monotonic()
        later = [(now + self._luck.uniform(0, 3), flow_id, key) for kind, key in plan if kind == "signal"]
        self._later += [*later, *((at + 0.3, *rest) for at, *rest in later)]
        if cancel:
            self._later.append((now + self._luck.uniform(0.2, 4), flow_id, ""))

    def stop(self) -> None:
        self._ended.set()
        self.join(PATIENCE)
        assert not self.is_alive(), "the friend does not end"
        assert self.trouble is None, self.trouble

    def run(self) -> None:
        try:
            asyncio.run(self._help())
        except BaseException as trouble:
            self.trouble = trouble

    async def _help(self) -> None:
        store = make_store(self._node.config)
        await store.open()
        try:
            while not self._ended.is_set():
                await self._answer(store)
                await self._send(store)
                await asyncio.sleep(LOOK)
        finally:
            await store.close()

    async def _answer(self, store: Store) -> None:
        narrow = ApprovalFilter(statuses=(ApprovalStatus.PENDING,))
        for asked in (await store.list_approvals(narrow, 100)).approvals:
            if self._luck.random() < 0.3:
                await store.decide(
                    Verdict(approval_id=asked.id, status=ApprovalStatus.APPROVED, at=time.time(), by="f", how="test")
                )  # fmt: skip

    async def _send(self, store: Store) -> None:
        now = time.monotonic()
        due, self._later = [one for one in self._later if one[0] <= now], [one for one in self._later if one[0] > now]
        for _, flow_id, key in due:
            if key:
                text = msgspec.json.encode(key).decode()
                await store.send_signal(flow_id, key, text, time.time(), "friend", key)
            else:
                await store.ask_cancel_flow(flow_id, time.time(), "enough")


class Soak:
    """One run of the soak."""

    def __init__(self, node: FlowNode, runs: int, seed: int) -> None:
        self.node = node
        self.luck = random.Random(seed)
        self.friend = Friend(node, seed)
        self.wanted = runs
        self.plans: dict[str, list[list[str]]] = {}
        self.places: dict[str, str] = {}
        self.called_off: set[str] = set()
        self.kills: Counter[str] = Counter()

    def endure(self) -> None:
        """Run all flows, kill as long as any is under way, and see whether everything adds up."""
        self.friend.start()
        try:
            self._kill_until_all_have_ended()
        finally:
            self.friend.stop()
        for flow_id, plan in self.plans.items():
            self._add_up(flow_id, plan)

    def _kill_until_all_have_ended(self) -> None:
        assert self.node.begin()
        self.node.work(source=PROGRAM)
        live: set[str] = set()
        next_kill = self.luck.randint(*APART)
        done, since = 0, time.monotonic()
        while live or self.wanted:
            if self._things_done() != done:
                done, since = self._things_done(), time.monotonic()
            assert time.monotonic() < since + STILL, (live, self.node.said()[-6000:])
            while self.wanted and len(live) < AT_ONCE:
                live.add(self._start())
            if self._things_done() >= next_kill:
                self._kill()
                next_kill = self._things_done() + self.luck.randint(*APART)
            live = self.node.ask_store(lambda store, live=live: self._alive(store, live))
            time.sleep(LOOK)

    def _start(self) -> str:
        self.wanted -= 1
        plan, place = plan_of(self.luck), str(self.node.path(f"marks-{len(self.plans)}"))
        flow_id = self.node.put(f"{PROGRAM}:mixed", [place, plan])
        self.plans[flow_id], self.places[flow_id] = plan, place
        if self.luck.random() < 0.15:
            self.called_off.add(flow_id)
        self.friend.cares_for(flow_id, plan, cancel=flow_id in self.called_off)
        return flow_id

    async def _alive(self, store: Store, live: set[str]) -> set[str]:
        left = set()
        for flow_id in live:
            flow = await store.get_flow(flow_id)
            assert flow is not None
            if flow.status is FlowStatus.BLOCKED:  # by chance all five workers in a row died over it: it is let go on
                assert flow.blocker is not None and flow.blocker["kind"] == "crashed", flow
                assert await store.retry_flow(flow_id, None, time.time()) is not None
            if not flow.status.final:
                left.add(flow_id)
        return left

    def _things_done(self) -> int:
        return sum(os.path.getsize(place) // 20 for place in self.places.values() if os.path.exists(place))

    def _kill(self) -> None:
        what = self.luck.choice(("worker", "worker", "gateway", "both"))
        self.kills[what] += 1
        if what != "worker":
            self.node.kill()
        if what != "gateway":
            for worker in self.node.ask_store(lambda store: store.flow_workers()):
                if self.luck.random() < 0.8:
                    self.node.kill_worker(worker)
            time.sleep(self.luck.uniform(0, 0.1))
            self.node.work(source=PROGRAM)
        if what != "worker":
            time.sleep(self.luck.uniform(0, 0.1))
            assert self.node.begin(), self.node.log()

    # ---- what it came to

    def _add_up(self, flow_id: str, plan: list[list[str]]) -> None:
        node = self.node
        node.place = self.places[flow_id]
        flow = node.flow(flow_id)
        rows = {row.key.partition("#")[0]: row for row in node.steps(flow_id).values()}
        marks, marked = node.marks(), node.marked()
        if flow.status is FlowStatus.CANCELLED:
            assert flow_id in self.called_off
            undone = [row.key for row in rows.values() if row.key.startswith("compensate:undo")]
            assert all(marks[key.removeprefix("compensate:")] >= 1 for key in undone)
            assert undone == sorted(undone, reverse=True)
        else:
            expected = [comes_to(kind, key) for kind, key in plan]
            assert msgspec.json.decode(flow.result or "") == expected
        node.judge_flow(flow_id, flow.status)
        for row in rows.values():
            if row.kind is StepKind.SIGNAL and row.status is Status.SUCCEEDED:
                assert msgspec.json.decode(row.result or "") == row.key
        for key, at in marked:
            row = rows.get(key.removeprefix("undo-") if key.startswith("undo-") else key)
            if key.startswith("undo-"):
                row = rows.get(f"compensate:{key}")
            if row is not None and row.kind in ONCE:
                assert marks[key] == 1, (key, marks)
            elif row is not None and row.ended_at is not None:
                assert at <= row.ended_at, (key, row)
            elif key.endswith("-run"):
                assert marks[key] == 1, (key, marks)

    def said(self) -> dict[str, Any]:
        """How much was done, for who reads along."""
        again = 0
        for place in self.places.values():
            self.node.place = place
            again += sum(count - 1 for count in self.node.marks().values())
        return {"flows": len(self.plans), "kills": dict(self.kills), "done again": again}


def endure(node: FlowNode, runs: int, seed: int) -> None:
    """Run so many flows, with as many kills as come up."""
    print(f"seed {seed}")
    node.settings |= QUICK
    soak = Soak(node, runs, seed)
    soak.endure()
    print(soak.said())
    assert soak.kills


def test_a_few_flows_add_up_whoever_is_killed(flows: FlowNode) -> None:
    """Six flows of thirty steps, all at once."""
    endure(flows, runs=6, seed=int(os.environ.get("SOAK_SEED", "11")))


@pytest.mark.soak
@pytest.mark.parametrize("seed", [int(os.environ.get("SOAK_SEED", "1"))])
def test_two_hundred_flows_add_up_whoever_is_killed(flows: FlowNode, seed: int) -> None:
    """Two hundred; sixty over PostgreSQL."""
    endure(flows, runs=60 if flows.config.store_url else 200, seed=seed)


def test_the_marks_tell_what_was_done_after_its_record(flows: FlowNode) -> None:
    """The proof of the soak itself: a mark that comes too late is noticed."""
    flow_id = flows.put(f"{PROGRAM}:mixed", [flows.place, [["thread", "s00-thread"]]])
    flows.work(source=PROGRAM)
    flows.flow_ended(flow_id)
    soak = Soak(flows, 0, 1)
    soak.places[flow_id] = flows.place
    soak._add_up(flow_id, [["thread", "s00-thread"]])
    until(lambda: time.time() > (flows.flow(flow_id).ended_at or 0))
    with open(flows.place, "a", encoding="utf-8") as file:
        file.write(f"s00-thread {time.time()!r}\n")
    with pytest.raises(AssertionError):
        soak._add_up(flow_id, [["thread", "s00-thread"]])
