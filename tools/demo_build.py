"""A real build for the demo: byte-compiles the standard library, a line for each module and level.

    demo_build.py TARGET SECONDS [--report]

Every line is numbered, so that one that is missing, doubled or out of order is seen; the last one gives the
total. It goes on in rounds until it has run for SECONDS. One of its sources is broken on purpose, so that it
exits with 7, unless a file ``mended`` lies in TARGET. With ``--report`` it tells outlast how far it is, up to
40 %.
"""

from __future__ import annotations

import py_compile
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

FAILED = 7
REPORTED = (10, 20, 30, 40)
LEFT_OUT = {"site-packages", "test", "tests"}
"""Tests hold sources that are meant not to compile."""


def sources(first: Path) -> Iterator[tuple[Path, int]]:
    """Endless rounds over (source, optimisation level), ours first in each round."""
    library = Path(sysconfig.get_path("stdlib"))
    modules = [p for p in sorted(library.rglob("*.py")) if not LEFT_OUT & set(p.parts)]
    while True:
        for level in (0, 1, 2):
            for source in [first, *modules]:
                yield source, level


def report(percent: int) -> None:
    """Say how far it is, as a command that runs for a task may: it knows which one from its environment."""
    words = ["tasks", "report", "progress", str(percent), "--message", "compiling"]
    subprocess.run([sys.executable, "-m", "outlast", *words], check=True)


def main(target: Path, seconds: float, *, reports: bool) -> int:
    """Build into ``target`` for at least ``seconds``; return the exit code."""
    started = time.monotonic()
    ours = target / "ours.py"
    ours.write_text("def f(): pass\n" if (target / "mended").exists() else "def f(:\n")
    due = list(REPORTED) if reports else []
    number = failed = 0
    for source, level in sources(ours):
        spent = time.monotonic() - started
        if spent >= seconds:
            break
        if due and spent >= seconds * due[0] / 100:
            report(due.pop(0))
        number += 1
        try:
            py_compile.compile(str(source), str(target / f"{source.stem}.{level}.pyc"), optimize=level, doraise=True)
            print(f"[{number}] compiled {source.name} at level {level}", flush=True)
        except py_compile.PyCompileError:
            failed += 1
            print(f"[{number}] FAILED {source.name} at level {level}", flush=True)
    print(f"total {number} lines, {failed} failed", flush=True)
    if failed:
        print(f"the build of {target.name} failed", file=sys.stderr, flush=True)
    return FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), reports="--report" in sys.argv[3:]))
