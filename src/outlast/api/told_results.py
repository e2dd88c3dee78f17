"""What is answered about schedules, conversations, wakes and notices, as typed records."""

from __future__ import annotations

import shlex
from typing import Any

from msgspec import UNSET, UnsetType

from outlast.api.results import Record, iso
from outlast.core.agent import AgentConversation
from outlast.core.conversation import Conversation, SystemEvent, Wake
from outlast.core.errors import BadInput
from outlast.core.ids import is_flow
from outlast.core.redact import redact, redact_argv
from outlast.core.schedule import AgentPayload, CommandPayload, EventPayload, FlowPayload, Misfire, Schedule, Unreadable
from outlast.scheduler.instants import Preview, words
from outlast.store.base_told import FiringRow, NoticeRow


class FiringResult(Record, frozen=True, kw_only=True):
    """An instant to come: in UTC, in the rule's zone, and what a change of the clocks does to it."""

    at: str | None
    fires_at: str | None
    local: str
    offset: str
    note: str | None


class UnderstoodResult(Record, frozen=True, kw_only=True):
    """What was understood of a rule."""

    words: str
    zone: str
    next: list[FiringResult]
    notes: list[str]


class ScheduleResult(Record, frozen=True, kw_only=True):
    """How a rule stands. ``command`` is shown without its secrets."""

    name: str
    schedule_id: str
    requester: str
    kind: str
    expr: str
    tz: str
    words: str
    payload: str
    command: str | None
    workdir: str | None
    flow: str | None
    arguments: dict[str, str] | None
    event: str | None
    agent: str | None
    message: str | None
    to: str | None
    conversation: str | None
    misfire: str
    overlap: str
    jitter_seconds: float
    retries: int
    timeout_seconds: float | None
    deliver: str
    webhook: str | None
    delete_after_run: bool
    status: str
    why: str | None
    next_at: str | None
    next_fire_at: str | None
    last_at: str | None
    failures: int
    comment: str | None
    created_at: str | None
    updated_at: str | None
    revision: int
    understood: UnderstoodResult | UnsetType = UNSET
    advice: list[str] | UnsetType = UNSET


class SchedulePage(Record, frozen=True, kw_only=True):
    """Some rules by name; ``next`` is the ``after`` of the next page."""

    schedules: list[ScheduleResult]
    next: str | None


class RunResult(Record, frozen=True, kw_only=True):
    """One settled instant: ``how`` is fired, skipped, missed or manual."""

    instant: str | None
    at: str | None
    how: str
    task_id: str | None
    flow_id: str | None
    status: str | None
    note: str | None
    before: float


class RunsPage(Record, frozen=True, kw_only=True):
    """Settled instants, newest first; ``next`` is the ``before`` of the next page."""

    name: str
    runs: list[RunResult]
    next: float | None


class FiredResult(Record, frozen=True, kw_only=True):
    """What a run by hand brought. ``runtime`` is who does the task."""

    name: str
    task_id: str | None
    flow_id: str | None
    how: str
    runtime: str | None


class ImportedLine(Record, frozen=True, kw_only=True):
    """One line of a crontab: the rule it became, or why not."""

    line: int
    name: str | None
    text: str
    tz: str | None = None
    comment: str | None = None
    refused: str | None
    note: str | None


class ImportResult(Record, frozen=True, kw_only=True):
    """What an import did; without ``applied``, what it would do."""

    applied: bool
    added: list[str]
    lines: list[ImportedLine]
    notes: list[str]


class ExportResult(Record, frozen=True, kw_only=True):
    """Rules as a crontab, comments and all."""

    text: str


class ConversationResult(Record, frozen=True, kw_only=True):
    """A conversation as its queue knows it; of one with a transcript which ``agent`` holds it, and when it last did."""

    conversation: str
    waiting: int
    oldest_at: str | None
    newest_at: str | None
    wakes: int
    agent: str | None
    spoken_at: str | None


class ConversationPage(Record, frozen=True, kw_only=True):
    """Some conversations by key; ``next`` is the ``after`` of the next page."""

    conversations: list[ConversationResult]
    next: str | None


