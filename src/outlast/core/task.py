"""A task as data: one detached piece of work in the ledger. Times are seconds since the epoch (UTC)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from outlast.core.conversation import no_channel
from outlast.core.session import Cause, Status


class Runtime(StrEnum):
    """Who does the work."""

    CLI = "cli"
    CRON = "cron"
    SUBAGENT = "subagent"
    ACP = "acp"
    FLOW = "flow"
    EXTERNAL = "external"


class NotifyPolicy(StrEnum):
    """Of what the requester is told."""

    __hash__ = str.__hash__  # as Status has it

    DONE_ONLY = "done_only"
    STATE_CHANGES = "state_changes"
    FAILURES_ONLY = "failures_only"
    SILENT = "silent"


class Delivery(StrEnum):
    """How telling stands, apart from how the work stands."""

    NOT_NEEDED = "not_needed"
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when work is put on record. ``ask`` is redacted; ``payload`` is what the worker really runs."""

    id: str
    runtime: Runtime
    kind: str
    source: str
    requester: str
    created_at: float
    ask: dict[str, object] = {}
    payload: dict[str, object] | None = None
    conversation: str | None = None
    parent_id: str | None = None
    flow_id: str | None = None
    node: str | None = None
    label: str | None = None
    title: str | None = None
    attempts_max: int = 1
    retry: dict[str, object] | None = None
    notify: NotifyPolicy = NotifyPolicy.DONE_ONLY
    priority: int = 0
    queue: str = "default"
    dedupe_key: str | None = None
    deadline_at: float | None = None
    not_before_at: float | None = None
    session_id: str | None = None
    schedule_id: str | None = None
    channel: str | None = None

    def __post_init__(self) -> None:
        """Raise BadInput where the end would be told to a channel nobody chose."""
        no_channel(self.requester, "requester")
        if self.conversation is not None:
            no_channel(self.conversation, "conversation")


class StartClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim made in the very act of creating a task, so that work that starts at once costs one commit less.

    With ``force`` the work runs already (a command that outlived its call, a report from outside): it is claimed
    whatever its queue allows. Without, it is claimed only where `claim_tasks` would take it next.
    """

    claim_id: str
    worker: str
    lease_until: float | None
    node: str | None = None
    force: bool = False


class Task(msgspec.Struct, frozen=True):
    """A record of the ledger as it stands. Name the fields; only the store, which knows their order, does without."""

    id: str
    runtime: Runtime
    kind: str
    source: str
    requester: str
    status: Status
    created_at: float
    revision: int
    ask: dict[str, object] = {}
    detail: dict[str, object] = {}
    cause: Cause | None = None
    conversation: str | None = None
    parent_id: str | None = None
    flow_id: str | None = None
    node: str | None = None
    label: str | None = None
    title: str | None = None
    attempt: int = 0
    attempts_max: int = 1
    retry: dict[str, object] | None = None
    progress: int | None = None
    progress_message: str | None = None
    summary: str | None = None
    error: str | None = None
    notify: NotifyPolicy = NotifyPolicy.DONE_ONLY
    delivery: Delivery = Delivery.NOT_NEEDED
    priority: int = 0
    queue: str = "default"
    dedupe_key: str | None = None
    deadline_at: float | None = None
    not_before_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    seen_at: float | None = None
    claim_id: str | None = None
    claimed_by: str | None = None
    lease_until: float | None = None
    session_id: str | None = None
    cancel_asked_at: float | None = None
    dismissed_at: float | None = None
    schedule_id: str | None = None
    channel: str | None = None


OUTLIVED = "exec"
"""The source of commands that are on record only because they outlived their call: nobody asked for a record."""


AGENTS = (Runtime.SUBAGENT, Runtime.ACP)
"""The runtimes whose work is a turn of an agent."""


SPAWN = "spawn"
"""The kind of the turn that a conversation was spawned for."""


def takes_slot(task: Task) -> bool:
    """True for work that holds one of the slots of a worker while it runs.

    A turn of an agent holds none: it may wait for tasks of its own, which need slots. Its queue bounds how many run.
    """
    return task.source != OUTLIVED and task.runtime not in AGENTS


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a task's history. ``id`` orders all events of a store and is where a reader resumes."""

    id: int
    task_id: str
    at: float
    verb: str
    status: Status | None = None
    cause: Cause | None = None
    data: dict[str, object] = {}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An outbox row: who is to be told of what. The key makes a second delivery recognisable."""

    target: str
    kind: str
    idempotency_key: str
    body: dict[str, object] = {}


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing is narrowed to; fields that are None do not narrow. ``turns``: to those of agents."""

    statuses: tuple[Status, ...] = ()
    runtime: Runtime | None = None
    turns: bool = False
    kind: str | None = None
    requester: str | None = None
    conversation: str | None = None
    parent_id: str | None = None
    schedule_id: str | None = None
    flow_id: str | None = None
    label: str | None = None
    search: str | None = None
    since: float | None = None
    dismissed: bool | None = None
