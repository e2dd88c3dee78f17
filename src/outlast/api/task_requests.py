"""What can be asked of the ledger, as typed records: bounds beside each field, as in `outlast.api.requests`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import fields

from outlast.api.requests import DAY_MS, YEAR_SECONDS, Grace, Offset, Request
from outlast.core.errors import BadInput
from outlast.core.text import is_sound, is_sound_value

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Words = Annotated[str, Meta(max_length=10_000)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Policy = Literal["done_only", "state_changes", "failures_only", "silent"]
RuntimeWord = Literal["cli", "cron", "subagent", "acp", "flow", "external"]
Severity = Literal["info", "warn", "error"]
Moment = Annotated[str, Meta(max_length=40, description="a moment, ISO 8601 or seconds since 1970")]
Span = Annotated[float, Meta(gt=0, le=YEAR_SECONDS)]


class TasksRequest(Request, frozen=True, kw_only=True):
    """Tasks, newest first. ``status`` may be several words with commas between; ``cursor`` is ``next`` of a page."""

    status: Annotated[str, Meta(max_length=100)] | None = None
    runtime: RuntimeWord | None = None
    owner: Name | None = None
    conversation: Name | None = None
    label: Name | None = None
    flow: Name | None = None
    parent: Name | None = None
    search: Annotated[str, Meta(max_length=1000)] | None = None
    since: Moment | None = None
    dismissed: bool | None = None
    limit: Limit | None = None
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class EventsRequest(Request, frozen=True, kw_only=True):
    """The history of a task, after the event with the id ``after``."""

    after: Offset | None = None
    limit: Limit | None = None


class EventStreamRequest(Request, frozen=True, kw_only=True):
    """Everything as it happens; ``tasks`` leaves the sessions out, ``after`` resumes behind an event of the ledger."""

    tasks: bool | None = None
    after: Offset | None = None


class TaskWaitRequest(Request, frozen=True, kw_only=True):
    """Wait until all the tasks (or, with ``mode: any``, one) have ended."""

    lookups: Annotated[list[Name], Meta(min_length=1, max_length=1000)]
    timeout_ms: Annotated[int, Meta(ge=0, le=DAY_MS)] | None = None
    mode: Literal["all", "any"] | None = None


class CancelRequest(Request, frozen=True, kw_only=True):
    """Call work off; its command gets ``graceSeconds`` between SIGTERM and SIGKILL."""

    reason: Words | None = None
    grace_seconds: Grace | None = None


class RetryRequest(Request, frozen=True, kw_only=True):
    """Do ended work again, as a new task, in the environment of whoever asks."""

    caller_env: dict[str, str] | None = None


class NotifyRequest(Request, frozen=True, kw_only=True):
    """Of what the requester is to be told."""

    policy: Policy


class ReportStartRequest(Request, frozen=True, kw_only=True):
    """Work that runs elsewhere reports in. ``runId`` is its own name there, by which it can be looked up here.

    With ``mirror`` it gets a flow of its own that follows it.
    """

    label: Name | None = None
    title: Name | None = None
    command: Words | None = None
    kind: Name | None = None
    run_id: Name | None = None
    dedupe_key: Name | None = None
    notify: Policy | None = None
    conversation: Name | None = None
    parent_id: Name | None = None
    deadline_seconds: Span | None = None
    mirror: bool | None = None


class ReportRequest(Request, frozen=True, kw_only=True):
    """How far reported work is, or (``done``) how it ended: ``status``, or what an exit code says."""

    progress: Percent | None = None
    message: Words | None = None
    done: bool | None = None
    status: Literal["succeeded", "failed", "timed_out", "cancelled"] | None = None
    exit_code: Annotated[int, Meta(ge=0, le=255)] | None = None
    error: Words | None = None
    summary: Words | None = None


class AuditRequest(Request, frozen=True, kw_only=True):
    """What is wrong, or may be: findings of one ``severity`` or ``code``, or all."""

    severity: Severity | None = None
    code: Annotated[str, Meta(max_length=40)] | None = None
    limit: Limit | None = None


class MaintenanceRequest(Request, frozen=True, kw_only=True):
    """Mend what can be mended and forget what is old; without ``apply`` only say what would be done.

    ``archive`` is an absolute path: what is forgotten is appended to that file first, a JSON object a line.
    """

    apply: bool | None = None
    archive: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class QueueRequest(Request, frozen=True, kw_only=True):
    """How many tasks of a queue may run at once: 0 pauses it, null lifts the limit."""

    name: Name
    limit: Annotated[int, Meta(ge=0, le=100_000)] | None = None


class BackupRequest(Request, frozen=True, kw_only=True):
    """Copy the live store to a file that does not exist yet; ``path`` is absolute."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]


def check_text(name: str | None, request: Request, *only: str) -> None:
    """Raise BadInput (``not_text``) for a name or a field (of ``only`` some) that no record can hold or have."""
    if name is not None and not is_sound(name):
        raise _not_text("the name")
    for field in fields(request):
        value = getattr(request, field.name) if not only or field.name in only else None
        if isinstance(value, str | list) and not is_sound_value(value):
            raise _not_text(f"{field.encode_name}:")


def _not_text(what: str) -> BadInput:
    return BadInput(f"{what} must be text in valid UTF-8 without NUL", code="not_text")
