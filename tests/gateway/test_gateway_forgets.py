"""What a gateway forgets by itself when it starts, and every hour after."""

from __future__ import annotations

import asyncio
import time

from running import PATIENCE, Gateway

from outlast.core.agent import AgentConversation, Beat
from outlast.store.sqlite import SqliteStore
from store.agent_fakes import beat, conversation, entries

DAY = 86_400.0


def test_quiet_conversations_and_old_beats_go_as_the_settings_say(gateway: Gateway) -> None:
    now = time.time()
    asyncio.run(_spoken(f"{gateway.home}/ledger.db", {"quiet": now - 4 * DAY, "lively": now - 2 * DAY}, now))
    gateway.env["OUTLAST_TRANSCRIPTS_KEEP_DAYS"] = "3"
    gateway.start()
    deadline = time.monotonic() + PATIENCE
    while "conversations of agents: 6 rows" not in gateway.log():
        assert time.monotonic() < deadline, gateway.log()
        time.sleep(0.01)
    held, beats = asyncio.run(_kept(f"{gateway.home}/ledger.db"))
    assert [one.key for one in held] == ["lively"]
    assert [one.why for one in beats] == ["new"]


async def _spoken(path: str, moments: dict[str, float], now: float) -> None:
    """A store with conversations that were spoken in at those moments, and an old and a new beat."""
    store = SqliteStore(path)
    await store.open()
    for key, at in moments.items():
        await store.hold_conversation(conversation(key, updated_at=at))
        await store.append_entries(key, entries(1, 5, source=key, at=at))
    await store.add_beat(beat(1, why="old"))
    await store.add_beat(beat(2, why="new", at=now))
    await store.close()


async def _kept(path: str) -> tuple[list[AgentConversation], list[Beat]]:
    store = SqliteStore(path, read_only=True)
    await store.open()
    try:
        return await store.agent_conversations(None, 10), await store.beats_of(None, 10)
    finally:
        await store.close()
