"""The fourth part of `make demo`: several steps that stay coordinated, with everything killed in the middle."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

from demo_stage import Answer, Stage, alive, note, step, wait_until

PROGRAM = """\
import pathlib

import outlast
from outlast import flow, step


@step
def measure(name: str, log: str) -> int:
    with pathlib.Path(log).open("a") as file:
        file.write(name + "\\n")
    return len(name)


@flow
async def release(ctx: outlast.FlowContext, version: str, log: str) -> str:
    wheel = await ctx.run("build", ["sh", "-c", 'echo build >> "$1"; sleep 2; echo "wheel-$0"', version, log])
    sizes = await ctx.gather(*(measure(name, log) for name in ("alpha", "beta", "gamma")))
    if not (await ctx.approve("ship", f"Ship {version}?", preview=wheel.tail)).approved:
        return "not shipped"
    await ctx.sleep("soak", "3s")
    await ctx.run("upload", ["sh", "-c", 'echo upload >> "$0"', log])
    return f"{wheel.stdout.strip()} {sum(sizes)}"
"""
FILE = """\
name: brief
args:
  tag: {type: string}
steps:
  - id: list
    run: [printf, '%s\\n', "${args.tag}", "beta", "gamma"]
  - id: count
    needs: [list]
    run: sort | wc -l
    stdin: ${steps.list.output}
  - id: shout
    needs: [list]
    run: tr a-z A-Z
    stdin: ${steps.list.output}
outputs:
  lines: ${steps.count.output}
  text: ${steps.shout.output}
"""
NASTY = '$(touch "$HOME/pwned"); `id` | rm -rf "${HOME}" #'


class Flows:
    """The story of flows, told on the stage of the first part: each step once, whoever dies."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.claim = stage.claim
        self.outlast = stage.outlast
        self.log = stage.scratch / "steps.log"

    def run(self) -> None:
        """Tell the story."""
        flow = self.begin()
        self.kill_everybody(flow)
        self.approve(flow)
        self.kill_everybody(flow)
        self.end(flow)
        self.hostile_file()
        for worker in self.workers():  # it would leave by itself after a minute without work
            self.outlast("process", "kill", worker["sessionId"], quiet=True)

    def show(self, flow: str) -> Answer:
        """Return how a flow stands."""
        return self.outlast("flow", "show", flow, quiet=True)

    def waits_for(self, flow: str, what: str) -> bool:
        """Wait until a flow waits at a step, on record and in nobody's memory."""

        def waits() -> bool:
            shown = self.show(flow)
            return shown["status"] == "waiting" and any(one["step"] == what for one in shown["waitsFor"])

        return wait_until(waits, 30)

    def begin(self) -> str:
        """Start a Python program as a flow."""
        step("A flow in Python: a build, three measurements, a question, a wait, an upload")
        program = self.stage.scratch / "release.py"
        program.write_text(PROGRAM)
        answer = self.outlast("flow", "run", "--detach", f"{program}:release", "1.2", str(self.log))
        flow = str(answer["flowId"])
        self.claim(wait_until(self.log.exists, 30), "a worker was started for the program, and the build runs")
        return flow

    def workers(self) -> list[Answer]:
        """Return the sessions of workers for programs."""
        rows = self.outlast("process", "list", quiet=True)["sessions"]
        return [row for row in rows if row["status"] == "running" and "outlast:flow-worker" in row["labels"]]

    def kill_everybody(self, flow: str) -> None:
        """Kill the gateway and the worker at the same time."""
        workers = [row["pid"] for row in self.workers()]
        victims = [self.stage.gateway_pid(), *workers]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        gone = wait_until(lambda: not any(alive(pid) for pid in victims))
        self.claim(gone, f"kill -9 of the gateway and {len(workers)} worker(s), at the same moment")
        note(f"the flow is {self.show(flow)['status']} on record")
        self.outlast("gateway", "start", quiet=True)

    def approve(self, flow: str) -> None:
        """Answer the question."""
        step("Another gateway and another worker go on; the flow asks its question")
        self.claim(self.waits_for(flow, "ship"), "the flow waits for an approval, and holds nothing meanwhile")
        asked = self.outlast("approvals", "list", quiet=True)["approvals"][0]
        note(f"{asked['prompt']} (preview: {asked['preview']})")
        self.outlast("approvals", "approve", asked["approvalId"], "--note", "go")
        self.claim(self.waits_for(flow, "soak"), "and then for its soak to pass")

    def end(self, flow: str) -> None:
        """See it end, and count what was done."""
        step("It ends as if nothing had happened")
        began = time.monotonic()
        wait_until(lambda: self.show(flow)["status"] not in ("queued", "running", "waiting"), 60)
        ended = self.show(flow)
        note(f"{ended['status']} after {time.monotonic() - began:.1f} s: {ended['result']}")
        self.claim(ended["result"] == "wheel-1.2 14", "its result is right")
        done = Counter(self.log.read_text().split())
        self.claim(
            done == Counter(("build", "alpha", "beta", "gamma", "upload")),
            f"each of its steps was done once: {dict(done)}",
        )

    def hostile_file(self) -> None:
        """Run a flow file with an argument that would like to be a command."""
        step("A flow file, and an argument that would like to be a command")
        path = self.stage.scratch / "brief.flow.yaml"
        path.write_text(FILE)
        self.outlast("flow", "check", str(path))
        ended = self.outlast("flow", "run", str(path), "--arg", f"tag={NASTY}")
        self.claim(ended["result"]["text"].split("\n")[0] == NASTY.upper(), "it came through to the letter, as a value")
        self.claim(
            not (self.stage.scratch / "pwned").exists() and str(ended["result"]["lines"]).strip() == "3",
            "and did nothing",
        )
