"""Tasks over HTTP: every address answers what the description says, and every mistake gets its status."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from api_ledger import ledger_world
from json_schema import KEYWORDS, KINDS, misfits, resolve, schemas_in
from web import Answer, Web, serving

from outlast.api.acts import ACTS
from outlast.surfaces.http.openapi import document
from outlast.surfaces.http.routes import ROUTES
from watched_store import trouble

DOCUMENT = document("1")


@asynccontextmanager
async def ledger_web(home: Path, **options: Any) -> AsyncIterator[Web]:
    """A server over a ledger of its own."""
    async with ledger_world(home, **options) as world, serving(home, world=world) as web:
        yield web


def answer_schema(method: str, path: str) -> dict[str, Any]:
    """Return the schema of the good answer of an address."""
    operation = DOCUMENT["paths"][path][method.lower()]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert isinstance(schema, dict)
    return schema


async def good(web: Web, method: str, path: str, body: Any = None, **values: str) -> Any:
    """Ask at an address with its braces filled in; the answer fits its description."""
    full = path
    for name, value in values.items():
        full = full.replace("{" + name + "}", value)
    answer = await web.ask(method, full, body)
    assert answer.status == 200, answer.body
    bare = path.partition("?")[0]
    assert misfits(answer.json, answer_schema(method, bare), DOCUMENT) == []
    return answer.json


@asynchronous
async def test_every_address_answers_as_it_is_described(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        task = await good(web, "POST", "/v1/exec", {"command": "make", "detach": True, "env": {"A": "1"}})
        await world.settle()
        name = task["taskId"]
        await good(web, "GET", "/v1/tasks?status=queued,running&limit=5")
        await good(web, "GET", "/v1/tasks/{id}", id=name)
        await good(web, "GET", "/v1/tasks/{id}/events?limit=2", id=name)
        await good(web, "GET", "/v1/tasks/{id}/children", id=name)
        await good(web, "GET", "/v1/tasks/{id}/log?tail=3", id=name)
        await good(web, "POST", "/v1/tasks/{id}/report", {"progress": 4, "message": "m"}, id=name)
        await good(web, "POST", "/v1/tasks/{id}/notify", {"policy": "state_changes"}, id=name)
        await good(web, "POST", "/v1/tasks/wait", {"lookups": [name], "timeoutMs": 0})
        await good(web, "GET", "/v1/explain/{id}", id=name)
        ended = await good(web, "POST", "/v1/tasks/{id}/cancel", {"reason": "enough"}, id=name)
        assert (ended["status"], ended["cause"]) == ("cancelled", "operator")
        await good(web, "POST", "/v1/tasks/{id}/dismiss", {}, id=name)
        again = await good(web, "POST", "/v1/tasks/{id}/retry", {}, id=name)
        assert again["taskId"] != name
        made = await good(web, "POST", "/v1/tasks/report", {"label": "ci", "runId": "ci/7 ä"})
        late = await good(web, "POST", "/v1/tasks/{id}/report", {"done": True, "exitCode": 1}, id="ci%2F7%20%C3%A4")
        assert (late["taskId"], late["exitCode"]) == (made["taskId"], 1)
        await good(web, "GET", "/v1/tasks/audit?severity=error")
        await good(web, "POST", "/v1/tasks/maintenance", {"apply": True})
        await good(web, "GET", "/v1/tasks/stats")
        await good(web, "POST", "/v1/tasks/queues", {"name": "db", "limit": 2})
        await good(web, "GET", "/v1/tasks/queues")
        await good(web, "POST", "/v1/backup", {"path": str(tmp_path / "copy")})
        await good(web, "GET", "/v1/store")
        await good(web, "GET", "/v1/status")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/tasks/none", None, 404, "not_found"),
        ("GET", "/v1/tasks/%20", None, 400, "bad_input"),
        ("GET", "/v1/tasks/a%00b", None, 400, "not_text"),
        ("GET", "/v1/tasks?colour=red", None, 400, "bad_input"),
        ("GET", "/v1/tasks?limit=ten", None, 400, "bad_input"),
        ("GET", "/v1/tasks?limit=1&limit=2", None, 400, "bad_input"),
        ("GET", "/v1/tasks?cursor=xyz", None, 400, "bad_cursor"),
        ("GET", "/v1/tasks?status=done", None, 400, "bad_input"),
        ("GET", "/v1/tasks/t1/events?after=-1", None, 400, "bad_input"),
        ("GET", "/v1/tasks/audit?code=rust", None, 400, "bad_input"),
        ("POST", "/v1/tasks/t1/notify", {}, 400, "bad_input"),
        ("POST", "/v1/tasks/t1/notify", {"policy": "loud"}, 400, "bad_input"),
        ("POST", "/v1/tasks/t1/report", {"message": "\udcff"}, 400, "not_text"),
        ("POST", "/v1/tasks/t1/cancel", b"{", 400, "bad_input"),
        ("POST", "/v1/tasks/t1/dismiss", {}, 409, "not_ended"),
        ("POST", "/v1/tasks/t1/retry", {}, 409, "not_ended"),
        ("POST", "/v1/tasks/wait", {"lookups": "t1"}, 400, "bad_input"),
        ("POST", "/v1/tasks/wait", {"lookups": ["none"]}, 404, "not_found"),
        ("POST", "/v1/exec", {"command": "x", "queue": "q"}, 400, "bad_input"),
        ("DELETE", "/v1/tasks/t1", None, 405, "bad_method"),
        ("POST", "/v1/tasks", {}, 405, "bad_method"),
    ],
)
@asynchronous
async def test_every_mistake_has_its_status_and_code(
    tmp_path: Path, method: str, path: str, body: Any, status: int, code: str
) -> None:
    async with ledger_web(tmp_path) as web:
        await web.world.record("t1")  # type: ignore[attr-defined]
        answer = await web.ask(method, path, body)
        assert (answer.status, answer.code) == (status, code), answer.body
        assert misfits(answer.json, {"$ref": "#/components/schemas/Error"}, DOCUMENT) == []


@asynchronous
async def test_a_ledger_out_of_reach_is_503_and_commands_run_on(tmp_path: Path) -> None:
    async with ledger_web(tmp_path, failing={"open": trouble()}) as web:
        for method, path, body in (
            ("GET", "/v1/tasks", None),
            ("POST", "/v1/exec", {"command": "make", "detach": True}),
            ("GET", "/v1/tasks/t1", None),
            ("GET", "/v1/tasks/stats", None),
        ):
            answer = await web.ask(method, path, body)
            assert (answer.status, answer.code) == (503, "store_unreachable")
        ran = await web.ask("POST", "/v1/exec", {"command": "make", "background": True})
        assert ran.status == 200
        shown = await web.ask("GET", "/v1/status")
        assert shown.json["tasks"] is None and shown.json["gateway"]["store"]["kind"] == "unavailable"


@asynchronous
async def test_a_requester_named_by_the_header_is_kept_to_his_own(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        await web.world.record("t1", requester="ann")  # type: ignore[attr-defined]

        async def ask(path: str, who: str) -> Answer:
            return await web.ask("GET", path, headers={"Outlast-Requester": who})

        assert (await ask("/v1/tasks/t1", "ann")).status == 200
        assert (await ask("/v1/tasks/t1", "bob")).status == 404
        assert (await ask("/v1/tasks", "bob")).json == {"tasks": [], "next": None}
        assert (await ask("/v1/tasks/stats", "ann")).status == 403


@asynchronous
async def test_a_caller_that_leaves_ends_his_wait_and_nothing_else(tmp_path: Path) -> None:
    async with ledger_web(tmp_path) as web:
        world: Any = web.world
        task = await world.run()
        _, writer = await web.open("POST", "/v1/tasks/wait", {"lookups": [task.task_id]})
        while not world.ledger.news._waiters:
            await world.settle()
        writer.close()
        while world.ledger.news._waiters:
            await world.settle()
        assert (await world.end(task.task_id)).status == "succeeded"


# ---- the description


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, op) for path, item in DOCUMENT["paths"].items() for method, op in item.items()]


def test_the_description_is_valid_openapi() -> None:
    """What generators trip over: references without a target, names used twice, parameters that are not declared."""
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(DOCUMENT["info"])
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)
    for path, method, operation in operations():
        declared = [(one["in"], one["name"]) for one in operation["parameters"]]
        assert len(set(declared)) == len(declared), path
        in_path = [name for where, name in declared if where == "path"]
        assert in_path == re.findall(r"{(\w+)}", path)
        assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
        assert ("requestBody" in operation) is (method == "post")
        assert set(operation["responses"]) == {"200", "default"}
        assert all(response["description"] for response in operation["responses"].values())
    assert DOCUMENT["security"] == [{name: []} for name in DOCUMENT["components"]["securitySchemes"]]


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    places: list[Any] = list(DOCUMENT["components"]["schemas"].values())
    for _, _, operation in operations():
        places += [one["schema"] for one in operation["parameters"]]
        for body in [*operation["responses"].values(), operation.get("requestBody", {"content": {}})]:
            places += [content["schema"] for content in body["content"].values()]
    found = schemas_in(places)
    assert len(found) > 300
    for schema in found:
        assert set(schema) <= KEYWORDS, schema
        if "$ref" in schema:
            resolve(schema["$ref"], DOCUMENT)
        kinds = schema.get("type", [])
        assert set(kinds if isinstance(kinds, list) else [kinds]) <= set(KINDS)
        assert set(schema.get("required", ())) <= set(schema.get("properties", ()))


def test_every_act_about_tasks_has_one_address() -> None:
    routed = [row.act for row in ROUTES]
    assert [act for act in ACTS if routed.count(act) != 1] == []
