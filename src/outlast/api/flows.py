"""Questions about flows; nothing here changes one. They work with a gateway and, on the same store, without one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

from outlast.api.context import Api, Caller
from outlast.api.flow_graph import draw
from outlast.api.flow_lookup import find_flow, may_see_flow, present
from outlast.api.flow_requests import (
    FlowEventsRequest,
    FlowGraphRequest,
    FlowShowRequest,
    FlowsRequest,
    FlowStepsRequest,
    FlowWaitRequest,
    FlowWatchRequest,
)
from outlast.api.flow_results import (
    FlowEventPage,
    FlowGraph,
    FlowPageResult,
    FlowShown,
    FlowsStatus,
    FlowWaitResult,
    FlowWatchResult,
    StepPage,
    WaitingFor,
    describe_asked,
    describe_flow,
    describe_flow_event,
    describe_linked,
    describe_signal,
    describe_step,
    fields_of,
)
from outlast.api.flow_trouble import trouble_of
from outlast.api.flow_values import whole, with_result
from outlast.api.flow_watch import watched
from outlast.api.flow_words import waits_for
from outlast.api.requests import PlainRequest
from outlast.api.tasks import moment
from outlast.core.approval import Approval, ApprovalFilter, ApprovalStatus
from outlast.core.errors import BadInput, GatewayTrouble
from outlast.core.flow import Flow, FlowFilter, FlowMode, FlowStatus, StepRow
from outlast.core.session import Status
from outlast.core.task import TaskFilter
from outlast.store.base import LIST_MAX

LIVE = (FlowStatus.QUEUED, FlowStatus.RUNNING, FlowStatus.WAITING, FlowStatus.BLOCKED)
LIST_DEFAULT = 50
STEPS_DEFAULT = 200
EVENTS_DEFAULT = 200
WAIT_DEFAULT_MS = 600_000
CHILDREN_SHOWN = 100
DEPTH_MAX = 5
"""How many generations of flows are looked through for one that needs somebody."""


async def list_flows(api: Api, caller: Caller, request: FlowsRequest) -> FlowPageResult:
    """Return one page of the caller's flows, newest first."""
    if not caller.operator and request.owner not in (None, caller.requester):
        return FlowPageResult(flows=[], next=None)
    narrow = FlowFilter(
        statuses=_statuses(request.status),
        mode=None if request.mode is None else FlowMode(request.mode),
        name=request.name,
        requester=request.owner if caller.operator else caller.requester,
        conversation=request.conversation,
        parent_id=None if request.parent is None else (await find_flow(api, caller, request.parent)).id,
        label=request.label,
        since=moment(request.since, "since"),
    )
    page = await api.store.list_flows(narrow, request.limit or LIST_DEFAULT, request.cursor)
    return FlowPageResult(flows=await _described(api, page.flows), next=page.next)


async def _described(api: Api, flows: Sequence[Flow]) -> list[Any]:
    counts = await api.store.step_counts([flow.id for flow in flows]) if flows else {}
    now = api.clock.now()
    return [describe_flow(flow, now, counts.get(flow.id)) for flow in flows]


def _statuses(words: str | None) -> tuple[FlowStatus, ...]:
    found = []
    for word in (words or "").replace(",", " ").split():
        if word not in set(FlowStatus):
            raise BadInput(f"status: {word!r} is none of {', '.join(FlowStatus)}")
        found.append(FlowStatus(word))
    return tuple(dict.fromkeys(found))


async def flows_status(api: Api, caller: Caller) -> FlowsStatus | None:
    """Return the flows at a glance; None while the store cannot be asked."""
    try:
        if caller.operator:
            counts = await api.store.flow_counts()
        else:
            narrow = FlowFilter(statuses=tuple(LIVE), requester=caller.requester)
            counts = Counter(flow.status.value for flow in (await api.store.list_flows(narrow, LIST_MAX)).flows)
    except GatewayTrouble:
        return None
    return FlowsStatus(**{status.value: counts.get(status.value, 0) for status in LIVE})


