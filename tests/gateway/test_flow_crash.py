"""A worker for flows killed with -9 at the worst moments: what is on record was done once, and the flow ends right."""

from __future__ import annotations

import msgspec
import pytest
from flow_crashing import FlowNode, done_before_its_record

from outlast.core.flow import FlowStatus

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
    found += [("coroutine", f"store:{at}_flow_commit") for at in ("before", "after")]
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
        assert flows.begin()
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
    if point.startswith("store:before"):
        return {"first"}
    if "before_checkpoint:function" not in point:
        return {"op-too"} if kind == "beside" and point.endswith("function:op") else set()
    return {"inner"} if kind == "subflow" else {"op", "op-too"}
