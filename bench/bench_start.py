"""Starting and ending: what a short command costs through outlast, and how fast a waiter hears of an end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator

from figures import Bound, Row, Side, ratio_by_round, ratio_of_medians, spread
from lodging import Lodging
from talk import KeeperCall, Line, get_of, keeper_request, post_of

TRUE = "/bin/true"
EXEC = {"argv": [TRUE], "yieldMs": 10000}
PACE = 0.02
Act = Callable[[], Awaitable[object]]


async def plain() -> None:
    """The plain way, in this very process."""
    process = await asyncio.create_subprocess_exec(TRUE)
    await process.wait()


async def timed(act: Act) -> float:
    """Milliseconds of one act."""
    began = time.perf_counter()
    await act()
    return (time.perf_counter() - began) * 1000


async def alternate(acts: dict[str, Act], rounds: int, pace: float) -> dict[str, list[float]]:
    """Take turns: each round runs every act once, in an order that moves on by one, ``pace`` seconds apart."""
    names = list(acts)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            samples[name].append(await timed(acts[name]))
            if pace:
                await asyncio.sleep(pace)
    return samples


def start_exit(short: bool) -> Iterator[Row]:
    """start → exit known of /bin/true, beside asyncio in the same process."""
    with Lodging() as lodging:
        lodging.start()
        yield from asyncio.run(_start_exit(lodging, 15 if short else 300))
        lodging.stop()


async def _start_exit(lodging: Lodging, rounds: int) -> list[Row]:
    line = await Line.open(lodging.socket)
    keeper = _keeper_calls(lodging)
    request = post_of("/v1/exec", EXEC)
    acts: dict[str, Act] = {
        "outlast": lambda: line.send(request),
        "asyncio": plain,
        "keeper": keeper.call,
        "status": lambda: line.send(get_of("/v1/status")),
    }
    await alternate(acts, 10, 0)
    keeper.clear()
    samples = await alternate(acts, rounds, PACE)
    rows = [_paced(samples), _stages(samples, keeper)]
    rows += await _rates(lodging, line, rounds)
    line.close()
    return rows


class _keeper_calls:
    """Sessions started at the keeper's socket: the same work without HTTP and gateway."""

    def __init__(self, lodging: Lodging) -> None:
        self._run = lodging.paths.run
        self._env = {name: lodging.env[name] for name in lodging.env if name in ("PATH", "HOME", "LANG")}
        self._numbers = itertools.count()
        self.started: list[float] = []

    def clear(self) -> None:
        self.started.clear()

    async def call(self) -> None:
        request = keeper_request(f"b{next(self._numbers):06}", [TRUE], self._env)
        call = await KeeperCall.run(self._run, request)
        self.started.append(call.started * 1000)


def _paced(samples: dict[str, list[float]]) -> Row:
    ours, theirs = samples["outlast"], samples["asyncio"]
    return Row(
        "start_exit.paced",
        "start → exit known of `true`",
        "POST /v1/exec on a kept Unix-socket connection and asyncio.create_subprocess_exec + wait take turns in one "
        f"process, {PACE * 1000:.0f} ms apart; the session is on disk",
        [Side("outlast", ours, "ms"), Side("asyncio", theirs, "ms")],
        "ratio of p50",
        ratio_of_medians(ours, theirs),
        "×",
        Bound("at most", 3),
        spread(ratio_by_round(ours, theirs)),
    )


def _stages(samples: dict[str, list[float]], keeper: _keeper_calls) -> Row:
    ours, direct = samples["outlast"], samples["keeper"]
    return Row(
        "start_exit.stages",
        "where the time of a start goes",
        "in the same turns: a start at the keeper's own socket (no HTTP, no gateway), and a request that does nothing",
        [
            Side("outlast", ours, "ms"),
            Side("keeper alone, until exit known", direct, "ms"),
            Side("keeper alone, until started", keeper.started, "ms"),
            Side("GET /v1/status", samples["status"], "ms"),
        ],
        "share of the keeper",
        ratio_of_medians(direct, ours),
        "×",
    )


async def _rates(lodging: Lodging, line: Line, rounds: int) -> list[Row]:
    lines = [line, *[await Line.open(lodging.socket) for _ in range(3)]]
    alone = post_of("/v1/exec", EXEC)
    many = post_of("/v1/exec", {**EXEC, "allowDuplicate": True})

    async def one_after_another(act: Act, count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            await act()
        return count / (time.perf_counter() - began)

    async def four_at_once(acts: list[Act], count: int) -> float:
        began = time.perf_counter()
        await asyncio.gather(*(one_after_another(act, count // 4) for act in acts))
        return count // 4 * 4 / (time.perf_counter() - began)

    senders: list[Act] = [lambda line=line: line.send(many) for line in lines]  # type: ignore[misc]
    rates: dict[str, list[float]] = {name: [] for name in ("seq", "seq plain", "four", "four plain")}
    count = max(8, rounds // 5)
    for _ in range(2 if rounds < 100 else 10):
        rates["seq"].append(await one_after_another(lambda: line.send(alone), count))
        rates["seq plain"].append(await one_after_another(plain, count))
        rates["four"].append(await four_at_once(senders, count))
        rates["four plain"].append(await four_at_once([plain] * 4, count))
    for other in lines[1:]:
        other.close()
    how = f"{count} starts a round, rounds take turns"
    return [
        _rate("start_exit.rate", "starts back to back", f"one at a time, {how}", rates["seq"], rates["seq plain"]),
        _rate(
            "start_exit.rate4", "starts, four in flight", f"4 connections, {how}", rates["four"], rates["four plain"]
        ),
    ]


def _rate(name: str, title: str, method: str, ours: list[float], theirs: list[float]) -> Row:
    side = Side("outlast", ours, "/s")
    note = f"{ratio_of_medians(theirs, ours):.2f}× fewer than asyncio"
    bound = Bound("at least", 200)
    return Row(name, title, method, [side, Side("asyncio", theirs, "/s")], "median", side.p50, "/s", bound, note)


def told(short: bool) -> Iterator[Row]:
    """exit → a waiter is told."""
    with Lodging() as lodging:
        lodging.start()
        yield asyncio.run(_told(lodging, 15 if short else 400))
        lodging.stop()


STAMP = ["/bin/bash", "--norc", "-c", "read x; printf %s $EPOCHREALTIME"]


async def _told(lodging: Lodging, rounds: int) -> Row:
    caller, waiter = await Line.open(lodging.socket), await Line.open(lodging.socket)
    samples: list[float] = []
    for _ in range(rounds + 5):
        started = await caller.post("/v1/exec", argv=STAMP, stdin="pipe", background=True)
        name = started["sessionId"]
        waiting = asyncio.ensure_future(waiter.send(post_of("/v1/wait", {"sessionIds": [name], "for": "exit"})))
        await asyncio.sleep(PACE)
        await caller.post(f"/v1/sessions/{name}/write", data="go\n")
        answer = await waiting
        now = time.time()
        samples.append((now - _stamp_in(answer)) * 1000)
        await asyncio.sleep(PACE)
    samples = samples[5:]
    side = Side("last act of the command → answer of POST /v1/wait", samples, "ms")
    return Row(
        "told",
        "exit → a waiter is told",
        "bash prints the time right before it ends; a waiting request's answer is in hand that much later "
        "(bash's own exit is inside: an upper bound)",
        [side],
        "p99",
        side.p99,
        "ms",
        Bound("at most", 5),
        f"worst {max(samples):.1f} ms",
    )


def _stamp_in(answer: bytes) -> float:
    import json

    return float(json.loads(answer)["results"][0]["output"].replace(",", "."))
