"""A gateway killed with -9 over flows, alone or with the worker that runs their program."""

from __future__ import annotations

import http.client
import signal
from typing import Any

import msgspec
import pytest
from crashing import until
from flow_crashing import EVERY, FAR_AWAY, QUICK, FlowNode, done_before_its_record

from outlast.core.flow import FlowStatus, FlowWorker

STEPS: dict[str, str] = {
    "run": "run: \"echo 'op 0' >> $MARKS; sleep 0.2; echo out\"",
    "sleep": "sleep: 0.3s",
    "wait": "wait: go",
    "approval": "approval: Go on?",
    "flow": "flow: child.flow.yaml",
}
"""The step in the middle of a flow file, by its kind."""
COMES_TO: dict[str, object] = {"run": "out", "sleep": None, "wait": {"n": 1}, "flow": "in"}
FILE = """\
name: every
env: {{MARKS: {marks}}}
steps:
  - id: first
    run: "echo 'first 0' >> $MARKS"
  - id: op
    {step}
  - id: last
    run: "echo 'last 0' >> $MARKS"
outputs: {{found: "${{steps.op.output}}", status: "${{steps.op.status}}"}}
"""
CHILD = """\
name: child
env: {{MARKS: {marks}}}
steps:
  - id: inner
    run: "sleep 0.2; echo 'inner 0' >> $MARKS; echo in"
"""
Died = (OSError, http.client.HTTPException)
"""What who asks hears of a gateway that dies."""


def file_points() -> list[tuple[str, str]]:
    """Each kind of step with each named point a gateway passes over it."""
    kinds = {"run": "run", "sleep": "sleep", "wait": "signal", "approval": "approval", "flow": "flow"}
    found = [(step, f"flow:{at}_park:{kind}:{KEYS.get(step, 'op')}") for step, kind in kinds.items() for at in BOTH]
    found += [
        (step, f"flow:{at}_child:{kinds[step]}:op") for step in ("run", "approval", "flow") for at in BOTH
    ]  # fmt: skip
    found += [("sleep", f"flow:{at}_checkpoint:sleep:op:{end}") for at in BOTH for end in ("running", "succeeded")]
    found += [("wait", f"flow:{at}_checkpoint:signal:go:running") for at in BOTH]
    found += [("wait", "flow:after_checkpoint:signal:go:succeeded")]
    found += [("run", f"flow:{at}_end") for at in BOTH] + [("run", "flow:after_claim")]
    found += [("run", f"worker:{at}") for at in ("before_claim", "after_claim", "after_spawn", *ENDING)]
    acts = {"run": "create_flow claim_flows start_child claim_tasks apply move_flow", "sleep": "checkpoint"}
    for step, names in acts.items():
        found += [(step, f"store:{at}_commit:{act}") for act in names.split() for at in BOTH]
    return found


BOTH = ("before", "after")
KEYS = {"wait": "go"}
"""The key of the step that waits, where it is not the one in the middle."""
ENDING = ("before_finish", "after_finish")


def start_file(flows: FlowNode, step: str) -> str | None:
    """Start a flow file by its gateway; None when that died instead of answering."""
    flows.path("child.flow.yaml").write_text(CHILD.format(marks=flows.place))
    text = FILE.format(marks=flows.place, step=STEPS[step])
    body = {"file": {"text": text, "name": "every.flow.yaml"}, "workdir": flows.home, "notify": "silent"}
    try:
        reply = flows.ask("POST", "/v1/flows", body)
    except Died:
        return None
    assert reply.status == 200, reply
    return str(reply.json["flowId"])


def help_on(flows: FlowNode, flow_id: str, step: str) -> None:
    """Give a flow what it waits for."""
    if step == "wait":
        flows.signal(flow_id, "go", '{"n":1}', key="once")
    elif step == "approval":
        flows.answer(flow_id, "go")


@pytest.mark.parametrize(("step", "point"), file_points(), ids=lambda value: value.removeprefix("flow:"))
def test_a_gateway_that_dies_anywhere_runs_each_command_of_a_flow_file_once(
    flows: FlowNode, step: str, point: str
) -> None:
    """The next one takes the flow back at once, and it ends as it would have."""
    flows.settings |= QUICK
    if "claim" in point:  # a gateway claims as it comes up
        assert flows.begin()
        flow_id = start_file(flows, step)
        flows.kill()
        flows.begin(point)
    else:
        assert flows.begin(point)
        flow_id = start_file(flows, step)
    if point.endswith("signal:go:succeeded"):
        help_on(flows, flow_id or "", step)
    flows.dies()
    assert flows.begin(), flows.log()
    if flow_id is None and flows.ask("GET", "/v1/flows").json["flows"]:
        [found] = flows.ask("GET", "/v1/flows").json["flows"]
        flow_id = found["flowId"]
    if flow_id is None:
        assert point == "store:before_commit:create_flow"
        flow_id = start_file(flows, step)
        assert flow_id is not None
    help_on(flows, flow_id, step)
    flows.flow_ended(flow_id)
    flow = flows.judge_flow(flow_id)
    result = msgspec.json.decode(flow.result or "")
    assert result["status"] == "succeeded"
    if step in COMES_TO:
        assert result["found"] == COMES_TO[step]
    assert set(flows.marks().values()) == {1}, flows.marks()
    assert set(flows.marks()) == {"first", "last"} | ({"op"} if step == "run" else set()) | (
        {"inner"} if step == "flow" else set()
    )


# ---- programs


