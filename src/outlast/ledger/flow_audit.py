"""What is wrong with flows, or may be. One bounded pass of indexed questions; nothing is changed."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable

from outlast.core.durations import format_duration
from outlast.core.findings import KINDS, Code, Finding
from outlast.core.flow import FILE_HANDLER, Flow, FlowMode, StepRow
from outlast.store.base import Store

Owner = Callable[[Flow], bool]


async def audit_flows(
    store: Store, now: float, *, limit: int, may_see: Owner | None = None
) -> tuple[list[Finding], bool]:
    """Return the findings about flows, at most ``limit`` of a kind, and whether a kind had more.

    With ``may_see`` only those of flows it allows.
    """
    found: list[Finding] = []
    more = False
    for code, look in _LOOKS.items():
        flows = await look(store, now - KINDS[code].after_seconds, limit + 1)
        more = more or len(flows) > limit
        findings = [_finding(code, flow, now) for flow in flows[:limit] if may_see is None or may_see(flow)]
        found += [one for one in findings if one.since is not None and now - one.since > KINDS[code].after_seconds]
    rows = await store.flows_missing_tasks(limit + 1)
    for row in rows[:limit]:
        flow = await store.get_flow(row.flow_id)
        if flow is not None and (may_see is None or may_see(flow)):
            found.append(_missing(row, flow))
    return found, more or len(rows) > limit


async def _stale_waiting(store: Store, before: float, limit: int) -> list[Flow]:
    return await store.flows_waiting_since(before, limit)


async def _stale_blocked(store: Store, before: float, limit: int) -> list[Flow]:
    return await store.flows_blocked_since(before, limit)


async def _cancel_stuck(store: Store, before: float, limit: int) -> list[Flow]:
    return await store.flows_cancelling_since(before, limit)


async def _no_worker(store: Store, before: float, limit: int) -> list[Flow]:
    return await store.flows_ready_since(before, limit)


_LOOKS: dict[Code, Callable[[Store, float, int], Awaitable[list[Flow]]]] = {
    Code.STALE_WAITING: _stale_waiting,
    Code.STALE_BLOCKED: _stale_blocked,
    Code.CANCEL_STUCK: _cancel_stuck,
    Code.NO_WORKER: _no_worker,
}


def _finding(code: Code, flow: Flow, now: float) -> Finding:
    since = {Code.CANCEL_STUCK: flow.cancel_asked_at, Code.NO_WORKER: flow.ready_at}.get(code) or flow.updated_at
    age = format_duration(max(0.0, now - since))
    return Finding(
        code, flow.label or flow.name, _say(code, flow, age), since=since, about=_mend(code, flow), flow_id=flow.id
    )


def _say(code: Code, flow: Flow, age: str) -> str:
    match code:
        case Code.STALE_WAITING:
            return f"has waited for {age}{f' at step {flow.step!r}' if flow.step else ''}; nothing wakes it by itself"
        case Code.STALE_BLOCKED:
            return f"has been blocked for {age}: {(flow.blocker or {}).get('kind') or 'nobody said why'}"
        case Code.CANCEL_STUCK:
            return f"somebody wanted it cancelled {age} ago, and it has not ended"
        case _:
            return f"has been ready for {age}, and nobody who serves {flow.handler} takes it"


def _mend(code: Code, flow: Flow) -> str | None:
    """Return what the mend of a finding needs to know."""
    if code is Code.STALE_BLOCKED:
        return f" --revision {flow.revision}" if flow.mode is FlowMode.MANAGED else None
    if code is not Code.NO_WORKER:
        return None
    if flow.handler == FILE_HANDLER:
        return "outlast gateway restart"
    return f"outlast flow worker {shlex.quote((flow.handler or '').rpartition(':')[0])}"


def _missing(row: StepRow, flow: Flow) -> Finding:
    return Finding(
        Code.MISSING_LINKED_TASKS, flow.label or flow.name,
        f"step {row.key!r} waits for task {row.ref}, which is not on record", since=row.started_at,
        about=shlex.quote(row.key), flow_id=flow.id,
    )  # fmt: skip
