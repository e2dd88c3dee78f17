"""Keeping other gateways of the same store off what this one is sending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from outlast.core.errors import GatewayTrouble
from outlast.process.clock import Clock

LEASE_SECONDS = 30.0
"""After so long without a sign of life of the gateway that sends, another one sends."""

Claim = Callable[[float, float], Awaitable[bool]]
"""Moves the moment at which something is due from the one everybody saw to another; False when somebody was first."""


@asynccontextmanager
async def kept(claim: Claim, due: float, clock: Clock) -> AsyncIterator[bool]:
    """Keep something for oneself while the block lasts; what is yielded says whether one has got it."""
    until = clock.now() + LEASE_SECONDS
    if not await claim(due, until):
        yield False
        return
    renewing = asyncio.create_task(_renew(claim, until, clock))
    try:
        yield True
    finally:
        renewing.cancel()


async def _renew(claim: Claim, until: float, clock: Clock) -> None:
    while True:
        await clock.sleep(LEASE_SECONDS / 3)
        later = clock.now() + LEASE_SECONDS
        try:
            if not await claim(until, later):
                return  # it is settled, or another gateway has taken us for dead
        except GatewayTrouble:
            continue
        until = later


@asynccontextmanager
async def alone(claim: Claim, due: float, clock: Clock) -> AsyncIterator[bool]:
    """As `kept`, where no other gateway can be: nothing is written, and a crash delays nothing."""
    yield True
