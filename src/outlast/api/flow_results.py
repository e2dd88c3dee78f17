"""What is answered about flows, as typed records. Fields that have no meaning yet are null."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from outlast.api.flow_waits import follow_up, held_up
from outlast.api.results import Record, iso
from outlast.core.approval import Approval
from outlast.core.flow import Flow, FlowEvent, FlowStatus, SignalRow, StepKind, StepRow
from outlast.core.session import Status
from outlast.core.task import Task

RESULT_SHOWN = 2_000
"""Characters of JSON up to which the result of a step is shown in a list."""


class FlowProgress(Record, frozen=True, kw_only=True):
    """Steps that are done, and how many are known so far; null where nobody can say."""

    done: int
    known: int | None


class FlowResult(Record, frozen=True, kw_only=True):
    """How a flow stands. Moments are ISO 8601 in UTC; ``state`` and ``result`` are left out of lists.

    ``held_up`` says in words what ``wait`` and ``blocker`` say to programs (moments in them are seconds since 1970).
    """

    flow_id: str
    mode: str
    name: str
    handler: str | None
    requester: str
    conversation: str | None
    goal: str | None
    label: str | None
    parent_id: str | None
    parent_step: str | None
    task_id: str | None
    schedule_id: str | None
    node: str | None
    status: str
    cause: str | None
    error: str | None
    revision: int
    step: str | None
    held_up: str | None
    wait: dict[str, Any] | None
    blocker: dict[str, Any] | None
    progress: FlowProgress
    attempt: int
    attempts_max: int
    crashes: int
    priority: int
    concurrency_key: str | None
    concurrency_max: int | None
    dedupe_key: str | None
    notify: str
    delivery: str
    created_at: str | None
    updated_at: str | None
    started_at: str | None
    ended_at: str | None
    not_before_at: str | None
    deadline_at: str | None
    cancel_asked_at: str | None
    cancel_reason: str | None
    duration_ms: int | None
    worker: str | None
    ask: dict[str, Any]
    follow_up: str | None
    state: dict[str, Any] | UnsetType = UNSET
    result: Any = UNSET
    existing: bool | UnsetType = UNSET
    advice: list[str] | UnsetType = UNSET


class FlowsStatus(Record, frozen=True, kw_only=True):
    """How many flows are live in each status."""

    queued: int
    running: int
    waiting: int
    blocked: int


class FlowPageResult(Record, frozen=True, kw_only=True):
    """Some flows, newest first; ``next`` is the ``cursor`` of the next page."""

    flows: list[FlowResult]
    next: str | None


class StepResult(Record, frozen=True, kw_only=True):
    """One step. A long ``result`` is null here, with its beginning in ``resultCut``; ``due_at`` ends a wait."""

    key: str
    seq: int
    kind: str
    status: str
    attempt: int
    started_at: str | None
    ended_at: str | None
    due_at: str | None
    duration_ms: int | None
    result: Any
    result_cut: str | None
    error: str | None
    task_id: str | None
    child_id: str | None
    approval_id: str | None


class StepPage(Record, frozen=True, kw_only=True):
    """Some steps in the order they were begun; ``next`` is the ``after`` of the next page."""

    flow_id: str
    steps: list[StepResult]
    next: int | None


class SignalResult(Record, frozen=True, kw_only=True):
    """A signal; ``step`` is the one that has consumed it. ``existing``: one with its key was there before."""

    signal_id: int
    flow_id: str
    name: str
    at: str | None
    payload: Any
    sent_by: str
    key: str | None
    step: str | None
    existing: bool | UnsetType = UNSET


class AskedResult(Record, frozen=True, kw_only=True):
    """An approval that waits for an answer, and the commands that give it."""

    approval_id: str
    step: str | None
    prompt: str
    asked_at: str | None
    expires_at: str | None
    approve: str
    reject: str


class LinkedTask(Record, frozen=True, kw_only=True):
    """A task of a flow."""

    task_id: str
    status: str
    label: str | None
    exit_code: int | None


class WaitingFor(Record, frozen=True, kw_only=True):
    """One thing a flow waits for: in words, until when, and the command that answers it, where there is one."""

    step: str | None
    words: str
    until: str | None
    command: str | None


class FlowShown(FlowResult, frozen=True, kw_only=True):
    """Everything about one flow. ``more_steps``: there are more than these; ``signals`` are those nobody consumed."""

    waits_for: list[WaitingFor]
    steps: list[StepResult]
    more_steps: bool
    signals: list[SignalResult]
    approvals: list[AskedResult]
    children: list[FlowResult]
    tasks: list[LinkedTask]


class FlowEventResult(Record, frozen=True, kw_only=True):
    """One line of a flow's history."""

    event_id: int
    flow_id: str
    at: str | None
    verb: str
    status: str | None
    step: str | None
    data: dict[str, Any]


