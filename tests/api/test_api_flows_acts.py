"""Signals, calling off, taking up again and forking: each has one clear answer, wherever the flow stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from flow_world import ALICE, PROGRAM, flow_world

from outlast.core.errors import BadInput, Conflict, NotFound, Refused
from outlast.core.flow import StepKind
from outlast.core.lifecycle import FlowVerb
from outlast.core.session import Cause


async def refused(at: Any, act: str, flow_id: str, **fields: Any) -> Conflict:
    """Ask for what cannot be had; return the answer."""
    with pytest.raises(Conflict) as answer:
        await at.ask(act, flow_id, **fields)
    return answer.value


# ---- signals


@asynchronous
async def test_a_signal_is_kept_until_the_flow_asks_for_it_and_heard_once_under_a_key(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        first = await at.ask("flow.signal", flow_id, name_="go", payload={"n": 1}, key="k1")
        assert (first.name, first.payload, first.existing, first.step) == ("go", {"n": 1}, False, None)
        again = await at.ask("flow.signal", flow_id, name_="go", payload={"n": 2}, key="k1")
        assert (again.signal_id, again.payload, again.existing) == (first.signal_id, {"n": 1}, True)
        other = await at.ask("flow.signal", flow_id, name_="go", caller=None)
        assert (other.payload, other.existing, other.signal_id > first.signal_id) == (None, False, True)
        assert len((await at.ask("flow.show", flow_id)).signals) == 2


@asynchronous
async def test_a_flow_that_has_ended_takes_no_signal(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.succeed(held)
        answer = await refused(at, "flow.signal", held.flow.id, name_="go")
        assert (answer.code, "succeeded" in answer.message) == ("flow_ended", True)
        assert answer.hint == f"outlast flow show {held.flow.id}"


@asynchronous
async def test_a_payload_is_bounded_and_text_that_any_store_can_hold(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        for payload, code in (("x" * 1_100_000, "too_large"), ({"a": "\0"}, "not_text"), (["\ud800"], "not_text")):
            with pytest.raises(BadInput) as wrong:
                await at.ask("flow.signal", flow_id, name_="go", payload=payload)
            assert wrong.value.code == code
        for name in ("", "x" * 201):
            with pytest.raises(BadInput, match="name"):
                await at.ask("flow.signal", flow_id, name_=name)


# ---- calling off


@asynchronous
async def test_a_flow_nobody_has_begun_is_cancelled_at_once_and_cancelling_again_says_so(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        answer = await at.ask("flow.cancel", flow_id, reason="token=s3cretvalue1 is not needed")
        assert (answer.status, answer.cause) == ("cancelled", "operator")
        assert answer.cancel_reason == "token=*** is not needed"
        again = await refused(at, "flow.cancel", flow_id)
        assert (again.code, "cancelled" in again.message) == ("flow_ended", True)


@asynchronous
async def test_a_running_flow_is_asked_once_and_waited_for(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        wish = await at.under_way("flow.cancel", held.flow.id, timeoutMs=60_000)
        flow = await at.flow(held.flow.id)
        assert (flow.status, flow.cancel_asked_at) == ("running", at.clock.now())
        await at.go(7)
        again = await refused(at, "flow.cancel", held.flow.id)
        assert (again.code, "7 s ago" in again.message) == ("already_cancelling", True)
        assert "--force" in (again.hint or "")
        await at.move(held, FlowVerb.CANCEL, cause=Cause.OPERATOR)
        await at.go(0.5)
        assert wish.result().status == "cancelled"


@asynchronous
async def test_a_cancel_answers_when_its_patience_is_over(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        wish = await at.under_way("flow.cancel", held.flow.id)
        await at.go(4.9)
        assert not wish.done()
        await at.go(0.2)
        assert (wish.result().status, wish.result().cancel_asked_at is not None) == ("running", True)


@asynchronous
async def test_a_cancel_ends_the_commands_of_the_flow_and_of_flows_below_it(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.managed()).flow_id
        task = await at.run("make")
        await at.ask("flow.link", flow_id, revision=1, taskId=task.task_id)
        below = (await at.ask("flow.create", name_="inner", parentId=flow_id)).flow_id
        deep = await at.run("make deep")
        await at.ask("flow.link", below, revision=1, taskId=deep.task_id)
        wish = await at.under_way("flow.request-cancel", flow_id, revision=2)
        await at.go(0.5)
        for each in (task, deep):
            ended = await at.task(each.task_id)
            assert (ended.status, ended.cause) == ("cancelled", "parent")
        assert wish.result().flow_id == flow_id
        assert [(await at.flow(one)).status for one in (flow_id, below)] == ["cancelled", "cancelled"]


@asynchronous
async def test_force_ends_the_record_whatever_its_worker_does_and_is_the_operators(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program(caller=ALICE)).flow_id)
        with pytest.raises(Refused):
            await at.ask("flow.cancel", held.flow.id, force=True, caller=ALICE)
        ended = await at.ask("flow.cancel", held.flow.id, force=True)
        assert (ended.status, ended.error) == ("cancelled", "it was ended by force: compensations did not run")
        assert (await refused(at, "flow.cancel", held.flow.id, force=True)).code == "flow_ended"
        row = (await at.store.steps_of(held.flow.id)) or None
        assert row is None
        with pytest.raises(AssertionError):
            await at.write(held, "late")


# ---- taking up again


@asynchronous
async def test_what_failed_is_taken_up_again_with_what_had_succeeded(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.write(held, "plan")
        await at.write(held, "build")
        await at.fail(held)
        again = await at.ask("flow.retry", held.flow.id)
        assert (again.status, again.flow_id) == ("queued", held.flow.id)
        assert [row.key for row in await at.store.steps_of(held.flow.id)] == ["plan", "build"]
        await at.fail(await at.claim(held.flow.id))
        await at.ask("flow.retry", held.flow.id, fromStep="build")
        assert [row.key for row in await at.store.steps_of(held.flow.id)] == ["plan"]


@asynchronous
async def test_what_cannot_be_retried_says_where_it_stands_and_what_is_possible(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        running = await refused(at, "flow.retry", held.flow.id)
        assert (running.code, running.message) == ("not_now", f"flow {held.flow.id} is running: it cannot be retried")
        assert running.hint == "possible now: cancel"
        await at.write(held, "plan")
        with pytest.raises(NotFound) as unknown:
            await at.ask("flow.retry", held.flow.id, fromStep="plam")
        assert (unknown.value.code, unknown.value.hint) == ("unknown_step", "its steps: plan")
        await at.succeed(held)
        done = await refused(at, "flow.retry", held.flow.id)
        assert (done.code, done.hint) == ("not_now", "nothing can be done to it any more")
        cancelled = (await at.program()).flow_id
        await at.ask("flow.cancel", cancelled)
        assert (await refused(at, "flow.retry", cancelled)).code == "flow_ended"
        managed = (await at.managed()).flow_id
        await at.ask("flow.fail", managed, revision=1, error="x")
        assert (await refused(at, "flow.retry", managed)).code == "not_repeatable"


@asynchronous
async def test_a_blocked_flow_goes_on_where_it_stands(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.write(held, "plan")
        waiting = await refused(at, "flow.resume", held.flow.id)
        assert (waiting.code, waiting.hint) == ("not_now", "possible now: cancel")
        blocked = await at.block(held, kind="no_handler", message="nobody here knows it")
        assert (await refused(at, "flow.resume", held.flow.id, revision=1)).code == "conflict"
        resumed = await at.ask("flow.resume", held.flow.id, revision=blocked.revision)
        assert (resumed.status, resumed.blocker) == ("queued", None)
        assert [row.key for row in (await at.claim(held.flow.id)).steps] == ["plan"]
        with pytest.raises(BadInput, match="managed"):
            await at.ask("flow.resume", held.flow.id, state={"a": 1})


@asynchronous
async def test_a_waiting_flow_is_not_resumed_and_the_answer_says_what_it_waits_for(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.park(held, {"for": "signal", "name": "go", "step": "go"})
        answer = await refused(at, "flow.resume", held.flow.id)
        assert answer.message == f"flow {held.flow.id} is waiting: it cannot be resumed (it waits for signal 'go')"


@asynchronous
async def test_a_flow_that_waits_for_a_task_which_is_gone_is_taken_up_by_naming_the_step(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.write(held, "plan")
        await at.write(held, "build", kind=StepKind.RUN, status="running", ended_at=None, ref="t0gone")
        await at.park(held, {"for": "task", "ref": "t0gone"})
        assert (await refused(at, "flow.retry", held.flow.id)).code == "not_now"
        again = await at.ask("flow.retry", held.flow.id, fromStep="build")
        assert again.status == "queued"
        assert [row.key for row in await at.store.steps_of(held.flow.id)] == ["plan"]


# ---- forking


@asynchronous
async def test_a_fork_takes_over_what_had_succeeded_before_a_step(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program(args=[1])).flow_id)
        for key in ("plan", "build", "ship"):
            await at.write(held, key)
        await at.succeed(held)
        fork = await at.ask("flow.fork", held.flow.id, fromStep="ship")
        assert (fork.status, fork.handler, fork.flow_id == held.flow.id) == ("queued", PROGRAM, False)
        assert [row.key for row in await at.store.steps_of(fork.flow_id)] == ["plan", "build"]
        assert (await at.store.flow_input(fork.flow_id))["args"] == [1]
        with pytest.raises(NotFound) as unknown:
            await at.ask("flow.fork", held.flow.id, fromStep="soak")
        assert unknown.value.hint == "its steps: plan, build, ship"
        managed = (await at.managed()).flow_id
        assert (await refused(at, "flow.fork", managed, fromStep="x")).code == "not_repeatable"
