"""Requests and answers: routing, bodies, errors, and JSON that is valid whatever a command prints."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from api_fakes import World, asynchronous
from web import read_head, serving

from outlast.surfaces.http.routes import ROUTES
from outlast.surfaces.http.server import HEAD_MAX


@asynchronous
async def test_exec_and_poll_to_the_letter(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        started = await web.ask("POST", "/v1/tool", {"tool": "exec", "command": "npm run build", "background": True})
        assert started.status == 200
        assert started.headers["content-type"] == "application/json"
        session = web.world.sessions.all[started.json["sessionId"]]
        session.prints(b"built\n")
        session.ends(0)
        call = {"tool": "process", "action": "poll", "sessionId": session.id}
        result = (await web.ask("POST", "/v1/tool", call)).json
        expected = {"status": "succeeded", "exitCode": 0, "output": "built\n", "cursor": 6, "command": "npm run build"}
        assert {key: result[key] for key in expected} == expected
        assert "tail" not in result


@asynchronous
async def test_the_same_connection_serves_one_request_after_another(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        reader, writer = await web.connect()
        for _ in range(3):
            writer.write(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status, headers = await read_head(reader)
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            assert (status, body["gateway"]["protocol"]) == (200, 1)
            assert "date" not in headers
        writer.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/v1/sessions/", 404, "not_found"),
        ("GET", "/v1/sessions/s999/nope", 404, "not_found"),
        ("GET", "/v1/sessions/s9999999", 404, "not_found"),
        ("GET", "/v1/sessions/..%2f..%2fetc", 404, "not_found"),
        ("GET", "/v1/sessions/%ff%00", 404, "not_found"),
        ("PUT", "/v1/exec", 405, "bad_method"),
        ("GET", "/v1/exec", 405, "bad_method"),
        ("POST", "/v1/sessions", 405, "bad_method"),
        ("DELETE", "/v1/status", 405, "bad_method"),
        ("GET", "/v1/sessions?limit=x", 400, "bad_input"),
        ("GET", "/v1/sessions?limit=1&limit=2", 400, "bad_input"),
        ("GET", "/v1/sessions?colour=red", 400, "bad_input"),
        ("GET", "/v1/sessions?" + "&".join(f"a{i}=1" for i in range(200)), 400, "bad_input"),
        ("POST", "/v1/exec", 400, "bad_input"),
        ("POST", "/v1/tool", 400, "bad_input"),
        ("POST", "/v1/wait", 400, "bad_input"),
    ],
)
def test_what_is_wrong_is_answered_in_json(tmp_path: Path, method: str, path: str, status: int, code: str) -> None:
    @asynchronous
    async def test() -> None:
        async with serving(tmp_path) as web:
            answer = await web.ask(method, path, b"{}" if method == "POST" else None)
            assert (answer.status, answer.code) == (status, code)
            assert set(answer.json["error"]) == {"code", "message", "hint"}
            assert answer.json["error"]["message"]

    test()


@pytest.mark.parametrize(
    "row", [row for row in ROUTES if "/sessions/{id}" in row.path], ids=lambda row: f"{row.method}-{row.act}"
)
def test_every_action_on_an_unknown_session_is_not_found_at_once(tmp_path: Path, row: Any) -> None:
    body = {
        "send-keys": {"keys": ["a"]},
        "paste": {"text": "a"},
        "write": {"data": "a"},
        "resize": {"cols": 1, "rows": 1},
        "signal": {"signal": 1},
    }.get(row.act)

    @asynchronous
    async def test() -> None:
        async with serving(tmp_path) as web:
            answer = await web.ask(row.method, row.path.replace("{id}", "s9999999"), body)
            assert (answer.status, answer.code) == (404, "not_found")

    test()


@pytest.mark.parametrize(
    "body", [b"nope", b"\xff\xfe", b"[]", b'{"command": 1}', b'{"command": "a", "x": 1}', b"{" * 9999]
)
def test_a_bad_body_is_bad_input(tmp_path: Path, body: bytes) -> None:
    @asynchronous
    async def test() -> None:
        async with serving(tmp_path) as web:
            answer = await web.ask("POST", "/v1/exec", body)
            assert (answer.status, answer.code) == (400, "bad_input")

    test()


@asynchronous
async def test_a_body_that_is_too_large_is_refused_when_all_of_it_was_sent(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        answer = await web.ask("POST", "/v1/exec", b" " * (17 << 20))
        assert (answer.status, answer.code, answer.headers["connection"]) == (413, "too_large", "close")
        chunked: Any = {"Content-Length": None, "Transfer-Encoding": "chunked"}
        reader, writer = await web.open("POST", "/v1/exec", headers=chunked)
        for _ in range(17):
            writer.write(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await read_head(reader))[0] == 413
        writer.close()


@pytest.mark.parametrize(
    "headers", [{"Content-Length": str(1 << 40)}, {"Content-Length": str(17 << 20), "Expect": "100-continue"}]
)
def test_a_body_that_is_much_too_large_is_not_waited_for(tmp_path: Path, headers: dict[str, str]) -> None:
    @asynchronous
    async def test() -> None:
        async with serving(tmp_path) as web:
            reader, writer = await web.open("POST", "/v1/exec", headers=headers)
            assert (await read_head(reader))[0] == 413
            writer.close()

    test()


@asynchronous
async def test_a_head_without_an_end_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        reader, writer = await web.connect()
        writer.write(b"GET /v1/status HTTP/1.1\r\nX: " + b"x" * (HEAD_MAX + 10))
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        assert b"too large" in await reader.read()
        writer.close()


@asynchronous
async def test_what_is_not_http_is_answered_and_dropped(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        reader, writer = await web.connect()
        writer.write(b"\x16\x03\x01hello\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()
        assert (await web.ask("GET", "/v1/status")).status == 200


@asynchronous
async def test_a_fault_of_ours_is_a_500_and_the_gateway_stays_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as web:

        def broken() -> list[Any]:
            raise ZeroDivisionError("our fault")

        web.world.sessions.live = broken  # type: ignore[method-assign]
        with caplog.at_level(logging.ERROR):
            answer = await web.ask("GET", "/v1/sessions")
        assert (answer.status, answer.code) == (500, "internal")
        assert "our fault" not in answer.body.decode()
        assert "ZeroDivisionError: our fault" in caplog.text
        assert (await web.ask("GET", "/v1/openapi.json")).status == 200


def test_a_fault_of_ours_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    test_a_fault_of_ours_is_a_500_and_the_gateway_stays_up(tmp_path, caplog)
    assert caplog.text.count("Traceback") == 1


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)),
        b"\xff\xfe\x00",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b'"\\\x1b[0m',
        "\u2028\ufeff\U0010ffff".encode(),
    ],
)
def test_json_is_valid_whatever_a_command_prints(tmp_path: Path, data: bytes) -> None:
    @asynchronous
    async def test() -> None:
        async with serving(tmp_path) as web:
            session = await web.world.session(pty=True)
            session.prints(data)
            for raw in ("true", "false"):
                assert (await web.ask("GET", f"/v1/sessions/{session.id}/log?raw={raw}")).json["text"] is not None
                body = {"since": 0, "raw": raw == "true"}
                assert (await web.ask("POST", f"/v1/sessions/{session.id}/poll", body)).json["tail"] is not None
            assert (await web.ask("GET", f"/v1/sessions/{session.id}/screen")).json["lines"]
            assert (await web.ask("GET", f"/v1/sessions/{session.id}/output")).body == data

    test()


@asynchronous
async def test_a_command_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        answer = await web.ask("POST", "/v1/exec", rb'{"command": "ls \udcff", "background": true}')
        assert answer.json["command"] == "ls \ufffd"
        assert next(iter(web.world.sessions.all.values())).spec.command == "ls \udcff"


@asynchronous
async def test_a_caller_who_leaves_cancels_what_it_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        world = web.world
        session = await world.session()
        requests: list[tuple[str, Any]] = [
            (f"/v1/sessions/{session.id}/poll", {"timeoutMs": 60_000}),
            ("/v1/wait", {"sessionIds": [session.id], "pattern": "x"}),
            ("/v1/exec", {"command": "other"}),
            ("/v1/tool", {"tool": "process", "action": "wait", "sessionId": session.id}),
        ]
        for path, body in requests:
            _, writer = await web.open("POST", path, body)
            await until(world, lambda: world.sessions.waiting > 0)
            writer.close()
            await until(world, lambda: world.sessions.waiting == 0 and world.clock.due == [])


async def until(world: World, condition: Any) -> None:
    """Let sockets and tasks move until something holds; the test's own limit ends a wait for ever."""
    while not condition():
        await asyncio.sleep(0.001)


