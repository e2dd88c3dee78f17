"""Gateways and keepers of different versions: running work is never touched, and new work goes to the new keeper."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Iterator

import pytest
from process_faults import abandon, alive, kill9, printed, supervisor_of, until, within

from houses import House, ended, spec, text
from outlast import __version__
from outlast.core.errors import Conflict
from outlast.core.session import Cause, Status
from outlast.process import sessions as sessions_module
from outlast.process.keeper import record as records
from outlast.process.launcher import Launcher, find
from outlast.process.session import Session
from outlast.process.sessions import Sessions

OLD = "0.0.1"


def keeper_of(session: Session) -> tuple[int, str]:
    """Process and version of the keeper a session runs under."""
    started = records.read(session.folder)["started"]
    return started["zygote"], started["keeper"]


@pytest.mark.parametrize("polite", [True, False], ids=["stopped", "killed"])
def test_a_newer_gateway_takes_up_the_sessions_of_an_older_keeper(house: House, polite: bool) -> None:
    """It reads, feeds and ends them; new ones start under a new keeper; the old one leaves with its last session."""
    house.version = OLD

    async def before(table: Sessions) -> None:
        for name in ("sreads", "skilled", "slast"):
            session = await table.start(
                spec(table, "echo up; while read l; do echo got $l; done; exit 3", stdin="pipe", id=name)
            )
            await printed(table, session, 3)

    house.run(before, crash=not polite)
    old = find(house.home).pid
    house.version = __version__

    async def after(table: Sessions) -> None:
        assert table.adopted[:3] == (3, 0, 0)
        assert table.keeper.version == __version__
        assert table.keeper.pid != old
        reads, killed, last = (table.get(name) for name in ("sreads", "skilled", "slast"))
        assert keeper_of(reads) == (old, OLD)
        assert text(reads) == "up\n"
        await table.write(reads, b"you\n")
        await printed(table, reads, 11)
        await table.write(reads, b"", eof=True)
        await within(table.until_drained(reads))
        assert (text(reads), reads.end.code) == ("up\ngot you\n", 3)
        report = await within(table.kill(killed))
        assert [pid for pid, _, _ in report.ended] == [killed.pid]
        await within(table.until_drained(killed))
        assert killed.status is Status.CANCELLED
        fresh = await table.start(spec(table, "read go; exit 4", stdin="pipe"))
        assert keeper_of(fresh) == (table.keeper.pid, __version__)
        assert alive(old)
        await table.kill(last)
        await until(lambda: not alive(old))
        await table.write(fresh, b"go\n")
        await within(table.until_drained(fresh))
        assert fresh.end.code == 4

    house.run(after)


def test_an_older_keeper_still_replaces_what_is_killed(house: House) -> None:
    """It serves no starts any more and looks after its own: a take-over under the newer gateway loses nothing."""
    house.version = OLD

    async def before(table: Sessions) -> None:
        await table.start(spec(table, "echo one; read go; echo two; exit 7", stdin="pipe", id="sheld"))

    house.run(before, crash=True)
    house.version = __version__

    async def after(table: Sessions) -> None:
        session = table.get("sheld")
        link = session.link
        kill9(supervisor_of(session))
        await until(lambda: session.link not in (None, link))
        await table.write(session, b"go\n")
        await within(table.until_drained(session))
        assert (text(session), session.end.cause, session.end.code) == ("one\ntwo\n", Cause.EXIT, 7)

    house.run(after)


def test_versions_may_change_again_and_again(house: House) -> None:
    """Six upgrades and downgrades, a session under each: every start works at once, and all are adopted at the end."""
    for turn in range(6):
        house.version = f"0.0.{turn % 2}"

        async def act(table: Sessions, turn: int = turn) -> None:
            session = await within(table.start(spec(table, f"read go; exit {turn}", stdin="pipe", id=f"sturn{turn}")))
            assert keeper_of(session)[1] == house.version

        house.run(act, crash=bool(turn % 3))

    async def after(table: Sessions) -> None:
        assert table.adopted[:3] == (6, 0, 0)
        keepers = {keeper_of(session)[0] for session in table.live()}
        for session in table.live():
            await table.write(session, b"go\n")
        for turn in range(6):
            session = table.get(f"sturn{turn}")
            await within(table.until_drained(session))
            assert session.end.code == turn
        await until(lambda: [pid for pid in keepers if alive(pid)] in ([], [table.keeper.pid]))

    house.run(after)


def test_stopping_and_starting_in_quick_turns_never_meets_a_closed_door(house: House) -> None:
    """A keeper that is just leaving still has the address: the next gateway waits for it or passes it by."""
    for turn in range(8):

        async def act(table: Sessions, turn: int = turn) -> None:
            assert (await within(ended(table, f"exit {turn}"))).end.code == turn

        house.run(act)


def test_a_keeper_that_leaves_slowly_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one is stopped in its tracks and holds the lock: the new one serves as soon as it is gone."""
    Launcher(house.home, house.home, OLD).ensure()
    old = house.keeper_pid
    tries: list[bool] = []
    start = Launcher._start
    monkeypatch.setattr(Launcher, "_start", lambda launcher: (tries.append(start(launcher)), tries[-1])[1])

    async def main() -> None:
        os.kill(old, signal.SIGSTOP)
        table = house.table()
        opening = asyncio.create_task(table.open())
        await until(lambda: len(tries) >= 2)
        assert (opening.done(), any(tries)) == (False, False)
        os.kill(old, signal.SIGCONT)
        await within(opening)
        assert (table.keeper.version, table.keeper.pid != old) == (__version__, True)
        assert (await within(ended(table, "exit 3"))).end.code == 3
        await table.close()

    asyncio.run(main())