class SystemEventResult(Record, frozen=True, kw_only=True):
    """Something a conversation is to hear, or has heard."""

    event_id: int
    conversation: str
    at: str | None
    kind: str
    text: str
    data: dict[str, Any]
    mode: str
    acked_at: str | None


class SystemEventPage(Record, frozen=True, kw_only=True):
    """Events in order; ``next`` is the ``after`` of the next page."""

    conversation: str
    events: list[SystemEventResult]
    next: int | None


class Acked(Record, frozen=True, kw_only=True):
    """How many events were consumed by this, and how many still wait."""

    conversation: str
    acked: int
    waiting: int


class WakeResult(Record, frozen=True, kw_only=True):
    """How a conversation is woken, secrets left out; ``secret`` once, when it was made just now."""

    wake_id: str
    conversation: str
    channel: str
    status: str
    attempts: int
    error: str | None
    due_at: str | None
    sent_at: str | None
    created_at: str | None
    secret: str | UnsetType = UNSET


class WakeList(Record, frozen=True, kw_only=True):
    """Wakes by conversation."""

    wakes: list[WakeResult]


class WakeTested(Record, frozen=True, kw_only=True):
    """What a real wake came to."""

    wake_id: str
    delivered: bool
    error: str | None
    took_ms: int


class NoticeResult(Record, frozen=True, kw_only=True):
    """A notice on its way, delivered, or given up."""

    notice_id: int
    task_id: str | None
    target: str
    kind: str
    state: str
    attempts: int
    error: str | None
    at: str | None
    next_at: str | None
    settled_at: str | None
    title: str
    key: str


class NoticePage(Record, frozen=True, kw_only=True):
    """Some notices, newest first; ``next`` is the ``before`` of the next page."""

    notices: list[NoticeResult]
    next: int | None


class Told(Record, frozen=True, kw_only=True):
    """Whether an event was queued; False when one with its key was there."""

    conversation: str
    queued: bool


def describe_schedule(schedule: Schedule, **more: Any) -> ScheduleResult:  # noqa: ANN401
    """Return how a rule stands."""
    payload = schedule.payload
    misfire = schedule.misfire.value
    return ScheduleResult(
        name=schedule.name,
        schedule_id=schedule.id,
        requester=schedule.requester,
        kind=schedule.kind.value,
        expr=schedule.expr,
        tz=schedule.tz,
        words=_words(schedule),
        payload=_kind_of(payload),
        command=command_shown(payload),
        workdir=payload.workdir if isinstance(payload, CommandPayload | FlowPayload | AgentPayload) else None,
        flow=payload.flow if isinstance(payload, FlowPayload) else None,
        arguments=_arguments(payload),
        event=payload.text if isinstance(payload, EventPayload) else None,
        agent=payload.agent if isinstance(payload, AgentPayload) else None,
        message=redact(payload.message) if isinstance(payload, AgentPayload) else None,
        to=payload.conversation if isinstance(payload, AgentPayload) else None,
        conversation=payload.conversation if isinstance(payload, EventPayload) else schedule.conversation,
        misfire=f"all:{schedule.misfire_max}" if schedule.misfire is Misfire.ALL else misfire,
        overlap=schedule.overlap.value,
        jitter_seconds=schedule.jitter_seconds,
        retries=schedule.retries,
        timeout_seconds=schedule.timeout_seconds,
        deliver=schedule.deliver.value,
        webhook=None if schedule.channel is None else channel_shown(schedule.channel),
        delete_after_run=schedule.delete_after_run,
        status=_status(schedule),
        why=schedule.disabled_why,
        next_at=iso(schedule.next_at),
        next_fire_at=iso(schedule.next_fire_at),
        last_at=iso(schedule.last_at),
        failures=schedule.failures,
        comment=schedule.comment,
        created_at=iso(schedule.created_at),
        updated_at=iso(schedule.updated_at),
        revision=schedule.revision,
        **more,
    )


def _arguments(payload: object) -> dict[str, str] | None:
    """Return the arguments of a flow without the secrets that their names give away."""
    if not isinstance(payload, FlowPayload):
        return None
    return {name: redact(f"{name}={value}")[len(name) + 1 :] for name, value in payload.arguments.items()}


