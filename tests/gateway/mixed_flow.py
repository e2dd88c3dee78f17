"""The program of the soak: thirty steps of all kinds, in an order the test draws."""

from __future__ import annotations

import asyncio

from every_flow import AGAIN, breaking, failing_once, mark

import outlast
from outlast import flow
from outlast.flows.errors import StepFailed

Plan = list[list[object]]


async def gently(place: str, key: str) -> str:
    """Leave a mark, and take a moment before and after it."""
    await asyncio.sleep(0.005)
    mark(place, key)
    await asyncio.sleep(0.005)
    return key.upper()


@flow
async def small(ctx: outlast.FlowContext, place: str, key: str) -> str:
    """A sub-flow of a few steps."""
    first = await ctx.step(f"{key}-in", gently, place, f"{key}-in")
    await ctx.sleep("nap", "0.02s")
    await ctx.run(f"{key}-run", f"echo '{key}-run 0' >> {place}")
    return first


@flow
async def mixed(ctx: outlast.FlowContext, place: str, plan: Plan) -> list[object]:
    """Do everything a plan says; return what each thing came to."""
    found = []
    for number, (kind, key) in enumerate(plan):
        if number % 5 == 0:
            ctx.on_cancel(f"undo-{key}", gently, place, f"undo-{key}")
        found.append(await done(ctx, place, str(kind), str(key)))
    return found


async def done(ctx: outlast.FlowContext, place: str, kind: str, key: str) -> object:
    """Do one thing."""
    match kind:
        case "coroutine":
            return await ctx.step(key, gently, place, key)
        case "thread":
            return await ctx.step(key, mark, place, key)
        case "run":
            return (await ctx.run(key, f"echo '{key} 0' >> {place}; echo {key}")).stdout
        case "nap":
            return await ctx.sleep(key, "0.05s")
        case "signal":
            return await ctx.signal(key)
        case "approval":
            return (await ctx.approve(key, f"{key}?")).status
        case "subflow":
            return await ctx.flow(key, small, place, key)
        case "value":
            return len(await ctx.uuid())
        case "patch":
            return ctx.patched(key)
        case "retried":
            return await ctx.step(key, failing_once, place, key, retry=AGAIN)
        case "failed":
            return await failed(ctx, place, key)
        case _:
            return await ctx.gather(
                ctx.step(f"{key}-a", gently, place, f"{key}-a"),
                ctx.step(f"{key}-b", mark, place, f"{key}-b"),
                done(ctx, place, "run", f"{key}-c"),
                ctx.sleep(f"{key}-d", "0.03s"),
            )


async def failed(ctx: outlast.FlowContext, place: str, key: str) -> str:
    """Go on after a step that fails."""
    try:
        await ctx.step(key, breaking, place, key)
    except StepFailed as failed:
        return failed.message
    return "?"
