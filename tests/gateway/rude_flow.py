"""Programs whose steps do to their worker what no step should."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time

from every_flow import mark

import outlast
from outlast import Retry, flow
from outlast.flows.errors import StepFailed

SECRET = "ghp_" + "a1B2" * 9
HUGE = 10_000_000


class Odd(BaseException):
    """No Exception at all."""


class Mute(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Deadly(Exception):
    """Cannot be shown, and leaves."""

    def __str__(self) -> str:
        return str(sys.exit(9))


def deep(number: int) -> int:
    return deep(number + 1) + 1


def hungry() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + (1 << 30), resource.RLIM_INFINITY))  # the other threads have enough
    try:
        bytearray(4 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def raising(error: BaseException) -> None:
    raise error


def grouped() -> None:
    raise BaseExceptionGroup("many", [Odd("one"), ValueError("two")])


RAISES = {
    "exit": lambda: sys.exit(3),
    "interrupt": lambda: raising(KeyboardInterrupt()),
    "odd": lambda: raising(Odd("odd")),
    "mute": lambda: raising(Mute()),
    "deadly": lambda: raising(Deadly()),
    "huge": lambda: raising(ValueError("x" * HUGE)),
    "secret": lambda: raising(ValueError(f"cannot log in with {SECRET}, password={SECRET}")),
    "nul": lambda: raising(ValueError("a\0b\ud800c")),
    "deep": lambda: deep(0),
    "hungry": hungry,
    "group": grouped,
    "generator": lambda: raising(GeneratorExit()),
    "cancelled": lambda: raising(asyncio.CancelledError()),
    "stop": lambda: raising(StopIteration("x")),
    "astop": lambda: raising(StopAsyncIteration("x")),
    "timeout": lambda: raising(TimeoutError("mine")),
}
"""What a step can leave by, and the worker goes on."""


@flow
async def rude(ctx: outlast.FlowContext, place: str, what: str, threaded: bool) -> list[str]:
    """Say how a step came out that leaves in an odd way."""

    async def coroutine() -> None:
        await asyncio.sleep(0)
        RAISES[what]()

    try:
        await ctx.step("rude", RAISES[what] if threaded else coroutine)
    except StepFailed as failed:
        return [failed.type, failed.message]
    return ["", ""]


@flow
async def rude_outside(ctx: outlast.FlowContext, place: str, what: str) -> None:
    """Leave outside of any step."""
    await ctx.step("first", mark, place, "first")
    RAISES[what]()


@flow
async def rude_callback(ctx: outlast.FlowContext, place: str) -> str:
    """Leave the loop itself, by a callback."""
    asyncio.get_running_loop().call_soon(sys.exit, 4)
    asyncio.get_running_loop().call_soon(raising, KeyboardInterrupt())
    await asyncio.sleep(0.05)
    return await ctx.step("after", mark, place, "after")


def die() -> None:
    os._exit(7)


def die_with_all() -> None:
    os.killpg(0, signal.SIGKILL)


DIES = {"os_exit": die, "killpg": die_with_all}


@flow
async def deadly(ctx: outlast.FlowContext, place: str, how: str) -> None:
    """Take the worker down, each time."""
    await ctx.step("first", mark, place, "first")

    def go() -> None:
        mark(place, "deadly")
        DIES[how]()

    await ctx.step("deadly", go)


@flow
async def bystander(ctx: outlast.FlowContext, place: str) -> str:
    """Take its time, next to a deadly one."""
    await ctx.step("first", mark, place, "bystander")

    async def long() -> str:
        while not os.path.exists(f"{place}.gate"):
            await asyncio.sleep(0.05)
        return "done"

    return await ctx.step("long", long)


@flow
async def blocking(ctx: outlast.FlowContext, place: str) -> str:
    """Block the loop until the gate is open."""

    async def block() -> str:
        mark(place, "block")
        while not os.path.exists(f"{place}.gate"):
            time.sleep(0.05)
        return "blocked"

    return await ctx.step("block", block)


@flow
async def forking(ctx: outlast.FlowContext, place: str, how: str) -> object:
    """Make other processes, some of which run back into the worker's code."""

    async def fork_and_await() -> int:
        pid = os.fork()
        if pid == 0:
            await asyncio.sleep(0.01)
            mark(place, "child-lives")
            return -1
        await asyncio.sleep(0.1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def fork_and_return() -> int:
        pid = os.fork()
        return -1 if pid == 0 else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def pool() -> int:
        with multiprocessing.get_context("fork").Pool(2) as workers:
            return sum(workers.map(abs, [-1, -2, -3]))

    def threads() -> int:
        """Leave a thread behind that raises."""
        threading.Thread(target=RAISES["exit"]).start()
        return 1

    return await ctx.step(
        how, {"await": fork_and_await, "return": fork_and_return, "pool": pool, "threads": threads}[how]
    )


@flow
async def stubborn(ctx: outlast.FlowContext, place: str) -> None:
    """Do not heed that it is cancelled."""

    async def deaf() -> None:
        mark(place, "deaf")
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                mark(place, "not-heeded")

    await ctx.step("deaf", deaf, retry=Retry(1))
