"""Acts on flows that people and agents ask for: signals, calling off, taking up again, forking."""

from __future__ import annotations

from typing import Any

import msgspec

from outlast.api.context import Api, Caller
from outlast.api.flow_lookup import present
from outlast.api.flow_requests import (
    VALUE_MAX,
    FlowCancelRequest,
    FlowForkRequest,
    FlowResumeRequest,
    FlowRetryRequest,
    FlowSignalRequest,
)
from outlast.api.flow_results import FlowResult, SignalResult, describe_flow, describe_signal
from outlast.api.flow_starts import cancelling, masked, new_flow_id
from outlast.api.flow_values import forget, take_over
from outlast.api.flow_waits import held_up
from outlast.api.flow_watch import watched
from outlast.api.flows import all_steps
from outlast.core.errors import BadInput, Conflict, NotFound
from outlast.core.flow import Flow, FlowMode, FlowStatus, StepKind, StepRow
from outlast.core.lifecycle import FLOW_MOVES, FlowVerb, flow_transition
from outlast.core.session import Cause, Status
from outlast.core.task import Runtime
from outlast.core.text import is_sound_value

CANCEL_DEFAULT_MS = 5_000
"""How long a cancel waits for the end before it answers that the end has been asked for."""
STEPS_NAMED = 40
DRIVEN = (FlowMode.PROGRAM, FlowMode.FILE)
_WORDS: dict[FlowVerb, str] = {
    FlowVerb.RETRY: "retry", FlowVerb.RESUME: "resume", FlowVerb.CANCEL: "cancel", FlowVerb.SUCCEED: "finish",
    FlowVerb.FAIL: "fail", FlowVerb.WAIT: "wait",
}  # fmt: skip


def flow_ended(flow: Flow) -> Conflict:
    """Return what somebody gets who wants something of a flow that has ended."""
    return Conflict(
        f"flow {flow.id} has ended: {flow.status} (it is at revision {flow.revision})", code="flow_ended",
        hint=f"outlast flow show {flow.id}",
    )  # fmt: skip


def not_now(flow: Flow, wish: str, why: str | None = None) -> Conflict:
    """Return what somebody gets who wants what the flow's status does not allow: it names what is possible."""
    verbs = [word for verb, word in _WORDS.items() if flow.status in FLOW_MOVES[verb].sources and _is_for(flow, verb)]
    possible = f"possible now: {', '.join(verbs)}" if verbs else "nothing can be done to it any more"
    return Conflict(
        f"flow {flow.id} is {flow.status}: it cannot be {wish}{f' ({why})' if why else ''}", code="not_now",
        hint=possible,
    )  # fmt: skip


def _is_for(flow: Flow, verb: FlowVerb) -> bool:
    """True for what may be asked of a flow of that mode."""
    if flow.mode is FlowMode.MIRRORED:
        return verb is FlowVerb.CANCEL
    if flow.mode is FlowMode.MANAGED:
        return verb is not FlowVerb.RETRY
    if verb is FlowVerb.RESUME:
        return flow.status is FlowStatus.BLOCKED
    return verb in (FlowVerb.RETRY, FlowVerb.CANCEL)


def as_json(value: Any, field: str) -> str:  # noqa: ANN401 — whatever JSON can hold
    """Return a value as JSON text. Raises BadInput for one that is too long, or no text any store can hold."""
    if not is_sound_value(value):
        raise BadInput(f"{field}: must be text in valid UTF-8 without NUL", code="not_text")
    text = msgspec.json.encode(value).decode()
    if len(text) > VALUE_MAX:
        raise BadInput(f"{field}: {len(text)} characters of JSON are more than {VALUE_MAX}", code="too_large")
    return text


# ---- signals


async def signal(api: Api, caller: Caller, flow: Flow, request: FlowSignalRequest) -> SignalResult:
    """Put a signal into the queue of a live flow; it is consumed when the flow asks for it, now or later."""
    payload = as_json(request.payload, "payload")
    if flow.status.final:
        raise flow_ended(flow)
    first = None
    if request.key is not None:
        sent = await api.store.signals_of(flow.id)
        first = next((row for row in sent if row.source_key == request.key), None)
    row = await api.store.send_signal(flow.id, request.name, payload, api.clock.now(), caller.requester, request.key)
    if row is None:
        raise flow_ended(await present(api, flow.id))
    return describe_signal(row, existing=first is not None)


