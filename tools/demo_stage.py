"""The stage of `make demo`: a private home, outlast called as a user would type it, claims counted."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ and "CI" not in os.environ
STARTED = time.monotonic()

Answer = dict[str, Any]


def paint(code: str, text: str) -> str:
    """Text in a colour, on a terminal."""
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def step(text: str) -> None:
    """Begin a step of the story, with the seconds since it began."""
    print(f"\n{paint('1', f'[{time.monotonic() - STARTED:3.0f}s] {text}')}", flush=True)


def note(text: str) -> None:
    """Print a fact under the present step."""
    print(f"       {text}", flush=True)


def wait_until(happened: Callable[[], object], seconds: float = 10) -> bool:
    """Return True as soon as ``happened()`` is true, False when the time is over."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rfind(")") + 2] not in "ZX"


class Stage:
    """One run: a private home, the commands as a user would type them, and a list of broken promises."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.home = scratch / "home"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("OUTLAST_", "MAKE", "MFLAGS"))}
        self.env["OUTLAST_HOME"] = str(self.home)
        self.env["OUTLAST_DELIVERY_ALLOW_PRIVATE"] = "127.0.0.1"  # where the receiver of webhooks listens
        self.run_directory: Path | None = None
        self.broken: list[str] = []

    def claim(self, holds: object, text: str) -> None:
        """State a promise and whether it was kept."""
        print(f"   {paint('32', 'ok ') if holds else paint('31', 'NOT')} {text}", flush=True)
        if not holds:
            self.broken.append(text)

    def outlast(self, *words: str, quiet: bool = False) -> Answer:
        """Run one outlast command with --json and return its answer; exits when that is an error."""
        if not quiet:
            print(f"     {paint('36', '$ ' + self.as_typed(words))}", flush=True)
        at = words.index("--") if "--" in words else len(words)
        done = subprocess.run(
            [sys.executable, "-m", "outlast", *words[:at], "--json", *words[at:]],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            answer: Answer = json.loads(done.stdout)
        except ValueError:
            raise SystemExit(f"no JSON from outlast {words}: {done.stdout[-500:]}{done.stderr[-2000:]}") from None
        if isinstance(answer.get("error"), dict):  # a task has an error too, which is a sentence
            raise SystemExit(f"outlast {' '.join(words)}: {answer['error']}")
        return answer

    def as_typed(self, words: tuple[str, ...]) -> str:
        """Return a command line as a person would write it."""
        short = ("outlast", *("$SCRIPT" if "\n" in word else word for word in words))
        line = " ".join(f'"{word}"' if word == "$SCRIPT" else shlex.quote(word) for word in short)
        return line.replace(str(self.scratch), "$TMP").replace(sys.executable, "python")

    def gateway_pid(self) -> int:
        """Return the pid of the gateway that answers."""
        return int(self.outlast("gateway", "status", quiet=True)["gateway"]["pid"])

    def clean_up(self) -> None:
        """End whatever is left, also after a failure in the middle."""
        subprocess.run(
            [sys.executable, "-m", "outlast", "gateway", "stop", "--kill-sessions"],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        if self.run_directory is not None:
            shutil.rmtree(self.run_directory, ignore_errors=True)
