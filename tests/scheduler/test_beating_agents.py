"""Heartbeats of agents that are added, changed or taken out while a gateway runs: no restart, no clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from api_fakes import asynchronous
from beat_house import SINCE, House

from outlast.config import ConfiguredAgents
from outlast.core.agent import HeartbeatSpec

TABLE = '[agents.{name}]\nbackend = "command"\ncommand = ["x"]\nheartbeat = {{ every = "{every}" }}\n'


@asynccontextmanager
async def house_of(folder: Path, **beats: str) -> AsyncIterator[tuple[House, ConfiguredAgents]]:
    """Heartbeats over the agents of a file, of each how often."""
    house = House(("sqlite", str(folder / "ledger.db")), folder, 1, HeartbeatSpec())
    write(folder, **beats)
    agents = ConfiguredAgents({}, str(folder / "config.toml"))
    house.agents = agents  # type: ignore[assignment]
    await house.store.open()
    beating = house.make()
    agents.on_change(beating.nudge)
    beating.start()
    await house.go()
    try:
        yield house, agents
    finally:
        await beating.stop()
        await house.store.close()


def write(folder: Path, **beats: str) -> None:
    text = "".join(TABLE.format(name=name, every=every) for name, every in beats.items())
    (folder / "config.toml").write_text(text or "# none\n[tasks]\n")


async def due(house: House) -> dict[str, float | None]:
    """When each agent is due next, in seconds since the beginning."""
    await house.settle()
    states = await house.store.beat_states()
    return {state.agent: None if state.next_at is None else round(state.next_at - SINCE, 1) for state in states}


@asynchronous
async def test_a_heartbeat_begins_as_soon_as_somebody_has_seen_its_agent(tmp_path: Path) -> None:
    async with house_of(tmp_path, old="2h") as (house, agents):
        assert await due(house) == {"old": 7200.0}
        write(tmp_path, old="2h", new="1h")
        assert await due(house) == {"old": 7200.0}, "nobody has asked, and nobody polls"
        assert "new" in agents
        await house.go()
        assert await due(house) == {"old": 7200.0, "new": 3600.1}


@asynchronous
async def test_one_that_is_to_come_more_often_is_brought_forward_and_one_taken_out_comes_no_more(
    tmp_path: Path,
) -> None:
    async with house_of(tmp_path, main="2h") as (house, agents):
        write(tmp_path, main="10m")
        assert agents["main"].heartbeat is not None
        await house.go()
        assert await due(house) == {"main": 600.1}
        write(tmp_path)
        assert "main" not in agents
        await house.go(7200.0)
        await house.settle()
        assert house.asked == []
