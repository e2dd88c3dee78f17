"""The commands of heartbeats, from a line to an exit code, with a scripted gateway behind them."""

import json

import pytest
from cli_fakes import answer, body
from cli_ledger import path_of

BEAT = {
    "beatId": 7, "agent": "main", "at": "2026-11-27T09:00:00.000Z", "why": "events: 1 failed", "outcome": "told",
    "reason": "told local", "sessionId": "s1", "endedAt": "2026-11-27T09:00:04.000Z", "text": "The\x1b[31m disk.",
}  # fmt: skip
STATUS = {
    "agent": "main", "conversation": "agent:main:main", "state": "on", "everySeconds": 1800.0,
    "activeHours": "08:00-23:00", "tz": "Europe/Berlin", "file": "HEARTBEAT.md", "nextAt": "2999-11-27T09:30:00.000Z",
    "reason": "not due yet", "waiting": 2, "pausedAt": None, "last": BEAT, "turnsLastHour": 1, "maxTurnsPerHour": 12,
}  # fmt: skip
OFF = {**STATUS, "agent": "old", "state": "off", "everySeconds": 0.0, "nextAt": None, "reason": "off: every is 0",
       "last": None, "activeHours": None}  # fmt: skip


def test_status_is_a_table_of_all_or_all_about_one(outlast, gateway):
    gateway.will(answer({"heartbeats": [STATUS, OFF]}), answer({"heartbeats": [STATUS]}), answer({"heartbeats": []}))
    code, out, _ = outlast("heartbeat")
    assert code == 0
    assert path_of(gateway) == "/v1/heartbeat"
    assert out.splitlines()[1].split()[:3] == ["main", "on", "30m"]
    assert "off: every is 0" in out
    code, out, _ = outlast("heartbeat", "status", "main")
    assert path_of(gateway) == "/v1/heartbeat?agent=main"
    assert "08:00-23:00 Europe/Berlin" in out
    assert "why not now   not due yet" in out
    assert "1 of at most 12 beats" in out
    assert "[agents.NAME] heartbeat" in outlast("heartbeat", "status")[2]


@pytest.mark.parametrize(("outcome", "code"), [
    ("told", 0), ("silent", 0), ("failed", 1), ("skipped", 1), ("ran", 124),
])  # fmt: skip
def test_run_waits_and_its_exit_code_says_what_came_of_it(outlast, gateway, outcome, code):
    gateway.will(answer({"beats": [{**BEAT, "outcome": outcome}]}))
    found, out, _ = outlast("heartbeat", "run", "main", "--timeout", "90s")
    assert found == code
    assert path_of(gateway) == "/v1/heartbeat/run"
    assert body(gateway) == {"agent": "main", "timeoutMs": 90_000}
    assert "\x1b" not in out
    assert out.startswith("main runs" if outcome == "ran" else f"main {outcome}: told local")


def test_run_without_waiting_asks_for_all_and_returns(outlast, gateway):
    gateway.will(answer({"beats": [{**BEAT, "outcome": "ran", "endedAt": None}]}))
    code, _, err = outlast("heartbeat", "run", "--no-wait")
    assert code == 0
    assert body(gateway) == {"timeoutMs": 0}
    assert "outlast heartbeat history main" in err


def test_history_is_read_by_pages(outlast, gateway):
    gateway.will(answer({"beats": [BEAT], "next": 7}), answer({"beats": [], "next": None}))
    code, out, err = outlast("heartbeat", "history", "main", "--limit", "1", "--before", "9")
    assert code == 0
    assert path_of(gateway) == "/v1/heartbeat/history?agent=main&limit=1&before=9"
    assert out.splitlines()[1].startswith("7 ")
    assert "events: 1 failed" in out
    assert "--before 7" in err
    assert outlast("heartbeat", "history")[2] == "outlast: no beats\n"


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_pause_and_resume_say_how_it_stands_then(outlast, gateway, action):
    gateway.will(answer({"heartbeats": [{**STATUS, "state": "paused"}]}))
    code, out, _ = outlast("heartbeat", action, "main", "--json")
    assert code == 0
    assert path_of(gateway) == f"/v1/heartbeat/{action}"
    assert body(gateway) == {"agent": "main"}
    assert json.loads(out)["heartbeats"][0]["state"] == "paused"
