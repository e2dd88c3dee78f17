"""Work to come from the command line, with a real gateway and real instants; tests wait for events, not for a time."""

import json
import os
import time

import pytest
from cli_live import PATIENCE, Live


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("cron", numbered=True)
    os.chmod(home, 0o700)
    live = Live(str(home))
    live.env["TZ"] = "Europe/Berlin"
    yield live
    live.close()


def add(live, name, *words):
    return live.json("cron", "add", "--name", name, "--json", *words)


def heard(live, key, count=1):
    """Wait until a conversation has something to hear, and return it."""
    done = live.run("conversations", "events", key, "-f", "--ack", "--json", "--limit", str(count), "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_was_understood_is_said(live):
    done = live.run("cron", "add", "--name", "nightly", "--cron", "30 2 * * *", "--", "true", cwd="/tmp")
    out = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "zone          Europe/Berlin\n" in out
    assert "in            /tmp\n" in out
    assert out.count("02:30:00  +0") + out.count("03:00:00  +0") == 3
    assert "does not exist on" in out
    assert "happens twice on" in out
    assert len(live.run("cron", "next", "nightly", "-n", "10").stdout.splitlines()) == 10
    live.run("cron", "remove", "nightly")


def test_a_rule_fires_again_and_again_and_each_instant_is_accounted_for(live, tmp_path):
    file = tmp_path / "fired"
    add(live, "tick", "--every", "1s", "--announce", "--conversation", "ticks", "--", f"echo tick >> {file}")
    told = heard(live, "ticks", 2)
    assert live.run("cron", "pause", "tick").stdout == b"tick paused\n"
    runs = [run for run in live.json("cron", "runs", "tick", "--json")["runs"] if run["how"] == "fired"]
    assert len({run["instant"] for run in runs}) == len(runs) >= 2
    assert {event["data"]["taskId"] for event in told} <= {run["taskId"] for run in runs}
    assert live.run("tasks", "wait", *[run["taskId"] for run in runs]).returncode == 0
    assert file.read_text() == "tick\n" * len(runs)
    shown = live.json("cron", "show", "tick", "--json")
    assert (shown["status"], shown["nextAt"], shown["understood"]["next"]) == ("paused", None, [])
    assert live.run("cron", "resume", "tick").stdout.startswith(b"tick active, next in ")
    assert live.run("cron", "rm", "tick").stdout == b"tick removed\n"
    assert live.run("cron", "show", "tick").returncode == 3


def test_an_event_once_and_forgotten(live):
    add(live, "once", "--in", "100ms", "--event", "look at it", "--to", "agent:a:main", "--delete-after-run")
    [event] = heard(live, "agent:a:main")
    assert (event["kind"], event["text"]) == ("cron", "look at it")
    assert live.run("cron", "show", "once").returncode == 3


def test_run_now_shows_the_output_and_ends_as_the_command_did(live):
    add(live, "by-hand", "--at", "2199-01-01 09:00", "--", "echo out; echo err >&2; exit 7")
    done = live.run("cron", "run", "by-hand", "--wait")
    assert (done.returncode, done.stdout) == (7, b"out\n")
    assert b"err\n" in done.stderr
    task = live.run("cron", "run", "by-hand").stdout.decode().strip()
    assert live.run("tasks", "wait", task).returncode == 1
    runs = live.json("cron", "runs", "by-hand", "--json")["runs"]
    assert [(run["how"], run["status"]) for run in runs] == [("manual", "failed")] * 2
    assert live.json("cron", "show", "by-hand", "--json")["nextAt"] == "2199-01-01T08:00:00.000Z"
    live.run("cron", "remove", "by-hand")


def test_of_two_edits_of_one_revision_the_second_is_a_conflict(live):
    add(live, "edited", "--every", "1h", "--env", "A=b", "-C", "/tmp", "--", "true")
    line = ("cron", "edit", "edited", "--revision", "1", "--json", "--")
    edits = [live.start(*line, "echo", str(number)) for number in range(2)]
    codes = sorted(edit.wait(PATIENCE) for edit in edits)
    for edit in edits:
        edit.communicate()
    assert codes == [0, 4]
    shown = live.json("cron", "show", "edited", "--json")
    assert (shown["revision"], shown["workdir"]) == (2, "/tmp")
    assert shown["command"].startswith("echo ")
    renamed = live.json("cron", "edit", "edited", "--rename", "other", "--cron", "@daily", "--json")
    assert (renamed["name"], renamed["expr"], renamed["workdir"]) == ("other", "@daily", "/tmp")
    live.run("cron", "remove", "other")


def test_an_edit_of_an_event_keeps_its_conversation_or_its_text(live):
    add(live, "said", "--every", "1h", "--event", "one", "--to", "a")
    assert live.json("cron", "edit", "said", "--event", "two", "--json")["conversation"] == "a"
    edited = live.json("cron", "edit", "said", "--to", "b", "--json")
    assert (edited["conversation"], edited["event"]) == ("b", "two")
    assert live.run("cron", "edit", "said", "-C", "/tmp").returncode == 2
    live.run("cron", "remove", "said")


TABLE = b"""MAILTO=me@example.org
CRON_TZ=Asia/Tokyo
# the nightly one
30 2 * * * echo nightly
61 * * * * echo never
@hourly echo hourly
"""


def test_a_crontab_goes_in_and_comes_out(live):
    looked = live.run("cron", "import", "-", "--dry-run", "--prefix", "x-", stdin=TABLE)
    assert looked.returncode == 1
    assert b"2 would be added, 1 not taken" in looked.stderr
    assert live.json("cron", "--json")["schedules"] == []
    done = live.run("cron", "import", "-", stdin=TABLE)
    out = done.stdout.decode()
    assert done.returncode == 1
    for words in ("(Asia/Tokyo)\n  the nightly one\n", "line 5: not taken: ", "MAILTO=me@example.org"):
        assert words in out
    names = [row["name"] for row in live.json("cron", "--all", "--json")["schedules"]]
    assert len(names) == 2
    table = live.run("cron", "export").stdout
    for line in (
        b"CRON_TZ=Asia/Tokyo\n",
        b"# the nightly one\n",
        b"30 2 * * * echo nightly\n",
        b"@hourly echo hourly\n",
    ):
        assert line in table
    again = live.run("cron", "import", "-", "--dry-run", "--prefix", "y-", stdin=table)
    assert again.returncode == 0, again.stdout
    assert b"2 would be added" in again.stderr
    for name in names:
        assert live.run("cron", "remove", name).returncode == 0


HOSTILE = "x\x1b]0;y\x07; $(touch /tmp/never-{text}) `id` {conversation} \u202e"


@pytest.mark.parametrize("name", ["../x", "a b", "-x", "\x1b[31m", "{text}", "x" * 65, "ä"])
def test_a_name_that_could_do_harm_is_refused(live, name):
    done = live.run("cron", "add", f"--name={name}", "--every", "1h", "--", "true")
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr


def test_hostile_texts_do_no_harm_where_they_are_shown(live):
    add(live, "hostile", "--in", "100ms", "--event", HOSTILE, "--to", "k", "--comment", HOSTILE)
    add(live, "command", "--every", "1h", "--comment", HOSTILE, "--", "printf", "%s", HOSTILE)
    lines = (["cron", "list"], ["cron", "show", "command"], ["conversations", "events", "k", "-f", "--limit", "1"])
    for line in (*lines, ["cron", "show", "hostile"], ["cron", "run", "command"]):
        done = live.run(*line)
        assert done.returncode == 0, done.stderr
        assert b"\x1b" not in done.stdout + done.stderr
        assert "\u202e".encode() not in done.stdout + done.stderr
    assert not os.path.exists("/tmp/never-{text}")
    for name in ("hostile", "command"):
        live.run("cron", "remove", name)


LOOKS = [
    ["cron", "list"],
    ["cron", "show", "kept"],
    ["cron", "next", "kept"],
    ["cron", "runs", "kept"],
    ["cron", "export"],
    ["conversations", "list"],
    ["conversations", "show", "k"],
    ["conversations", "events", "k", "--all"],
    ["wake", "list"],
    ["notifications", "list"],
]


def test_looking_needs_no_gateway_and_starts_none(own):
    """The same answers with a gateway and without, and completion of names too."""
    add(own, "kept", "--cron", "@yearly", "--", "true")
    own.run("cron", "run", "kept", "--wait")
    own.run("system", "event", "hello", "--to", "k")
    own.run("wake", "add", "k2", "--", "true")
    end = time.monotonic() + PATIENCE
    while own.json("tasks", "stats", "--json")["outbox"]["pending"]:  # what is still to be told will look otherwise
        assert time.monotonic() < end
    with_gateway = [own.json(*line, "--json") for line in LOOKS]
    assert b"Schedules: next in " in own.run("status").stdout
    assert own.run("gateway", "stop").returncode == 0
    assert [own.json(*line, "--json") for line in LOOKS] == with_gateway
    for line in LOOKS:
        done = own.run(*line)
        assert done.returncode == 0, done.stderr
    assert b"Schedules: next in " in own.run("status").stdout
    words = {"_OUTLAST_COMPLETE": "bash_complete", "COMP_WORDS": "outlast cron show k", "COMP_CWORD": "3"}
    assert own.run(env=words).stdout == b"plain,kept\n"
    assert own.run("gateway", "status").returncode == 3
