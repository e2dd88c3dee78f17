"""A real gateway and real commands: what touches the ledger and what does not, and what is kept of a secret."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from crashing import Node, exits
from running import PATIENCE, Gateway, UnixConnection

SECRET = "hunter2hunter2hunter2"


class Ledger:
    """The file of a home's ledger, looked at from outside."""

    def __init__(self, gateway: Gateway) -> None:
        self.path = Path(gateway.paths.home, "ledger.db")
        self._connection = apsw.Connection(str(self.path))

    def ask(self, sql: str) -> list[Any]:
        return list(self._connection.execute(sql))

    def mark(self) -> tuple[Any, ...]:
        """What changes with every commit: its number, the events, and the files themselves."""
        files = [self.path, Path(f"{self.path}-wal")]
        [[version]] = self.ask("PRAGMA data_version")
        [[events]] = self.ask("SELECT count(*) FROM event")
        return version, events, [(file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A home whose gateway waits for who is to follow, or to come back, for as long as a machine may be busy."""
    node = Node()
    node.settings["outlast.api.followed.ARRIVAL_SECONDS"] = 12.0
    yield node
    node.close()


@pytest.fixture
def ledger(gateway: Node) -> Ledger:
    assert gateway.begin(), gateway.log()
    return Ledger(gateway)


def follow(gateway: Gateway, session_id: str, *, whole: bool = True) -> http.client.HTTPResponse:
    """Follow the output of a session, to its end or only to its beginning."""
    connection = UnixConnection(gateway.paths.socket)
    connection.request("GET", f"/v1/sessions/{session_id}/stream?frames=1")
    response = connection.getresponse()
    if whole:
        response.read()
        connection.close()
    return response


def wait(gateway: Gateway, *names: str) -> list[dict[str, Any]]:
    """Wait for the end of tasks; return them."""
    reply = gateway.ask("POST", "/v1/tasks/wait", {"lookups": list(names), "timeoutMs": int(PATIENCE * 1000)})
    assert reply.json["met"], reply
    return list(reply.json["tasks"])


def tasks(gateway: Gateway) -> list[dict[str, Any]]:
    return list(gateway.ask("GET", "/v1/tasks").json["tasks"])


def until(gateway: Gateway, verb: str, task_id: str | None = None) -> None:
    """Read the stream of events until that verb, of that task; it begins with the first there is."""
    connection = UnixConnection(gateway.paths.socket)
    connection.request("GET", "/v1/events?tasks=1&after=0")
    response = connection.getresponse()
    deadline = time.monotonic() + PATIENCE
    for line in response:
        assert time.monotonic() < deadline, f"no {verb} came"
        event = json.loads(line[6:]) if line.startswith(b"data: ") else {}
        if event.get("verb") == verb and task_id in (None, event["taskId"]):
            break
    connection.close()


def test_foreground_commands_never_touch_the_ledger(gateway: Gateway, ledger: Ledger) -> None:
    """Whatever they do and however they end: nothing is read or written for them, so nothing slows them."""
    before = ledger.mark()
    assert gateway.exec("echo one; exit 3")["exitCode"] == 3
    assert gateway.exec("printf x", pty=True)["output"] == "x"
    assert gateway.exec("kill -9 $$")["exitSignal"] == "SIGKILL"
    assert gateway.exec("sleep 60", timeoutSeconds=0.2)["status"] == "timed_out"
    assert gateway.ask("POST", "/v1/exec", {"argv": ["/no/such/program"]}).json["cause"] == "spawn_error"
    for command in ("seq 20000", "cat; exit 4"):
        started = gateway.exec(command, follow=True, yieldMs=0, stdin={"text": "x" * 100_000})
        follow(gateway, started["sessionId"])
        shown = gateway.ask("GET", f"/v1/sessions/{started['sessionId']}").json
        assert shown["status"] != "running"
    assert ledger.mark() == before
    gateway.stop()
    gateway.start()
    assert tasks(gateway) == []


@pytest.mark.parametrize("how", [{"background": True}, {"yieldMs": 1}])
def test_a_command_that_outlives_its_call_has_one_silent_record(
    gateway: Gateway, ledger: Ledger, how: dict[str, Any]
) -> None:
    for _ in range(3):
        result = gateway.exec("cat", stdin="pipe", **how)
        assert result["status"] == "running"
    until(gateway, "claim")
    [task] = tasks(gateway)
    assert (task["sessionId"], task["notify"], task["source"]) == (result["sessionId"], "silent", "exec")
    gateway.ask("POST", f"/v1/sessions/{result['sessionId']}/write", {"eof": True})
    [ended] = wait(gateway, task["taskId"])
    assert (ended["status"], ended["delivery"]) == ("succeeded", "not_needed")
    assert ledger.ask("SELECT verb FROM event ORDER BY id") == [("create",), ("claim",), ("succeed",)]
    assert ledger.ask("SELECT count(*) FROM outbox") == [(0,)]


def test_a_follower_that_leaves_leaves_a_record(gateway: Gateway, ledger: Ledger) -> None:
    result = gateway.exec("cat", stdin="pipe", follow=True, yieldMs=0)
    before = ledger.mark()
    response = follow(gateway, result["sessionId"], whole=False)
    gateway.ask("POST", f"/v1/sessions/{result['sessionId']}/write", {"data": "hello\n"})
    assert response.read(5) is not None
    assert ledger.mark() == before
    response.close()
    until(gateway, "claim")
    [task] = tasks(gateway)
    assert (task["sessionId"], task["status"]) == (result["sessionId"], "running")
    gateway.ask("POST", f"/v1/sessions/{result['sessionId']}/kill", {})
    assert wait(gateway, task["taskId"])[0]["cause"] == "operator"


def test_a_secret_reaches_its_command_and_is_nowhere_else(gateway: Gateway, ledger: Ledger, tmp_path: Path) -> None:
    """In a variable, an option, an address, the environment, a title and a label; on disk, on record, in answers."""
    command = (
        f'printf "%s %s %s" "$API_TOKEN" {tmp_path.name} "$0" > {tmp_path}/got; PASSWORD={SECRET} true; '
        f"echo password={SECRET}; : https://me:{SECRET}@example.com --token {SECRET}; cat; exit 3"
    )
    fields = {
        "env": {"API_TOKEN": SECRET}, "title": f"TOKEN={SECRET}", "labels": [f"SECRET={SECRET}"], "detach": True,
        "notify": "state_changes", "retries": 1, "retryDelaySeconds": 0,
    }  # fmt: skip
    made = gateway.exec(command, **fields)
    [ended] = wait(gateway, made["taskId"])
    assert (ended["status"], ended["attempt"], ended["exitCode"]) == ("failed", 2, 3)
    assert (tmp_path / "got").read_text().startswith(f"{SECRET} ")
    name = made["taskId"]
    answers = [
        gateway.ask("GET", path).json
        for path in (
            f"/v1/tasks/{name}", f"/v1/tasks/{name}/events", f"/v1/explain/{name}", "/v1/tasks", "/v1/sessions",
            f"/v1/sessions/{ended['sessionId']}", "/v1/tasks/audit", "/v1/tasks/stats",
        )
    ]  # fmt: skip
    assert SECRET not in json.dumps([made, ended, answers])
    assert "password=***" in ended["summary"]
    rows = [ledger.ask(f"SELECT * FROM {table}") for table in ("task", "event", "outbox", "payload")]
    assert SECRET not in str(rows) and "TOKEN=***" in str(rows)
    assert rows[3] == [], "what ended work was to run is gone"
    kept = [path for path in Path(gateway.paths.home, "sessions").rglob("*") if path.is_file()]
    records = [path for path in kept if path.name != "out"]
    assert records and all(SECRET.encode() not in path.read_bytes() for path in records)
    assert SECRET not in gateway.log()


def test_a_retry_with_a_secret_of_its_environment_is_refused(gateway: Gateway, ledger: Ledger) -> None:
    made = gateway.exec("true", detach=True, env={"API_TOKEN": SECRET})
    wait(gateway, made["taskId"])
    again = gateway.ask("POST", f"/v1/tasks/{made['taskId']}/retry", {})
    assert (again.status, again.json["error"]["code"]) == (409, "secrets_not_kept")


def test_a_command_reports_its_own_progress(gateway: Gateway, ledger: Ledger) -> None:
    made = gateway.exec("printf '\\033]9;4;1;60\\007'; cat", stdin="pipe", background=True)
    until(gateway, "progress")
    [task] = tasks(gateway)
    assert task["progress"] == 60
    gateway.ask("POST", f"/v1/sessions/{made['sessionId']}/kill", {})


def test_a_tree_of_real_commands_is_called_off(gateway: Gateway, ledger: Ledger) -> None:
    top = gateway.exec("sleep 1000", detach=True)
    child = gateway.exec("sleep 1001", detach=True, parentId=top["taskId"])
    below = gateway.exec("sleep 1002", detach=True, parentId=child["taskId"])
    for one in (top, child, below):
        until(gateway, "began", one["taskId"])
    ended = gateway.ask("POST", f"/v1/tasks/{top['taskId']}/cancel", {"graceSeconds": PATIENCE}).json
    assert (ended["status"], ended["cause"], ended["exitSignal"]) == ("cancelled", "operator", "SIGTERM")
    for one in wait(gateway, child["taskId"], below["taskId"]):
        assert (one["status"], one["cause"]) == ("cancelled", "parent")


def test_a_deadline_counts_while_no_gateway_runs(gateway: Gateway, ledger: Ledger) -> None:
    made = gateway.exec("sleep 1000", detach=True, deadlineSeconds=5)
    until(gateway, "began")
    pid = gateway.ask("GET", f"/v1/sessions/{made['sessionId']}").json["pid"]
    gateway.stop(signal.SIGKILL)
    exits(pid)  # the keeper holds the limit
    gateway.start()
    [ended] = wait(gateway, made["taskId"])
    assert (ended["status"], ended["cause"]) == ("timed_out", "deadline")
