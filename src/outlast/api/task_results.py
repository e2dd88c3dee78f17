"""What is answered about tasks, as typed records. Fields that have no meaning yet are null."""

from __future__ import annotations

import shlex
from typing import Any

from msgspec import UNSET, UnsetType, field

from outlast.api.results import Record, Usage, iso
from outlast.core.approval import HELD_UNTIL
from outlast.core.session import Status
from outlast.core.task import Event, Runtime, Task

_KNOWN = ("exitCode", "exitSignal", "userSeconds", "systemSeconds", "maxRssBytes")


class TaskResult(Record, frozen=True, kw_only=True):
    """How a task stands. Moments are ISO 8601 in UTC; ``progress`` is a percentage."""

    task_id: str
    runtime: str
    kind: str
    source: str
    requester: str
    conversation: str | None
    parent_id: str | None
    flow_id: str | None
    node: str | None
    label: str | None
    title: str | None
    command: str
    workdir: str | None
    status: str
    cause: str | None
    exit_code: int | None
    exit_signal: str | None
    error: str | None
    summary: str | None
    progress: int | None
    progress_message: str | None
    attempt: int
    attempts_max: int
    queue: str
    priority: int
    dedupe_key: str | None
    notify: str
    delivery: str
    created_at: str | None
    started_at: str | None
    ended_at: str | None
    last_seen_at: str | None
    deadline_at: str | None
    not_before_at: str | None
    cancel_asked_at: str | None
    dismissed_at: str | None
    duration_ms: int | None
    session_id: str | None
    revision: int
    usage: Usage | None
    detail: dict[str, Any]
    approval_id: str | None
    waits_for_approval: bool
    existing: bool = False
    advice: list[str] = field(default_factory=list)
    follow_up: str | None = None
    late: bool | UnsetType = UNSET


class TaskPage(Record, frozen=True, kw_only=True):
    """Some tasks, newest first; ``next`` is the ``cursor`` of the next page."""

    tasks: list[TaskResult]
    next: str | None


class EventResult(Record, frozen=True, kw_only=True):
    """One line of a task's history. ``eventId`` orders all of them, and is where a reader goes on from."""

    event_id: int
    task_id: str
    at: str | None
    verb: str
    status: str | None
    cause: str | None
    data: dict[str, Any]


class EventPage(Record, frozen=True, kw_only=True):
    """Some history in order; ``next`` is the ``after`` of the next page."""

    task_id: str
    events: list[EventResult]
    next: int | None


class TaskWaitResult(Record, frozen=True, kw_only=True):
    """What a wait came to."""

    met: bool
    timed_out: bool
    tasks: list[TaskResult]


class FindingResult(Record, frozen=True, kw_only=True):
    """One thing that is wrong, or may be, and the command that mends it."""

    code: str
    severity: str
    age_seconds: float | None
    at: str | None
    task_id: str | None
    flow_id: str | None
    subject: str
    message: str
    fix: str


class AuditResult(Record, frozen=True, kw_only=True):
    """The findings, worst first, and how many there are of each kind. ``more``: some kinds were cut."""

    findings: list[FindingResult]
    counts: dict[str, int]
    codes: dict[str, int]
    more: bool
    checked_at: str | None


class MoveResult(Record, frozen=True, kw_only=True):
    """One thing maintenance does, or would do."""

    task_id: str
    act: str
    why: str


class MaintenanceResult(Record, frozen=True, kw_only=True):
    """What maintenance did; without ``applied``, what it would do. ``prunable`` are those still to be forgotten.

    ``archived`` counts tasks and flows.
    """

    applied: bool
    moves: list[MoveResult]
    lost: list[str]
    cleaned: int
    pruned: int
    prunable: int
    flows_pruned: int
    flows_prunable: int
    archived: int
    archive: str | None
    more: bool


class QueueResult(Record, frozen=True, kw_only=True):
    """A queue: its limit of running tasks (null: none) and what it holds."""

    name: str
    limit: int | None
    queued: int
    running: int


class Queues(Record, frozen=True, kw_only=True):
    """The queues that have a limit or live tasks."""

    queues: list[QueueResult]


class StoreFacts(Record, frozen=True, kw_only=True):
    """Which store it is, without a password; ``bytes`` on disk where that can be known."""

    kind: str
    place: str
    bytes: int | None


class StatsResult(Record, frozen=True, kw_only=True):
    """How many tasks there are of each kind, and the notices that wait."""

    total: int
    by_status: dict[str, int]
    queues: list[QueueResult]
    outbox: dict[str, int]
    store: StoreFacts


