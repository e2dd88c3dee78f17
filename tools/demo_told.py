"""The third part of `make demo`: work that comes due by itself, and ends that are told to whoever asked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import os
import shlex
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from demo_stage import Answer, Stage, alive, note, step, wait_until

BUILD_SECONDS = 3
AWAY_SECONDS = 3.0
AGENT = """\
#!/bin/sh
{ echo "to $1, message $OUTLAST_NOTICE_ID"; cat; } >> "$2"
"""
"""Stands for an agent that a command can resume: it is handed the text on its standard input."""


class Receiver:
    """A webhook receiver on loopback that keeps what it gets; ``before_answer`` may spoil an answer."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.before_answer: Callable[[], None] | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                spoil, receiver.before_answer = receiver.before_answer, None
                if spoil is not None:
                    spoil()
                    self.close_connection = True
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


def signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Return whether a message is signed with a secret, by the rules of Standard Webhooks and nothing of outlast."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and any(hmac.compare_digest(f"v1,{wanted}", one) for one in headers["webhook-signature"].split())


class Told:
    """The story of schedules, wakes and webhooks, told on the stage of the first part."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.claim = stage.claim
        self.outlast = stage.outlast
        self.ticks = stage.scratch / "ticks"
        self.heard = stage.scratch / "heard"

    def run(self) -> None:
        """Tell the story."""
        self.say_what_was_understood()
        self.fire_through_a_kill()
        self.wake_an_agent()
        receiver = Receiver()
        try:
            self.send_a_webhook(receiver)
            self.run_once(receiver)
        finally:
            receiver.stop()
        self.count()

    def kill_the_gateway(self) -> None:
        """Kill it with -9."""
        pid = self.stage.gateway_pid()
        os.kill(pid, signal.SIGKILL)
        self.claim(wait_until(lambda: not alive(pid)), f"kill -9 {pid}: the gateway is dead")

    # schedules

    def say_what_was_understood(self) -> None:
        """Add a schedule in a zone whose clocks change, and read the answer."""
        step("A schedule, and what was understood of it")
        rule = ("--cron", "30 1 * * *", "--tz", "Europe/London")
        added = self.outlast("cron", "add", "--name", "backup", *rule, "--", "true")
        told = added["understood"]
        note(f"{told['words']}, {told['zone']}")
        for firing in told["next"]:
            note(f"{firing['local']} {firing['offset']}")
        for line in told["notes"]:
            note(line)
        text = " ".join(told["notes"])
        self.claim("does not exist" in text and "happens twice" in text, "it says what both changes of the clocks do")
        self.outlast("cron", "remove", "backup", quiet=True)

    def runs(self) -> list[Answer]:
        """Return what became of the instants so far, oldest first; no gateway is needed."""
        page = self.outlast("cron", "runs", "tick", "--limit", "1000", quiet=True)
        return list(reversed(page["runs"]))

    def fire_through_a_kill(self) -> None:
        """Let a schedule fire every second, and the gateway die in the middle."""
        step("Every second; the gateway is killed in the middle")
        line = f'echo "$OUTLAST_TASK_ID" >> {shlex.quote(str(self.ticks))}'
        self.outlast("cron", "add", "--name", "tick", "--every", "1s", "--overlap", "allow", "--", line)
        self.claim(wait_until(lambda: len(self.runs()) >= 2), "it fires")
        self.kill_the_gateway()
        before = len(self.runs())
        time.sleep(AWAY_SECONDS)
        self.claim(len(self.runs()) == before, f"{AWAY_SECONDS:.0f} s without a gateway: nothing fires")
        back = time.time()
        self.outlast("gateway", "start")
        self.claim(wait_until(lambda: len(self.runs()) >= before + AWAY_SECONDS + 2), "the next one goes on")
        self.outlast("cron", "pause", "tick")
        self.every_instant_once(back)

    def every_instant_once(self, back: float) -> None:
        """Check the instants against the clock, the tasks against the instants, and the work against the tasks."""
        runs = self.runs()
        instants = [datetime.fromisoformat(run["instant"]).timestamp() for run in runs]
        late = sum(
            instant < back <= datetime.fromisoformat(run["at"]).timestamp()
            for instant, run in zip(instants, runs, strict=True)
        )
        note(f"{len(runs)} instants, {late} of them while there was no gateway, made up for when it was back")
        apart = {round(two - one, 3) for one, two in itertools.pairwise(instants)}
        self.claim(apart == {1.0} and late >= AWAY_SECONDS - 1, "one for each second: none missing, none twice")
        tasks = [run["taskId"] for run in runs]
        fired = {run["how"] for run in runs} == {"fired"}
        self.claim(fired and None not in tasks and len(set(tasks)) == len(tasks), "each instant made a task of its own")
        done = wait_until(lambda: self.ticks.read_text().count("\n") >= len(tasks))
        self.claim(done and Counter(self.ticks.read_text().split()) == Counter(tasks), "and each task ran exactly once")

    # wakes

    def wake_an_agent(self) -> None:
        """Let a conversation be resumed by a command when a build has ended."""
        step("An agent starts a build and does not wait; it is woken at the end")
        agent = self.stage.scratch / "agent"
        agent.write_text(AGENT)
        agent.chmod(0o755)
        words = ("--", str(agent), "{conversation}", str(self.heard))
        wake = self.outlast("wake", "add", "agent:demo", *words)
        tested = self.outlast("wake", "test", wake["wakeId"])
        self.claim(tested["delivered"], f"a test gets through, in {tested['tookMs']} ms")
        self.heard.unlink()
        folder = self.stage.scratch / "told"
        folder.mkdir()
        line = shlex.join([sys.executable, "tools/demo_build.py", str(folder), str(BUILD_SECONDS)])
        task = self.outlast("run", "--as", "agent:demo", "--label", "build", "--", line)["taskId"]
        self.claim(wait_until(self.heard.exists, 20), "it was told, and nobody had asked")
        spent = self.heard.stat().st_mtime - self.ended(task)
        wait_until(lambda: "More: " in self.heard.read_text())
        for text in self.heard.read_text().splitlines():
            note(text)
        self.claim('"build" failed with exit code 7' in self.heard.read_text(), "how it ended, and its last lines")
        self.claim(spent < 1, f"{spent * 1000:.0f} ms after the end")
        consumed = wait_until(lambda: self.outlast("conversations", "show", "agent:demo", quiet=True)["waiting"] == 0)
        self.claim(consumed, "what a wake has told is consumed: nothing waits")
        self.see_for_itself()

    def ended(self, task: str) -> float:
        """Return when a task ended, in seconds since the epoch."""
        ended = self.outlast("tasks", "show", task, quiet=True)["endedAt"]
        return datetime.fromisoformat(ended).timestamp()

    def see_for_itself(self) -> None:
        """Wait for an end as the requester: it is not told again."""
        before = self.heard.read_text()
        task = self.outlast("run", "--as", "agent:demo", "--label", "seen", "--wait", "--", "sleep 1")
        events = self.outlast("tasks", "events", task["taskId"], quiet=True)["events"]
        how = [event["data"].get("how") for event in events if event["verb"] == "delivered"]
        quiet = self.heard.read_text() == before
        self.claim(how == ["wait"] and quiet, "an end it waits for itself is not told again")

    # webhooks

    def send_a_webhook(self, receiver: Receiver) -> None:
        """Send a webhook whose sender dies before it hears the answer."""
        step("A webhook; the gateway is killed after it was received, and before the answer")
        wake = self.outlast("wake", "add", "ci", "--webhook", receiver.url("ci"))
        pid = self.stage.gateway_pid()
        receiver.before_answer = lambda: os.kill(pid, signal.SIGKILL)
        self.outlast("run", "--as", "ci", "--label", "e2e", "--", "echo all 31 passed")
        self.claim(wait_until(lambda: receiver.got and not alive(pid)), "received once, and the gateway is dead")
        self.outlast("gateway", "start")
        self.claim(wait_until(lambda: len(receiver.got) >= 2), "the next one cannot know, and sends it again")
        (first, body), (second, again) = receiver.got[:2]
        note(f"webhook-id {first['webhook-id']}, {json.loads(body)['data']['title']}")
        same = first["webhook-id"] == second["webhook-id"] and body == again
        self.claim(same, "with the same id and the same body: a receiver can tell")
        right = all(signed(wake["secret"], *message) for message in receiver.got)
        self.claim(right, "both signatures are right, checked with hmac alone")
        forged = signed(wake["secret"], first, body.replace(b"31", b"13"))
        self.claim(not forged, "and one changed digit makes it wrong")

    def run_once(self, receiver: Receiver) -> None:
        """Let a schedule fire once, tell an address, and be forgotten."""
        step("Once, in a second, and tell an address")
        before = len(receiver.got)
        words = ("--in", "1s", "--delete-after-run", "--webhook", receiver.url("report"), "--", "echo fine")
        self.outlast("cron", "add", "--name", "report", *words)
        self.claim(wait_until(lambda: len(receiver.got) > before, 20), "it ran, and its end was sent")
        headers, body = receiver.got[-1]
        message = json.loads(body)
        note(f"{message['type']}: {message['data']['title']}")
        secret = (self.stage.home / "webhook.secret").read_text().strip()
        good = signed(secret, headers, body) and message["data"]["detail"]["summary"] == "fine"
        self.claim(good, "signed with the secret of the home")
        left = [one["name"] for one in self.outlast("cron", "list")["schedules"]]
        self.claim(left == ["tick"], "and the schedule is forgotten")

    def count(self) -> None:
        """Look for anything that was not told, or told twice."""
        step("Count what was told")
        notices = self.outlast("notifications", "list", "--limit", "1000")["notices"]
        states = Counter(notice["state"] for notice in notices)
        note(f"{len(notices)} notices: {dict(states)}")
        self.claim(set(states) == {"delivered"}, "every one was delivered")
        self.claim(len({notice["key"] for notice in notices}) == len(notices), "none was written twice")
        found = self.outlast("tasks", "audit")["findings"]
        self.claim(not [one for one in found if one["code"] != "low_disk"], "an audit finds nothing")
