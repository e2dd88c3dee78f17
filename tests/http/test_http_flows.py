"""Flows over HTTP and as tool calls: every address answers what the description says, every mistake has its status."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from flow_world import ALICE, FILE, PROGRAM, flow_world
from json_schema import misfits
from test_http_tasks import DOCUMENT, good
from web import TOKEN, Web, serving

from outlast.api.acts import ACTS
from outlast.api.context import Caller
from outlast.core.errors import BadInput
from outlast.core.flow import StepKind
from outlast.surfaces import tools
from watched_store import trouble


@asynccontextmanager
async def flow_web(home: Path, **options: Any) -> AsyncIterator[Web]:
    """A server over a ledger with flows."""
    async with flow_world(home, **options) as world, serving(home, world=world) as web:
        yield web


@asynchronous
async def test_every_address_answers_as_it_is_described(tmp_path: Path) -> None:
    async with flow_web(tmp_path) as web:
        at: Any = web.world
        name = (await good(web, "POST", "/v1/flows", {"handler": PROGRAM, "args": [1, None], "text": False}))["flowId"]
        await good(web, "POST", "/v1/flows", {"file": {"text": FILE}, "kwargs": {"tag": "x"}})
        await good(web, "POST", "/v1/flows/check", {"file": {"text": "steps: 1"}})
        held = await at.claim(name)
        await at.write(held, "plan", result='{"a":1}')
        await at.child(held, "build", StepKind.RUN, task=at.command(name))
        await at.child(held, "ship", StepKind.APPROVAL, approval=at.question(name))
        await good(web, "POST", "/v1/flows/{id}/signal", {"name": "go", "payload": [1, {"a": None}]}, id=name)
        await good(web, "GET", "/v1/flows?status=running,waiting&limit=5")
        await good(web, "GET", "/v1/flows/{id}", id=name)
        await good(web, "GET", "/v1/flows/{id}?limit=1", id=name)
        await good(web, "GET", "/v1/flows/{id}/steps?full=true&after=-1", id=name)
        await good(web, "GET", "/v1/flows/{id}/children", id=name)
        for how in ("text", "mermaid", "json"):
            await good(web, "GET", f"/v1/flows/{{id}}/graph?format={how}", id=name)
        await good(web, "GET", "/v1/flows/{id}/events?limit=2", id=name)
        seen = await good(web, "GET", "/v1/flows/{id}/watch", id=name)
        await good(web, "GET", f"/v1/flows/{{id}}/watch?mark={seen['mark']}&after=0&timeoutMs=0", id=name)
        waited = await good(web, "POST", "/v1/flows/wait", {"lookups": [name], "timeoutMs": 0})
        assert waited["attention"] == [name]
        await good(web, "GET", "/v1/explain/{id}", id=name)
        await at.fail(held)
        await good(web, "POST", "/v1/flows/{id}/retry", {"fromStep": "build"}, id=name)
        await good(web, "POST", "/v1/flows/{id}/fork", {"fromStep": "plan"}, id=name)
        await at.block(await at.claim(name), kind="crashed", message="x")
        await good(web, "POST", "/v1/flows/{id}/resume", {}, id=name)
        await good(web, "POST", "/v1/flows/{id}/cancel", {"reason": "enough", "timeoutMs": 0}, id=name)
        await good(web, "GET", "/v1/tasks/audit")


@asynchronous
async def test_the_addresses_of_controllers_answer_as_they_are_described(tmp_path: Path) -> None:
    async with flow_web(tmp_path) as web:
        at: Any = web.world
        made = await good(web, "POST", "/v1/flows/managed", {"name": "deploy", "state": {"a": [1]}})
        name = made["flowId"]
        task = await at.run("make")
        await good(web, "POST", "/v1/flows/{id}/link", {"revision": 1, "taskId": task.task_id}, id=name)
        await good(web, "POST", "/v1/flows/{id}/set-waiting", {"revision": 2, "waitFor": "x", "until": "0"}, id=name)
        await good(web, "POST", "/v1/flows/{id}/resume", {"revision": 3}, id=name)
        ended = await good(web, "POST", "/v1/flows/{id}/finish", {"revision": 4, "result": {"u": 1}}, id=name)
        assert (ended["status"], ended["result"]) == ("succeeded", {"u": 1})
        for action, body in (("fail", {"error": "no"}), ("request-cancel", {"reason": "r"})):
            other = await good(web, "POST", "/v1/flows/managed", {"name": "deploy"})
            await good(web, "POST", f"/v1/flows/{{id}}/{action}", {"revision": 1, **body}, id=other["flowId"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/flows/none", None, 404, "not_found"),
        ("GET", "/v1/flows/%20", None, 400, "bad_input"),
        ("GET", "/v1/flows/a%00b", None, 400, "not_text"),
        ("GET", "/v1/flows?colour=red", None, 400, "bad_input"),
        ("GET", "/v1/flows?status=done", None, 400, "bad_input"),
        ("GET", "/v1/flows?cursor=xyz", None, 400, "bad_cursor"),
        ("GET", "/v1/flows/{id}/graph?format=dot", None, 400, "bad_input"),
        ("GET", "/v1/flows/{id}/watch?timeoutMs=9999999", None, 400, "bad_input"),
        ("POST", "/v1/flows", {}, 400, "bad_input"),
        ("POST", "/v1/flows", {"name": "nobody"}, 404, "no_such_program"),
        ("POST", "/v1/flows", {"file": {"text": "steps: 1"}}, 400, "bad_flow_file"),
        ("POST", "/v1/flows", {"file": {"text": 1}}, 400, "bad_input"),
        ("POST", "/v1/flows", b"{", 400, "bad_input"),
        ("POST", "/v1/flows/{id}/signal", {}, 400, "bad_input"),
        ("POST", "/v1/flows/{id}/signal", {"name": "go", "payload": "\udcff"}, 400, "not_text"),
        ("POST", "/v1/flows/{id}/retry", {}, 409, "not_now"),
        ("POST", "/v1/flows/{id}/fork", {"fromStep": "x"}, 404, "unknown_step"),
        ("POST", "/v1/flows/{id}/finish", {"revision": 1}, 409, "not_managed"),
        ("POST", "/v1/flows/{id}/finish", {}, 400, "bad_input"),
        ("POST", "/v1/flows/wait", {"lookups": ["none"]}, 404, "not_found"),
        ("DELETE", "/v1/flows/{id}", None, 405, "bad_method"),
    ],
)
@asynchronous
async def test_every_mistake_has_its_status_and_code(
    tmp_path: Path, method: str, path: str, body: Any, status: int, code: str
) -> None:
    async with flow_web(tmp_path) as web:
        at: Any = web.world
        held = await at.claim((await at.program()).flow_id)
        answer = await web.ask(method, path.replace("{id}", held.flow.id), body)
        assert (answer.status, answer.code) == (status, code), answer.body
        assert misfits(answer.json, {"$ref": "#/components/schemas/Error"}, DOCUMENT) == []


@asynchronous
async def test_a_ledger_out_of_reach_is_503(tmp_path: Path) -> None:
    async with flow_web(tmp_path, failing={"open": trouble()}) as web:
        for method, path, body in (
            ("GET", "/v1/flows", None),
            ("POST", "/v1/flows", {"handler": PROGRAM}),
            ("GET", "/v1/flows/f1/watch", None),
        ):
            answer = await web.ask(method, path, body)
            assert (answer.status, answer.code) == (503, "store_unreachable")
        assert (await web.ask("POST", "/v1/flows/check", {"file": {"text": FILE}})).json["ok"] is True


@asynchronous
async def test_a_caller_over_the_network_needs_the_token_and_brings_no_environment(tmp_path: Path) -> None:
    async with flow_web(tmp_path) as web:
        assert (await web.ask("GET", "/v1/flows", tcp=True)).status in (401, 403)
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": f"127.0.0.1:{web.port}"}
        started = await web.ask("POST", "/v1/flows", {"handler": PROGRAM}, headers, tcp=True)
        assert started.status == 200, started.body
        refused = await web.ask("POST", "/v1/flows", {"handler": PROGRAM, "callerEnv": {"A": "b"}}, headers, tcp=True)
        assert (refused.status, refused.code) == (403, "env_refused")


@asynchronous
async def test_a_caller_that_leaves_ends_his_watch_and_nothing_else(tmp_path: Path) -> None:
    async with flow_web(tmp_path) as web:
        at: Any = web.world
        flow_id = (await at.program()).flow_id
        seen = await at.ask("flow.watch", flow_id)
        _, writer = await web.open("GET", f"/v1/flows/{flow_id}/watch?mark={seen.mark}&timeoutMs=60000")
        while not at.ledger.news._flows:
            await at.settle()
        writer.close()
        while at.ledger.news._flows:
            await at.settle()
        assert (await at.flow(flow_id)).status == "queued"


# ---- tool calls


@asynchronous
async def test_every_action_on_flows_is_reached(tmp_path: Path) -> None:
    async with flow_world(tmp_path) as at:

        async def act(action: str, **fields: Any) -> Any:
            return await tools.call(at.api, Caller(), {"tool": "flow", "action": action, **fields})

        started = await act("start", handler=PROGRAM)
        id_ = started.flow_id
        assert (await act("check", file={"text": FILE})).ok
        assert [row.flow_id for row in (await act("list")).flows] == [id_]
        for action in ("show", "steps", "children", "graph", "events", "watch"):
            assert (await act(action, flowId=id_)) is not None
        assert (await act("wait", flowId=id_, timeoutMs=0)).timed_out
        assert (await act("wait", flowIds=[id_], timeoutMs=0)).timed_out
        assert (await act("signal", flowId=id_, name="go")).name == "go"
        held = await at.claim(id_)
        await at.write(held, "plan")
        await at.block(held, kind="crashed", message="x")
        assert (await act("resume", flowId=id_)).status == "queued"
        await at.fail(await at.claim(id_))
        assert (await act("retry", flowId=id_)).status == "queued"
        assert (await act("fork", flowId=id_, fromStep="plan")).status == "queued"
        assert (await act("cancel", flowId=id_, timeoutMs=0)).cancel_asked_at is not None
        managed = (await act("create", name="deploy")).flow_id
        task = await at.run("make")
        await act("link", flowId=managed, revision=1, taskId=task.task_id)
        assert (await act("set_waiting", flowId=managed, revision=2, waitFor="x")).status == "waiting"
        assert (await act("finish", flowId=managed, revision=3)).status == "succeeded"
        for action, fields in (("fail", {"error": "no"}), ("request-cancel", {})):
            other = (await act("create", name="deploy")).flow_id
            assert (await act(action, flowId=other, revision=1, **fields)).ended_at is not None
        assert set(tools.FLOW_ACTIONS) == {word[5:] for word in ACTS if word.startswith("flow.")}


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ({"action": "strat"}, "action: must be one of start"),
        ({"action": "show"}, "flowId: is required"),
        ({"action": "show", "flowId": 7}, "flowId: must be text"),
        ({"action": "wait"}, "lookups: is required"),
        ({"action": "wait", "flowId": "f1", "flowIds": ["f2"]}, "does not go with flowIds"),
        ({"action": "start", "flow": "x"}, "flow: unknown field"),
    ],
)
@asynchronous
async def test_a_tool_call_that_is_wrong_names_the_field(tmp_path: Path, call: dict[str, Any], named: str) -> None:
    async with flow_world(tmp_path) as at:
        with pytest.raises(BadInput, match=named):
            await tools.call(at.api, ALICE, {"tool": "flow", **call})
