"""Many at once: a burst of starts, all of them alive together, all of them ended, and nothing left of any."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from process_faults import LIMIT, abandon, alive, kill9, supervisor_of, until, within

from houses import House, spec
from outlast.core.session import Status
from outlast.process.keeper import proc
from outlast.process.sessions import Sessions


async def burst(table: Sessions, count: int) -> None:
    """Start so many quiet sessions in one go."""
    await asyncio.gather(*(table.start(spec(table, ["/bin/sleep", "1000"], id=f"smany{i:04}")) for i in range(count)))


def litter(house: House) -> list[str]:
    """What must not be left when all sessions are over: addresses and markers."""
    return [name for name in os.listdir(house.home) if name.endswith(".ctl")] + os.listdir(f"{house.home}/open")


COUNT = 1000


@pytest.mark.timeout(900)
def test_a_thousand_sessions_start_live_and_end_together(house: House) -> None:
    """One burst, every one alive with a process of its own; a new gateway finds all; all killed; nothing left."""

    async def start(table: Sessions) -> None:
        await within(burst(table, COUNT), 300)
        sessions = table.live()
        assert len(sessions) == COUNT
        assert len({session.pid for session in sessions}) == COUNT
        assert all(alive(session.pid) for session in sessions)
        assert len({supervisor_of(session) for session in sessions}) == COUNT
        probes = await within(asyncio.gather(*(table.probe(session) for session in sessions)), 300)
        assert {probe.processes for probe in probes} == {1}

    async def end(table: Sessions) -> None:
        assert table.adopted[:3] == (COUNT, 0, 0)
        sessions = table.live()
        reports = await within(asyncio.gather(*(table.kill(session) for session in sessions)), 300)
        assert [report.ended[0][0] for report in reports] == [session.pid for session in sessions]
        await within(asyncio.gather(*(table.until_drained(session) for session in sessions)), 300)
        assert {session.status for session in sessions} == {Status.CANCELLED}
        assert (table.live(), house.processes()) == ([], [])
        await until(lambda: litter(house) == [])
        await until(lambda: len(proc.descendants(house.keeper_pid)) <= 8)

    house.run(start, crash=True, timeout=600)
    house.run(end, timeout=600)


def test_a_crash_of_many_supervisors_at_once_is_survived_by_their_sessions(house: House) -> None:
    """Every second supervisor is killed in the same moment: each is replaced, and each end is the true one."""

    async def main() -> None:
        table = house.table()
        await table.open()
        starts = (spec(table, f"read go; exit {i}", stdin="pipe", id=f"sgang{i:02}") for i in range(40))
        sessions = await asyncio.gather(*(table.start(start) for start in starts))
        links = {session.id: session.link for session in sessions[::2]}
        kill9(*(supervisor_of(session) for session in sessions[::2]))
        await until(lambda: all(session.link not in (None, links.get(session.id)) for session in sessions))
        await asyncio.gather(*(table.write(session, b"go\n") for session in sessions))
        await within(asyncio.gather(*(table.until_drained(session) for session in sessions)))
        assert [session.end.code for session in sessions] == list(range(40))
        assert house.processes() == []
        abandon(table)

    asyncio.run(main())


def test_an_idle_crowd_does_nothing(house: House) -> None:
    """Fifty quiet sessions: once at rest neither keeper nor supervisors wake up even once, over two seconds."""

    async def act(table: Sessions) -> None:
        await within(burst(table, 50))
        watched = [house.keeper_pid, *(supervisor_of(session) for session in table.live())]
        await until(lambda: all(os.path.exists(f"{house.home}/{session.id}.ctl") for session in table.live()))
        await at_rest(watched, 2.0)
        await asyncio.gather(*(table.kill(session) for session in table.live()))

    house.run(act)


async def at_rest(pids: list[int], seconds: float) -> None:
    """Wait until nobody was woken for so long: what ticks never lets that come, and what a busy machine delays may."""
    end = time.monotonic() + LIMIT
    counts = switches(pids)
    while time.monotonic() < end:
        await asyncio.sleep(seconds)
        again = switches(pids)
        if again == counts:
            return
        counts = again
    raise AssertionError("they do not come to rest")


def switches(pids: list[int]) -> dict[int, int]:
    """How often each process gave the processor away by itself: every wake-up ends in one."""
    found = {}
    for pid in pids:
        with open(f"/proc/{pid}/status") as file:
            found[pid] = sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))
    return found
