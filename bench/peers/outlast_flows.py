"""outlast over SQLite, or over PostgreSQL with --dsn: the real engine and store, a program of steps, in one process.

Everything is done that is done for a flow anywhere: it is put on record with its input and claimed, each step is
recorded under the claim before the program sees its result, and the end is recorded with its history and the notice to
its requester.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import time
from typing import Any

import outlast
from outlast.config import load
from outlast.core.flow import FlowFilter, FlowMode, FlowStatus, NewFlow
from outlast.flows.engine import Engine
from outlast.flows.waits import rules_of
from outlast.gateway.flow_engine import Maker, make_engine
from outlast.process.clock import SystemClock
from outlast.store.base import Store
from peers import common, flows
from peers.outlast import over_postgresql, over_sqlite

laps = flows.Laps()


@outlast.step
async def nothing(number: int) -> int:
    return number


@outlast.flow
async def ten_steps(context: outlast.FlowContext) -> int:
    lap = laps.start()
    for number in range(flows.STEPS):
        await nothing(number)
        lap()
    return 1


class Starter:
    """Starts flows in an engine, and hears of their ends when the store has just committed them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ends = common.Ends()
        move = engine.store.move_flow

        async def move_flow(wanted: Any) -> Any:
            moved = await move(wanted)
            if moved is not None and moved.status.final:
                self._ends.ended(moved.id)
            return moved

        engine.store.move_flow = move_flow  # type: ignore[method-assign]

    def new_flow(self) -> NewFlow:
        now = self._engine.clock.now()
        return NewFlow(
            id=self._engine.new_id("f"), mode=FlowMode.PROGRAM, name=ten_steps.name, handler=ten_steps.handler,
            requester="bench", created_at=now, input={"args": [], "kwargs": {}}, **rules_of(ten_steps, (), {}, now),
        )  # fmt: skip

    async def one(self) -> None:
        created = await self._engine.submit(self.new_flow())
        await self._ends.wait(created.flow.id)


def engine_of(store: Store, words: argparse.Namespace) -> Engine:
    """Return an engine as a gateway, a worker or a user's process makes it."""
    home = os.path.abspath(words.folder)
    maker = Maker(load({"OUTLAST_HOME": home, "HOME": home}), SystemClock(), {})
    return make_engine(maker, store, {ten_steps.handler: ten_steps}, worker="bench")


async def run_flows(store: Store, words: argparse.Namespace) -> tuple[dict[str, Any], list[float]]:
    """Run flows one at a time, then with many in flight; return what `common.many` and `common.single` found."""
    engine = engine_of(store, words)
    starter = Starter(engine)
    engine.start()
    try:
        single = await flows.singles(starter.one, words, laps)
        began = time.process_time()
        many = await common.many(starter.one, words, flows.Wave(words))
        many["cpuMicroseconds"] = (time.process_time() - began) / many["tasks"] * 1e6
        return many, single
    finally:
        await engine.stop()


async def main() -> None:
    words = common.arguments(__doc__)
    store, durability = (
        over_postgresql(words.dsn) if words.dsn else over_sqlite(os.path.join(words.folder, "ledger.db"))
    )
    await store.open()
    try:
        many, single = await run_flows(store, words)
        info, live, sample = await store.info(), await store.flow_counts(), await recorded(store)
    finally:
        await store.close()
    assert sum(live.values()) == 0, live
    assert sample == {(FlowStatus.SUCCEEDED, flows.STEPS)}, sample
    cpu, peak = many.pop("cpuMicroseconds"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    common.report(
        many=many, single=single, durability=durability(),
        versions=common.versions("outlast", **{info.kind: info.version}),
        settings=["engine and store", f"{cpu:.0f} µs of processor a flow", f"{peak} MiB at most"],
        steps=laps.milliseconds,
    )  # fmt: skip


async def recorded(store: Store) -> set[tuple[FlowStatus, int]]:
    """Return how the latest flows stand, and how many of their steps are on record as done."""
    page = await store.list_flows(FlowFilter(), 100)
    counts = await store.step_counts([flow.id for flow in page.flows])
    return {(flow.status, counts[flow.id][0]) for flow in page.flows}


if __name__ == "__main__":
    asyncio.run(main())
