"""Killing parts of the machinery with -9 at the worst moments: what is known is kept, and nothing is invented."""

from __future__ import annotations

import asyncio
import os
import select
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from process_faults import LIMIT, abandon, alive, kill9, numbers, printed, supervisor_of, until, within

from houses import House, ended, spec, text
from outlast.core.errors import Conflict
from outlast.core.session import Cause, Status
from outlast.process.keeper import record as records
from outlast.process.sessions import Sessions

COUNT = "for i in $(seq 99); do echo $i; sleep 0.005; done; WAIT; echo 100; exit 7"
"""The last line waits until what is to be killed has been: `counting` says how."""
KINDS = {
    "pipe": (COUNT, {}),
    "stderr": (f"exec 1>&2; {COUNT}", {}),
    "pty": (COUNT, {"pty": True}),
}
SURVIVED = ["gateway", "zygote", "supervisor", "gateway+zygote", "gateway+supervisor"]
HUNDRED = [str(i) for i in range(1, 101)]


def gate(house: House, name: str = "gate") -> tuple[Path, str]:
    """A file, and a shell word that waits until it exists."""
    path = Path(house.home, name)
    return path, f"while [ ! -e {shlex.quote(str(path))} ]; do sleep 0.01; done"


def counting(house: House, kind: str) -> tuple[Path, str, dict[str, bool]]:
    """The file that the last line of a counting command waits for, the command, and how it is started."""
    path, wait = gate(house)
    command, fields = KINDS[kind]
    return path, command.replace("WAIT", wait), fields


async def kill_parts(house: House, table: Sessions, victims: str, session_id: str) -> Sessions:
    """Kill what ``victims`` names, the gateway first; return the table that is open afterwards."""
    session = table.get(session_id)
    pids = {"zygote": house.keeper_pid, "supervisor": supervisor_of(session)}
    if "gateway" in victims:
        abandon(table)
    kill9(*(pid for name, pid in pids.items() if name in victims))
    if "gateway" in victims:
        table = house.table()
        await within(table.open())
    return table


@pytest.mark.parametrize("victims", SURVIVED)
@pytest.mark.parametrize("kind", KINDS)
def test_every_line_and_the_exit_code_survive_kill_9(house: House, kind: str, victims: str) -> None:
    """Whatever single part dies, alone or with the gateway: all lines in order, once, exit 7; a bystander is well."""

    async def main() -> None:
        table = house.table()
        await table.open()
        path, command, fields = counting(house, kind)
        session = await table.start(spec(table, command, **fields))
        other = await table.start(spec(table, "read line; echo got $line; exit 3", stdin="pipe"))
        await printed(table, session, 40)
        table = await kill_parts(house, table, victims, session.id)
        path.touch()
        session, other = table.get(session.id), table.get(other.id)
        await within(table.until_drained(session))
        assert numbers(session) == HUNDRED
        assert (session.status, session.end.cause, session.end.code) == (Status.FAILED, Cause.EXIT, 7)
        assert session.output.omitted() == []
        stream = 2 if kind == "stderr" else 1
        assert {piece[1] for piece in session.output.pieces(0, session.produced)} == {stream}
        await table.write(other, b"you\n")
        await within(table.until_drained(other))
        assert (text(other), other.end.code) == ("got you\n", 3)
        again = await ended(table, "echo fresh; exit 4")
        assert (text(again), again.end.code) == ("fresh\n", 4)
        await table.close()

    asyncio.run(main())


GATEWAY = """
    import asyncio, sys
    sys.path[:0] = {path!r}
    from houses import House, spec
    from outlast.process.clock import SystemClock
    async def main():
        house = House.__new__(House)
        house.home, house.version, house.crash_at = {home!r}, {version!r}, None
        table = house.table()
        await table.open()
        for name, command, pty in {sessions!r}:
            await table.start(spec(table, command, id=name, pty=pty))
        while any(table.get(name).produced < 40 for name, _, _ in {sessions!r}):
            await asyncio.gather(*(table.until_output(s, 39) for s in table.live()))
        print("flowing", flush=True)
        await asyncio.sleep(600)
    asyncio.run(main())
"""


