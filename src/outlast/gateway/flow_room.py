"""Flows in a gateway: its own engine for flow files, and workers for programs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from outlast.core.errors import GatewayTrouble
from outlast.flows.engine import Engine, Program
from outlast.gateway.flow_engine import Maker, make_engine
from outlast.gateway.flow_hosts import FlowHosts
from outlast.gateway.hands import insist
from outlast.process.sessions import Sessions
from outlast.store.base import Store

NET_SECONDS = 600.0
"""Until the engine looks by itself: the gateway's rounds look around in the same store."""


class FlowRoom:
    """What a gateway does for flows while its store is open."""

    def __init__(
        self, store: Store, sessions: Sessions, maker: Maker, programs: Mapping[str, Program], *, node: str, umask: int
    ) -> None:
        self._store = store
        self._clock = maker.clock
        self._worker = f"{node}/gateway"
        self.engine: Engine = make_engine(maker, store, programs, worker=self._worker)
        self.engine.net_seconds = NET_SECONDS
        self.hosts = FlowHosts(store, sessions, maker, node=node, umask=umask)
        self._beginning: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; where the store is in trouble just now, as soon as that is over."""
        try:
            await self._begin()
        except GatewayTrouble:
            self._beginning = asyncio.create_task(insist(self._begin, self._clock, "flows wait for the store"))

    async def _begin(self) -> None:
        """Take back what the last gateway of this home held (its lock is ours, so it is dead), and begin."""
        await self._store.release_flows_of(self._worker, self._clock.now())
        self.engine.start()
        self.hosts.start()

    async def stop(self) -> None:
        """Let go; workers run on."""
        if self._beginning is not None:
            self._beginning.cancel()
        await self.hosts.stop()
        await self.engine.stop()