class TasksStatus(Record, frozen=True, kw_only=True):
    """The ledger at a glance. ``findings`` by severity."""

    queued: int
    running: int
    findings: dict[str, int]


class BackupResult(Record, frozen=True, kw_only=True):
    """Where the copy is, and its size."""

    path: str
    bytes: int


class StoreCheck(Record, frozen=True, kw_only=True):
    """Whether the store is sound; ``problems`` in plain words."""

    ok: bool
    kind: str
    place: str
    bytes: int | None
    problems: list[str]
    fix: str | None


class Survives(Record, frozen=True, kw_only=True):
    """What the work survives."""

    terminal: bool
    gateway_restart: bool
    reboot: bool


class Explained(Record, frozen=True, kw_only=True):
    """On which rung of the ladder work stands, in five lines, and the command that moves it up a rung."""

    id: str
    kind: str
    rung: int
    layer: str
    lines: list[str]
    survives: Survives
    told: str
    next: str | None


def describe(task: Task, now: float, **more: Any) -> TaskResult:  # noqa: ANN401
    """Return how a task stands."""
    detail = task.detail
    held = is_held(task)
    approval_id = _text(task.ask.get("approvalId"))
    if held:
        asked = f"it waits for an approval: outlast approvals approve {approval_id} (or reject {approval_id})"
        more["advice"] = [*more.get("advice", ()), asked]
    return TaskResult(
        task_id=task.id,
        runtime=task.runtime.value,
        kind=task.kind,
        source=task.source,
        requester=task.requester,
        conversation=task.conversation,
        parent_id=task.parent_id,
        flow_id=task.flow_id,
        node=task.node,
        label=task.label,
        title=task.title,
        command=command_of(task),
        workdir=_text(task.ask.get("workdir")),
        status=task.status.value,
        cause=None if task.cause is None else task.cause.value,
        exit_code=detail.get("exitCode"),  # type: ignore[arg-type]
        exit_signal=_text(detail.get("exitSignal")),
        error=task.error,
        summary=task.summary,
        progress=task.progress,
        progress_message=task.progress_message,
        attempt=task.attempt,
        attempts_max=task.attempts_max,
        queue=task.queue,
        priority=task.priority,
        dedupe_key=task.dedupe_key,
        notify=task.notify.value,
        delivery=task.delivery.value,
        created_at=iso(task.created_at),
        started_at=iso(task.started_at),
        ended_at=iso(task.ended_at),
        last_seen_at=iso(task.seen_at),
        deadline_at=iso(task.deadline_at),
        not_before_at=None if held else iso(task.not_before_at),
        cancel_asked_at=iso(task.cancel_asked_at),
        dismissed_at=iso(task.dismissed_at),
        duration_ms=_duration_ms(task, now),
        session_id=task.session_id,
        revision=task.revision,
        usage=_usage(detail),
        detail={name: value for name, value in detail.items() if name not in _KNOWN},
        approval_id=approval_id,
        waits_for_approval=held,
        follow_up=None if task.status.final else f"outlast tasks wait {task.id}",
        **more,
    )


def is_held(task: Task) -> bool:
    """True for work that waits for an approval."""
    return task.not_before_at == HELD_UNTIL and not task.status.final


def command_of(task: Task) -> str:
    """Return what was asked on one line, as it is on record: without secrets."""
    command = task.ask.get("command")
    if isinstance(command, str):
        return command
    argv = task.ask.get("argv")
    return shlex.join(map(str, argv)) if isinstance(argv, list) else ""


def describe_event(event: Event) -> EventResult:
    """Return one line of history."""
    return EventResult(
        event_id=event.id,
        task_id=event.task_id,
        at=iso(event.at),
        verb=event.verb,
        status=None if event.status is None else event.status.value,
        cause=None if event.cause is None else event.cause.value,
        data=event.data,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _duration_ms(task: Task, now: float) -> int | None:
    if task.started_at is None or (task.status is Status.LOST and task.ended_at is None):
        return None
    until = now if task.ended_at is None else task.ended_at
    return max(0, round((until - task.started_at) * 1000))


def _usage(detail: dict[str, Any]) -> Usage | None:
    if detail.get("userSeconds") is None:
        return None
    return Usage(
        user_seconds=round(detail["userSeconds"], 6),
        system_seconds=round(detail.get("systemSeconds") or 0.0, 6),
        max_rss_bytes=detail.get("maxRssBytes") or 0,
    )


def is_external(task: Task) -> bool:
    """True for work that runs elsewhere: its session id is a name there, not a session of ours."""
    return task.runtime is Runtime.EXTERNAL
