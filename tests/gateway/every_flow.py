"""The programs that crash tests run: one flow for each kind of step, between two steps that leave their mark."""

from __future__ import annotations

import asyncio
import os
import time

import outlast
from outlast import Retry, flow
from outlast.flows.errors import StepFailed

AGAIN = Retry(3, "0.2s")


def mark(place: str, key: str) -> str:
    """Leave a line for each time something is really done: what it was, and when."""
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, f"{key} {time.time()!r}\n".encode())
    finally:
        os.close(fd)
    return key.upper()


async def marked(place: str, key: str) -> str:
    """Likewise, as a coroutine that lets others run meanwhile."""
    await asyncio.sleep(0)
    return mark(place, key)


def failing_once(place: str, key: str) -> str:
    """Fail the first time, as the marks have it."""
    mark(place, key)
    with open(place, encoding="utf-8") as file:
        if sum(line.startswith(f"{key} ") for line in file) < 2:
            raise OSError("not yet")
    return key.upper()


def breaking(place: str, key: str) -> None:
    """Fail for good."""
    mark(place, key)
    raise OSError("broken")


@flow
async def child(ctx: outlast.FlowContext, place: str) -> str:
    """A sub-flow of one step."""
    await ctx.sleep("nap", "0.2s")
    return await ctx.step("inner", marked, place, "inner")


@flow
async def every(ctx: outlast.FlowContext, place: str, kind: str) -> list[object]:
    """Do one thing of a kind, as a step called ``op``, between two others."""
    for on in (ctx.on_cancel, ctx.on_failure) if kind in UNDOING else ():
        on("undo", marked, place, "undo")
        on("undo too", ctx.run, "undo too", f"sleep 0.2; echo 'undo-too 0' >> {place}")
    first = await ctx.step("first", marked, place, "first")
    found = await KINDS[kind](ctx, place)
    last = await ctx.step("last", marked, place, "last")
    return [first, found, last]


async def coroutine(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.step("op", marked, place, "op")


async def thread(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.step("op", mark, place, "op")


async def retried(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.step("op", failing_once, place, "op", retry=AGAIN)


async def failed(ctx: outlast.FlowContext, place: str) -> object:
    try:
        await ctx.step("op", breaking, place, "op")
    except StepFailed as failed:
        return failed.message
    return None


async def run(ctx: outlast.FlowContext, place: str) -> object:
    done = await ctx.run("op", f"echo 'op 0' >> {place}; sleep 0.2; echo out")
    return [done.exit_code, done.stdout]


async def nap(ctx: outlast.FlowContext, place: str) -> object:
    await ctx.sleep("op", "0.2s")
    return None


async def signal(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.signal("op")


async def approval(ctx: outlast.FlowContext, place: str) -> object:
    answer = await ctx.approve("op", "Go on?")
    return [answer.approved, answer.note]


async def subflow(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.flow("op", child, place)


async def value(ctx: outlast.FlowContext, place: str) -> object:
    moments = [await ctx.now() for _ in range(2)]
    chance = await ctx.random()
    return mark(place, f"seen-{chance!r}-{moments[0].timestamp()!r}").startswith("SEEN")


async def patch(ctx: outlast.FlowContext, place: str) -> object:
    return [ctx.patched("op"), await ctx.step("op", marked, place, "op"), ctx.patched("op")]


async def beside(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.gather(
        ctx.step("op", marked, place, "op"), ctx.sleep("nap", "0.2s"), ctx.step("op", mark, place, "op-too"),
    )  # fmt: skip


async def undone(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.step("op", breaking, place, "op")


async def called_off(ctx: outlast.FlowContext, place: str) -> object:
    return (await ctx.run("op", f"echo 'op 0' >> {place}; sleep 1000")).stdout


def may_end(place: str, mine: int) -> bool:
    """True when the gate beside the marks is open, or that for the first who came to it."""
    folder = os.path.dirname(place)
    if os.path.exists(os.path.join(folder, "gate")):
        return True
    if mine == 1 and os.path.exists(os.path.join(folder, "first-only")):
        mark(place, "ended-first")
        return True
    return False


def place_in_line(place: str) -> int:
    """Leave a mark, and say the how-manieth it is."""
    mark(place, "op")
    with open(place, encoding="utf-8") as file:
        return sum(line.startswith("op ") for line in file)


async def until_gate(place: str) -> str:
    """Take until somebody opens a gate."""
    mine = place_in_line(place)
    while not may_end(place, mine):
        await asyncio.sleep(0.02)
    return "OP"


def until_gate_thread(place: str) -> str:
    """Likewise, as a plain function."""
    mine = place_in_line(place)
    while not may_end(place, mine):
        time.sleep(0.02)
    return "OP"


async def slow(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.step("op", until_gate, place)


async def slow_thread(ctx: outlast.FlowContext, place: str) -> object:
    return await ctx.step("op", until_gate_thread, place)


async def signals(ctx: outlast.FlowContext, place: str) -> object:
    return [await ctx.signal("op") for _ in range(3)]


async def expiring(ctx: outlast.FlowContext, place: str) -> object:
    answer = await ctx.approve("op", "Go on?", expires="0.4s")
    return [answer.approved, answer.status]


async def undo_slowly(place: str) -> None:
    """Take until the gate is open."""
    mark(place, "undo-begun")
    while not may_end(place, 0):
        await asyncio.sleep(0.02)
    mark(place, "undo-ended")


async def undone_slowly(ctx: outlast.FlowContext, place: str) -> object:
    ctx.on_cancel("undo", undo_slowly, place)
    return await ctx.signal("never")


UNDOING = ("undone", "called_off")

KINDS = {
    one.__name__: one
    for one in (
        coroutine, thread, retried, failed, run, nap, signal, approval, subflow, value, patch, beside, undone,
        called_off, slow, slow_thread, signals, expiring, undone_slowly,
    )
}  # fmt: skip
