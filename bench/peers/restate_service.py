"""The flows that Restate calls, by its Python SDK: `python -m peers.restate_service PORT`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import restate

from peers import flows

bench = restate.Service("bench")


@bench.handler()
async def flow(context: restate.Context, _body: Any) -> list[float]:
    """Ten steps of nothing; returns their milliseconds."""
    laps = flows.Laps()
    laps.counting = True
    lap = laps.start()
    for number in range(flows.STEPS):

        async def nothing(number: int = number) -> int:
            return number

        await context.run_typed(f"nothing{number}", nothing)
        lap()
    return laps.milliseconds


def main() -> None:
    settings = hypercorn.config.Config()
    settings.bind = [f"127.0.0.1:{sys.argv[1]}"]
    settings.loglevel = "ERROR"
    asyncio.run(hypercorn.asyncio.serve(restate.app(services=[bench]), settings))


if __name__ == "__main__":
    main()
