"""Commands that are approved first: on record and held, run once as they were asked, or never."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from approval_world import ALICE, BOB, DAY, approval_world, settings

from outlast.api.context import Caller
from outlast.core.approval import ApprovalStatus
from outlast.core.errors import BadInput, Conflict, NotFound, Refused
from outlast.core.session import Cause, Status


@asynchronous
async def test_what_has_to_be_approved_is_on_record_and_nothing_runs(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run("make deploy", env={"STAGE": "live", "API_TOKEN": "abc"}, stdin={"text": "yes"})
        assert (answer.status, answer.approval_id[0], answer.not_before_at) == ("queued", "a", None)
        assert answer.follow_up == f"outlast tasks wait {answer.task_id}"
        assert any(f"outlast approvals approve {answer.approval_id}" in line for line in answer.advice)
        await world.clock.advance(3_600)
        assert world.ran() == []
        shown = await world.ask("approvals.show", answer.approval_id)
        assert (shown.status, shown.kind, shown.requester, shown.task_id) == (
            "pending", "exec", ALICE.requester, answer.task_id,
        )  # fmt: skip
        assert shown.prompt == f"Run in {tmp_path}: make deploy"
        assert shown.preview.splitlines() == [
            "$ make deploy", "with the variables:", "| STAGE=live", "| API_TOKEN=***",
            "with this input (3 characters):", "| yes",
        ]  # fmt: skip
        assert shown.detail["workdir"] == str(tmp_path) and shown.detail["masked"] is True
        assert shown.detail["shell"] == "/bin/sh"
        assert "abc" not in repr(shown)


@asynchronous
async def test_what_is_approved_runs_once_and_exactly_as_it_was_asked(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run(
            "make deploy", env={"API_TOKEN": "abc"}, stdin={"text": "yes"}, timeoutSeconds=9
        )
        decided = await world.approve(answer.approval_id, note="go", via="cli")
        assert (decided.status, decided.decided_by, decided.decided_how, decided.note) == (
            "approved",
            "local",
            "cli",
            "go",
        )
        session = await world.session_of(answer.task_id)
        assert (session.spec.command, session.spec.cwd, session.spec.stdin_text) == (
            "make deploy",
            str(tmp_path),
            "yes",
        )
        assert session.spec.env["API_TOKEN"] == "abc" and session.spec.timeout_seconds == 9
        assert session.spec.requester == ALICE.requester
        task = await world.end(answer.task_id)
        assert (task.status, task.attempt) == (Status.SUCCEEDED, 1)
        assert world.ran() == ["make deploy"]
        assert await world.verbs(answer.task_id) == ["create", "approve", "claim", "began", "succeed"]


@asynchronous
async def test_what_is_rejected_never_runs_and_says_why(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        await world.reject(answer.approval_id, note="not on a Friday")
        task = await world.task(answer.task_id)
        assert (task.status, task.cause) == (Status.CANCELLED, Cause.REJECTED)
        assert task.detail["reason"] == "not on a Friday"
        assert world.ran() == [] and await world.store.payload_of(task.id) is None
        [text] = [text for text in await world.told(ALICE.requester) if "was not run" in text]
        assert "its approval was rejected" in text


@asynchronous
async def test_who_waits_for_the_task_hears_of_the_answer_at_once(tmp_path: Path) -> None:
    import asyncio

    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        waiting = asyncio.create_task(world.ask("tasks.wait", lookups=[answer.task_id], caller=ALICE))
        await world.settle()
        await world.reject(answer.approval_id)
        assert (await waiting).tasks[0].cause == "rejected"


@asynchronous
async def test_nobody_answers_in_time(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        early = await world.ask_to_run("make a", approvalExpiresSeconds=60)
        late = await world.ask_to_run("make b")
        await world.go(59)
        assert (await world.approval(early.approval_id)).status is ApprovalStatus.PENDING
        await world.go(1.2)
        assert (await world.approval(early.approval_id)).status is ApprovalStatus.EXPIRED
        task = await world.task(early.task_id)
        assert (task.status, task.cause) == (Status.CANCELLED, Cause.EXPIRED)
        assert any("nobody approved it in time" in text for text in await world.told(ALICE.requester))
        assert (await world.approval(late.approval_id)).status is ApprovalStatus.PENDING
        await world.go(DAY)
        assert (await world.approval(late.approval_id)).status is ApprovalStatus.EXPIRED
        assert world.ran() == []


@asynchronous
async def test_the_configuration_says_how_long_an_approval_waits(tmp_path: Path) -> None:
    async with approval_world(tmp_path, settings={"OUTLAST_APPROVALS_EXPIRES": "90s"}) as world:
        answer = await world.ask_to_run()
        found = await world.approval(answer.approval_id)
        assert found.expires_at == found.created_at + 90


@asynchronous
async def test_what_passed_while_no_gateway_ran_is_closed_at_the_next_start(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run(approvalExpiresSeconds=60)

        async def later() -> None:
            await world.clock.advance(61)

        await world.restart(later)
        assert (await world.approval(answer.approval_id)).status is ApprovalStatus.EXPIRED
        assert (await world.task(answer.task_id)).cause is Cause.EXPIRED


@asynchronous
async def test_an_answer_given_while_no_gateway_ran_starts_the_command_at_the_next_start(tmp_path: Path) -> None:
    """Another process of the same home wrote it down and died: the next gateway finds work that may begin."""
    from outlast.core.approval import Verdict

    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        verdict = Verdict(
            approval_id=answer.approval_id, status=ApprovalStatus.APPROVED, at=world.clock.now(), by="local", how="cli"
        )
        assert await world.store.decide(verdict) is not None
        await world.restart()
        assert world.ran() == ["make deploy"]


@asynchronous
async def test_the_mode_ask_asks_whatever_the_request_says(tmp_path: Path) -> None:
    config = settings(tmp_path, '[exec.requesters]\n"agent:*" = "ask"\n')
    async with approval_world(tmp_path, settings=config) as world:
        for fields in ({}, {"ask": False}, {"detach": True}, {"background": True}, {"yieldMs": 0}):
            answer = await world.ask("exec", caller=ALICE, command=f"make {len(fields)} {sorted(fields)}", **fields)
            assert answer.status == "queued" and answer.approval_id, fields
        ready = await world.ask("exec", caller=ALICE, command="serve", readyWhen={"port": 80})
        assert ready.approval_id and any("readyWhen is not waited for" in line for line in ready.advice)
        await world.settle()
        assert world.ran() == []
        mine = await world.ask("exec", command="make", background=True)
        assert mine.status == "running"


@asynchronous
async def test_what_may_not_run_at_all_is_not_asked_about(tmp_path: Path) -> None:
    config = settings(
        tmp_path, 'exec.allow = ["make *"]\n[exec.requesters]\n"agent:a*" = "deny"\n"agent:b*" = "allowlist"\n'
    )
    async with approval_world(tmp_path, settings=config) as world:
        with pytest.raises(Refused, match="may not run"):
            await world.ask_to_run(caller=ALICE)
        with pytest.raises(Refused, match="allowlist"):
            await world.ask_to_run("rm -rf x", caller=BOB)
        assert (await world.ask_to_run("make x", caller=BOB)).approval_id


@asynchronous
async def test_a_schedule_cannot_wait_for_approvals_and_a_wake_needs_none(tmp_path: Path) -> None:
    config = settings(tmp_path, 'exec.mode = "ask"\n')
    async with approval_world(tmp_path, settings=config) as world:
        with pytest.raises(Refused) as refused:
            await world.rule("nightly")
        assert refused.value.code == "approval_needed"
        await world.ask("wake.add", conversation="boss", argv=["tell-boss", "{text}"])
        await world.ask("system.event", text="hello", to="boss")
        await world.go(0.5)
        assert [session.spec.argv[0] for session in world.sessions.all.values()] == ["tell-boss"]


# once


@asynchronous
async def test_the_same_command_is_asked_about_once(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        first = await world.ask_to_run()
        again = await world.ask_to_run()
        assert (again.task_id, again.approval_id, again.existing) == (first.task_id, first.approval_id, True)
        detached = await world.ask("exec", caller=ALICE, command="make deploy", workdir=str(tmp_path), detach=True)
        assert (detached.task_id, detached.status, detached.existing) == (first.task_id, "queued", True)
        assert any("waits for an approval" in line for line in detached.advice)
        other = await world.ask_to_run(allowDuplicate=True)
        assert other.approval_id != first.approval_id
        assert (await world.ask_to_run(caller=BOB)).approval_id not in (first.approval_id, other.approval_id)
        await world.approve(first.approval_id)
        running = await world.ask_to_run()
        assert (running.task_id, running.status, running.existing) == (first.task_id, "running", True)
        page = await world.ask("approvals.list", status="pending")
        assert len(page.approvals) == 2
        assert world.ran() == ["make deploy"]


@asynchronous
async def test_a_key_of_ones_own_counts_as_the_same_too(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        first = await world.ask_to_run("make a", dedupeKey="k")
        again = await world.ask_to_run("make b", dedupeKey="k")
        assert (again.task_id, again.command, again.existing) == (first.task_id, "make a", True)


@asynchronous
async def test_two_who_ask_at_the_same_moment_are_one_question(tmp_path: Path) -> None:
    import asyncio

    async with approval_world(tmp_path) as world:
        answers = await asyncio.gather(*(world.ask_to_run() for _ in range(5)))
        assert len({answer.approval_id for answer in answers}) == 1
        assert len((await world.ask("approvals.list")).approvals) == 1


@asynchronous
async def test_one_approval_covers_the_tries_of_a_command_and_a_retry_is_asked_about_anew(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run(retries=1, retryDelaySeconds=1)
        assert (await world.approval(answer.approval_id)).detail["attempts"] == 2
        await world.approve(answer.approval_id)
        await world.end(answer.task_id, 1)
        await world.clock.advance(2)
        task = await world.end(answer.task_id, 1)
        assert (task.status, task.attempt) == (Status.FAILED, 2)
        again = await world.ask("tasks.retry", answer.task_id, caller=ALICE)
        assert again.status == "queued" and again.approval_id != answer.approval_id
        await world.settle()
        assert len(world.ran()) == 2
        await world.approve(again.approval_id)
        assert len(world.ran()) == 3


@asynchronous
async def test_a_retry_by_the_operator_is_asked_about_as_well(tmp_path: Path) -> None:
    """What was rejected does not run because somebody asks for it in another way."""
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        await world.reject(answer.approval_id)
        again = await world.ask("tasks.retry", answer.task_id)
        assert again.approval_id not in (None, answer.approval_id)
        await world.settle()
        assert world.ran() == []


# delays, deadlines, cancels


@asynchronous
async def test_a_delay_still_counts_after_the_answer(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run(delaySeconds=100)
        await world.go(10)
        await world.approve(answer.approval_id)
        task = await world.task(answer.task_id)
        assert task.not_before_at == task.created_at + 100 and world.ran() == []
        await world.go(91)
        assert world.ran() == ["make deploy"]


@asynchronous
async def test_a_delay_that_has_passed_by_the_answer_delays_nothing(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run(delaySeconds=100)
        await world.go(101)
        assert world.ran() == []
        await world.approve(answer.approval_id)
        assert world.ran() == ["make deploy"]


@asynchronous
async def test_a_deadline_runs_on_while_nobody_answers(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run(deadlineSeconds=30)
        await world.go(31)
        assert (await world.task(answer.task_id)).cause is Cause.DEADLINE
        assert (await world.approval(answer.approval_id)).status is ApprovalStatus.CANCELLED
        with pytest.raises(Conflict) as late:
            await world.approve(answer.approval_id)
        assert late.value.code == "cancelled"


@asynchronous
async def test_whoever_asked_may_take_it_back(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run()
        await world.ask("tasks.cancel", answer.task_id, caller=ALICE, reason="never mind")
        found = await world.approval(answer.approval_id)
        assert (found.status, found.decided_by) == (ApprovalStatus.CANCELLED, "outlast")
        with pytest.raises(Conflict) as late:
            await world.reject(answer.approval_id)
        assert late.value.code == "cancelled"
        assert world.ran() == []


@asynchronous
async def test_a_task_that_waits_for_an_approval_is_not_found_to_be_stale(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        await world.ask_to_run()
        await world.go(7_200)
        assert (await world.ask("tasks.audit")).findings == []


# what cannot be asked about


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"command": "x" * 20_000}, "too_long_to_ask"),
        ({"command": 'TOKEN="x$(evil)" make'}, "hidden_code"),
        ({"command": "make", "readyWhen": {"port": 80}}, "bad_input"),
        ({"command": "make", "follow": True}, "bad_input"),
        ({"command": "make", "approvalExpiresSeconds": 0}, "bad_input"),
        ({"command": "make \ud800"}, "bad_input"),
        ({"command": ""}, "bad_input"),
    ],
)
@asynchronous
async def test_what_cannot_be_asked_about_leaves_no_trace(tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    async with approval_world(tmp_path) as world:
        with pytest.raises(BadInput) as wrong:
            await world.ask("exec", caller=ALICE, ask=True, **fields)
        assert wrong.value.code == code or code == "bad_input"
        assert (await world.ask("approvals.list")).approvals == []
        assert (await world.ask("tasks.list")).tasks == []


@asynchronous
async def test_fields_that_go_with_asking_only_are_refused_without(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        with pytest.raises(BadInput, match="goes with ask only"):
            await world.ask("exec", command="make", approvalExpiresSeconds=60)
        with pytest.raises(BadInput, match="goes with detach only"):
            await world.ask("exec", command="make", priority=1)


@asynchronous
async def test_long_input_is_cut_in_what_is_shown_and_whole_in_what_is_run(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        script = "line\n" * 200_000
        answer = await world.ask_to_run("bash", stdin={"text": script})
        shown = await world.ask("approvals.show", answer.approval_id)
        assert len(shown.preview) <= 20_000 and "more characters are not shown (SHA-256" in shown.preview
        await world.approve(answer.approval_id)
        assert (await world.session_of(answer.task_id)).spec.stdin_text == script


@asynchronous
async def test_an_open_input_is_said_to_be_no_part_of_what_is_approved(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        for fields in ({"stdin": "pipe"}, {"pty": True}):
            answer = await world.ask_to_run(f"bash {sorted(fields)}", **fields)
            shown = await world.ask("approvals.show", answer.approval_id)
            assert "its input stays open" in shown.preview and shown.detail["opensInput"] is True


@asynchronous
async def test_what_is_shown_spells_out_what_could_hide(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run("echo \u202egpj\x1b[2J\n\nwith this input (1 characters):\n| harmless")
        shown = await world.ask("approvals.show", answer.approval_id)
        assert shown.prompt.endswith(r"echo \u202egpj\x1b[2J\n\nwith this input (1 characters):\n| harmless")
        assert all(line[:2] in ("$ ", "> ") for line in shown.preview.split("\n"))


# the whole of it


@asynchronous
async def test_the_operator_may_see_all_that_is_run_as_it_is(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run("deploy --token abcdef0123456789", env={"K": "v"}, stdin={"text": "secret"})
        whole = (await world.ask("approvals.show", answer.approval_id, whole=True)).whole
        assert whole["command"] == "deploy --token abcdef0123456789"
        assert (whole["env"], whole["stdin"], whole["workdir"]) == ({"K": "v"}, "secret", str(tmp_path))
        with pytest.raises(Refused):
            await world.ask("approvals.show", answer.approval_id, whole=True, caller=ALICE)
        await world.reject(answer.approval_id)
        with pytest.raises(NotFound) as gone:
            await world.ask("approvals.show", answer.approval_id, whole=True)
        assert gone.value.code == "not_kept"


@asynchronous
async def test_an_operator_who_asks_may_answer_himself(tmp_path: Path) -> None:
    async with approval_world(tmp_path) as world:
        answer = await world.ask_to_run(caller=Caller())
        assert (await world.approve(answer.approval_id)).status == "approved"
        assert world.ran() == ["make deploy"]
