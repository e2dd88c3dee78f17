"""One database under many nodes: commits in one order, claims that race, a server that goes away."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.core.lifecycle import Verb
from outlast.core.session import Status
from outlast.core.task import TaskFilter
from outlast.store.base import Change
from outlast.store.postgres import PostgresStore
from outlast.store.postgres import connection as connecting
from outlast.store.postgres.connection import WRITE_ORDER, place_of
from store.agent_fakes import MAIN, entries, hold
from store.store_fakes import claim, make, move, new


async def _open(dsn: str) -> PostgresStore:
    store = PostgresStore(dsn)
    await store.open()
    return store


async def _drop_connections(dsn: str) -> None:
    def drop() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    await asyncio.to_thread(drop)


async def test_nodes_open_an_empty_database_at_once(pg_database):
    stores = await asyncio.gather(*(_open(pg_database) for _ in range(4)))
    for number, store in enumerate(stores):
        await make(store, number)
    assert len((await stores[0].list_tasks(TaskFilter(), 10)).tasks) == 4
    for store in stores:
        await store.close()


@pytest.mark.parametrize("count", [3000, pytest.param(100_000, marks=pytest.mark.soak)])
async def test_two_nodes_never_claim_the_same_task(pg_database, count):
    stores = [await _open(pg_database) for _ in range(2)]
    for start in range(0, count, 500):
        await asyncio.gather(*(stores[0].create_task(new(number)) for number in range(start, start + 500)))
    taken: list[list[str]] = [[], []]

    async def take(side: int) -> bool:
        tasks = await stores[side].claim_tasks(claim(*(f"c{side}-{len(taken[side]) + n}" for n in range(20))))
        taken[side].extend(one.task.id for one in tasks)
        return bool(tasks)

    while any(await asyncio.gather(take(0), take(1))):  # at once each time: else one of them might have it all
        pass
    everyone = taken[0] + taken[1]
    assert len(everyone) == len(set(everyone)) == count
    assert all(taken)
    for store in stores:
        await store.close()


async def test_a_queue_limit_holds_over_all_nodes(pg_database):
    stores = [await _open(pg_database) for _ in range(3)]
    await stores[0].set_queue_limit("default", 4)
    for number in range(30):
        await make(stores[0], number)
    wishes = [
        store.claim_tasks(claim(f"{place}-{n}-x", f"{place}-{n}-y"))
        for place, store in enumerate(stores)
        for n in range(4)
    ]
    assert sum(len(tasks) for tasks in await asyncio.gather(*wishes)) == 4
    for store in stores:
        await store.close()


async def test_other_nodes_hear_of_a_commit_and_never_of_their_own_twice(pg_database):
    here, there = await _open(pg_database), await _open(pg_database)
    heard: asyncio.Queue[Change] = asyncio.Queue()
    told: list[Change] = []
    there.on_change(heard.put_nowait)
    here.on_change(told.append)
    await make(here, 1)
    change = await asyncio.wait_for(heard.get(), 60)
    assert (change.events, change.queued, change.outbox) == (True, True, False)
    await make(there, 2)
    await asyncio.wait_for(heard.get(), 60)
    while len(told) < 2:
        await asyncio.sleep(0.01)
    assert len(told) == 2 and heard.empty()
    await here.close()
    await there.close()


async def test_a_reader_that_resumes_misses_no_event_of_a_slow_node(pg_database):
    """A transaction that numbers its event early and commits late would be skipped, were writes not in one order."""
    store = await _open(pg_database)
    slow = await asyncio.to_thread(psycopg.connect, pg_database)

    def hold() -> None:
        slow.execute("SELECT pg_advisory_xact_lock(%s)", (WRITE_ORDER,))
        slow.execute("INSERT INTO event (task_id, at, verb, data) VALUES ('slow', 1, 'note', '{}')")

    await asyncio.to_thread(hold)
    waiting = asyncio.ensure_future(make(store, 1))
    assert await store.events_since(0) == []
    assert not waiting.done()
    await asyncio.to_thread(slow.commit)
    await waiting
    assert [event.task_id for event in await store.events_since(0)] == ["slow", new(1).id]
    slow.close()
    await store.close()


async def test_lost_connections_are_made_anew_without_a_restart(pg_database):
    store = await _open(pg_database)
    heard: list[Change] = []
    store.on_change(heard.append)
    for round_ in range(3):
        task = await make(store, round_)
        await _drop_connections(pg_database)
        assert await store.get_task(task.id) == task
        await make(store, 100 + round_)
    while not await store.look_around():
        await asyncio.sleep(0.01)
    assert not await store.look_around()
    assert len((await store.list_tasks(TaskFilter(), 100)).tasks) == 6
    await store.close()


async def test_a_server_that_is_gone_is_told_and_no_acknowledged_write_is_lost(pg_server, pg_database):
    """New connections are refused and old ones cut, as when a server is down; then it is back."""
    store = await _open(pg_database)
    acknowledged = {(await make(store, 1)).id}
    name = conninfo_to_dict(pg_database)["dbname"]
    with psycopg.connect(pg_server.get_uri(), autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", (name,))
        for number in range(2, 8):
            with pytest.raises(GatewayTrouble) as caught:
                await make(store, number)
            assert (caught.value.code, caught.value.retryable) == ("store_unreachable", True)
        with pytest.raises(GatewayTrouble) as caught:
            await store.get_task(new(1).id)
        assert caught.value.code == "store_unreachable"
        with pytest.raises(GatewayTrouble):
            await PostgresStore(pg_database).open()
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    acknowledged.add((await make(store, 50)).id)
    assert {task.id for task in (await store.list_tasks(TaskFilter(), 100)).tasks} == acknowledged
    await store.close()


async def test_a_node_that_freezes_in_the_middle_of_a_commit_holds_the_others_up_for_seconds_only(
    pg_database, monkeypatch
):
    """It holds the lock of writers, and nobody tells the server that it is gone."""
    other = await _open(pg_database)
    await make(other, 0)  # its writer has connected by now, and keeps ten seconds
    options = connecting._OPTIONS["options"]
    assert "idle_in_transaction_session_timeout=10s" in options
    monkeypatch.setitem(connecting._OPTIONS, "options", options.replace("timeout=10s", "timeout=1s"))
    frozen = await _open(pg_database)
    held, thawed = asyncio.Event(), threading.Event()
    cut: list[int | None] = []
    loop = asyncio.get_running_loop()

    def freeze(point: str, batch: object) -> None:
        if point != "before":
            return
        cut.append(frozen._writer.pid())
        loop.call_soon_threadsafe(held.set)
        assert thawed.wait(120)

    monkeypatch.setattr(frozen._writer, "near", freeze)
    half_done = await _begun(frozen, held)
    async with asyncio.timeout(100):  # less than the frozen one waits for
        await make(other, 2)
    monkeypatch.undo()
    thawed.set()
    with suppress(GatewayTrouble):  # whether it went in, it may not know
        await half_done
    await make(frozen, 3)
    assert frozen._writer.pid() not in cut
    there = {task.id for task in (await other.list_tasks(TaskFilter(), 10)).tasks}
    assert there >= {new(number).id for number in (0, 2, 3)}
    for store in (frozen, other):
        await store.close()


async def _begun(store: PostgresStore, held: asyncio.Event) -> asyncio.Future[Any]:
    """An act that has come to where it is held. A machine that stalls cuts it off earlier: then it is asked for again.

    That costs a second each time, so it says so when it never gets there.
    """
    for _ in range(20):
        act = asyncio.ensure_future(make(store, 1))
        reached = asyncio.ensure_future(held.wait())
        await asyncio.wait((act, reached), return_when=asyncio.FIRST_COMPLETED)
        if reached.done():
            return act
        reached.cancel()
        assert isinstance(act.exception(), GatewayTrouble)
    raise AssertionError("the machine stalled in each of twenty transactions")


async def test_connections_cut_under_load_lose_no_acknowledged_write(pg_database):
    store = await _open(pg_database)
    done: set[str] = set()

    async def lane(lane_number: int) -> None:
        for number in range(40):
            try:
                done.add((await make(store, lane_number * 1000 + number)).id)
            except GatewayTrouble as error:
                assert error.code == "store_unreachable"

    async def cutter() -> None:
        for _ in range(5):
            await _drop_connections(pg_database)

    await asyncio.gather(*(lane(number) for number in range(10)), cutter())
    there = {task.id for task in (await store.list_tasks(TaskFilter(), 1000)).tasks}
    assert done <= there
    assert len(done) > 100
    await store.close()


async def test_a_newer_schema_is_refused(pg_database):
    await (await _open(pg_database)).close()
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_version VALUES (999, 'later', 'x')")
    with pytest.raises(GatewayTrouble) as caught:
        await _open(pg_database)
    assert (caught.value.code, caught.value.retryable) == ("store_newer", False)


async def test_a_database_that_cannot_be_written_is_told_and_passes(pg_database):
    store = await _open(pg_database)
    task = await make(store, 1)
    name = conninfo_to_dict(pg_database)["dbname"]
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await _drop_connections(pg_database)
    with pytest.raises(GatewayTrouble) as caught:
        await store.apply(move(task.id, Verb.CANCEL))
    assert caught.value.code == "store_read_only"
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await _drop_connections(pg_database)
    assert (await store.apply(move(task.id, Verb.CANCEL))).status is Status.CANCELLED
    await store.close()


def test_an_address_is_shown_without_its_password():
    shown = place_of("postgresql://me:hunter2@db.example:5433/ledger?sslmode=require")
    assert "hunter2" not in shown
    assert "db.example:5433" in shown and "ledger" in shown
    assert "hunter2" not in place_of("host=db password=hunter2 dbname=ledger")
    assert "hunter2" not in place_of("nonsense password hunter2")


async def test_backups_are_the_servers_own_affair(pg_database, tmp_path):
    store = await _open(pg_database)
    with pytest.raises(BadInput) as caught:
        await store.backup(str(tmp_path / "x"))
    assert caught.value.code == "not_a_file"
    assert (await store.info()).kind == "postgresql"
    await store.close()


async def test_two_nodes_append_to_one_conversation_without_a_gap_or_a_double(pg_database):
    first, second = await _open(pg_database), await _open(pg_database)
    await hold(first)
    acts = [
        node.append_entries(MAIN, entries(one, one + 3, source=name) + entries(1, 3, source="both"))
        for one in range(1, 200, 4)
        for node, name in ((first, "a"), (second, "b"))
    ]
    assert max(await asyncio.gather(*acts)) == 403
    found = await second.entries_of(MAIN, 0, 1000)
    assert [one.seq for one in found] == list(range(1, 404))
    for name in "ab":
        of_node = [one.source_key for one in found if one.source_key.startswith(name + ":")]
        assert of_node == [f"{name}:{number}" for number in range(1, 201)]
    await first.close()
    await second.close()


async def test_a_transcript_that_grows_is_news_for_other_nodes_and_sends_none_to_look_around(pg_database):
    first, second = await _open(pg_database), await _open(pg_database)
    await hold(second)
    heard: asyncio.Queue[Change] = asyncio.Queue()
    first.on_change(heard.put_nowait)
    await second.append_entries(MAIN, entries(1, 1))
    change = await heard.get()
    assert (change.entries, change.events, change.foreign) == (True, False, False)
    await make(second, 1)
    change = await heard.get()
    assert (change.entries, change.events, change.foreign) == (False, True, True)
    await first.close()
    await second.close()
