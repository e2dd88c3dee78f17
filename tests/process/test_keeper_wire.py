"""The words between gateway and keeper: any split, any nonsense, any silence, and nobody else is disturbed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from process_faults import LIMIT, alive, printed, supervisor_of, until, within

from houses import House, ended, spec, text
from outlast.core.session import Cause
from outlast.process.keeper.wire import FRAME_MAX, Inbox, WireError, compact, pack, parse, receive
from outlast.process.link import Link, LinkLost
from outlast.process.session import Session
from outlast.process.sessions import Sessions

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.dictionaries(st.text(), JSON, max_size=5)


# ---- framing


@settings(deadline=None)
@given(JSON)
def test_our_own_encoder_says_what_the_librarys_says(value: object) -> None:
    """Every JSON value, lone surrogates of undecodable file names included."""
    assert json.loads(compact(value)) == value
    assert compact(value).isascii()


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=5), st.data())
def test_messages_survive_any_split_of_the_stream(messages: list[dict], data: st.DataObject) -> None:
    """Whatever the borders of the reads: the same messages, in order, and no byte left over."""
    stream = b"".join(pack(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    inbox, got = Inbox(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += inbox.feed(stream[start:end])
    assert got == messages
    assert inbox.feed(b"") == []


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_nonsense_is_refused_or_waited_for_but_never_taken_for_a_message(junk: bytes) -> None:
    """Random bytes give messages that are objects, or an error of our own; nothing else."""
    try:
        assert all(isinstance(message, dict) for message in Inbox().feed(junk))
    except WireError:
        pass


BAD_BODIES = [b"", b"x", b"1", b'"a"', b"[]", b"{", b"{}x", b" {}", b"{} ", b"\xff{}", b"NaN", b"[" * 100_000]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_frame_must_hold_one_object_and_nothing_else(body: bytes) -> None:
    """Also what would exhaust the parser's stack is an error and not an end."""
    with pytest.raises(WireError):
        parse(body)
    with pytest.raises(WireError):
        Inbox().feed(len(body).to_bytes(4, "big") + body)


