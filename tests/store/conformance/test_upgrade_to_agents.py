"""A store that was made before there were agents: it is brought up to date with all that it holds."""

from __future__ import annotations

import pytest

from outlast.core.lifecycle import Verb
from outlast.core.session import Status
from outlast.store import migrate
from outlast.store.postgres import connection as postgres
from outlast.store.sqlite import connection as sqlite
from store.agent_fakes import MAIN, entries, heartbeat, hold, spawn
from store.flow_fakes import claim, new_flow
from store.store_fakes import everything, make, move, take
from store.stores import KINDS, make_store


def _without_agents(package: str) -> list[migrate.Migration]:
    return migrate.migrations(package)[:2]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_store_with_flows_keeps_its_records_and_learns_of_agents(kind, request, tmp_path, monkeypatch):
    child = "agent:coder:subagent:1"
    with monkeypatch.context() as then:
        for dialect in (sqlite, postgres):
            then.setattr(dialect, "migrations", _without_agents)
        store = make_store(kind, request, tmp_path)
        await store.open()
        done, live = await make(store, 1, conversation=child), await make(store, 2, conversation=child)
        await take(store, "c1", "c2")
        await store.apply(move(done.id, Verb.CANCEL))
        flow = (await store.create_flow(new_flow(1), claim("f1", now=1001.0))).flow
        before = await everything(store)
        assert (await store.info()).schema_version == 2
        await store.close()
    store = make_store(kind, request, tmp_path)
    await store.open()
    try:
        assert (await store.info()).schema_version > 2
        assert await everything(store) == before
        assert await store.get_flow(flow.id) == flow
        await hold(store)
        await spawn(store, MAIN, child)
        assert await store.live_children(MAIN) == [live.id], "live work of before is found by its conversation"
        assert await store.append_entries(MAIN, entries(1, 3)) == 3
        assert await store.set_beat(heartbeat(next_at=1.0), None)
        assert (await store.apply(move(live.id, Verb.SUCCEED))).status is Status.SUCCEEDED
        assert await store.live_children(MAIN) == await store.check() == []
    finally:
        await store.close()