async def show(api: Api, caller: Caller, flow: Flow, request: FlowShowRequest) -> FlowShown:
    """Return everything about one flow: what it waits for, its steps, what was sent and asked, its children."""
    limit = request.limit or STEPS_DEFAULT
    steps, counts, signals, pending, children, tasks = await asyncio.gather(
        api.store.steps_of(flow.id, -1, min(limit + 1, LIST_MAX)),
        api.store.step_counts([flow.id]),
        api.store.signals_of(flow.id),
        pending_of(api, flow.id),
        api.store.child_flows(flow.id, CHILDREN_SHOWN),
        api.store.list_tasks(TaskFilter(flow_id=flow.id), CHILDREN_SHOWN),
    )
    now = api.clock.now()
    own_children = [child for child in children if may_see_flow(caller, child)]
    answer = FlowShown(
        **fields_of(flow, now, counts.get(flow.id), whole=True),
        waits_for=_waits(api, flow, await _running(api, flow, steps, more=len(steps) > limit), pending),
        steps=[describe_step(row, now) for row in steps[:limit]],
        more_steps=len(steps) > limit,
        signals=[describe_signal(row) for row in signals if row.step is None],
        approvals=[describe_asked(one) for one in pending],
        children=await _described(api, own_children),
        tasks=[describe_linked(task) for task in reversed(tasks.tasks)],
    )
    shown: FlowShown = await with_result(api, flow, answer)
    return shown


async def _running(api: Api, flow: Flow, first: Sequence[StepRow], *, more: bool) -> list[StepRow]:
    """Return the steps that have not ended, also those beyond the ones that are shown."""
    found = [row for row in first if not row.status.final]
    if more and not flow.status.final:
        found += [row for row in await all_steps(api, flow.id, first[-1].seq) if not row.status.final]
    return found


async def all_steps(api: Api, flow_id: str, after: int = -1) -> list[StepRow]:
    """Return all steps of a flow in the order they were begun, after that ``seq``."""
    rows: list[StepRow] = []
    while page := await api.store.steps_of(flow_id, rows[-1].seq if rows else after):
        rows += page
        if len(page) < LIST_MAX:
            break
    return rows


async def pending_of(api: Api, flow_id: str) -> list[Approval]:
    """Return the approvals of a flow that wait for an answer, oldest first."""
    narrow = ApprovalFilter(statuses=(ApprovalStatus.PENDING,), flow_id=flow_id)
    return (await api.store.list_approvals(narrow, CHILDREN_SHOWN)).approvals[::-1]


async def steps(api: Api, caller: Caller, flow: Flow, request: FlowStepsRequest) -> StepPage:
    """Return one page of the steps of a flow."""
    limit = request.limit or STEPS_DEFAULT
    found = await api.store.steps_of(flow.id, -1 if request.after is None else request.after, limit)
    now = api.clock.now()
    shown = [describe_step(row, now, full=bool(request.full)) for row in found]
    if request.full:
        shown = [
            replace(step, result=await whole(api, flow, row.result)) for step, row in zip(shown, found, strict=True)
        ]
    return StepPage(
        flow_id=flow.id,
        steps=shown,
        next=found[-1].seq if len(found) == limit else None,
    )


async def children(api: Api, caller: Caller, flow: Flow, request: PlainRequest) -> FlowPageResult:
    """Return the flows this one has started, oldest first."""
    found = [child for child in await api.store.child_flows(flow.id) if may_see_flow(caller, child)]
    return FlowPageResult(flows=await _described(api, found), next=None)


async def graph(api: Api, caller: Caller, flow: Flow, request: FlowGraphRequest) -> FlowGraph:
    """Return the steps of a flow and what comes after what."""
    return await draw(api, caller, flow, request.format or "json")


async def events(api: Api, caller: Caller, flow: Flow, request: FlowEventsRequest) -> FlowEventPage:
    """Return the history of a flow in order; with ``timeoutMs`` wait for the next line. Ends with the flow."""
    limit, after = request.limit or EVENTS_DEFAULT, request.after or 0

    async def look() -> FlowEventPage | None:
        now = await present(api, flow.id)
        found = await api.store.flow_events(flow.id, after, limit)
        if not found and not now.status.final:
            return None
        full = len(found) == limit
        return FlowEventPage(
            flow_id=flow.id, events=[describe_flow_event(event) for event in found],
            next=found[-1].id if full else None, ended=now.status.final and not full,
        )  # fmt: skip

    answer = await watched(api, look, (request.timeout_ms or 0) / 1000)
    return answer or FlowEventPage(flow_id=flow.id, events=[], next=None, ended=False)


async def wait(api: Api, caller: Caller, request: FlowWaitRequest) -> FlowWaitResult:
    """Wait until all flows, or the first of them, have ended, or one needs somebody; one call, nobody polls.

    Who sees an end by this is not told of it again.
    """
    ids = list(dict.fromkeys([(await find_flow(api, caller, name)).id for name in request.lookups]))
    with api.books.holding(ids, caller.requester):
        answer = await _wait(api, ids, request)
        ended = [flow.flow_id for flow in answer.flows if flow.ended_at is not None]
        if ended:
            await api.store.settle_seen(ended, caller.requester, api.clock.now(), "wait")
    return answer