def test_a_frame_of_more_than_the_limit_is_refused_by_its_head() -> None:
    """Nobody waits for, or makes room for, what will not be accepted."""
    with pytest.raises(WireError):
        Inbox().feed((FRAME_MAX + 1).to_bytes(4, "big"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall((FRAME_MAX + 1).to_bytes(4, "big"))
        with pytest.raises(WireError):
            receive(ours)


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x09", b'\0\0\0\x09{"a":'])
def test_a_peer_that_closes_early_has_said_nothing(sent: bytes) -> None:
    """Half a head, a head, half a body: no message."""
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(sent)
        theirs.close()
        assert receive(ours) is None


# ---- a supervisor

JUNK = {
    "noise": b"\x00\x00\x00\x05hello",
    "too large": b"\xff\xff\xff\xff",
    "an array": pack({"a": 1})[:4] + b"[1,2,3]",
    "half a frame": b"\x00\x00\x10\x00{",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"",
}
WRONG = [
    {},
    {"op": None},
    {"op": ["kill"]},
    {"op": "levitate"},
    {"op": "write", "data": "%%%"},
    {"op": "write", "data": 7},
    {"op": "signal"},
    {"op": "signal", "signal": "TERM"},
    {"op": "signal", "signal": 10**30},
    {"op": "signal", "signal": -3},
    {"op": "signal", "signal": 9999, "scope": "tree"},
    {"op": "kill", "signal": 9999},
    {"op": "kill", "signal": "x"},
    {"op": "kill", "grace": "soon"},
    {"op": "kill", "grace": [1]},
    {"op": "resize"},
    {"op": "resize", "cols": "x", "rows": 1},
    {"op": "resize", "cols": 10**9, "rows": 1},
    {"op": "resize", "cols": -1, "rows": 1},
    {"op": "watch"},
    {"op": "watch", "after": None},
    {"op": "watch", "after": "x"},
]


def knock(house: House, session: Session) -> socket.socket:
    """Connect to a session's supervisor as any program of this user could."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(LIMIT)
    sock.connect(f"{house.home}/{session.id}.ctl")
    return sock


async def bound(house: House, session: Session) -> None:
    """Wait until a session answers at an address of its own."""

    def answers() -> bool:
        try:
            knock(house, session).close()
        except OSError:
            return False
        return True

    await until(answers)


@pytest.mark.parametrize("junk", JUNK)
def test_nonsense_to_a_supervisor_disturbs_nobody(house: House, junk: str) -> None:
    """The caller is dropped; the session, its gateway and the next caller do not notice."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "read a; echo got $a; read b; exit 3", stdin="pipe"))
        await bound(house, session)
        callers = [knock(house, session) for _ in range(5)]
        for caller in callers:
            caller.sendall(JUNK[junk])
        await table.write(session, b"one\n")
        await printed(table, session, 8)
        assert text(session) == "got one\n"
        with knock(house, session) as polite:
            polite.sendall(pack({"op": "hello", "n": 5}))
            hello = receive(polite)
            assert (hello["n"], hello["id"], hello["pid"]) == (5, session.id, session.pid)
        for caller in callers:
            caller.close()
        await table.write(session, b"two\n")
        await within(table.until_drained(session))
        assert session.end.code == 3

    house.run(act)


def test_wrong_requests_get_an_answer_and_do_nothing(house: House) -> None:
    """Unknown words, missing fields, wrong kinds, values out of any range: an error with the request's number."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300", pty=True))
        await bound(house, session)
        supervisor = supervisor_of(session)
        with knock(house, session) as sock:
            for n, wrong in enumerate(WRONG):
                sock.sendall(pack({**wrong, "n": n}))
                reply = receive(sock)
                assert (reply["n"], wrong) == (n, wrong)
                assert reply["error"] in ("unknown_op", "bad_request", "os")
            sock.sendall(pack({"op": "probe", "n": 99, "colour": "red"}))
            assert receive(sock)["processes"] == 1
        assert (supervisor_of(session), alive(supervisor), session.end) == (supervisor, True, None)
        await table.kill(session)

    house.run(act)


def test_a_caller_that_never_reads_is_cut_off(house: House) -> None:
    """It asks and asks; its answers pile up to a limit, then it is dropped. Meanwhile the gateway is served."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300", stdin="pipe"))
        await bound(house, session)

        def flood() -> int:
            ask, sent = pack({"op": "hello", "n": 1}) * 1000, 0
            with knock(house, session) as deaf:
                while True:
                    try:
                        sent += deaf.send(ask)
                    except (BrokenPipeError, ConnectionResetError):
                        return sent

        asked = asyncio.get_running_loop().run_in_executor(None, flood)
        while not asked.done():
            assert (await within(table.probe(session))).processes == 1
        assert await asked > 1000
        await table.kill(session)

    house.run(act)


# ---- the keeper's own address


