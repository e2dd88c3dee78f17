"""A real gateway: one per home, ready quickly, quiet when idle, and gone without taking a session with it."""

from __future__ import annotations

import array
import fcntl
import http.client
import json
import os
import re
import signal
import stat
import termios
import time
from pathlib import Path

import pytest
from crashing import until
from running import PATIENCE, Gateway, UnixConnection, exchange

from outlast import __version__


def test_it_says_who_it_is(gateway: Gateway) -> None:
    process = gateway.start()
    status = gateway.ask("GET", "/v1/status").json
    assert (status["gateway"]["pid"], status["gateway"]["version"]) == (process.pid, __version__)
    assert status["gateway"]["store"] == {"kind": "sqlite", "path": f"{gateway.home}/ledger.db"}
    assert (status["gateway"]["socket"], status["gateway"]["listen"]) == (gateway.paths.socket, None)
    assert status["keeper"]["pid"] > 0
    assert status["sessions"] == {"live": 0, "ended": 0, "adopted": {**status["sessions"]["adopted"], "live": 0}}
    lock = json.loads(Path(gateway.paths.lock).read_text())
    assert (lock["pid"], lock["version"], lock["socket"]) == (process.pid, __version__, gateway.paths.socket)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lock["startedAt"])
    assert re.search(rf"^\S+Z INFO outlast {re.escape(__version__)} ready: pid {process.pid}", gateway.log(), re.M)


def test_its_places_are_private(gateway: Gateway) -> None:
    gateway.start("--listen", "127.0.0.1:0")
    paths = gateway.paths
    modes = {path: stat.S_IMODE(os.lstat(path).st_mode) for path in (paths.socket, paths.lock, paths.log, paths.token)}
    assert set(modes.values()) == {0o600}
    for folder in (paths.home, paths.run, paths.sessions):
        assert stat.S_IMODE(os.lstat(folder).st_mode) == 0o700


def test_a_second_gateway_ends_with_4_and_names_the_first(gateway: Gateway) -> None:
    first = gateway.start()
    second = gateway.spawn()
    _, errors = second.communicate(timeout=PATIENCE)
    assert second.returncode == 4
    assert f"pid {first.pid}" in errors.decode()
    assert gateway.ask("GET", "/v1/status").json["gateway"]["pid"] == first.pid


def test_of_many_gateways_started_at_once_one_remains(gateway: Gateway) -> None:
    started = [gateway.spawn() for _ in range(4)]
    codes: list[int] = []
    deadline = time.monotonic() + 2 * PATIENCE
    while len(codes) < 3 and time.monotonic() < deadline:
        codes = [code for process in started if (code := process.poll()) is not None]
        time.sleep(0.01)
    assert codes == [4, 4, 4]
    gateway.process = next(process for process in started if process.poll() is None)
    for process in started:
        if process is not gateway.process:
            process.communicate(timeout=PATIENCE)


def test_a_stale_socket_and_lock_are_taken_over(gateway: Gateway) -> None:
    gateway.start()
    gateway.stop(signal.SIGKILL)
    assert os.path.exists(gateway.paths.socket)
    assert json.loads(Path(gateway.paths.lock).read_text())
    gateway.start()
    assert gateway.ask("GET", "/v1/status").status == 200


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "request"])
def test_a_stop_leaves_sessions_running_and_says_so(gateway: Gateway, how: str) -> None:
    process = gateway.start()
    session = gateway.exec("sleep 1000", background=True)
    if how == "request":
        reply = gateway.ask("POST", "/v1/gateway/stop", {})
        assert reply.json == {"stopping": True, "sessionsLeft": 1, "killed": []}
        assert process.wait(PATIENCE) == 0
    else:
        assert gateway.stop(signal.Signals[how]) == 0
    assert "stopped; 1 session goes on without a gateway" in gateway.log()
    assert not os.path.exists(gateway.paths.socket)
    assert Path(gateway.paths.lock).read_bytes() == b""
    os.kill(session["pid"], 0)
    gateway.start()
    again = gateway.ask("GET", f"/v1/sessions/{session['sessionId']}").json
    assert (again["status"], again["pid"]) == ("running", session["pid"])
    killed = gateway.ask("POST", f"/v1/sessions/{session['sessionId']}/kill", {}).json
    assert (killed["status"], killed["cause"]) == ("cancelled", "operator")


def test_a_stop_can_end_the_sessions_too(gateway: Gateway) -> None:
    process = gateway.start()
    sessions = [gateway.exec(f"sleep 100{i}", background=True)["sessionId"] for i in range(3)]
    reply = gateway.ask("POST", "/v1/gateway/stop", {"killSessions": True}).json
    assert (reply["sessionsLeft"], sorted(reply["killed"])) == (0, sorted(sessions))
    assert process.wait(PATIENCE) == 0
    assert "no session was running" in gateway.log()


def test_a_stop_answers_those_who_wait(gateway: Gateway) -> None:
    gateway.start()
    name = gateway.exec("sleep 1000", background=True)["sessionId"]
    requests = {
        "poll": (f"/v1/sessions/{name}/poll", {"timeoutMs": 600_000}),
        "wait": ("/v1/wait", {"sessionIds": [name]}),
        "exec": ("/v1/exec", {"command": "sleep 999", "yieldMs": 120_000}),
    }
    waiting = {key: UnixConnection(gateway.paths.socket) for key in requests}
    for key, (path, body) in requests.items():
        waiting[key].request("POST", path, json.dumps(body))
    until(lambda: not any(unread(connection) for connection in waiting.values()))
    until(lambda: len(gateway.ask("GET", "/v1/sessions").json["sessions"]) == 2)
    assert gateway.stop() == 0
    replies = {key: connection.getresponse() for key, connection in waiting.items()}
    answers = {key: json.loads(reply.read()) for key, reply in replies.items()}
    assert {key: reply.status for key, reply in replies.items()} == dict.fromkeys(requests, 200)
    assert answers["wait"]["met"] is False
    assert answers["exec"]["status"] == "running"


