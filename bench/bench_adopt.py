"""A gateway killed with -9, and the next one: how long until it knows every session again."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator

from bench_idle import settled, start_sleepers
from figures import Bound, Row, Side
from lodging import Lodging, wait_for
from talk import Line, post_of


def adopt(short: bool) -> Iterator[Row]:
    """Half of the sessions live, half ended while no gateway ran."""
    yield _adopt(10 if short else 200, 2 if short else 7)
    if not short:
        yield _adopt(1000, 3)


def _adopt(sessions: int, rounds: int) -> Row:
    half = sessions // 2
    adoption: list[float] = []
    wall: list[float] = []
    with Lodging() as lodging:
        lodging.start()
        asyncio.run(start_sleepers(lodging, half, 1))
        fifo = f"{lodging.home}/gate"
        os.mkfifo(fifo)
        for _ in range(rounds):
            asyncio.run(_start_readers(lodging, fifo, half))
            settled(lodging)
            lodging.kill_gateway()
            _end_readers(lodging, fifo, half)
            wall.append(lodging.start() * 1000)
            found = json.loads(lodging.cli("status", "--json"))["sessions"]["adopted"]
            assert (found["live"], found["ended"], found["lost"]) == (half, half, 0), found
            adoption.append(found["ms"])
        lodging.stop()
    side = Side("adoption, as the gateway reports it", adoption, "ms")
    return Row(
        f"adopt.{sessions}",
        f"adopting {sessions} sessions after kill -9 of the gateway",
        f"{half} live, {half} that ended while no gateway ran; each checked to be known again, none lost",
        [side, Side("`outlast gateway start`, wall, all included", wall, "ms")],
        "worst",
        max(adoption),
        "ms",
        Bound("at most", 1000) if sessions == 200 else None,
        f"gateway start {max(wall):.0f} ms at worst",
    )


async def _start_readers(lodging: Lodging, fifo: str, count: int) -> None:
    """Commands that wait for somebody to open the other end of a pipe, and then end."""
    line = await Line.open(lodging.socket)
    request = post_of("/v1/exec", {"argv": ["/bin/cat", fifo], "background": True, "allowDuplicate": True})
    for _ in range(count):
        await line.send(request)
    line.close()


def _end_readers(lodging: Lodging, fifo: str, half: int) -> None:
    """Open and close the pipe; return when only the sleepers have a supervisor."""
    os.close(os.open(fifo, os.O_WRONLY))
    wait_for(lambda: len(lodging.keeper()["supervisors"]) == half, "the commands to end")
