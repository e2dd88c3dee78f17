"""`outlast.open`: flows inside a process of one's own, beside a gateway or with none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import outlast
from houses import House
from outlast import flow, step
from outlast.core.errors import Conflict, NotFound
from outlast.core.flow import FlowStatus
from outlast.process.keeper import proc

CALLS: list[int] = []


@step
async def double(number: int) -> int:
    CALLS.append(number)
    return number * 2


@flow
async def sums(ctx: outlast.FlowContext, count: int = 3) -> int:
    return sum(await ctx.gather(*(double(number) for number in range(count))))


@flow
async def waits(ctx: outlast.FlowContext) -> list[object]:
    first = await double(21)
    return [first, await ctx.signal("go")]


@flow
async def commands(ctx: outlast.FlowContext) -> str:
    said = await ctx.run("say", ["echo", "$HOME"])
    return said.stdout if (await ctx.approve("ok", "Sure?")).approved else "no"


@flow
async def breaks(ctx: outlast.FlowContext) -> None:
    await ctx.step("break", lambda: 1 / 0)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch):
    house = House()
    CALLS.clear()
    yield house.home
    house.close()


def run(story):
    return asyncio.run(asyncio.wait_for(story, 120))


def test_a_flow_runs_and_gives_its_result(home):
    async def story():
        async with outlast.open(home=home) as runtime:
            assert await runtime.run(sums, 4) == 12
            assert await asyncio.gather(*(runtime.run(sums, n) for n in range(50))) == [n * (n - 1) for n in range(50)]

    run(story())


def test_what_has_not_ended_is_gone_on_with_by_the_next_who_opens(home):
    async def begin():
        async with outlast.open(waits, home=home) as runtime:
            started = await runtime.start(waits, dedupe_key="one")
            assert (await runtime.start(waits, dedupe_key="one")).id == started.id
            while not (await started.steps()):
                await asyncio.sleep(0.01)
            return started.id

    flow_id = run(begin())

    async def go_on():
        async with outlast.open(waits, home=home) as runtime:
            handle = runtime.flow(flow_id)
            await handle.signal("go", {"a": 1})
            assert await handle.result() == [42, {"a": 1}]
            with pytest.raises(Conflict):
                await handle.signal("go")

    run(go_on())
    assert CALLS == [21]


def test_commands_run_without_a_gateway_and_questions_are_answered(home):
    async def story():
        async with outlast.open(home=home) as runtime:
            handle = await runtime.start(commands)
            while True:
                try:
                    await handle.approve("fine")
                    break
                except NotFound:
                    await asyncio.sleep(0.05)
            assert await handle.result() == "$HOME\n"

    run(story())


def test_a_failure_is_raised_with_the_record_and_cancel_ends_a_wait(home):
    async def story():
        async with outlast.open(home=home) as runtime:
            with pytest.raises(outlast.FlowFailed, match="ZeroDivisionError") as failed:
                await runtime.run(breaks)
            assert failed.value.flow.step == "break"
            handle = await runtime.start(waits)
            await handle.cancel("enough")
            with pytest.raises(outlast.FlowFailed, match="cancelled"):
                await handle.result()
            with pytest.raises(NotFound):
                await runtime.flow("f-nobody").result()

    run(story())


def test_two_processes_share_the_flows_of_a_file(home, tmp_path: Path):
    program = tmp_path / "other.py"
    program.write_text(
        "import asyncio, sys, outlast\n"
        "from outlast import flow\n"
        "@flow\n"
        "async def there(ctx, n: int) -> int:\n"
        "    await ctx.sleep('nap', 0.01)\n"
        "    return n + 1\n"
        "async def main():\n"
        "    async with outlast.open(there, home=sys.argv[1]):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.sleep(3600)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )

    @flow
    async def here(ctx, handler: str) -> int:
        return await ctx.flow("far", handler, 41)

    async def story():
        other = await asyncio.create_subprocess_exec(
            sys.executable, str(program), home, stdout=subprocess.PIPE, env={**os.environ}
        )
        assert other.stdout is not None
        try:
            assert await other.stdout.readline() == b"open\n"
            async with outlast.open(home=home) as runtime:
                assert await runtime.run(here, f"{os.path.realpath(program)}:there") == 42
        finally:
            other.kill()
            await other.wait()

    run(story())


def test_a_client_of_a_gateway_starts_one_and_asks_it(home):
    client = outlast.connect(home=home)
    try:
        assert client.get("/v1/flows")["flows"] == []
        gateway = client.get("/v1/status")["gateway"]["pid"]
    finally:
        client.post("/v1/gateway/stop", {})
        client.close()
    end = time.monotonic() + 120  # its home must not be taken from it before it has sent its keeper home
    while proc.state_of(gateway) not in ("", "Z", "X"):
        assert time.monotonic() < end, "the gateway does not stop"
        time.sleep(0.01)


def test_the_status_words_are_the_ones_of_the_record():
    assert {status.value for status in FlowStatus if not status.final} == {"queued", "running", "waiting", "blocked"}
