"""Quiet sessions: what many of them cost while nothing happens, and how a thousand at once behave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import machine
from figures import Bound, Row, Side
from lodging import Lodging, wait_for
from machine import KIB, Memory, memory, memory_of
from talk import Line, get_of, post_of

SLEEP = post_of("/v1/exec", {"argv": ["/bin/sleep", "1000"], "background": True, "allowDuplicate": True})
MB = 1e6
MIB = 1 << 20


def idle(short: bool) -> Iterator[Row]:
    """Wake-ups, CPU and memory of 100 quiet sessions."""
    sessions, seconds = (10, 2.0) if short else (100, 30.0)
    with Lodging() as lodging:
        lodging.start()
        asyncio.run(_settle(lodging))
        before = _take(lodging)
        asyncio.run(start_sleepers(lodging, sessions, 1))
        settled(lodging)
        after = _take(lodging)
        yield from _silence(lodging, sessions, seconds)
        yield from _memory(before, after, sessions)
        lodging.stop()


async def _settle(lodging: Lodging) -> None:
    """Let every part do its work a few times, so that first-time costs are not put on the sessions."""
    line = await Line.open(lodging.socket)
    for _ in range(20):
        await line.post("/v1/exec", argv=["/bin/true"])
    line.close()
    await asyncio.to_thread(settled, lodging)


async def start_sleepers(lodging: Lodging, count: int, at_once: int) -> float:
    """Start quiet sessions over ``at_once`` connections; return the seconds it took."""
    lines = [await Line.open(lodging.socket) for _ in range(at_once)]

    async def some(line: Line, number: int) -> None:
        for _ in range(number):
            await line.send(SLEEP)

    began = time.perf_counter()
    await asyncio.gather(*(some(line, count // at_once) for line in lines))
    seconds = time.perf_counter() - began
    for line in lines:
        line.close()
    return seconds


def settled(lodging: Lodging) -> None:
    """Return when no process of ours did anything for half a second."""

    def quiet() -> bool:
        first = _switches(lodging)
        time.sleep(0.5)
        return first == _switches(lodging)

    wait_for(quiet, "everything to fall silent", 30)


def _switches(lodging: Lodging) -> dict[int, int]:
    found = {}
    for pid in _ours(lodging):
        try:
            found[pid] = machine.work(pid).switches
        except OSError:  # it has just left
            continue
    return found


def _ours(lodging: Lodging) -> list[int]:
    roles = lodging.keeper()
    return [lodging.gateway_pid, *(pid for name, pids in roles.items() if name != "commands" for pid in pids)]


def _silence(lodging: Lodging, sessions: int, seconds: float) -> Iterator[Row]:
    roles = {"gateway": [lodging.gateway_pid], **lodging.keeper()}
    commands = roles.pop("commands")
    assert len(roles["supervisors"]) == len(commands) == sessions, {k: len(v) for k, v in roles.items()}
    first = {pid: machine.work(pid) for pids in roles.values() for pid in pids}
    time.sleep(seconds)
    switches: dict[str, int] = {}
    ticks = nanoseconds = 0
    for role, pids in roles.items():
        now = {pid: machine.work(pid) for pid in pids}
        switches[role] = sum(now[pid].switches - first[pid].switches for pid in pids)
        ticks += sum(now[pid].ticks - first[pid].ticks for pid in pids)
        nanoseconds += sum(now[pid].nanoseconds - first[pid].nanoseconds for pid in pids)
    how = f"{sessions} × `sleep 1000`; sums over gateway, zygote, template, spares and supervisors, {seconds:g} s apart"
    yield Row(
        "idle.switches",
        f"context switches while {sessions} sessions are quiet",
        how,
        [Side(f"{role} ({len(roles[role])})", [count], "") for role, count in switches.items()],
        "in all",
        sum(switches.values()),
        "",
        Bound("at most", 0),
    )
    yield Row(
        "idle.cpu",
        f"CPU while {sessions} sessions are quiet",
        how,
        [Side("clock ticks", [ticks], ""), Side("run time", [nanoseconds / 1e6], "ms")],
        "run time",
        nanoseconds / 1e6,
        "ms",
        Bound("at most", 0),
    )


class _Snapshot:
    def __init__(self, gateway: Memory, keeper: Memory, supervisors: Memory, commands: Memory) -> None:
        self.gateway = gateway
        self.keeper = keeper
        self.supervisors = supervisors
        self.commands = commands

    @property
    def ours(self) -> Memory:
        return self.gateway + self.keeper + self.supervisors


def _take(lodging: Lodging) -> _Snapshot:
    roles = lodging.keeper()
    return _Snapshot(
        memory(lodging.gateway_pid),
        memory_of([*roles["zygote"], *roles["template"], *roles["spares"]]),
        memory_of(roles["supervisors"]),
        memory_of(roles["commands"]),
    )


def _memory(before: _Snapshot, after: _Snapshot, sessions: int) -> Iterator[Row]:
    gateway = after.gateway
    yield Row(
        "idle.gateway_memory",
        f"memory of the gateway with {sessions} sessions",
        "/proc smaps_rollup",
        [Side("RSS", [gateway.rss / MB], "MB"), Side("PSS", [gateway.pss / MB], "MB")],
        "RSS",
        gateway.rss / MB,
        "MB",
        Bound("at most", 60),
        f"{gateway.rss / MIB:.1f} MiB",
    )
    yield Row(
        "idle.keeper_memory",
        "memory of the keeper without sessions",
        "PSS of zygote, template and spares",
        [Side("PSS", [before.keeper.pss / MB], "MB"), Side("own pages", [before.keeper.uss / MB], "MB")],
        "PSS",
        before.keeper.pss / MB,
        "MB",
        None,
        f"{before.keeper.pss / MIB:.1f} MiB",
    )
    growth = (after.ours.pss - before.ours.pss) / sessions
    yield Row(
        "idle.session_memory",
        "memory a session adds, in all",
        f"growth of the PSS of gateway, keeper and supervisors together, over {sessions} sessions",
        [
            Side("supervisor, PSS", [after.supervisors.pss / sessions / KIB], "KiB"),
            Side("supervisor, own pages", [after.supervisors.uss / sessions / KIB], "KiB"),
            Side("gateway, growth", [(after.gateway.pss - before.gateway.pss) / sessions / KIB], "KiB"),
            Side("zygote, template, spares, growth", [(after.keeper.pss - before.keeper.pss) / sessions / KIB], "KiB"),
            Side("(the command itself, `sleep`)", [after.commands.pss / sessions / KIB], "KiB"),
        ],
        "a session",
        growth / MB,
        "MB",
        Bound("at most", 1.3),
        f"{growth / KIB:,.0f} KiB = {growth / MIB:.2f} MiB; with the command "
        f"{(growth + after.commands.pss / sessions) / MB:.2f} MB",
    )


def many(short: bool) -> Iterator[Row]:
    """A thousand sessions alive at once."""
    sessions = 20 if short else 1000
    with Lodging() as lodging:
        lodging.start()
        asyncio.run(_settle(lodging))
        before = _take(lodging)
        seconds = asyncio.run(start_sleepers(lodging, sessions, 4))
        settled(lodging)
        alive = len(lodging.keeper()["supervisors"])
        rate = sessions / seconds
        yield Row(
            "many.starts",
            f"starting {sessions} sessions that stay",
            "POST /v1/exec in the background over 4 connections",
            [Side("all started after", [seconds], "s"), Side("alive at once", [alive], "")],
            "rate",
            rate,
            "/s",
        )
        yield _many_memory(before, _take(lodging), sessions)
        yield from asyncio.run(_listing(lodging, sessions, 5 if short else 100))
        yield _end_all(lodging, sessions)


def _many_memory(before: _Snapshot, after: _Snapshot, sessions: int) -> Row:
    growth = (after.ours.pss - before.ours.pss) / sessions
    return Row(
        "many.memory",
        f"memory a session adds, of {sessions}",
        "growth of the PSS of gateway, keeper and supervisors together",
        [
            Side("supervisor, PSS", [after.supervisors.pss / sessions / KIB], "KiB"),
            Side("gateway, RSS", [after.gateway.rss / MB], "MB"),
        ],
        "a session",
        growth / MB,
        "MB",
        Bound("at most", 1.3),
        f"{growth / KIB:,.0f} KiB",
    )


async def _listing(lodging: Lodging, sessions: int, rounds: int) -> list[Row]:
    line = await Line.open(lodging.socket)
    page, everything = get_of("/v1/sessions"), get_of(f"/v1/sessions?limit={min(1000, sessions)}")
    times: dict[str, list[float]] = {"page": [], "everything": []}
    for _ in range(rounds):
        for name, request in (("page", page), ("everything", everything)):
            began = time.perf_counter()
            await line.send(request)
            times[name].append((time.perf_counter() - began) * 1000)
    line.close()
    side = Side("first page (50)", times["page"], "ms")
    return [
        Row(
            "many.list",
            f"listing, {sessions} alive",
            "GET /v1/sessions on a kept connection",
            [side, Side(f"all {sessions} in one answer", times["everything"], "ms")],
            "p50 of a page",
            side.p50,
            "ms",
        )
    ]


def _end_all(lodging: Lodging, sessions: int) -> Row:
    keeper = lodging.keeper_pid
    began = time.perf_counter()
    lodging.stop()
    seconds = time.perf_counter() - began
    wait_for(lambda: not machine.comm(keeper), "the keeper to leave", 30)
    gone = time.perf_counter() - began
    return Row(
        "many.kill",
        f"ending {sessions} sessions",
        "`outlast gateway stop --kill-sessions`, until it returns, and until the keeper has left as well",
        [Side("stop returned", [seconds], "s"), Side("keeper gone", [gone], "s")],
        "rate",
        sessions / seconds,
        "/s",
    )