def test_a_gateway_process_that_is_killed_takes_nothing_with_it(house: House) -> None:
    """A real process holds the table and is killed with -9 while three sessions print."""
    sessions = [(f"sreal{kind}", counting(house, kind)[1], bool(fields)) for kind, (_, fields) in KINDS.items()]
    path = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]
    script = GATEWAY.format(path=path, home=house.home, version=house.version, sessions=sessions)
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as gateway:
        try:
            assert select.select([gateway.stdout], [], [], LIMIT)[0], "it does not get under way"
            assert gateway.stdout.readline() == b"flowing\n"
        finally:
            gateway.kill()

    async def act(table: Sessions) -> None:
        assert table.adopted.live == 3
        gate(house)[0].touch()
        for name, _, _ in sessions:
            session = table.get(name)
            await within(table.until_drained(session))
            assert (numbers(session), session.end.code) == (HUNDRED, 7)

    house.run(act)


# ---- both parents gone


def test_a_quiet_command_without_any_parent_ends_with_the_truth_from_the_kernel(house: House) -> None:
    """Zygote and supervisor killed: running and unsupervised, and then the true exit code with a note."""
    path, wait = gate(house)

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, f"{wait}; exit 7", start_key="k"))
        other = await table.start(spec(table, f"{wait}; exit 8"))
        await kill_parts(house, table, "zygote+supervisor", session.id)
        await until(lambda: session.unsupervised)
        assert (session.status, session.end, alive(session.pid)) == (Status.RUNNING, None, True)
        assert table.find_running("k") is session
        with pytest.raises(Conflict) as error:
            await table.resize(session, 1, 1)
        assert error.value.code == "unsupervised"
        path.touch()
        await within(table.until_drained(session))
        assert (session.end.cause, session.end.code) == (Cause.EXIT, 7)
        assert "supervisor was killed" in session.end.note
        await within(table.until_drained(other))
        assert (other.end.code, other.end.note) == (8, None)
        assert records.read(session.folder)["exit"]["code"] == 7

    house.run(act)


@pytest.mark.parametrize("kind", KINDS)
def test_a_printing_command_without_any_parent_never_gets_an_invented_end(house: House, kind: str) -> None:
    """Its pipe or terminal died with its parents: the signal it died of, or lost; what was printed before is kept."""

    async def act(table: Sessions) -> None:
        path, command, fields = counting(house, kind)
        session = await table.start(spec(table, command, **fields))
        await printed(table, session, 40)
        await kill_parts(house, table, "zygote+supervisor", session.id)
        path.touch()
        await within(table.until_drained(session))
        if session.end.cause is Cause.SIGNAL:
            assert session.end.signal == (signal.SIGHUP if kind == "pty" else signal.SIGPIPE)
        else:
            assert (session.end.cause, session.status) == (Cause.EVIDENCE_GONE, Status.LOST)
            assert str(session.pid) in session.end.note
        assert session.end.code is None
        got = numbers(session)
        assert len(got) >= 10
        assert got == HUNDRED[: len(got)]

    house.run(act)


@pytest.mark.parametrize("gateway_too", [False, True])
def test_the_zygote_may_die_after_its_replacement_took_over(house: House, gateway_too: bool) -> None:
    """Supervisor killed, replaced, then the zygote killed: output goes on, and the end is the true one."""
    path, wait = gate(house)

    async def main() -> None:
        table = house.table()
        await table.open()
        session = await table.start(spec(table, f"echo one; {wait}; echo two; exit 7"))
        await printed(table, session, 4)
        zygote, first = house.keeper_pid, supervisor_of(session)
        kill9(first)
        await until(lambda: supervisor_of(session) != first)
        kill9(zygote)
        await until(lambda: not alive(zygote))
        if gateway_too:
            abandon(table)
            table = house.table()
            await table.open()
            session = table.get(session.id)
        assert session.status is Status.RUNNING
        path.touch()
        await within(table.until_drained(session))
        assert text(session) == "one\ntwo\n"
        assert (session.end.cause, session.end.code) == (Cause.EXIT, 7)
        await table.close()

    asyncio.run(main())


def test_supervisor_after_supervisor_may_be_killed(house: House) -> None:
    """Ten kills in a row, one after each new replacement: still every line once, and the exit code."""
    path, wait = gate(house)

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, COUNT.replace("WAIT", wait)))
        killed: set[int] = set()
        for turn in range(10):
            await printed(table, session, 15 * turn)
            victim = supervisor_of(session)
            kill9(victim)
            killed.add(victim)
            await until(lambda: supervisor_of(session) not in killed)
        path.touch()
        await within(table.until_drained(session))
        assert numbers(session) == HUNDRED
        assert session.end.code == 7

    house.run(act)


