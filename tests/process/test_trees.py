"""Ending whole trees: every way to slip out of a session, and never a stranger's process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from process_faults import LIMIT, alive, kill9, printed, supervisor_of, until, within

from houses import House, ended, spec
from outlast.core.errors import Conflict
from outlast.core.session import Cause, Status
from outlast.process import settle
from outlast.process.evidence import Started
from outlast.process.keeper import ending, ops, proc
from outlast.process.keeper import record as records
from outlast.process.session import KillReport, Session, SessionInfo
from outlast.process.sessions import Sessions

NOBODY = 4194305
"""A pid no process can have: one more than the kernel's largest."""
SLACK = 50.0
"""Seconds: what a busy machine may take on top of the grace."""
_turn = itertools.count(1)


@pytest.fixture
def nap() -> Iterator[str]:
    """A `sleep` that nobody else sleeps: its argument finds it in /proc, whatever its parents and environment."""
    word = f"1000.{os.getpid()}{next(_turn):04}"
    yield f"sleep {word}"
    for pid in sleepers(f"sleep {word}"):
        with contextlib.suppress(ProcessLookupError):
            kill9(pid)


def sleepers(nap: str) -> list[int]:
    """Every living process with these very words, in any environment, session or parentage."""
    wanted = nap.replace(" ", "\0").encode() + b"\0"
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and alive(int(name)):
            try:
                if Path("/proc", name, "cmdline").read_bytes() == wanted:
                    found.append(int(name))
            except OSError:
                continue
    return found


async def asleep(nap: str, count: int) -> list[int]:
    """Wait until so many processes are at it, and return them."""

    def all_there() -> list[int]:
        found = sleepers(nap)
        return found if len(found) == count else []

    return list(await until(all_there))


async def no_zombies(house: House) -> None:
    """Wait until nobody below the keeper waits to be reaped."""

    def dead() -> list[int]:
        kin, level = [], [house.keeper_pid]
        while level:
            level = [child for pid in level for child in proc.children(pid)]
            kin += level
        return [pid for pid in kin if proc.state_of(pid) == "Z"]

    await until(lambda: not dead())


ESCAPES = {
    "setsid in the background": ("setsid {nap} & {nap}", 2, True),
    "double fork, descriptors closed": ("( (setsid {nap} <&- >&- 2>&- &) & ); {nap}", 2, True),
    "double fork, no environment": ("( (env -i setsid {nap} <&- >&- 2>&- &) & ); {nap}", 2, True),
    "nohup, leader gone": ("nohup setsid {nap} >/dev/null 2>&1 &", 1, False),
    "no environment, leader gone": ("( (env -i setsid {nap} <&- >&- 2>&- &) & )", 1, False),
    "respawner in a session of its own": ("setsid sh -c 'trap : TERM; while :; do {nap}; done' & {nap}", 2, True),
}


@pytest.mark.parametrize("case", ESCAPES)
def test_nothing_escapes_a_kill(house: House, nap: str, case: str) -> None:
    """Each trick, and afterwards: nobody left, everybody in the answer, no zombie, soon after the grace."""
    script, count, leads = ESCAPES[case]

    async def act(table: Sessions) -> None:
        command = script.format(nap=nap) + ("" if leads else "\nread go")
        session = await table.start(spec(table, command, grace_seconds=0.5, stdin="pipe"))
        there = await asleep(nap, count)
        if not leads:
            kin = {session.pid, *there}  # those who have only put it there are gone again
            await until(lambda: set(proc.descendants(supervisor_of(session))) == kin)
            await table.write(session, b"go\n")
            await within(table.until_end(session))
            assert (session.end.code, session.leftovers) == (0, count)
        began = time.monotonic()
        report = await within(table.kill(session))
        assert time.monotonic() - began < 0.5 + SLACK
        assert sleepers(nap) == []
        assert {pid for pid, _, _ in report.ended} >= set(there)
        assert report.survivors == []
        await within(table.until_drained(session))
        assert session.status is (Status.CANCELLED if leads else Status.SUCCEEDED)
        assert house.processes() == []
        await no_zombies(house)

    house.run(act)


def test_what_ignores_the_polite_signal_is_killed_after_the_grace(house: House, nap: str) -> None:
    """The answer says who went politely and who had to be killed."""

    async def act(table: Sessions) -> None:
        command = f"{nap} & trap '' TERM; {nap} & echo up; while :; do wait; done"
        session = await table.start(spec(table, command, grace_seconds=0.3))
        await printed(table, session, 3)
        await asleep(nap, 2)
        began = time.monotonic()
        report = await within(table.kill(session))
        assert 0.3 <= time.monotonic() - began < 0.3 + SLACK
        how = {pid: (name, word) for pid, name, word in report.ended}
        assert how[session.pid] == ("bash", "SIGKILL")
        assert sorted(word for pid, (name, word) in how.items() if name == "sleep") == ["SIGKILL", "SIGTERM"]
        await within(table.until_drained(session))
        assert (session.end.cause, session.end.signal) == (Cause.OPERATOR, signal.SIGKILL)
        assert sleepers(nap) == []

    house.run(act)


