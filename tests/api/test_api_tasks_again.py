"""Doing ended work again, and work that runs elsewhere and reports in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from api_ledger import ledger_world

from outlast.api.context import Caller
from outlast.core.errors import BadInput, Conflict, OutlastError
from outlast.core.session import Status

ANN = Caller("agent:ann:main", operator=False)

# ---- again


@asynchronous
async def test_ended_work_is_done_again_as_it_was_asked_for(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        asked: dict[str, Any] = {
            "command": "make", "workdir": str(tmp_path), "env": {"MODE": "fast"}, "pty": True, "cols": 99, "rows": 9,
            "timeoutSeconds": 60, "idleTimeoutSeconds": 30, "graceSeconds": 2, "leftovers": "kill",
            "labels": ["nightly", "b"], "title": "Build", "queue": "slow", "priority": 3, "retries": 2,
            "retryDelaySeconds": 7, "retryDelayMaxSeconds": 70, "notify": "failures_only", "conversation": "c",
        }  # fmt: skip
        first = await at.run(**asked)
        await at.ask("tasks.cancel", first.task_id)
        again = await at.ask("tasks.retry", first.task_id, callerEnv={"PATH": "/bin", "NEW": "1"})
        await at.settle()
        assert (again.source, again.existing) == ("retry", False) and again.task_id != first.task_id
        same = ("command", "workdir", "label", "title", "queue", "priority", "attempts_max", "notify", "conversation")
        assert {name: getattr(again, name) for name in same} == {name: getattr(first, name) for name in same}
        one, two = await at.task(first.task_id), await at.task(again.task_id)
        assert (two.ask, two.retry) == (one.ask, one.retry)
        spec = (await at.session_of(again.task_id)).spec
        assert (spec.pty, spec.cols, spec.rows, spec.timeout_seconds, spec.idle_timeout_seconds) == (
            True,
            99,
            9,
            60,
            30,
        )
        assert (spec.grace_seconds, spec.leftovers, spec.labels) == (2, "kill", ("nightly", "b"))
        assert (spec.env["MODE"], spec.env["NEW"]) == ("fast", "1")
        events = await at.store.events_of(again.task_id)
        assert [event.data for event in events if event.verb == "retry_of"] == [{"taskId": first.task_id}]


@asynchronous
async def test_a_program_with_arguments_is_done_again_as_one(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        first = await at.ask("exec", argv=["printf", "%s\n", "a b"], detach=True)
        await at.end(first.task_id)
        again = await at.ask("tasks.retry", first.task_id)
        assert (await at.session_of(again.task_id)).spec.argv == ("printf", "%s\n", "a b")


@pytest.mark.parametrize("fields", [{"command": "make", "pty": True}, {"argv": ["printf", "%s", "a b"]}])
@asynchronous
async def test_a_command_that_outlived_its_call_is_done_again_as_it_was(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with ledger_world(tmp_path) as at:
        result = await at.ask("exec", **fields, background=True, timeoutSeconds=50)
        first = at.sessions.all[result.session_id]
        first.ends(1)
        await at.settle()
        again = await at.ask("tasks.retry", "t" + first.id[1:])
        spec = (await at.session_of(again.task_id)).spec
        assert (spec.argv, spec.command, spec.pty) == (first.spec.argv, first.spec.command, first.spec.pty)
        assert spec.timeout_seconds == 50


@pytest.mark.parametrize(
    "fields",
    [
        {"command": "deploy --token abcdefghijklmnop"},
        {"command": "make", "env": {"API_TOKEN": "abcdefghijklmnop"}},
        {"command": "cat", "stdin": {"text": "hello"}},
        {"argv": ["curl", "https://me:hunter2hunter2@example.com"]},
    ],
)
@asynchronous
async def test_what_was_not_kept_is_not_repeated_without_it(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with ledger_world(tmp_path) as at:
        first = await at.ask("exec", **fields, detach=True)
        await at.end(first.task_id)
        with pytest.raises(Conflict) as caught:
            await at.ask("tasks.retry", first.task_id)
        assert caught.value.code == "secrets_not_kept"
        assert len(at.sessions.all) == 1


@asynchronous
async def test_what_runs_elsewhere_is_not_repeated_here(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start", command="make")
        await at.ask("tasks.report", made.task_id, done=True)
        with pytest.raises(Conflict) as caught:
            await at.ask("tasks.retry", made.task_id)
        assert caught.value.code == "not_repeatable"


@asynchronous
async def test_what_has_not_ended_is_not_repeated(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        first = await at.run()
        with pytest.raises(Conflict) as caught:
            await at.ask("tasks.retry", first.task_id)
        assert caught.value.code == "not_ended"


@asynchronous
async def test_the_operator_repeats_work_in_the_name_of_who_asked_for_it(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        first = await at.run(caller=ANN)
        await at.end(first.task_id)
        assert (await at.ask("tasks.retry", first.task_id)).requester == ANN.requester


@asynchronous
async def test_work_whose_parent_was_forgotten_is_repeated_without_it(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        parent = await at.run("parent", notify="silent")
        child = await at.run("child", parentId=parent.task_id)
        await at.end(parent.task_id)
        await at.end(child.task_id)
        assert (await at.ask("tasks.retry", child.task_id)).parent_id == parent.task_id
        await at.store.prune([parent.task_id])
        assert (await at.ask("tasks.retry", child.task_id)).parent_id is None


@asynchronous
async def test_a_strangers_environment_is_not_taken_for_a_repeat(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        remote = Caller("remote", operator=False, remote=True)
        first = await at.run(caller=remote)
        await at.end(first.task_id)
        with pytest.raises(OutlastError) as caught:
            await at.ask("tasks.retry", first.task_id, caller=remote, callerEnv={"LD_PRELOAD": "x"})
        assert caught.value.code == "env_refused"


# ---- reports


@asynchronous
async def test_outside_work_reports_in_from_beginning_to_end(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask(
            "tasks.report-start", caller=ANN, label="ci", title="CI run", command="make test", kind="ci", runId="ci/7",
            conversation="agent:coder:with:agent:ann:main",
        )  # fmt: skip
        assert (made.status, made.runtime, made.kind, made.session_id) == ("running", "external", "ci", "ci/7")
        assert (made.command, made.notify, made.queue) == ("make test", "done_only", "external")
        at.clock.at += 5
        moved = await at.ask("tasks.report", "ci/7", caller=ANN, progress=40, message="testing")
        assert (moved.progress, moved.progress_message) == (40, "testing")
        assert moved.last_seen_at == "2027-01-15T08:00:05.000Z"
        at.clock.at += 5
        ended = await at.ask("tasks.report", "ci/7", caller=ANN, done=True, summary="all green")
        assert (ended.status, ended.cause, ended.summary) == ("succeeded", "reported", "all green")
        assert ended.duration_ms == 10_000
        assert await at.verbs(made.task_id) == ["create", "claim", "progress", "succeed"]


@pytest.mark.parametrize(
    ("fields", "status", "cause", "code"),
    [
        ({}, "succeeded", "reported", None),
        ({"exitCode": 0}, "succeeded", "exit", 0),
        ({"exitCode": 3}, "failed", "exit", 3),
        ({"error": "broken"}, "failed", "reported", None),
        ({"status": "cancelled"}, "cancelled", "reported", None),
        ({"status": "timed_out", "exitCode": 124}, "timed_out", "reported", 124),
        ({"status": "succeeded", "exitCode": 1}, "succeeded", "reported", 1),
    ],
)
@asynchronous
async def test_how_outside_work_ended_is_what_it_says(
    tmp_path: Path, fields: dict[str, Any], status: str, cause: str, code: int | None
) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start")
        ended = await at.ask("tasks.report", made.task_id, done=True, **fields)
        assert (ended.status, ended.cause, ended.exit_code) == (status, cause, code)


@asynchronous
async def test_a_report_that_comes_too_late_is_a_line_of_history(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start")
        await at.ask("tasks.report", made.task_id, done=True)
        again = await at.ask("tasks.report", made.task_id, done=True, status="failed")
        more = await at.ask("tasks.report", made.task_id, progress=99)
        assert (again.status, again.late, more.late, more.progress) == ("succeeded", True, True, None)
        assert await at.verbs(made.task_id) == ["create", "claim", "succeed", "late", "late"]


@asynchronous
async def test_a_command_reports_its_progress_but_not_its_end(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        assert (await at.ask("tasks.report", task.task_id, progress=40)).progress == 40
        with pytest.raises(Conflict) as caught:
            await at.ask("tasks.report", task.task_id, done=True)
        assert caught.value.code == "not_external"
        assert (await at.end(task.task_id)).status is Status.SUCCEEDED


@pytest.mark.parametrize("fields", [{}, {"status": "failed"}, {"exitCode": 1, "progress": 3}, {"message": ""}])
@asynchronous
async def test_a_report_that_says_nothing_sound_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start")
        with pytest.raises(BadInput):
            await at.ask("tasks.report", made.task_id, **fields)
        assert await at.verbs(made.task_id) == ["create", "claim"]


@asynchronous
async def test_outside_work_with_the_same_key_is_one(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        first = await at.ask("tasks.report-start", dedupeKey="nightly")
        second = await at.ask("tasks.report-start", dedupeKey="nightly")
        other = await at.ask("tasks.report-start", dedupeKey="nightly", caller=ANN)
        assert (second.task_id, second.existing, other.existing) == (first.task_id, True, False)


@asynchronous
async def test_outside_work_that_misses_its_deadline_is_timed_out(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start", deadlineSeconds=60)
        await at.settle()
        await at.clock.advance(61)
        stands = await at.ask("tasks.show", made.task_id)
        assert (stands.status, stands.cause) == ("timed_out", "deadline")


@asynchronous
async def test_outside_work_survives_a_restart_untouched(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start", runId="ci/7")
        before = await at.verbs(made.task_id)
        await at.restart()
        assert await at.verbs(made.task_id) == before
        assert (await at.ask("tasks.report", "ci/7", done=True)).status == "succeeded"
