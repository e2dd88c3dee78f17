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
    said = {"ran": "main runs: told local", "told": "main told local"}.get(outcome, f"main {outcome}: told local")
    assert out.startswith(f"{said}\n")


def test_of_all_that_are_run_a_skipped_one_is_no_failure(outlast, gateway):
    beats = [{**BEAT, "outcome": "told"}, {**BEAT, "outcome": "skipped"}]
    gateway.will(answer({"beats": beats}), answer({"beats": [*beats, {**BEAT, "outcome": "failed"}]}))
    assert outlast("heartbeat", "run")[0] == 0
    assert outlast("heartbeat", "run")[0] == 1


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


def test_what_is_hostile_in_a_heartbeat_is_shown_harmlessly_and_as_it_is_in_json(outlast, gateway):
    nasty = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202edrow\u2028{x} $(id)"
    beat = {**BEAT, "why": nasty, "reason": nasty, "text": f"{nasty}\n" * 3}
    stands = {**STATUS, "reason": nasty, "file": nasty, "tz": nasty, "last": beat}
    gateway.will(
        answer({"heartbeats": [stands]}), answer({"heartbeats": [stands]}), answer({"beats": [beat], "next": None}),
        answer({"beats": [beat]}), answer({"beats": [beat]}),
    )  # fmt: skip
    lines = (("heartbeat",), ("heartbeat", "status", "main"), ("heartbeat", "history"), ("heartbeat", "run", "main"))
    for line in lines:
        code, out, err = outlast(*line)
        assert (code, not set(out + err) & set("\x1b\x07\x9b\u202e\u2028")) == (0, True), line
        assert "$(id)" in out
    out = outlast("heartbeat", "run", "main", "--json")[1]
    assert json.loads(out)["beats"][0]["reason"] == nasty
    assert not set(out) & set("\x1b\x07\x9b\u202e\u2028")


def test_an_unknown_agent_and_what_is_not_ones_own_are_said_as_such(outlast, gateway):
    unknown = {"error": {"code": "no_such_agent", "message": "no agent 'nobody'", "hint": "there is: main"}}
    refused = {"error": {"code": "refused", "message": "a heartbeat is its agent's own and the operator's"}}
    for action in ("status", "run", "pause", "resume", "history"):
        gateway.will(answer(unknown, 400), answer(refused, 403))
        code, out, err = outlast("heartbeat", action, "nobody")
        assert (code, out, "there is: main" in err) == (2, "", True)
        assert outlast("heartbeat", action, "main", "--as", "agent:bob:main")[0] == 5
        assert b"agent:bob:main" in gateway.seen[-1]
    for line in ("heartbeat run --timeout soon", "heartbeat history --limit 0", "heartbeat dance"):
        code, out, err = outlast(*line.split())
        assert (code, out) == (2, "")
        assert line.split()[-1] in err or line.split()[-2] in err
    assert "pause" in outlast("heartbeat", "--help")[1]
