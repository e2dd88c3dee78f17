"""A machine so busy that supervisors answer late: what is known in the end is what happened."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time

import pytest
from process_faults import alive, kill9, supervisor_of, until, within

from houses import House, spec, text
from outlast.core.session import Cause
from outlast.process import custody, settle
from outlast.process.keeper import record as records
from outlast.process.keeper import zygote
from outlast.process.session import Session
from outlast.process.sessions import Sessions


def test_a_replacement_that_comes_late_is_waited_for(house: House) -> None:
    """The keeper gets no turn for longer than a start may take: the output goes on where it was, nothing is missed."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "read line; echo got $line; exit 7", stdin="pipe"))
        link = session.link
        os.kill(house.keeper_pid, signal.SIGSTOP)
        kill9(supervisor_of(session))
        await asyncio.sleep(settle.KNOCKS * settle.KNOCK_SECONDS + 0.5)
        assert session.unsupervised is None
        os.kill(house.keeper_pid, signal.SIGCONT)
        await until(lambda: session.link not in (None, link))
        await table.write(session, b"you\n")
        await within(table.until_drained(session))
        assert (text(session), session.end.cause, session.end.code) == ("got you\n", Cause.EXIT, 7)

    house.run(act)


def deaths(house: House) -> list[str]:
    """What supervisors that died as they began have written into the keeper's log."""
    with open(f"{house.home}/keeper.log", encoding="utf-8") as file:
        return [line for line in file if " keeper[" in line]


def test_a_supervisor_that_cannot_begin_is_tried_later_and_later_until_one_can(house: House) -> None:
    """Each dies at once, and was followed at once: a keeper that did nothing else. The command knows nothing of it."""

    async def begin(table: Sessions) -> tuple[str, int]:
        session = await table.start(spec(table, "read line; echo got $line; exit 7", stdin="pipe"))
        return session.id, supervisor_of(session)

    session_id, supervisor = house.run(begin, crash=True)
    record = f"{house.home}/sessions/{session_id}/record"
    os.rename(record, f"{record}.kept")
    os.mkdir(record)
    began = time.monotonic()
    kill9(supervisor)
    asyncio.run(until(lambda: len(deaths(house)) >= zygote.AT_ONCE_MAX + 3))
    assert time.monotonic() - began >= 3 * zygote.PAUSE_FIRST, "one pause, and one that is twice as long"
    os.rmdir(record)
    os.rename(f"{record}.kept", record)

    async def go_on(table: Sessions) -> None:
        session = table.get(session_id)
        await table.write(session, b"you\n")
        await within(table.until_drained(session))
        assert (text(session), session.end.cause, session.end.code) == ("got you\n", Cause.EXIT, 7)

    house.run(go_on)


def test_a_session_that_somebody_has_removed_by_hand_is_nobodys_any_more(house: House) -> None:
    """There is nothing a supervisor could go on with: none is made, and the keeper has peace."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "exec sleep 600"))
        supervisor = supervisor_of(session)
        shutil.rmtree(session.folder)
        kill9(supervisor, session.pid)
        await until(lambda: not alive(supervisor) and not alive(session.pid))
        for _ in range(5):
            await within(table.until_end(await table.start(spec(table, "true"))))
        assert deaths(house) == []

    house.run(act)


def test_a_supervisor_that_answered_too_late_has_still_told_the_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was given up, it lives, and its line of the end is on disk: the command is not lost."""

    async def nobody(run: str, session: Session) -> None:
        return None

    async def cannot_tell(session: Session) -> None:
        await until(lambda: not alive(session.pid) and "exit" in (records.read(session.folder) or {}))

    monkeypatch.setattr(settle, "connect", nobody)
    monkeypatch.setattr(settle, "end_of_stranger", cannot_tell)
    monkeypatch.setattr(custody, "WATCH_SECONDS", 0.01)

    async def act(table: Sessions) -> None:
        path = f"{house.home}/gate"
        session = await table.start(spec(table, f"while [ ! -e {path} ]; do sleep 0.01; done; exit 7"))
        session.link.close()
        session.link.on_lost()
        await until(lambda: session.unsupervised)
        with open(path, "w"):
            pass
        await within(table.until_end(session))
        assert (session.end.cause, session.end.code) == (Cause.EXIT, 7)

    house.run(act)
