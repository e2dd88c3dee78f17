"""Words for tests of flows and approvals: new ones, claims, steps and moves without a clock."""

from __future__ import annotations

import itertools

from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.flow import FlowFilter, FlowMode, NewFlow, StepKind, StepRow
from outlast.core.lifecycle import flow_transition
from outlast.core.session import Status
from outlast.core.task import NewTask, NotifyPolicy, Runtime
from outlast.store.base_flows import FlowClaim
from store.store_fakes import everything as all_tasks

HANDLER = "/programs/release.py:release"
_numbers = itertools.count(1_000_000)


def new_flow(number: int | None = None, **given) -> NewFlow:
    """A flow whose id and moment follow from its number."""
    number = next(_numbers) if number is None else number
    made = {
        "id": f"f{number:014d}", "mode": FlowMode.PROGRAM, "name": "release", "requester": "agent:a:main",
        "created_at": 1000.0 + number, "handler": HANDLER, "input": {"args": [number]}, "notify": NotifyPolicy.SILENT,
    }  # fmt: skip
    return NewFlow(**{**made, **given})


def managed(number: int | None = None, **given) -> NewFlow:
    return new_flow(number, **{"mode": FlowMode.MANAGED, "handler": None, "input": None, **given})


def claim(*claim_ids: str, **given) -> FlowClaim:
    made = {"worker": "w1", "handlers": [HANDLER], "now": 2_000_000.0, "lease_until": 2_000_060.0}
    return FlowClaim(claim_ids=claim_ids, **{**made, **given})


def step(flow_id: str, key: str, seq: int = 0, status: Status = Status.SUCCEEDED, **given) -> StepRow:
    made = {"kind": StepKind.FUNCTION, "attempt": 1, "started_at": 2_000_000.0}
    if status not in (Status.RUNNING, Status.QUEUED):
        made |= {"ended_at": 2_000_001.0, "result": "1"}
    return StepRow(flow_id=flow_id, key=key, seq=seq, status=status, **{**made, **given})


def waiting_for(flow_id: str, ref: str, key: str = "step", seq: int = 0, kind: StepKind = StepKind.RUN) -> StepRow:
    return step(flow_id, key, seq, Status.RUNNING, kind=kind, ref=ref)


def child_task(flow_id: str, task_id: str, **given) -> NewTask:
    made = {
        "runtime": Runtime.CLI, "kind": "exec", "source": "flow", "requester": "agent:a:main",
        "created_at": 2_000_002.0, "notify": NotifyPolicy.SILENT,
    }  # fmt: skip
    return NewTask(id=task_id, flow_id=flow_id, **{**made, **given})


def move(flow_id: str, verb, **given):
    return flow_transition(flow_id, verb, given.pop("at", 2_000_010.0), **given)


def question(number: int, **given) -> Approval:
    made = {
        "kind": ApprovalKind.EXEC, "requester": "agent:a:main", "status": ApprovalStatus.PENDING, "prompt": "Ship it?",
        "created_at": 2_000_000.0 + number,
    }  # fmt: skip
    return Approval(id=f"a{number:014d}", **{**made, **given})


def verdict(approval_id: str, status: ApprovalStatus = ApprovalStatus.APPROVED, **given) -> Verdict:
    made = {"at": 2_000_100.0, "by": "ann", "how": "cli"}
    return Verdict(approval_id=approval_id, status=status, **{**made, **given})


async def make(store, number: int | None = None, **given):
    return (await store.create_flow(new_flow(number, **given))).flow


async def running(store, claim_id: str = "c1", number: int | None = None, **given):
    """A flow that was created and claimed in one act."""
    new = new_flow(number, **given)
    created = await store.create_flow(new, claim(claim_id, now=new.created_at))
    assert created.flow.claim_id == claim_id
    return created.flow


async def everything(store) -> tuple:
    """All that the store holds, to show that an act changed nothing."""
    flows = (await store.list_flows(FlowFilter(), 1000)).flows
    of_each = [
        (await store.steps_of(flow.id), await store.flow_events(flow.id), await store.signals_of(flow.id))
        for flow in flows
    ]
    return flows, of_each, await all_tasks(store)
