"""Finding tasks: by any of their names, by pages, by what they are narrowed to, and never somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from api_ledger import ledger_world

from outlast.api.context import Caller
from outlast.core.errors import BadInput, NotFound, OutlastError
from outlast.core.session import Cause
from outlast.core.task import Runtime

ANN = Caller("agent:ann:main", operator=False)
BOB = Caller("agent:bob:main", operator=False)


def ids(page: Any) -> list[str]:
    return [task.task_id for task in page.tasks]


# ---- lookups


@asynchronous
async def test_a_task_is_found_by_any_of_its_names(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run(conversation="agent:a:main")
        for name in (task.task_id, task.task_id[:12], task.session_id, "agent:a:main"):
            assert (await at.ask("tasks.show", name)).task_id == task.task_id


@asynchronous
async def test_an_outside_task_is_found_by_its_run(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        made = await at.ask("tasks.report-start", runId="ci/1234", label="nightly")
        assert (await at.ask("tasks.show", "ci/1234")).task_id == made.task_id


@asynchronous
async def test_a_conversation_means_its_newest_task(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1", conversation="agent:a:main")
        at.clock.at += 1
        await at.record("t2", conversation="agent:a:main")
        assert (await at.ask("tasks.show", "agent:a:main")).task_id == "t2"


@asynchronous
async def test_a_name_that_may_mean_several_lists_them(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        for number in range(12):
            await at.record(f"tab{number:02d}", label=f"job {number}")
        with pytest.raises(BadInput) as caught:
            await at.ask("tasks.show", "tab")
        assert caught.value.code == "ambiguous"
        lines = (caught.value.hint or "").split("\n")
        assert lines[0] == "tab11  queued  job 11" and lines[-1] == "…" and len(lines) == 11
        assert (await at.ask("tasks.show", "tab07")).task_id == "tab07"


@pytest.mark.parametrize("name", ["t9", "nothing", "agent:x", "%", "t_", "é", "a" * 5000])
@asynchronous
async def test_a_name_that_means_nothing_says_so(tmp_path: Path, name: str) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1")
        with pytest.raises(NotFound) as caught:
            await at.ask("tasks.show", name)
        assert caught.value.code == "not_found"
        assert caught.value.hint == "outlast tasks lists them"


@pytest.mark.parametrize("name", ["", " ", "\t"])
@asynchronous
async def test_an_empty_name_is_an_error(tmp_path: Path, name: str) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1")
        with pytest.raises(BadInput):
            await at.ask("tasks.show", name)


@pytest.mark.parametrize("name", ["\udcff", "t\0"])
@asynchronous
async def test_a_name_nothing_can_have_is_refused(tmp_path: Path, name: str) -> None:
    async with ledger_world(tmp_path) as at:
        for act in ("tasks.show", "tasks.cancel", "explain"):
            with pytest.raises(BadInput) as caught:
                await at.ask(act, name)
            assert caught.value.code == "not_text"


# ---- whose


@asynchronous
async def test_a_strangers_task_does_not_exist(tmp_path: Path) -> None:
    """Not by any name, not for any act, and in the same words as for one that never was."""
    async with ledger_world(tmp_path) as at:
        talk = "agent:coder:with:agent:ann:main"
        task = await at.run(caller=ANN, conversation=talk)
        acts: dict[str, dict[str, Any]] = {
            "tasks.show": {}, "tasks.events": {}, "tasks.children": {}, "tasks.log": {}, "tasks.cancel": {},
            "tasks.retry": {}, "tasks.dismiss": {}, "tasks.notify": {"policy": "silent"},
            "tasks.report": {"progress": 5}, "explain": {},
        }  # fmt: skip
        for act, fields in acts.items():
            for name in (task.task_id, task.task_id[:10], task.session_id, talk):
                with pytest.raises(NotFound) as caught:
                    await at.ask(act, name, caller=BOB, **fields)
                with pytest.raises(NotFound) as never:
                    await at.ask(act, "z" + name[1:], caller=BOB, **fields)
                assert caught.value.message.replace(repr(name), "") == never.value.message.replace(
                    repr("z" + name[1:]), ""
                )
        for fields in ({"lookups": [task.task_id]},):
            with pytest.raises(NotFound):
                await at.ask("tasks.wait", caller=BOB, **fields)
        with pytest.raises(NotFound):
            await at.ask("exec", caller=BOB, command="x", detach=True, parentId=task.task_id)
        assert (await at.ask("tasks.list", caller=BOB)).tasks == []
        assert (await at.ask("tasks.list", caller=BOB, owner="agent:ann:main")).tasks == []
        assert (await at.ask("tasks.audit", caller=BOB)).findings == []
        assert (await at.task(task.task_id)).status == "running"


@asynchronous
async def test_the_operator_sees_everybodys(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await at.run(caller=ANN)
        await at.run(caller=BOB)
        assert len((await at.ask("tasks.list")).tasks) == 2
        assert len((await at.ask("tasks.list", owner="agent:ann:main")).tasks) == 1
        assert len((await at.ask("tasks.list", requester="agent:bob:main")).tasks) == 1


@asynchronous
async def test_ones_own_task_is_found_among_those_of_others(tmp_path: Path) -> None:
    """A conversation that two take part in, and a beginning that many ids have: one's own are what one asks for."""
    async with ledger_world(tmp_path) as at:
        await at.record("ta", requester=ANN.requester, conversation="room")
        at.clock.at += 1
        for number in range(40):
            await at.record(f"tb{number:02d}", requester=BOB.requester, conversation="room")
        await at.record("tc", requester="local", conversation="room")
        assert (await at.ask("tasks.show", "room", caller=ANN)).task_id == "ta"
        await at.record("tb-own", requester=ANN.requester)
        at.clock.at += 1
        await at.record("tba", requester=ANN.requester)
        assert (await at.ask("tasks.show", "tba", caller=ANN)).task_id == "tba"
        with pytest.raises(BadInput) as caught:
            await at.ask("tasks.show", "tb", caller=ANN)
        assert (caught.value.hint or "").split("\n") == ["tba  queued", "tb-own  queued"]


