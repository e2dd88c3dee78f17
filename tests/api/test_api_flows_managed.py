"""Managed flows: each move at the revision its controller has seen, by the table of moves, and no other way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from flow_world import ALICE, BOB, flow_world

from outlast.core.errors import BadInput, Conflict, NotFound
from outlast.core.lifecycle import FlowVerb

MOVES: dict[str, dict[str, Any]] = {
    "flow.set-waiting": {"waitFor": "the review"},
    "flow.resume": {},
    "flow.finish": {"result": {"url": "u"}},
    "flow.fail": {"error": "no"},
    "flow.request-cancel": {},
}


async def refused(at: Any, act: str, flow_id: str, **fields: Any) -> Conflict:
    """Ask for what cannot be had; return the answer."""
    with pytest.raises(Conflict) as answer:
        await at.ask(act, flow_id, **fields)
    return answer.value


@asynchronous
async def test_a_controller_drives_a_flow_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed(goal="ship 1.2", state={"stage": "plan"}, label="nightly")
        assert (flow.status, flow.revision, flow.mode, flow.state) == ("running", 1, "managed", {"stage": "plan"})
        task = await at.run("make")
        linked = await at.ask("flow.link", flow.flow_id, revision=1, taskId=task.task_id)
        assert linked.revision == 2
        assert (await at.task(task.task_id)).flow_id == flow.flow_id
        waiting = await at.ask(
            "flow.set-waiting", flow.flow_id, revision=2, waitFor="the review", until="2027-01-16T00:00:00Z",
            state={"stage": "review"}, step="review",
        )  # fmt: skip
        assert (waiting.status, waiting.step, waiting.held_up) == ("waiting", "review", "the review")
        shown = await at.ask("flow.show", flow.flow_id)
        assert shown.waits_for[0].until == "2027-01-16T00:00:00.000Z"
        assert shown.waits_for[0].command == f"outlast flow resume {flow.flow_id} --revision {shown.revision}"
        assert [one.task_id for one in shown.tasks] == [task.task_id]
        await at.end(task.task_id)
        now = (await at.ask("flow.show", flow.flow_id)).revision
        resumed = await at.ask("flow.resume", flow.flow_id, revision=now, step="ship")
        assert (resumed.status, resumed.state, resumed.wait) == ("running", {"stage": "review"}, None)
        ended = await at.ask("flow.finish", flow.flow_id, revision=resumed.revision, result={"url": "u"}, state={})
        assert (ended.status, ended.result, ended.state) == ("succeeded", {"url": "u"}, {})


@asynchronous
async def test_a_stale_revision_is_a_conflict_that_names_the_present_one(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed()
        task = await at.run("make")
        await at.ask("flow.set-waiting", flow.flow_id, revision=1, waitFor="x")
        for act, fields in {**MOVES, "flow.link": {"taskId": task.task_id}}.items():
            answer = await refused(at, act, flow.flow_id, revision=1, **fields)
            assert (answer.code, "at revision 2, not 1" in answer.message) == ("conflict", True), act
            assert (answer.hint or "").endswith("--revision 2")
        with pytest.raises(BadInput, match="revision: is required"):
            await at.ask("flow.resume", flow.flow_id)
        with pytest.raises(BadInput, match="revision: is required"):
            await at.ask("flow.finish", flow.flow_id)


@asynchronous
async def test_of_two_moves_at_the_same_revision_one_is_made(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed()
        at.store.gates["move_flow"] = asyncio.Event()
        both = [
            asyncio.ensure_future(at.ask("flow.set-waiting", flow.flow_id, revision=1, waitFor=word))
            for word in ("one", "two")
        ]
        at.store.gates["move_flow"].set()
        answers = await asyncio.gather(*both, return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "FlowResult"]
        [lost] = [answer for answer in answers if isinstance(answer, Conflict)]
        assert lost.code == "conflict"


@asynchronous
async def test_a_move_the_table_does_not_have_names_what_it_has(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed()
        answer = await refused(at, "flow.resume", flow.flow_id, revision=1)
        assert (answer.code, answer.message) == ("not_now", f"flow {flow.flow_id} is running: it cannot be resumed")
        assert answer.hint == "possible now: cancel, finish, fail, wait"
        await at.ask("flow.set-waiting", flow.flow_id, revision=1, blocked="no budget")
        answer = await refused(at, "flow.finish", flow.flow_id, revision=2)
        assert (answer.code, answer.hint) == ("not_now", "possible now: resume, cancel, fail")


@asynchronous
async def test_a_flow_that_has_ended_is_moved_no_more(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed()
        await at.ask("flow.fail", flow.flow_id, revision=1, error="token=s3cretvalue1 is wrong")
        assert (await at.flow(flow.flow_id)).error == "token=*** is wrong"
        for act, fields in MOVES.items():
            for revision in (1, 2):
                answer = await refused(at, act, flow.flow_id, revision=revision, **fields)
                assert (answer.code, "failed" in answer.message) == ("flow_ended", True), act


@asynchronous
async def test_a_wish_to_cancel_is_sticky_and_ends_the_flow_with_its_last_child(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed()
        task = at.command(flow.flow_id)
        outside = await at.record("t0outside", runtime="external")
        await at.ask("flow.link", flow.flow_id, revision=1, taskId=outside.id)
        held = await at.store.create_task(task)
        assert held.task.flow_id == flow.flow_id
        child = await at.program(parentId=flow.flow_id)
        running = await at.claim(child.flow_id)
        revision = (await at.flow(flow.flow_id)).revision
        wished = await at.ask("flow.request-cancel", flow.flow_id, revision=revision, reason="no need")
        assert (wished.status, wished.cancel_reason) == ("running", "no need")
        now = (await at.flow(flow.flow_id)).revision
        for act in ("flow.set-waiting", "flow.finish"):
            answer = await refused(at, act, flow.flow_id, revision=now, **MOVES[act])
            assert answer.code == "cancelling", act
        other = await at.run("make other")
        answer = await refused(at, "flow.link", flow.flow_id, revision=now, taskId=other.task_id)
        assert answer.code == "cancelling"
        again = await refused(at, "flow.request-cancel", flow.flow_id, revision=now)
        assert again.code == "already_cancelling"
        await at.move(running, FlowVerb.CANCEL)
        assert (await at.flow(flow.flow_id)).status == "cancelled"


@asynchronous
async def test_a_flow_without_live_children_is_cancelled_at_once(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed()
        answer = await at.ask("flow.request-cancel", flow.flow_id, revision=1)
        assert (answer.status, answer.cause) == ("cancelled", "operator")


@asynchronous
async def test_a_flow_takes_no_task_of_another_requester_or_flow(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed(caller=ALICE)
        foreign = await at.run("make", caller=BOB)
        answer = await refused(at, "flow.link", flow.flow_id, revision=1, taskId=foreign.task_id)
        assert (answer.code, BOB.requester in answer.message) == ("foreign_task", True)
        with pytest.raises(NotFound):
            await at.ask("flow.link", flow.flow_id, revision=1, taskId=foreign.task_id, caller=ALICE)
        own = await at.run("make own", caller=ALICE)
        await at.ask("flow.link", flow.flow_id, revision=1, taskId=own.task_id, caller=ALICE)
        second = await at.managed(caller=ALICE)
        answer = await refused(at, "flow.link", second.flow_id, revision=1, taskId=own.task_id, caller=ALICE)
        assert (answer.code, flow.flow_id in answer.message) == ("task_taken", True)
        with pytest.raises(NotFound):
            await at.ask("flow.link", flow.flow_id, revision=2, taskId="t0nothing")


@asynchronous
async def test_a_flow_that_is_run_here_is_not_moved_from_outside(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        program = await at.program()
        task = await at.run("make")
        moves = {name: fields for name, fields in MOVES.items() if name != "flow.resume"}
        for act, fields in {**moves, "flow.link": {"taskId": task.task_id}}.items():
            answer = await refused(at, act, program.flow_id, revision=1, **fields)
            assert answer.code == "not_managed", act


@asynchronous
async def test_what_a_controller_says_is_bounded_and_text(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow = await at.managed()
        for fields in (
            {"waitFor": "x", "blocked": "y"}, {}, {"blocked": "x", "until": "0"}, {"waitFor": "x", "until": "soon"},
            {"waitFor": "x", "state": {"a": "x" * 1_100_000}}, {"waitFor": "x", "state": {"a": "\0"}},
        ):  # fmt: skip
            with pytest.raises(BadInput):
                await at.ask("flow.set-waiting", flow.flow_id, revision=1, **fields)
        for fields in ({"name_": ""}, {"name_": "x", "state": {"a": "\ud800"}}, {"name_": "x", "state": []}):
            with pytest.raises(BadInput):
                await at.ask("flow.create", **fields)
        assert (await at.flow(flow.flow_id)).revision == 1


@asynchronous
async def test_a_live_managed_flow_with_the_same_key_stands_in_for_a_second(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        first, again = await at.managed(dedupeKey="x"), await at.managed(dedupeKey="x")
        assert (again.flow_id, again.existing) == (first.flow_id, True)
