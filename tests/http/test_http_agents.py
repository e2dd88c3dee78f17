"""Agents over HTTP: every address answers what the description says, and every mistake has its status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_players import played_world
from api_fakes import asynchronous
from json_schema import misfits
from test_http_tasks import DOCUMENT, answer_schema, good
from web import TOKEN, Answer, Web, serving

from outlast.api.acts import ACTS
from outlast.core.session import Status
from outlast.surfaces.http.routes import ROUTES
from watched_store import trouble

BEARER = {"Authorization": f"Bearer {TOKEN}"}
ALICE = {"Outlast-Requester": "agent:alice:main"}
BOB = {"Outlast-Requester": "agent:bob:main"}
MAIN = "agent:coder:main"


@asynccontextmanager
async def agent_web(home: Path, **options: Any) -> AsyncIterator[Web]:
    """A server over a ledger with agents the test plays."""
    async with played_world(home, **options) as world, serving(home, world=world) as web:
        yield web


async def spawned(web: Web, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    answer = await web.ask("POST", "/v1/subagents", {"agent": "coder", "task": "look", **fields}, headers)
    assert answer.status == 200, answer.body
    await web.world.settle()  # type: ignore[attr-defined]
    return answer.json


@asynchronous
async def test_every_address_answers_as_it_is_described(tmp_path: Path) -> None:
    async with agent_web(tmp_path) as web:
        at: Any = web.world
        made = await good(web, "POST", "/v1/agents/run", {"agent": "coder", "message": "x", "timeoutSeconds": 9.5})
        child = await good(web, "POST", "/v1/subagents", {"agent": "quick", "task": "x", "as": MAIN, "label": "l"})
        await at.settle()
        await at.say(MAIN, "one", "two", task_id=made["taskId"], data={"a": [1, None]})
        agents = await good(web, "GET", "/v1/agents")
        assert [one["agent"] for one in agents["agents"]] == ["coder", "quick", "calm"]
        listed = await good(web, "GET", "/v1/subagents?status=running&limit=5&as=agent:coder:main")
        assert [one["taskId"] for one in listed["tasks"]] == [child["taskId"]]
        shown = await good(web, "GET", "/v1/subagents/{id}", id=child["taskId"])
        assert (shown["agent"], shown["parent"], shown["task"]["parentId"]) == ("quick", MAIN, made["taskId"])
        said = await good(web, "POST", "/v1/subagents/{id}/steer", {"text": "x", "interrupt": True}, id=made["taskId"])
        assert (said["taskId"], said["heard"]) == (made["taskId"], "now")
        waited = await good(web, "POST", "/v1/subagents/wait", {"lookups": [child["taskId"]], "timeoutMs": 0})
        assert (waited["met"], waited["timedOut"]) == (False, True)
        path = "/v1/conversations/{id}/transcript"
        first = await good(web, "GET", f"{path}?after=0&limit=1&timeoutMs=5", id=MAIN)
        assert ([one["text"] for one in first["entries"]], first["after"], first["ended"]) == (["one"], 1, False)
        await good(web, "GET", f"{path}?before=2", id=MAIN)
        await at.play_out(made["taskId"])
        over = await good(web, "GET", f"{path}?after=2&timeoutMs=60000&task={made['taskId']}", id=MAIN)
        assert (over["entries"], over["ended"]) == ([], True)
        gone = await good(web, "POST", "/v1/subagents/{id}/cancel", {"reason": "enough"}, id=child["taskId"])
        assert (gone["status"], gone["cause"]) == ("cancelled", "operator")
        await good(web, "GET", "/v1/agents/{id}", id="coder")
        await good(web, "GET", "/v1/heartbeat")
        await good(web, "POST", "/v1/heartbeat/run", {"agent": "coder", "timeoutMs": 0})
        await good(web, "GET", "/v1/heartbeat/history?agent=coder&limit=3&before=9")
        await good(web, "POST", "/v1/heartbeat/pause", {"agent": "coder"})
        await good(web, "POST", "/v1/heartbeat/resume")


def test_every_act_of_agents_has_an_address() -> None:
    acts = {name for name in ACTS if name.startswith(("agents.", "subagents.", "heartbeat."))}
    assert acts == {row.act for row in ROUTES if row.act.startswith(("agents.", "subagents.", "heartbeat."))}


@asynchronous
async def test_mistakes_have_their_status_and_their_code(tmp_path: Path) -> None:
    async with agent_web(tmp_path) as web:
        at: Any = web.world
        made = await spawned(web)
        await at.play_out(made["taskId"], Status.FAILED, error="x")
        command = await at.run("make")
        run, task = "/v1/agents/run", f"/v1/subagents/{made['taskId']}"
        wrong: list[tuple[str, str, Any, int, str]] = [
            ("POST", run, {"agent": "nobody", "message": "x"}, 400, "no_such_agent"),
            ("POST", run, {"agent": "coder", "message": " "}, 400, "bad_message"),
            ("POST", run, {"agent": "coder", "message": "x", "conversation": "a\nb"}, 400, "bad_key"),
            ("POST", run, {"agent": "coder", "message": "x", "workdir": "/not/there"}, 400, "bad_workdir"),
            ("POST", run, {"agent": "coder", "mesage": "x"}, 400, "bad_input"),
            ("POST", run, b'{"agent": "coder", "message": "\xff"}', 400, "bad_input"),
            ("POST", run, b"[" * 100_000, 400, "bad_input"),
            ("GET", f"/v1/subagents/{command.task_id}", None, 400, "no_agent"),
            ("GET", "/v1/subagents?limit=many", None, 400, "bad_input"),
            ("GET", "/v1/subagents?limit=1&limit=2", None, 400, "bad_input"),
            ("GET", "/v1/subagents?cursor=nonsense", None, 400, "bad_cursor"),
            ("GET", "/v1/subagents/t0nothing", None, 404, "not_found"),
            ("GET", "/v1/subagents/%00", None, 400, "not_text"),
            ("POST", f"{task}/steer", {"text": "x"}, 409, "not_running"),
            ("POST", f"{task}/cancel", {}, 409, "already_ended"),
            ("GET", "/v1/conversations/a%0Ab/transcript", None, 400, "bad_key"),
            ("GET", f"/v1/conversations/{MAIN}/transcript?after=1&before=2", None, 400, "bad_input"),
            ("GET", f"/v1/conversations/{MAIN}/transcript?after={2**80}", None, 400, "bad_input"),
            ("GET", "/v1/agents/nobody", None, 400, "no_such_agent"),
            ("POST", "/v1/agents/nobody/check", {}, 400, "no_such_agent"),
            ("POST", "/v1/agents/coder/check", {"deep": True}, 400, "bad_input"),
            ("POST", "/v1/heartbeat/run", {"agent": "nobody"}, 400, "no_such_agent"),
            ("DELETE", "/v1/agents", None, 405, "bad_method"),
        ]
        for method, path, body, status, code in wrong:
            answer = await web.ask(method, path, body)
            assert (path, answer.status, answer.code) == (path, status, code), answer.body
            assert len(answer.body) < 2000
        for _ in range(5):
            await spawned(web, ALICE)
        answer = await web.ask("POST", "/v1/subagents", {"agent": "coder", "task": "x"}, ALICE)
        assert (answer.status, answer.code) == (403, "too_many_children")
        await web.ask("POST", run, {"agent": "coder", "message": "x", "conversation": "c"})
        answer = await web.ask("POST", run, {"agent": "quick", "message": "x", "conversation": "c"})
        assert (answer.status, answer.code) == (400, "other_agent")


@asynchronous
async def test_what_is_a_strangers_does_not_exist(tmp_path: Path) -> None:
    async with agent_web(tmp_path) as web:
        at: Any = web.world
        made = await spawned(web, ALICE)
        key, task = made["conversation"], f"/v1/subagents/{made['taskId']}"
        await at.say(key, "hush")
        for method, path, body in (
            ("GET", task, None), ("POST", f"{task}/steer", {"text": "x"}), ("POST", f"{task}/cancel", {}),
            ("POST", "/v1/subagents/wait", {"lookups": [made["taskId"]]}),
            ("GET", f"/v1/conversations/{key}/transcript", None),
        ):  # fmt: skip
            answer = await web.ask(method, path, body, BOB)
            assert (path, answer.status, answer.code) == (path, 404, "not_found")
            assert b"hush" not in answer.body
        assert (await web.ask("GET", "/v1/subagents", None, BOB)).json["tasks"] == []
        for method, path, body in (
            ("GET", "/v1/agents/coder", None), ("POST", "/v1/agents/coder/check", {}), ("GET", "/v1/heartbeat", None),
            ("POST", "/v1/heartbeat/pause", {}), ("GET", "/v1/subagents?as=agent:alice:main", None),
            ("POST", "/v1/agents/run", {"agent": "coder", "message": "x", "conversation": key}),
            ("POST", "/v1/subagents", {"agent": "coder", "task": "x", "as": "agent:alice:main"}),
        ):  # fmt: skip
            answer = await web.ask(method, path, body, BOB)
            assert (path, answer.status, answer.code) == (path, 403, "refused")
        told = await web.ask("GET", f"/v1/conversations/{key}/transcript", None, ALICE)
        assert told.json["entries"][0]["text"] == "hush"
        at.configure('[exec.requesters]\n"agent:bob:*" = "deny"\n')
        for method, path, body in (
            ("POST", "/v1/subagents", {"agent": "coder", "task": "x"}), ("GET", "/v1/agents", None),
        ):  # fmt: skip
            answer = await web.ask(method, path, body, BOB)
            assert (answer.status, answer.code) == (403, "exec_denied")


@asynchronous
async def test_callers_on_the_net_need_the_token_and_hand_over_no_environment(tmp_path: Path) -> None:
    async with agent_web(tmp_path) as web:
        body = {"agent": "coder", "message": "x"}
        for method, path, given in (
            ("GET", "/v1/agents", None), ("POST", "/v1/agents/run", body), ("GET", "/v1/heartbeat", None),
            ("GET", f"/v1/conversations/{MAIN}/transcript", None), ("POST", "/v1/subagents/wait", {"lookups": ["x"]}),
        ):  # fmt: skip
            for headers, code in (({}, "no_token"), ({"Authorization": "Bearer wrong"}, "bad_token")):
                answer = await web.ask(method, path, given, headers, tcp=True)
                assert (path, answer.status, answer.code) == (path, 403, code)
        assert (await web.ask("GET", "/v1/subagents", None, BEARER, tcp=True)).json["tasks"] == []
        made = await web.ask("POST", "/v1/agents/run", {**body, "env": {"A": "b"}}, BEARER, tcp=True)
        assert (made.status, made.json["conversation"]) == (200, "agent:coder:with:remote")
        made = await web.ask("POST", "/v1/agents/run", body, {**BEARER, **ALICE}, tcp=True)
        assert made.json["conversation"] == "agent:coder:with:agent:alice:main"
        for path, given in (("/v1/agents/run", body), ("/v1/subagents", {"agent": "coder", "task": "x"})):
            answer = await web.ask("POST", path, {**given, "callerEnv": {"PATH": "/x"}}, BEARER, tcp=True)
            assert (answer.status, "callerEnv" in answer.json["error"]["message"]) == (400, True)
        for method, path, given in (
            ("GET", "/v1/agents/coder", None), ("POST", "/v1/agents/coder/check", {}),
            ("POST", "/v1/heartbeat/pause", {}),
            ("POST", "/v1/agents/run", {**body, "conversation": MAIN}),
            ("POST", "/v1/agents/run", {**body, "requester": "local"}),
        ):  # fmt: skip
            answer = await web.ask(method, path, given, BEARER, tcp=True)
            assert (path, answer.status) == (path, 403)


@asynchronous
async def test_a_long_poll_is_let_go_by_news_by_its_caller_and_by_a_gateway_that_stops(tmp_path: Path) -> None:
    async with agent_web(tmp_path) as web:
        at: Any = web.world
        path = f"/v1/conversations/{MAIN}/transcript?after=0&timeoutMs=600000"
        await at.ask("agents.run", agent="coder", message="x")

        async def waiting(path: str) -> asyncio.Task[Answer]:
            asking = asyncio.ensure_future(web.ask("GET", path))
            while not at.api._stops:  # it waits
                await asyncio.sleep(0)
            return asking

        asking = await waiting(path)
        await at.say(MAIN, "news")
        assert [one["text"] for one in (await asking).json["entries"]] == ["news"]
        _, writer = await web.open("GET", path.replace("after=0", "after=1"))
        while not at.api._stops:
            await asyncio.sleep(0)
        writer.close()  # who has gone is not waited for
        while at.api._stops:
            await asyncio.sleep(0)
        asking = await waiting(path.replace("after=0", "after=1"))
        at.api.stop_waits()
        answer = await asking
        assert (answer.status, answer.json["entries"], answer.json["after"]) == (200, [], 1)


@asynchronous
async def test_a_store_in_trouble_is_said_as_such(tmp_path: Path) -> None:
    async with agent_web(tmp_path) as web:
        at: Any = web.world
        at.store.failing.update(
            {
                "live_turns": trouble(),
                "get_agent_conversation": trouble(),
                "list_tasks": trouble(),
                "beats_of": trouble(),
            }
        )
        for path in ("/v1/agents", "/v1/subagents", f"/v1/conversations/{MAIN}/transcript", "/v1/heartbeat"):
            answer = await web.ask("GET", path)
            assert answer.status == 503, path


@pytest.mark.parametrize("tool", [
    {"tool": "subagents", "action": "spawn", "agent": "coder", "task": "look"},
    {"tool": "subagents", "action": "list"},
    {"tool": "heartbeat", "action": "status"},
    {"tool": "agents", "action": "list"},
    {"tool": "agents", "action": "show", "agent": "coder"},
    {"tool": "agents", "action": "run", "agent": "coder", "message": "look"},
])  # fmt: skip
@asynchronous
async def test_tool_calls_answer_what_the_address_does(tmp_path: Path, tool: dict[str, Any]) -> None:
    async with agent_web(tmp_path) as web:
        answer = await web.ask("POST", "/v1/tool", tool)
        assert answer.status == 200
        row = next(row for row in ROUTES if row.act == f"{tool['tool']}.{tool['action']}")
        method, path = row.method, row.path
        assert misfits(answer.json, answer_schema(method, path), DOCUMENT) == []


@asynchronous
async def test_schedules_are_tool_calls_in_the_words_of_their_addresses(tmp_path: Path) -> None:
    async with agent_web(tmp_path) as web:

        async def call(action: str, requester: dict[str, str] = ALICE, **fields: Any) -> Any:
            return await web.ask("POST", "/v1/tool", {"tool": "cron", "action": action, **fields}, requester)

        made = await call("add", name="later", **{"in": "1h"}, agent="coder", message="look")
        assert (made.status, made.json["name"], made.json["requester"]) == (200, "later", "agent:alice:main")
        for action, fields in (
            ("list", {}), ("show", {}), ("next", {"count": 2}), ("edit", {"in": "2h"}), ("pause", {}), ("resume", {}),
            ("run", {}), ("runs", {"limit": 1}), ("remove", {}),
        ):  # fmt: skip
            named = {} if action == "list" else {"name": "later"}
            answer = await call(action, **named, **fields)
            assert (action, answer.status) == (action, 200), answer.body
            row = next(row for row in ROUTES if row.act == f"cron.{action}")
            assert misfits(answer.json, answer_schema(row.method, row.path), DOCUMENT) == [], action
        assert (await call("export", {})).status == 200
        assert (await call("import", {}, text="")).status == 200
        await call("add", name="mine", every="1h", command="true")
        assert (await call("remove", BOB, name="mine")).code == "not_found"
        assert "name: is required" in (await call("show")).json["error"]["message"]
        assert "did you mean remove" in (await call("remov", name="mine")).json["error"]["hint"]


@asynchronous
async def test_the_longest_message_arrives_whatever_it_is_made_of(tmp_path: Path) -> None:
    """512 Ki characters: of one byte, of four, and of the six that an escape takes."""
    async with agent_web(tmp_path) as web:
        at: Any = web.world
        for char in ("a", "\U0001f600", "\x1b"):
            message = char * (512 * 1024)
            body = json.dumps({"agent": "coder", "message": message, "conversation": f"c{ord(char)}"}).encode()
            made = await web.ask("POST", "/v1/agents/run", body)
            assert made.status == 200, made.body[:300]
            await at.settle()
            assert at.players.prompts[made.json["taskId"]] == message
            assert len(made.body) < 5_000
