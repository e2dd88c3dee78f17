"""Starting flows: every mistake before anything is on record, and the record that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from flow_world import ALICE, FILE, PROGRAM, flow_world
from told_world import REMOTE

from outlast.core.errors import BadInput, Conflict, NotFound, Refused
from outlast.core.flow import FILE_HANDLER, FlowMode, FlowStatus


@asynchronous
async def test_a_program_is_on_record_with_all_it_needs_and_only_what_may_be_shown(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        answer = await at.program(
            args=["1.2"], kwargs={"token": "s3cr3t-value", "tries": 3}, goal="ship 1.2", label="nightly", priority=5,
            conversation="agent:me:main", notify="failures_only", deadlineSeconds=60, delaySeconds=5, retries=2,
            concurrencyKey="release", concurrencyMax=2, env={"CI": "1"}, workdir=str(tmp_path),
            callerEnv={"PATH": "/bin", "OUTLAST_TOKEN": "t0ken", "OUTLAST_HOME": "/h"},
        )  # fmt: skip
        assert (answer.status, answer.mode, answer.name, answer.handler) == ("queued", "program", "release", PROGRAM)
        assert answer.ask["kwargs"] == {"token": "***", "tries": 3}
        assert (answer.label, answer.goal, answer.not_before_at is not None) == ("nightly", "ship 1.2", True)
        assert answer.follow_up == f"outlast flow watch {answer.flow_id}"
        flow = await at.flow(answer.flow_id)
        now = at.clock.now()
        assert (flow.deadline_at, flow.ready_at, flow.attempts_max) == (now + 60, now + 5, 3)
        assert flow.retry == {"delaySeconds": 1.0, "delayMaxSeconds": 60.0}
        assert await at.store.flow_input(flow.id) == {
            "args": ["1.2"], "kwargs": {"token": "s3cr3t-value", "tries": 3}, "text": False,
            "env": {"PATH": "/bin", "OUTLAST_HOME": "/h", "CI": "1"}, "workdir": str(tmp_path),
        }  # fmt: skip


@asynchronous
async def test_a_file_is_checked_and_started_with_its_arguments(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        answer = await at.ask(
            "flow.start", file={"name": "/somewhere/brief.flow.yaml", "text": FILE}, args=["tag=work"], text=True
        )
        assert (answer.mode, answer.name, answer.handler) == ("file", "brief", FILE_HANDLER)
        assert answer.ask["args"] == {"tag": "work"}
        given = await at.store.flow_input(answer.flow_id)
        assert [step["id"] for step in given["definition"]["steps"]] == ["fetch", "words", "lines", "tell"]
        assert given["args"] == {"tag": "work"}


@asynchronous
async def test_everything_wrong_in_a_file_is_said_at_once_with_its_place(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        wrong = {"name": "brief.flow.yaml", "text": FILE.replace("needs: [fetch]", "neds: [fetch]")}
        with pytest.raises(BadInput) as error:
            await at.ask("flow.start", file=wrong)
        assert error.value.code == "bad_flow_file"
        lines = error.value.message.splitlines()
        assert [line.split(": ")[0] for line in lines[:2]] == ["brief.flow.yaml:9:5", "brief.flow.yaml:12:5"]
        assert "did you mean needs" in lines[0]
        checked = await at.ask("flow.check", file=wrong)
        assert (checked.ok, checked.name) == (False, None)
        assert (checked.problems[0].line, checked.problems[0].column) == (9, 5)
        good = await at.ask("flow.check", file={"text": FILE})
        assert (good.ok, good.name, good.steps, good.problems, good.notes) == (True, "brief", 4, [], [])
        text = "name: x\nsteps:\n  - id: look\n    agent: nobody\n    message: look\n"
        noted = await at.ask("flow.check", file={"text": text})
        assert (noted.ok, noted.notes) == (True, ["step look needs agent 'nobody', which is not configured here"])
        assert (await at.ask("flow.list")).flows == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "file: is required"),
        ({"handler": PROGRAM, "name": "x"}, "name: does not go with handler"),
        ({"handler": "release"}, "names no program"),
        ({"handler": "not a module:x"}, "names no program"),
        ({"handler": "mod:1x"}, "no name of a flow"),
        ({"handler": "here.py:x"}, "no absolute path"),
        ({"handler": "/nowhere/there.py:x"}, "No such file"),
        ({"handler": "/etc/passwd:x"}, "no Python file"),
        ({"handler": PROGRAM, "concurrencyMax": 2}, "concurrencyKey"),
        ({"handler": PROGRAM, "args": ["\ud800"]}, "UTF-8"),
        ({"handler": PROGRAM, "kwargs": {"a": "b\0"}}, "NUL"),
        ({"handler": PROGRAM, "args": ["x" * 1_100_000]}, "bytes of JSON"),
        ({"handler": PROGRAM, "priority": 5000}, "priority"),
        ({"handler": PROGRAM, "workdir": "not/absolute"}, "absolute"),
        ({"handler": PROGRAM, "conversation": "command:rm"}, "conversation"),
        ({"handler": PROGRAM, "env": {"OUTLAST_TASK_ID": "t"}}, "OUTLAST_TASK_ID"),
        ({"handler": PROGRAM, "tires": 1}, "unknown field"),
        ({"file": {"text": FILE}, "kwargs": {"tga": "x"}}, "tga"),
        ({"file": {"text": FILE}, "args": ["x"]}, "named arguments"),
        ({"file": {"text": FILE}, "args": [1], "text": True}, "NAME=VALUE"),
        ({"file": {"text": "steps: {"}}, "flow file:2"),
    ],
)
@asynchronous
async def test_what_cannot_be_started_is_refused_before_anything_is_on_record(
    tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    async with flow_world(tmp_path) as at:
        with pytest.raises((BadInput, Refused), match=named):
            await at.ask("flow.start", **{("name_" if key == "name" else key): value for key, value in fields.items()})
        assert (await at.ask("flow.list")).flows == []


@asynchronous
async def test_a_file_of_programs_is_looked_at_without_running_it(tmp_path: Path) -> None:
    """A mistyped name is told at once, instead of by a flow that is blocked some time later."""
    source = tmp_path / "release.py"
    source.write_text(
        f"import outlast\nopen('{tmp_path}/ran', 'w')\n\n@outlast.flow\nasync def release(ctx): ...\n\n"
        "@flow(name='x')\nasync def undo(ctx): ...\n\ndef helper(): ...\n"
    )
    (tmp_path / "one.py").write_text("from outlast import flow\n@flow\nasync def only(ctx): ...\n")
    (tmp_path / "bad.py").write_text("def (:\n")
    (tmp_path / "open.py").write_text("from flows import *\n")
    async with flow_world(tmp_path) as at:
        started = await at.program(handler=f"{source}:release")
        assert started.handler == f"{source}:release"
        with pytest.raises(NotFound) as error:
            await at.program(handler=f"{source}:relase")
        assert error.value.hint == "it defines: release, undo"
        assert (await at.program(handler=str(tmp_path / "one.py"))).name == "only"
        with pytest.raises(BadInput, match="several flows"):
            await at.program(handler=str(source))
        with pytest.raises(BadInput, match=r"bad\.py line 1 is not Python"):
            await at.program(handler=f"{tmp_path}/bad.py:x")
        assert (await at.program(handler=f"{tmp_path}/open.py:any")).name == "any"
        (tmp_path / "link.py").symlink_to(source)
        assert (await at.program(handler=f"{tmp_path}/link.py:release")).handler == f"{source}:release"
        assert not (tmp_path / "ran").exists()


@asynchronous
async def test_a_bare_name_is_one_that_a_live_worker_serves(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        with pytest.raises(NotFound, match="no worker serves") as nobody:
            await at.ask("flow.start", name_="release")
        assert "outlast flow worker" in (nobody.value.hint or "")
        await at.serve(PROGRAM, "other.mod:undo")
        await at.serve("dead.mod:gone", lease=-1.0)
        assert (await at.ask("flow.start", name_="release")).handler == PROGRAM
        with pytest.raises(NotFound) as unknown:
            await at.ask("flow.start", name_="gone")
        assert "other.mod:undo" in (unknown.value.hint or "")
        await at.serve("second.mod:release")
        with pytest.raises(BadInput, match="several") as several:
            await at.ask("flow.start", name_="release")
        assert (several.value.code, several.value.hint) == ("ambiguous", f"{PROGRAM}\nsecond.mod:release")
        assert (await at.ask("flow.start", name_="second.mod:release")).handler == "second.mod:release"


@asynchronous
async def test_who_may_not_run_commands_starts_no_programs_and_no_shell_lines(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[exec]\nallow = ["fetch-mail", "tell-*"]\n[exec.requesters]\n"agent:alice:*" = "allowlist"\n'
        '"agent:bob:*" = "deny"\n'
    )
    config.chmod(0o600)
    async with flow_world(tmp_path, settings={"OUTLAST_CONFIG": str(config)}) as at:
        await at.serve(PROGRAM)
        for fields in ({"handler": PROGRAM}, {"name_": "release"}):
            with pytest.raises(Refused) as refused:
                await at.ask("flow.start", caller=ALICE, **fields)
            assert refused.value.code == "exec_denied"
        assert (await at.ask("flow.start", file={"text": FILE}, caller=ALICE)).status == "queued"
        with pytest.raises(Refused) as line:
            await at.ask("flow.start", file={"text": FILE.replace("fetch-mail", "rm -r x")}, caller=ALICE)
        assert line.value.code == "not_allowed"


@asynchronous
async def test_a_caller_over_the_network_brings_no_environment_and_no_hooks(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        for fields, code in (({"callerEnv": {"A": "b"}}, "env_refused"), ({"env": {"LD_PRELOAD": "x"}}, "env_refused")):
            with pytest.raises(Refused) as refused:
                await at.program(caller=REMOTE, **fields)
            assert refused.value.code == code


@asynchronous
async def test_a_live_flow_with_the_same_key_stands_in_for_a_second_start(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        first = await at.program(dedupeKey="daily")
        again = await at.program(dedupeKey="daily")
        assert (first.existing, again.existing, again.flow_id) == (False, True, first.flow_id)
        other = await at.program(dedupeKey="daily", caller=ALICE)
        assert other.existing is False
        held = await at.claim(first.flow_id)
        await at.succeed(held)
        assert (await at.program(dedupeKey="daily")).existing is False


@asynchronous
async def test_a_parent_that_has_ended_or_is_to_be_cancelled_takes_no_children(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        parent = await at.managed()
        child = await at.program(parentId=parent.flow_id)
        assert child.parent_id == parent.flow_id
        await at.claim(child.flow_id)
        await at.ask("flow.request-cancel", parent.flow_id, revision=1)
        with pytest.raises(Conflict) as wished:
            await at.program(parentId=parent.flow_id)
        assert wished.value.code == "cancelling"
        ended = await at.managed()
        await at.ask("flow.finish", ended.flow_id, revision=1)
        with pytest.raises(Conflict) as late:
            await at.program(parentId=ended.flow_id)
        assert late.value.code == "flow_ended"
        with pytest.raises(NotFound):
            await at.program(parentId=ended.flow_id, caller=ALICE)


@asynchronous
async def test_of_a_key_only_so_many_run_at_once_and_the_record_says_so(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        await at.program(concurrencyKey="release")
        second = await at.program(concurrencyKey="release")
        assert (second.status, second.held_up) == ("queued", "a place: at most 1 of 'release' at once")
        shown = await at.ask("flow.show", second.flow_id)
        assert shown.waits_for[0].words == "waits for a place: at most 1 of 'release' at once"
        flow = await at.flow(second.flow_id)
        assert (flow.mode, flow.status, flow.ready_at) == (FlowMode.PROGRAM, FlowStatus.QUEUED, None)
