"""Looking at flows: lists, everything about one, its history and its graph, each for who may see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from flow_world import ALICE, BOB, FILE, flow_world

from outlast.api.flow_values import values_place
from outlast.core.errors import BadInput, NotFound
from outlast.core.flow import FILE_HANDLER, StepKind
from outlast.core.lifecycle import FlowVerb
from outlast.core.session import Status
from outlast.flows.errors import NotStorable
from outlast.flows.values import InFiles, Values

LOOKS = ("flow.show", "flow.steps", "flow.children", "flow.graph", "flow.events", "flow.watch")


@asynchronous
async def test_a_list_is_newest_first_in_pages_and_narrowed(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        first = await at.program(label="nightly")
        await at.clock.advance(1)
        second = await at.managed(conversation="agent:x:main")
        await at.clock.advance(1)
        third = await at.ask("flow.start", file={"text": FILE})
        ids = [one.flow_id for one in (third, second, first)]
        assert [row.flow_id for row in (await at.ask("flow.list")).flows] == ids
        page = await at.ask("flow.list", limit=2)
        assert [row.flow_id for row in page.flows] == ids[:2]
        rest = await at.ask("flow.list", limit=2, cursor=page.next)
        assert ([row.flow_id for row in rest.flows], rest.next) == (ids[2:], None)
        for narrow, expected in (
            ({"status": "running"}, [second]), ({"status": "queued,blocked"}, [third, first]),
            ({"mode": "file"}, [third]), ({"name_": "release"}, [first]), ({"label": "nightly"}, [first]),
            ({"conversation": "agent:x:main"}, [second]),
            ({"since": str(at.clock.now() - 1.5)}, [third, second]), ({"owner": "local"}, [third, second, first]),
            ({"owner": "agent:none"}, []),
        ):  # fmt: skip
            found = await at.ask("flow.list", **narrow)
            assert [row.flow_id for row in found.flows] == [one.flow_id for one in expected], narrow
        with pytest.raises(BadInput, match="none of queued"):
            await at.ask("flow.list", status="runing")


@asynchronous
async def test_strangers_are_not_there(tmp_path: Path) -> None:
    """Who names a requester sees his own only; an id of somebody else's is answered like one that never was."""
    async with flow_world(tmp_path) as at:
        own = await at.program(caller=ALICE)
        managed = await at.managed(caller=ALICE)
        assert [row.flow_id for row in (await at.ask("flow.list", caller=BOB)).flows] == []
        assert len((await at.ask("flow.list", caller=ALICE)).flows) == 2
        assert (await at.ask("flow.list", caller=BOB, owner=ALICE.requester)).flows == []
        acts: list[tuple[str, dict[str, Any]]] = [(act, {}) for act in LOOKS]
        acts += [
            ("flow.signal", {"name_": "x"}), ("flow.cancel", {}), ("flow.retry", {}), ("flow.resume", {}),
            ("flow.fork", {"fromStep": "x"}), ("flow.link", {"revision": 1, "taskId": "t1"}),
            ("flow.set-waiting", {"revision": 1, "waitFor": "x"}), ("flow.finish", {"revision": 1}),
            ("flow.fail", {"revision": 1, "error": "x"}), ("flow.request-cancel", {"revision": 1}),
        ]  # fmt: skip
        for act, fields in acts:
            for flow_id in (own.flow_id, managed.flow_id):
                with pytest.raises(NotFound) as theirs:
                    await at.ask(act, flow_id, caller=BOB, **fields)
                with pytest.raises(NotFound) as none:
                    await at.ask(act, "f0nothing", caller=BOB, **fields)
                assert theirs.value.message.replace(flow_id, "") == none.value.message.replace("f0nothing", "")
        with pytest.raises(NotFound):
            await at.ask("flow.wait", lookups=[own.flow_id], caller=BOB)
        assert (await at.ask("flow.show", own.flow_id[:12], caller=ALICE)).flow_id == own.flow_id
        assert (await at.ask("flow.show", own.flow_id)).requester == ALICE.requester