def test_a_stopped_process_is_woken_to_die(house: House, nap: str) -> None:
    """SIGSTOP keeps SIGTERM waiting; the tree goes politely all the same, long before the grace is over."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, f"{nap} & kill -STOP $!; echo up; wait", grace_seconds=100.0))
        await printed(table, session, 3)
        await until(lambda: [proc.state_of(pid) for pid in proc.children(session.pid)] == ["T"])
        report = await within(table.kill(session))
        assert {word for _, _, word in report.ended} == {"SIGTERM"}
        assert sleepers(nap) == []

    house.run(act)


def test_two_hundred_children_go_together(house: House, nap: str) -> None:
    """A wide tree: all gone soon after the grace, and all listed."""

    async def act(table: Sessions) -> None:
        command = f"for i in $(seq 200); do {nap} & done; wait"
        session = await table.start(spec(table, command, grace_seconds=2.0))
        there = await asleep(nap, 200)
        began = time.monotonic()
        report = await within(table.kill(session))
        assert time.monotonic() - began < 2.0 + SLACK
        assert {pid for pid, _, _ in report.ended} == {*there, session.pid}
        assert sleepers(nap) == []
        await no_zombies(house)

    house.run(act)


def test_a_tree_that_grows_while_it_is_killed_is_ended_too(house: House, nap: str) -> None:
    """It ignores SIGTERM and puts new processes into sessions of their own as fast as it can."""

    async def act(table: Sessions) -> None:
        command = f"trap '' TERM; while :; do setsid {nap} & sleep 0.01; done"
        session = await table.start(spec(table, command, grace_seconds=0.2))
        await until(lambda: len(sleepers(nap)) >= 5)
        report = await within(table.kill(session))
        assert report.survivors == []
        assert sleepers(nap) == []
        assert house.processes() == []
        await no_zombies(house)

    house.run(act)


def test_two_kills_at_once_are_both_answered(house: House, nap: str) -> None:
    """A patient and an impatient caller: the harsher wish counts, and both hear who was ended."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, f"trap '' TERM; echo up; while :; do {nap}; done"))
        await printed(table, session, 3)
        patient = asyncio.create_task(table.kill(session, grace=100.0))
        await until(lambda: "kill" in records.read(session.folder))
        hasty, first = await within(asyncio.gather(table.kill(session, signum=signal.SIGKILL), patient))
        assert hasty == first
        assert (session.pid, "bash", "SIGKILL") in first.ended
        await within(table.until_drained(session))
        with pytest.raises(Conflict) as error:
            await table.kill(session)
        assert error.value.code == "session_ended"
        assert sleepers(nap) == []

    house.run(act)


def test_a_signal_to_the_tree_reaches_who_is_there_whoever_vanished() -> None:
    """A process that ended between the look and the signal is no error, and does not shield the others."""
    answers: list[dict] = []
    with subprocess.Popen(["sleep", "1000"]) as there:
        try:
            sup = SimpleNamespace(tree=lambda: [NOBODY, there.pid])
            channel = SimpleNamespace(send=lambda message: answers.append(message) or True)
            assert ops.answer(sup, channel, {"op": "signal", "n": 1, "signal": 15, "scope": "tree"})
            assert there.wait(LIMIT) == -signal.SIGTERM
        finally:
            there.kill()
    assert answers == [{"n": 1, "sent": 1}]


def test_a_session_without_parents_can_still_be_killed(house: House, nap: str) -> None:
    """Zygote and supervisor are dead: kill finds the tree by session, descent and mark, and the cause is ours."""

    async def act(table: Sessions) -> None:
        command = f"(setsid {nap} <&- >&- 2>&- &); {nap}; true"
        session = await table.start(spec(table, command, grace_seconds=0.5))
        there = await asleep(nap, 2)
        kill9(house.keeper_pid, supervisor_of(session))
        await until(lambda: session.unsupervised)
        report = await within(table.kill(session))
        assert {pid for pid, _, _ in report.ended} >= {*there, session.pid}
        assert (session.status, session.end.cause) == (Status.CANCELLED, Cause.OPERATOR)
        assert session.end.signal == signal.SIGTERM
        assert sleepers(nap) == []

    house.run(act)


def test_a_kill_after_a_take_over_reaches_what_slipped_out_before(house: House, nap: str) -> None:
    """The replacement is no parent of the tree; session, descent, mark and the zygote's orphans lead to it."""

    async def act(table: Sessions) -> None:
        command = f"(setsid {nap} <&- >&- 2>&- &); env -i {nap} & {nap}; true"
        session = await table.start(spec(table, command, grace_seconds=0.5))
        there = await asleep(nap, 3)
        link = session.link
        kill9(supervisor_of(session))
        await until(lambda: session.link not in (None, link))
        report = await within(table.kill(session))
        assert {pid for pid, _, _ in report.ended} >= {*there, session.pid}
        await within(table.until_drained(session))
        assert session.status is Status.CANCELLED
        assert sleepers(nap) == []
        await no_zombies(house)

    house.run(act)


