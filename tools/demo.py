"""`make demo`: real builds, a gateway killed with -9 in the middle, and every claim checked afterwards.

Uses a home of its own in a temporary directory and cleans up behind itself. Exits with 1 if anything is not
as claimed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from demo_flows import Flows
from demo_ledger import Ledger
from demo_stage import STARTED, Answer, Stage, alive, note, paint, step, wait_until
from demo_told import Told

BUILD_SECONDS = 24
NUMBERED = re.compile(r"^\[(\d+)\]", re.M)
# Four children that leave: by setsid, by a double fork, with ignored signals, and one that stays.
ESCAPE_ARTIST = """
setsid sleep {n} &
(setsid sh -c 'sleep {n} & sleep {n}' >/dev/null 2>&1 &)
sh -c 'trap "" TERM HUP INT; sleep {n}' &
sleep {n}
"""


def running_with(word: str) -> list[int]:
    """Return the living processes that have ``word`` as an argument."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words and alive(int(folder.name)):
            found.append(int(folder.name))
    return found


class Demo(Stage):
    """The story of commands that outlive everything."""

    def start(self, title: str, *words: str) -> str:
        """Start a command in the background and return its session id."""
        options = () if words[0] == "--" or words[0].startswith("--") else ("--",)
        answer = self.outlast("exec", "--background", "--title", title, *options, *words)
        note(f"session {answer['sessionId']}, pid {answer['pid']}: {answer['status']}")
        return str(answer["sessionId"])

    def size(self, session: str) -> int:
        """Return the bytes of output on disk, without asking any gateway."""
        return (self.home / "sessions" / session / "out").stat().st_size

    def show(self) -> dict[str, str]:
        """Print how each session stands; return the status of each by its title."""
        rows = self.outlast("process", "list")["sessions"]
        for row in rows:
            note(f"{row['title']:<14} {row['status']:<10} {row['producedBytes']:>9,} bytes so far")
        return {row["title"]: row["status"] for row in rows}

    def end_of(self, session: str) -> Answer:
        """Wait for a session's end, at most two minutes, and return its result."""
        answer: Answer = self.outlast("process", "wait", session, "--exit", "--timeout", "2m")["results"][0]
        return answer

    def whole_output(self, session: str) -> str:
        """Read everything that a session printed, page by page."""
        parts: list[str] = []
        line: int | None = 0
        while line is not None:
            page = self.outlast("process", "log", session, "--offset", str(line), "--limit", "50000", quiet=True)
            parts.append(page["text"])
            count = page["lines"]["count"]
            line = line + count if count == 50000 else None
        return "".join(parts)

    def run(self) -> None:
        """Tell the whole story."""
        sessions = self.start_everything()
        self.kill_the_gateway(sessions)
        self.adopt(sessions)
        self.type_into(sessions["calculator"])
        self.catch_the_escape_artist()
        self.count(sessions)
        Ledger(self).run()
        Told(self).run()
        Flows(self).run()
        self.stop()

    def start_everything(self) -> dict[str, str]:
        """Start two real builds and two small things; the gateway starts by itself."""
        step("Two real builds and two small commands, each started and left alone")
        built = self.scratch / "build"
        built.mkdir()
        build_line = shlex.join([sys.executable, "tools/demo_build.py", str(built), str(BUILD_SECONDS)])
        wheel = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-v",
            "--no-deps",
            "--wheel-dir",
            str(self.scratch / "dist"),
            ".",
        ]
        sessions = {
            "long build": self.start("long build", build_line),
            "wheel": self.start("wheel", *wheel),
            "calculator": self.start("calculator", "--pty", "--", sys.executable, "-q"),
        }
        step("Wait, in one call and without polling, until the long build is at module 150")
        met = self.outlast("process", "wait", sessions["long build"], "--pattern", r"\[150\]", "--timeout", "1m")
        self.claim(met["met"], "the build is well under way")
        sessions["short"] = self.start("short", "sleep 5; echo nobody was watching; exit 42")
        return sessions

    def kill_the_gateway(self, sessions: dict[str, str]) -> None:
        """Kill it with -9 in the middle and look at the commands with no gateway alive."""
        pid = self.gateway_pid()
        self.run_directory = Path(self.outlast("gateway", "status", quiet=True)["gateway"]["socket"]).parent
        step(f"kill -9 {pid}: the gateway, in the middle of all that")
        leaders = {name: self.outlast("process", "poll", s, quiet=True)["pid"] for name, s in sessions.items()}
        os.kill(pid, signal.SIGKILL)
        self.claim(wait_until(lambda: not alive(pid)), "the gateway is dead")
        self.claim(alive(leaders["long build"]), f"the long build lives (pid {leaders['long build']})")
        before = self.size(sessions["long build"])
        grown = wait_until(lambda: self.size(sessions["long build"]) > before + 2000)
        self.claim(grown, f"its output goes on growing with no gateway: {before:,} bytes and more")
        self.claim(wait_until(lambda: not alive(leaders["short"])), "the short command ended, and no gateway saw it")

    def adopt(self, sessions: dict[str, str]) -> None:
        """Let the next call start a new gateway."""
        step("The next call starts a new gateway, which adopts what it finds")
        listed = self.show()
        status = self.outlast("status", quiet=True)
        adopted = status["sessions"]["adopted"]
        note("adopted {live} live, {ended} ended, {lost} lost in {ms} ms".format(**adopted))
        complete = set(listed) == set(sessions) and "lost" not in listed.values()
        self.claim(complete and adopted["lost"] == 0, f"all {len(sessions)} are there, none is lost")
        self.claim(listed["long build"] == "running", "the long build is still running")
        end = self.end_of(sessions["short"])
        self.claim(end["exitCode"] == 42, f"the end nobody saw is known: exit code {end['exitCode']}")

    def type_into(self, session: str) -> None:
        """Use the terminal of an adopted session."""
        step("Type into a terminal that was opened under the dead gateway")
        self.outlast("process", "submit", session, "print(6 * 7000)")
        met = self.outlast("process", "wait", session, "--pattern", "42000", "--since", "0", "--timeout", "20s")
        self.claim(met["met"], "Python answered: 42000")
        self.outlast("process", "send-keys", session, "C-d")
        self.claim(self.end_of(session)["exitCode"] == 0, "Ctrl-D ended it with exit code 0")

    def catch_the_escape_artist(self) -> None:
        """Kill a command whose children leave by every trick."""
        step("A command whose children run away: setsid, double fork, ignored signals")
        mark = str(70_000_000 + os.getpid())
        script = ESCAPE_ARTIST.format(n=mark)
        print(*(f"       {line}" for line in script.splitlines() if line), sep="\n", flush=True)
        session = self.start("escape artist", script)
        wait_until(lambda: len(running_with(mark)) >= 5)
        note(f"{len(running_with(mark))} sleeps are running")
        killed = self.outlast("process", "kill", session, "--grace", "1s")
        for entry in killed["ended"]:
            note(f"ended {entry['name']} (pid {entry['pid']}) by {entry['how']}")
        self.claim(not running_with(mark) and not killed["survivors"], "nothing of it is left")

    def count(self, sessions: dict[str, str]) -> None:
        """Wait for the builds and check every line."""
        step("Wait for both builds, then count every line")
        wheel = self.end_of(sessions["wheel"])
        files = [path.name for path in (self.scratch / "dist").glob("*.whl")]
        self.claim(wheel["exitCode"] == 0 and files, f"the wheel: exit code {wheel['exitCode']}, {', '.join(files)}")
        build = self.end_of(sessions["long build"])
        note(f"the long build ran {build['durationMs'] / 1000:.0f} s, most of it under another gateway")
        text = self.whole_output(sessions["long build"])
        numbers = [int(number) for number in NUMBERED.findall(text)]
        total = re.search(r"^total (\d+) lines", text, re.M)
        complete = bool(total) and numbers == list(range(1, int(total[1]) + 1)) if total else False
        self.claim(complete, f"{len(numbers)} numbered lines: in order, none missing, none twice")
        self.claim(
            build["exitCode"] == 7 and build["status"] == "failed",
            f"exit code {build['exitCode']}, {build['status']}: one source is broken on purpose",
        )

    def stop(self) -> None:
        """Stop the gateway politely."""
        step("Stop")
        pid = self.gateway_pid()
        left = self.outlast("gateway", "stop")
        self.claim(left["sessionsLeft"] == 0 and wait_until(lambda: not alive(pid)), "the gateway stopped by itself")


def main() -> int:
    """Run the demo; 0 when every promise was kept."""
    scratch = Path(tempfile.mkdtemp(prefix="outlast-demo-"))
    demo = Demo(scratch)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        demo.run()
    finally:
        demo.clean_up()
        shutil.rmtree(scratch, ignore_errors=True)
    seconds = time.monotonic() - STARTED
    if demo.broken:
        print(paint("31", f"\n{len(demo.broken)} promises were broken:"), *demo.broken, sep="\n  ")
        return 1
    print(paint("32", f"\nEverything held, in {seconds:.0f} s.") + " Next: docs/tutorial/first-session.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