def test_a_command_that_ends_in_the_moment_its_replacement_is_killed_is_told_truly(house: House) -> None:
    """The end reaches the zygote while nobody stands in for the supervisor: the next one must still hear of it."""
    path, wait = gate(house)

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, f"{wait}; exit 7"))
        first = supervisor_of(session)
        kill9(first)
        second = await until(lambda: {supervisor_of(session)} - {first} and supervisor_of(session))
        os.kill(house.keeper_pid, signal.SIGSTOP)
        kill9(second)
        path.touch()
        await until(lambda: not alive(session.pid))
        os.kill(house.keeper_pid, signal.SIGCONT)
        await within(table.until_drained(session))
        assert (session.end.cause, session.end.code) == (Cause.EXIT, 7)

    house.run(act)


# ---- steering afterwards

TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: print("int"))
signal.signal(signal.SIGUSR1, lambda *_: print("usr"))
signal.signal(signal.SIGWINCH, lambda *_: print(*os.get_terminal_size()))
print("up")
for line in sys.stdin:
    print("got", line)
"""


@pytest.mark.parametrize("victims", ["gateway", "supervisor", "gateway+supervisor", "gateway+zygote"])
def test_keys_resize_and_kill_reach_a_terminal_session_afterwards(house: House, victims: str) -> None:
    """Input, ^C, window size, signal, probe and kill work on a pty session that was adopted or taken over."""

    async def main() -> None:
        table = house.table()
        await table.open()
        session = await table.start(spec(table, [sys.executable, "-u", "-c", TERMINAL], pty=True))
        await until(lambda: "up" in text(session))
        link = session.link
        table = await kill_parts(house, table, victims, session.id)
        session = table.get(session.id)
        await until(lambda: session.link not in (None, link))
        await table.write(session, b"ho\n")
        await until(lambda: "got ho" in text(session))
        await table.write(session, b"\x03")
        await until(lambda: "int" in text(session))
        await table.resize(session, 77, 22)
        await until(lambda: "77 22" in text(session))
        await table.signal(session, signal.SIGUSR1, scope="leader")
        await until(lambda: "usr" in text(session))
        assert (await table.probe(session)).processes == 1
        report = await within(table.kill(session))
        assert [(pid, how) for pid, _, how in report.ended] == [(session.pid, "SIGTERM")]
        await within(table.until_drained(session))
        assert (session.status, session.end.cause, session.end.signal) == (
            Status.CANCELLED,
            Cause.OPERATOR,
            signal.SIGTERM,
        )
        assert house.processes() == []
        await table.close()

    asyncio.run(main())


@pytest.mark.parametrize("victims", ["gateway", "supervisor"])
def test_the_end_of_the_input_reaches_a_command_afterwards(house: House, victims: str) -> None:
    """No duplicate of the pipe, in zygote or replacement, keeps a reader waiting after its input was closed."""

    async def main() -> None:
        table = house.table()
        await table.open()
        session = await table.start(spec(table, "cat; echo end", stdin="pipe"))
        await table.write(session, b"one\n")
        await printed(table, session, 4)
        link = session.link
        table = await kill_parts(house, table, victims, session.id)
        session = table.get(session.id)
        await until(lambda: session.link not in (None, link))
        await table.write(session, b"two\n", eof=True)
        await within(table.until_drained(session))
        assert (text(session), session.end.code) == ("one\ntwo\nend\n", 0)
        await table.close()

    asyncio.run(main())


def test_input_that_was_being_fed_is_cut_off_and_said_so_never_left_hanging(house: House) -> None:
    """Text to feed is nowhere on disk: when the feeder is killed, the command sees the end and the record says why."""
    path, wait = gate(house)

    async def act(table: Sessions) -> None:
        command = f"head -c 10; echo; {wait}; wc -c"
        session = await table.start(spec(table, command, stdin_text="x" * 3_000_000))
        await printed(table, session, 11)
        kill9(supervisor_of(session))
        path.touch()
        await within(table.until_drained(session))
        first, rest = text(session).split()
        assert first == "x" * 10
        assert int(rest) < 2_900_000
        assert "input" in session.end.note

    house.run(act)


def test_a_kill_that_meets_a_dying_supervisor_is_carried_out_by_the_next(house: House) -> None:
    """The supervisor dies between a polite signal and its grace: the caller's kill still ends the tree."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "trap '' TERM; echo up; while :; do sleep 0.05; done"))
        await printed(table, session, 3)
        kill = asyncio.create_task(table.kill(session, grace=3.0))
        await until(lambda: "kill" in records.read(session.folder))
        kill9(supervisor_of(session))
        report = await within(kill)
        assert (session.pid, "SIGKILL") in [(pid, how) for pid, _, how in report.ended]
        await within(table.until_drained(session))
        assert (session.status, session.end.cause) == (Status.CANCELLED, Cause.OPERATOR)
        assert house.processes() == []

    house.run(act)


