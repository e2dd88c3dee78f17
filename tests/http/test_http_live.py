"""The whole way down: HTTP, commands, keeper, real processes."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "gateway"))

from crashing import until
from running import PATIENCE, Gateway, UnixConnection
from web import frames

from outlast.process.keeper import proc

YIELD_MS = 50_000
"""Milliseconds a call may take, a little less than its connection waits."""


@pytest.fixture(scope="module")
def live() -> Iterator[Gateway]:
    """One gateway for all tests here; each uses sessions of its own."""
    gateway = Patient()
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


class Patient(Gateway):
    """A gateway whose commands may take a minute on a busy machine before they are left in the background."""

    def exec(self, command: str, **fields: Any) -> dict[str, Any]:
        return super().exec(command, **({} if "background" in fields else {"yieldMs": YIELD_MS}), **fields)


def post(live: Gateway, session: str, act: str, **fields: Any) -> Any:
    reply = live.ask("POST", f"/v1/sessions/{session}/{act}", fields)
    assert reply.status == 200, reply
    return reply.json


def wait(live: Gateway, session: str, **fields: Any) -> Any:
    reply = live.ask("POST", "/v1/wait", {"sessionIds": [session], "timeoutMs": YIELD_MS, **fields})
    return reply.json["results"][0]


def octets(live: Gateway, path: str) -> bytes:
    connection = UnixConnection(live.paths.socket)
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    try:
        return response.read()
    finally:
        connection.close()


def test_a_command_that_ends_in_time(live: Gateway, tmp_path: Path) -> None:
    result = live.exec("pwd; echo err >&2; exit 3", workdir=str(tmp_path), labels=["a"])
    assert (result["status"], result["exitCode"], result["cause"]) == ("failed", 3, "exit")
    assert (result["output"], result["cwd"], result["truncated"]) == (f"{tmp_path}\nerr\n", str(tmp_path), None)
    assert result["usage"]["maxRssBytes"] > 0
    assert result["durationMs"] >= 0
    log = live.ask("GET", f"/v1/sessions/{result['sessionId']}/log?stream=stderr").json
    assert log["text"] == "err\n"


def test_a_program_that_is_not_there(live: Gateway) -> None:
    result = live.ask("POST", "/v1/exec", {"argv": ["/no/such/program"]}).json
    assert (result["status"], result["cause"], result["exitCode"]) == ("failed", "spawn_error", None)
    assert "No such file" in result["note"]


def test_a_background_child_does_not_delay_the_result(live: Gateway) -> None:
    result = live.exec("sleep 300 & echo hi")
    assert (result["output"], result["status"], result["leftovers"]) == ("hi\n", "succeeded", 1)
    assert "leftovers: kill" in result["note"]
    until_it_sleeps = 'while [ "$(cat /proc/$!/comm)" != sleep ]; do :; done'
    kept = live.exec(f"sleep 301 & {until_it_sleeps}; echo hi", leftovers="keep")
    assert "still running" in kept["note"]
    assert live.ask("DELETE", f"/v1/sessions/{kept['sessionId']}").status == 409
    killed = post(live, kept["sessionId"], "kill")
    assert [process["name"] for process in killed["ended"]] == ["sleep"]
    assert killed["status"] == "succeeded"
    wait(live, kept["sessionId"], pattern="never")
    assert live.ask("DELETE", f"/v1/sessions/{kept['sessionId']}").status == 200


def test_limits_end_a_command_and_are_named(live: Gateway) -> None:
    result = live.exec("sleep 100", timeoutSeconds=0.2)
    assert (result["status"], result["cause"]) == ("timed_out", "timeout")
    for _ in range(10):  # it has to print within a second: a machine that stood still meanwhile gets another try
        result = live.exec("echo a; sleep 101", idleTimeoutSeconds=1)
        if result["output"]:
            break
    assert (result["status"], result["cause"], result["output"]) == ("timed_out", "idle_timeout", "a\n")


def test_input_by_text_and_by_write(live: Gateway) -> None:
    assert live.exec("wc -c", stdin={"text": "four"})["output"].strip() == "4"
    assert live.exec("wc -c", stdin="none")["output"].strip() == "0"
    name = live.exec("while read line; do echo got $line; done", stdin="pipe", background=True)["sessionId"]
    post(live, name, "submit", text="one")
    matched = wait(live, name, pattern="got one")["matched"]
    assert (matched["start"], matched["end"]) == (0, 7)
    until(lambda: post(live, name, "poll", since=0)["waitingForInput"] is True)
    post(live, name, "write", eof=True)
    assert wait(live, name)["exitCode"] == 0


def test_a_terminal_with_keys_paste_and_screen(live: Gateway) -> None:
    shell = "PS1='% ' exec bash --norc --noprofile"
    name = live.exec(shell, pty=True, cols=60, rows=10, background=True)["sessionId"]
    assert wait(live, name, pattern="^% $")["met"]
    post(live, name, "send-keys", keys=["echo", "Space", "$COLUMNS-$((6*7))", "Enter"])
    assert wait(live, name, pattern="^60-42$")["met"]
    post(live, name, "resize", cols=70, rows=12)
    post(live, name, "submit", text="stty size")
    assert wait(live, name, pattern="^12 70$")["met"]
    post(live, name, "submit", text="sh -c 'echo in; exec sleep 1000'")
    running = wait(live, name, pattern="^in$")["matched"]
    post(live, name, "send-keys", keys=["C-c"])
    assert wait(live, name, pattern="% $", since=running["end"])["met"]  # only then will the shell see the next key
    screen = live.ask("GET", f"/v1/sessions/{name}/screen").json
    assert (screen["cols"], screen["rows"]) == (70, 12)
    assert "60-42" in screen["text"]
    post(live, name, "send-keys", keys=["C-d"])
    assert wait(live, name)["status"] in ("succeeded", "failed")


def test_a_tree_that_hides_is_ended_and_listed(live: Gateway) -> None:
    sleeps = 'while [ "$(cat /proc/$!/comm)" != sleep ]; do :; done'
    hide = f"setsid sleep 1001 & {sleeps}; (setsid sleep 1002 & {sleeps})"
    script = f"{hide}; trap '' TERM; echo up; while :; do sleep 0.1; done"
    name = live.exec(script, background=True)["sessionId"]
    wait(live, name, pattern="up")
    result = post(live, name, "kill", graceSeconds=0.3)
    assert (result["status"], result["cause"], result["survivors"]) == ("cancelled", "operator", [])
    names = [process["name"] for process in result["ended"]]
    assert names.count("sleep") >= 2
    for process in result["ended"]:
        assert proc.state_of(process["pid"]) in ("", "Z", "X")


def test_two_streams_at_once_see_every_byte(live: Gateway) -> None:
    script = "for i in $(seq 300); do echo out $i; echo err $i >&2; done; sleep 0.2; head -c 2000000 /dev/urandom"
    name = live.exec(script, background=True)["sessionId"]
    bodies: dict[int, bytes] = {}

    def follow(number: int) -> None:
        bodies[number] = octets(live, f"/v1/sessions/{name}/stream?frames=1")

    threads = [threading.Thread(target=follow, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(bodies) == [0, 1]
    whole = octets(live, f"/v1/sessions/{name}/output")
    for body in bodies.values():
        found = frames(body)
        assert b"".join(data for kind, data in found if kind in (1, 2)) == whole
        err = b"".join(data for kind, data in found if kind == 2)
        assert err.decode().splitlines() == [f"err {i}" for i in range(1, 301)]
        end = json.loads(found[-1][1])
        assert (found[-1][0], end["exitCode"], end["status"]) == (0, 0, "succeeded")


def test_the_cap_keeps_head_and_tail_and_says_so(live: Gateway) -> None:
    """The default cap is large; here the range that is asked for shows the arithmetic on plain output."""
    result = live.exec("seq 100000", maxBytes=1000)
    told = result["truncated"]
    assert told["producedBytes"] == told["keptBytes"] == 588_895
    assert told["shownBytes"] + told["omittedBytes"] == 588_895
    assert result["output"].startswith("1\n2\n3\n")
    assert result["output"].endswith("\n99999\n100000\n")
    _, _, spec = told["how"].rpartition(" ")
    part = live.ask("GET", f"/v1/sessions/{result['sessionId']}/log?bytes={spec}").json
    head = result["output"].split("\n…")[0]
    assert (head + part["text"]).startswith("".join(f"{n}\n" for n in range(1, 5000)))


def test_start_once_over_the_wire(live: Gateway) -> None:
    results: list[dict[str, Any]] = []

    def start() -> None:
        results.append(live.exec("sleep 1234", background=True))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(results) == 8
    assert len({result["sessionId"] for result in results}) == 1
    assert sorted(result["existing"] for result in results) == [False] + [True] * 7
    post(live, results[0]["sessionId"], "kill")


def test_ready_when_the_server_listens(live: Gateway) -> None:
    script = (
        "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); "
        "time.sleep(0.3); s.listen(); print('listening', flush=True); time.sleep(1000)"
    )
    argv = [sys.executable, "-c", script]
    result = live.ask(
        "POST", "/v1/exec", {"argv": argv, "readyWhen": {"pattern": "^listening$"}, "yieldMs": YIELD_MS}
    ).json
    assert (result["status"], result["ready"]) == ("running", True)
    port = int(result["tail"].split()[0])
    assert wait(live, result["sessionId"], port=port)["met"]
    assert wait(live, result["sessionId"], quietSeconds=0.2)["met"]
    post(live, result["sessionId"], "kill", graceSeconds=0)


def test_a_thousand_short_commands_leave_nothing(live: Gateway) -> None:
    """No zombie, no descriptor, no waiter stays behind (a hundred here; the bench does the thousand)."""
    before = len(os.listdir(f"/proc/{live.process.pid}/fd")) if live.process else 0
    for i in range(100):
        assert live.exec(f"exit {i % 7}")["exitCode"] == i % 7
    assert live.process is not None
    until(lambda: len(os.listdir(f"/proc/{live.process.pid}/fd")) <= before + 2)
    keeper = live.ask("GET", "/v1/status").json["keeper"]["pid"]
    until(lambda: zombies(keeper) == [])
    until(lambda: zombies(live.process.pid) == [])


def zombies(parent: int) -> list[str]:
    """Zombie children of a process."""
    found = []
    for thread in os.listdir(f"/proc/{parent}/task"):
        for pid in Path(f"/proc/{parent}/task/{thread}/children").read_text().split():
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                continue
            if state == "Z":
                found.append(pid)
    return found
