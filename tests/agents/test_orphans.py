"""Who comes of a process, whatever it is that started them."""

from __future__ import annotations

import os
import subprocess
import threading

from outlast.agents import orphans


def test_children_of_any_thread_are_found() -> None:
    """The kernel lists them by the thread that started them."""
    started: list[subprocess.Popen[bytes]] = []
    there, done = threading.Event(), threading.Event()

    def start() -> None:
        started.append(subprocess.Popen(["sleep", "600"]))
        there.set()
        done.wait()

    thread = threading.Thread(target=start)
    thread.start()
    try:
        assert there.wait(60)
        assert started[0].pid in orphans.descendants(os.getpid())
    finally:
        done.set()
        thread.join(60)
        started[0].kill()
        started[0].wait()
