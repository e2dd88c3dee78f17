"""Waiting for flows: for their end, for what needs somebody, and step by step; one call, nobody polls."""

from __future__ import annotations

from pathlib import Path

from api_fakes import asynchronous
from flow_world import ALICE, flow_world

from outlast.core.approval import ApprovalStatus
from outlast.core.flow import StepKind
from outlast.core.session import Status


@asynchronous
async def test_a_wait_ends_with_the_last_of_all_or_the_first_of_any(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        one, two = (await at.program()).flow_id, (await at.program()).flow_id
        first = await at.claim(one)
        second = at.held(two)
        every = await at.under_way("flow.wait", lookups=[one, two, one[:-1]])
        any_ = await at.under_way("flow.wait", lookups=[one, two], mode="any")
        asked = at.store.calls["get_flow"]
        await at.go(60)
        assert at.store.calls["get_flow"] == asked
        await at.succeed(second, 7)
        await at.go(0.3)
        result = any_.result()
        assert (result.met, result.timed_out, result.attention) == (True, False, [])
        assert [(flow.status, flow.result) for flow in result.flows] == [("running", None), ("succeeded", 7)]
        assert not every.done()
        await at.fail(first)
        await at.go(0.3)
        assert (every.result().met, [flow.status for flow in every.result().flows]) == (True, ["failed", "succeeded"])
        past = await at.ask("flow.wait", lookups=[one])
        assert past.met


@asynchronous
async def test_a_wait_lasts_as_long_as_it_was_asked_to(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        question = await at.ask("flow.wait", lookups=[flow_id], timeoutMs=0)
        assert (question.met, question.timed_out) == (False, True)
        wait = await at.under_way("flow.wait", lookups=[flow_id], timeoutMs=5000)
        await at.go(4.9)
        assert not wait.done()
        await at.go(0.2)
        assert (wait.result().met, wait.result().timed_out) == (False, True)
        wait = await at.under_way("flow.wait", lookups=[flow_id])
        at.api.stop_waits()
        await at.settle()
        assert (wait.result().met, wait.result().timed_out) == (False, False)


@asynchronous
async def test_a_wait_is_over_when_a_flow_or_one_below_it_needs_somebody(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        held = await at.claim(flow_id)
        sub = at.sub_flow(held.flow, "nested")
        await at.child(held, "nested", StepKind.FLOW, flow=sub)
        wait = await at.under_way("flow.wait", lookups=[flow_id])
        end = await at.under_way("flow.wait", lookups=[flow_id], attention=False)
        inner = await at.claim(sub.id)
        asked = at.question(sub.id)
        await at.child(inner, "ship", StepKind.APPROVAL, approval=asked)
        await at.go(0.5)
        assert (wait.result().met, wait.result().attention) == (False, [flow_id])
        assert (await at.ask("flow.wait", lookups=[flow_id])).attention == [flow_id]
        await at.answer(asked, ApprovalStatus.REJECTED)
        again = await at.under_way("flow.wait", lookups=[flow_id])
        await at.go(1)
        assert not again.done()
        await at.block(inner, kind="crashed", message="x")
        await at.go(0.5)
        assert again.result().attention == [flow_id]
        assert not end.done()
        end.cancel()


@asynchronous
async def test_who_waited_for_an_end_is_not_told_of_it_again(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program(caller=ALICE)).flow_id
        held = await at.claim(flow_id)
        wait = await at.under_way("flow.wait", lookups=[flow_id], caller=ALICE)
        await at.succeed(held)
        await at.go(0.5)
        assert wait.result().met
        await at.go(5)
        assert await at.store.system_events(ALICE.requester, 0, 10) == []
        other = (await at.program(caller=ALICE)).flow_id
        await at.fail(await at.claim(other))
        await at.go(5)
        assert len(await at.store.system_events(ALICE.requester, 0, 10)) == 1


@asynchronous
async def test_a_watch_shows_steps_as_they_go_and_leaves_out_what_is_settled(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        seen = await at.ask("flow.watch", flow_id)
        assert (seen.flow.status, seen.steps, seen.after) == ("queued", [], -1)
        same = await at.ask("flow.watch", flow_id, mark=seen.mark)
        assert same.mark == seen.mark
        watch = await at.under_way("flow.watch", flow_id, mark=seen.mark, timeoutMs=60_000)
        held = await at.claim(flow_id)
        await at.go(0.3)
        assert watch.result().flow.status == "running"
        await at.write(held, "plan")
        running = await at.open_step(held, "unit", StepKind.FUNCTION)
        await at.write(held, "lint")
        seen = await at.ask("flow.watch", flow_id, mark=watch.result().mark, after=watch.result().after)
        assert ([step.key for step in seen.steps], seen.after) == (["plan", "unit", "lint"], 0)
        watch = await at.under_way("flow.watch", flow_id, mark=seen.mark, after=seen.after, timeoutMs=60_000)
        await at.go(30)
        assert not watch.done()
        await at.write(held, "unit", seq=running.seq)
        await at.go(0.3)
        seen = watch.result()
        assert ([step.status for step in seen.steps], seen.after) == (["succeeded", "succeeded"], 2)
        still = await at.under_way("flow.watch", flow_id, mark=seen.mark, after=seen.after, timeoutMs=1000)
        await at.go(0.5)
        assert not still.done()
        await at.go(0.6)
        assert (still.result().mark, still.result().steps) == (seen.mark, [])


@asynchronous
async def test_a_watch_hears_of_questions_and_of_other_tries(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        held = await at.claim(flow_id)
        row = await at.open_step(held, "publish", StepKind.FUNCTION)
        seen = await at.ask("flow.watch", flow_id)
        again = await at.under_way("flow.watch", flow_id, mark=seen.mark, after=seen.after, timeoutMs=60_000)
        await at.write(held, "publish", seq=row.seq, status=Status.RUNNING, ended_at=None, attempt=2, error="no route")
        await at.go(0.3)
        assert again.result().steps[0].attempt == 2
        asking = await at.under_way("flow.watch", flow_id, mark=again.result().mark, after=-1, timeoutMs=60_000)
        await at.child(held, "ship", StepKind.APPROVAL, approval=at.question(flow_id))
        await at.go(0.3)
        assert [one.prompt for one in asking.result().approvals] == ["Ship it?"]


@asynchronous
async def test_many_flows_that_move_do_not_make_a_watcher_look_at_every_commit(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        wait = await at.under_way("flow.wait", lookups=[flow_id])
        busy = await at.claim(flow_id)
        before = at.store.calls["get_flow"]
        for number in range(200):
            await at.write(busy, f"s{number}")
            await at.go(0.001)
        assert at.store.calls["get_flow"] - before < 20
        await at.succeed(busy)
        await at.go(0.5)
        assert wait.result().met
