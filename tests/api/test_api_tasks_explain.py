"""Explaining: five lines on where work stands, what it survives and who hears of it, for every kind of work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agent_world import agent_world
from api_fakes import asynchronous
from api_ledger import ledger_world

from outlast.core.errors import GatewayTrouble, NotFound
from outlast.core.task import NotifyPolicy
from watched_store import trouble


async def explained(at: Any, name: str) -> Any:
    """Explain something; there are always five lines, none of them empty."""
    result = await at.ask("explain", name)
    assert len(result.lines) == 5 and all(result.lines)
    assert result.lines[1].startswith(f"rung {result.rung} of 4, {result.layer}: ")
    assert result.lines[3] in (f"told: {result.told}", f"told: nobody; whoever asks: outlast process wait {name}")
    return result


@asynchronous
async def test_a_detached_command_stands_on_the_third_rung(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make\n  everything", retries=2, conversation="agent:a:main")
        at.clock.at += 65
        await at.ask("tasks.report", task.task_id, progress=40)
        result = await explained(at, task.task_id)
        assert (result.kind, result.rung, result.layer, result.id) == ("task", 3, "tasks", task.task_id)
        assert result.lines[0] == (
            f"task {task.task_id} (make everything) is running, for 1m 05s, attempt 1 of 3, 40 % done"
        )
        assert (result.survives.terminal, result.survives.gateway_restart, result.survives.reboot) == (
            True,
            True,
            False,
        )
        assert "host_restart" in result.lines[2]
        assert result.told == "agent:a:main when it ends"
        assert (result.next, result.lines[4]) == (None, "up a rung: not needed, a single piece of work needs no flow")


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("done_only", "local when it ends"),
        ("state_changes", "local of every change"),
        ("failures_only", "local only if it fails"),
        ("silent", "nobody (policy silent)"),
    ],
)
@asynchronous
async def test_who_is_told_follows_the_policy(tmp_path: Path, policy: str, told: str) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run(notify=policy)
        result = await explained(at, task.task_id)
        assert result.told == told
        up = f"outlast tasks notify {task.task_id} done_only" if policy == "silent" else None
        assert result.next == up


@asynchronous
async def test_queued_work_survives_a_reboot(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1", label="nightly")
        result = await explained(at, "t1")
        assert result.lines[0] == "task t1 (nightly) is queued"
        assert (result.survives.reboot, result.lines[2].startswith("survives:")) == (True, True)


@asynchronous
async def test_ended_work_says_how_it_ended_and_whether_that_was_told(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run(title="Build")
        at.clock.at += 3
        await at.end(task.task_id, 3)
        result = await explained(at, task.task_id)
        assert result.lines[0] == f"task {task.task_id} (Build) is failed, cause exit, after 3 s"
        assert result.told == "local when it ends; delivery: pending"
        assert (result.next, result.lines[4]) == (None, "up a rung: nothing to do, it has ended")
        assert result.survives.reboot


@asynchronous
async def test_outside_work_survives_here_whatever_happens(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start", label="ci")
        result = await explained(at, made.task_id)
        assert result.survives.reboot and "runs elsewhere" in result.lines[2]


@asynchronous
async def test_a_command_that_outlived_its_call_stands_on_the_second_rung(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        session = await at.session(command="make")
        await at.settle()
        result = await explained(at, session.id)
        assert (result.kind, result.rung, result.layer) == ("task", 2, "process")
        assert "because it outlived its call" in result.lines[1]
        assert result.next == f"outlast tasks notify {result.id} done_only"
        await at.ask("tasks.notify", result.id, policy="done_only")
        assert (await explained(at, result.id)).rung == 3


@asynchronous
async def test_a_step_of_a_flow_stands_on_the_fourth_rung(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1", flow_id="f1", notify=NotifyPolicy.SILENT)
        result = await explained(at, "t1")
        assert (result.rung, result.layer) == (4, "flows")


@asynchronous
async def test_a_command_somebody_stays_with_stands_on_the_first_rung(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        result = await at.ask("exec", command="make", follow=True, yieldMs=0)
        at.clock.at += 2
        shown = await explained(at, result.session_id)
        assert (shown.kind, shown.rung, shown.layer) == ("session", 1, "exec")
        assert shown.lines[0] == f"session {result.session_id} (make) is running, for 2 s"
        assert shown.next == "outlast run -- make"
        other = await at.ask("exec", command="make && ls *", follow=True, yieldMs=0)
        assert (await explained(at, other.session_id)).next == "outlast run -- 'make && ls *'"
        program = await at.ask("exec", argv=["printf", "a b"], follow=True, yieldMs=0)
        assert (await explained(at, program.session_id)).next == "outlast run -- printf 'a b'"
        assert shown.survives.gateway_restart and not shown.survives.reboot


@asynchronous
async def test_a_session_that_ended_in_its_call_is_on_no_record(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        at.sessions.on_start = lambda session: session.ends(0)
        result = await at.ask("exec", command="true")
        shown = await explained(at, result.session_id)
        assert (shown.kind, shown.rung, shown.told, shown.next) == ("session", 2, "nobody", None)
        assert shown.lines[4] == "up a rung: nothing to do, it has ended"


@asynchronous
async def test_a_long_command_is_cut_and_a_secret_in_it_not_shown(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("deploy --password hunter2hunter2 " + "x" * 100)
        result = await explained(at, task.task_id)
        assert "hunter2" not in str(result) and "…)" in result.lines[0]


@asynchronous
async def test_without_the_ledger_sessions_are_still_explained(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        session = await at.session()
        await at.settle()
        at.store.failing["find_tasks"] = trouble()
        assert (await explained(at, session.id)).kind == "session"
        with pytest.raises(GatewayTrouble):
            await at.ask("explain", "t1")
        at.store.failing.clear()
        with pytest.raises(NotFound):
            await at.ask("explain", "nothing")


@asynchronous
async def test_of_an_agent_whoever_asked_is_told_and_a_flow_that_only_follows_it_is_no_rung(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        spawned = await at.ask("subagents.spawn", agent="coder", task="look", as_="agent:main:main")
        await at.settle()
        assert (await at.task(spawned.task_id)).flow_id is not None
        result = await explained(at, spawned.task_id)
        assert (result.rung, result.told) == (3, "agent:main:main when it ends")
        await at.ask(
            "cron.add", name_="c", every="1h", agent="quick", message="x", conversation="me", deliver="announce"
        )
        fired = await at.ask("cron.run", "c")
        assert (await explained(at, fired.task_id)).told == "me when it ends"
