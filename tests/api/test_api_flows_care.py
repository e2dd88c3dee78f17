"""Care of flows: what an audit finds and how it is mended, what is forgotten, what `explain` says, mirrors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from flow_world import ALICE, BOB, flow_world

from outlast.core.errors import NotFound
from outlast.core.findings import KINDS, Code
from outlast.core.flow import FILE_HANDLER, StepKind

DAY = 86_400.0


async def findings(at: Any, **fields: Any) -> list[Any]:
    """Return what is found about flows."""
    found = await at.ask("tasks.audit", **fields)
    return [one for one in found.findings if one.flow_id is not None]


async def codes(at: Any, **fields: Any) -> list[str]:
    return [one.code for one in await findings(at, **fields)]


# ---- audit


@asynchronous
async def test_a_wait_that_nothing_ends_by_itself_is_found_after_a_day_and_a_signal_mends_it(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program(label="nightly")).flow_id)
        await at.open_step(held, "go", StepKind.SIGNAL)
        await at.park(held, {"for": "signal", "name": "go", "step": "go"})
        timed = await at.claim((await at.program()).flow_id)
        await at.park(timed, {"for": "sleep", "step": "soak"}, ready_at=at.clock.now() + 40 * DAY)
        at.clock.at += DAY
        assert await codes(at) == []
        at.clock.at += 1
        [found] = await findings(at)
        assert (found.code, found.severity, found.flow_id, found.subject) == (
            "stale_waiting", "warn", held.flow.id, "nightly",
        )  # fmt: skip
        assert found.age_seconds == DAY + 1
        assert found.fix.startswith(f"outlast flow show {held.flow.id}")
        shown = await at.ask("flow.show", held.flow.id)
        assert shown.waits_for[0].command == f"outlast flow signal {held.flow.id} go"
        await at.ask("flow.signal", held.flow.id, name_="go")
        assert await codes(at) == []


@asynchronous
async def test_a_blocked_flow_is_found_after_an_hour_and_resuming_mends_it(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.block(held, kind="crashed", message="5 workers died")
        managed = await at.managed()
        await at.ask("flow.set-waiting", managed.flow_id, revision=1, blocked="no budget")
        at.clock.at += 3600
        assert await codes(at) == []
        at.clock.at += 1
        found = {one.flow_id: one for one in await findings(at)}
        assert [one.code for one in found.values()] == ["stale_blocked"] * 2
        assert found[held.flow.id].fix.endswith(f"outlast flow resume {held.flow.id}")
        assert found[managed.flow_id].fix.endswith(f"outlast flow resume {managed.flow_id} --revision 2")
        await at.ask("flow.resume", held.flow.id)
        await at.ask("flow.resume", managed.flow_id, revision=2)
        assert await codes(at) == []


@asynchronous
async def test_a_cancel_that_leads_nowhere_is_found_after_ten_minutes_and_force_mends_it(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.ask("flow.cancel", held.flow.id, timeoutMs=0)
        at.clock.at += 600
        assert Code.CANCEL_STUCK not in await codes(at)
        at.clock.at += 1
        [found] = [one for one in await findings(at) if one.code == "cancel_stuck"]
        assert (found.severity, found.age_seconds) == ("error", 601.0)
        assert found.fix.endswith(f"outlast flow cancel {held.flow.id} --force")
        await at.ask("flow.cancel", held.flow.id, force=True)
        assert await codes(at) == []


@asynchronous
async def test_a_step_whose_task_is_gone_is_found_at_once_and_retrying_from_it_mends_it(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.write(held, "say it", kind=StepKind.RUN, status="running", ended_at=None, ref="t0gone")
        await at.park(held, {"for": "task", "ref": "t0gone"})
        [found] = await findings(at)
        assert (found.code, found.fix) == ("missing_linked_tasks", f"outlast flow retry {held.flow.id} --from 'say it'")
        assert "t0gone" in found.message
        await at.ask("flow.retry", held.flow.id, fromStep="say it")
        assert await codes(at) == []


@asynchronous
async def test_a_flow_nobody_takes_is_found_after_a_minute_and_its_mend_names_the_program(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        program = await at.program()
        file = await at.ask("flow.start", file={"text": "steps:\n  - id: a\n    run: x\n", "name": "x.yaml"})
        later = await at.program(delaySeconds=3600)
        at.clock.at += 60
        assert await codes(at) == []
        at.clock.at += 1
        found = {one.flow_id: one for one in await findings(at)}
        assert set(found) == {program.flow_id, file.flow_id}
        assert found[program.flow_id].fix == (
            f"outlast flow worker release.mod; or: outlast flow cancel {program.flow_id}"
        )
        assert found[file.flow_id].fix.startswith("outlast gateway restart")
        await at.claim(program.flow_id)
        await at.claim(file.flow_id, FILE_HANDLER)
        assert await codes(at) == []
        assert later.not_before_at is not None


@asynchronous
async def test_each_sees_the_findings_about_his_own(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.program(caller=ALICE)
        at.clock.at += 61
        assert await codes(at, caller=ALICE) == ["no_worker"]
        assert await codes(at, caller=BOB) == []
        found = await at.ask("tasks.audit", code="no_worker")
        assert (len(found.findings), found.counts["error"]) == (1, 1)


def test_every_kind_of_finding_about_flows_names_a_command() -> None:
    for code in (Code.STALE_WAITING, Code.STALE_BLOCKED, Code.CANCEL_STUCK, Code.MISSING_LINKED_TASKS):
        assert KINDS[code].fix.startswith("outlast flow ")


# ---- forgetting


@asynchronous
async def test_flows_that_ended_long_ago_are_archived_and_forgotten(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program(notify="silent")).flow_id)
        await at.write(held, "plan", result='"a"')
        await at.ask("flow.signal", held.flow.id, name_="go", payload=1)
        await at.succeed(held)
        live = (await at.managed()).flow_id
        at.clock.at += 8 * DAY
        dry = await at.ask("tasks.maintenance")
        assert (dry.flows_prunable, dry.flows_pruned) == (1, 0)
        archive = tmp_path / "old.jsonl"
        done = await at.ask("tasks.maintenance", apply=True, archive=str(archive))
        assert (done.flows_pruned, done.flows_prunable, done.archived, done.more) == (1, 0, 1, False)
        [line] = [json.loads(line) for line in archive.read_text().splitlines()]
        assert (line["flow"]["id"], [step["key"] for step in line["steps"]]) == (held.flow.id, ["plan"])
        assert [event["verb"] for event in line["events"]] == ["create", "claim", "signal", "succeed"]
        assert [signal["payload"] for signal in line["signals"]] == ["1"]
        with pytest.raises(NotFound):
            await at.ask("flow.show", held.flow.id)
        assert (await at.ask("flow.show", live)).status == "running"


@asynchronous
async def test_a_flow_of_which_somebody_is_still_to_be_told_is_kept(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program(caller=ALICE)).flow_id)
        at.store.failing["deliver_to_conversation"] = RuntimeError("not now")
        await at.succeed(held)
        at.clock.at += 8 * DAY
        assert (await at.ask("tasks.maintenance", apply=True)).flows_pruned == 0
        assert (await at.ask("flow.show", held.flow.id)).delivery == "pending"


# ---- explaining


@asynchronous
async def test_a_flow_is_explained_in_five_lines(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program(label="nightly", conversation="agent:a:main", retries=2)).flow_id)
        at.clock.at += 65
        running = await at.ask("explain", held.flow.id[:12])
        assert (running.kind, running.rung, running.layer, running.id) == ("flow", 4, "flows", held.flow.id)
        assert running.lines[0] == f"flow {held.flow.id} (nightly) is running, for 1m 05s, attempt 1 of 3"
        assert running.told == "agent:a:main when it ends or is blocked"
        assert (running.next, running.survives.reboot) == (f"outlast flow watch {held.flow.id}", True)
        await at.park(held, {"for": "signal", "name": "go", "step": "go"})
        assert "is waiting (signal 'go')" in (await at.ask("explain", held.flow.id)).lines[0]
        managed = await at.managed()
        await at.ask("flow.set-waiting", managed.flow_id, revision=1, blocked="no budget")
        blocked = await at.ask("explain", managed.flow_id)
        assert blocked.next == f"outlast flow resume {managed.flow_id} --revision 2"
        await at.ask("flow.fail", managed.flow_id, revision=2, error="x")
        ended = await at.ask("explain", managed.flow_id)
        assert ended.lines[4] == "next: nothing to do, it has ended"
        for each in (running, blocked, ended):
            assert len(each.lines) == 5
        with pytest.raises(NotFound, match="no task, flow or session"):
            await at.ask("explain", "f0nothing", caller=BOB)


# ---- mirrors


@asynchronous
async def test_reported_work_may_have_a_flow_that_follows_it(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        task = await at.ask("tasks.report-start", label="train", mirror=True, dedupeKey="k")
        again = await at.ask("tasks.report-start", label="train", mirror=True, dedupeKey="k")
        assert (again.existing, again.flow_id) == (True, task.flow_id)
        [flow] = (await at.ask("flow.list")).flows
        assert (flow.mode, flow.name, flow.task_id, flow.status) == ("mirrored", "train", task.task_id, "running")
        await at.ask("tasks.report", task.task_id, done=True, status="timed_out")
        ended = await at.ask("flow.show", flow.flow_id)
        assert (ended.status, ended.notify) == ("failed", "silent")
        other = await at.ask("tasks.report-start", label="second", mirror=True)
        cancelled = await at.ask("flow.cancel", other.flow_id)
        assert (cancelled.status, (await at.task(other.task_id)).status) == ("cancelled", "cancelled")
        assert (await at.ask("tasks.report-start", label="third")).flow_id is None


# ---- at a glance


@asynchronous
async def test_the_status_counts_live_flows_each_for_who_asks(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.program()
        held = await at.claim((await at.program(caller=ALICE)).flow_id)
        await at.block(held, kind="crashed", message="x")
        await at.ask("flow.finish", (await at.managed()).flow_id, revision=1)
        everything = (await at.ask("status")).flows
        assert (everything.queued + everything.running, everything.waiting, everything.blocked) == (1, 0, 1)
        own = (await at.ask("status", caller=ALICE)).flows
        assert (own.queued, own.running, own.blocked) == (0, 0, 1)
