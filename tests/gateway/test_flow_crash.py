"""A worker for flows killed with -9 at the worst moments: what is on record was done once, and the flow ends right."""

from __future__ import annotations

import time

import msgspec
import pytest
from crashing import until
from flow_crashing import FlowNode, done_before_its_record

from outlast.core.flow import FlowStatus
from outlast.core.session import Cause, Status

COMES_TO: dict[str, object] = {
    "coroutine": "OP", "thread": "OP", "retried": "OP", "failed": "OSError: broken", "run": [0, "out\n"], "nap": None,
    "signal": {"n": 1}, "approval": [True, "go"], "subflow": "INNER", "value": True, "patch": [True, "OP", True],
    "beside": ["OP", None, "OP-TOO"],
}  # fmt: skip
"""What the thing in the middle comes to, by the kind of flow."""
FUNCTIONS = ("coroutine", "thread", "retried", "failed", "patch", "beside")
STEP = ("before_step", "before_checkpoint", "after_checkpoint")
WAITS = {"nap": "sleep", "signal": "signal", "approval": "approval", "run": "run", "subflow": "flow"}


def points() -> list[tuple[str, str]]:
    """Each kind of flow with each named point on its way."""
    found = [(kind, f"flow:{at}:function:op") for kind in FUNCTIONS for at in STEP]
    found += [("retried", f"flow:{at}:function:op:running") for at in ("before_checkpoint", "after_checkpoint")]
    found += [("retried", "flow:before_checkpoint:function:op:succeeded")]
    for kind, step in WAITS.items():
        found += [(kind, f"flow:{at}:{step}:op") for at in ("before_park", "after_park")]
    for kind in ("nap", "signal"):
        for at in ("before_checkpoint", "after_checkpoint"):
            found.append((kind, f"flow:{at}:{WAITS[kind]}:op:running"))
    found += [("nap", f"flow:{at}:sleep:op:succeeded") for at in ("before_checkpoint", "after_checkpoint")]
    found += [("signal", "flow:after_checkpoint:signal:op:succeeded")]
    for kind in ("run", "approval", "subflow"):
        found += [(kind, f"flow:{at}:{WAITS[kind]}") for at in ("before_child", "after_child")]
    found += [("value", f"flow:{at}:value{key}") for key in (":now", ":random") for at in STEP[1:]]
    found += [("subflow", f"flow:{at}:function:inner") for at in STEP]
    found += [("beside", f"flow:{at}") for at in ("before_park", "after_park")]
    found += [("coroutine", f"flow:{at}") for at in ("after_claim", "before_end", "after_end")]
    acts = {"coroutine": "claim_flows checkpoint move_flow flow_worker", "run": "start_child", "signal": "take_signal"}
    for kind, names in acts.items():
        found += [(kind, f"store:{at}_commit:{act}") for act in names.split() for at in ("before", "after")]
    return found


def help_on(flows: FlowNode, flow_id: str, kind: str) -> None:
    """Give a flow what it waits for."""
    if kind == "signal":
        flows.signal(flow_id, "op", '{"n":1}', key="once")
    elif kind == "approval":
        flows.answer(flow_id, "go")


@pytest.mark.parametrize(("kind", "point"), points(), ids=lambda value: value.removeprefix("flow:"))
def test_a_worker_that_dies_anywhere_costs_nothing_that_is_on_record(flows: FlowNode, kind: str, point: str) -> None:
    """Another one goes on; only the step that was under way may be done twice, and a command never is."""
    if kind == "run":
        flows.begin_without_hosting()
    flow_id = flows.start(kind)
    flows.work(point)
    if ":signal:op:succeeded" in point:
        help_on(flows, flow_id, kind)
    flows.worker_dies()
    flows.work()
    help_on(flows, flow_id, kind)
    assert flows.flow_ended(flow_id).status is FlowStatus.SUCCEEDED
    flow = flows.judge_flow(flow_id)
    assert msgspec.json.decode(flow.result or "") == ["FIRST", COMES_TO[kind], "LAST"]
    done_before_its_record(flows, flow_id)
    marks = flows.marks()
    twice = {key for key, count in marks.items() if count > 1}
    assert max(marks.values()) <= 2 + (kind == "retried")
    assert twice <= under_way(kind, point), marks


def under_way(kind: str, point: str) -> set[str]:
    """What may have been done more than once: the step the worker died over, before its end was on record."""
    if kind == "retried":
        return {"op"}
    if point == "store:before_commit:checkpoint":
        return {"first"}
    if "before_checkpoint:function" not in point:
        return {"op-too"} if kind == "beside" and point.endswith("function:op") else set()
    return {"inner"} if kind == "subflow" else {"op", "op-too"}


UNDO_POINTS = (
    "flow:before_checkpoint:value:compensate:", "flow:after_checkpoint:value:compensate:",
    "flow:before_child:run:compensate:undo too", "flow:after_child:run:compensate:undo too",
    "flow:before_park:run:compensate:undo too", "flow:after_park:run:compensate:undo too",
    "flow:before_step:function:compensate:undo", "flow:before_checkpoint:function:compensate:undo",
    "flow:after_checkpoint:function:compensate:undo", "flow:before_end", "flow:after_end",
)  # fmt: skip


def undone_once(flows: FlowNode, point: str) -> None:
    """What undoes was done, the command exactly once, the function again only where its end was not on record."""
    marks = flows.marks()
    assert marks["undo-too"] == 1
    assert marks["undo"] == 1 + ("before_checkpoint:function" in point)
    assert marks["first"] == marks["op"] == 1


@pytest.mark.parametrize("point", UNDO_POINTS)
def test_a_worker_that_dies_while_a_failed_flow_is_undone_has_it_undone_once(flows: FlowNode, point: str) -> None:
    """A wish to cancel that comes meanwhile is too late: the flow fails as it was to."""
    flows.begin_without_hosting()
    flow_id = flows.start("undone")
    flows.work(point)
    flows.worker_dies()
    if point not in ("flow:after_end", "flow:before_checkpoint:value:compensate:"):
        assert flows.act("ask_cancel_flow", flow_id, time.time(), "too late") is not None
    flows.work()
    flow = flows.flow_ended(flow_id)
    flows.judge_flow(flow_id, FlowStatus.FAILED)
    assert flow.error is not None and flow.error.endswith("OSError: broken")
    assert (flow.step, flow.cause) == ("op", Cause.ERROR)
    undone_once(flows, point)


@pytest.mark.parametrize("point", UNDO_POINTS)
def test_a_worker_that_dies_while_a_cancelled_flow_is_undone_has_it_undone_once(flows: FlowNode, point: str) -> None:
    """The command it waited for was ended meanwhile: that does not make a failure of it."""
    flows.begin_without_hosting()
    flow_id = flows.start("called_off")
    flows.work(point)
    until(lambda: flows.marks()["op"])
    flows.flow_waits(flow_id)
    flows.ask("POST", f"/v1/flows/{flow_id}/cancel", {"reason": "enough", "timeoutMs": 0})
    flows.worker_dies()
    flows.work()
    flow = flows.flow_ended(flow_id)
    flows.judge_flow(flow_id, FlowStatus.CANCELLED)
    assert (flow.error, flow.cancel_reason, flow.cause) == ("enough", "enough", Cause.OPERATOR)
    assert flows.steps(flow_id)["op"].status is Status.CANCELLED
    undone_once(flows, point)
