"""The stream of all events: complete and in order over restarts and troubles, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from api_ledger import ledger_world
from web import Web, chunks, read_head, serving

from outlast.api.follow import KEEP_ALIVE
from outlast.core.session import Cause
from outlast.surfaces.http.events import QUEUE_MAX
from watched_store import trouble

ANN = {"Outlast-Requester": "ann"}
Found = tuple[str, str | None, Any]


@asynccontextmanager
async def ledger_web(home: Path, **options: Any) -> AsyncIterator[Web]:
    async with ledger_world(home, **options) as world, serving(home, world=world) as web:
        yield web


class Listener:
    """Somebody who reads the stream as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.found: list[Found] = []
        self.comments = 0
        self.over = False
        self._news = asyncio.Event()
        self._job = asyncio.ensure_future(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        text = ""
        try:
            async for part in chunks(reader):
                text += part.decode()
                *blocks, text = text.split("\n\n")
                for block in blocks:
                    self._take(block)
        except (asyncio.IncompleteReadError, ValueError, ConnectionError):
            pass
        self.over = True
        self._news.set()

    def _take(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            self.found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
        else:
            self.comments += 1
        self._news.set()

    async def until(self, enough: Callable[[], bool]) -> None:
        while not enough():
            self._news.clear()
            await self._news.wait()

    async def tasks(self, count: int) -> list[Found]:
        """Return the events of tasks once there are so many."""
        await self.until(lambda: len(self._tasks()) >= count)
        return self._tasks()

    def _tasks(self) -> list[Found]:
        return [one for one in self.found if one[0] == "task"]

    async def leave(self) -> None:
        self.writer.close()
        self._job.cancel()
        await asyncio.gather(self._job, return_exceptions=True)


async def listen(web: Web, query: str = "", headers: dict[str, str] | None = None) -> Listener:
    """Begin to listen; return when the stream has begun."""
    reader, writer = await web.open("GET", f"/v1/events{query}", headers=headers)
    status, _ = await read_head(reader)
    assert status == 200
    listener = Listener(reader, writer)
    await listener.until(lambda: listener.comments > 0)
    return listener


def lines(found: list[Found]) -> list[tuple[str, str]]:
    return [(data["taskId"], data["verb"]) for _, _, data in found]


@asynchronous
async def test_every_move_is_told_as_it_happens_with_the_task_as_it_stands(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        before = await world.run("before")
        listener = await listen(web, "?tasks=true")
        task = await world.run("make", title="Build")
        await world.end(task.task_id, 3)
        found = await listener.tasks(4)
        assert lines(found) == [(task.task_id, verb) for verb in ("create", "claim", "began", "fail")]
        assert before.task_id not in str(found)
        name, id_, data = found[-1]
        assert (name, id_) == ("task", str(data["eventId"]))
        assert (data["status"], data["cause"], data["data"]["exitCode"]) == ("failed", "exit", 3)
        assert (data["task"]["status"], data["task"]["title"]) == ("failed", "Build")
        assert [one for one in listener.found if one[0] != "task"] == []
        await listener.leave()


@asynchronous
async def test_sessions_are_told_beside_tasks_and_carry_no_id(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        listener = await listen(web)
        session = await world.session()
        await listener.until(lambda: len(listener.found) >= 3)
        assert sorted((name, id_ is None) for name, id_, _ in listener.found) == [
            ("started", True), ("task", False), ("task", False),
        ]  # fmt: skip
        assert next(d["sessionId"] for name, _, d in listener.found if name == "started") == session.id
        await listener.leave()


@pytest.mark.parametrize("how", ["header", "after"])
@asynchronous
async def test_a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice(tmp_path: Path, how: str) -> None:
    """Over a restart of the gateway, with moves before, while it was away, and after."""
    async with ledger_world(tmp_path) as world:
        async with serving(tmp_path, world=world) as web:
            listener = await listen(web, "?tasks=1")
            one = await world.run("one")
            seen = await listener.tasks(3)
            await listener.leave()
            await world.end(one.task_id)
            two = await world.run("two")
        session = await world.session_of(two.task_id)

        async def meanwhile() -> None:
            session.ends(4)

        await world.restart(meanwhile)
        last = str(seen[-1][1])
        async with serving(tmp_path, world=world) as web:
            await world.run("three")
            headers = {"Last-Event-ID": last} if how == "header" else None
            again = await listen(web, "?tasks=1" + ("" if how == "header" else f"&after={last}"), headers)
            history = await world.store.events_since(0)
            found = [*seen, *await again.tasks(len(history) - len(seen))]
            assert [int(str(id_)) for _, id_, _ in found] == [event.id for event in history]
            four = await world.run("four")
            assert lines((await again.tasks(len(history) - len(seen) + 3))[-3:]) == [
                (four.task_id, verb) for verb in ("create", "claim", "began")
            ]
            await again.leave()


@asynchronous
async def test_all_of_history_can_be_had(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        for number in range(700):
            await world.store.append_event(
                (await world.record("t1")).id if not number else "t1", f"note {number}", 1.0, {}
            )
        listener = await listen(web, "?tasks=1&after=0")
        found = await listener.tasks(701)
        assert [data["verb"] for _, _, data in found][1:] == [f"note {number}" for number in range(700)]
        assert world.store.calls["get_task"] <= 3, "a task is looked at once a page, however much happened to it"
        await listener.leave()


@asynchronous
async def test_a_stranger_hears_nothing_of_others(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        await world.record("t-old", requester="bob")
        listener = await listen(web, "?after=0", ANN)
        other = await world.record("t-bob", requester="bob")
        await world.ledger.cancel(other, Cause.OPERATOR)
        await world.session(requester="bob")
        await world.record("t-ann", requester="ann")
        assert lines(await listener.tasks(1)) == [("t-ann", "create")]
        await world.settle()
        assert len(listener.found) == 1
        await listener.leave()


@asynchronous
async def test_a_slow_reader_loses_nothing_and_costs_no_memory(tmp_path: Path) -> None:
    """History waits on disk until he is ready for it; his line takes what it holds, no more."""
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        reader, writer = await web.open("GET", "/v1/events?tasks=1")
        await read_head(reader)
        await world.record("t1")
        pages = world.store.calls["events_since"]
        big = {"text": "x" * 40_000}
        for number in range(300):
            await world.store.append_event("t1", f"note {number}", 1.0, big)
        await world.settle()
        assert world.store.calls["events_since"] - pages < 60, "he is read for although he does not take it"
        listener = Listener(reader, writer)
        found = await listener.tasks(301)
        assert [data["verb"] for _, _, data in found] == ["create", *(f"note {number}" for number in range(300))]
        await listener.leave()


@asynchronous
async def test_a_reader_too_slow_for_sessions_is_let_go(tmp_path: Path) -> None:
    """They have no history to come back to: he has to list anew, and must not go on as if he had heard it all."""
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        session = await world.session(title="x" * 200)
        await world.settle()
        reader, writer = await web.open("GET", "/v1/events")
        await read_head(reader)
        world.store.gates["events_since"] = asyncio.Event()
        await world.record("t1")
        await world.settle()
        for _ in range(QUEUE_MAX + 2):
            world.sessions.tell("started", session)
        world.store.gates.pop("events_since").set()
        listener = Listener(reader, writer)
        await listener.until(lambda: listener.over)
        assert len(listener.found) <= QUEUE_MAX + 1
        while world.api._listeners:
            await world.settle()
        await listener.leave()


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 19, "9" * 5000])
@asynchronous
async def test_a_place_that_is_none_is_refused(tmp_path: Path, given: str) -> None:
    async with ledger_web(tmp_path) as web:
        answer = await web.ask("GET", "/v1/events", headers={"Last-Event-ID": given})
        assert (answer.status, answer.code) == (416, "bad_range")
        answer = await web.ask("GET", f"/v1/events?after={given}")
        assert answer.status == 400


@asynchronous
async def test_a_place_behind_the_end_waits_for_what_comes(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        await world.record("t1")
        last = await world.store.last_event_id()
        listener = await listen(web, f"?after={last}")
        await world.settle()
        assert listener.found == []
        await world.record("t2")
        assert lines(await listener.tasks(1)) == [("t2", "create")]
        await listener.leave()


@asynchronous
async def test_silence_is_told_now_and_then_and_costs_nothing_else(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        listener = await listen(web)
        await world.settle()
        before = listener.comments
        await world.clock.advance(KEEP_ALIVE * 3 + 1)
        await listener.until(lambda: listener.comments >= before + 3)
        asked = world.store.calls["events_since"]
        await world.clock.advance(KEEP_ALIVE - 2)
        assert world.store.calls["events_since"] == asked
        await listener.leave()


@asynchronous
async def test_a_gateway_that_stops_ends_the_stream(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        listener = await listen(web)
        web.world.api.stop_waits()
        await listener.until(lambda: listener.over)
        await listener.leave()


@asynchronous
async def test_trouble_with_the_store_interrupts_nobody(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        listener = await listen(web)
        world.store.failing["events_since"] = trouble()
        await world.record("t1")
        session = await world.session()
        await listener.until(lambda: bool(listener.found))
        assert listener.found[0][2]["sessionId"] == session.id
        world.store.failing.clear()
        await world.record("t2")
        found = await listener.tasks(4)
        ids = [int(str(id_)) for _, id_, _ in found]
        assert ids == sorted(set(ids)) and ("t1", "create") in lines(found)
        await listener.leave()


@asynchronous
async def test_without_a_ledger_there_are_sessions_only(tmp_path: Path) -> None:
    """Once it is there again its events come, from then on: all of history at once is not what he asked for."""
    async with ledger_world(tmp_path) as earlier:
        await earlier.record("t-old")
    async with ledger_web(tmp_path, failing={"open": trouble()}) as web:
        world: Any = web.world
        refused = await web.ask("GET", "/v1/events?tasks=1")
        assert (refused.status, refused.code) == (503, "store_unreachable")
        listener = await listen(web)
        await world.session()
        await listener.until(lambda: bool(listener.found))
        world.store.failing.clear()
        await world.clock.advance(60)
        await world.record("t1")
        await world.session()
        found = lines(await listener.tasks(3))
        assert ("t1", "create") in found and ("t-old", "create") not in found
        await listener.leave()


@asynchronous
async def test_a_listener_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        listener = await listen(web)
        await listener.leave()
        while world.api._listeners or world.ledger.news._events:
            await world.settle()
        assert world.api._listeners == set()


@asynchronous
async def test_a_task_that_was_forgotten_is_not_told_of(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        await world.ledger.cancel(await world.record("t1", notify="silent"), Cause.OPERATOR)
        await world.store.prune(["t1"])
        await world.record("t2")
        listener = await listen(web, "?after=0")
        assert lines(await listener.tasks(1)) == [("t2", "create")]
        await listener.leave()
