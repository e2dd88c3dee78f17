"""A flow as data: several steps that stay coordinated over time. Times are seconds since the epoch (UTC).

A flow is driven in one of four modes. A *program* (Python) and a *file* are run by the engine, which records what
each step came to; *managed* flows are moved by a controller outside; a *mirrored* flow follows the one task it is for.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from outlast.core.conversation import no_channel
from outlast.core.session import Cause, Status
from outlast.core.task import Delivery, NotifyPolicy


class FlowMode(StrEnum):
    """Who drives a flow."""

    PROGRAM = "program"
    FILE = "file"
    MANAGED = "managed"
    MIRRORED = "mirrored"


class FlowStatus(StrEnum):
    """Where a flow stands. *Blocked* is never final: somebody has to see to it."""

    __hash__ = str.__hash__  # as Status has it

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    BLOCKED = "blocked"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """True when it has ended."""
        return self in FLOW_ENDS


FLOW_ENDS = (FlowStatus.SUCCEEDED, FlowStatus.FAILED, FlowStatus.CANCELLED, FlowStatus.LOST)


class StepKind(StrEnum):
    """What a step does."""

    __hash__ = str.__hash__

    FUNCTION = "function"
    RUN = "run"
    AGENT = "agent"
    FLOW = "flow"
    SLEEP = "sleep"
    SIGNAL = "signal"
    APPROVAL = "approval"
    VALUE = "value"
    PATCH = "patch"


COMPENSATE = "compensate:"
"""How the keys of steps begin that undo what a flow has done."""
FILE_HANDLER = "outlast:file"
"""The handler of flow files: every gateway serves it."""


class NewFlow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a flow is put on record.

    ``handler`` says whose program runs it (``module:name`` or ``/path/file.py:name``; None for managed and mirrored
    flows); ``input`` is what it runs with, private, kept until the flow is forgotten. ``ask`` is shown, redacted.
    ``not_before_at`` delays a start. Of flows with the same ``concurrency_key`` at most ``concurrency_max`` are under
    way. A live flow with the same ``dedupe_key`` stands in for a second start.
    """

    id: str
    mode: FlowMode
    name: str
    requester: str
    created_at: float
    handler: str | None = None
    input: dict[str, object] | None = None
    ask: dict[str, object] = {}
    goal: str | None = None
    state: dict[str, object] = {}
    conversation: str | None = None
    channel: str | None = None
    label: str | None = None
    parent_id: str | None = None
    parent_step: str | None = None
    task_id: str | None = None
    schedule_id: str | None = None
    node: str | None = None
    priority: int = 0
    notify: NotifyPolicy = NotifyPolicy.DONE_ONLY
    dedupe_key: str | None = None
    concurrency_key: str | None = None
    concurrency_max: int = 1
    attempts_max: int = 1
    retry: dict[str, object] | None = None
    not_before_at: float | None = None
    deadline_at: float | None = None

    def __post_init__(self) -> None:
        """Raise BadInput where the end would be told to a channel nobody chose."""
        no_channel(self.requester, "requester")
        if self.conversation is not None:
            no_channel(self.conversation, "conversation")


class Flow(msgspec.Struct, frozen=True):
    """A record of a flow as it stands. Name the fields; only the store, which knows their order, does without.

    ``ready_at`` is when a worker may next claim it: its start, the end of a wait, the end of a lease; None while
    nothing but news from outside (a *nudge*) moves it. ``crashes`` counts workers that died in a row before the
    flow got any further than ``crash_seq`` steps.
    """

    id: str
    mode: FlowMode
    name: str
    requester: str
    status: FlowStatus
    created_at: float
    updated_at: float
    revision: int
    handler: str | None = None
    ask: dict[str, object] = {}
    goal: str | None = None
    state: dict[str, object] = {}
    conversation: str | None = None
    channel: str | None = None
    label: str | None = None
    parent_id: str | None = None
    parent_step: str | None = None
    task_id: str | None = None
    schedule_id: str | None = None
    node: str | None = None
    priority: int = 0
    notify: NotifyPolicy = NotifyPolicy.DONE_ONLY
    delivery: Delivery = Delivery.NOT_NEEDED
    dedupe_key: str | None = None
    concurrency_key: str | None = None
    concurrency_max: int = 1
    key_held: bool = False
    attempt: int = 0
    attempts_max: int = 1
    retry: dict[str, object] | None = None
    deadline_at: float | None = None
    ready_at: float | None = None
    nudges: int = 0
    step: str | None = None
    wait: dict[str, object] | None = None
    blocker: dict[str, object] | None = None
    cause: Cause | None = None
    error: str | None = None
    result: str | None = None
    steps_done: int | None = None
    steps_known: int | None = None
    cancel_asked_at: float | None = None
    cancel_reason: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    crashes: int = 0
    crash_seq: int = 0
    claim_id: str | None = None
    claimed_by: str | None = None
    lease_until: float | None = None


class StepRow(msgspec.Struct, frozen=True):
    """What is on record of one step: ``key`` is its name, with ``#2`` and so on for later steps of the same name.

    ``seq`` orders steps as they were begun. ``ref`` names the task, flow or approval that does the work. ``result`` is
    JSON text. ``due_at`` is when a sleep ends, a wait times out, the next attempt is made.
    """

    flow_id: str
    key: str
    seq: int
    kind: StepKind
    status: Status
    attempt: int
    started_at: float
    ended_at: float | None = None
    due_at: float | None = None
    result: str | None = None
    error: str | None = None
    ref: str | None = None


class FlowEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a flow's history. ``id`` orders all such lines of a store."""

    id: int
    flow_id: str
    at: float
    verb: str
    status: FlowStatus | None = None
    step: str | None = None
    data: dict[str, object] = {}


class SignalRow(msgspec.Struct, frozen=True):
    """A signal that was sent to a flow; ``step`` is the one that has consumed it, None while nobody has."""

    id: int
    flow_id: str
    name: str
    at: float
    payload: str
    sent_by: str
    source_key: str | None = None
    step: str | None = None


class FlowWorker(msgspec.Struct, frozen=True):
    """A process that runs programs: which handlers it serves, and until when it is believed to live."""

    id: str
    node: str
    pid: int
    handlers: list[str]
    started_at: float
    lease_until: float


class FlowFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing is narrowed to; fields that are None do not narrow."""

    statuses: tuple[FlowStatus, ...] = ()
    mode: FlowMode | None = None
    name: str | None = None
    requester: str | None = None
    conversation: str | None = None
    parent_id: str | None = None
    label: str | None = None
    since: float | None = None
