"""One file under many hands: processes that write at once, claimers that race."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from children import children, ended, heard, tell
from outlast.core.session import Status
from outlast.core.task import TaskFilter
from outlast.store.base import Change
from outlast.store.sqlite import SqliteStore, connection
from outlast.store.sqlite.connection import prepare
from store.agent_fakes import MAIN, hold
from store.store_fakes import claim, make, new

WRITER = """
import asyncio, sys
sys.path.insert(0, sys.argv[3])
from store.store_fakes import claim, make, move
from outlast.core.lifecycle import Verb
from outlast.store.sqlite import SqliteStore

async def main(path, number):
    store = SqliteStore(path)
    await store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    async def one(act):
        task = await make(store, number * 100000 + act, queue=f"q{number}")
        [taken] = await store.claim_tasks(claim(f"c{number}-{act}", queues=(f"q{number}",)))
        assert await store.apply(move(taken.task.id, Verb.SUCCEED)) is not None
    for start in range(0, 165, 5):
        await asyncio.gather(*(one(act) for act in range(start, start + 5)))
    for act in range(5):
        await make(store, number * 100000 + 900 + act, queue=f"q{number}")
    await store.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_four_processes_write_one_file_and_nothing_is_lost_or_locked(sqlite_path):
    tests = str(Path(__file__).parents[2])
    with children(
        *([sys.executable, "-c", WRITER, sqlite_path, str(number), tests] for number in range(1, 5))
    ) as writers:
        assert [heard(writer) for writer in writers] == ["ready"] * 4
        for writer in writers:
            tell(writer, "go")
        store = SqliteStore(sqlite_path)
        await store.open()
        assert [await asyncio.to_thread(ended, writer) for writer in writers] == [0] * 4
    counts = await store.counts()
    assert (counts[Status.SUCCEEDED], counts[Status.QUEUED]) == (4 * 165, 4 * 5)
    events, after = 0, 0
    while batch := await store.events_since(after):
        events += len(batch)
        after = batch[-1].id
    assert events == 4 * 500
    assert await store.look_around()
    assert not await store.look_around()
    assert await store.check() == []
    await store.close()


async def _race(path: str, count: int) -> None:
    stores = [SqliteStore(path) for _ in range(2)]
    for store in stores:
        await store.open()
    for start in range(0, count, 500):
        await asyncio.gather(*(stores[0].create_task(new(number)) for number in range(start, start + 500)))
    taken: list[list[str]] = [[], []]

    async def take(side: int, number: int) -> bool:
        names = [f"c{side}-{number}-{place}" for place in range(20)]
        tasks = await stores[side].claim_tasks(claim(*names, worker=f"w{side}"))
        taken[side].extend(one.task.id for one in tasks)
        return bool(tasks)

    for (
        number
    ) in itertools.count():  # both at once each time: a file has no queue, and one of them might not get a turn
        if not any(await asyncio.gather(take(0, number), take(1, number))):
            break
    everyone = taken[0] + taken[1]
    assert len(everyone) == len(set(everyone)) == count
    assert all(taken), "only one of the claimers got anything"
    assert (await stores[0].counts())[Status.RUNNING] == count
    for store in stores:
        await store.close()


async def test_two_claimers_never_take_the_same_task(sqlite_path):
    await _race(sqlite_path, 20_000)


@pytest.mark.soak
async def test_two_claimers_never_take_the_same_task_for_long(sqlite_path):
    await _race(sqlite_path, 100_000)


async def test_readers_are_not_held_up_by_a_writer_and_see_what_was_acknowledged(sqlite_path):
    store = SqliteStore(sqlite_path)
    await store.open()
    for number in range(50):
        task = await make(store, number)
        assert await store.get_task(task.id) == task
    assert len((await store.list_tasks(TaskFilter(), 100)).tasks) == 50
    await store.close()
    assert os.path.getsize(sqlite_path) > 0


APPENDER = """
import asyncio, sys
sys.path.insert(0, sys.argv[3])
from outlast.store.sqlite import SqliteStore
from store.agent_fakes import MAIN, entries

async def main(path, name):
    store = SqliteStore(path)
    await store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    for first in range(1, 400, 8):
        acts = (entries(one, one + 3, source=name) for one in (first, first + 4))
        await asyncio.gather(*(store.append_entries(MAIN, act) for act in acts), store.append_entries(MAIN, shared))
    await store.close()

shared = entries(1, 3, source="both")
asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_two_processes_append_to_one_conversation_without_a_gap_or_a_double(sqlite_path):
    store = SqliteStore(sqlite_path)
    await store.open()
    await hold(store)
    tests = str(Path(__file__).parents[2])
    heard_of: list[Change] = []
    with children(*([sys.executable, "-c", APPENDER, sqlite_path, name, tests] for name in "ab")) as writers:
        store.on_change(heard_of.append)
        assert [heard(writer) for writer in writers] == ["ready"] * 2
        for writer in writers:
            tell(writer, "go")
        assert [await asyncio.to_thread(ended, writer) for writer in writers] == [0] * 2
    found = await store.entries_of(MAIN, 0, 1000)
    assert [one.seq for one in found] == list(range(1, 2 * 400 + 3 + 1))
    for name in "ab":
        assert [one.source_key for one in found if one.source_key.startswith(name + ":")] == [
            f"{name}:{number}" for number in range(1, 401)
        ]
    assert sum(one.source_key.startswith("both:") for one in found) == 3
    assert any(one.entries for one in heard_of), "the others' bells were heard"
    assert not any(one.foreign for one in heard_of), "a transcript that grows sends nobody to look around"
    await store.close()


class _Meanwhile:
    """A connection beside which another process makes the store, right after the first thing that is asked of it."""

    def __init__(self, path: str) -> None:
        self.inner = apsw.Connection(path)
        self.meanwhile = lambda: prepare(path, read_only=False)

    def _then(self, answer):
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return answer

    def pragma(self, *given):
        return self._then(self.inner.pragma(*given))

    def execute(self, *given):
        return self._then(SimpleNamespace(get=self.inner.execute(*given).get))


async def test_a_file_that_another_process_makes_meanwhile_is_ours(sqlite_path):
    connection._check_ours(_Meanwhile(sqlite_path), sqlite_path)
    assert apsw.Connection(sqlite_path).pragma("application_id") == connection.APPLICATION_ID


class _Locked:
    """A connection to a file that others open as well: it is told at once that it is locked, a few times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def pragma(self, *given):
        self.times -= 1
        if self.times >= 0:
            raise apsw.BusyError("database is locked")


async def test_who_opens_a_new_file_with_others_waits_for_his_turn(monkeypatch):
    locked = _Locked(3)
    connection._log_ahead(locked)
    assert locked.times == -1
    monkeypatch.setattr(connection, "BUSY_MS", 0)
    with pytest.raises(apsw.BusyError):
        connection._log_ahead(_Locked(1000))
