"""Starting, watching and steering real commands through the live table."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from process_faults import until, within

from houses import House, ended, spec, text
from outlast.core.errors import BadInput, Conflict, NotFound
from outlast.core.session import Cause, Status
from outlast.process.keeper import proc
from outlast.process.sessions import Sessions

TRIES = 10
"""Where a command has to print within a second or two: a machine that stood still meanwhile gets another try."""


def test_a_command_runs_and_its_end_is_known(house: House) -> None:
    """Exit code, output of both streams and resource use are there at the end."""

    async def act(table: Sessions) -> None:
        session = await ended(table, "echo out; echo err >&2; exit 3")
        assert (session.status, session.end.code, session.end.cause) == (Status.FAILED, 3, Cause.EXIT)
        pieces = [(stream, data) for _, stream, data in session.output.pieces(0, session.produced)]
        assert pieces == [(1, b"out\n"), (2, b"err\n")]
        assert session.end.user_seconds is not None
        assert session.end.max_rss > 0

    house.run(act)


def test_a_signal_is_told_apart_from_an_exit_code(house: House) -> None:
    async def act(table: Sessions) -> None:
        session = await ended(table, "kill -SEGV $$")
        assert (session.end.cause, session.end.signal, session.end.code) == (Cause.SIGNAL, signal.SIGSEGV, None)
        plain = await ended(table, "exit 139")
        assert (plain.end.cause, plain.end.signal, plain.end.code) == (Cause.EXIT, None, 139)

    house.run(act)


@pytest.mark.parametrize(
    ("argv", "fields", "part"),
    [
        (["/no/such/program"], {}, "No such file"),
        (["no-such-program-anywhere"], {}, "No such file"),
        (["/etc/passwd"], {}, "Permission denied"),
        (["/bin/true"], {"cwd": "/no/such/folder"}, "/no/such/folder"),
    ],
)
def test_what_cannot_be_spawned_says_why_at_once(house: House, argv: list[str], fields: dict, part: str) -> None:
    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, argv, **fields))
        assert (session.status, session.end.cause) == (Status.FAILED, Cause.SPAWN_ERROR)
        assert part in session.end.note
        assert os.listdir(f"{house.home}/open") == []

    house.run(act)


def test_a_background_grandchild_never_delays_the_end(house: House) -> None:
    """`sleep 300 &` holds the pipe open; the command's own end is told, and kill still reaches the sleeper."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300 & echo hi"))
        await table.until_end(session)
        assert (session.end.code, text(session), session.leftovers) == (0, "hi\n", 1)
        assert not session.drained
        report = await table.kill(session)
        assert [how for _, _, how in report.ended] == ["SIGTERM"]
        await table.until_drained(session)
        assert (session.status, session.end.code) == (Status.SUCCEEDED, 0)
        assert house.processes() == []

    house.run(act)


def test_what_a_command_left_behind_is_still_heard(house: House) -> None:
    """Output after the end wakes whoever waits for more, without looking by the clock."""

    async def act(table: Sessions) -> None:
        fifo = f"{house.home}/fifo"
        os.mkfifo(fifo)
        session = await table.start(spec(table, f"(read line <{fifo}; echo late) & echo now"))
        await table.until_end(session)
        assert (text(session), session.end.leftovers) == ("now\n", 1)
        more = asyncio.ensure_future(table.until_more(session, session.produced))
        await until(lambda: _told(fifo))
        await within(more)
        assert text(session) == "now\nlate\n"

    house.run(act)


def _told(fifo: str) -> bool:
    """Write a line to who reads there; False while nobody does."""
    try:
        writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    os.write(writer, b"go\n")
    os.close(writer)
    return True


def test_leftovers_are_ended_on_request(house: House) -> None:
    async def act(table: Sessions) -> None:
        session = await ended(table, "sleep 300 & echo hi", leftovers="kill")
        assert (session.end.code, text(session)) == (0, "hi\n")
        assert house.processes() == []

    house.run(act)


def test_total_and_idle_limits_end_the_tree_and_name_themselves(house: House) -> None:
    async def act(table: Sessions) -> None:
        total = await ended(table, "sleep 300", timeout_seconds=0.2)
        assert (total.status, total.end.cause) == (Status.TIMED_OUT, Cause.TIMEOUT)
        for _ in range(TRIES):
            idle = await ended(table, "echo a; sleep 300", idle_timeout_seconds=1.0)
            assert (idle.status, idle.end.cause) == (Status.TIMED_OUT, Cause.IDLE_TIMEOUT)
            if text(idle):
                break
        assert text(idle) == "a\n"
        assert house.processes() == []

    house.run(act)


def test_output_counts_as_life_for_the_idle_limit(house: House) -> None:
    async def act(table: Sessions) -> None:
        command = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done"
        for _ in range(TRIES):
            session = await ended(table, command, idle_timeout_seconds=2.0)
            if session.end.cause is Cause.EXIT:
                break
        assert (session.end.cause, text(session)) == (Cause.EXIT, "1\n2\n3\n4\n5\n6\n")

    house.run(act)


def test_standard_input_is_fed_and_closed(house: House) -> None:
    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "cat; echo end", stdin="pipe"))
        assert await table.write(session, b"one\n") == 4
        await table.until_output(session, 0)
        await table.write(session, b"two\n", eof=True)
        await table.until_end(session)
        assert text(session) == "one\ntwo\nend\n"
        fed = await ended(table, "wc -c", stdin_text="x" * 300_000)
        assert text(fed) == "300000\n"

    house.run(act)