def test_limits_end_what_slipped_out(house: House, nap: str) -> None:
    """The time limit is a kill like any other: the double-forked daemon goes too."""

    async def act(table: Sessions) -> None:
        command = f"(env -i setsid {nap} <&- >&- 2>&- &); {nap}"
        session = await ended(table, command, timeout_seconds=0.4, grace_seconds=0.5)
        assert session.status is Status.TIMED_OUT
        assert sleepers(nap) == []

    house.run(act)


# ---- strangers


def doctored(house: House, session_id: str, started: dict) -> None:
    """Leave a session as a gateway and keeper that were killed would have, with this process on record."""
    folder = Path(house.home, "sessions", session_id)
    folder.mkdir(parents=True)
    line = {"id": session_id, "argv": ["sleep"], "command": "sleep", "boot": started["boot"], "created_at": 1.0}
    lines = [{"spec": line}, {"started": {"at": 1.0, "supervisor": 1, "supervisor_ticks": 1, **started}}]
    Path(folder, "record").write_text("".join(json.dumps(row) + "\n" for row in lines))
    Path(house.home, "open").mkdir(exist_ok=True)
    Path(house.home, "open", session_id).touch()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a kernel session and is not ours."""
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("ticks", "boot", "cause", "part"),
    [
        (-7, None, Cause.EVIDENCE_GONE, "is gone"),
        (0, "00000000-0000-0000-0000-000000000000", Cause.HOST_RESTART, "restarted"),
    ],
)
def test_a_reused_pid_is_never_taken_for_ours(
    house: House,
    stranger: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    ticks: int,
    boot: str | None,
    cause: Cause,
    part: str,
) -> None:
    """The pid on record lives but started at another time, or on another boot: lost, and the stranger is left alone."""
    knocks: list[bool] = []
    may_answer = settle._may_answer
    monkeypatch.setattr(settle, "_may_answer", lambda *given: knocks.append(may_answer(*given)) or knocks[-1])
    seen = {"pid": stranger.pid, "ticks": proc.start_ticks(stranger.pid) + ticks, "boot": boot or proc.boot_id()}
    doctored(house, "sreused", {**seen, "supervisor": stranger.pid})

    async def act(table: Sessions) -> None:
        session = table.get("sreused")
        assert table.adopted[:3] == (0, 0, 1)
        assert knocks == [False], "nobody knocks at a stranger's door again"
        assert (session.status, session.end.cause, session.unsupervised) == (Status.LOST, cause, None)
        assert part in session.end.note
        assert str(stranger.pid) in session.end.note
        with pytest.raises(Conflict):
            await table.kill(session)
        assert stranger.poll() is None

    house.run(act)
    assert stranger.poll() is None


def test_a_kernel_session_of_a_reused_number_is_not_ours_to_kill(
    house: House, stranger: subprocess.Popen[bytes]
) -> None:
    """The command is gone and a stranger now leads a kernel session of its number: kill must not touch it."""
    session = Session(SessionInfo(id="snobody"), f"{house.home}/sessions/snobody")
    older = proc.start_ticks(stranger.pid) - 7
    session.started = Started(stranger.pid, older, proc.boot_id(), 1.0)
    report = asyncio.run(settle.kill_unsupervised(session, "operator", signal.SIGKILL, 0.0))
    assert report == KillReport([], [])
    assert stranger.poll() is None


# ---- the ending itself


def test_who_may_not_be_signalled_is_a_survivor_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user: the attempt ends with the grace, and says why it is still there."""

    def refuse(pid: int, signum: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(ending.os, "kill", refuse)
    attempt = ending.Ending(lambda: [os.getpid()], signal.SIGTERM, 1.0, 10.0, told=True)
    assert attempt.step(10.0) is False
    assert attempt.step(11.0) is True
    report = attempt.report()
    assert report["ended"] == []
    assert [(pid, why) for pid, _, why in report["survivors"]] == [(os.getpid(), "not ours to signal")]


@pytest.mark.parametrize("signum", [1, 9, 15, 32, 33, 35, 64])
def test_every_signal_the_kernel_has_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, signum: int) -> None:
    """Real-time signals and the two without a name are told as numbers."""
    sent: list[int] = []
    monkeypatch.setattr(ending.os, "kill", lambda pid, number: sent.append(number))
    attempt = ending.Ending(lambda: [] if sent else [NOBODY], signum, 1.0, 10.0, told=True)
    attempt.step(10.0)
    assert sent[0] == signum
    assert attempt.step(11.1) is True
    assert [row[2] for row in attempt.report()["ended"]] == [
        {1: "SIGHUP", 9: "SIGKILL", 15: "SIGTERM"}.get(signum, f"SIG{signum}")
    ]
