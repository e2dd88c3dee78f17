"""Being told, from the command line: conversations, wakes and notices with a real gateway; nothing here polls."""

import base64
import hashlib
import hmac
import json
import os
import queue
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cli_live import PATIENCE, Live, give, lines_of
from test_cli_live import read_until


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    home = tmp_path_factory.mktemp("told", numbered=True)
    os.chmod(home, 0o700)
    live = Live(str(home))
    live.env["OUTLAST_DELIVERY_ALLOW_PRIVATE"] = "127.0.0.0/8"
    yield live
    live.close()


@pytest.fixture
def hook():
    """A receiver on loopback: its address, and a queue of (headers, body)."""
    seen = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            seen.put((dict(self.headers), data))

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", seen
    server.shutdown()
    server.server_close()


def listen(live, key, *words):
    """Begin to follow a conversation; returns when what waited before is printed."""
    assert live.run("system", "event", "begin", "--to", key).returncode == 0
    process = live.start("conversations", "events", key, "-f", "--json", "--ack", *words)
    assert json.loads(read_until(process.stdout, b"\n"))["text"] == "begin"
    return process


def next_event(process):
    line = read_until(process.stdout, b"\n")
    return json.loads(line)


def end(process):
    """Press Ctrl-C, and return the exit code."""
    process.send_signal(signal.SIGINT)
    code = process.wait(PATIENCE)
    process.communicate()
    return code


# conversations


def test_who_asked_is_told_at_the_end(live):
    listener = listen(live, "agent:coder:main", "--limit", "2")
    task = live.run("exec", "--detach", "--as", "agent:coder:main", "--label", "build", "--", "sh", "-c", "exit 2")
    event = next_event(listener)
    assert event["data"]["taskId"] == task.stdout.decode().strip()
    assert event["text"].startswith('"build" failed with exit code 2')
    assert listener.wait(PATIENCE) == 0
    listener.communicate()
    assert live.json("conversations", "show", "agent:coder:main", "--json")["waiting"] == 0


def test_events_wait_until_they_are_consumed(live):
    for text in ("one", "two"):
        assert live.run("system", "event", text, "--to", "k", "--key", text).stdout == b"queued for k\n"
    assert b"already" in live.run("system", "event", "two", "--to", "k", "--key", "two").stderr
    first, second = live.json("conversations", "events", "k", "--json")["events"]
    assert (first["text"], second["text"]) == ("one", "two")
    assert live.run("conversations", "ack", "k", "--upto", str(first["eventId"])).stdout == b"1 consumed, 1 waiting\n"
    assert live.run("conversations", "events", "k", "--ack").stdout.count(b"two") == 1
    assert live.json("conversations", "events", "k", "--json")["events"] == []
    assert len(live.json("conversations", "events", "k", "--all", "--json")["events"]) == 2
    rows = live.json("conversations", "--json")["conversations"]
    assert [row["waiting"] for row in rows if row["conversation"] == "k"] == [0]


def test_following_survives_a_restart_and_a_crash_of_the_gateway(live):
    listener = listen(live, "lasting")
    assert live.run("gateway", "restart").returncode == 0
    live.run("system", "event", "after the restart", "--to", "lasting")
    assert next_event(listener)["text"] == "after the restart"
    live.kill_gateway()
    live.run("system", "event", "after the crash", "--to", "lasting")
    assert next_event(listener)["text"] == "after the crash"
    assert end(listener) == 130


def test_following_ends_when_nothing_comes_or_enough_has_come(live):
    done = live.run("conversations", "events", "silence", "-f", "--timeout", "50ms")
    assert (done.returncode, done.stdout) == (124, b"")
    live.run("system", "event", "one", "--to", "short")
    done = live.run("conversations", "events", "short", "-f", "--limit", "1")
    assert done.returncode == 0
    assert done.stdout.endswith(b"note\n  one\n")


@pytest.mark.parametrize("line", ["conversations events head -f", "tasks watch"])
def test_following_ends_with_its_reader(live, line):
    """As with `| head -1`: nothing more comes, and nobody is there any more."""
    live.run("system", "event", "one", "--to", "head")
    process = live.start(*line.split())
    if line == "tasks watch":
        read_until(process.stderr, b"watching")
    else:
        read_until(process.stdout, b"one\n")
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    process.stderr.close()


def test_somebody_else_sees_nothing_of_it(live):
    live.run("system", "event", "mine", "--to", "agent:me")
    assert live.run("conversations", "events", "agent:me", "--as", "agent:you").returncode == 3
    assert live.run("system", "event", "x", "--to", "agent:me", "--as", "agent:you").returncode == 5
    assert live.json("conversations", "events", "agent:me", "--as", "agent:me", "--json")["events"][0]["text"] == "mine"


# wakes