# ---- calling off


async def cancel(api: Api, caller: Caller, flow: Flow, request: FlowCancelRequest) -> FlowResult:
    """Call a flow off, and everything it has started; return how it stands once it has ended, or the time is over."""
    if request.force:
        return await _force(api, caller, flow, request)
    await ask_end(api, flow, masked(request.reason))
    timeout = CANCEL_DEFAULT_MS if request.timeout_ms is None else request.timeout_ms

    async def look() -> Flow | None:
        now = await present(api, flow.id)
        return now if now.status.final else None

    ended = await watched(api, look, timeout / 1000)
    return describe_flow(ended or await present(api, flow.id), api.clock.now(), whole=True)


async def ask_end(api: Api, flow: Flow, reason: str | None) -> None:
    """Write down the wish that a flow ends, and end its tasks that run here. Raises Conflict where it has one."""
    if flow.status.final:
        raise flow_ended(flow)
    asked = await api.store.ask_cancel_flow(flow.id, api.clock.now(), reason)
    if asked is None:
        now = await present(api, flow.id)
        raise flow_ended(now) if now.status.final else _asked_before(api, now)
    await end_tasks(api, flow.id)


def _asked_before(api: Api, flow: Flow) -> Conflict:
    ago = max(0.0, api.clock.now() - (flow.cancel_asked_at or 0.0))
    return Conflict(
        f"flow {flow.id} is to be cancelled already: that was asked {ago:.0f} s ago", code="already_cancelling",
        hint=f"outlast flow watch {flow.id}; or, without its compensations: outlast flow cancel {flow.id} --force",
    )  # fmt: skip


async def end_tasks(api: Api, flow_id: str, *, force: bool = False) -> None:
    """Have the tasks of a flow end that this gateway holds; whoever holds others sees the wish on record.

    Those the wish did not reach undo what the flow has done: they end with ``force`` only.
    """
    for task_id in await api.store.live_tasks_of_flow(flow_id):
        task = await api.store.get_task(task_id)
        if task is None or task.status.final or not (force or task.cancel_asked_at):
            continue
        if task.runtime is Runtime.EXTERNAL or task.cancel_asked_at is None:
            task = await api.ledger.cancel(task, Cause.PARENT)  # what runs elsewhere nobody here ends otherwise
        if not task.status.final and api.books.holds(task.id):
            await api.books.call_off(task, Cause.PARENT)
    for child in await api.store.child_flows(flow_id):
        if not child.status.final and (force or child.cancel_asked_at):
            await end_tasks(api, child.id, force=force)


async def _force(api: Api, caller: Caller, flow: Flow, request: FlowCancelRequest) -> FlowResult:
    caller.needs_operator("end a flow by force")
    if flow.status.final:
        raise flow_ended(flow)
    await api.store.ask_cancel_flow(flow.id, api.clock.now(), masked(request.reason))
    await end_tasks(api, flow.id, force=True)
    move = flow_transition(
        flow.id, FlowVerb.CANCEL, api.clock.now(), cause=Cause.OPERATOR,
        error="it was ended by force: compensations did not run",
    )  # fmt: skip
    moved = await api.store.move_flow(move)
    return describe_flow(moved or await present(api, flow.id), api.clock.now(), whole=True)


# ---- taking up again


async def retry(api: Api, caller: Caller, flow: Flow, request: FlowRetryRequest) -> FlowResult:
    """Queue a flow again that failed, is blocked or lost. What succeeded stays, with ``fromStep`` what came before it.

    A flow that waits for a task which is not on record any more is taken up again by naming that step.
    """
    if flow.mode not in DRIVEN:
        raise Conflict(
            f"flow {flow.id} is {flow.mode}: nobody here runs it again", code="not_repeatable",
            hint="outlast flow create makes a new one" if flow.mode is FlowMode.MANAGED else "ask whoever reported it",
        )  # fmt: skip
    row = None if request.from_step is None else await _step(api, flow, request.from_step)
    if flow.status is FlowStatus.WAITING and row is not None and await _stranded(api, row):
        await _block(api, flow, row)
    elif flow.status not in FLOW_MOVES[FlowVerb.RETRY].sources:
        raise flow_ended(flow) if flow.status is FlowStatus.CANCELLED else not_now(flow, "retried")
    elif flow.cancel_asked_at is not None and not flow.status.final:
        raise cancelling(flow)
    moved = await api.store.retry_flow(flow.id, None if row is None else row.key, api.clock.now())
    if moved is None:
        raise not_now(await present(api, flow.id), "retried")
    return describe_flow(moved, api.clock.now(), whole=True)