def test_writing_to_what_does_not_listen_is_refused_at_once(house: House) -> None:
    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300"))
        with pytest.raises(Conflict) as error:
            await table.write(session, b"x")
        assert error.value.code == "no_stdin"
        with pytest.raises(Conflict) as error:
            await table.resize(session, 10, 10)
        assert error.value.code == "not_a_pty"
        await table.kill(session)
        await table.until_drained(session)
        with pytest.raises(Conflict) as error:
            await table.write(session, b"x")
        assert error.value.code == "session_ended"

    house.run(act)


def test_a_terminal_is_a_terminal(house: House) -> None:
    """Window size, ^C to the foreground group, and a resize the program sees."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "stty size; echo ready; exec cat", pty=True, cols=91, rows=33))
        seen = 0
        while "ready" not in text(session):
            await table.until_output(session, seen)
            seen = session.produced
        await table.write(session, b"\x03")
        await table.until_drained(session)
        assert text(session).startswith("33 91\r\n")
        assert session.end.signal == signal.SIGINT

    house.run(act)


def test_a_question_on_the_input_is_seen(house: House) -> None:
    async def act(table: Sessions) -> None:
        asks = await table.start(spec(table, "read -p 'sure? ' x", pty=True))
        await table.until_output(asks, 0)
        while not (await table.probe(asks)).waiting_for_input:
            await asyncio.sleep(0.01)  # bounded by the run's own limit
        busy = await table.start(spec(table, "while :; do :; done", stdin="pipe"))
        assert (await table.probe(busy)).waiting_for_input is False
        none = await table.start(spec(table, "sleep 300"))
        assert (await table.probe(none)).waiting_for_input is None
        for session in (asks, busy, none):
            await table.kill(session, signum=signal.SIGKILL)

    house.run(act)


def test_sessions_are_found_by_id_and_by_prefix(house: House) -> None:
    async def act(table: Sessions) -> None:
        one = await ended(table, "true", id="saaaa1")
        await ended(table, "true", id="saaaa2")
        assert table.get("saaaa1") is one
        assert table.get(one.id).id == "saaaa1"
        with pytest.raises(BadInput) as error:
            table.get("saaaa")
        assert error.value.code == "ambiguous"
        for name in ("nothere", "../../etc", "", "SAAAA1", "saaaa1\n", "a" * 5000):
            with pytest.raises(NotFound):
                table.get(name)
        assert [s.id for s in table.ended(limit=1)] == ["saaaa2"]
        assert [s.id for s in table.ended(limit=5, before="saaaa2")] == ["saaaa1"]

    house.run(act)


def test_there_is_no_session_before_its_start_is_known(house: House) -> None:
    """Its record is on disk before we hear of it; whoever found it there would wait for its end for ever."""

    async def act(table: Sessions) -> None:
        ask, found = table._ask_keeper, []
        waiting: list[asyncio.Task[None]] = []

        async def asked(request: dict) -> tuple:
            answer = await ask(request)
            name = request["spec"]["id"]
            assert os.path.exists(f"{house.home}/sessions/{name}/record")
            with pytest.raises(NotFound):
                table.get(name)
            waiting.append(asyncio.create_task(table.until_started(name)))
            await asyncio.sleep(0)
            assert not waiting[0].done()
            found.append(name)
            return answer

        table._ask_keeper = asked
        session = await table.start(spec(table, "true"))
        assert found == [session.id]
        await waiting[0]
        assert table.get(session.id) is session
        await table.until_end(table.get(session.id))

    house.run(act)


def test_remove_forgets_ended_sessions_only(house: House) -> None:
    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300"))
        with pytest.raises(Conflict):
            await table.remove(session)
        await table.kill(session)
        await table.until_drained(session)
        await table.remove(session)
        with pytest.raises(NotFound):
            table.get(session.id)

    house.run(act)


def test_an_environment_of_a_megabyte_arrives(house: House) -> None:
    """Far more than one datagram; a single variable stays below the kernel's 128 KiB."""

    async def act(table: Sessions) -> None:
        env = {f"BIG_{i}": "x" * 100_000 for i in range(10)}
        session = await ended(table, "echo ${#BIG_9}", env=env)
        assert text(session) == "100000\n"

    house.run(act)


def test_environment_values_never_reach_the_disk(house: House) -> None:
    async def act(table: Sessions) -> None:
        session = await ended(table, "true", env={"API_TOKEN": "hunter2secret"}, stdin_text="also-secret")
        with open(f"{session.folder}/record") as file:
            record = file.read()
        assert "hunter2secret" not in record
        assert "also-secret" not in record

    house.run(act)


def test_a_thousand_short_commands_leave_nothing_behind(house: House) -> None:
    """No zombies, no descriptors, no sockets, no open markers."""

    async def act(table: Sessions) -> None:
        fds = len(os.listdir(f"/proc/{house.keeper_pid}/fd"))
        for _ in range(20):
            await asyncio.gather(*(ended(table, ["/bin/true"]) for _ in range(50)))
        assert table.live() == []
        assert os.listdir(f"{house.home}/open") == []
        assert [name for name in os.listdir(house.home) if name.endswith(".ctl")] == []
        assert len(table._recent) <= 256
        keeper = house.keeper_pid  # it sees to each of them a moment after the last word of it was heard
        await until(lambda: [pid for pid in proc.children(keeper) if proc.state_of(pid) == "Z"] == [])
        await until(lambda: len(proc.children(keeper)) <= 8)
        await until(lambda: len(os.listdir(f"/proc/{keeper}/fd")) <= fds + 8)

    house.run(act)