def test_a_completion_wakes_its_requester_by_a_command(live, tmp_path):
    """Values are values: what a label holds is neither run by a shell nor filled in again."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE)
    script = f'printf "%s|%s" "$0" "$1" > {fifo}'
    wake = live.run("wake", "add", "agent:woken", "--", "sh", "-c", script, "{conversation}", "{text}")
    id = wake.stdout.decode().strip()
    assert f"outlast wake test {id}".encode() in wake.stderr
    live.run("run", "--as", "agent:woken", "--label", "$(id) {conversation}", "true")
    try:
        out, _ = reader.communicate(timeout=PATIENCE)
    finally:
        reader.kill()
    conversation, _, text = out.decode().partition("|")
    assert conversation == "agent:woken"
    assert text.startswith('"$(id) {conversation}" succeeded')
    assert live.run("wake", "list", "agent:woken").stdout.split()[5:6] == [id.encode()]
    assert live.run("wake", "remove", id).returncode == 0
    assert live.run("wake", "test", id).returncode == 3


def test_a_wake_is_tested_for_real(live):
    good = live.run("wake", "add", "tested", "--command", "true").stdout.decode().strip()
    bad = live.run("wake", "add", "tested", "--", "sh", "-c", "exit 3").stdout.decode().strip()
    assert live.run("wake", "test", good).stdout.startswith(f"{good} delivered in ".encode())
    done = live.run("wake", "test", bad)
    assert done.returncode == 1
    assert b"not delivered: " in done.stdout
    for id in (good, bad):
        live.run("wake", "remove", id)


def verified(headers, data, secret):
    """True when a webhook is signed as Standard Webhooks has it."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + data
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{signature}" in headers["webhook-signature"].split()


def test_a_webhook_is_signed_with_the_secret_that_was_shown(live, hook):
    url, seen = hook
    wake = live.json("wake", "add", "hooked", "--webhook", url, "--json")
    live.run("system", "event", "hello", "--to", "hooked")
    headers, data = seen.get(timeout=PATIENCE)
    headers = {name.lower(): value for name, value in headers.items()}
    assert verified(headers, data, wake["secret"])
    assert "hello" in data.decode()
    assert "secret" not in live.json("wake", "list", "hooked", "--json")["wakes"][0]
    assert url.encode() not in live.run("wake").stdout  # a path may be a secret
    live.run("wake", "remove", wake["wakeId"])


# notices


def test_what_cannot_be_delivered_is_given_up_and_can_be_tried_again(live, hook):
    url, seen = hook
    live.run("cron", "add", "--name", "lost", "--every", "1h", "--webhook", "https://10.1.2.3/x", "--", "true")
    news = live.start("tasks", "watch", "--json")
    read_until(news.stderr, b"watching")
    task = live.json("cron", "run", "lost", "--wait", "--json")["taskId"]
    parked = next(event for event in map(json.loads, lines_of(news.stdout)) if event["verb"] == "parked")
    assert parked["taskId"] == task
    [notice] = live.json("notifications", "--failed", "--json")["notices"]
    id = str(notice["noticeId"])
    assert (notice["taskId"], notice["state"]) == (task, "parked")
    assert "10.1.2.3" in live.run("notifications", "list", "--failed").stderr.decode()
    assert b"Notices: 1 given up\n" in live.run("status").stdout
    live.run("notifications", "retry", id)
    parked = next(event for event in map(json.loads, lines_of(news.stdout)) if event["verb"] == "parked")
    assert parked["taskId"] == task
    assert live.run("notifications", "dismiss", id).stdout == f"{id} dismissed\n".encode()
    assert b"Notices:" not in live.run("status").stdout
    news.kill()
    news.communicate()
    live.run("cron", "edit", "lost", "--webhook", url)
    live.run("cron", "run", "lost")
    assert b"lost" in seen.get(timeout=PATIENCE)[1]
    live.run("cron", "remove", "lost")


# run --wait


def test_run_that_waits_survives_a_crash_of_the_gateway(live):
    fifo = os.path.join(live.home, "crash")
    os.mkfifo(fifo)
    process = live.start("run", "--wait", f"echo begun; cat {fifo}; echo done; exit 6")
    read_until(process.stdout, b"begun\n")
    live.kill_gateway()
    give(fifo, b"after the crash\n")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (6, b"after the crash\ndone\n"), err


def test_run_that_waits_shows_the_output_as_it_comes(live):
    """Byte for byte, each stream where it belongs; nobody is told of an end that he has seen."""
    fifo = os.path.join(live.home, "fifo")
    os.mkfifo(fifo)
    process = live.start("run", "--wait", "--as", "seer", f"echo begun; echo err >&2; cat {fifo}; exit 5")
    read_until(process.stdout, b"begun\n")
    give(fifo, b"\xff\x00end\n")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (5, b"\xff\x00end\n")
    assert b"err\n" in err
    assert b"failed: exit code 5" in err
    assert live.json("conversations", "events", "seer", "--all", "--json")["events"] == []
