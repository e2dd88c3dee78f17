"""A real receiver that is late, wrong, rude or gone: everything arrives in the end, signed, in order, recognisably."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from api_fakes import PATIENCE
from channel_servers import OK, Request, Server, hook, read_request, run, verified
from telling_house import House, open_house

from outlast.delivery.channels.base import Channel, Message

BUSY = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
LATER = b"HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"
TIMEOUT = 0.3
"""Seconds a receiver is given that will be silent; any other has all the time it needs on a busy machine."""


class Moody(Server):
    """Takes requests, and is in the moods the test wants: ok, busy, later, silent, rude, late."""

    known: ClassVar[list[Moody]] = []

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.known.append(self)
        self.moods: list[str] = []
        self.requests: list[Request] = []
        self.taken: list[Request] = []

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mood = self.moods.pop(0) if self.moods else "ok"
        if mood == "rude":
            writer.transport.abort()
            return
        try:
            request = await read_request(reader)
        except asyncio.IncompleteReadError:
            self.moods.insert(0, mood)  # whoever it was had no more patience: the next one meets this mood
            raise
        self.requests.append(request)
        if mood == "silent":
            await reader.read()
            return
        if mood in ("ok", "late"):
            self.taken.append(request)
        if mood == "late":  # it has taken the message, and nobody hears of that
            writer.transport.abort()
            return
        writer.write({"ok": OK, "busy": BUSY, "later": LATER}[mood])
        await writer.drain()


class Sender(NamedTuple):
    """Sends to a port of loopback, with little patience where its receiver is about to be silent."""

    port: int

    async def send(self, message: Message) -> None:
        silent = any(one.port == self.port and one.moods[:1] == ["silent"] for one in Moody.known)
        url = f"http://127.0.0.1:{self.port}/"
        await hook(url, timeout_seconds=TIMEOUT if silent else PATIENCE).send(message)


class Post(House):
    """Sends through real webhooks to loopback."""

    ports: ClassVar[dict[str, int]] = {}

    def _channel(self, name: str) -> Channel:
        host = name.removeprefix("webhook:https://").partition(".")[0]
        return Sender(self.ports[host])

    async def until(self, condition: Callable[[], Any], step: float = 0.0) -> None:
        """Let the network do its work, and the clock go on by ``step`` whenever it is at rest."""
        for _ in range(int(PATIENCE / 0.002)):
            if condition():
                return
            await asyncio.sleep(0.002)
            await self.go(step or 0.002)
        raise AssertionError("it did not come to pass")


@asynccontextmanager
async def post(path: Path, monkeypatch: pytest.MonkeyPatch, **ports: int) -> AsyncIterator[Post]:
    monkeypatch.setattr("telling_house.House", Post)
    monkeypatch.setattr("random.random", lambda: 0.0)
    monkeypatch.setattr(Post, "ports", ports)
    async with open_house(path) as house:
        assert isinstance(house, Post)
        yield house


def target(name: str) -> str:
    return f"webhook:https://{name}.test/"


def heard(requests: list[Request]) -> list[str]:
    """The tasks told of, each request's signature found good and its ids in agreement."""
    found = []
    for request in requests:
        body = verified(request)
        assert request.headers["webhook-id"] == body["data"]["id"]
        found.append(body["data"]["detail"]["taskId"])
    return found


def distinct(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


def test_every_way_to_fail_ends_in_a_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence, 500, 503 with a wish, a closed door and a lost answer, one after the other: then it is delivered."""

    async def main() -> None:
        async with Moody() as server, post(tmp_path / "ledger.db", monkeypatch, a=server.port) as house:
            server.moods = ["silent", "busy", "later", "rude", "late"]
            first, second = await house.ends(target("a")), await house.ends(target("a"))
            await house.until(lambda: len(server.taken) == 3, step=0.5)
            await house.until(lambda: not house.outbox._busy)
            assert await house.states() == ["delivered", "delivered"]
            assert heard(server.requests) == [first.id] * 5 + [second.id]
            assert heard(server.taken) == [first.id, first.id, second.id]
            ids = [request.headers["webhook-id"] for request in server.requests]
            assert len(set(ids)) == 2, "each sending of one message has one id"

    run(main())


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_completions_while_the_channel_is_down_all_arrive_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A receiver that dies for a while gets everything once it is back: nothing lost, nothing out of turn."""

    async def main() -> None:
        async with (
            Moody() as down,
            Moody() as up,
            post(tmp_path / "ledger.db", monkeypatch, a=down.port, b=up.port) as house,
        ):
            await down.__aexit__(None, None, None)
            expected: dict[str, list[str]] = {"a": [], "b": []}
            for number in range(count):
                name = "ab"[number % 2]
                expected[name].append((await house.ends(target(name))).id)
            await house.until(lambda: len(up.taken) == count // 2)
            await house.go(60)
            await down.__aenter__()  # at its old port again
            down.moods = ["busy", "ok", "late", "rude", "ok", "busy"]
            await house.until(lambda: len(distinct(heard(down.taken))) == count // 2, step=1)
            await house.until(lambda: not house.outbox._busy)
            assert heard(up.taken) == expected["b"]
            assert distinct(heard(down.taken)) == expected["a"]
            assert sorted(heard(down.taken)) == heard(down.taken), "never one before another"
            assert await house.states() == ["delivered"] * count

    run(main())


def test_a_gateway_that_dies_over_an_answer_sends_again_under_the_same_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver has it, the record does not say so: it comes once more, and can be told for what it is."""

    async def main() -> None:
        async with Moody() as server:
            async with post(tmp_path / "ledger.db", monkeypatch, a=server.port) as house:
                house.store.gates["settle_notice"] = asyncio.Event()
                await house.ends(target("a"))
                await house.until(lambda: server.taken)
                await house.stop()
            async with post(tmp_path / "ledger.db", monkeypatch, a=server.port) as house:
                await house.until(lambda: len(server.taken) == 2)
                await house.until(lambda: not house.outbox._busy)
                assert len({request.headers["webhook-id"] for request in server.taken}) == 1
                assert await house.states() == ["delivered"]

    run(main())


def test_one_receiver_that_hangs_keeps_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is silent up to its limit, another has heard twenty times."""

    async def main() -> None:
        async with (
            Moody() as slow,
            Moody() as quick,
            post(tmp_path / "ledger.db", monkeypatch, a=slow.port, b=quick.port) as house,
        ):
            slow.moods = ["silent"] * 3
            await house.ends(target("a"))
            for _ in range(20):
                await house.ends(target("b"))
            await house.until(lambda: len(quick.taken) == 20)
            assert slow.taken == []
            await house.until(lambda: slow.taken, step=1)

    run(main())