class FlowEventPage(Record, frozen=True, kw_only=True):
    """Some history in order; ``next`` is the ``after`` of the next page. ``ended``: nothing more is to come."""

    flow_id: str
    events: list[FlowEventResult]
    next: int | None
    ended: bool


class FlowWaitResult(Record, frozen=True, kw_only=True):
    """What a wait came to. ``attention``: the flows among them that need somebody."""

    met: bool
    timed_out: bool
    attention: list[str]
    flows: list[FlowResult]


class FlowWatchResult(Record, frozen=True, kw_only=True):
    """How a flow stands at ``mark``. ``steps`` are those after ``after``, where the next question may begin."""

    mark: str
    after: int
    flow: FlowResult
    waits_for: list[WaitingFor]
    approvals: list[AskedResult]
    steps: list[StepResult]


class ProblemResult(Record, frozen=True, kw_only=True):
    """One thing that is wrong in a file, where it stands (counted from 1)."""

    line: int
    column: int
    message: str


class FlowChecked(Record, frozen=True, kw_only=True):
    """What is wrong in a flow file, and what it is: ``ok`` when nothing is. ``notes`` are what it lacks here."""

    ok: bool
    name: str | None
    steps: int
    problems: list[ProblemResult]
    notes: list[str]


class GraphNode(Record, frozen=True, kw_only=True):
    """A step: ``stage`` counts from 1; steps of one stage need nothing of each other."""

    key: str
    kind: str
    status: str
    stage: int
    duration_ms: int | None
    task_id: str | None
    child_id: str | None
    approval_id: str | None


class GraphEdge(Record, frozen=True, kw_only=True):
    """One step comes after another."""

    source: str
    target: str


class FlowGraph(Record, frozen=True, kw_only=True):
    """The steps of a flow and what comes after what; ``text`` is the drawing, where one was asked for."""

    flow_id: str
    name: str
    status: str
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    text: str | None


def describe_flow(
    flow: Flow,
    now: float,
    counts: tuple[int, int] | None = None,
    *,
    whole: bool = False,
    **more: Any,  # noqa: ANN401
) -> FlowResult:
    """Return how a flow stands; ``counts`` are its steps that succeeded and were begun, ``whole`` shows all of it."""
    return FlowResult(**fields_of(flow, now, counts, whole=whole), **more)


def fields_of(flow: Flow, now: float, counts: tuple[int, int] | None, *, whole: bool) -> dict[str, Any]:
    """Return the fields of a `FlowResult`."""
    fields: dict[str, Any] = {
        "flow_id": flow.id,
        "mode": flow.mode.value,
        "name": flow.name,
        "handler": flow.handler,
        "requester": flow.requester,
        "conversation": flow.conversation,
        "goal": flow.goal,
        "label": flow.label,
        "parent_id": flow.parent_id,
        "parent_step": flow.parent_step,
        "task_id": flow.task_id,
        "schedule_id": flow.schedule_id,
        "node": flow.node,
        "status": flow.status.value,
        "cause": None if flow.cause is None else flow.cause.value,
        "error": flow.error,
        "revision": flow.revision,
        "step": flow.step,
        "held_up": None if flow.status.final else held_up(flow),
        "wait": flow.wait,
        "blocker": flow.blocker,
        "progress": progress_of(flow, counts),
        "attempt": flow.attempt,
        "attempts_max": flow.attempts_max,
        "crashes": flow.crashes,
        "priority": flow.priority,
        "concurrency_key": flow.concurrency_key,
        "concurrency_max": None if flow.concurrency_key is None else flow.concurrency_max,
        "dedupe_key": flow.dedupe_key,
        "notify": flow.notify.value,
        "delivery": flow.delivery.value,
        "created_at": iso(flow.created_at),
        "updated_at": iso(flow.updated_at),
        "started_at": iso(flow.started_at),
        "ended_at": iso(flow.ended_at),
        "not_before_at": iso(flow.ready_at) if _held_back(flow, now) else None,
        "deadline_at": iso(flow.deadline_at),
        "cancel_asked_at": iso(flow.cancel_asked_at),
        "cancel_reason": flow.cancel_reason,
        "duration_ms": _duration_ms(flow.started_at, flow.ended_at, now),
        "worker": flow.claimed_by if flow.status is FlowStatus.RUNNING else None,
        "ask": flow.ask,
        "follow_up": follow_up(flow),
    }
    if whole:
        fields |= {"state": flow.state, "result": value_of(flow.result)}
    return fields


