"""The small loop of every sender: it goes round when it is told to or when something is due, and nothing ends it."""

from __future__ import annotations

import asyncio

import pytest
from api_fakes import FakeClock, asynchronous

from outlast.core.errors import GatewayTrouble
from outlast.delivery.loop import GAP_SECONDS, INSIST_MAX, NET_SECONDS, TROUBLE_SECONDS, Loop, insist


class Rounds:
    """Counts the rounds of a loop, and answers as the test wants."""

    def __init__(self, clock: FakeClock) -> None:
        self.at: list[float] = []
        self.due: float | None = None
        self.raises: Exception | None = None
        self._clock = clock

    async def __call__(self) -> float | None:
        self.at.append(round(self._clock.at, 3))
        if self.raises is not None:
            raise self.raises
        return self.due


def make() -> tuple[Loop, Rounds, FakeClock]:
    clock = FakeClock()
    rounds = Rounds(clock)
    return Loop("test", rounds, clock), rounds, clock


@asynchronous
async def test_it_goes_round_at_the_moment_that_is_due_and_not_before() -> None:
    """One timer for the next moment; nothing ticks in between."""
    loop, rounds, clock = make()
    rounds.due = clock.now() + 100
    loop.start()
    await clock.settle()
    await clock.advance(99.9)
    assert rounds.at == [0.0]
    await clock.advance(0.2)
    assert rounds.at[1] == pytest.approx(100.0, abs=0.002)
    await loop.stop()


@asynchronous
async def test_news_that_come_together_are_one_round() -> None:
    """A thousand commits in one turn of the loop are looked at once."""
    loop, rounds, clock = make()
    loop.start()
    await clock.settle()
    for _ in range(1000):
        loop.nudge()
    await clock.settle()
    await clock.advance(GAP_SECONDS * 5)
    assert len(rounds.at) == 2
    await loop.stop()


@asynchronous
async def test_a_nudge_during_a_round_is_not_lost() -> None:
    """What happens while it looks may have been missed by that look: it looks again."""
    clock = FakeClock()
    gate = asyncio.Event()
    seen = 0

    async def one_round() -> None:
        nonlocal seen
        seen += 1
        await gate.wait()

    loop = Loop("test", one_round, clock)
    loop.start()
    await clock.settle()
    loop.nudge()
    gate.set()
    await clock.settle()
    await clock.advance(0.01)
    assert seen == 2
    await loop.stop()


@asynchronous
async def test_a_moment_in_the_past_is_no_tight_loop() -> None:
    """A round that keeps on saying "now" gets at most one turn a gap."""
    loop, rounds, clock = make()
    rounds.due = clock.now() - 5
    loop.start()
    await clock.settle()
    await clock.advance(GAP_SECONDS * 10)
    assert len(rounds.at) <= 11
    await loop.stop()


@asynchronous
async def test_trouble_and_faults_end_no_loop_and_make_none_hot() -> None:
    """Whatever a round raises, the next one comes after a pause."""
    for error in (GatewayTrouble("out of reach"), ValueError("a fault")):
        loop, rounds, clock = make()
        rounds.raises = error
        loop.start()
        await clock.settle()
        await clock.advance(TROUBLE_SECONDS * 10 + 1)
        assert 10 <= len(rounds.at) <= 12
        rounds.raises = None
        await clock.advance(TROUBLE_SECONDS + 1)
        await loop.stop()


@asynchronous
async def test_work_beside_that_fails_is_a_nudge_after_a_pause_only() -> None:
    """What has failed would fail again at once: its end must not start the next round that begins it anew."""
    loop, rounds, clock = make()

    async def fails() -> None:
        raise ValueError("a fault")

    async def works() -> None:
        await asyncio.sleep(0)

    loop.start()
    await clock.settle()
    loop.beside(works())
    await clock.settle()
    await clock.advance(0.01)
    assert len(rounds.at) == 2
    loop.beside(fails())
    await clock.settle()
    await clock.advance(TROUBLE_SECONDS / 2)
    assert len(rounds.at) == 2
    await clock.advance(TROUBLE_SECONDS)
    assert len(rounds.at) == 3
    await loop.stop()


@asynchronous
async def test_there_is_a_net_under_it() -> None:
    """Should a nudge ever get lost, it looks by itself, seldom."""
    loop, rounds, clock = make()
    loop.start()
    await clock.settle()
    await clock.advance(NET_SECONDS * 3 + 1)
    assert len(rounds.at) == 4
    await loop.stop()


@asynchronous
async def test_a_stop_ends_what_was_begun_beside_and_leaves_nothing() -> None:
    """A gateway that stops waits for nobody, and no task of it is left in the loop."""
    loop, _, clock = make()
    before = asyncio.all_tasks()
    ended = []

    async def long() -> None:
        try:
            await clock.sleep(1000)
        finally:
            ended.append(True)

    async def fails_at_the_end() -> None:
        try:
            await clock.sleep(1000)
        except asyncio.CancelledError:
            raise ValueError("a fault at the worst moment") from None

    loop.start()
    loop.beside(long())
    loop.beside(fails_at_the_end())
    await clock.settle()
    await loop.stop()
    await clock.settle()
    assert ended == [True]
    assert clock.due == []
    assert asyncio.all_tasks() == before


@asynchronous
async def test_insisting_goes_on_until_it_is_written_with_longer_and_longer_pauses() -> None:
    """An hour of trouble is some hundred tries, not a million; what is no trouble is told at once."""
    clock = FakeClock()
    tries = []

    async def write() -> None:
        tries.append(clock.at)
        if clock.at < 3600:
            raise GatewayTrouble("full")

    writing = asyncio.create_task(insist(write, clock))
    await clock.settle()
    await clock.advance(3600 + INSIST_MAX)
    await writing
    assert 100 < len(tries) < 200
