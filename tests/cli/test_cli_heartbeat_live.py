"""Heartbeats from the command line, with a real gateway, a real runner and an agent that is a shell."""

import json
import os

import pytest
from cli_live import Live

AGENT = """
[agents.main]
backend = "command"
command = ["/bin/sh", "-c", 'cat HOME/answer', "sh", "{message}"]
workdir = "HOME"
heartbeat = { every = "1h" }
[agents.other]
backend = "command"
command = ["/bin/true", "{message}"]
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("beat", numbered=True)
    os.chmod(home, 0o700)
    (home / "config.toml").write_text(AGENT.replace("HOME", str(home)))
    (home / "answer").write_text("The disk is full.\n")
    (home / "HEARTBEAT.md").write_text("- look at the disk\n")
    live = Live(str(home))
    yield live
    live.close()


def told(live, *words):
    done = live.run(*words, "--json")
    return done.returncode, json.loads(done.stdout)


def test_a_beat_is_run_told_paused_and_shown(live):
    code, result = told(live, "heartbeat", "run", "main")
    [beat] = result["beats"]
    assert (code, beat["outcome"], beat["text"]) == (0, "told", "The disk is full.")
    assert beat["why"] == "asked by local"
    events = live.run("conversations", "events", "local", "-f", "--timeout", "20s", "--limit", "1", "--json")
    assert json.loads(events.stdout.splitlines()[0])["text"] == "The disk is full."
    code, result = told(live, "heartbeat", "run")
    assert code == 0
    assert result["beats"][0]["reason"] == "one after the other: at least 30 s from beat to beat"
    [status] = told(live, "heartbeat", "status")[1]["heartbeats"]
    assert (status["state"], status["turnsLastHour"], status["waiting"]) == ("on", 1, 0)
    assert status["nextAt"] is not None
    [paused] = told(live, "heartbeat", "pause", "main")[1]["heartbeats"]
    assert (paused["state"], paused["reason"], paused["nextAt"]) == ("paused", "paused", None)
    [resumed] = told(live, "heartbeat", "resume")[1]["heartbeats"]
    assert resumed["state"] == "on"
    assert resumed["nextAt"] == status["nextAt"]
    assert [beat["outcome"] for beat in told(live, "heartbeat", "history")[1]["beats"]] == ["skipped", "told"]


def test_an_agent_asks_about_itself_only_and_the_operator_alone_pauses(live):
    call = {"tool": "heartbeat", "action": "status", "agent": "main", "requester": "agent:main:main"}
    done = live.run("tool", json.dumps(call))
    assert json.loads(done.stdout)["heartbeats"][0]["agent"] == "main"
    assert live.run("heartbeat", "status", "main", "--as", "agent:other:main").returncode != 0
    assert live.run("heartbeat", "history", "--as", "somebody").returncode != 0
    assert live.run("heartbeat", "pause", "main", "--as", "agent:main:main").returncode != 0
    unknown = live.run("heartbeat", "run", "nobody")
    assert unknown.returncode == 2
    assert b"no agent 'nobody'" in unknown.stderr


def test_without_a_gateway_status_and_history_are_read_from_the_store(live):
    assert live.run("gateway", "stop").returncode == 0
    [status] = told(live, "heartbeat", "status")[1]["heartbeats"]
    assert (status["agent"], status["state"]) == ("main", "on")
    assert [beat["outcome"] for beat in told(live, "heartbeat", "history", "main")[1]["beats"]][-1] == "told"
