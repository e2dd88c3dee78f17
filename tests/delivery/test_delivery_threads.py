"""Blocking work beside the loop, and helper programs: bounded, and ended when their time is over."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import pytest
from channel_servers import run

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
    started = threading.Semaphore(0)
    running: list[int] = []

    def work() -> None:
        running.append(threading.get_ident())
        started.release()
        release.wait(20)

    async def act() -> None:
        threads = Threads(2)
        loop = asyncio.get_running_loop()
        waiting = [asyncio.create_task(threads.run(work)) for _ in range(10)]
        await loop.run_in_executor(None, lambda: [started.acquire(), started.acquire()])
        for task in waiting[:2]:
            task.cancel()
        results = await asyncio.gather(*waiting[:2], return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 2
        assert len(running) == 2
        assert sum(thread.name == "outlast-delivery" for thread in threading.enumerate()) == 2
        release.set()
        await asyncio.gather(*waiting[2:])
        assert len(running) == 10

    run(act())


def test_a_cancelled_call_aborts_the_work() -> None:
    aborted = threading.Event()

    async def act() -> None:
        threads = Threads(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await threads.run(lambda: aborted.wait(20), abort=aborted.set)
        assert await threads.run(lambda: True)

    run(act())
    assert aborted.is_set()


def test_a_hanging_thread_does_not_hold_up_the_end_of_the_loop() -> None:
    """Else a gateway could not stop while a name server hangs."""
    release = threading.Event()

    async def act() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await Threads(1).run(lambda: release.wait(20))

    began = time.monotonic()
    run(act())
    assert time.monotonic() - began < 10
    release.set()


def test_a_program_is_fed_and_read() -> None:
    async def act() -> None:
        ran = await Programs().run(
            ["sh", "-c", "tr a-z A-Z; echo oops >&2; exit 3"], env=ENV, stdin=b"abc", timeout_seconds=20
        )
        assert ran == (3, b"ABC", b"oops\n")
        with pytest.raises(FileNotFoundError):
            await Programs().run(["no-such-program"], env=ENV, timeout_seconds=20)

    run(act())


def test_what_a_program_prints_is_bounded() -> None:
    async def act() -> None:
        ran = await Programs().run(["head", "-c", "3000000", "/dev/zero"], env=ENV, timeout_seconds=20)
        assert ran.code == 0
        assert len(ran.out) == OUTPUT_MAX

    run(act())


def test_a_program_that_does_not_read_its_input_is_no_trouble() -> None:
    async def act() -> None:
        assert (await Programs().run(["true"], env=ENV, stdin=b"x" * 3_000_000, timeout_seconds=20)).code == 0

    run(act())


def test_a_program_ends_with_its_time() -> None:
    async def act() -> None:
        with pytest.raises(TimeoutError):
            await Programs().run(["sleep", "60"], env=ENV, timeout_seconds=0.1)

    began = time.monotonic()
    run(act())
    assert time.monotonic() - began < 20


def test_a_program_that_is_given_up_ends_with_its_children(tmp_path) -> None:
    """A helper that hangs must not pile up, one for every message."""
    fifo = tmp_path / "pids"
    os.mkfifo(fifo)

    async def act() -> list[str]:
        script = f"sleep 60 & echo $$ $! > {fifo}; wait"
        task = asyncio.create_task(Programs().run(["sh", "-c", script], env=ENV, timeout_seconds=20))
        pids = (await asyncio.to_thread(fifo.read_text)).split()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return pids

    pids = run(act())
    assert len(pids) == 2
    for pid in pids:
        wait_until_gone(int(pid))


def test_what_a_program_leaves_behind_does_not_hold_its_end() -> None:
    """A daemon that keeps the pipe open would otherwise make every sending take the whole limit."""

    async def act() -> None:
        began = time.monotonic()
        ran = await Programs().run(["sh", "-c", "sleep 60 & echo $!"], env=ENV, timeout_seconds=30)
        assert ran.code == 0
        assert time.monotonic() - began < 20
        wait_until_gone(int(ran.out))

    run(act())


def test_programs_wait_for_their_turn(tmp_path) -> None:
    async def act() -> None:
        programs = Programs(1)
        script = f"mkdir {tmp_path}/busy || exit 9; sleep 0.05; rmdir {tmp_path}/busy"
        ran = await asyncio.gather(*(programs.run(["sh", "-c", script], env=ENV, timeout_seconds=20) for _ in range(4)))
        assert [end.code for end in ran] == [0] * 4

    run(act())


def wait_until_gone(pid: int) -> None:
    """Wait until a process is dead; a zombie that nobody has reaped yet is."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except FileNotFoundError:
            return
        time.sleep(0.01)
    raise AssertionError(f"{pid} is still running")