@asynchronous
async def test_a_beginning_of_several_ids_names_them(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        one, two = await at.program(label="nightly"), await at.managed()
        with pytest.raises(BadInput) as several:
            await at.ask("flow.show", one.flow_id[:9])
        assert several.value.code == "ambiguous"
        assert {line.split()[0] for line in (several.value.hint or "").splitlines()} == {one.flow_id, two.flow_id}
        with pytest.raises(NotFound) as named:
            await at.ask("flow.show", "release")
        assert named.value.hint == "there are flows of that name: outlast flow list --name release"
        for wrong in ("", "  ", "a\0b"):
            with pytest.raises(BadInput):
                await at.ask("flow.show", wrong)


@asynchronous
async def test_everything_about_one_flow(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        started = await at.program(goal="ship 1.2")
        held = await at.claim(started.flow_id)
        await at.clock.advance(2)
        await at.write(held, "plan", result='{"wheel":"a.whl"}', started_at=at.clock.now() - 2)
        await at.write(held, "dump", result='"' + "x" * 5000 + '"')
        task = at.command(held.flow.id)
        await at.child(held, "build", StepKind.RUN, task=task)
        sub = at.sub_flow(held.flow, "nested")
        await at.child(held, "nested", StepKind.FLOW, flow=sub)
        asked = at.question(held.flow.id, "ship", prompt="Ship 1.2?", expires_at=at.clock.now() + 60)
        await at.child(held, "ship", StepKind.APPROVAL, approval=asked)
        await at.open_step(held, "soak", StepKind.SLEEP, due_at=at.clock.now() + 3600)
        await at.open_step(held, "confirmed#2", StepKind.SIGNAL, due_at=at.clock.now() + 86_400)
        await at.write(
            held, "publish", status=Status.RUNNING, ended_at=None, attempt=2, error="no route",
            due_at=at.clock.now() + 5,
        )  # fmt: skip
        await at.ask("flow.signal", held.flow.id, name_="early", payload={"by": "me"})
        await at.park(held, {"for": "several", "count": 6, "steps": []})
        shown = await at.ask("flow.show", started.flow_id)
        assert (shown.status, shown.goal, shown.progress.done) == ("waiting", "ship 1.2", 2)
        assert [step.key for step in shown.steps][:3] == ["plan", "dump", "build"]
        plan, dump, build = shown.steps[:3]
        assert (plan.result, plan.result_cut, plan.duration_ms) == ({"wheel": "a.whl"}, None, 2000)
        assert (dump.result, len(dump.result_cut)) == (None, 2001)
        assert (build.task_id, build.child_id, build.approval_id) == (task.id, None, None)
        assert [(one.step, one.words.split(":")[0], one.command) for one in shown.waits_for] == [
            ("build", f"runs as task {task.id}", f"outlast tasks log -f {task.id}"),
            ("nested", f"runs as flow {sub.id}", f"outlast flow show {sub.id}"),
            ("ship", f"waits for approval {asked.id}", f"outlast approvals approve {asked.id}"),
            ("soak", "sleeps", None),
            ("confirmed#2", "waits for signal 'confirmed'", f"outlast flow signal {started.flow_id} confirmed"),
            ("publish", "is tried again after attempt 2", None),
        ]
        assert all(one.until is not None for one in shown.waits_for[2:])
        assert [(one.name, one.payload, one.sent_by) for one in shown.signals] == [("early", {"by": "me"}, "local")]
        assert [(one.approval_id, one.approve) for one in shown.approvals] == [
            (asked.id, f"outlast approvals approve {asked.id}")
        ]
        assert [child.flow_id for child in shown.children] == [sub.id]
        assert [(one.task_id, one.status) for one in shown.tasks] == [(task.id, "queued")]
        assert (await at.ask("flow.show", started.flow_id, limit=3)).more_steps is True
        full = await at.ask("flow.steps", started.flow_id, full=True)
        assert (full.steps[1].result, full.next) == ("x" * 5000, None)
        page = await at.ask("flow.steps", started.flow_id, limit=2)
        assert ([one.key for one in page.steps], page.next) == (["plan", "dump"], 1)
        rest = await at.ask("flow.steps", started.flow_id, after=page.next)
        assert [one.key for one in rest.steps][:2] == ["build", "nested"]
        assert [one.flow_id for one in (await at.ask("flow.children", started.flow_id)).flows] == [sub.id]


@asynchronous
async def test_what_a_flow_waits_for_is_found_behind_the_steps_that_are_shown(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        for number in range(5):
            await at.write(held, f"s{number}")
        await at.open_step(held, "go", StepKind.SIGNAL)
        shown = await at.ask("flow.show", held.flow.id, limit=2)
        assert ([one.key for one in shown.steps], [one.step for one in shown.waits_for]) == (["s0", "s1"], ["go"])


@asynchronous
async def test_a_blocked_flow_says_why_and_names_the_command_that_goes_on(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        message = "on record is step 'build', but the program now asks for 'compile'"
        await at.block(
            held, kind="code_changed", expected="build", found="compile", message=message,
            next=f"outlast flow retry {held.flow.id} --from build",
        )  # fmt: skip
        shown = await at.ask("flow.show", held.flow.id)
        assert (shown.held_up, shown.follow_up) == (message, f"outlast flow retry {held.flow.id} --from build")
        assert shown.waits_for[0].command == shown.follow_up
        managed = await at.managed()
        blocked = await at.ask("flow.set-waiting", managed.flow_id, revision=1, blocked="no budget")
        assert (blocked.status, blocked.held_up) == ("blocked", "no budget")
        assert blocked.follow_up == f"outlast flow resume {managed.flow_id} --revision 2"


@asynchronous
async def test_progress_is_what_the_program_says_else_the_steps_on_record(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.write(held, "one")
        await at.open_step(held, "two", StepKind.FUNCTION)

        async def progress() -> tuple[int, int | None]:
            [row] = (await at.ask("flow.list")).flows
            return row.progress.done, row.progress.known

        assert await progress() == (1, None)
        await at.move(held, FlowVerb.WAIT, steps_done=3, steps_known=9)
        assert await progress() == (3, 9)


@asynchronous
async def test_results_of_an_end_are_shown_to_who_asks_for_one_flow(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        await at.clock.advance(3)
        await at.succeed(held, {"url": "u"})
        shown = await at.ask("flow.show", held.flow.id)
        assert (shown.status, shown.result, shown.duration_ms) == ("succeeded", {"url": "u"}, 3000)
        assert (shown.waits_for, shown.follow_up) == ([], None)
        assert not isinstance((await at.ask("flow.list")).flows[0].result, dict)
        lost = await at.claim((await at.program()).flow_id)
        await at.fail(lost, "no route")
        failed = await at.ask("flow.show", lost.flow.id)
        assert (failed.error, failed.follow_up) == ("no route", f"outlast flow retry {lost.flow.id}")


# ---- history


@asynchronous
async def test_the_history_is_followed_to_the_end_without_polling(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program()).flow_id
        first = await at.ask("flow.events", flow_id)
        assert ([one.verb for one in first.events], first.ended) == (["create"], False)
        last = first.events[-1].event_id
        news = await at.under_way("flow.events", flow_id, after=last, timeoutMs=60_000)
        asked = at.store.calls["flow_events"]
        await at.clock.advance(30)
        assert (at.store.calls["flow_events"], news.done()) == (asked, False)
        held = await at.claim(flow_id)
        await at.go(0.3)
        page = news.result()
        assert [(one.verb, one.status) for one in page.events] == [("claim", "running")]
        news = await at.under_way("flow.events", flow_id, after=page.events[-1].event_id, timeoutMs=60_000)
        await at.succeed(held)
        await at.go(0.3)
        page = news.result()
        assert ([one.verb for one in page.events], page.ended) == (["succeed"], True)
        after = await at.ask("flow.events", flow_id, after=page.events[-1].event_id, timeoutMs=60_000)
        assert (after.events, after.ended) == ([], True)
        assert [one.verb for one in (await at.ask("flow.events", flow_id, limit=1)).events] == ["create"]


# ---- graphs


@asynchronous
async def test_a_program_is_drawn_by_what_ended_before_what_began(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        now = at.clock.now()
        for key, start, end in (
            ("plan", 0, 1), ("unit", 1, 5), ("lint", 1, 2), ("fix", 2, 3), ("ship", 5, 6), ('say "hi" <b>', 6, 7),
        ):  # fmt: skip
            await at.write(held, key, started_at=now + start, ended_at=now + end)
        await at.clock.advance(10)
        graph = await at.ask("flow.graph", held.flow.id)
        assert {node.key: node.stage for node in graph.nodes} == {
            "plan": 1, "unit": 2, "lint": 2, "fix": 3, "ship": 4, 'say "hi" <b>': 5,
        }  # fmt: skip
        assert sorted((edge.source, edge.target) for edge in graph.edges) == [
            ("fix", "ship"), ("lint", "fix"), ("plan", "lint"), ("plan", "unit"), ("ship", 'say "hi" <b>'),
            ("unit", "ship"),
        ]  # fmt: skip
        assert graph.text is None
        text = (await at.ask("flow.graph", held.flow.id, format="text")).text
        assert text.splitlines()[1].split()[:4] == ["├─", "1", "plan", "function"]
        mermaid = (await at.ask("flow.graph", held.flow.id, format="mermaid")).text
        assert mermaid.startswith("flowchart TD\n")
        assert '"' not in mermaid.split("s5[", 1)[1].split("]", 1)[0].strip('"')
        assert "<b>" not in mermaid


@asynchronous
async def test_a_file_is_drawn_by_its_needs_with_what_has_not_begun(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        started = await at.ask("flow.start", file={"text": FILE})
        held = await at.claim(started.flow_id, FILE_HANDLER)
        await at.write(held, "fetch", kind=StepKind.RUN)
        await at.open_step(held, "words", StepKind.RUN)
        graph = await at.ask("flow.graph", started.flow_id, format="text")
        assert [(node.key, node.status, node.stage) for node in graph.nodes] == [
            ("fetch", "succeeded", 1), ("words", "running", 2), ("lines", "not_begun", 2), ("tell", "not_begun", 3),
        ]  # fmt: skip
        assert [(edge.source, edge.target) for edge in graph.edges] == [
            ("fetch", "words"), ("fetch", "lines"), ("words", "tell"), ("lines", "tell"),
        ]  # fmt: skip
        lines = graph.text.splitlines()
        assert lines[0].endswith("running  1 of 4 steps")
        assert "not begun" in lines[-1]


@asynchronous
async def test_what_each_made_of_a_step_of_a_file_stands_for_it(tmp_path: Path) -> None:
    text = (
        'name: each\nsteps:\n  - id: a\n    run: x\n  - id: b\n    run: [echo, "${item}"]\n'
        "    for_each: \"${['p', 'q']}\"\n  - id: c\n    run: z\n"
    )
    async with flow_world(tmp_path) as at:
        checked = await at.ask("flow.check", file={"text": text})
        if not checked.ok:  # the language of lists is the reader's to say
            text = text.replace("\"${['p', 'q']}\"", '"${steps.a.output}"')
        started = await at.ask("flow.start", file={"text": text})
        held = await at.claim(started.flow_id, FILE_HANDLER)
        await at.write(held, "a", kind=StepKind.RUN)
        await at.write(held, "b[0]", kind=StepKind.RUN)
        await at.write(held, "b[1]", kind=StepKind.RUN)
        graph = await at.ask("flow.graph", started.flow_id)
        assert [(edge.source, edge.target) for edge in graph.edges] == [
            ("a", "b[0]"), ("a", "b[1]"), ("b[0]", "c"), ("b[1]", "c"),
        ]  # fmt: skip


@asynchronous
async def test_sub_flows_are_drawn_below_the_step_that_runs_them(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        sub = at.sub_flow(held.flow, "nested")
        await at.child(held, "nested", StepKind.FLOW, flow=sub)
        inner = await at.claim(sub.id)
        await at.write(inner, "deep")
        text = (await at.ask("flow.graph", held.flow.id, format="text")).text
        assert [line.strip(" │").split()[0] for line in text.splitlines()] == ["release", "└─", "sub", "└─"]
        assert "deep" in text


# ---- what is not in the rows


@asynchronous
async def test_a_program_that_cannot_be_served_is_seen_with_the_reason(tmp_path: Path) -> None:
    """Without it a flow whose file has a mistake in it would just stay queued."""
    source = tmp_path / "release.py"
    source.write_text("from outlast import flow\n@flow\nasync def release(ctx): ...\n")
    async with flow_world(tmp_path) as at:
        flow_id = (await at.program(handler=f"{source}:release")).flow_id
        seen = await at.ask("flow.watch", flow_id)
        watch = await at.under_way("flow.watch", flow_id, mark=seen.mark, timeoutMs=60_000)
        wait = await at.under_way("flow.wait", lookups=[flow_id])
        session = await at.session(command="worker", labels=["outlast:flow-worker", str(source)])
        await at.go(2)
        assert not watch.done()
        session.prints(b"outlast: release.py cannot be loaded: ImportError: no module named x\nmore\n")
        session.ends(2)
        at.sessions.tell("ended", session)
        await at.go(0.5)
        [held] = watch.result().waits_for
        assert held.words == (
            "its program cannot be served: release.py cannot be loaded: ImportError: no module named x"
        )
        assert held.command == f"outlast process log {session.id}"
        assert wait.result().attention == [flow_id]
        await at.claim(flow_id, f"{source}:release")
        assert (await at.ask("flow.show", flow_id)).waits_for == []


@asynchronous
async def test_a_result_that_is_kept_in_a_file_is_read_back(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:
        held = await at.claim((await at.program()).flow_id)
        values = Values(InFiles(values_place(at.config)))
        long = {"text": "x" * 300_000}
        text = values.write(held.flow.id, long)
        assert text.startswith('{"$file"')
        await at.write(held, "dump", result=text)
        await at.succeed(held, json.loads(text))
        assert (await at.ask("flow.show", held.flow.id)).result == long
        assert (await at.ask("flow.wait", lookups=[held.flow.id])).flows[0].result == long
        assert (await at.ask("flow.watch", held.flow.id)).flow.result == long
        assert (await at.ask("flow.steps", held.flow.id, full=True)).steps[0].result == long
        fork = await at.ask("flow.fork", held.flow.id, fromStep="dump")
        assert values.read(fork.flow_id, text) == long
        at.clock.at += 86_400 * 30
        await at.ask("tasks.maintenance", apply=True)
        with pytest.raises(NotStorable):
            values.read(held.flow.id, text)