def test_limits_hold_after_a_take_over(house: House) -> None:
    """The total limit counts from the start of the command, whoever watches it."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300", timeout_seconds=1.0))
        kill9(supervisor_of(session))
        await within(table.until_drained(session))
        assert (session.status, session.end.cause) == (Status.TIMED_OUT, Cause.TIMEOUT)
        assert session.end.at - session.started_at < LIMIT
        assert house.processes() == []

    house.run(act)


# ---- named points

POINTS = {
    "supervisor:before_spawn": Cause.EVIDENCE_GONE,
    "supervisor:after_spawn": Cause.EXIT,
    "supervisor:after_started_record": Cause.EXIT,
    "supervisor:reaped": Cause.EVIDENCE_GONE,
    "supervisor:before_exit_record": Cause.EVIDENCE_GONE,
    "supervisor:after_exit_record": Cause.EXIT,
}


@pytest.mark.parametrize("pty", [False, True])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_a_named_point_is_told_as_it_was(house: House, point: str, pty: bool) -> None:
    """Never run twice, never a wrong end: the true exit where anybody saw it, else lost with what was looked for."""
    house.crash_at = (point, f"{house.home}/crashed")
    path, wait = gate(house)
    told: list[tuple[str, str]] = []

    async def first(table: Sessions) -> None:
        table.on_event(lambda kind, s: told.append((kind, s.id)))
        command = f"echo ran >> {house.home}/ran; echo hello; {wait}; echo bye; exit 5"
        session = await within(table.start(spec(table, command, id="scrash", pty=pty)))
        path.touch()
        await within(table.until_drained(session))
        assert os.path.exists(f"{house.home}/crashed")
        check(session)
        assert (await ended(table, "exit 3")).end.code == 3

    async def later(table: Sessions) -> None:
        table.on_event(lambda kind, s: told.append((kind, s.id)))
        assert table.adopted == (0, 0, 0, table.adopted.ms)
        check(table.get("scrash"))

    def check(session) -> None:
        assert session.end.cause is POINTS[point]
        assert session.end.code == (5 if session.end.cause is Cause.EXIT else None)
        never = point == "supervisor:before_spawn"
        assert numbers(session) == ([] if never else ["hello", "bye"])
        assert os.path.exists(f"{house.home}/ran") != never
        assert never or Path(house.home, "ran").read_text() == "ran\n"
        if session.status is Status.LOST:
            assert ("may never have started" in session.end.note) == never
            assert never or str(session.pid) in session.end.note

    house.run(first)
    house.run(later)
    assert told.count(("ended", "scrash")) == 1


def test_a_short_command_whose_supervisor_crashed_after_its_spawn_is_not_run_again(house: House) -> None:
    """It may be over before anybody can look: then it is lost, or its true end; it ran once in either case."""
    house.crash_at = ("supervisor:after_spawn", f"{house.home}/crashed")

    async def act(table: Sessions) -> None:
        session = await within(table.start(spec(table, f"echo ran >> {house.home}/ran; exit 5")))
        await within(table.until_drained(session))
        assert (session.end.cause, session.end.code) in [(Cause.EXIT, 5), (Cause.EVIDENCE_GONE, None)]
        await until(lambda: house.processes() == [])
        assert Path(house.home, "ran").read_text() == "ran\n"

    house.run(act)


# ---- while no gateway was there


def test_an_end_nobody_heard_is_told_exactly_once(house: House) -> None:
    """Ended while no table was open: the next one tells it, with the truth; the one after that does not."""
    path, wait = gate(house)
    told: list[tuple[str, str, int]] = []

    async def start(table: Sessions) -> None:
        await table.start(spec(table, f"{wait}; echo late; exit 6", id="splain"))
        await table.start(spec(table, f"{wait}; sleep 300 & {wait}; exit 9", id="sleaves"))
        await table.start(spec(table, f"{wait}; sleep 300", id="slives"))

    def listen(turn: int):
        async def act(table: Sessions) -> None:
            assert table.get("splain").end.code == 6
            assert text(table.get("splain")) == "late\n"
            assert table.get("sleaves").end.code == 9
            assert table.get("sleaves").leftovers == 1
            assert table.get("slives").end is None
            assert table.adopted[:3] == ((1, 2, 0) if turn == 1 else (1, 1, 0))

        async def main() -> None:
            table = house.table()
            table.on_event(lambda kind, s: told.append((kind, s.id, turn)))
            await table.open()
            await act(table)
            abandon(table)

        asyncio.run(main())

    house.run(start, crash=True)
    path.touch()
    folder = f"{house.home}/sessions"
    asyncio.run(
        until(lambda: "end" in records.read(f"{folder}/splain") and "exit" in records.read(f"{folder}/sleaves"))
    )
    for turn in (1, 2, 3):
        listen(turn)
    assert sorted(told) == [("ended", "sleaves", 1), ("ended", "splain", 1)]


def test_a_loss_is_told_exactly_once(house: House) -> None:
    """Everything was killed while no table was open: lost, with what was looked for, and told one time."""
    told: list[tuple[str, str]] = []

    async def start(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300", id="slost"))
        kill9(house.keeper_pid, supervisor_of(session), session.pid)
        await until(lambda: not alive(session.pid))
        abandon(table)

    async def main(lost: int) -> None:
        table = house.table()
        table.on_event(lambda kind, s: told.append((kind, s.id)))
        await table.open()
        assert table.adopted[:3] == (0, 0, lost)
        session = table.get("slost")
        assert (session.status, session.end.cause) == (Status.LOST, Cause.EVIDENCE_GONE)
        assert str(session.pid) in session.end.note
        await table.close()

    house.run(start, crash=True)
    asyncio.run(main(1))
    asyncio.run(main(0))
    assert told == [("ended", "slost")]


def test_adoption_counts_what_it_found(house: House) -> None:
    """Live, ended meanwhile, lost, and long settled ones, forty in all: each is counted where it belongs."""
    path, wait = gate(house)

    async def start(table: Sessions) -> None:
        live = [table.start(spec(table, "sleep 300", id=f"slive{i:02}")) for i in range(10)]
        end = [table.start(spec(table, f"{wait}; exit {i}", id=f"send{i:02}")) for i in range(10)]
        done = [ended(table, "true", id=f"sdone{i:02}") for i in range(10)]
        lost = [table.start(spec(table, "sleep 300", id=f"slost{i:02}")) for i in range(10)]
        sessions = await asyncio.gather(*live, *end, *done, *lost)
        abandon(table)
        victims = [s for s in sessions if s.id.startswith("slost")]
        kill9(house.keeper_pid, *(supervisor_of(s) for s in victims), *(s.pid for s in victims))
        path.touch()
        await until(lambda: all("end" in records.read(s.folder) for s in sessions if s.id.startswith("send")))
        await until(lambda: not any(alive(s.pid) for s in victims))

    async def adopt(table: Sessions) -> None:
        assert table.adopted[:3] == (10, 10, 10)
        assert [s.id for s in table.live()] == [f"slive{i:02}" for i in range(10)]
        assert [table.get(f"send{i:02}").end.code for i in range(10)] == list(range(10))
        assert {table.get(f"slost{i:02}").status for i in range(10)} == {Status.LOST}
        await asyncio.gather(*(table.kill(s) for s in table.live()))
        assert house.processes() == []

    house.run(start, crash=True)
    house.run(adopt)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]\n", b'{"spec":5}\n', b'{"spec":{"cols":"x"}}\n', b'{"spec":{},"started":{}}\n',
     b'{"spec":{},"started":{"pid":1,"ticks":1,"boot":"x","at":0},"exit":{"cause":"melted","code":4}}\n'],
)  # fmt: skip
def test_one_damaged_record_does_not_keep_a_gateway_from_opening(house: House, damage: bytes) -> None:
    """A poisoned record is set aside; sessions beside it are adopted and new ones start."""

    async def start(table: Sessions) -> None:
        await table.start(spec(table, "sleep 300", id="sgood"))

    house.run(start, crash=True)
    os.mkdir(f"{house.home}/sessions/sbad")
    Path(house.home, "sessions/sbad/record").write_bytes(damage)
    Path(house.home, "open/sbad").touch()

    async def act(table: Sessions) -> None:
        assert [s.id for s in table.live()] == ["sgood"]
        assert (await ended(table, "exit 3")).end.code == 3
        table.ended(limit=10)
        await table.kill(table.get("sgood"))

    house.run(act)
