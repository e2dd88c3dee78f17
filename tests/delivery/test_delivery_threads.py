"""Blocking work beside the loop, and helper programs: bounded, and ended when their time is over."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable

import pytest
from channel_servers import LIMIT, run

from outlast.delivery.channels.program import OUTPUT_MAX, Programs
from outlast.delivery.channels.threads import Threads

ENV = {"PATH": os.environ["PATH"]}


def test_a_thread_gives_back_what_the_work_returns_or_raises() -> None:
    async def act() -> None:
        threads = Threads(2)
        assert await threads.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)
        with pytest.raises(SystemExit):
            await threads.run(sys.exit)

    run(act())


def test_never_more_threads_than_allowed_also_when_nobody_waits_any_more() -> None:
    """A name server that hangs must not cost a thread for every message there is."""
    release = threading.Event()
    running: list[int] = []
    others = set(threading.enumerate())

    def work() -> None:
        running.append(threading.get_ident())
        release.wait(LIMIT)

    async def act() -> None:
        threads = Threads(2)
        waiting = [asyncio.create_task(threads.run(work)) for _ in range(10)]
        await until(lambda: len(running) == 2)
        for task in waiting[:2]:
            task.cancel()
        results = await asyncio.gather(*waiting[:2], return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 2
        assert len(running) == 2
        assert sum(thread.name == "outlast-delivery" for thread in set(threading.enumerate()) - others) == 2
        release.set()
        await asyncio.gather(*waiting[2:])
        assert len(running) == 10

    try:
        run(act())
    finally:
        release.set()


def test_a_cancelled_call_aborts_the_work() -> None:
    aborted = threading.Event()

    async def act() -> None:
        threads = Threads(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await threads.run(lambda: aborted.wait(LIMIT), abort=aborted.set)
        assert await threads.run(lambda: True)

    run(act())
    assert aborted.is_set()


def test_a_hanging_thread_does_not_hold_up_the_end_of_the_loop() -> None:
    """Else a gateway could not stop while a name server hangs."""
    release = threading.Event()

    async def act() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await Threads(1).run(lambda: release.wait(LIMIT))

    began = time.monotonic()
    try:
        run(act())
        assert time.monotonic() - began < LIMIT / 2
    finally:
        release.set()


def test_a_program_is_fed_and_read() -> None:
    async def act() -> None:
        ran = await Programs().run(
            ["sh", "-c", "tr a-z A-Z; echo oops >&2; exit 3"], env=ENV, stdin=b"abc", timeout_seconds=LIMIT
        )
        assert ran == (3, b"ABC", b"oops\n")
        with pytest.raises(FileNotFoundError):
            await Programs().run(["no-such-program"], env=ENV, timeout_seconds=LIMIT)

    run(act())


def test_what_a_program_prints_is_bounded() -> None:
    async def act() -> None:
        ran = await Programs().run(["head", "-c", "3000000", "/dev/zero"], env=ENV, timeout_seconds=LIMIT)
        assert ran.code == 0
        assert len(ran.out) == OUTPUT_MAX

    run(act())


def test_a_program_that_does_not_read_its_input_is_no_trouble() -> None:
    async def act() -> None:
        assert (await Programs().run(["true"], env=ENV, stdin=b"x" * 3_000_000, timeout_seconds=LIMIT)).code == 0

    run(act())


def test_a_program_ends_with_its_time() -> None:
    async def act() -> None:
        with pytest.raises(TimeoutError):
            await Programs().run(["sleep", "600"], env=ENV, timeout_seconds=0.1)

    began = time.monotonic()
    run(act())
    assert time.monotonic() - began < LIMIT


def test_a_program_that_is_given_up_ends_with_its_children(tmp_path) -> None:
    """A helper that hangs must not pile up, one for every message."""
    told = tmp_path / "pids"

    async def act() -> list[str]:
        script = f"sleep 600 & echo $$ $! > {told}.new; mv {told}.new {told}; wait"
        task = asyncio.create_task(Programs().run(["sh", "-c", script], env=ENV, timeout_seconds=LIMIT))
        await until(lambda: told.exists() or task.done())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return told.read_text().split()

    pids = run(act())
    assert len(pids) == 2
    for pid in pids:
        wait_until_gone(int(pid))


def test_what_a_program_leaves_behind_does_not_hold_its_end() -> None:
    """A daemon that keeps the pipe open would otherwise make every sending take the whole limit."""

    async def act() -> None:
        began = time.monotonic()
        ran = await Programs().run(["sh", "-c", "sleep 600 & echo $!"], env=ENV, timeout_seconds=2 * LIMIT)
        assert ran.code == 0
        assert time.monotonic() - began < LIMIT
        wait_until_gone(int(ran.out))

    run(act())


def test_programs_wait_for_their_turn(tmp_path) -> None:
    async def act() -> None:
        programs = Programs(1)
        script = f"mkdir {tmp_path}/busy || exit 9; sleep 0.05; rmdir {tmp_path}/busy"
        ran = await asyncio.gather(
            *(programs.run(["sh", "-c", script], env=ENV, timeout_seconds=LIMIT) for _ in range(4))
        )
        assert [end.code for end in ran] == [0] * 4

    run(act())


async def until(condition: Callable[[], object]) -> None:
    """Wait until something outside of the loop has come true; `run` ends a wait for ever."""
    while not condition():
        await asyncio.sleep(0.005)


def wait_until_gone(pid: int) -> None:
    """Wait until a process is dead; a zombie that nobody has reaped yet is."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except FileNotFoundError:
            return
        time.sleep(0.01)
    raise AssertionError(f"{pid} is still running")
