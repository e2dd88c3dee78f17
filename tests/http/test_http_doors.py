"""Who gets in: the peer check of the Unix socket, and token, Host and site rules over TCP."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from api_fakes import asynchronous
from web import TOKEN, serving

from outlast.surfaces.http import auth

GOOD = {"Authorization": f"Bearer {TOKEN}"}
NOBODY = 65534
root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (GOOD, None),
        ({**GOOD, "Host": "127.0.0.1:{port}"}, None),
        ({**GOOD, "Host": "LOCALHOST:{port}"}, None),
        ({**GOOD, "Host": "[::1]:{port}"}, None),
        ({**GOOD, "Host": "box.example:{port}"}, None),
        ({**GOOD, "Origin": "http://localhost:{port}", "Host": "localhost:{port}"}, None),
        ({**GOOD, "Sec-Fetch-Site": "same-origin"}, None),
        ({**GOOD, "Sec-Fetch-Site": "none"}, None),
        ({"Authorization": f"bearer {TOKEN}"}, None),
        ({}, "no_token"),
        ({"Authorization": "Bearer wrong"}, "bad_token"),
        ({"Authorization": "Bearer "}, "bad_token"),
        ({"Authorization": f"Bearer {TOKEN}x"}, "bad_token"),
        ({"Authorization": f"Basic {TOKEN}"}, "bad_token"),
        ({"Authorization": TOKEN}, "bad_token"),
        ({**GOOD, "Host": "evil.example"}, "bad_host"),
        ({**GOOD, "Host": "evil.example:{port}"}, "bad_host"),
        ({**GOOD, "Host": "localhost:1"}, "bad_host"),
        ({**GOOD, "Host": "localhost.evil.example:{port}"}, "bad_host"),
        ({**GOOD, "Host": "user@localhost:{port}"}, "bad_host"),
        ({**GOOD, "Host": "localhost/x"}, "bad_host"),
        ({**GOOD, "Host": "[::1"}, "bad_host"),
        ({**GOOD, "Host": "localhost:99999999"}, "bad_host"),
        ({**GOOD, "Host": ""}, "bad_host"),
        ({**GOOD, "Sec-Fetch-Site": "cross-site"}, "cross_site"),
        ({**GOOD, "Sec-Fetch-Site": "same-site"}, "cross_site"),
        ({**GOOD, "Origin": "http://evil.example"}, "cross_site"),
        ({**GOOD, "Origin": "null"}, "cross_site"),
        ({**GOOD, "Origin": "https://localhost:{port}", "Host": "localhost:{port}"}, "cross_site"),
        ({**GOOD, "Origin": "http://localhost:{port}", "Host": "127.0.0.1:{port}"}, "cross_site"),
    ],
)
def test_the_tcp_door(tmp_path: Path, headers: dict[str, str], code: str | None) -> None:
    @asynchronous
    async def test() -> None:
        async with serving(tmp_path, names=("box.example",)) as web:
            sent = {name: value.replace("{port}", str(web.port)) for name, value in headers.items()}
            answer = await web.ask("GET", "/v1/sessions", headers=sent, tcp=True)
            if code is None:
                assert answer.status == 200
            else:
                assert (answer.status, answer.code) == (403, code)

    test()


@asynchronous
async def test_a_request_without_a_host_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        reader, writer = await web.connect(tcp=True)
        writer.write(f"GET /v1/status HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert b"bad_host" in await reader.read()
        writer.close()


@asynchronous
async def test_a_refused_request_does_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        answer = await web.ask("POST", "/v1/exec", {"command": "true", "background": True}, tcp=True)
        assert answer.status == 403
        assert web.world.sessions.all == {}


@asynchronous
async def test_over_tcp_nobody_is_the_operator(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        local = await web.world.session()
        theirs = await web.ask("POST", "/v1/exec", {"command": "x", "background": True}, GOOD, tcp=True)
        assert theirs.json["requester"] == "remote"
        listed = (await web.ask("GET", "/v1/sessions", headers=GOOD, tcp=True)).json["sessions"]
        assert [s["sessionId"] for s in listed] == [theirs.json["sessionId"]]
        assert (await web.ask("GET", f"/v1/sessions/{local.id}", headers=GOOD, tcp=True)).status == 404
        assert (await web.ask("POST", "/v1/gateway/stop", {}, GOOD, tcp=True)).status == 403
        refused = await web.ask("POST", "/v1/exec", {"command": "x", "callerEnv": {}}, GOOD, tcp=True)
        assert (refused.status, refused.code) == (403, "env_refused")
        refused = await web.ask("POST", "/v1/exec", {"command": "x", "env": {"LD_PRELOAD": "x"}}, GOOD, tcp=True)
        assert (refused.status, refused.code) == (403, "env_refused")
        posing = await web.ask("GET", "/v1/sessions", headers={**GOOD, "Outlast-Requester": "local"}, tcp=True)
        assert posing.status == 403
        assert web.world.stops == 0


@asynchronous
async def test_a_requester_is_named_by_header_or_field_and_the_field_wins(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        ann = {"Outlast-Requester": "ann"}
        body: dict[str, Any] = {"command": "x", "background": True}
        assert (await web.ask("POST", "/v1/exec", body)).json["requester"] == "local"
        assert (await web.ask("POST", "/v1/exec", body, ann)).json["requester"] == "ann"
        assert (await web.ask("POST", "/v1/exec", {**body, "requester": "bob"}, ann)).json["requester"] == "bob"
        assert len((await web.ask("GET", "/v1/sessions", headers=ann)).json["sessions"]) == 1
        assert len((await web.ask("GET", "/v1/sessions?requester=bob", headers=ann)).json["sessions"]) == 1
        assert len((await web.ask("GET", "/v1/sessions")).json["sessions"]) == 3
        assert (await web.ask("GET", "/v1/sessions", headers={"Outlast-Requester": "\x7f"})).status == 400


def as_nobody(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a bit of Python as another user."""
    drop = f"import os, socket, sys; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    return subprocess.run(
        [sys.executable, "-I", "-c", drop + script, *args], capture_output=True, text=True, timeout=90, check=False
    )


