"""A start that somebody has given up must not happen afterwards: he and the supervisor race for one name."""

from __future__ import annotations

import os
import signal
import socket
import time

import msgspec
import pytest
from process_faults import until

from houses import House, ended, spec
from outlast.core.errors import GatewayTrouble
from outlast.process import evidence, settle
from outlast.process.keeper import proc
from outlast.process.keeper import record as records
from outlast.process.keeper.wire import pack
from outlast.process.sessions import Sessions


def test_a_start_that_was_forestalled_fails_and_starts_nothing(house: House) -> None:
    """The request was still on its way: the keeper refuses it, and leaves no trace of it."""

    async def act(table: Sessions) -> None:
        assert await table.forestall("slate")
        assert await table.forestall("slate")
        with pytest.raises(GatewayTrouble):
            await table.start(spec(table, f"touch {house.home}/ran", id="slate"))
        assert not os.path.exists(f"{house.home}/ran")
        assert await table.take_up("slate") is None

    house.run(act)


def test_a_start_that_happened_cannot_be_forestalled(house: House) -> None:
    """It is there after all, and is found."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300", id="searly"))
        assert not await table.forestall("searly")
        assert await table.take_up("searly") is session

    house.run(act)


async def still(keeper: int) -> list[int]:
    """Stop whoever could serve a start and whoever makes such, and return them: from then on there are no more."""

    def stopped() -> list[int]:
        found = proc.descendants(keeper)
        for pid in found:
            if proc.state_of(pid) != "T":
                os.kill(pid, signal.SIGSTOP)
        return found if all(proc.state_of(pid) == "T" for pid in found) else []

    return list(await until(stopped))


def test_a_start_whose_caller_died_meanwhile_does_not_happen(house: House) -> None:
    """Nobody would know of it: the next gateway may have looked for sessions before there was a trace of this one."""

    async def act(table: Sessions) -> None:
        spares = await still(house.keeper_pid)
        given = spec(table, f"touch {house.home}/ran", id="sorphan")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.connect(f"{house.home}/keeper.sock")
            caller.sendall(pack({"op": "start", "spec": msgspec.to_builtins(given), "line": "{}"}))
        for pid in spares:
            os.kill(pid, signal.SIGCONT)
        for _ in range(3 * len(spares)):
            await ended(table, "true")
        assert not os.path.exists(f"{house.home}/ran")
        assert not os.path.exists(f"{house.home}/sessions/sorphan")
        assert not os.path.exists(f"{house.home}/open/sorphan")

    house.run(act)


def test_a_supervisor_that_stalled_after_its_folder_cannot_go_on(tmp_path) -> None:
    """The record is the name only one can have: whoever comes second knows."""
    folder = str(tmp_path / "s1")
    os.mkdir(folder)
    assert evidence.forestall(folder)
    with pytest.raises(FileExistsError):
        records.RecordFile.create(folder, "{}")
    other = str(tmp_path / "s2")
    os.mkdir(other)
    records.RecordFile.create(other, "{}").close()
    assert not evidence.forestall(other)


def test_what_forestalled_a_start_is_swept_away_later(tmp_path) -> None:
    """It is no session, and goes once no such start can be on its way any more."""
    folder = str(tmp_path / "s1")
    assert evidence.forestall(folder)
    settle.prune(str(tmp_path), ["s1"], time.time(), 0.0, 0, 0.0)
    assert os.path.isdir(folder)
    settle.prune(str(tmp_path), ["s1"], time.time() + settle.FORESTALLED_SECONDS + 1, 0.0, 0, 0.0)
    assert not os.path.exists(folder)
