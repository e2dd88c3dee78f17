"""News that comes just when a flow is about to be put away: whoever is first, it is not missed."""

from __future__ import annotations

import asyncio

import pytest

from outlast import flow
from outlast.core.flow import FlowMode, FlowStatus, NewFlow
from outlast.core.lifecycle import FlowVerb
from outlast.flows.engine import Engine
from outlast.testing import Harness, Stuck
from watched_store import WatchedStore, trouble


@pytest.fixture
def flows():
    with Harness(patience=60) as harness:
        harness.watched = WatchedStore(harness.store)
        harness.engine.store = harness.watched
        yield harness


def of(flows, function):
    return NewFlow(
        id=flows.engine.new_id("f"), mode=FlowMode.PROGRAM, name=function.name, handler=function.handler,
        requester="local", created_at=flows.clock.now(), input={"args": [], "kwargs": {}},
    )  # fmt: skip


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
    """The second try finds that it has ended: by us. It is made in real time: nobody moves that of the flow."""
    told = []
    flows.engine.ended = told.append

    class Losing(WatchedStore):
        lost = False

        async def _run(self, name, method, args, kwargs):
            answer = await super()._run(name, method, args, kwargs)
            if name == "move_flow" and args[0].verb is FlowVerb.SUCCEED and not self.lost:
                self.lost = True
                raise trouble()
            return answer

    flows.engine.store = Losing(flows.store)

    @flow
    async def short(ctx):
        return 5

    assert flows.run(short) == 5
    assert [one.status for one in told] == [FlowStatus.SUCCEEDED]


def test_a_look_that_somebody_else_has_begun_is_waited_for_and_its_end_is_heard(flows):
    """It takes nothing, so nothing else would wake who waits for its end."""
    looking = []

    class Slow(WatchedStore):
        async def _run(self, name, method, args, kwargs):
            answer = await super()._run(name, method, args, kwargs)
            if name == "claim_flows" and asyncio.current_task() in looking:
                while not flows._moved._waiters:
                    await asyncio.sleep(0.005)
            return answer

    flows.engine.store = Slow(flows.store)
    looking.append(flows._loop.create_task(flows.engine.round()))
    flows.settle()
    assert looking[0].done()


def test_that_the_last_flow_has_ended_is_said_though_a_look_for_more_is_under_way(flows):
    """Else a worker that leaves when nothing has been to do for a while takes it that nothing was."""
    idle, looking = asyncio.Event(), []

    async def look():
        flows.engine.idle = idle.set
        flows.watched.gates["claim_flows"] = asyncio.Event()
        looking.append(asyncio.get_running_loop().create_task(Engine.round(flows.engine)))
        while not flows.engine._coming:  # until it is at its claim
            await asyncio.sleep(0.005)

    @flow
    async def looks(ctx):
        await ctx.step("look", look)

    async def scene():
        await flows.engine.submit(of(flows, looks))
        while flows.engine.claims:
            await asyncio.sleep(0.005)
        said = idle.is_set()
        flows.watched.gates.pop("claim_flows").set()
        await looking[0]
        return said, idle.is_set()

    flows.serve(looks)
    assert flows._loop.run_until_complete(asyncio.wait_for(scene(), 60)) == (False, True)


def test_what_hangs_is_named_when_nothing_has_happened_for_long(flows):
    async def hang():
        flows._patience = 0.1
        flows._moved.set()
        await asyncio.Event().wait()

    @flow
    async def hangs(ctx):
        await ctx.step("forever", hang)

    with pytest.raises(Stuck, match=r"0.1 s of real time.*hangs.* of forever"):
        flows.run(hangs)


def test_a_flow_that_nobody_serves_is_not_waited_for(flows):
    """It is ready, and stays so: no time brings who takes it."""

    @flow
    async def unknown(ctx):
        return 1

    new = of(flows, unknown)
    flows.submit(new)
    flows.advance("1h")
    assert flows.flow(new.id).status is FlowStatus.QUEUED
    with pytest.raises(Stuck, match="no time will bring it"):
        flows.finish(new.id)
