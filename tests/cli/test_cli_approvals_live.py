"""Approvals from the command line, with a real gateway and real commands."""

import json
import os
import re
import signal
import urllib.parse
import urllib.request
from http.client import HTTPConnection

import pytest
from cli_live import PATIENCE, Live
from test_cli_live import read_until

AGENT = "agent:x:main"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("approvals", numbered=True)
    os.chmod(home, 0o700)
    live = Live(str(home))
    live.env["OUTLAST_GATEWAY_LISTEN"] = "127.0.0.1:0"
    (home / "config.toml").write_text('[exec.requesters]\n"asked:*" = "ask"\n')
    yield live
    live.close()


def ask(live, *words):
    """Begin to ask for a command; return the process that waits, and the id of the approval."""
    process = live.start(*words)
    shown = read_until(process.stderr, b"(or reject")
    return process, re.search(rb"approvals approve (a\w+)", shown)[1].decode()


def out_of(process):
    out, err = process.communicate(timeout=2 * PATIENCE)
    return out, err.decode()


def test_a_command_that_is_approved_ends_as_if_it_had_been_run_at_once(live):
    process, approval = ask(live, "exec", "--ask", "--as", AGENT, "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    refused = live.run("approvals", "approve", approval, "--as", AGENT)
    assert (refused.returncode, process.poll()) == (5, None)
    assert live.json("approvals", "--as", "agent:y", "--json")["approvals"] == []
    done = live.json("approvals", "approve", approval[:12], "--note", "go on", "--json")
    assert (done["status"], done["decidedBy"], done["decidedHow"]) == ("approved", "local", "cli")
    out, err = out_of(process)
    assert (out, process.returncode) == (b"out\n", 7)
    assert "err\n" in err
    again = live.run("approvals", "approve", approval)
    assert again.returncode == 4
    assert b"was approved by local (cli)" in again.stderr


def test_a_command_that_is_rejected_never_runs(live, tmp_path):
    process, approval = ask(live, "exec", "--ask", "--", f"touch {tmp_path}/ran")
    assert live.run("approvals", "reject", approval, "--note", "not today").returncode == 0
    _, err = out_of(process)
    assert process.returncode == 125
    assert "cancelled: rejected" in err
    assert "not today" in err
    assert not (tmp_path / "ran").exists()


def test_a_command_nobody_answers_in_time_never_runs(live, tmp_path):
    """The gateway's own timer ends it; the least a link or a flag can ask for is a second."""
    process, approval = ask(live, "exec", "--ask", "--expires", "1s", "--", f"touch {tmp_path}/ran")
    _, err = out_of(process)
    assert process.returncode == 125
    assert "cancelled: expired" in err
    assert live.run("approvals", "approve", approval).returncode == 4
    assert not (tmp_path / "ran").exists()


def test_leaving_leaves_the_question_open(live, tmp_path):
    process, approval = ask(live, "exec", "--ask", "--", f"touch {tmp_path}/ran")
    process.send_signal(signal.SIGINT)
    _, err = out_of(process)
    assert process.returncode == 130
    assert "is left as it is" in err
    shown = live.json("approvals", "show", approval, "--json")
    assert shown["status"] == "pending"
    assert live.run("approvals", "approve", approval).returncode == 0
    assert live.run("tasks", "wait", shown["taskId"]).returncode == 0
    assert (tmp_path / "ran").exists()


def test_a_gateway_that_dies_in_between_changes_nothing(live, tmp_path):
    process, approval = ask(live, "exec", "--ask", "--", f"echo ran >> {tmp_path}/ran; echo out; exit 3")
    live.kill_gateway()
    assert live.run("approvals", "approve", approval).returncode == 0
    out, _ = out_of(process)
    assert (out, process.returncode) == (b"out\n", 3)
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_where_the_configuration_asks_a_plain_exec_waits(live, tmp_path):
    process, approval = ask(live, "exec", "--as", "asked:bot", "--", f"echo ran >> {tmp_path}/ran")
    started = live.json("exec", "-b", "--json", "--as", "asked:bot", "--allow-duplicate", "--", "true")
    assert (started["status"], started["approvalId"][0]) == ("queued", "a")
    assert live.run("approvals", "reject", started["approvalId"]).returncode == 0
    assert live.run("approvals", "approve", approval).returncode == 0
    out_of(process)
    assert process.returncode == 0
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_following_is_told_of_each_question(live):
    follower = live.start("approvals", "-f", "--json", "--kind", "exec")
    for turn in range(2):
        asked = live.json("run", "--ask", "--json", "--", f"true {turn}")
        assert json.loads(read_until(follower.stdout, b"\n"))["approvalId"] == asked["approvalId"]
        assert live.run("approvals", "reject", asked["approvalId"]).returncode == 0
    follower.send_signal(signal.SIGINT)
    out_of(follower)


def test_a_link_answers_without_the_token(live, tmp_path):
    asked = live.json("run", "--ask", "--json", "--as", AGENT, "--", f"touch {tmp_path}/ran")
    url = live.run("approvals", "link", asked["approvalId"]).stdout.decode().strip()
    with urllib.request.urlopen(url, timeout=PATIENCE) as page:
        assert b"touch" in page.read()
    assert live.json("approvals", "show", asked["approvalId"], "--json")["status"] == "pending"
    form = urllib.parse.urlencode({"decision": "approve", "note": "by mail"}).encode()
    with urllib.request.urlopen(url, form, timeout=PATIENCE) as page:
        assert b"was approved by link" in page.read()
    assert live.run("tasks", "wait", asked["taskId"]).returncode == 0
    assert (tmp_path / "ran").exists()
    shown = live.json("approvals", "show", asked["approvalId"], "--json")
    assert (shown["decidedHow"], shown["note"]) == ("link", "by mail")
    parts = urllib.parse.urlsplit(url)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    connection.request("GET", f"{parts.path}?{parts.query[:-2]}")
    assert connection.getresponse().status == 403
    connection.close()
    assert os.stat(f"{live.home}/approval.secret").st_mode & 0o777 == 0o600


def test_without_a_gateway_approvals_are_seen_and_not_answered_by_force(own):
    asked = own.json("run", "--ask", "--json", "--", "true")
    assert own.run("gateway", "stop").returncode == 0
    [row] = own.json("approvals", "--json")["approvals"]
    assert row["approvalId"] == asked["approvalId"]
    assert own.json("tasks", "show", asked["taskId"], "--json")["waitsForApproval"] is True
    assert own.run("gateway", "status").returncode == 3
    assert own.run("approvals", "approve", asked["approvalId"]).returncode == 0
    assert own.run("tasks", "wait", asked["taskId"]).returncode == 0


def test_two_who_answer_at_the_same_moment_get_one_answer_each(live, tmp_path):
    asked = live.json("run", "--ask", "--json", "--", f"echo ran >> {tmp_path}/ran")
    both = [live.start("approvals", "approve", asked["approvalId"]) for _ in range(4)]
    codes = sorted((out_of(process), process.returncode)[1] for process in both)
    assert codes == [0, 4, 4, 4]
    assert live.run("tasks", "wait", asked["taskId"]).returncode == 0
    assert (tmp_path / "ran").read_text() == "ran\n"
