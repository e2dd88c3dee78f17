"""An agent as a process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from outlast.agents.child import Child


def is_child(pid: int) -> bool:
    """True while there is a process of ours by a number, were it one that is about to die."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_start_that_is_called_off_at_any_moment_leaves_nothing() -> None:
    """Not even a process that is about to die: whoever hears that it is over looks."""
    made: list[int] = []

    class Noting(Child):
        def __init__(self, process, pass_on) -> None:
            made.append(process.pid)
            super().__init__(process, pass_on)

    async def start(after: int) -> None:
        argv = ["/bin/sleep", "600"]
        task = asyncio.create_task(Noting.start(argv, cwd="/", env={}, stdin=True, pass_on=lambda _data: None))
        for _ in range(after):
            await asyncio.sleep(0)
        task.cancel()
        try:
            child = await task
        except asyncio.CancelledError:
            pass
        else:
            await child.end(polite=False)
        assert [pid for pid in made if is_child(pid)] == [], after

    for _ in range(10):
        for after in range(12):
            asyncio.run(start(after))
    assert made