def test_a_newer_gateways_words_are_refused_by_name_and_do_no_harm(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown request is `old_keeper`; unknown fields, in requests and in the start itself, are passed over."""
    compose = sessions_module._request

    def newer(*given: object) -> dict:
        request = compose(*given)
        request["spec"]["sparkle"] = {"much": [1, 2]}
        request["colour"] = "red"
        return request

    async def act(table: Sessions) -> None:
        monkeypatch.setattr(sessions_module, "_request", newer)
        session = await table.start(spec(table, "echo up; read go; exit 5", stdin="pipe"))
        await printed(table, session, 3)
        for _ in range(3):
            with pytest.raises(Conflict) as error:
                await session.link.ask("levitate", height=3)
            assert error.value.code == "old_keeper"
        assert (await session.link.ask("probe", colour="red"))["processes"] == 1
        assert (session.end, alive(session.pid)) == (None, True)
        await table.write(session, b"go\n")
        await within(table.until_drained(session))
        assert session.end.code == 5

    house.run(act)


def test_a_record_of_a_newer_keeper_is_understood_as_far_as_it_goes(house: House) -> None:
    """Unknown lines, fields and causes in a record: the session is shown with the end the process had."""

    async def act(table: Sessions) -> None:
        session = await ended(table, "echo hi; exit 5", id="snewer")
        with open(f"{session.folder}/record", "a") as file:
            file.write('{"mood":{"is":"fine"}}\n{"exit":{"cause":"melted","at":1.0,"code":5,"signal":null,"heat":9}}\n')

    async def later(table: Sessions) -> None:
        session = table.get("snewer")
        assert (session.status, session.end.code, session.end.cause) == (Status.FAILED, 5, Cause.EXIT)

    house.run(act)
    house.run(later)


@contextlib.contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    """Hold so many descriptors that new ones get high numbers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 200)), hard))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    try:
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_gateway_with_thousands_of_descriptors_can_start_a_keeper(house: House) -> None:
    """Its numbers are beyond what select can name; a keeper that died is started again all the same."""

    async def act(table: Sessions) -> None:
        kill9(house.keeper_pid)
        await until(lambda: find(house.home).pid is None)
        assert (await within(ended(table, "exit 3"))).end.code == 3

    with many_descriptors(1500):
        house.run(act)


def test_a_keeper_short_of_descriptors_refuses_starts_and_keeps_what_it_has(house: House) -> None:
    """No descriptor is free: what runs goes on to its true end, and starts work again when there are some."""

    async def main() -> None:
        table = house.table()
        await table.open()
        session = await table.start(spec(table, "read go; exit 3", stdin="pipe"))
        keeper = house.keeper_pid
        old = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, (4, old[1]))
        for _ in range(6):  # spares are used up, and no new one can be ordered
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ended(table, "true"), 0.7)
        assert alive(keeper)
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, old)
        assert (await within(ended(table, "exit 4"))).end.code == 4
        await table.write(session, b"go\n")
        await within(table.until_drained(session))
        assert session.end.code == 3
        assert house.keeper_pid == keeper
        abandon(table)

    asyncio.run(main())
