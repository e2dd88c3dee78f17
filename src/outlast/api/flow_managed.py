"""Managed flows: a controller outside moves them, each move at the revision it has seen and by the table of moves."""

from __future__ import annotations

from typing import Any

from outlast.api.agent_rights import may_have_told
from outlast.api.context import Api, Caller
from outlast.api.flow_commands import as_json, ask_end, flow_ended, not_now, stale
from outlast.api.flow_lookup import present
from outlast.api.flow_requests import (
    FlowCancelWishRequest,
    FlowCreateRequest,
    FlowFailRequest,
    FlowFinishRequest,
    FlowLinkRequest,
    FlowResumeRequest,
    FlowSetWaitingRequest,
)
from outlast.api.flow_results import FlowResult, describe_flow
from outlast.api.flow_starts import cancelling, masked, new_flow_id, parent_of
from outlast.api.task_lookup import find_task
from outlast.api.tasks import moment
from outlast.core.errors import BadInput, Conflict
from outlast.core.flow import Flow, FlowMode, FlowStatus, NewFlow
from outlast.core.ids import own_key
from outlast.core.lifecycle import FLOW_MOVES, FlowVerb, flow_transition
from outlast.core.session import Cause
from outlast.core.task import NewTask, NotifyPolicy


async def create(api: Api, caller: Caller, request: FlowCreateRequest) -> FlowResult:
    """Put a managed flow on record, running."""
    _state(request.state)
    await may_have_told(api, caller, request.conversation)
    parent = await parent_of(api, caller, request.parent_id)
    new = NewFlow(
        id=new_flow_id(api),
        mode=FlowMode.MANAGED,
        name=request.name,
        requester=caller.requester,
        created_at=api.clock.now(),
        goal=masked(request.goal),
        state=request.state or {},
        conversation=request.conversation,
        label=masked(request.label),
        parent_id=None if parent is None else parent.id,
        notify=NotifyPolicy(request.notify or NotifyPolicy.DONE_ONLY),
        dedupe_key=None if request.dedupe_key is None else own_key(caller.requester, request.dedupe_key),
    )
    created = await api.finish(api.store.create_flow(new))
    return describe_flow(created.flow, api.clock.now(), whole=True, existing=created.existing)


def mirror_of(task: NewTask, flow_id: str) -> NewFlow:
    """Return the flow that mirrors one task: it ends as that does, and tells nobody, as the task does that."""
    return NewFlow(
        id=flow_id,
        mode=FlowMode.MIRRORED,
        name=task.label or task.title or task.kind,
        requester=task.requester,
        created_at=task.created_at,
        ask=task.ask,
        goal=task.title,
        conversation=task.conversation,
        label=task.label,
        task_id=task.id,
        notify=NotifyPolicy.SILENT,
    )


async def link(api: Api, caller: Caller, flow: Flow, request: FlowLinkRequest) -> FlowResult:
    """Make a task a child of a managed flow; the task must be of the same requester and belong to no other flow."""
    _may(flow, request.revision, "given a task")
    task = await find_task(api, caller, request.task_id)
    if task.requester != flow.requester:
        raise Conflict(
            f"task {task.id} is {task.requester}'s, flow {flow.id} is {flow.requester}'s", code="foreign_task",
            hint="a flow takes tasks of its own requester only",
        )  # fmt: skip
    if task.flow_id is not None and task.flow_id != flow.id:
        raise Conflict(
            f"task {task.id} belongs to flow {task.flow_id}", code="task_taken", hint=f"outlast tasks show {task.id}"
        )
    linked = await api.store.link_task(flow.id, task.id, api.clock.now(), request.revision)
    if linked is None:
        raise _refused(await present(api, flow.id), request.revision, "given a task")
    return describe_flow(linked, api.clock.now(), whole=True)


