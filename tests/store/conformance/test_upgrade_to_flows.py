"""A store that was made before there were flows: it is brought up to date with all that it holds."""

from __future__ import annotations

import pytest

from outlast.core.lifecycle import Verb
from outlast.core.session import Status
from outlast.store import migrate
from outlast.store.postgres import connection as postgres
from outlast.store.sqlite import connection as sqlite
from store.flow_fakes import child_task, claim, new_flow
from store.store_fakes import everything, make, move, take
from store.stores import KINDS, make_store


def _first_only(package: str) -> list[migrate.Migration]:
    return migrate.migrations(package)[:1]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_older_store_keeps_its_records_and_learns_of_flows(kind, request, tmp_path, monkeypatch):
    with monkeypatch.context() as then:
        for dialect in (sqlite, postgres):
            then.setattr(dialect, "migrations", _first_only)
        store = make_store(kind, request, tmp_path)
        await store.open()
        done, live = await make(store, 1), await make(store, 2, flow_id="f-unknown")
        await take(store, "c1", "c2")
        await store.apply(move(done.id, Verb.CANCEL))
        before = await everything(store)
        assert (await store.info()).schema_version == 1
        await store.close()
    store = make_store(kind, request, tmp_path)
    await store.open()
    try:
        assert (await store.info()).schema_version == migrate.migrations(store_package(kind))[-1].number
        assert await everything(store) == before
        assert await store.check() == []
        flow = (await store.create_flow(new_flow(1), claim("f1", now=1001.0))).flow
        assert flow.claim_id == "f1"
        await store.create_task(child_task(flow.id, "t-new"))
        assert (await store.apply(move(live.id, Verb.SUCCEED))).status is Status.SUCCEEDED
        assert await store.live_tasks_of_flow(flow.id) == ["t-new"]
    finally:
        await store.close()


def store_package(kind: str) -> str:
    return sqlite.PACKAGE if kind == "sqlite" else postgres.PACKAGE
