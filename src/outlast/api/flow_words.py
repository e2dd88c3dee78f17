"""What a flow waits for, each with the command that answers it: derived from the steps that run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from outlast.api.flow_results import WaitingFor
from outlast.api.flow_waits import held_up, signal_of, way_on, why_blocked
from outlast.api.results import iso
from outlast.core.approval import Approval
from outlast.core.flow import Flow, FlowMode, FlowStatus, StepKind, StepRow
from outlast.core.session import Status

PROMPT_SHOWN = 120
_LIVE = (Status.RUNNING, Status.QUEUED)


def waits_for(flow: Flow, steps: Iterable[StepRow], pending: Sequence[Approval]) -> list[WaitingFor]:
    """Return everything a live flow waits for, by its running steps; else what its record says."""
    if flow.status.final:
        return []
    found = [_of_step(flow, row, pending) for row in steps if row.status in _LIVE]
    named = {one.step for one in found if one is not None}
    found += [_of_approval(one) for one in pending if one.step not in named or one.step is None]
    waits = [one for one in found if one is not None]
    if flow.status is FlowStatus.BLOCKED:
        return [_of_blocker(flow), *waits]
    if flow.status is FlowStatus.QUEUED:
        return [*waits, _of_start(flow)]
    if not waits and flow.wait is not None:
        return [_of_record(flow)]
    return waits


def _of_step(flow: Flow, row: StepRow, pending: Sequence[Approval]) -> WaitingFor | None:
    until, command = iso(row.due_at), None
    match row.kind:
        case StepKind.SLEEP:
            words = "sleeps"
        case StepKind.SIGNAL:
            name = signal_of(row.key)
            words, command = f"waits for signal {name!r}", f"outlast flow signal {flow.id} {shlex.quote(name)}"
        case StepKind.APPROVAL:
            asked = next((one for one in pending if one.id == row.ref or one.step == row.key), None)
            if asked is not None:
                return _of_approval(asked)
            words, until = "waits for an approval", None
        case StepKind.RUN | StepKind.AGENT:
            words = f"runs as task {row.ref}"
            until, command = None, f"outlast {'subagents' if row.kind is StepKind.AGENT else 'tasks'} log -f {row.ref}"
        case StepKind.FLOW:
            words = f"runs as flow {row.ref}"
            until, command = None, f"outlast flow show {row.ref}"
        case _:
            if row.due_at is None or row.error is None:
                return None  # it works, and waits for nobody
            words = f"is tried again after attempt {row.attempt}: {row.error}"
    return WaitingFor(step=row.key, words=words, until=until, command=command)


def _of_approval(approval: Approval) -> WaitingFor:
    prompt = approval.prompt if len(approval.prompt) <= PROMPT_SHOWN else approval.prompt[:PROMPT_SHOWN] + "…"
    return WaitingFor(
        step=approval.step, words=f"waits for approval {approval.id}: {prompt}", until=iso(approval.expires_at),
        command=f"outlast approvals approve {approval.id}",
    )  # fmt: skip


def _of_start(flow: Flow) -> WaitingFor:
    if (held := held_up(flow)) is not None:
        return WaitingFor(step=None, words=f"waits for {held}", until=None, command=None)
    return WaitingFor(step=None, words="waits to be started", until=iso(flow.ready_at), command=None)


def _of_record(flow: Flow) -> WaitingFor:
    until = (flow.wait or {}).get("until")
    step = flow.step
    command = None
    if flow.mode is FlowMode.MANAGED:
        command = f"outlast flow resume {flow.id} --revision {flow.revision}"
    return WaitingFor(
        step=step, words=f"waits for {held_up(flow)}",
        until=iso(float(until)) if isinstance(until, int | float) else None, command=command,
    )  # fmt: skip


def _of_blocker(flow: Flow) -> WaitingFor:
    return WaitingFor(
        step=flow.step, words=f"is blocked: {why_blocked(flow)}", until=None,
        command=way_on(flow),
    )  # fmt: skip
