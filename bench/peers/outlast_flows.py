"""outlast over SQLite, or over PostgreSQL with --dsn: `outlast.open()` and a program of steps, in one process.

Everything is done that is done for any flow: it is put on record with its input and claimed, each step is recorded
under the claim before the program sees its result, and the end is recorded with its history.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import time
from typing import Any

import outlast
from outlast.core.flow import FlowFilter, FlowStatus
from outlast.store.base import Store
from peers import common, flows
from peers.outlast import over_postgresql, over_sqlite
from peers.raw import Commits

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


async def run_flows(runtime: outlast.FlowRuntime, words: argparse.Namespace) -> dict[str, Any]:
    """Run flows one at a time, with as many raw commits as steps between them, then with many in flight."""
    raw, commits = Commits(words.folder), []

    async def one() -> None:
        await runtime.run(ten_steps)

    def between() -> None:
        commits.extend(raw.one() for _ in range(flows.STEPS))

    single = await flows.singles(one, words, laps, between)
    began = time.process_time()
    many = await common.many(one, words, flows.Wave(words))
    many["cpuMicroseconds"] = (time.process_time() - began) / many["tasks"] * 1e6
    return {"many": many, "single": single, "steps": laps.milliseconds, "commits": commits}


async def main() -> None:
    words = common.arguments(__doc__)
    home = os.path.join(os.path.abspath(words.folder), "home")
    async with outlast.open(ten_steps, home=home, store=words.dsn or None) as runtime:
        found = await run_flows(runtime, words)
        info, live = await runtime.store.info(), await runtime.store.flow_counts()
        sample = await recorded(runtime.store)
    assert sum(live.values()) == 0, live
    assert sample == {(FlowStatus.SUCCEEDED, flows.STEPS)}, sample
    cpu, peak = found["many"].pop("cpuMicroseconds"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    _, durability = over_postgresql(words.dsn) if words.dsn else over_sqlite(info.place)
    common.report(
        **found, durability=durability(),
        versions=common.versions("outlast", **{info.kind: info.version}),
        settings=["outlast.open()", f"{cpu:.0f} µs of processor a flow", f"{peak} MiB at most"],
    )  # fmt: skip


async def recorded(store: Store) -> set[tuple[FlowStatus, int]]:
    """Return how the latest flows stand, and how many of their steps are on record as done."""
    page = await store.list_flows(FlowFilter(), 100)
    counts = await store.step_counts([flow.id for flow in page.flows])
    return {(flow.status, counts[flow.id][0]) for flow in page.flows}


if __name__ == "__main__":
    asyncio.run(main())
