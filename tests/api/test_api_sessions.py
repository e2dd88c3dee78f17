"""Listing, logs, input, signals, ends: every action on a session, and every reason it is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from api_fakes import FakeSession, World, asynchronous

from outlast.api.context import Caller
from outlast.core.errors import BadInput, Conflict, OutlastError, Refused

ANN = Caller("ann", operator=False)


@asynchronous
async def test_live_sessions_come_first_and_pages_follow_each_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    sessions = [await world.session() for _ in range(7)]
    for session in sessions[1:6]:
        session.ends()
    expected = [sessions[i].id for i in (6, 0, 5, 4, 3, 2, 1)]
    found: list[str] = []
    before = None
    for _ in range(10):
        page = await world.ask("list", limit=2, before=before)
        found += [s.session_id for s in page.sessions]
        before = page.next
        if before is None:
            break
    assert found == expected
    running = await world.ask("list", status="running")
    ended = await world.ask("list", status="ended", limit=3)
    assert [s.session_id for s in running.sessions] == expected[:2]
    assert [s.session_id for s in ended.sessions] == expected[2:5]


@asynchronous
async def test_a_session_with_leftovers_is_listed_as_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    first, second = await world.session(), await world.session()
    second.ends()
    first.leftovers = 1
    first.ends()
    assert (await world.ask("list", status="running")).sessions == []
    assert [s.session_id for s in (await world.ask("list")).sessions] == [second.id, first.id]


@asynchronous
async def test_a_requester_lists_and_clears_its_own_only(tmp_path: Path) -> None:
    world = World(tmp_path)
    mine, other = await world.session(requester="ann"), await world.session(requester="bob")
    listed = await world.ask("list", caller=ANN)
    assert [s.session_id for s in listed.sessions] == [mine.id]
    mine.ends()
    other.ends()
    assert (await world.ask("clear", caller=ANN)).removed == [mine.id]
    assert list(world.sessions.all) == [other.id]
    status = await world.ask("status", caller=ANN)
    assert (status.sessions.live, status.sessions.ended) == (0, 0)
    assert (await world.ask("status")).sessions.ended == 1


@asynchronous
async def test_an_ambiguous_prefix_names_only_ones_own(tmp_path: Path) -> None:
    world = World(tmp_path)
    mine = await world.session(requester="ann")
    others = [await world.session(requester="bob") for _ in range(2)]
    assert (await world.ask("show", "s000", caller=ANN)).session_id == mine.id
    with pytest.raises(BadInput) as caught:
        await world.ask("show", "s000", caller=Caller("bob", operator=False))
    assert caught.value.code == "ambiguous"
    assert mine.id not in (caught.value.hint or "")
    assert all(other.id in (caught.value.hint or "") for other in others)
    with pytest.raises(BadInput):
        await world.ask("show", "")


async def printed(world: World) -> FakeSession:
    session = await world.session()
    for number in range(300):
        session.prints(b"line %d\n" % number)
    session.prints(b"oops\n", stream=2)
    return session


@asynchronous
async def test_a_log_is_the_last_lines_unless_asked_otherwise(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await printed(world)
    log = await world.ask("log", session.id)
    assert (log.lines.count, log.lines.total, log.lines.offset, log.next) == (200, 301, 101, None)
    assert log.text.startswith("line 101\n")
    assert (await world.ask("log", session.id, tail=2)).text == "line 299\noops\n"
    page = await world.ask("log", session.id, offset=10, limit=2)
    assert (page.text, page.next) == ("line 10\nline 11\n", 12)
    assert (await world.ask("log", session.id, offset=-3, limit=1)).text == "line 298\n"
    assert (await world.ask("log", session.id, offset=-2)).text == "line 299\noops\n"
    assert (await world.ask("log", session.id, stream="stderr")).text == "oops\n"
    assert (await world.ask("log", session.id, offset=9999)).text == ""


@asynchronous
async def test_a_log_by_bytes_is_exact(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b"0123456789")
    for text, expected in (
        ("2:5", "234"),
        (":3", "012"),
        ("8:", "89"),
        ("5:5", ""),
        ("10:99", ""),
        (":", "0123456789"),
    ):
        assert (await world.ask("log", session.id, bytes=text)).text == expected
    part = await world.ask("log", session.id, bytes="2:5")
    assert (part.bytes.start, part.bytes.end, part.lines, part.produced_bytes) == (2, 5, None, 10)


@asynchronous
async def test_a_long_range_comes_in_parts_that_fit_together(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints("é".encode() * 700_000)
    text, start = "", 1 << 62
    first = await world.ask("log", session.id, bytes="0:")
    text, start = first.text, first.next
    while start is not None:
        part = await world.ask("log", session.id, bytes=f"{start}:")
        text, start = text + part.text, part.next
    assert text == "é" * 700_000
    assert first.truncated is None


@pytest.mark.parametrize(
    "fields",
    [
        {"bytes": "5"},
        {"bytes": "a:b"},
        {"bytes": "-1:2"},
        {"bytes": "9:2"},
        {"bytes": "11:12"},
        {"bytes": "1:2:3"},
        {"bytes": "\u0661:\u0662"},
        {"bytes": "0:5", "tail": 1},
        {"bytes": "0:5", "offset": 1},
        {"bytes": "0:5", "stream": "stdout"},
        {"tail": 1, "offset": 2},
    ],
)
def test_a_bad_range_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    @asynchronous
    async def test() -> None:
        world = World(tmp_path)
        session = await world.session()
        session.prints(b"0123456789")
        with pytest.raises(BadInput) as caught:
            await world.ask("log", session.id, **fields)
        assert caught.value.code == "bad_range"

    test()


@asynchronous
async def test_raw_octets_come_in_bounded_chunks_without_what_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    data = bytes(range(256)) * 4096
    session.prints(data)
    Path(session.folder, "gaps").write_bytes(b"%020d %020d\n" % (1000, 2000))
    part = await world.ask("output", session.id, start=500, end=600_000)
    chunks = list(part.chunks)
    assert b"".join(chunks) == data[500:1000] + data[2000:600_000]
    assert max(map(len, chunks)) <= 256 * 1024
    assert [(s.start, s.end) for s in part.omitted] == [(1000, 2000)]
    for start, end in ((2**40, None), (10, 5)):
        with pytest.raises(BadInput) as caught:
            await world.ask("output", session.id, start=start, end=end)
        assert caught.value.code == "bad_range"


@asynchronous
async def test_what_the_cap_dropped_is_said_in_every_text(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b"head" + b"x" * 1000 + b"tail")
    Path(session.folder, "gaps").write_bytes(b"%020d %020d\n" % (4, 1004))
    result = await world.ask("poll", session.id)
    assert result.tail == "head\n… 1000 bytes left out …\ntail"
    told = result.truncated
    assert (told.produced_bytes, told.kept_bytes, told.omitted_bytes) == (1008, 8, 1000)
    assert "not kept" in told.how


@asynchronous
async def test_input_reaches_the_session(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session(stdin="pipe")
    answer = await world.ask("write", session.id, data="é\n")
    assert (answer.accepted, session.input) == (3, "é\n".encode())
    await world.ask("write", session.id, dataBase64=base64.b64encode(b"\xff\0").decode(), eof=True)
    assert (session.input, session.input_closed) == ("é\n".encode() + b"\xff\0", True)
    await world.ask("submit", session.id, text="yes")
    assert session.input.endswith(b"yes\n")
    await world.ask("paste", session.id, text="a\nb")
    assert session.input.endswith(b"a\nb")


@asynchronous
async def test_keys_follow_the_mode_the_program_has_set(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session(pty=True)
    await world.ask("send-keys", session.id, keys=["Up", "C-c", "x"])
    assert session.input == b"\x1b[A\x03x"
    session.prints(b"\x1b[?1h\x1b[?2004h")
    session.input = b""
    await world.ask("send-keys", session.id, keys=["Up"])
    await world.ask("paste", session.id, text="a\nb")
    await world.ask("submit", session.id, text="ls")
    assert session.input == b"\x1bOA\x1b[200~a\rb\x1b[201~ls\r"
    session.input = b""
    await world.ask("send-keys", session.id, keys=["Up"], literal=True)
    await world.ask("send-keys", session.id, keys=["1b", "41"], hex=True)
    await world.ask("paste", session.id, text="a", bracketed=False)
    assert session.input == b"Up\x1bAa"


@asynchronous
async def test_a_terminal_shows_its_screen_and_takes_a_size(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session(pty=True, cols=20, rows=3)
    session.prints(b"\x1b[2J\x1b[2;3Hhello\x1b]0;shop\x07")
    screen = await world.ask("screen", session.id)
    assert (screen.lines, screen.cols, screen.rows, screen.title) == (["", "  hello", ""], 20, 3, "shop")
    assert (screen.cursor.row, screen.cursor.col, screen.cursor.visible) == (1, 7, True)
    await world.ask("resize", session.id, cols=40, rows=5)
    assert (await world.ask("screen", session.id)).cols == 40
    assert (await world.ask("screen", session.id, cols=4, rows=2)).cols == 4


@asynchronous
async def test_signals_go_where_they_are_sent(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    for given, extra in (("HUP", {}), ("SIGHUP", {"tree": True}), (1, {"group": "foreground"})):
        answer = await world.ask("signal", session.id, signal=given, **extra)
        assert (answer.signal, answer.sent) == ("SIGHUP", 1)
    assert session.signals == [(1, "leader"), (1, "tree"), (1, "group")]


@asynchronous
async def test_a_kill_tells_who_was_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b"last words\n")
    result = await world.ask("kill", session.id, signal="INT")
    assert (result.status, result.cause, result.exit_signal) == ("cancelled", "operator", "SIGINT")
    assert [(p.pid, p.how) for p in result.ended] == [(4242, "SIGTERM")]
    assert (result.survivors, result.output) == ([], "last words\n")


@asynchronous
async def test_what_was_left_behind_can_be_killed_and_then_removed(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.leftovers = 1
    session.ends()
    with pytest.raises(Conflict):
        await world.ask("remove", session.id)
    assert (await world.ask("clear")).removed == []
    await world.ask("signal", session.id, signal="TERM", tree=True)
    await world.ask("kill", session.id)
    assert (await world.ask("remove", session.id)).removed == [session.id]


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("write", {"data": "x"}),
    ("submit", {"text": "x"}),
    ("paste", {"text": "x"}),
    ("send-keys", {"keys": ["Enter"]}),
    ("resize", {"cols": 10, "rows": 10}),
    ("signal", {"signal": "HUP"}),
    ("signal", {"signal": "HUP", "tree": True}),
    ("kill", {}),
]


@pytest.mark.parametrize(("act", "fields"), WRITES)
def test_an_ended_session_is_a_conflict(tmp_path: Path, act: str, fields: dict[str, Any]) -> None:
    @asynchronous
    async def test() -> None:
        world = World(tmp_path)
        session = await world.session(pty=True)
        session.ends()
        with pytest.raises(Conflict) as caught:
            await world.ask(act, session.id, **fields)
        assert caught.value.code == "session_ended"

    test()


@pytest.mark.parametrize(
    ("act", "fields", "code"),
    [
        ("write", {"data": "x"}, "no_stdin"),
        ("submit", {"text": "x"}, "no_stdin"),
        ("paste", {"text": "x"}, "no_stdin"),
        ("send-keys", {"keys": ["Enter"]}, "not_a_pty"),
        ("screen", {}, "not_a_pty"),
        ("resize", {"cols": 10, "rows": 10}, "not_a_pty"),
        ("remove", {}, "session_running"),
        ("write", {}, "bad_input"),
        ("write", {"data": "x", "dataBase64": "eA=="}, "bad_input"),
        ("write", {"dataBase64": "!"}, "bad_input"),
        ("write", {"data": "\ud800"}, "bad_key"),
        ("send-keys", {"keys": ["Entr"]}, "bad_key"),
        ("send-keys", {"keys": ["zz"], "hex": True}, "bad_key"),
        ("send-keys", {"keys": ["a"], "hex": True, "literal": True}, "bad_input"),
        ("signal", {"signal": "HUB"}, "bad_signal"),
        ("signal", {"signal": 0}, "bad_signal"),
        ("signal", {"signal": 9999}, "bad_signal"),
        ("signal", {"signal": "HUP", "tree": True, "group": "foreground"}, "bad_input"),
        ("kill", {"signal": "NOPE"}, "bad_signal"),
    ],
)
def test_what_a_running_pipe_session_cannot_do_is_said_at_once(
    tmp_path: Path, act: str, fields: dict[str, Any], code: str
) -> None:
    @asynchronous
    async def test() -> None:
        world = World(tmp_path)
        session = await world.session()
        with pytest.raises(OutlastError) as caught:
            await world.ask(act, session.id, **fields)
        assert caught.value.code == code
        assert session.input == b""
        assert session.signals == []

    test()


@asynchronous
async def test_only_the_operator_stops_the_gateway(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    with pytest.raises(Refused):
        await world.ask("stop", caller=ANN)
    with pytest.raises(Refused):
        await world.ask("stop", requester="ann")
    assert world.stops == 0
    left = await world.ask("stop")
    assert (left.sessions_left, left.killed, world.stops) == (1, [], 1)
    killed = await world.ask("stop", killSessions=True)
    assert (killed.sessions_left, killed.killed) == (0, [session.id])
