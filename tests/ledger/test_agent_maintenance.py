"""Old conversations of agents go, in small commits and never beyond the bound of a pass."""

from __future__ import annotations

from pathlib import Path

from api_fakes import asynchronous

from outlast.ledger.agent_maintenance import BATCH, prune_transcripts
from outlast.store.sqlite import SqliteStore
from store.agent_fakes import entries, hold


class Counted(SqliteStore):
    """A store that notes what each act was let forget."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.limits: list[int] = []

    async def prune_transcripts(self, before: float, limit: int) -> int:
        self.limits.append(limit)
        return await super().prune_transcripts(before, limit)


@asynchronous
async def test_long_transcripts_are_forgotten_piece_by_piece_and_no_further_than_the_bound(tmp_path: Path) -> None:
    store = Counted(str(tmp_path / "ledger.db"))
    await store.open()
    for key, count in (("a", 2500), ("b", 10), ("new", 1)):
        await hold(store, key)
        await store.append_entries(key, entries(1, count, source=key, at=9000.0 if key == "new" else 1000.0))
    assert await prune_transcripts(store, 5000.0, limit=1200) == 1200
    assert store.limits == [BATCH, 200]
    assert [one.seq for one in await store.entries_of("a", 0, 1)] == [1201]
    assert await prune_transcripts(store, 5000.0, limit=100_000) == 1300 + 1 + 10 + 1
    assert store.limits[2:] == [BATCH, BATCH]
    assert [one.key for one in await store.agent_conversations(None, 10)] == ["new"]
    assert await prune_transcripts(store, 5000.0, limit=0) == 0
    await store.close()