def call(house: House) -> socket.socket:
    """Connect where starts are served."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(LIMIT)
    sock.connect(f"{house.home}/keeper.sock")
    return sock


@pytest.mark.parametrize("junk", JUNK)
def test_nonsense_at_the_keepers_door_holds_up_no_start(house: House, junk: str) -> None:
    """More callers than there are spares, who talk nonsense, stop half way or say nothing: others start at once."""

    async def act(table: Sessions) -> None:
        callers = [call(house) for _ in range(8)]
        for caller in callers:
            caller.sendall(JUNK[junk])
        for turn in range(5):
            session = await within(ended(table, f"echo {turn}"))
            assert text(session) == f"{turn}\n"
        for caller in callers:
            caller.close()
        assert (await within(ended(table, "exit 4"))).end.code == 4

    house.run(act)


def test_a_caller_who_takes_his_time_is_served_in_the_end(house: House) -> None:
    """The request arrives byte by byte over half a second: it is late, not wrong."""

    async def act(table: Sessions) -> None:
        request = pack({"op": "levitate", "n": 1})

        def slowly() -> dict | None:
            with call(house) as sock:
                for i in range(len(request)):
                    sock.sendall(request[i : i + 1])
                    time.sleep(0.5 / len(request))
                return receive(sock)

        reply = asyncio.get_running_loop().run_in_executor(None, slowly)
        assert (await within(ended(table, "exit 4"))).end.code == 4
        assert await within(reply) == {"error": "unknown_op"}

    house.run(act)


BAD_SPECS = [
    None,
    7,
    [],
    {},
    {"id": None},
    {"id": 5},
    {"id": "sbad", "argv": []},
    {"id": "sbad", "argv": "ls", "cwd": "/", "env": {}},
    {"id": "sbad", "argv": ["ls"], "cwd": "/"},
    {"id": "sbad", "argv": ["ls"], "cwd": "/", "env": []},
    {"id": "sbad", "argv": ["ls"], "cwd": 5, "env": {}},
    {"id": "sbad", "argv": ["l\0s"], "cwd": "/", "env": {}},
    {"id": "sbad", "argv": ["ls"], "cwd": "/", "env": {"A=B": "c"}},
    {"id": "sbad", "argv": ["sleep", "9"], "cwd": "/", "env": {}, "pty": True, "cols": "x", "rows": 1},
    {"id": "sbad", "argv": ["sleep", "9"], "cwd": "/", "env": {}, "output_cap": "lots"},
    {"id": "../../outside", "argv": ["true"], "cwd": "/", "env": {}},
    {"id": "a/b", "argv": ["true"], "cwd": "/", "env": {}},
]


@pytest.mark.parametrize("bad", BAD_SPECS)
def test_a_start_that_makes_no_sense_starts_nothing_and_harms_nobody(house: House, bad: object) -> None:
    """Whoever sends it hears an error or is hung up on; the keeper lives, and nothing seems to run for ever."""

    async def act(table: Sessions) -> None:
        keeper = house.keeper_pid
        with call(house) as sock:
            sock.sendall(pack({"op": "start", "spec": bad, "line": '{"id":"sbad"}'}))
            reply = await asyncio.to_thread(receive, sock)
            assert reply is None or "error" in reply or reply.get("cause") == "spawn_error"
        assert (await within(ended(table, "exit 4"))).end.code == 4
        assert house.keeper_pid == keeper
        assert not os.path.exists(f"{house.home}/../outside")
        folders = set(os.listdir(f"{house.home}/sessions"))
        assert folders <= {s.id for s in table.ended(limit=9)} | {"sbad"}
        assert all(s.end is not None for s in table.ended(limit=9))

    house.run(act)


def test_a_template_or_spare_that_is_killed_is_replaced(house: House) -> None:
    """Whatever of the machinery dies without a session: the next starts work, and no session notices."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "read a; exit 3", stdin="pipe"))
        for _ in range(3):
            for name in os.listdir("/proc"):
                if name.isdigit() and _is_idle_helper(int(name), house.keeper_pid, supervisor_of(session)):
                    os.kill(int(name), 9)
            assert (await within(ended(table, "exit 4"))).end.code == 4
        await table.write(session, b"go\n")
        await within(table.until_drained(session))
        assert session.end.code == 3

    house.run(act)


def _is_idle_helper(pid: int, keeper: int, busy: int) -> bool:
    """True for what the keeper forked and has no session: its own child, or a child of that."""
    if pid in (keeper, busy):
        return False
    for _ in range(2):
        try:
            with open(f"/proc/{pid}/stat") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            return False
        if pid == keeper:
            return True
        if pid == busy:
            return False
    return False


# ---- the gateway's end


def test_a_link_hangs_up_on_nonsense_and_every_question_hears_of_it() -> None:
    """Whoever answers garbage is no supervisor: questions under way fail as for a lost one."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        lost: list[bool] = []
        _, link = await loop.create_connection(Link, sock=ours)
        link.on_lost = lambda: lost.append(True)
        question = asyncio.create_task(link.ask("probe"))
        await asyncio.sleep(0)
        theirs.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(LinkLost):
            await within(question)
        with pytest.raises(LinkLost):
            await link.ask("probe")
        assert lost == [True]
        theirs.close()

    asyncio.run(main())


def test_words_of_a_newer_keeper_do_not_end_the_conversation(house: House) -> None:
    """Events of an unknown kind, fields and causes nobody here has heard of: the end is still the true one."""

    async def act(table: Sessions) -> None:
        session = await table.start(spec(table, "sleep 300"))
        table._hear(session, {"ev": "mood", "is": "fine"})
        assert session.end is None
        table._hear(session, {"ev": "exit", "cause": "melted", "code": None, "signal": 9, "at": 1.0, "new": {}})
        assert (session.end.cause, session.end.signal) == (Cause.SIGNAL, 9)
        await table.kill(session)

    house.run(act)
