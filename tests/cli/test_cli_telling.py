"""Told through a real gateway: to whom, once, and by what the operator has chosen alone."""

import os
import signal
import time

import pytest
from cli_live import PATIENCE, Live, give


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("telling", numbered=True)
    os.chmod(home, 0o700)
    live = Live(str(home))
    yield live
    live.close()


def until(condition):
    """Return what comes true; nobody tells us when."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    "words", [["--as", "{}"], ["--conversation", "{}"], ["--as", "mallory", "--conversation", "{}"]]
)
@pytest.mark.parametrize("kind", ["command", "webhook", "smtp", "desktop", "apprise"])
def test_nobody_names_a_channel_where_a_conversation_goes(live, tmp_path, words, kind):
    """A requester who could would have anything run, or called, in the operator's name."""
    target = f'{kind}:["touch", "{tmp_path}/x"]'
    done = live.run("run", *(word.format(target) for word in words), "--", "true")
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"must not begin with {kind}:".encode() in done.stderr
    for refused in (
        ["system", "event", "hello", "--to", target],
        ["cron", "add", "--name", "x", "--every", "1h", "--event", "hello", "--to", target],
        ["wake", "add", target, "--desktop"],
    ):
        assert live.run(*refused).returncode == 2, refused


def test_a_wake_that_is_at_work_is_not_started_beside_itself_by_the_next_gateway(live, tmp_path):
    """A turn of an agent outlives the gateway that began it; the next finds it, and wakes him again only then."""
    began, gate = tmp_path / "began", tmp_path / "gate"
    os.mkfifo(gate)
    script = tmp_path / "turn"
    script.write_text(f'#!/bin/sh\necho "$OUTLAST_NOTICE_ID" >> {began}\ncat {gate} > /dev/null\n')
    script.chmod(0o755)
    key = "agent:turn:main"
    assert live.run("wake", "add", key, "--command", f"{script} {{conversation}}").returncode == 0
    live.run("system", "event", "one", "--to", key)
    until(lambda: lines(began))
    os.kill(live.gateway_pid(), signal.SIGKILL)
    live.run("system", "event", "two", "--to", key)
    until(lambda: len(live.json("conversations", "events", key, "--json")["events"]) == 2)
    assert len(lines(began)) == 1
    give(gate)
    until(lambda: len(lines(began)) == 2)
    give(gate)
    until(lambda: live.json("conversations", "events", key, "--json")["events"] == [])
    assert len(lines(began)) == 2


def test_a_directory_that_is_away_costs_a_run_and_not_the_schedule(live, tmp_path):
    place = tmp_path / "share"
    place.mkdir()
    assert live.run("cron", "add", "--name", "away", "--every", "1h", "-C", str(place), "--", "pwd").returncode == 0
    place.rmdir()
    refused = live.run("cron", "add", "--name", "gone", "--every", "1h", "-C", str(place), "--", "pwd")
    assert (refused.returncode, b"does not exist" in refused.stderr) == (2, True)
    assert live.run("cron", "edit", "away", "-C", str(place)).returncode == 2
    assert live.run("cron", "edit", "away", "--comment", "kept while it is away").returncode == 0
    assert live.run("cron", "run", "away", "--wait").returncode == 127
    assert live.json("cron", "show", "away", "--json")["status"] == "active"
    place.mkdir()
    assert live.run("cron", "run", "away", "--wait").stdout == f"{place}\n".encode()