def unread(connection: UnixConnection) -> int:
    """How much of what was sent the other side has not read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(connection.sock, termios.TIOCOUTQ, count)
    return count[0]


def test_after_a_crash_every_session_is_there_again(gateway: Gateway) -> None:
    gateway.start()
    done = gateway.exec("echo done; exit 3")["sessionId"]
    name = gateway.exec("for i in 1 2 3; do echo $i; sleep 0.2; done; exit 7", background=True)["sessionId"]
    cat = gateway.exec("cat", stdin="pipe", background=True)["sessionId"]
    gateway.stop(signal.SIGKILL)
    gateway.start()
    result = gateway.ask("POST", "/v1/wait", {"sessionIds": [name]}).json["results"][0]
    assert (result["output"], result["exitCode"]) == ("1\n2\n3\n", 7)
    assert gateway.ask("GET", f"/v1/sessions/{done}").json["exitCode"] == 3
    gateway.ask("POST", f"/v1/sessions/{cat}/write", {"data": "still here\n", "eof": True})
    answer = gateway.ask("POST", "/v1/wait", {"sessionIds": [cat]}).json["results"][0]
    assert (answer["output"], answer["status"]) == ("still here\n", "succeeded")


def test_an_idle_gateway_does_nothing(gateway: Gateway) -> None:
    """No timer ticks: with sessions and an open connection the process is not switched to at all, for two seconds.

    Sooner or later: a busy machine takes its time to finish what was begun.
    """
    process = gateway.start()
    for i in range(5):
        gateway.exec(f"sleep 100{i}", background=True)
    until(lambda: len(gateway.ask("GET", "/v1/tasks?status=running").json["tasks"]) == 5)  # just after the answer
    resting = UnixConnection(gateway.paths.socket)
    resting.request("GET", "/v1/status")
    resting.getresponse().read()

    def rests() -> bool:
        before = switches(process.pid)
        time.sleep(2.0)
        return switches(process.pid) - before <= 2

    until(rests)
    resting.close()


def switches(pid: int) -> int:
    """How often a process was switched to, over all its threads."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            text = Path(f"/proc/{pid}/task/{thread}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
            continue
        total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", text))
    return total


def test_a_gateway_is_small(gateway: Gateway) -> None:
    gateway.start()
    for i in range(50):
        gateway.exec(f"echo {i}")
    gateway.ask("GET", "/v1/openapi.json")
    assert gateway.ask("GET", "/v1/status").json["gateway"]["rssBytes"] < 60_000_000


def test_commands_get_an_ordinary_umask_and_file_limit_and_no_token(gateway: Gateway) -> None:
    gateway.env["OUTLAST_TOKEN"] = "secret"
    gateway.start("--listen", "127.0.0.1:0", preexec_fn=lambda: os.umask(0o027))
    token = Path(gateway.paths.token).read_text().strip()
    result = gateway.exec("umask; env; ls -l /proc/self/fd | wc -l")
    assert result["output"].splitlines()[0] == "0027"
    assert token not in result["output"]
    assert "secret" not in result["output"]
    assert f"OUTLAST_SESSION_ID={result['sessionId']}" in result["output"]


def test_tcp_is_open_to_those_with_the_token(gateway: Gateway) -> None:
    gateway.start("--listen", "127.0.0.1:0")
    listen = gateway.ask("GET", "/v1/status").json["gateway"]["listen"]
    host, _, port = listen.rpartition(":")
    token = Path(gateway.paths.token).read_text().strip()

    def ask(headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        return exchange(connection, "GET", "/v1/status", None, headers).status

    assert ask({"Authorization": f"Bearer {token}"}) == 200
    assert ask({}) == 403
    assert ask({"Authorization": f"Bearer {token}", "Host": "evil.example"}) == 403
    assert ask({"Authorization": f"Bearer {token}", "Sec-Fetch-Site": "cross-site"}) == 403


@pytest.mark.parametrize(("listen", "code"), [("0.0.0.0:0", 5), ("nonsense", 2), ("localhost:99999", 2)])
def test_a_bad_address_ends_it_at_once(gateway: Gateway, listen: str, code: int) -> None:
    process = gateway.spawn("--listen", listen)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, errors
    assert not os.path.exists(gateway.paths.socket)
    assert not os.path.exists(gateway.paths.token)


def test_a_home_open_to_others_is_refused(gateway: Gateway) -> None:
    os.chmod(gateway.home, 0o755)
    process = gateway.spawn()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 5
    assert "chmod 700" in errors.decode()


def test_a_long_log_is_set_aside_at_the_start(gateway: Gateway) -> None:
    from outlast.gateway.logs import LOG_MAX

    Path(gateway.paths.log).write_bytes(b"x" * (LOG_MAX + 1))
    gateway.start()
    assert Path(f"{gateway.paths.log}.1").stat().st_size == LOG_MAX + 1
    assert "ready" in gateway.log()