async def _wait(api: Api, ids: list[str], request: FlowWaitRequest) -> FlowWaitResult:
    seconds = (WAIT_DEFAULT_MS if request.timeout_ms is None else request.timeout_ms) / 1000
    over = any if request.mode == "any" else all
    known: dict[str, Flow] = {}

    async def look() -> FlowWaitResult | None:
        for flow_id in ids:
            if flow_id not in known or not known[flow_id].status.final:
                known[flow_id] = await present(api, flow_id)
        met = over(known[flow_id].status.final for flow_id in ids)
        needy = [] if met or request.attention is False else await _needy(api, [known[flow_id] for flow_id in ids])
        return await _answered(api, known, met, needy, timed_out=False) if met or needy else None

    answer = await watched(api, look, seconds)
    return answer or await _answered(api, known, False, [], timed_out=not api.stopping)


async def _answered(
    api: Api, known: dict[str, Flow], met: bool, needy: list[str], *, timed_out: bool
) -> FlowWaitResult:
    counts, now = await api.store.step_counts(list(known)), api.clock.now()
    shown = [
        await with_result(api, flow, describe_flow(flow, now, counts.get(flow.id), whole=True))
        for flow in known.values()
    ]
    return FlowWaitResult(met=met, timed_out=timed_out, attention=needy, flows=shown)


async def _needy(api: Api, flows: Sequence[Flow]) -> list[str]:
    return [flow.id for flow in flows if await needs_somebody(api, flow)]


async def needs_somebody(api: Api, flow: Flow, depth: int = DEPTH_MAX) -> bool:
    """True when a live flow, or one it waits for, is blocked or has an approval that waits for an answer."""
    if flow.status.final:
        return False
    if flow.status is FlowStatus.BLOCKED or trouble_of(api, flow) is not None or await pending_of(api, flow.id):
        return True
    if depth == 0 or flow.status not in (FlowStatus.WAITING, FlowStatus.RUNNING):
        return False
    for child in await api.store.child_flows(flow.id, CHILDREN_SHOWN):
        if await needs_somebody(api, child, depth - 1):
            return True
    return False


async def watch(api: Api, caller: Caller, flow: Flow, request: FlowWatchRequest) -> FlowWatchResult:
    """Return how a flow stands as soon as that is not what ``mark`` stands for; at once without one.

    ``after`` in the answer is the last step up to which all have ended: later questions may leave those out.
    """
    after = -1 if request.after is None else request.after
    latest: list[FlowWatchResult] = []

    async def look() -> FlowWatchResult | None:
        latest[:] = [await _standing(api, flow.id, after)]
        return latest[0] if latest[0].mark != request.mark else None

    with api.books.holding([flow.id], caller.requester):
        answer = await watched(api, look, (request.timeout_ms or 0) / 1000) or latest[0]
        if answer.flow.ended_at is not None:
            await api.store.settle_seen([flow.id], caller.requester, api.clock.now(), "wait")
    return answer


async def _standing(api: Api, flow_id: str, after: int) -> FlowWatchResult:
    flow = await present(api, flow_id)
    rows = await all_steps(api, flow_id, after)
    counts = await api.store.step_counts([flow_id])
    pending = await pending_of(api, flow_id) if not flow.status.final else []
    open_ = [index for index, row in enumerate(rows) if row.status in (Status.RUNNING, Status.QUEUED)]
    settled = rows[: open_[0]] if open_ else rows
    waits = _waits(api, flow, rows, pending)
    now = api.clock.now()
    return FlowWatchResult(
        mark=_mark(flow, rows, pending, after, waits),
        after=settled[-1].seq if settled else after,
        flow=await with_result(api, flow, describe_flow(flow, now, counts.get(flow_id), whole=True)),
        waits_for=waits,
        approvals=[describe_asked(one) for one in pending],
        steps=[describe_step(row, now) for row in rows],
    )


def _waits(api: Api, flow: Flow, rows: Sequence[StepRow], pending: Sequence[Approval]) -> list[WaitingFor]:
    """Return what a flow waits for; of one that nobody takes, why."""
    trouble = trouble_of(api, flow)
    return waits_for(flow, rows, pending) if trouble is None else [trouble]


def _mark(
    flow: Flow, rows: Sequence[StepRow], pending: Sequence[Approval], after: int, waits: Sequence[WaitingFor]
) -> str:
    """Return what changes whenever something is to be seen: not the revision alone, which steps do not move."""
    last = rows[-1].seq if rows else after
    parts = [flow.id, flow.revision, flow.status.value, flow.steps_done, flow.steps_known, flow.cancel_asked_at, last]
    parts += [(row.seq, row.status.value, row.attempt, row.ref) for row in rows if not row.status.final]
    parts += [one.id for one in pending]
    parts += [one.command for one in waits]
    return blake2b(repr(parts).encode(), digest_size=12).hexdigest()