def _held_back(flow: Flow, now: float) -> bool:
    return flow.status is FlowStatus.QUEUED and flow.ready_at is not None and flow.ready_at > now


def progress_of(flow: Flow, counts: tuple[int, int] | None) -> FlowProgress:
    """Return how far a flow is: as its program says, else by the steps on record."""
    succeeded, begun = counts or (0, 0)
    done = succeeded if flow.steps_done is None else flow.steps_done
    known = flow.steps_known
    if known is None and flow.status is FlowStatus.SUCCEEDED:
        known = begun
    return FlowProgress(done=done, known=known)


def _duration_ms(start: float | None, end: float | None, now: float) -> int | None:
    return None if start is None else max(0, round(((now if end is None else end) - start) * 1000))


def value_of(text: str | None) -> Any:  # noqa: ANN401 — whatever JSON can hold
    """Return the value of a JSON text that is on record; text that is none comes back as it is."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        try:
            return json.loads(text)
        except ValueError:
            return text


def describe_step(row: StepRow, now: float, *, full: bool = False) -> StepResult:
    """Return one step."""
    long = row.result is not None and len(row.result) > RESULT_SHOWN and not full
    running = row.status in (Status.RUNNING, Status.QUEUED)
    return StepResult(
        key=row.key,
        seq=row.seq,
        kind=row.kind.value,
        status=row.status.value,
        attempt=row.attempt,
        started_at=iso(row.started_at),
        ended_at=iso(row.ended_at),
        due_at=iso(row.due_at) if running else None,
        duration_ms=_duration_ms(row.started_at, row.ended_at, now),
        result=None if long else value_of(row.result),
        result_cut=(row.result or "")[:RESULT_SHOWN] + "…" if long else None,
        error=row.error,
        **refs_of(row),
    )


def refs_of(row: StepRow) -> dict[str, str | None]:
    """Return what a step refers to, each under its name."""
    name = {StepKind.RUN: "task_id", StepKind.AGENT: "task_id", StepKind.FLOW: "child_id"}.get(row.kind, "approval_id")
    refs: dict[str, str | None] = {"task_id": None, "child_id": None, "approval_id": None}
    if row.kind in (StepKind.RUN, StepKind.AGENT, StepKind.FLOW, StepKind.APPROVAL):
        refs[name] = row.ref
    return refs


def describe_signal(row: SignalRow, **more: Any) -> SignalResult:  # noqa: ANN401
    """Return one signal."""
    return SignalResult(
        signal_id=row.id, flow_id=row.flow_id, name=row.name, at=iso(row.at), payload=value_of(row.payload),
        sent_by=row.sent_by, key=row.source_key, step=row.step, **more,
    )  # fmt: skip


def describe_asked(approval: Approval) -> AskedResult:
    """Return an approval that waits, with the commands that answer it."""
    return AskedResult(
        approval_id=approval.id, step=approval.step, prompt=approval.prompt, asked_at=iso(approval.created_at),
        expires_at=iso(approval.expires_at), approve=f"outlast approvals approve {approval.id}",
        reject=f"outlast approvals reject {approval.id}",
    )  # fmt: skip


def describe_linked(task: Task) -> LinkedTask:
    """Return a task of a flow."""
    code = task.detail.get("exitCode")
    return LinkedTask(
        task_id=task.id, status=task.status.value, label=task.label or task.title,
        exit_code=code if isinstance(code, int) else None,
    )  # fmt: skip


def describe_flow_event(event: FlowEvent) -> FlowEventResult:
    """Return one line of history."""
    return FlowEventResult(
        event_id=event.id, flow_id=event.flow_id, at=iso(event.at), verb=event.verb,
        status=None if event.status is None else event.status.value, step=event.step, data=event.data,
    )  # fmt: skip