async def _stranded(api: Api, row: StepRow) -> bool:
    """True for a step that waits for a task which is not on record."""
    waits = row.status is Status.RUNNING and row.kind in (StepKind.RUN, StepKind.AGENT) and row.ref is not None
    return waits and await api.store.get_task(row.ref or "") is None


async def _block(api: Api, flow: Flow, row: StepRow) -> None:
    blocker: dict[str, object] = {
        "kind": "task_missing", "step": row.key, "message": f"task {row.ref} of step {row.key!r} is not on record",
    }  # fmt: skip
    await api.store.move_flow(flow_transition(flow.id, FlowVerb.BLOCK, api.clock.now(), blocker=blocker))


async def _step(api: Api, flow: Flow, key: str) -> StepRow:
    """Return a step by its key. Raises NotFound naming the steps there are."""
    rows = await all_steps(api, flow.id)
    found = next((row for row in rows if row.key == key), None)
    if found is not None:
        return found
    names = [row.key for row in rows][:STEPS_NAMED]
    more = f", … ({len(rows)} in all)" if len(rows) > STEPS_NAMED else ""
    raise NotFound(
        f"flow {flow.id} has no step {key!r} on record", code="unknown_step",
        hint=f"its steps: {', '.join(names)}{more}" if names else "no step of it has begun",
    )  # fmt: skip


async def resume(api: Api, caller: Caller, flow: Flow, request: FlowResumeRequest) -> FlowResult:
    """Let a blocked flow go on where it stands: its code is as it was again, or what it missed is there."""
    if flow.mode is FlowMode.MANAGED:
        from outlast.api.flow_managed import resume_managed

        return await resume_managed(api, flow, request)
    if request.state is not None or request.step is not None:
        raise BadInput("state: goes with managed flows only" if request.state is not None else "step: likewise")
    if flow.status.final:
        raise flow_ended(flow)
    if flow.status is not FlowStatus.BLOCKED or flow.mode not in DRIVEN:
        raise not_now(flow, "resumed", _waiting_why(flow))
    now = api.clock.now()
    move = flow_transition(
        flow.id, FlowVerb.RESUME, now, target=FlowStatus.QUEUED, ready_at=now, revision=request.revision
    )
    moved = await api.store.move_flow(move)
    if moved is None:
        raise stale(await present(api, flow.id), request.revision, "resumed")
    return describe_flow(moved, now, whole=True)


def _waiting_why(flow: Flow) -> str | None:
    held = held_up(flow) if flow.status is FlowStatus.WAITING else None
    return None if held is None else f"it waits for {held}"


def stale(flow: Flow, revision: int | None, wish: str) -> Conflict:
    """Return what somebody gets whose move was refused: the flow has ended, has moved on, or stands elsewhere."""
    if flow.status.final:
        return flow_ended(flow)
    if revision is not None and flow.revision != revision:
        return Conflict(
            f"flow {flow.id} was moved meanwhile: it is at revision {flow.revision}, not {revision}", code="conflict",
            hint=f"outlast flow show {flow.id}, then ask again with --revision {flow.revision}",
        )  # fmt: skip
    return not_now(flow, wish)


# ---- forking


async def fork(api: Api, caller: Caller, flow: Flow, request: FlowForkRequest) -> FlowResult:
    """Make a new flow with what another had done before a step; the rest is done anew, by the code as it is now."""
    if flow.mode not in DRIVEN:
        raise Conflict(f"flow {flow.id} is {flow.mode}: only what runs here can be forked", code="not_repeatable")
    row = await _step(api, flow, request.from_step)
    new_id = new_flow_id(api)
    await take_over(api, flow, new_id)
    made = await api.store.fork_flow(flow.id, new_id, row.key, api.clock.now())
    if made is None:
        await forget(api.config, [new_id])
        raise NotFound(f"flow {flow.id} or its step {row.key!r} was forgotten meanwhile", code="unknown_step")
    return describe_flow(made, api.clock.now(), whole=True)
