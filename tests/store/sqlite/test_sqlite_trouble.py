"""Files that are damaged, newer, not writable or on a full disk: told plainly, never made worse."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path

import apsw
import pytest

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.core.lifecycle import Verb
from outlast.core.task import TaskFilter
from outlast.store.sqlite import SqliteStore
from store.store_fakes import everything, make, move, new, running, take


async def _filled(path: str, count: int = 50, close: bool = True) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    await asyncio.gather(*(make(store, number, title="x" * 500) for number in range(1, count + 1)))
    if close:
        await store.close()
    return store


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


async def _refused(path: str, code: str, **given) -> GatewayTrouble:
    store = SqliteStore(path, **given)
    with pytest.raises(GatewayTrouble) as caught:
        await store.open()
    assert caught.value.code == code
    return caught.value


async def test_a_file_that_is_no_database_is_left_alone(sqlite_path):
    Path(sqlite_path).write_bytes(b"dear diary, " * 1000)
    before = _digest(sqlite_path)
    error = await _refused(sqlite_path, "store_damaged")
    assert not error.retryable and error.hint
    assert _digest(sqlite_path) == before


async def test_somebody_elses_database_is_left_alone(sqlite_path):
    connection = apsw.Connection(sqlite_path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = _digest(sqlite_path)
    await _refused(sqlite_path, "store_damaged")
    assert _digest(sqlite_path) == before


async def test_a_newer_schema_is_refused_and_left_alone(sqlite_path):
    await _filled(sqlite_path)
    connection = apsw.Connection(sqlite_path)
    connection.pragma("user_version", 999)
    connection.close()
    before = _digest(sqlite_path)
    error = await _refused(sqlite_path, "store_newer")
    assert not error.retryable and "999" in error.message
    await _refused(sqlite_path, "store_newer", read_only=True)
    assert _digest(sqlite_path) == before


async def test_damage_met_on_the_way_stops_all_writing(sqlite_path):
    await _filled(sqlite_path, 400)
    connection = apsw.Connection(sqlite_path)
    roots = connection.execute("SELECT rootpage FROM sqlite_schema WHERE tbl_name IN ('task', 'event') AND rootpage")
    numbers = [number for (number,) in roots]
    connection.close()
    pages = bytearray(Path(sqlite_path).read_bytes())
    for number in numbers:
        pages[4096 * (number - 1) : 4096 * number] = b"\xa5" * 4096
    Path(sqlite_path).write_bytes(pages)
    before = _digest(sqlite_path)
    store = SqliteStore(sqlite_path)
    await store.open()
    for _ in range(2):
        with pytest.raises(GatewayTrouble) as caught:
            await make(store, 5000)
        assert caught.value.code == "store_damaged" and not caught.value.retryable
    with pytest.raises(GatewayTrouble) as caught:
        await store.list_tasks(TaskFilter(), 10)
    assert caught.value.code == "store_damaged"
    assert await store.check() != []
    await store.close()
    assert _digest(sqlite_path) == before


async def test_looking_only_makes_nothing_and_writes_nothing(sqlite_path):
    await _refused(sqlite_path, "store_missing", read_only=True)
    assert not os.path.exists(sqlite_path)
    await _filled(sqlite_path, 3)
    store = SqliteStore(sqlite_path, read_only=True)
    await store.open()
    assert len((await store.list_tasks(TaskFilter(), 10)).tasks) == 3
    with pytest.raises(GatewayTrouble) as caught:
        await make(store)
    assert caught.value.code == "store_read_only"
    await store.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


async def test_a_full_disk_is_told_loses_nothing_and_passes(small_disk):
    store = await _filled(str(small_disk / "ledger.db"), 20, close=False)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    acknowledged, codes = set(), set()
    for number in range(100, 160):
        batch = [store.create_task(new(number * 10 + place, title="z" * 2000)) for place in range(3)]
        for result in await asyncio.gather(*batch, return_exceptions=True):
            if isinstance(result, GatewayTrouble):
                codes.add((result.code, result.retryable))
            else:
                acknowledged.add(result.task.id)
    assert codes == {("store_full", True)}
    assert (await store.get_task(new(1).id)).title == "x" * 500
    ballast.unlink()
    acknowledged.add((await make(store, 9999)).id)
    there = {task.id for task in (await store.list_tasks(TaskFilter(), 1000)).tasks}
    assert there == acknowledged | {new(number).id for number in range(1, 21)}
    assert await store.check() == []
    await store.close()


async def test_a_read_only_file_system_is_told_and_passes(small_disk):
    store = await _filled(str(small_disk / "ledger.db"), 5)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    await _refused(store.path, "store_read_only")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    again = SqliteStore(store.path)
    await again.open()
    await make(again, 50)
    await again.close()


async def test_a_live_file_is_copied_whole(sqlite_path, tmp_path):
    store = await _filled(sqlite_path, 200, close=False)
    task = await take(store, "c1")
    await store.apply(move(task[0].id, Verb.SUCCEED))
    copy = str(tmp_path / "copy.db")
    going = asyncio.gather(*(make(store, number) for number in range(500, 700)))
    await store.backup(copy)
    await going
    assert os.stat(copy).st_mode & 0o777 == 0o600
    assert not os.path.exists(f"{copy}.part")
    twin = SqliteStore(copy)
    await twin.open()
    assert await twin.check() == []
    assert await twin.get_task(task[0].id) == await store.get_task(task[0].id)
    assert len((await twin.list_tasks(TaskFilter(), 1000)).tasks) >= 200
    assert await twin.pending_outbox(10) == await store.pending_outbox(10)
    await twin.close()
    before = _digest(copy)
    with pytest.raises(BadInput) as caught:
        await store.backup(copy)
    assert caught.value.code == "backup_exists"
    assert _digest(copy) == before
    await store.close()


async def test_the_file_is_for_its_owner_only(sqlite_path):
    store = await _filled(sqlite_path, 1, close=False)
    names = [f"{sqlite_path}{end}" for end in ("", "-wal", "-shm")]
    assert {os.stat(name).st_mode & 0o777 for name in names} == {0o600}
    await store.close()


async def test_closing_finishes_what_was_asked_for(sqlite_path):
    store = await _filled(sqlite_path, 1, close=False)
    asked = [asyncio.ensure_future(make(store, number)) for number in range(100, 150)]
    await asyncio.sleep(0)
    await store.close()
    assert len([await one for one in asked]) == 50
    with pytest.raises(GatewayTrouble) as caught:
        await make(store)
    assert caught.value.code == "store_closed"
    with pytest.raises(GatewayTrouble):
        await store.get_task("t1")
    await store.close()


async def test_a_copy_holds_everything(sqlite_path, tmp_path):
    store = await _filled(sqlite_path, 3, close=False)
    await running(store, "c9", priority=9)
    await store.backup(str(tmp_path / "b.db"))
    twin = SqliteStore(str(tmp_path / "b.db"), read_only=True)
    await twin.open()
    assert await everything(twin) == await everything(store)
    await twin.close()
    await store.close()
