"""The second part of `make demo`: a build on record, told of, found again, done again."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import sys
from datetime import datetime

from demo_stage import Answer, Stage, alive, note, step, wait_until

BUILD_SECONDS = 11
HISTORY = ["create", "claim", "began", *["progress"] * 4, "reclaim", "fail", "delivered"]
"""All that may have happened to the build: begun once, ended once, told once."""
SECRET = "hunter2-of-the-demo"


class Ledger:
    """The story of tasks, told on the stage of the first part."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.claim = stage.claim
        self.outlast = stage.outlast
        self.folder = stage.scratch / "nightly"
        self.asked: list[str] = []

    def run(self) -> None:
        """Tell the story."""
        self.what_outlived_its_call()
        task = self.put_on_record()
        ended_by = self.kill_the_gateway_and_let_it_end(task)
        self.next_gateway(task, ended_by)
        self.audit()
        self.retry(task)
        self.keep_a_secret()
        self.take_turns()
        self.count_notices()

    def what_outlived_its_call(self) -> None:
        """The commands of the first part were never asked to be recorded, and are."""
        step("The ledger: what outlived its call is on record, with its true end")
        rows = {task["title"]: task for task in self.outlast("tasks", "list", "--all")["tasks"]}
        for title, task in rows.items():
            note(f"{task['taskId']}  {task['status']:<10} {task['cause']:<9} {title}")
        codes = {title: rows[title]["exitCode"] for title in ("long build", "wheel", "short", "calculator")}
        true = codes == {"long build": 7, "wheel": 0, "short": 42, "calculator": 0}
        self.claim(true, f"exit codes as they were, also of the one that ended with no gateway: {codes}")
        silent = {task["notify"] for task in rows.values()} == {"silent"}
        notices = self.outlast("notifications", "list", quiet=True)["notices"]
        self.claim(silent and not notices, "nobody asked to be told of them: no notice was written")

    def queue(self) -> list[Answer]:
        """Return what has been put into the queue of the conversation that asks here, consumed or not."""
        page = self.outlast("conversations", "events", "local", "--all", quiet=True)
        events: list[Answer] = page["events"]
        return events

    def show(self, task: str, *, quiet: bool = True) -> Answer:
        """Return how a task stands."""
        return self.outlast("tasks", "show", task, quiet=quiet)

    def put_on_record(self) -> str:
        """Start a real build as a task, and wait until it has reported that it is at 40 %."""
        step("A real build, on record before it starts")
        self.folder.mkdir()
        line = shlex.join(
            [sys.executable, "tools/demo_build.py", str(self.folder), str(BUILD_SECONDS), "--report"]
        )  # fmt: skip
        task = self.outlast("run", "--label", "nightly", "--deadline", "5m", "--", line)
        note(f"task {task['taskId']}, session {task['sessionId']}: {task['status']}")
        self.claim(task["status"] == "running" and task["exitCode"] is None, "its id was answered, and it runs")
        again = self.outlast("run", "--label", "nightly", "--deadline", "5m", "--", line)
        self.claim(
            again["existing"] and again["taskId"] == task["taskId"],
            "asked for twice, it is the same task: not run twice",
        )
        there = wait_until(lambda: self.show(task["taskId"])["progress"] == 40, 60)
        self.claim(there, "it reports how far it is, from inside: 40 %")
        self.explain(task["taskId"])
        self.asked.append(task["taskId"])
        return str(task["taskId"])

    def explain(self, name: str) -> None:
        """Print the five lines about a task or session."""
        told = self.outlast("explain", name)
        for line in told["lines"]:
            note(line)
        survives = told["survives"]
        right = told["rung"] == 3 and len(told["lines"]) == 5
        self.claim(right and survives["terminal"] and survives["gatewayRestart"], "explained in five lines: rung 3")

    def kill_the_gateway_and_let_it_end(self, task: str) -> str:
        """Kill the gateway with -9, let the build end unseen, and ask with no gateway; return when it ended."""
        pid = self.stage.gateway_pid()
        step(f"kill -9 {pid}: the gateway. The build goes on, and ends with nobody there")
        session = self.show(task)["sessionId"]
        leader = int(self.outlast("process", "poll", session, quiet=True)["pid"])
        os.kill(pid, signal.SIGKILL)
        self.claim(wait_until(lambda: not alive(pid)) and alive(leader), "the gateway is dead, the build is not")
        self.claim(wait_until(lambda: not alive(leader), 60), "the build has ended")
        seen = self.show(task, quiet=False)
        note(f"{seen['status']}, exit code {seen['exitCode']}, after {seen['durationMs'] / 1000:.1f} s")
        self.claim(seen["status"] == "failed" and seen["exitCode"] == 7, "asked with no gateway: failed, exit code 7")
        down = not self.outlast("gateway", "status", quiet=True)["running"]
        self.claim(down, "and asking has started none")
        return str(seen["endedAt"])

    def next_gateway(self, task: str, ended_at: str) -> None:
        """Start a gateway and look at what it has made of the task."""
        step("The next gateway settles it from evidence")
        started = self.outlast("gateway", "start")
        settled = wait_until(lambda: self.events(task)[-1]["verb"] == "delivered")
        self.claim(settled, f"settled by the gateway with pid {started['gateway']['pid']}")
        events = self.events(task)
        for event in events:
            note(f"{event['at']}  {event['verb']:<9} {event['status'] or ''}")
        self.claim([event["verb"] for event in events] == HISTORY, "its history: begun once, ended once, nothing lost")
        ended = self.show(task)
        same = ended["endedAt"] == ended_at and ended["exitCode"] == 7 and ended["cause"] == "exit"
        self.claim(same, f"the moment is that of the true end, {ended['endedAt']}, and the same answer as before")
        before = datetime.fromisoformat(ended_at) < datetime.fromisoformat(events[-3]["at"])
        self.claim(before, "which was before this gateway took it over")
        told = [event["data"]["taskId"] for event in self.queue()]
        self.claim(told == [task], "and it waits in the queue of the one who asked: not never, not twice")

    def events(self, task: str) -> list[Answer]:
        """Return the history of a task, as it is on record."""
        events: list[Answer] = self.outlast("tasks", "events", task, quiet=True)["events"]
        return events

    def audit(self) -> None:
        """Look for anything that is wrong."""
        step("An audit")
        found = self.outlast("tasks", "audit")
        for finding in found["findings"]:
            note(f"{finding['severity']}: {finding['message']}; {finding['fix']}")
        wrong = [finding for finding in found["findings"] if finding["code"] != "low_disk"]
        self.claim(not wrong, "nothing to mend")
        planned = self.outlast("tasks", "maintenance")
        self.claim(not planned["moves"] and not planned["applied"], "and maintenance has nothing to do")

    def retry(self, task: str) -> None:
        """Mend the source and do the work again."""
        step("Mend the broken source and run the task again")
        (self.folder / "mended").touch()
        again = self.outlast("tasks", "retry", task)
        self.claim(again["taskId"] != task and again["label"] == "nightly", "a new task, by the record of the old one")
        done = self.outlast("tasks", "wait", again["taskId"], "--timeout", "1m")["tasks"][0]
        self.asked.append(again["taskId"])
        good = done["status"] == "succeeded" and done["exitCode"] == 0 and done["progress"] == 40
        self.claim(good, f"it succeeded, exit code {done['exitCode']}, after {done['durationMs'] / 1000:.1f} s")
        note(f"its last line: {done['summary'].splitlines()[-1]}")
        self.claim(self.show(task)["status"] == "failed", "and the first stays what it was: failed")

    def keep_a_secret(self) -> None:
        """Give a command a secret: it gets it, the record does not."""
        step("A secret in the environment and in the command line")
        words = ("--env", f"API_TOKEN={SECRET}", "--label", "secret")
        line = f'printf %s "$API_TOKEN" --password={SECRET} | wc -c'
        task = self.outlast("run", *words, "--", line, quiet=True)
        note(f"recorded as: {task['command']}")
        done = self.outlast("tasks", "wait", task["taskId"], quiet=True)["tasks"][0]
        self.asked.append(task["taskId"])
        octets = len(SECRET) + len(f"--password={SECRET}")
        self.claim(done["summary"] == str(octets), f"the command got the real values: {octets} octets")
        shown = json.dumps([task, done, self.events(task["taskId"])])
        self.claim(SECRET not in shown and "***" in shown, "on record they are masked")

    def take_turns(self) -> None:
        """Let three commands wait in a queue that runs one at a time."""
        step("A queue that runs one at a time; the last to come is the most urgent")
        self.outlast("tasks", "queues", "--set", "one=1")
        tasks = []
        for name, priority in (("first", "0"), ("second", "0"), ("urgent", "9")):
            options = ("--queue", "one", "--label", name, "--priority", priority)
            tasks.append(self.outlast("run", *options, "--", f"sleep 1.5 # {name}")["taskId"])
        ended = self.outlast("tasks", "wait", *tasks, "--timeout", "1m")["tasks"]
        self.asked += tasks
        turns = sorted(ended, key=lambda task: task["startedAt"])
        order = [task["label"] for task in turns]
        self.claim(order == ["first", "urgent", "second"], f"they ran in this order: {', '.join(order)}")
        apart = all(one["endedAt"] <= two["startedAt"] for one, two in itertools.pairwise(turns))
        self.claim(apart, "and never two at once")

    def count_notices(self) -> None:
        """Count the tasks that are not as they should be, and how each end was told."""
        step("Count")
        stats = self.outlast("tasks", "stats")
        counts = {status: number for status, number in stats["byStatus"].items() if number}
        note(f"{stats['total']} tasks on record: {counts}")
        live = {"queued", "running", "lost"} & set(counts)
        self.claim(not live, "none is lost, none is left over")
        hows = {task: self.how_told(task) for task in self.asked}
        once = all(len(how) == 1 for how in hows.values())
        self.claim(once, f"{len(hows)} ends somebody asked to be told of: each was told once")
        queued = sorted(event["data"]["taskId"] for event in self.queue())
        waited = sum(how == ["wait"] for how in hows.values())
        unseen = sorted(task for task, how in hows.items() if how == ["conversation"])
        self.claim(
            queued == unseen, f"{waited} by waiting for it, the others wait in the queue, once each: {len(queued)}"
        )

    def how_told(self, task: str) -> list[str]:
        """Return how the end of a task was told, once for each time."""
        wait_until(lambda: self.show(task)["delivery"] == "delivered")
        return [event["data"]["how"] for event in self.events(task) if event["verb"] == "delivered"]