@asynchronous
async def test_raw_octets_carry_their_place_in_headers(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        session.prints(bytes(range(256)) * 4000)
        Path(session.folder, "gaps").write_bytes(b"%020d %020d\n" % (1000, 2000))
        answer = await web.ask("GET", f"/v1/sessions/{session.id}/output?start=990&end=2010")
        assert answer.body == (bytes(range(256)) * 10)[990:1000] + (bytes(range(256)) * 10)[2000:2010]
        found = {name: answer.headers[f"outlast-{name}"] for name in ("start", "end", "produced", "omitted")}
        assert found == {"start": "990", "end": "2010", "produced": "1024000", "omitted": "1000-2000"}
        beyond = await web.ask("GET", f"/v1/sessions/{session.id}/output?start=99999999")
        assert (beyond.status, beyond.code) == (416, "bad_range")


@asynchronous
async def test_sessions_are_removed_and_cleared(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        sessions = [await web.world.session() for _ in range(3)]
        assert (await web.ask("DELETE", f"/v1/sessions/{sessions[0].id}")).code == "session_running"
        for session in sessions:
            session.ends()
        assert (await web.ask("DELETE", f"/v1/sessions/{sessions[0].id}")).json == {"removed": [sessions[0].id]}
        cleared = await web.ask("POST", "/v1/sessions/clear")
        assert cleared.json == {"removed": [sessions[2].id, sessions[1].id]}


@asynchronous
async def test_openapi_describes_every_address(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        document = (await web.ask("GET", "/v1/openapi.json")).json
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == {(row.method, row.path) for row in ROUTES}
    used = json.dumps(document["paths"])
    for name in document["components"]["schemas"]:
        assert "/" not in name
    for reference in {part.split('"')[0] for part in used.split("#/components/schemas/")[1:]}:
        assert reference in document["components"]["schemas"]
    wait = document["components"]["schemas"]["WaitRequest"]
    assert wait["required"] == ["sessionIds"]


@asynchronous
async def test_closing_lets_answers_out_and_cuts_the_rest(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        session = await web.world.session()
        reader, polling = await web.open("POST", f"/v1/sessions/{session.id}/poll", {"timeoutMs": 60_000})
        idle, resting = await web.connect()
        stuck, sending = await web.open("POST", "/v1/exec", headers={"Content-Length": "10"})
        await until(web.world, lambda: web.world.sessions.waiting == 1)
        web.world.api.stop_waits()
        await web.server.close(5.0)  # seconds: for what is stuck all of them, and for an answer far more than it needs
        status, headers = await read_head(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert json.loads(await reader.readexactly(int(headers["content-length"])))["status"] == "running"
        assert await idle.read() == b""
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_head(stuck)
        with pytest.raises(OSError):
            await web.connect()
        for writer in (polling, resting, sending):
            writer.close()
