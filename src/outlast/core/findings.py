"""What an audit can find: the codes, how bad each is, after how long, and the command that mends it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

Severity = Literal["error", "warn", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warn", "info")


class Code(StrEnum):
    """The kinds of findings."""

    STALE_QUEUED = "stale_queued"
    STALE_RUNNING = "stale_running"
    LOST = "lost"
    DELIVERY_FAILED = "delivery_failed"
    MISSING_CLEANUP = "missing_cleanup"
    INCONSISTENT_TIMESTAMPS = "inconsistent_timestamps"
    STALE_WAITING = "stale_waiting"
    STALE_BLOCKED = "stale_blocked"
    CANCEL_STUCK = "cancel_stuck"
    MISSING_LINKED_TASKS = "missing_linked_tasks"
    NO_WORKER = "no_worker"
    AUTO_DISABLED = "auto_disabled"
    MISFIRED = "misfired"
    WAKE_PARKED = "wake_parked"
    LOGIN_WANTED = "login_wanted"
    SILENT_AGENT = "silent_agent"
    PARKED_PERMISSION = "parked_permission"
    FAILING_HEARTBEAT = "failing_heartbeat"
    STORE_DAMAGED = "store_damaged"
    LOW_DISK = "low_disk"


class Kind(NamedTuple):
    """One kind: how bad, after how many seconds it counts (0: at once), and the mend.

    ``{id}`` in it is the task, the flow or what the finding is about, ``{about}`` the latter in any case.
    """

    severity: Severity
    after_seconds: float
    fix: str


KINDS: dict[Code, Kind] = {
    Code.STORE_DAMAGED: Kind("error", 0.0, "outlast doctor"),
    Code.LOST: Kind("error", 0.0, "outlast tasks show {id}; then: outlast tasks retry {id}, or dismiss {id}"),
    Code.STALE_RUNNING: Kind("error", 1800.0, "outlast tasks log {id}; then: outlast tasks cancel {id}"),
    Code.DELIVERY_FAILED: Kind("error", 0.0, "outlast tasks show {id}; then: outlast tasks dismiss {id}"),
    Code.MISSING_LINKED_TASKS: Kind("error", 0.0, "outlast flow retry {id} --from {about}"),
    Code.NO_WORKER: Kind("error", 60.0, "{about}; or: outlast flow cancel {id}"),
    Code.CANCEL_STUCK: Kind("error", 600.0, "outlast flow show {id}; then: outlast flow cancel {id} --force"),
    Code.STALE_BLOCKED: Kind("error", 3600.0, "outlast flow show {id}; then: outlast flow resume {id}{about}"),
    Code.AUTO_DISABLED: Kind("error", 0.0, "outlast cron runs {id}; then: outlast cron resume {id}"),
    Code.LOGIN_WANTED: Kind("error", 0.0, "{about}; or: outlast tasks dismiss {id}"),
    Code.WAKE_PARKED: Kind("error", 0.0, "outlast wake test {id}; one that works is used again"),
    Code.LOW_DISK: Kind("warn", 0.0, "free some space; outlast tasks maintenance --apply forgets old records"),
    Code.STALE_WAITING: Kind("warn", 86_400.0, "outlast flow show {id} names what it waits for; or: flow cancel {id}"),
    Code.SILENT_AGENT: Kind(
        "warn", 900.0, 'outlast subagents log {id}; then: outlast subagents steer {id} "…", or cancel {id}'
    ),
    Code.PARKED_PERMISSION: Kind(
        "warn", 3600.0, "outlast approvals show {about}; then: outlast approvals approve {about}, or reject {about}"
    ),
    Code.FAILING_HEARTBEAT: Kind("warn", 0.0, "outlast heartbeat history {about}; then: outlast agents check {about}"),
    Code.STALE_QUEUED: Kind("warn", 600.0, "outlast tasks queues; then: outlast tasks cancel {id}"),
    Code.INCONSISTENT_TIMESTAMPS: Kind("warn", 0.0, "outlast tasks dismiss {id}"),
    Code.MISSING_CLEANUP: Kind("warn", 0.0, "outlast tasks maintenance --apply"),
    Code.MISFIRED: Kind("info", 0.0, "outlast cron runs {id}"),
}
"""Worst first."""
PASSED = "outlast cron run {id} does it now, its time has passed; then: outlast cron remove {id}"
"""The mend of a rule that was switched off at its only moment."""


class Finding(NamedTuple):
    """One thing that is wrong, or may be. ``since`` in seconds since the epoch, None when there is no such moment.

    ``flow_id`` is the flow it is about; ``about`` names what else the mend is to be done to or with. ``mend`` takes the
    place of the mend of its kind.
    """

    code: Code
    subject: str
    message: str
    task_id: str | None = None
    since: float | None = None
    about: str | None = None
    flow_id: str | None = None
    mend: str | None = None

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.code].severity

    @property
    def fix(self) -> str:
        """The command that mends it."""
        fix = (self.mend or KINDS[self.code].fix).replace("{id}", self.task_id or self.flow_id or self.about or "")
        return fix.replace("{about}", self.about or "")
