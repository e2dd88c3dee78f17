"""Flows as what schedules do: each instant makes its flow once, and what became of it counts as a task's end does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from flow_world import ALICE, FILE, PROGRAM, flow_world

from outlast.core.errors import BadInput, NotFound, Refused
from outlast.core.flow import FILE_HANDLER
from outlast.core.schedule import FAILURES_MAX

BRIEF = {"text": FILE, "name": "brief.flow.yaml"}


async def flows(at: Any) -> list[Any]:
    """Return all flows, oldest first."""
    await at.settle()
    return list(reversed((await at.ask("flow.list")).flows))


async def minute(at: Any, count: int = 1) -> None:
    """Let instants of a rule come due."""
    for _ in range(count):
        await at.go(60.01)
        await at.settle()


@asynchronous
async def test_each_instant_of_a_file_makes_a_flow_with_its_arguments(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        rule = await at.rule(flowFile=BRIEF, arguments={"tag": "work"}, workdir=str(tmp_path), overlap="allow")
        assert (rule.payload, rule.flow, rule.arguments) == ("flow", "brief.flow.yaml", {"tag": "work"})
        await minute(at, 2)
        first, second = await flows(at)
        assert (first.name, first.handler, first.label, first.mode) == ("brief", FILE_HANDLER, "job", "file")
        assert (first.schedule_id, first.notify) == (rule.schedule_id, "silent")
        given = await at.store.flow_input(second.flow_id)
        assert (given["args"], given["workdir"]) == ({"tag": "work"}, str(tmp_path))
        runs = (await at.ask("cron.runs", "job")).runs
        assert [(run.flow_id, run.task_id, run.how, run.status) for run in runs] == [
            (second.flow_id, None, "fired", "queued"), (first.flow_id, None, "fired", "queued"),
        ]  # fmt: skip


@asynchronous
async def test_the_end_of_a_run_is_told_as_the_rule_says_and_retried_with_its_pauses(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flow=PROGRAM, deliver="announce", conversation="agent:me:main", retries=2, timeoutSeconds=30)
        await minute(at)
        [made] = await flows(at)
        flow = await at.flow(made.flow_id)
        assert (flow.conversation, flow.notify, flow.attempts_max) == ("agent:me:main", "done_only", 3)
        assert flow.retry == {"delaySeconds": 5.0, "delayMaxSeconds": 300.0}
        assert flow.deadline_at == flow.created_at + 30
        await at.fail(await at.claim(flow.id), "no route")
        await at.go(5)
        [told] = await at.store.system_events("agent:me:main", 0, 10)
        assert flow.id in str(told.data)


@asynchronous
async def test_a_rule_with_a_webhook_tells_it_how_the_flow_ended(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flow=PROGRAM, webhook="https://example.com/hook")
        await minute(at)
        flow = await at.flow((await flows(at))[0].flow_id)
        assert flow.channel == "webhook:https://example.com/hook"


@asynchronous
async def test_an_instant_is_left_out_while_the_flow_before_it_has_not_ended(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flow=PROGRAM)
        await minute(at, 2)
        [made] = await flows(at)
        skipped = (await at.ask("cron.runs", "job")).runs[0]
        assert (skipped.how, skipped.note) == ("skipped", f"flow {made.flow_id} of an earlier instant had not ended")
        await at.succeed(await at.claim(made.flow_id))
        await minute(at)
        assert len(await flows(at)) == 2


@asynchronous
async def test_instants_wait_for_each_other_or_end_each_other_as_the_rule_says(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        rule = await at.rule("waits", flow=PROGRAM, overlap="queue")
        await minute(at, 2)
        first, second = await flows(at)
        assert second.held_up == f"a place: at most 1 of 'cron:{rule.schedule_id}' at once"
        await at.succeed(await at.claim(first.flow_id))
        assert (await at.flow(second.flow_id)).ready_at is not None
        await at.ask("cron.remove", "waits")
        await at.ask("flow.cancel", second.flow_id)
        await at.rule("ends", flow=PROGRAM, overlap="cancel")
        await minute(at, 2)
        *_, older, newer = await flows(at)
        assert (older.status, older.cause, newer.status) == ("cancelled", "parent", "queued")


@asynchronous
async def test_work_of_either_kind_counts_as_live_after_a_rule_was_changed(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flow=PROGRAM)
        await minute(at)
        await at.ask("cron.edit", "job", command="make")
        await minute(at)
        assert (await at.ask("cron.runs", "job")).runs[0].how == "skipped"
        await at.succeed(await at.claim((await flows(at))[0].flow_id))
        await minute(at)
        assert (await at.ask("cron.runs", "job")).runs[0].task_id is not None
        await at.ask("cron.edit", "job", flow=PROGRAM)
        await minute(at)
        assert (await at.ask("cron.runs", "job")).runs[0].how == "skipped"


@asynchronous
async def test_failures_in_a_row_switch_the_rule_off_and_a_success_begins_anew(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flow=PROGRAM)
        for turn in range(FAILURES_MAX + 1):
            await minute(at)
            held = await at.claim((await flows(at))[-1].flow_id)
            await (at.succeed(held) if turn == 0 else at.fail(held))
            if turn == 1:
                assert (await at.ask("cron.show", "job")).failures == 1
        shown = await at.ask("cron.show", "job")
        assert (shown.status, f"the last was flow {held.flow.id}" in shown.why) == ("disabled", True)
        assert [one.verb for one in await at.store.flow_events(held.flow.id)][-1] == "disable"
        await at.go(5)
        [told] = await at.store.system_events("local", 0, 10)
        assert told.text.startswith("schedule job is switched off: 10 failures in a row")


@asynchronous
async def test_a_cancelled_run_counts_for_nothing(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flow=PROGRAM)
        await minute(at)
        await at.ask("flow.cancel", (await flows(at))[0].flow_id)
        assert (await at.ask("cron.show", "job")).failures == 0


@asynchronous
async def test_a_rule_is_run_by_hand_and_names_its_flow(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flowFile=BRIEF)
        fired = await at.ask("cron.run", "job")
        assert (fired.task_id, fired.flow_id) == (None, (await flows(at))[0].flow_id)
        assert (await at.ask("cron.runs", "job")).runs[0].how == "manual"


@asynchronous
async def test_what_stays_of_a_flow_when_its_rule_is_changed(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flowFile=BRIEF, arguments={"tag": "a"}, workdir=str(tmp_path), env={"A": "1"})
        changed = await at.ask("cron.edit", "job", arguments={"tag": "b"})
        assert (changed.flow, changed.arguments, changed.workdir) == ("brief.flow.yaml", {"tag": "b"}, str(tmp_path))
        text = FILE.replace("name: brief", "name: longer")
        await at.ask("cron.edit", "job", flowFile={"text": text, "name": "longer.flow.yaml"})
        await minute(at)
        [made] = await flows(at)
        given = await at.store.flow_input(made.flow_id)
        assert (made.name, given["args"], given["env"]["A"]) == ("longer", {"tag": "b"}, "1")
        assert (await at.ask("cron.edit", "job", command="make")).flow is None
        with pytest.raises(BadInput, match="arguments"):
            await at.ask("cron.edit", "job", arguments={"tag": "b"})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"flow": PROGRAM, "command": "make"}, "flow: does not go with command"),
        ({"flow": "nobody"}, "no worker serves"),
        ({"flow": "not a module:x"}, "names no program"),
        ({"flowFile": {"text": FILE.replace("run: tell-me", "rum: tell-me")}}, "flow file:14:5"),
        ({"flowFile": {"text": FILE}, "arguments": {"tga": "x"}}, "tga"),
        ({"command": "make", "arguments": {"tag": "x"}}, "arguments: goes with flow only"),
        ({"flow": PROGRAM, "workdir": "/nowhere/at/all"}, "does not exist"),
        ({"flow": PROGRAM, "env": {"OUTLAST_TASK_ID": "x"}}, "OUTLAST_TASK_ID"),
    ],
)
@asynchronous
async def test_a_rule_that_could_make_no_flow_is_refused(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    async with flow_world(tmp_path) as at:
        with pytest.raises((BadInput, NotFound, Refused), match=named):
            await at.rule(**fields)


@asynchronous
async def test_a_rule_whose_requester_may_not_any_more_is_switched_off(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.rule(flow=PROGRAM, caller=ALICE)
        config = tmp_path / "config.toml"
        config.write_text('[exec.requesters]\n"agent:alice:*" = "deny"\n')
        config.chmod(0o600)
        from outlast import config as settings

        at.api.config = settings.load({"OUTLAST_HOME": str(tmp_path), "OUTLAST_CONFIG": str(config), "HOME": "/"})
        await minute(at)
        shown = await at.ask("cron.show", "job")
        assert (shown.status, "may not start programs" in shown.why) == ("disabled", True)
        assert await flows(at) == []
