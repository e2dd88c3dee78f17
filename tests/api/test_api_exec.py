"""exec: everything is checked first, started once, and watched for the yield window."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from api_fakes import World, asynchronous, settle

from outlast.api.context import Caller
from outlast.core.errors import OutlastError, Refused

ANN = Caller("ann", operator=False)
FAR = Caller("remote", operator=False, remote=True)


@asynchronous
async def test_an_end_within_the_window_carries_output_and_status(tmp_path: Path) -> None:
    world = World(tmp_path)
    asking = asyncio.create_task(world.ask("exec", command="make", yieldMs=1000, title="t", labels=["a"]))
    await settle()
    (session,) = world.sessions.all.values()
    session.prints(b"built\n")
    session.ends(3)
    result = await asking
    assert (result.status, result.exit_code, result.cause, result.output) == ("failed", 3, "exit", "built\n")
    assert (result.title, result.labels, result.existing, result.truncated) == ("t", ["a"], False, None)
    assert (result.started_at, result.duration_ms) == ("2023-11-14T22:13:20.000Z", 0)
    assert world.clock.due == []


@asynchronous
async def test_after_the_window_the_tail_and_the_next_act_come_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    asking = asyncio.create_task(world.ask("exec", command="make", yieldMs=1000))
    await settle()
    (session,) = world.sessions.all.values()
    session.prints("half \u20ac".encode()[:-1])
    await world.clock.advance(0.9)
    assert not asking.done()
    await world.clock.advance(0.2)
    result = await asking
    assert (result.status, result.tail, result.cursor) == ("running", "half ", 5)
    assert session.id in result.follow_up
    session.prints("half \u20ac".encode()[-1:])
    assert (await world.ask("poll", session.id)).tail == "\u20ac"


@asynchronous
async def test_in_the_background_it_returns_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    for fields in ({"background": True}, {"yieldMs": 0}):
        result = await world.ask("exec", command=f"sleep 1 # {fields}", **fields)
        assert result.status == "running"
    assert [s.info.leftovers for s in world.sessions.all.values()] == ["keep", "kill"]
    assert world.books.outlived_ids == list(world.sessions.all)


@asynchronous
async def test_what_was_asked_reaches_the_keeper(tmp_path: Path) -> None:
    world = World(tmp_path, {"OUTLAST_EXEC_GRACE_SECONDS": "7"})
    session = await world.session(
        argv=["printf", "%s", "a b"],
        command=None,
        env={"A": "1"},
        pty=True,
        cols=100,
        rows=30,
        timeoutSeconds=5,
        idleTimeoutSeconds=2,
        streams="merged",
        leftovers="kill",
        workdir="~/",
        stdin={"text": "none"},
    )
    spec = session.spec
    assert (spec.argv, spec.command) == (("printf", "%s", "a b"), "printf %s 'a b'")
    assert (spec.pty, spec.cols, spec.rows, spec.streams, spec.leftovers) == (True, 100, 30, "merged", "kill")
    assert (spec.timeout_seconds, spec.idle_timeout_seconds, spec.grace_seconds) == (5, 2, 7)
    assert (spec.cwd, spec.stdin, spec.stdin_text) == (str(tmp_path), "none", "none")
    assert (spec.env["A"], spec.env["OUTLAST_SESSION_ID"], spec.env_names) == ("1", spec.id, ("A",))
    assert "BASH_ENV" not in spec.env


@asynchronous
async def test_a_shell_line_is_run_by_the_shell(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session(command="echo hi")
    assert session.spec.argv == ("/bin/sh", "-c", "echo hi")


@asynchronous
async def test_a_local_caller_brings_its_own_environment(tmp_path: Path) -> None:
    world = World(tmp_path)
    mine = {
        "PATH": "/bin",
        "X": "1",
        "SHELL": "/usr/bin/fish",
        "OUTLAST_TOKEN": "secret",
        "": "x",
        "A=B": "x",
        "N": "\0",
    }
    env = (await world.session(callerEnv=mine)).spec.env
    assert (env["X"], env["PATH"]) == ("1", "/bin")
    assert not {"OUTLAST_TOKEN", "", "A=B", "N"} & set(env)
    with pytest.raises(Refused):
        await world.ask("exec", caller=FAR, command="true", callerEnv={})


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "bad_input", "command"),
    ({"command": "a", "argv": ["a"]}, "bad_input", "command"),
    ({"command": "  "}, "bad_input", "command"),
    ({"command": "a\0b"}, "bad_input", "command"),
    ({"command": "\ud800"}, "bad_input", "command"),
    ({"argv": [""]}, "bad_input", "argv"),
    ({"argv": ["a", "\0"]}, "bad_input", "argv"),
    ({"command": "a", "workdir": "relative"}, "bad_workdir", "workdir"),
    ({"command": "a", "workdir": ""}, "bad_workdir", "workdir"),
    ({"command": "a", "workdir": "/no/such/place"}, "bad_workdir", "workdir"),
    ({"command": "a", "workdir": "/etc/passwd"}, "bad_workdir", "workdir"),
    ({"command": "a", "workdir": "/tmp\0"}, "bad_workdir", "workdir"),
    ({"command": "a", "env": {"A=B": "1"}}, "bad_env", "A=B"),
    ({"command": "a", "env": {"": "1"}}, "bad_env", "name"),
    ({"command": "a", "env": {"A": "\0"}}, "bad_env", "env"),
    ({"command": "a", "env": {"OUTLAST_SESSION_ID": "x"}}, "env_refused", "OUTLAST_SESSION_ID"),
    ({"command": "a", "readyWhen": {}}, "bad_input", "readyWhen"),
    ({"command": "a", "readyWhen": {"pattern": "a", "port": 1}}, "bad_input", "readyWhen"),
    ({"command": "a", "readyWhen": {"port": 0}}, "bad_input", "readyWhen.port"),
    ({"command": "a", "readyWhen": {"pattern": "("}}, "bad_pattern", "pattern"),
    ({"command": "a", "requester": "a\nb"}, "bad_input", "requester"),
    ({"command": "a", "title": "\0"}, "bad_input", "title"),
    ({"command": "a", "labels": ["\0"]}, "bad_input", "labels"),
]


@pytest.mark.parametrize(("fields", "code", "name"), BAD)
def test_a_bad_request_starts_nothing(tmp_path: Path, fields: dict[str, Any], code: str, name: str) -> None:
    @asynchronous
    async def test() -> None:
        world = World(tmp_path)
        with pytest.raises(OutlastError, match=name) as caught:
            await world.ask("exec", **fields)
        assert caught.value.code == code
        assert world.sessions.all == {}

    test()


@asynchronous
async def test_a_remote_caller_may_not_inject_code(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(Refused, match="LD_PRELOAD"):
        await world.ask("exec", caller=FAR, command="true", env={"LD_PRELOAD": "x.so"})
    await world.ask("exec", command="true", env={"LD_PRELOAD": "x.so"}, background=True)


@asynchronous
async def test_the_mode_decides_who_runs_what(tmp_path: Path) -> None:
    world = World(tmp_path, {"OUTLAST_EXEC_MODE": "deny"})
    with pytest.raises(Refused) as caught:
        await world.ask("exec", command="true")
    assert caught.value.code == "exec_denied"


@pytest.mark.parametrize(
    ("setting", "advised", "refused"), [("warn", 1, False), ("off", 0, False), ("refuse", 0, True)]
)
def test_a_fake_timer_is_advised_refused_or_left_alone(
    tmp_path: Path, setting: str, advised: int, refused: bool
) -> None:
    @asynchronous
    async def test() -> None:
        world = World(tmp_path, {"OUTLAST_EXEC_FAKE_TIMERS": setting})
        asking = world.ask("exec", command="sleep 3600 && make", background=True)
        if refused:
            with pytest.raises(Refused) as caught:
                await asking
            assert caught.value.code == "fake_timer"
            assert "cron" in (caught.value.hint or "")
        else:
            assert len((await asking).advice) == advised

    test()


@asynchronous
async def test_the_same_command_is_started_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = await world.ask("exec", command="serve", background=True)
    again = await world.ask("exec", command="serve", background=True)
    assert (first.existing, again.existing, again.session_id) == (False, True, first.session_id)
    world.sessions.all[first.session_id].ends()
    later = await world.ask("exec", command="serve", background=True)
    assert later.session_id != first.session_id


@pytest.mark.parametrize(
    "other",
    [
        {"command": "serve "},
        {"workdir": "/"},
        {"requester": "ann"},
        {"env": {"PORT": "1"}},
        {"stdin": "text"},
        {"command": None, "argv": ["serve"]},
        {"allowDuplicate": True},
    ],
)
def test_another_request_is_another_start(tmp_path: Path, other: dict[str, Any]) -> None:
    @asynchronous
    async def test() -> None:
        world = World(tmp_path)
        await world.ask("exec", command="serve", background=True, stdin="pipe")
        result = await world.ask("exec", **{"command": "serve", "background": True, **other})
        assert not result.existing
        assert len(world.sessions.all) == 2

    test()


@asynchronous
async def test_two_equal_requests_at_the_same_moment_start_once(tmp_path: Path) -> None:
    """The key is reserved before the start is awaited."""
    world = World(tmp_path)
    world.sessions.starting = asyncio.Event()
    asked = [asyncio.create_task(world.ask("exec", command="serve", background=True)) for _ in range(5)]
    await settle()
    world.sessions.starting.set()
    results = await asyncio.gather(*asked)
    assert len(world.sessions.all) == 1
    assert len({r.session_id for r in results}) == 1
    assert sorted(r.existing for r in results) == [False, True, True, True, True]
    assert world.api.starting == {}


@asynchronous
async def test_a_failed_start_frees_the_key_and_is_told_to_all(tmp_path: Path) -> None:
    world = World(tmp_path)

    def fail(session: object) -> None:
        raise RuntimeError("keeper gone")

    world.sessions.starting = asyncio.Event()
    world.sessions.on_start = fail
    asked = [asyncio.create_task(world.ask("exec", command="serve", background=True)) for _ in range(2)]
    await settle()
    world.sessions.starting.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(r) for r in results] == ["keeper gone"] * 2
    assert (world.api.starting, world.api.starts) == ({}, 0)


@asynchronous
async def test_a_caller_who_leaves_during_the_start_does_not_undo_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.sessions.starting = asyncio.Event()
    asking = asyncio.create_task(world.ask("exec", command="serve"))
    await settle()
    asking.cancel()
    await settle()
    world.sessions.starting.set()
    await settle()
    assert asking.cancelled()
    (session,) = world.sessions.all.values()
    assert (await world.ask("exec", command="serve", background=True)).session_id == session.id


@asynchronous
async def test_a_caller_who_leaves_during_the_window_leaves_no_waiter(tmp_path: Path) -> None:
    world = World(tmp_path)
    asking = asyncio.create_task(world.ask("exec", command="serve"))
    await settle()
    assert (world.sessions.waiting, len(world.clock.due)) == (1, 1)
    asking.cancel()
    await settle()
    assert (world.sessions.waiting, world.clock.due) == (0, [])


@asynchronous
async def test_there_is_a_limit_of_live_sessions(tmp_path: Path) -> None:
    world = World(tmp_path, {"OUTLAST_SESSIONS_LIVE_MAX": "2"})
    world.sessions.starting = asyncio.Event()
    asked = [asyncio.create_task(world.ask("exec", command=f"c {i}", background=True)) for i in range(3)]
    await settle()
    world.sessions.starting.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    (refused,) = [r for r in results if isinstance(r, Exception)]
    assert isinstance(refused, Refused)
    assert refused.code == "too_many_sessions"


@asynchronous
async def test_ready_by_pattern_returns_before_the_window_is_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    asking = asyncio.create_task(world.ask("exec", command="serve", readyWhen={"pattern": "listening on \\d+"}))
    await settle()
    (session,) = world.sessions.all.values()
    session.prints(b"booting\nlisten")
    await settle()
    assert not asking.done()
    session.prints(b"ing on 80\n")
    result = await asking
    assert (result.status, result.ready) == ("running", True)
    assert (world.sessions.waiting, world.clock.due) == (0, [])


@pytest.mark.parametrize(("last_words", "ready"), [(b"listening\n", True), (b"listening", True), (b"crash\n", False)])
def test_an_end_before_ready_is_an_answer(tmp_path: Path, last_words: bytes, ready: bool) -> None:
    @asynchronous
    async def test() -> None:
        world = World(tmp_path)
        asking = asyncio.create_task(world.ask("exec", command="serve", readyWhen={"pattern": "listening$"}))
        await settle()
        (session,) = world.sessions.all.values()
        session.prints(last_words)
        session.ends(1)
        result = await asking
        assert (result.status, result.ready) == ("failed", ready)

    test()


@asynchronous
async def test_ready_by_port_returns_when_the_port_answers(tmp_path: Path) -> None:
    world = World(tmp_path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        asking = asyncio.create_task(world.ask("exec", command="serve", readyWhen={"port": port}))
        while not any(0 < due < 1 for due in world.clock.due):
            await asyncio.sleep(0.001)
        assert not asking.done()
        server.listen()
        while not asking.done():
            await asyncio.sleep(0.001)
            if any(0 < due < 1 for due in world.clock.due):
                await world.clock.advance(0.05)
        assert (await asking).ready is True


@asynchronous
async def test_a_port_of_somebody_else_says_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        fields = {"command": "serve", "readyWhen": {"port": server.getsockname()[1]}}
        asking = asyncio.create_task(world.ask("exec", **fields, yieldMs=100))
        while not world.clock.due:
            await settle()
        await world.clock.advance(0.2)
        result = await asking
        assert result.ready is None
        assert "another process" in result.advice[0]
        again = await world.ask("exec", **fields, background=True)
        assert (again.existing, again.advice) == (True, [])


@asynchronous
async def test_what_the_command_left_behind_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    for leftovers, word in (("kill", "leftovers: kill"), ("keep", "still running")):
        asking = asyncio.create_task(world.ask("exec", command=f"x & # {leftovers}", leftovers=leftovers))
        await settle()
        session = next(s for s in world.sessions.all.values() if s.end is None)
        session.leftovers = 2
        session.ends(0)
        result = await asking
        assert (result.status, result.leftovers) == ("succeeded", 2)
        assert word in result.note


@asynchronous
async def test_long_output_keeps_head_and_tail_and_says_how_to_read_the_rest(tmp_path: Path) -> None:
    world = World(tmp_path)
    asking = asyncio.create_task(world.ask("exec", command="yes", maxBytes=100))
    await settle()
    (session,) = world.sessions.all.values()
    session.prints(b"a" * 500 + b"z" * 500)
    session.ends()
    result = await asking
    assert result.output == "a" * 25 + "\n… 900 bytes left out …\n" + "z" * 75
    told = result.truncated
    assert (told.produced_bytes, told.kept_bytes, told.omitted_bytes, told.shown_bytes) == (1000, 1000, 900, 100)
    assert [(s.start, s.end) for s in told.omitted] == [(25, 925)]
    assert told.how == f"outlast process log {session.id} --bytes 25:925"


@asynchronous
async def test_a_gateway_that_stops_answers_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    asking = asyncio.create_task(world.ask("exec", command="serve"))
    await settle()
    world.api.stop_waits()
    assert (await asking).status == "running"


def test_bad_input_is_never_a_wait() -> None:
    """Planning is a plain function: it cannot wait."""
    import inspect

    from outlast.api.exec import make_plan

    assert not inspect.iscoroutinefunction(make_plan)
