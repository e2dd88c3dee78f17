"""News that comes just when a flow is about to be put away: whoever is first, it is not missed."""

from __future__ import annotations

import asyncio

import pytest

from outlast import flow
from outlast.core.flow import FlowStatus
from outlast.core.lifecycle import FlowVerb
from outlast.testing import Harness
from watched_store import WatchedStore, trouble


@pytest.fixture
def flows():
    with Harness() as harness:
        harness.watched = WatchedStore(harness.store)
        harness.engine.store = harness.watched
        yield harness


def test_a_flow_is_not_put_away_while_a_look_is_under_way_that_has_seen_the_news_already(flows):
    """The look has cleared the nudge that stops a flow from being put away, and its answer is still on its way."""
    gate = flows.watched.after["look_at_flow"] = asyncio.Event()

    async def busy(flow_id):
        while not await flows.store.steps_of(flow_id):
            await asyncio.sleep(0.005)  # until the other branch waits
        await flows.store.send_signal(flow_id, "go", "1", flows.clock.now(), "test", None)
        loop = asyncio.get_running_loop()
        looking = loop.create_task(flows.engine.round())
        while (await flows.store.get_flow(flow_id)).nudges:
            await asyncio.sleep(0.005)
        loop.call_later(0.1, gate.set)
        return not looking.done()

    @flow
    async def hears(ctx):
        return await ctx.gather(ctx.step("busy", busy, ctx.flow_id), ctx.signal("go"))

    assert flows.run(hears) == [True, 1]


def test_an_end_whose_answer_was_lost_is_told_to_who_waits(flows):
    """The second try finds that it has ended: by us."""
    told = []
    flows.engine.ended = told.append

    class Losing(WatchedStore):
        lost = False

        async def _run(self, name, method, args, kwargs):
            answer = await super()._run(name, method, args, kwargs)
            if name == "move_flow" and args[0].verb is FlowVerb.SUCCEED and not self.lost:
                self.lost = True
                flows.clock.move(flows.clock.now() + 1)
                asyncio.get_running_loop().call_later(0.05, lambda: flows.clock.move(flows.clock.now() + 10))
                raise trouble()
            return answer

    flows.engine.store = Losing(flows.store)

    @flow
    async def short(ctx):
        return 5

    assert flows.run(short) == 5
    assert [one.status for one in told] == [FlowStatus.SUCCEEDED]