def _words(schedule: Schedule) -> str:
    """Return a rule in words, or why it has none: what is broken has to be seen, and not to hide the others."""
    if isinstance(schedule.payload, Unreadable):
        return schedule.payload.why
    try:
        return words(schedule)
    except BadInput as wrong:
        return wrong.message


def _status(schedule: Schedule) -> str:
    if schedule.disabled_at is not None:
        return "disabled"
    if schedule.paused_at is not None:
        return "paused"
    return "active" if schedule.next_at is not None else "done"


def _kind_of(payload: object) -> str:
    match payload:
        case CommandPayload():
            return "command"
        case EventPayload():
            return "event"
        case FlowPayload():
            return "flow"
        case AgentPayload():
            return "agent"
    return "unknown"


def command_shown(payload: object) -> str | None:
    """Return the command of a payload on one line, without secrets; None where there is none."""
    if not isinstance(payload, CommandPayload):
        return None
    return redact(payload.command) if payload.command is not None else shlex.join(redact_argv(payload.argv or ()))


def channel_shown(channel: str) -> str:
    """Return a channel as it may be shown. One that cannot be read any more shows as its kind."""
    from outlast.delivery.channels.targets import parse_target

    try:
        return parse_target(channel).shown
    except BadInput:
        return channel.partition(":")[0] + ":***"


def understood(preview: Preview) -> UnderstoodResult:
    """Return what was understood of a rule."""
    return UnderstoodResult(
        words=preview.words,
        zone=preview.zone,
        next=[
            FiringResult(at=iso(one.at), fires_at=iso(one.fires_at), local=one.local, offset=one.offset, note=one.note)
            for one in preview.firings
        ],
        notes=list(preview.notes),
    )


def describe_run(row: FiringRow, status: str | None) -> RunResult:
    """Return one settled instant."""
    flow = row.task_id is not None and is_flow(row.task_id)
    return RunResult(
        instant=iso(row.instant), at=iso(row.at), how=row.how, task_id=None if flow else row.task_id,
        flow_id=row.task_id if flow else None, status=status, note=row.note, before=row.instant,
    )  # fmt: skip


def describe_conversation(conversation: Conversation, held: AgentConversation | None = None) -> ConversationResult:
    """Return a conversation, and what is known of the agent that holds it."""
    return ConversationResult(
        conversation=conversation.key, waiting=conversation.waiting, oldest_at=iso(conversation.oldest_at),
        newest_at=iso(conversation.newest_at), wakes=conversation.wakes,
        agent=None if held is None else held.agent, spoken_at=None if held is None else iso(held.updated_at),
    )  # fmt: skip


def describe_event(event: SystemEvent) -> SystemEventResult:
    """Return an event of a conversation."""
    return SystemEventResult(
        event_id=event.id, conversation=event.conversation, at=iso(event.at), kind=event.kind, text=event.text,
        data=event.data, mode=event.mode.value, acked_at=iso(event.acked_at),
    )  # fmt: skip


def describe_wake(wake: Wake, **more: Any) -> WakeResult:  # noqa: ANN401
    """Return a wake, its secrets left out."""
    status = "parked" if wake.parked_at is not None else "failing" if wake.attempts else "ready"
    return WakeResult(
        wake_id=wake.id, conversation=wake.conversation, channel=channel_shown(wake.channel), status=status,
        attempts=wake.attempts, error=wake.error, due_at=iso(wake.due_at), sent_at=iso(wake.sent_at),
        created_at=iso(wake.created_at), **more,
    )  # fmt: skip


def describe_notice(notice: NoticeRow, title: str) -> NoticeResult:
    """Return a notice."""
    from outlast.delivery.channels.targets import is_target

    shown = channel_shown(notice.target) if is_target(notice.target) else notice.target
    return NoticeResult(
        notice_id=notice.id, task_id=notice.task_id or None, target=shown, kind=notice.kind, state=notice.state,
        attempts=notice.attempts, error=notice.error, at=iso(notice.at),
        next_at=iso(notice.next_at) if notice.next_at and notice.state == "pending" else None,
        settled_at=iso(notice.settled_at), title=title, key=notice.idempotency_key,
    )  # fmt: skip
