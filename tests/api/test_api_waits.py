"""poll and wait: news at once, patience in the server, and no reader in another's way."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from api_fakes import World, asynchronous, settle

from outlast.api.context import Caller
from outlast.api.readers import READERS_MAX, Readers
from outlast.core.errors import BadInput, NotFound

ANN = Caller("ann", operator=False)


@asynchronous
async def test_each_reader_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b"one\n")
    assert (await world.ask("poll", session.id, reader="a")).tail == "one\n"
    session.prints(b"two\n")
    assert (await world.ask("poll", session.id, reader="a")).tail == "two\n"
    assert (await world.ask("poll", session.id, reader="b")).tail == "one\ntwo\n"
    assert (await world.ask("poll", session.id, reader="b")).tail == ""


@asynchronous
async def test_since_repeats_and_moves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b"one\ntwo\n")
    for _ in range(2):
        result = await world.ask("poll", session.id, since=4)
        assert (result.tail, result.cursor) == ("two\n", 8)
    assert (await world.ask("poll", session.id)).tail == "one\ntwo\n"
    with pytest.raises(BadInput) as caught:
        await world.ask("poll", session.id, since=9)
    assert caught.value.code == "bad_range"


@asynchronous
async def test_a_poll_goes_on_where_exec_stopped(tmp_path: Path) -> None:
    world = World(tmp_path)
    asking = asyncio.create_task(world.ask("exec", command="make", yieldMs=10))
    await settle()
    (session,) = world.sessions.all.values()
    session.prints(b"one\n")
    await world.clock.advance(1)
    assert (await asking).tail == "one\n"
    session.prints(b"two\n")
    assert (await world.ask("poll", session.id)).tail == "two\n"


@asynchronous
async def test_cursors_survive_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b"one\n")
    await world.ask("poll", session.id, reader="a")
    path = Path(session.folder, "cursors.json")
    assert json.loads(path.read_text()) == {"local": 0, "a": 4}
    world.api.readers = Readers(world.config.paths.sessions)
    session.prints(b"two\n")
    assert (await world.ask("poll", session.id, reader="a")).tail == "two\n"
    path.write_text("{torn")
    assert Readers(world.config.paths.sessions).cursor(session.id, "a") == 0


def test_cursors_that_cannot_be_written_are_remembered(tmp_path: Path) -> None:
    readers = Readers(str(tmp_path / "nowhere"))
    readers.move("s", "a", 5)
    assert readers.cursor("s", "a") == 5


def test_readers_do_not_pile_up(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    readers = Readers(str(tmp_path))
    for number in range(READERS_MAX + 10):
        readers.move("s", f"r{number}", 1)
    assert readers.cursor("s", "r0") == 0
    assert len(json.loads((tmp_path / "s" / "cursors.json").read_text())) == READERS_MAX


@asynchronous
async def test_a_patient_poll_returns_at_the_first_news(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asking = asyncio.create_task(world.ask("poll", session.id, timeoutMs=60_000))
    await settle()
    assert not asking.done()
    session.prints(b"news\n")
    assert (await asking).tail == "news\n"
    assert (world.sessions.waiting, world.clock.due) == (0, [])


@asynchronous
async def test_half_a_character_is_no_news(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asking = asyncio.create_task(world.ask("poll", session.id, timeoutMs=60_000))
    await settle()
    session.prints(b"\xe2\x82")
    await settle()
    assert not asking.done()
    session.prints(b"\xac")
    assert (await asking).tail == "\u20ac"


@asynchronous
async def test_a_patient_poll_returns_at_the_end_and_when_its_time_is_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asking = asyncio.create_task(world.ask("poll", session.id, timeoutMs=5000))
    await settle()
    await world.clock.advance(5)
    assert (await asking).status == "running"
    asking = asyncio.create_task(world.ask("poll", session.id, timeoutMs=5000))
    await settle()
    session.ends(2)
    result = await asking
    assert (result.status, result.exit_code, result.output, result.retry_in_ms) == ("failed", 2, "", None)


@asynchronous
async def test_a_caller_who_leaves_ends_the_wait(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asked = [
        asyncio.create_task(world.ask("poll", session.id, timeoutMs=60_000)),
        asyncio.create_task(world.ask("wait", sessionIds=[session.id], pattern="x", quietSeconds=5, for_="any")),
    ]
    await settle()
    assert world.sessions.waiting == 3
    for task in asked:
        task.cancel()
    await settle()
    assert (world.sessions.waiting, world.clock.due) == (0, [])


@asynchronous
async def test_a_nervous_reader_is_slowed_and_told(tmp_path: Path) -> None:
    """After a few empty polls too soon the reply is held until the hint has passed, never refused."""
    world = World(tmp_path)
    session = await world.session()
    hints = []
    for _ in range(4):
        result = await world.ask("poll", session.id)
        hints.append(result.retry_in_ms)
        assert result.advice == []
    assert hints == [1000, 2000, 5000, 10_000]
    asking = asyncio.create_task(world.ask("poll", session.id))
    await settle()
    assert not asking.done()
    assert world.clock.due == [10.0]
    await world.clock.advance(9.9)
    assert not asking.done()
    await world.clock.advance(0.2)
    assert session.id in (await asking).advice[0]


@asynchronous
async def test_news_frees_a_held_reader_and_calms_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    for _ in range(4):
        await world.ask("poll", session.id)
    asking = asyncio.create_task(world.ask("poll", session.id))
    await settle()
    session.prints(b"news\n")
    result = await asking
    assert (result.tail, result.retry_in_ms) == ("news\n", 1000)
    assert (await world.ask("poll", session.id)).retry_in_ms == 1000


@asynchronous
async def test_one_nervous_reader_does_not_slow_another(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    for _ in range(4):
        await world.ask("poll", session.id, reader="nervous")
    assert (await world.ask("poll", session.id, reader="calm")).retry_in_ms == 1000


@asynchronous
async def test_a_poll_tells_idleness_and_whether_input_is_awaited(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session(stdin="pipe")
    await world.clock.advance(3)
    result = await world.ask("poll", session.id)
    assert (result.idle_ms, result.waiting_for_input, result.more) == (3000, True, False)
    session.prints(b"x" * 10)
    result = await world.ask("poll", session.id, maxBytes=4)
    assert (result.idle_ms, result.tail, result.cursor) == (0, "… 6 bytes left out …\nxxxx", 10)
    deaf = await world.session()
    assert (await world.ask("poll", deaf.id)).waiting_for_input is None


@asynchronous
async def test_somebody_elses_session_is_not_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session(requester="bob")
    for act, fields in (
        ("poll", {}),
        ("show", {}),
        ("log", {}),
        ("kill", {}),
        ("remove", {}),
        ("submit", {"text": "x"}),
    ):
        with pytest.raises(NotFound) as foreign:
            await world.ask(act, session.id, caller=ANN, **fields)
        with pytest.raises(NotFound) as unknown:
            await world.ask(act, "s9999999", caller=ANN, **fields)
        assert foreign.value.message.replace(session.id, "") == unknown.value.message.replace("s9999999", "")
    with pytest.raises(NotFound):
        await world.ask("wait", sessionIds=[session.id], caller=ANN)
    assert (await world.ask("show", session.id)).requester == "bob"
    with pytest.raises(NotFound):
        await world.ask("show", session.id, requester="ann")


# ---- wait


def waiting(world: World, **fields: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(world.ask("wait", **fields))


@asynchronous
async def test_wait_for_the_exit(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asking = waiting(world, sessionIds=[session.id])
    await settle()
    assert not asking.done()
    session.prints(b"bye\n")
    session.ends(3)
    result = await asking
    (one,) = result.results
    assert (result.met, result.timed_out, one.met, one.exit_code, one.output) == (True, False, True, 3, "bye\n")


@asynchronous
async def test_a_pattern_is_found_across_chunks_and_with_its_place(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b"start\nrea")
    asking = waiting(world, sessionIds=[session.id], for_="pattern", pattern="ready \\w+")
    await settle()
    session.prints(b"dy no")
    await settle()
    session.prints(b"w\n")
    (one,) = (await asking).results
    assert (one.matched.text, one.matched.start, one.matched.end) == ("ready now", 6, 15)
    assert one.matched.pattern == "ready \\w+"


@asynchronous
async def test_a_pattern_of_the_past_is_found_at_once_unless_since_says_later(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b"ready\n")
    assert (await world.ask("wait", sessionIds=[session.id], pattern="ready", timeoutMs=0)).met
    later = await world.ask("wait", sessionIds=[session.id], pattern="ready", since=5, timeoutMs=0)
    assert (later.met, later.timed_out) == (False, True)


@asynchronous
async def test_a_prompt_at_the_end_of_the_output_counts_after_a_pause(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session(pty=True)
    asking = waiting(world, sessionIds=[session.id], pattern=r"\$ $")
    await settle()
    session.prints(b"user$ ")
    await settle()
    assert not asking.done()
    await world.clock.advance(0.25)
    assert (await asking).met


@asynchronous
async def test_a_pattern_that_can_no_longer_come_is_an_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asking = waiting(world, sessionIds=[session.id], pattern="never")
    await settle()
    session.ends()
    result = await asking
    assert (result.met, result.timed_out, result.results[0].status) == (False, False, "succeeded")


@asynchronous
async def test_what_an_ended_command_left_running_may_still_say_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.leftovers = 1
    session.ends()
    asking = waiting(world, sessionIds=[session.id], pattern="ready")
    await settle()
    assert not asking.done()
    session.prints(b"ready\n")
    assert (await asking).met
    asking = waiting(world, sessionIds=[session.id], pattern="never")
    await settle()
    session.drains()
    assert not (await asking).met


@asynchronous
async def test_wait_for_quiet(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    session.prints(b".")
    asking = waiting(world, sessionIds=[session.id], quietSeconds=5)
    await settle()
    await world.clock.advance(4)
    session.prints(b".")
    await world.clock.advance(4)
    assert not asking.done()
    assert world.clock.due[0] == 1.0
    await world.clock.advance(1.01)
    assert (await asking).met


@asynchronous
async def test_wait_for_a_port(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        asking = waiting(world, sessionIds=[session.id], port=server.getsockname()[1])
        pauses: list[float] = []
        while len(pauses) < 12:
            while not (next_look := [due for due in world.clock.due if 0 < due < 1]):
                await asyncio.sleep(0.001)  # the attempt to connect is a real one
            pauses.append(next_look[0])
            await world.clock.advance(next_look[0])
        assert pauses == sorted(pauses)
        assert (pauses[0], pauses[-1]) == (0.02, 0.5)
        server.listen()
        while not asking.done():
            await asyncio.sleep(0.001)
            if any(0 < due < 1 for due in world.clock.due):
                await world.clock.advance(0.5)
        assert (await asking).met


@asynchronous
async def test_one_of_many_or_all_of_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    sessions = [await world.session() for _ in range(3)]
    ids = [s.id for s in sessions]
    one = waiting(world, sessionIds=ids)
    each = waiting(world, sessionIds=ids, mode="all")
    await settle()
    sessions[1].ends()
    result = await one
    assert [r.met for r in result.results] == [False, True, False]
    assert result.met
    await settle()
    assert not each.done()
    sessions[0].ends()
    sessions[2].ends(1)
    assert (await each).met
    assert (world.sessions.waiting, world.clock.due) == (0, [])


@asynchronous
async def test_any_is_whichever_comes_first(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asking = waiting(world, sessionIds=[session.id], for_="any", pattern="never", quietSeconds=60)
    await settle()
    session.ends()
    result = await asking
    assert (result.met, result.results[0].matched) == (True, None)


@asynchronous
async def test_a_wait_gives_up_when_its_time_is_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asking = waiting(world, sessionIds=[session.id], timeoutMs=500)
    await settle()
    await world.clock.advance(0.5)
    result = await asking
    assert (result.met, result.timed_out) == (False, True)


@asynchronous
async def test_a_stopping_gateway_answers_every_wait(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    asked = [
        waiting(world, sessionIds=[session.id]),
        waiting(world, sessionIds=[session.id], pattern="x"),
        asyncio.create_task(world.ask("poll", session.id, timeoutMs=60_000)),
    ]
    await settle()
    world.api.stop_waits()
    exits, pattern, poll = await asyncio.gather(*asked)
    assert (exits.met, exits.timed_out, pattern.met, pattern.timed_out) == (False,) * 4
    assert poll.status == "running"
    late = await world.ask("wait", sessionIds=[session.id])
    assert not late.met


@pytest.mark.parametrize(
    ("fields", "code", "name"),
    [
        ({"for_": "pattern"}, "bad_input", "pattern"),
        ({"for_": "port"}, "bad_input", "port"),
        ({"for_": "quiet"}, "bad_input", "quietSeconds"),
        ({"for_": "exit", "port": 1}, "bad_input", "port"),
        ({"pattern": "a", "port": 1}, "bad_input", "port"),
        ({"pattern": "("}, "bad_pattern", "pattern"),
    ],
)
def test_a_bad_wait_is_refused_at_once(tmp_path: Path, fields: dict[str, Any], code: str, name: str) -> None:
    @asynchronous
    async def test() -> None:
        world = World(tmp_path)
        session = await world.session()
        with pytest.raises(BadInput, match=name) as caught:
            await world.ask("wait", sessionIds=[session.id], **fields)
        assert caught.value.code == code

    test()


@asynchronous
async def test_an_unknown_session_among_many_is_refused_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    session = await world.session()
    with pytest.raises(NotFound):
        await world.ask("wait", sessionIds=[session.id, "s9999999"])
