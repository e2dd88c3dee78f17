"""Processes that share a file hear of each other's commits, and of what they brought, by a bell."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from outlast.core.task import NewTask, Runtime
from outlast.store.acts import EVENTS, QUEUED
from outlast.store.base import Change
from outlast.store.sqlite import SqliteStore, bell
from outlast.store.sqlite.bell import SUFFIX, Bell


def new_task(number: int) -> NewTask:
    return NewTask(
        id=f"t{number}", runtime=Runtime.CLI, kind="exec", source="exec", requester="me", created_at=1.0, payload={}
    )


def heard_by(store: SqliteStore) -> asyncio.Queue[Change]:
    heard: asyncio.Queue[Change] = asyncio.Queue()
    store.on_change(heard.put_nowait)
    return heard


def test_a_commit_of_one_store_is_heard_by_another_with_what_it_brought(tmp_path: Path) -> None:
    async def story() -> None:
        here, there = (SqliteStore(str(tmp_path / "ledger.db")) for _ in range(2))
        await here.open()
        await there.open()
        heard = heard_by(there)
        await here.create_task(new_task(1))
        change = await asyncio.wait_for(heard.get(), 120)
        assert change.foreign and change.queued and change.events
        assert not change.outbox and not change.schedules
        await here.close()
        await there.close()

    asyncio.run(story())


def test_a_commit_of_another_process_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    code = (
        "import asyncio, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from sqlite.test_bell import new_task\n"
        "from outlast.store.sqlite import SqliteStore\n"
        "async def main():\n"
        "    store = SqliteStore(sys.argv[1])\n"
        "    await store.open()\n"
        "    await store.create_task(new_task(7))\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )

    async def story() -> None:
        store = SqliteStore(str(path))
        await store.open()
        heard = heard_by(store)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(path), str(Path(__file__).parent.parent)
        )
        assert await asyncio.wait_for(process.wait(), 120) == 0
        while not (await asyncio.wait_for(heard.get(), 120)).queued:
            pass
        assert (await store.get_task("t7")) is not None
        await store.close()

    asyncio.run(story())
    assert os.listdir(f"{path}{SUFFIX}") == []


def test_the_bell_of_a_dead_process_is_taken_away(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    dead = subprocess.run(
        [sys.executable, "-c", f"import os; os.makedirs({path + SUFFIX!r}); os.mkfifo({path + SUFFIX + '/1-dead'!r})"],
        check=True,
    )
    assert dead.returncode == 0
    (tmp_path / f"ledger.db{SUFFIX}" / "2-no-fifo").write_text("")
    bell = Bell(path, lambda _: None)
    bell.ring(EVENTS)
    assert os.listdir(path + SUFFIX) == ["2-no-fifo"]


def test_rings_that_nobody_has_heard_yet_add_up(tmp_path: Path) -> None:
    heard: list[int] = []

    async def story() -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        here = Bell(str(tmp_path / "x"), lambda brought: (heard.append(brought), told.set()))
        there = Bell(str(tmp_path / "x"), lambda _: None)
        here.hang(loop)
        there.hang(loop)
        there.ring(EVENTS)
        for _ in range(100_000):  # more than a pipe holds: it must neither block nor fail
            there.ring(QUEUED)
        await asyncio.wait_for(told.wait(), 120)
        here.take_down()
        there.take_down()

    asyncio.run(story())
    assert heard[0] == EVENTS | QUEUED


def test_a_place_where_no_bell_can_hang_costs_the_bell_only(tmp_path: Path) -> None:
    (tmp_path / f"ledger.db{SUFFIX}").write_text("in the way")

    async def story() -> None:
        store = SqliteStore(str(tmp_path / "ledger.db"))
        await store.open()
        await store.create_task(new_task(1))
        await store.close()

    asyncio.run(story())


def test_a_bell_is_not_taken_away_while_it_is_put_up(tmp_path: Path, monkeypatch) -> None:
    """Who rings just then finds one that nobody hears yet."""
    heard: list[int] = []
    make = os.mkfifo

    async def story() -> None:
        told = asyncio.Event()
        here = Bell(str(tmp_path / "x"), lambda brought: (heard.append(brought), told.set()))
        there = Bell(str(tmp_path / "x"), lambda _: None)

        def make_and_ring(path: str, mode: int) -> None:
            make(path, mode)
            there.ring(QUEUED)

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(os, "mkfifo", make_and_ring)
            here.hang(asyncio.get_running_loop())
        there.ring(EVENTS)
        await asyncio.wait_for(told.wait(), 120)
        here.take_down()
        there.take_down()

    asyncio.run(story())
    assert heard == [EVENTS]
    assert os.listdir(tmp_path / f"x{SUFFIX}") == []


def test_a_bell_that_is_put_up_in_the_tick_of_the_last_look_is_rung(tmp_path: Path, monkeypatch) -> None:
    """Moments of directories are as coarse as the kernel's tick: one that came right after a look left no trace."""
    rung: list[int] = []
    place = tmp_path / f"x{SUFFIX}"

    async def story() -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        there = Bell(str(tmp_path / "x"), lambda _: None)
        here = Bell(str(tmp_path / "x"), lambda brought: (rung.append(brought), told.set()))
        there.hang(loop)
        moment = place.stat().st_mtime_ns
        monkeypatch.setattr(bell, "time_ns", lambda: moment)
        there.ring(QUEUED)
        here.hang(loop)
        os.utime(place, ns=(moment, moment))
        there.ring(EVENTS)
        await asyncio.wait_for(told.wait(), 120)
        here.take_down()
        there.take_down()

    asyncio.run(story())
    assert rung == [EVENTS]


def test_a_directory_that_has_not_changed_for_a_while_is_not_looked_at_again(tmp_path: Path, monkeypatch) -> None:
    looks: list[str] = []
    look = os.listdir

    async def story() -> None:
        there = Bell(str(tmp_path / "x"), lambda _: None)
        there.hang(asyncio.get_running_loop())
        later = (tmp_path / f"x{SUFFIX}").stat().st_mtime_ns + 1_000_000_000
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(bell, "time_ns", lambda: later)
            meanwhile.setattr(os, "listdir", lambda path: looks.append(path) or look(path))
            for _ in range(3):
                there.ring(QUEUED)
        there.take_down()

    asyncio.run(story())
    assert len(looks) == 1
