"""Workers for programs: a gateway starts one when a flow has something to do, and finds those of the last one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import PATIENCE, Gateway

PROGRAM = """\
import os
import outlast
from outlast import flow, step

@step
def who() -> int:
    return os.getpid()

@flow
async def quick(ctx: outlast.FlowContext, times: int = 1) -> list[int]:
    return [await who() for _ in range(times)]

@flow
async def asks(ctx: outlast.FlowContext) -> list[int]:
    before = await who()
    await ctx.signal("go")
    return [before, await who()]
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def until(met: Callable[[], Any]) -> Any:
    end = time.monotonic() + 2 * PATIENCE
    while not (found := met()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


def start(gateway: Gateway, **fields: Any) -> str:
    reply = gateway.ask("POST", "/v1/flows", fields)
    assert reply.status == 200, reply
    return str(reply.json["flowId"])


def ended(gateway: Gateway, flow_id: str) -> dict[str, Any]:
    reply = gateway.ask(
        "POST", "/v1/flows/wait", {"lookups": [flow_id], "timeoutMs": int(PATIENCE * 1000), "attention": False}
    )
    assert reply.status == 200 and reply.json["met"], reply
    return dict(gateway.ask("GET", f"/v1/flows/{flow_id}").json)


def workers(gateway: Gateway) -> list[dict[str, Any]]:
    rows = gateway.ask("GET", "/v1/sessions?status=running").json["sessions"]
    return [row for row in rows if "outlast:flow-worker" in row["labels"]]


def test_a_worker_is_started_for_a_flow_and_serves_the_next_one_too(gateway: Gateway, program: Path) -> None:
    gateway.start()
    first = ended(gateway, start(gateway, handler=f"{program}:quick", args=["2"], text=True))
    second = ended(gateway, start(gateway, handler=f"{program}:quick"))
    assert first["status"] == second["status"] == "succeeded"
    assert len({*first["result"], *second["result"]}) == 1
    [worker] = workers(gateway)
    assert worker["pid"] == second["result"][0]


def test_a_configured_module_has_a_worker_from_the_start_and_its_flows_are_known_by_name(
    gateway: Gateway, program: Path
) -> None:
    gateway.env["OUTLAST_FLOWS_MODULES"] = str(program)
    gateway.start()
    [worker] = until(lambda: workers(gateway))
    until(lambda: gateway.ask("POST", "/v1/flows", {"name": "quick"}).status == 200)
    assert ended(gateway, start(gateway, name="quick"))["result"] == [worker["pid"]]
    os.kill(worker["pid"], signal.SIGKILL)
    until(lambda: [one for one in workers(gateway) if one["pid"] != worker["pid"]])
    assert ended(gateway, start(gateway, handler=f"{program}:quick"))["result"] != [worker["pid"]]


def test_a_worker_outlives_its_gateway_and_the_next_one_starts_no_second(gateway: Gateway, program: Path) -> None:
    gateway.start()
    flow = start(gateway, handler=f"{program}:asks")
    until(lambda: gateway.ask("GET", f"/v1/flows/{flow}").json["status"] == "waiting")
    [worker] = workers(gateway)
    gateway.stop(signal.SIGKILL)
    gateway.start()
    assert gateway.ask("POST", f"/v1/flows/{flow}/signal", {"name": "go"}).status == 200
    shown = ended(gateway, flow)
    assert shown["result"] == [worker["pid"], worker["pid"]]
    assert [one["pid"] for one in workers(gateway)] == [worker["pid"]]


def test_a_program_that_cannot_be_loaded_is_tried_again_and_goes_on_when_it_is_mended(
    gateway: Gateway, program: Path
) -> None:
    program.write_text("import no_such_module_at_all\n" + PROGRAM)
    gateway.start()
    flow = start(gateway, handler=f"{program}:quick")
    until(lambda: "the worker for the flows of" in gateway.log())
    assert gateway.ask("GET", f"/v1/flows/{flow}").json["status"] == "queued"
    mended = program.with_suffix(".new")
    mended.write_text(PROGRAM)
    mended.replace(program)
    assert ended(gateway, flow)["status"] == "succeeded"