CONNECT = """
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(60)
try:
    sock.connect(sys.argv[1])
    sock.sendall(b"GET /v1/status HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    print(repr(sock.recv(100)))
except (PermissionError, ConnectionResetError, BrokenPipeError) as error:
    print(type(error).__name__)
"""


@root_only
@asynchronous
async def test_another_user_is_stopped_by_the_file_mode(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        done = await asyncio.to_thread(as_nobody, CONNECT, web.path)
        assert done.stdout.strip() == "PermissionError", done


@root_only
@asynchronous
async def test_another_user_who_gets_as_far_as_the_socket_is_dropped() -> None:
    """With every file mode wide open the peer check alone holds. The way there is not one that other tests share."""
    with tempfile.TemporaryDirectory(prefix="ol-") as folder:
        async with serving(Path(folder)) as web:
            os.chmod(folder, 0o755)
            os.chmod(web.path, 0o666)
            done = await asyncio.to_thread(as_nobody, CONNECT, web.path)
            assert (await web.ask("GET", "/v1/status")).status == 200
        assert done.stdout.strip() in ("b''", "ConnectionResetError", "BrokenPipeError"), done


@asynchronous
async def test_the_same_user_is_let_in_and_known(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        from web import peer_socket

        with peer_socket(web.path) as sock:
            assert auth.peer_uid(sock) == os.getuid()
        assert (await web.ask("GET", "/v1/status")).status == 200


def test_only_our_user_and_root_are_allowed() -> None:
    assert auth.peer_allowed(os.getuid())
    assert auth.peer_allowed(0)
    assert not auth.peer_allowed(os.getuid() + 1)
    assert not auth.peer_allowed(NOBODY)
