"""Several gateways that tell from one store: one of them sends, in order; when it dies, another does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from api_fakes import asynchronous
from telling_house import A, House, about, open_house

from outlast.delivery.lease import LEASE_SECONDS

HOOK = "webhook:https://hook.test/"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@asynccontextmanager
async def three(path: Path) -> AsyncIterator[list[House]]:
    """Three gateways with one clock and one set of channels; a commit of one is noticed by the others at once."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_house(path, shared=True))
        houses = [first]
        for _ in range(2):
            houses.append(await stack.enter_async_context(open_house(path, clock=first.clock, shared=True)))
        for house in houses:
            house.channels = first.channels

        async def settle() -> None:
            while True:
                before = sum(sum(house.store.calls.values()) for house in houses)
                for house in houses:
                    await house.store.inner.look_around()
                    await House.settle(house)
                if sum(sum(house.store.calls.values()) for house in houses) == before:
                    return

        for house in houses:
            house.settle = settle  # type: ignore[method-assign]
        first.clock.settle = settle
        yield houses


@asynchronous
async def test_one_of_three_sends_each_notice_and_the_order_holds(path: Path) -> None:
    """A receiver hears of each end once, though three gateways saw that it was to be told."""
    async with three(path) as houses:
        tasks = [(await houses[0].ends(HOOK)).id for _ in range(20)]
        for _ in range(5):
            await houses[0].go(0.1)
        assert about(houses[0].channels[HOOK]) == tasks
        assert houses[0].channels[HOOK].most == 1
        assert await houses[0].states() == ["delivered"] * 20


@asynchronous
async def test_one_of_three_wakes(path: Path) -> None:
    """An agent that is started three times for one end is three bills and two conflicts."""
    async with three(path) as houses:
        await houses[0].wake()
        for number in range(3):
            await houses[0].says(f"event {number}")
            for _ in range(5):
                await houses[0].go(0.2)
        assert [message.text for message in houses[0].channels["wake"].sent] == ["event 0", "event 1", "event 2"]
        assert await houses[0].waiting() == []


@asynchronous
async def test_a_long_turn_is_not_taken_for_a_death(path: Path) -> None:
    """While its gateway gives signs of life, nobody else starts it, be it an hour."""
    async with three(path) as houses:
        await houses[0].wake()
        channel = houses[0].channels["wake"]
        channel.gate.clear()
        await houses[0].says()
        for _ in range(40):
            await houses[0].go(LEASE_SECONDS / 2)
        assert len(channel.sent) == 1
        channel.gate.set()
        await houses[0].go(1)
        assert await houses[0].waiting() == []


@pytest.mark.parametrize("what", ["wake", HOOK])
def test_when_the_one_that_sends_dies_another_sends_under_the_same_id(path: Path, what: str) -> None:
    """Nothing is lost with a gateway; after a lease without a sign of life somebody else tells."""

    @asynchronous
    async def run() -> None:
        async with three(path) as houses:
            channel = houses[0].channels[what]
            channel.gate.clear()
            if what == HOOK:
                await houses[0].ends(HOOK)
            else:
                await houses[0].wake()
                await houses[0].says(conversation=A)
            await houses[0].go(0.1)
            assert len(channel.sent) == 1
            dead = next(house for house in houses if house.outbox._busy or house.wakes._busy)
            await dead.stop()
            channel.gate.set()
            await houses[0].go(LEASE_SECONDS / 2)
            assert len(channel.sent) == 1
            await houses[0].go(LEASE_SECONDS)
            assert len(channel.sent) == 2
            assert len(set(channel.ids)) == 1

    run()
