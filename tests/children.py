"""Processes that a test starts and talks with line by line: none outlives it, and none is waited for without an end."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

PATIENCE = 120.0
"""Seconds after which a child that has not ended is killed: whoever reads from it then reads its end."""

Child = subprocess.Popen[str]


@contextmanager
def children(*commands: Sequence[str], seconds: float = PATIENCE) -> Iterator[list[Child]]:
    """Start them, with pipes for input and output; kill those that are still there afterwards, however that comes."""
    started: list[Child] = []
    timers: list[threading.Timer] = []
    try:
        for argv in commands:
            child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            started.append(child)
            timers.append(threading.Timer(seconds, child.kill))
            timers[-1].daemon = True
            timers[-1].start()
        yield started
    finally:
        for timer in timers:
            timer.cancel()
        for child in started:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()


def heard(child: Child) -> str:
    """Return the next line of a child, without its end."""
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line.endswith("\n"), f"it has died, or took longer than it may: {child.args!r:.300}"
    return line[:-1]


def tell(child: Child, line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")


def ended(child: Child) -> int:
    """Let a child end, which reads nothing any more; return how it did. What it says by then is thrown away."""
    child.communicate()
    return child.returncode