TASK_POINTS = (
    "worker:before_claim", "worker:after_claim", "worker:after_spawn", "worker:before_finish",
    "worker:after_finish", *(f"store:{at}_commit:{act}" for act in ("claim_tasks", "apply") for at in BOTH),
)  # fmt: skip


@pytest.mark.parametrize("point", TASK_POINTS)
def test_a_gateway_that_dies_over_a_command_of_a_program_costs_its_worker_nothing(flows: FlowNode, point: str) -> None:
    """The worker goes on with the flow when the next gateway has seen the command to its end."""
    flow_id = flows.start("run")
    flows.work()
    flows.flow_waits(flow_id)
    flows.begin(point)
    flows.dies()
    assert flows.begin(), flows.log()
    flows.flow_ended(flow_id)
    flow = flows.judge_flow(flow_id)
    assert flow.crashes == 0
    assert flows.marks() == {"first": 1, "op": 1, "last": 1}
    assert len(flows.workers) == 1 and flows.workers[0].poll() is None


FULL_STOP = {
    "coroutine": ("flow:before_checkpoint:function:op", "flow:after_end"),
    "thread": ("flow:before_step:function:op",),
    "retried": ("flow:after_checkpoint:function:op:running",),
    "run": ("flow:before_child:run:op", "flow:after_child:run:op", "flow:after_park:run:op"),
    "nap": ("flow:after_park:sleep:op",),
    "signal": ("flow:after_checkpoint:signal:op:running", "store:after_commit:take_signal"),
    "approval": ("flow:after_child:approval:op",),
    "subflow": ("flow:after_child:flow:op", "flow:before_checkpoint:function:inner"),
    "undone": ("flow:after_child:run:compensate:undo too",),
}


@pytest.mark.parametrize(("kind", "point"), [(kind, point) for kind, points in FULL_STOP.items() for point in points])
def test_when_gateway_and_worker_die_the_next_gateway_alone_brings_everything_to_its_end(
    flows: FlowNode, kind: str, point: str
) -> None:
    """It finds that the worker is dead, and starts one itself: no lease has to run out."""
    flows.begin_without_hosting()
    flow_id = flows.start(kind)
    flows.work(point)
    flows.workers[-1].wait()
    assert flows.crashed(), flows.worker_said()
    flows.kill()
    flows.act("remove_flow_worker", FAR_AWAY)
    assert flows.begin(), flows.log()
    if kind == "signal":
        flows.signal(flow_id, "op", '{"n":1}', key="once")
    elif kind == "approval":
        flows.answer(flow_id, "go")
    flows.flow_ended(flow_id)
    flows.judge_flow(flow_id, FlowStatus.FAILED if kind == "undone" else FlowStatus.SUCCEEDED)
    done_before_its_record(flows, flow_id)
    unsure = {"op", "inner"} if "before_checkpoint" in point or kind == "retried" else set()
    assert all(count == 1 or key in unsure for key, count in flows.marks().items()), flows.marks()


def hosted(flows: FlowNode) -> FlowWorker:
    """The worker on record, once there is one, and one only."""
    found: list[FlowWorker] = []

    def alone() -> bool:
        found[:] = flows.ask_store(lambda store: store.flow_workers())
        return len(found) == 1

    until(alone)
    return found[0]


def start_program(flows: FlowNode, kind: str) -> str:
    """Start a flow by its gateway, which has to start a worker for it."""
    body: dict[str, Any] = {"handler": EVERY, "args": [flows.place, kind], "notify": "silent"}
    reply = flows.ask("POST", "/v1/flows", body)
    assert reply.status == 200, reply
    return str(reply.json["flowId"])


def test_a_worker_of_the_gateway_that_is_killed_is_replaced_at_once(flows: FlowNode) -> None:
    """What it held needs no lease to run out."""
    assert flows.begin()
    flow_id = start_program(flows, "signal")
    flows.flow_waits(flow_id)
    first = hosted(flows)
    other = start_program(flows, "slow")
    until(lambda: flows.marks()["op"])
    flows.kill_worker(first)
    flows.open_gate()
    flows.flow_ended(other)
    flows.judge_flow(other)
    until(lambda: hosted(flows).id != first.id)
    flows.signal(flow_id, "op")
    flows.flow_ended(flow_id)
    flows.judge_flow(flow_id)


def test_a_worker_somebody_else_started_is_watched_too(flows: FlowNode) -> None:
    """Killed in the middle of a step: the gateway of its node sees that and starts one in its place."""
    assert flows.begin()
    worker = flows.work()
    until(lambda: any(one.pid == worker.pid for one in flows.ask_store(lambda store: store.flow_workers())))
    flow_id = flows.start("slow")  # it is there by now: a gateway starts one only where nobody serves
    until(lambda: flows.marks()["op"])
    worker.send_signal(signal.SIGKILL)
    flows.open_gate()
    flow = flows.flow_ended(flow_id)
    assert flows.judge_flow(flow_id).crashes == flow.crashes == 1
    assert flows.marks()["op"] == 2


def test_a_worker_outlives_its_gateway_and_the_next_one_finds_it(flows: FlowNode) -> None:
    """No second one is started, and the flow never notices."""
    assert flows.begin()
    flow_id = start_program(flows, "slow")
    until(lambda: flows.marks()["op"])
    first = hosted(flows)
    flows.kill()
    assert flows.begin()
    flows.open_gate()
    flows.flow_ended(flow_id)
    assert flows.judge_flow(flow_id).crashes == 0
    assert flows.marks() == {"first": 1, "op": 1, "last": 1}
    again = start_program(flows, "coroutine")
    flows.flow_ended(again)
    assert hosted(flows).id == first.id
