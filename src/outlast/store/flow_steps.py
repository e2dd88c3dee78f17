"""Statements of flows that several acts have in common."""

from __future__ import annotations

from typing import Any

from outlast.core.flow import FlowStatus
from outlast.core.lifecycle import FlowTransition
from outlast.core.task import Notice
from outlast.store.flow_rows import optional_json
from outlast.store.rows import json_text
from outlast.store.steps import Step


def flow_line(
    flow_id: str, at: float, verb: str, data: str = "{}", status: FlowStatus | None = None, step: str | None = None
) -> Step:
    """Return the statement for a line of a flow's history."""
    return "append_flow_event", {
        "flow_id": flow_id, "at": at, "verb": verb, "status": status, "step": step, "data": data,
    }  # fmt: skip


def nudge(flow_id: str, now: float) -> Step:
    """Return the statement that says there is news for a live flow; one that waits may be claimed at once."""
    return "nudge_flow", {"id": flow_id, "now": now}


def notice_step(owner_id: str, at: float, notice: Notice) -> Step:
    """Return the statement for a notice of a flow or an approval: no line of a task's history goes with it."""
    return "append_flow_notice", {
        "task_id": owner_id, "at": at, "kind": notice.kind, "target": notice.target,
        "idempotency_key": notice.idempotency_key, "body": json_text(notice.body),
    }  # fmt: skip


def move_params(move: FlowTransition, told: str) -> dict[str, Any]:
    """Return a move of a flow as the parameters that write it; ``told`` are the policies under which it is told."""
    return {
        "id": move.flow_id, "sources": " ".join(move.sources), "target": move.target, "at": move.at,
        "claim_id": move.claim_id, "revision": move.revision, "unless_nudged": int(move.unless_nudged),
        "ready_at": move.ready_at, "step": move.step, "state": optional_json(move.state),
        "wait": optional_json(move.wait), "blocker": optional_json(move.blocker), "cause": move.cause,
        "error": move.error, "result": move.result, "steps_done": move.steps_done, "steps_known": move.steps_known,
        "told": told,
    }  # fmt: skip
