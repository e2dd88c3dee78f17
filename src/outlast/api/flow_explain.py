"""A flow explained: the fourth rung of the ladder, in five lines."""

from __future__ import annotations

from outlast.api.flow_waits import held_up, way_on
from outlast.api.task_results import Explained, Survives
from outlast.core.durations import format_duration
from outlast.core.flow import Flow, FlowMode, FlowStatus
from outlast.core.task import NotifyPolicy

LAYERS = {1: "exec", 2: "process", 3: "tasks", 4: "flows"}
_RUNG = {
    FlowMode.PROGRAM: "a program whose steps are on record as they end; it goes on at the step where it was",
    FlowMode.FILE: "the steps of a file, each on record as it ends; it goes on at the step where it was",
    FlowMode.MANAGED: "a record that a controller outside moves, each move at the revision it has seen",
    FlowMode.MIRRORED: "a record that follows the one task it is for",
}
_TOLD = {
    NotifyPolicy.DONE_ONLY: "when it ends or is blocked",
    NotifyPolicy.STATE_CHANGES: "when it ends or is blocked",
    NotifyPolicy.FAILURES_ONLY: "only if it fails or is blocked",
}


def explain_flow(flow: Flow, now: float) -> Explained:
    """Return a flow in five lines: how it stands, what it is, what it survives, who hears of it, what comes next."""
    silent = flow.notify is NotifyPolicy.SILENT
    told = "nobody (policy silent)" if silent else f"{flow.conversation or flow.requester} {_TOLD[flow.notify]}"
    if flow.status.final:
        told += f"; delivery: {flow.delivery}"
    following = _next(flow)
    return Explained(
        id=flow.id,
        kind="flow",
        rung=4,
        layer=LAYERS[4],
        lines=[
            _state(flow, now),
            f"rung 4 of 4, flows: {_RUNG[flow.mode]}",
            _survival(flow),
            f"told: {told}",
            f"next: {following}" if following else "next: nothing to do, it has ended",
        ],
        survives=Survives(terminal=True, gateway_restart=True, reboot=True),
        told=told,
        next=following,
    )


def _state(flow: Flow, now: float) -> str:
    parts = [f"flow {flow.id} ({flow.label or flow.name}) is {flow.status}"]
    held = None if flow.status.final else held_up(flow)
    if held is not None:
        parts[0] += f" ({held})"
    if flow.cause is not None and flow.status.final:
        parts.append(f"cause {flow.cause}")
    if flow.started_at is not None:
        spent = (flow.ended_at or now) - flow.started_at
        parts.append(f"{'after' if flow.status.final else 'for'} {format_duration(max(0.0, spent))}")
    if flow.cancel_asked_at is not None and not flow.status.final:
        parts.append("asked to end")
    if flow.attempts_max > 1:
        parts.append(f"attempt {flow.attempt} of {flow.attempts_max}")
    if flow.steps_done is not None and not flow.status.final:
        parts.append(f"{flow.steps_done} of {flow.steps_known or 'unknown'} steps done")
    return ", ".join(parts)


def _survival(flow: Flow) -> str:
    if flow.status.final:
        return "it has ended: the record stays until retention forgets it"
    if flow.mode in (FlowMode.MANAGED, FlowMode.MIRRORED):
        return "survives: a closed terminal, a gateway restart and a reboot; what moves it is outside"
    return (
        "survives: a closed terminal, a kill -9 of gateway and worker, and a reboot: finished steps are not run again; "
        "a command that a reboot ends is lost, and its step says so"
    )


def _next(flow: Flow) -> str | None:
    if flow.status is FlowStatus.BLOCKED:
        return way_on(flow)
    return None if flow.status.final else f"outlast flow watch {flow.id}"
