"""The command line: what one call costs, and how long the very first one takes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from figures import Bound, Row, Side, ratio_by_round, ratio_of_medians, spread
from lodging import Lodging
from talk import Line


def cli(short: bool) -> Iterator[Row]:
    """CPU of `outlast process list`, and the first call when no gateway runs."""
    yield _cost_of_a_call(6 if short else 80)
    yield from _first_call(2 if short else 15)


def _cost_of_a_call(rounds: int) -> Row:
    with Lodging() as lodging:
        lodging.start()
        asyncio.run(_some_sessions(lodging))
        listing = [*lodging.outlast, "process", "list"]
        bare = [sys.executable, "-c", "pass"]
        cpu: dict[str, list[float]] = {"ours": [], "bare": []}
        wall: dict[str, list[float]] = {"ours": [], "bare": []}
        for turn in range(rounds + 2):
            for name, argv in (("ours", listing), ("bare", bare)) if turn % 2 else (("bare", bare), ("ours", listing)):
                used, took = spend(argv, lodging.env)
                if turn > 1:
                    cpu[name].append(used)
                    wall[name].append(took)
        lodging.stop()
    return Row(
        "cli.list",
        "CPU of `outlast process list`",
        "user + system time by wait4 of both processes in turns, 8 sessions to list, byte code cached",
        [
            Side("outlast process list", cpu["ours"], "ms"),
            Side("python -c pass", cpu["bare"], "ms"),
            Side("outlast process list, wall", wall["ours"], "ms"),
            Side("python -c pass, wall", wall["bare"], "ms"),
        ],
        "ratio of p50",
        ratio_of_medians(cpu["ours"], cpu["bare"]),
        "×",
        Bound("at most", 5),
        spread(ratio_by_round(cpu["ours"], cpu["bare"])),
    )


async def _some_sessions(lodging: Lodging) -> None:
    line = await Line.open(lodging.socket)
    for seconds in range(1000, 1003):
        await line.post("/v1/exec", argv=["/bin/sleep", str(seconds)], background=True)
    for _ in range(5):
        await line.post("/v1/exec", argv=["/bin/true"])
    line.close()


def spend(argv: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Run a program; return its own CPU and the wall time, both in milliseconds."""
    with open(os.devnull, "r+b") as null:
        actions = [(os.POSIX_SPAWN_DUP2, null.fileno(), fd) for fd in (0, 1, 2)]
        began = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        took = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{argv}: {os.waitstatus_to_exitcode(status)}")
    return (usage.ru_utime + usage.ru_stime) * 1000, took * 1000


def _first_call(rounds: int) -> Iterator[Row]:
    calls: list[float] = []
    gateways: list[float] = []
    for _ in range(rounds):
        with Lodging() as lodging:
            calls.append(_timed_first_call(lodging))
            lodging.stop()
        with Lodging() as lodging:
            gateways.append(_timed_gateway(lodging))
            lodging.stop()
    side = Side("outlast exec -- true", calls, "ms")
    own = Side("outlast gateway run, until it says ready", gateways, "ms")
    yield Row(
        "cli.first",
        "the first call, no gateway runs",
        "a fresh home each time: `outlast exec -- true` starts gateway and keeper, runs, and returns; wall time",
        [side, own],
        "worst",
        max(calls),
        "ms",
        Bound("at most", 1000),
        f"gateway ready after {max(gateways):.0f} ms at worst",
    )


def _timed_first_call(lodging: Lodging) -> float:
    began = time.perf_counter()
    subprocess.run(
        [*lodging.outlast, "exec", "--", "/bin/true"],
        env=lodging.env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return (time.perf_counter() - began) * 1000


def _timed_gateway(lodging: Lodging) -> float:
    """Start a gateway the way the command line does, and wait for its word."""
    reader, writer = os.pipe()
    began = time.perf_counter()
    # The gateway outlives this call; `Lodging.stop` ends it, and the interpreter's end reaps it.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "outlast", "gateway", "run", "--ready-fd", str(writer)],
        env=lodging.env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[writer],
        start_new_session=True,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as ready:
        word = ready.readline()
        took = (time.perf_counter() - began) * 1000
    if word != b"ready\n":
        raise RuntimeError(f"the gateway did not start: {process.wait()}\n{lodging.log_tail()}")
    return took