async def set_waiting(api: Api, caller: Caller, flow: Flow, request: FlowSetWaitingRequest) -> FlowResult:
    """Note what a managed flow waits for, or (``blocked``) why it cannot go on."""
    if (request.wait_for is None) == (request.blocked is None):
        raise BadInput(
            "waitFor: is required (or blocked)" if request.blocked is None else "waitFor: does not go with blocked"
        )
    until = moment(request.until, "until")
    if request.blocked is not None:
        if until is not None:
            raise BadInput("until: does not go with blocked")
        blocker: dict[str, object] = {"kind": "controller", "message": masked(request.blocked)}
        return await _move(
            api, flow, FlowVerb.BLOCK, request.revision, "blocked", request.state, step=request.step, blocker=blocker
        )
    wait: dict[str, object] = {"for": masked(request.wait_for)}
    if until is not None:
        wait["until"] = until
    return await _move(
        api, flow, FlowVerb.WAIT, request.revision, "set waiting", request.state, step=request.step, wait=wait
    )


async def resume_managed(api: Api, flow: Flow, request: FlowResumeRequest) -> FlowResult:
    """Let a managed flow run again that waited or was blocked."""
    if request.revision is None:
        raise BadInput("revision: is required for a managed flow", hint=f"it is at revision {flow.revision}")
    return await _move(
        api, flow, FlowVerb.RESUME, request.revision, "resumed", request.state, target=FlowStatus.RUNNING,
        step=request.step,
    )  # fmt: skip


async def finish(api: Api, caller: Caller, flow: Flow, request: FlowFinishRequest) -> FlowResult:
    """End a managed flow well."""
    result = None if request.result is None else as_json(request.result, "result")
    return await _move(api, flow, FlowVerb.SUCCEED, request.revision, "finished", request.state, result=result)


async def fail(api: Api, caller: Caller, flow: Flow, request: FlowFailRequest) -> FlowResult:
    """End a managed flow badly. That may be said of one that is to be cancelled, too."""
    return await _move(
        api, flow, FlowVerb.FAIL, request.revision, "failed", request.state, error=masked(request.error),
        cause=Cause.REPORTED,
    )  # fmt: skip


async def request_cancel(api: Api, caller: Caller, flow: Flow, request: FlowCancelWishRequest) -> FlowResult:
    """Ask for the end of a managed flow: at once where no child runs, else with the end of the last one."""
    _managed(flow)
    if flow.status.final:
        raise flow_ended(flow)
    if flow.revision != request.revision:
        raise stale(flow, request.revision, "cancelled")
    await ask_end(api, flow, masked(request.reason))
    return describe_flow(await present(api, flow.id), api.clock.now(), whole=True)


async def _move(
    api: Api,
    flow: Flow,
    verb: FlowVerb,
    revision: int,
    wish: str,
    state: dict[str, Any] | None,
    **fields: Any,  # noqa: ANN401
) -> FlowResult:
    _state(state)
    _may(flow, revision, wish, verb)
    now = api.clock.now()
    fields = {name: value for name, value in fields.items() if value is not None}
    moved = await api.store.move_flow(flow_transition(flow.id, verb, now, revision=revision, state=state, **fields))
    if moved is None:
        raise _refused(await present(api, flow.id), revision, wish)
    return describe_flow(moved, now, whole=True)


def _state(state: dict[str, Any] | None) -> None:
    if state is not None:
        as_json(state, "state")


def _managed(flow: Flow) -> None:
    if flow.mode is not FlowMode.MANAGED:
        raise Conflict(
            f"flow {flow.id} is {flow.mode}: it is not moved from outside", code="not_managed",
            hint="signal, cancel, retry and resume are for it",
        )  # fmt: skip


def _may(flow: Flow, revision: int, wish: str, verb: FlowVerb | None = None) -> None:
    """Raise the one Conflict that is most to the point where a move cannot be made."""
    _managed(flow)
    if flow.status.final or flow.revision != revision:
        raise stale(flow, revision, wish)
    if flow.cancel_asked_at is not None and verb is not FlowVerb.FAIL:
        raise cancelling(flow)
    if verb is not None and flow.status not in FLOW_MOVES[verb].sources:
        raise not_now(flow, wish)


def _refused(flow: Flow, revision: int, wish: str) -> Conflict:
    if not flow.status.final and flow.revision == revision and flow.cancel_asked_at is not None:
        return cancelling(flow)
    return stale(flow, revision, wish)
