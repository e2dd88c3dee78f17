"""What can be asked about flows, as typed records: bounds beside each field, as in `outlast.api.requests`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from outlast.api.requests import DAY_MS, YEAR_SECONDS, Offset, Request

FILE_MAX = 1024 * 1024
"""Bytes of a flow file."""
VALUE_MAX = 1024 * 1024
"""Characters of a signal's payload, a state or a result that a controller sets, as JSON."""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Words = Annotated[str, Meta(max_length=10_000)]
Key = Annotated[str, Meta(min_length=1, max_length=300, description="the key of a step: its name, or name#2 …")]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Moment = Annotated[str, Meta(max_length=40, description="a moment, ISO 8601 or seconds since 1970")]
Seconds = Annotated[float, Meta(gt=0, le=YEAR_SECONDS)]
Pause = Annotated[float, Meta(ge=0, le=86_400)]
Revision = Annotated[int, Meta(ge=1, le=2**53)]
Policy = Literal["done_only", "state_changes", "failures_only", "silent"]
ModeWord = Literal["program", "file", "managed", "mirrored"]
Environment = dict[str, str]
Path = Annotated[str, Meta(min_length=1, max_length=4096)]


class FlowFile(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The text of a flow file, and what it is called where it came from."""

    text: Annotated[str, Meta(max_length=FILE_MAX)]
    name: Annotated[str, Meta(min_length=1, max_length=4096)] = "flow file"


class FlowsRequest(Request, frozen=True, kw_only=True):
    """Flows, newest first. ``status`` may be several words with commas between; ``cursor`` is ``next`` of a page."""

    status: Annotated[str, Meta(max_length=100)] | None = None
    mode: ModeWord | None = None
    name: Name | None = None
    owner: Name | None = None
    conversation: Name | None = None
    parent: Name | None = None
    label: Name | None = None
    since: Moment | None = None
    limit: Limit | None = None
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class FlowShowRequest(Request, frozen=True, kw_only=True):
    """Everything about one flow; of very many steps the first ``limit``."""

    limit: Limit | None = None


class FlowStepsRequest(Request, frozen=True, kw_only=True):
    """The steps of a flow in the order they were begun, after that ``seq``; ``full`` shows long results whole."""

    after: Annotated[int, Meta(ge=-1, le=2**53)] | None = None
    limit: Limit | None = None
    full: bool | None = None


class FlowGraphRequest(Request, frozen=True, kw_only=True):
    """The steps of a flow and what comes after what: as data, and drawn as ``text`` or ``mermaid``."""

    format: Literal["text", "mermaid", "json"] | None = None


class FlowEventsRequest(Request, frozen=True, kw_only=True):
    """The history of a flow, after the line with the id ``after``; waits up to ``timeoutMs`` for a line to come."""

    after: Offset | None = None
    limit: Limit | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None


class FlowWaitRequest(Request, frozen=True, kw_only=True):
    """Wait until all the flows (or, with ``mode: any``, one) have ended.

    Unless ``attention`` is false the wait is over, too, when one needs somebody: it is blocked, or an approval waits.
    """

    lookups: Annotated[list[Name], Meta(min_length=1, max_length=1000)]
    timeout_ms: Annotated[int, Meta(ge=0, le=DAY_MS)] | None = None
    mode: Literal["all", "any"] | None = None
    attention: bool | None = None


class FlowWatchRequest(Request, frozen=True, kw_only=True):
    """How a flow stands, with the steps after ``after``; waits up to ``timeoutMs`` until that is not ``mark``."""

    mark: Annotated[str, Meta(max_length=100)] | None = None
    after: Annotated[int, Meta(ge=-1, le=2**53)] | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None


class FlowCheckRequest(Request, frozen=True, kw_only=True):
    """Look for everything that is wrong in a flow file; nothing is run."""

    file: FlowFile


class FlowStartRequest(Request, frozen=True, kw_only=True):
    """Start a flow: a ``file``, a program (``handler``: /abs/file.py:name or package.module:name), or by ``name``.

    ``text`` says that the arguments came as words of a command line and are to be converted as the flow wants them.
    """

    file: FlowFile | None = None
    handler: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    name: Name | None = None
    args: Annotated[list[Any], Meta(max_length=1000)] | None = None
    kwargs: dict[str, Any] | None = None
    text: bool | None = None
    env: Environment | None = None
    caller_env: Environment | None = None
    workdir: Annotated[str, Meta(max_length=4096)] | None = None
    goal: Words | None = None
    label: Name | None = None
    conversation: Name | None = None
    notify: Policy | None = None
    priority: Annotated[int, Meta(ge=-1000, le=1000)] | None = None
    concurrency_key: Name | None = None
    concurrency_max: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    dedupe_key: Name | None = None
    deadline_seconds: Seconds | None = None
    delay_seconds: Seconds | None = None
    retries: Annotated[int, Meta(ge=0, le=999)] | None = None
    retry_delay_seconds: Pause | None = None
    retry_delay_max_seconds: Pause | None = None
    parent_id: Name | None = None


class FlowSignalRequest(Request, frozen=True, kw_only=True):
    """Send a signal to a flow, with any JSON as its payload. The same ``key`` a second time changes nothing."""

    name: Name
    payload: Any = None
    key: Name | None = None


class FlowCancelRequest(Request, frozen=True, kw_only=True):
    """Call a flow off: its children end, its compensations run, then it ends. Waits ``timeoutMs`` for that end.

    ``force`` (an operator's) ends the record at once, whatever its worker still does; compensations do not run.
    """

    reason: Words | None = None
    force: bool | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None


class FlowRetryRequest(Request, frozen=True, kw_only=True):
    """Take up a flow again that failed, is blocked or lost; with ``fromStep`` that step and all later ones anew."""

    from_step: Key | None = None


class FlowResumeRequest(Request, frozen=True, kw_only=True):
    """Let a blocked flow go on; a managed one needs the ``revision`` it is at, and may get ``state`` and ``step``."""

    revision: Revision | None = None
    state: dict[str, Any] | None = None
    step: Name | None = None


class FlowForkRequest(Request, frozen=True, kw_only=True):
    """Make a new flow of an old one: the steps that succeeded before ``fromStep`` are taken over, the rest is run."""

    from_step: Key


class FlowCreateRequest(Request, frozen=True, kw_only=True):
    """Put a managed flow on record, running: a controller outside moves it from there."""

    name: Name
    goal: Words | None = None
    state: dict[str, Any] | None = None
    step: Name | None = None
    label: Name | None = None
    conversation: Name | None = None
    notify: Policy | None = None
    dedupe_key: Name | None = None
    parent_id: Name | None = None


class FlowLinkRequest(Request, frozen=True, kw_only=True):
    """Make a task a child of a managed flow."""

    revision: Revision
    task_id: Name


class FlowSetWaitingRequest(Request, frozen=True, kw_only=True):
    """Note that a managed flow waits, for what and until when; with ``blocked`` that it cannot go on, and why."""

    revision: Revision
    wait_for: Words | None = None
    until: Moment | None = None
    blocked: Words | None = None
    state: dict[str, Any] | None = None
    step: Name | None = None


class FlowFinishRequest(Request, frozen=True, kw_only=True):
    """End a managed flow well, with any JSON as its result."""

    revision: Revision
    result: Any = None
    state: dict[str, Any] | None = None


class FlowFailRequest(Request, frozen=True, kw_only=True):
    """End a managed flow badly, and say why."""

    revision: Revision
    error: Annotated[str, Meta(min_length=1, max_length=10_000)]
    state: dict[str, Any] | None = None


class FlowCancelWishRequest(Request, frozen=True, kw_only=True):
    """Ask for the end of a managed flow: it takes no new child, and ends cancelled with its last one."""

    revision: Revision
    reason: Words | None = None
