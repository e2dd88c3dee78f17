"""Frames and server-sent events: complete, in order, resumable, and gone with their caller."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from api_fakes import FakeSession, asynchronous, settle
from web import Web, chunks, events, frames, read_head, serving

from outlast.api.follow import CHUNK, KEEP_ALIVE


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def collect(web: Web, path: str, headers: dict[str, str] | None = None) -> asyncio.Task[bytes]:
    async def read() -> bytes:
        answer = await web.ask("GET", path, headers=headers)
        assert answer.status == 200, answer
        return answer.body

    others = web.world.sessions.waiting
    task = asyncio.create_task(read())
    await until(lambda: web.world.sessions.waiting > others or task.done())
    return task


@asynchronous
async def test_frames_tell_the_streams_apart_and_end_with_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        session.prints(b"out")
        session.prints(b"err", stream=2)
        reading = await collect(web, f"/v1/sessions/{session.id}/stream?frames=1")
        session.prints(b"more\xff\x00")
        await settle()
        session.ends(3)
        found = frames(await reading)
        assert found[:3] == [(1, b"out"), (2, b"err"), (1, b"more\xff\x00")]
        (kind, payload) = found[3]
        end = json.loads(payload)
        assert (kind, end["event"], end["exitCode"], end["sessionId"]) == (0, "ended", 3, session.id)
        assert "output" not in end
        assert len(found) == 4


@asynchronous
async def test_a_stream_begins_where_it_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        session.prints(b"0123456789")
        later = await collect(web, f"/v1/sessions/{session.id}/stream?from=4")
        from_end = await collect(web, f"/v1/sessions/{session.id}/stream?from=end&frames=true")
        session.prints(b"ab")
        session.ends()
        assert await later == b"456789ab"
        assert frames(await from_end)[0] == (1, b"ab")
        for wrong in ("99", "x", "-1"):
            answer = await web.ask("GET", f"/v1/sessions/{session.id}/stream?from={wrong}")
            assert (answer.status, answer.code) == (416, "bad_range")


@asynchronous
async def test_a_stream_names_what_is_missing(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        session.prints(b"head" + b"x" * 100 + b"tail")
        Path(session.folder, "gaps").write_bytes(b"%020d %020d\n" % (4, 104))
        session.ends()
        body = await (await collect(web, f"/v1/sessions/{session.id}/stream?frames=1"))
        assert [(kind, payload) for kind, payload in frames(body)[:3]] == [
            (1, b"head"),
            (3, b'{"start":4,"end":104}'),
            (1, b"tail"),
        ]


@asynchronous
async def test_a_silent_stream_gives_signs_of_life(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        framed = await collect(web, f"/v1/sessions/{session.id}/stream?frames=1")
        sse = await collect(web, f"/v1/sessions/{session.id}/events")
        await until(lambda: len(web.world.clock.due) == 2)
        await web.world.clock.advance(KEEP_ALIVE + 1)
        await until(lambda: len(web.world.clock.due) == 2)
        session.ends()
        assert [kind for kind, _ in frames(await framed)] == [4, 0]
        assert (await sse).startswith(b":\n\n")


@asynchronous
async def test_a_slow_reader_slows_the_reading_and_memory_stays_bounded(tmp_path: Path) -> None:
    """Of 64 MiB of output only a few chunks are read while the caller takes nothing."""
    async with serving(tmp_path) as web:
        session = await web.world.session()
        session.prints(b"x" * (64 << 20))
        given = 0
        pieces = session.output.pieces

        def counted(start: int, end: int, max_bytes: int) -> Any:
            nonlocal given
            given += end - start
            assert end - start <= CHUNK
            return pieces(start, end, max_bytes)

        session.output = Wrapped(session, counted)  # type: ignore[assignment]
        reader, writer = await web.open("GET", f"/v1/sessions/{session.id}/stream?frames=1")
        await read_head(reader)
        await until(lambda: given > 0)
        seen = -1
        while given != seen:
            seen = given
            await asyncio.sleep(0.05)
        assert 0 < given <= 16 * CHUNK
        writer.close()
        await until(lambda: not web.server._state.tasks)
        assert given <= 17 * CHUNK


class Wrapped:
    """An output whose pieces are counted."""

    def __init__(self, session: FakeSession, pieces: Any) -> None:
        self._output = session.output
        self.pieces = pieces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


@pytest.mark.parametrize("path", ["stream?frames=1", "stream", "events"])
def test_a_caller_who_leaves_ends_the_stream(tmp_path: Path, path: str) -> None:
    @asynchronous
    async def test() -> None:
        async with serving(tmp_path) as web:
            session = await web.world.session()
            session.prints(b"x")
            reader, writer = await web.open("GET", f"/v1/sessions/{session.id}/{path}")
            await read_head(reader)
            await until(lambda: web.world.sessions.waiting == 1)
            writer.close()
            await until(lambda: web.world.sessions.waiting == 0 and not web.server._state.tasks)
            assert web.world.clock.due == []

    test()


@asynchronous
async def test_a_stopping_gateway_ends_streams_without_an_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        session.prints(b"x")
        framed = await collect(web, f"/v1/sessions/{session.id}/stream?frames=1")
        sse = await collect(web, f"/v1/sessions/{session.id}/events")
        everything = asyncio.create_task(web.ask("GET", "/v1/events"))
        await until(lambda: len(web.world.clock.due) == 3)
        web.world.api.stop_waits()
        assert frames(await framed) == [(1, b"x")]
        assert [name for name, _, _ in events(await sse)] == ["output"]
        assert (await everything).status == 200


@asynchronous
async def test_events_are_text_with_ids_to_go_on_from(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        session.prints(b"\x1b[31mred\x1b[0m\r\n")
        path = f"/v1/sessions/{session.id}/events"
        reading = await collect(web, path)
        session.prints(b"half \xe2\x82")
        await settle()
        await until(lambda: web.world.sessions.waiting == 1)
        session.prints(b"\xac done\n")
        await until(lambda: web.world.sessions.waiting == 1)
        session.prints(b"oops\n", stream=2)
        await until(lambda: web.world.sessions.waiting == 1)
        session.ends(0)
        found = events(await reading)
        output = [(d["text"], d["stream"], d["start"], d["end"], id_) for name, d, id_ in found if name == "output"]
        assert "".join(text for text, *_ in output) == "red\nhalf \u20ac done\noops\n"
        assert output[0][2] == 0
        assert all(before[3] == after[2] for before, after in pairwise(output))
        assert all(str(end) == id_ for *_, end, id_ in output)
        assert output[-1][:2] == ("oops\n", "stderr")
        name, end, id_ = found[-1]
        assert (name, end["status"], id_) == ("ended", "succeeded", str(session.produced))
        for *_, at in output:
            rest = events(await (await collect(web, path, {"Last-Event-ID": at})))
            text = "".join(d["text"] for name, d, _ in rest if name == "output")
            before = "".join(t for t, *_, id_ in output if int(id_) <= int(at))
            assert before + text == "red\nhalf \u20ac done\noops\n"
        bad = await web.ask("GET", path, headers={"Last-Event-ID": "x"})
        assert bad.code == "bad_range"


@asynchronous
async def test_unfinished_text_is_given_out_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        session.prints(b"a\xe2\x82")
        reading = await collect(web, f"/v1/sessions/{session.id}/events?raw=1")
        session.ends()
        found = events(await reading)
        assert [d["text"] for name, d, _ in found if name == "output"] == ["a", "\ufffd"]


@asynchronous
async def test_starts_and_ends_are_told_to_those_they_concern(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        world = web.world
        reader, writer = await web.open("GET", "/v1/events", headers={"Outlast-Requester": "ann"})
        await read_head(reader)
        parts = chunks(reader)
        assert await anext(parts) == b": listening\n\n"
        await world.session(requester="bob")
        mine = await world.session(requester="ann")
        mine.ends()
        world.sessions.tell("ended", mine)
        found = events(await anext(parts) + await anext(parts))
        assert [(name, data["sessionId"]) for name, data, _ in found] == [("started", mine.id), ("ended", mine.id)]
        writer.close()
        await until(lambda: not web.server._state.tasks)
        assert world.api._listeners == set()