@pytest.mark.parametrize("act", ["tasks.stats", "tasks.maintenance", "tasks.set-queue", "backup", "store"])
@asynchronous
async def test_some_acts_are_the_operators(tmp_path: Path, act: str) -> None:
    fields = {"tasks.set-queue": {"name_": "q", "limit": 1}, "backup": {"path": str(tmp_path / "copy")}}.get(act, {})
    async with ledger_world(tmp_path) as at:
        with pytest.raises(OutlastError) as caught:
            await at.ask(act, caller=ANN, **fields)
        assert caught.value.code == "refused"


# ---- lists


@asynchronous
async def test_pages_are_newest_first_and_miss_nothing(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        for number in range(25):
            await at.record(f"t{number:02d}", requester=ANN.requester if number % 2 else BOB.requester)
            at.clock.at += number % 3
        for caller, count in ((None, 25), (ANN, 12), (BOB, 13)):
            seen: list[str] = []
            page = await at.ask("tasks.list", limit=4, caller=caller)
            while True:
                seen += ids(page)
                if page.next is None:
                    break
                page = await at.ask("tasks.list", limit=4, cursor=page.next, caller=caller)
            assert len(seen) == len(set(seen)) == count
            assert seen == sorted(seen, reverse=True)


@asynchronous
async def test_a_list_is_fifty_long_unless_it_is_asked_otherwise(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        for number in range(55):
            await at.record(f"t{number:02d}")
        page = await at.ask("tasks.list")
        assert (len(page.tasks), page.next is not None) == (50, True)


@asynchronous
async def test_lists_are_narrowed(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        since = at.clock.now()
        await at.record("t1", label="nightly", conversation="c1", ask={"command": "make everything"})
        at.clock.at += 10
        await at.record("t2", runtime=Runtime.ACP, flow_id="f1", parent_id="t1", title="Build it")
        at.clock.at += 10
        await at.record("t3", label="nightly", requester=ANN.requester)
        await at.ledger.cancel(await at.task("t3"), Cause.OPERATOR)
        expected = {
            ("status", "queued"): ["t2", "t1"],
            ("status", "queued,cancelled"): ["t3", "t2", "t1"],
            ("status", "cancelled failed"): ["t3"],
            ("runtime", "acp"): ["t2"],
            ("owner", "local"): ["t2", "t1"],
            ("conversation", "c1"): ["t1"],
            ("label", "nightly"): ["t3", "t1"],
            ("flow", "f1"): ["t2"],
            ("parent", "t1"): ["t2"],
            ("search", "EVERYTHING"): ["t1"],
            ("search", "build"): ["t2"],
            ("search", "100%"): [],
            ("since", str(since + 10)): ["t3", "t2"],
            ("since", "2027-01-15T08:00:15Z"): ["t3"],
            ("since", "2027-01-15T08:00:15"): ["t3"],
            ("since", "2027-01-15"): ["t3", "t2", "t1"],
        }
        for (field, value), found in expected.items():
            assert ids(await at.ask("tasks.list", **{field: value})) == found, (field, value)
        assert ids(await at.ask("tasks.list", status="queued", label="nightly", search="make")) == ["t1"]


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("status", "done", "'done'"),
        ("status", "queued,Running", "'Running'"),
        ("since", "yesterday", "since"),
        ("since", "nan", "since"),
        ("since", "inf", "since"),
        ("cursor", "xyz", "cursor"),
        ("limit", 0, "limit"),
        ("limit", 1001, "limit"),
        ("runtime", "shell", "runtime"),
        ("label", "\udcff", "label"),
        ("search", "a\0b", "search"),
    ],
)
@asynchronous
async def test_a_wrong_filter_is_named(tmp_path: Path, field: str, value: Any, word: str) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1")
        with pytest.raises(BadInput) as caught:
            await at.ask("tasks.list", **{field: value})
        assert word in caught.value.message


@asynchronous
async def test_what_is_dismissed_is_shown_only_when_it_is_asked_for(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        for name in ("t1", "t2"):
            await at.ledger.cancel(await at.record(name), Cause.OPERATOR)
        shown = await at.ask("tasks.dismiss", "t1")
        assert shown.dismissed_at == "2027-01-15T08:00:00.000Z"
        assert ids(await at.ask("tasks.list")) == ["t2"]
        assert ids(await at.ask("tasks.list", dismissed=True)) == ["t1"]
        assert (await at.ask("tasks.show", "t1")).task_id == "t1"


# ---- history and children


@asynchronous
async def test_history_comes_in_pages(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        for percent in range(5):
            await at.ask("tasks.report", task.task_id, progress=percent)
        page = await at.ask("tasks.events", task.task_id, limit=3)
        assert [event.verb for event in page.events] == ["create", "claim", "began"]
        rest = await at.ask("tasks.events", task.task_id, after=page.next)
        assert [event.data for event in rest.events] == [{"progress": percent} for percent in range(5)]
        assert rest.next is None
        assert (rest.task_id, rest.events[0].status) == (task.task_id, None)


@pytest.mark.parametrize("after", [2**63, 10**30])
@asynchronous
async def test_a_number_no_event_can_have_is_an_error(tmp_path: Path, after: int) -> None:
    async with ledger_world(tmp_path) as at:
        await at.record("t1")
        with pytest.raises(BadInput):
            await at.ask("tasks.events", "t1", after=after)
        assert (await at.ask("tasks.events", "t1", after=2**53)).events == []


@asynchronous
async def test_children_are_those_one_may_see(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        parent = await at.run("parent", caller=ANN)
        child = await at.run("child", caller=ANN, parentId=parent.task_id[:12])
        at.clock.at += 1
        other = await at.run("other", parentId=parent.task_id)
        assert child.parent_id == other.parent_id == parent.task_id
        assert ids(await at.ask("tasks.children", parent.task_id)) == [child.task_id, other.task_id]
        assert ids(await at.ask("tasks.children", parent.task_id, caller=ANN)) == [child.task_id]


@asynchronous
async def test_a_command_inside_a_task_makes_children_of_it(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        parent = await at.run("parent")
        child = await at.run("child", callerEnv={"PATH": "/bin", "OUTLAST_TASK_ID": parent.task_id})
        orphan = await at.run("orphan", callerEnv={"PATH": "/bin", "OUTLAST_TASK_ID": "t-of-another-home"})
        assert (child.parent_id, orphan.parent_id) == (parent.task_id, None)
