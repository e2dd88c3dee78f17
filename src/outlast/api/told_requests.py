"""What can be asked about schedules, conversations, wakes and notices, as typed records."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from outlast.api.flow_requests import FlowFile
from outlast.api.requests import Lifetime, Request

Name = Annotated[str, Meta(min_length=1, max_length=200)]
ScheduleName = Annotated[str, Meta(min_length=1, max_length=64)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Text = Annotated[str, Meta(min_length=1, max_length=1_000_000)]
Address = Annotated[str, Meta(min_length=1, max_length=4096)]
Expression = Annotated[str, Meta(min_length=1, max_length=1000)]
Zone = Annotated[str, Meta(min_length=1, max_length=100)]


class ScheduleFields(Request, frozen=True, kw_only=True):
    """What a rule says. One of ``cron``, ``every``, ``at``, ``in``; one of ``command``, ``argv``, ``event``, ``flow``,
    ``flowFile``, ``agent`` (with ``message``). ``arguments`` are those of a flow, as texts.
    """

    cron: Expression | None = None
    every: Expression | None = None
    at: Expression | None = None
    in_: Expression | None = None
    tz: Zone | None = None
    command: Text | None = None
    argv: Annotated[list[str], Meta(min_length=1, max_length=10_000)] | None = None
    workdir: Annotated[str, Meta(max_length=4096)] | None = None
    env: dict[str, str] | None = None
    event: Text | None = None
    to: Name | None = None
    flow: Address | None = None
    flow_file: FlowFile | None = None
    arguments: dict[str, str] | None = None
    agent: Name | None = None
    message: Text | None = None
    misfire: Annotated[str, Meta(max_length=20)] | None = None
    overlap: Literal["skip", "queue", "cancel", "allow"] | None = None
    jitter_seconds: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    retries: Annotated[int, Meta(ge=0, le=100)] | None = None
    timeout_seconds: Lifetime | None = None
    deliver: Literal["none", "announce", "webhook"] | None = None
    webhook: Address | None = None
    conversation: Name | None = None
    comment: Annotated[str, Meta(max_length=4000)] | None = None
    delete_after_run: bool | None = None


class CronAddRequest(ScheduleFields, frozen=True, kw_only=True, rename={"in_": "in"}):
    """Add a rule of work to come."""

    name: ScheduleName


class CronEditRequest(ScheduleFields, frozen=True, kw_only=True, rename={"in_": "in"}):
    """Change a rule; what is not given stays. ``revision`` is that at which it was read: a later one is a conflict."""

    revision: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    rename: ScheduleName | None = None


class CronListRequest(Request, frozen=True, kw_only=True):
    """Rules by name, after the one named ``after``."""

    limit: Limit | None = None
    after: Annotated[str, Meta(max_length=64)] | None = None
    owner: Name | None = None


class CronNextRequest(Request, frozen=True, kw_only=True):
    """The next firings of a rule."""

    count: Annotated[int, Meta(ge=1, le=1000)] | None = None


class CronRunsRequest(Request, frozen=True, kw_only=True):
    """Settled instants of a rule, newest first, before the instant ``before`` (seconds since 1970)."""

    limit: Limit | None = None
    before: float | None = None


class CronImportRequest(Request, frozen=True, kw_only=True):
    """The text of a crontab; without ``apply`` only say what would be added."""

    text: Annotated[str, Meta(max_length=1_000_000)]
    apply: bool | None = None
    prefix: Annotated[str, Meta(max_length=32)] | None = None


class ConversationsRequest(Request, frozen=True, kw_only=True):
    """Conversations by key: those that have events, or with ``transcripts`` those in which agents speak."""

    transcripts: bool | None = None
    limit: Limit | None = None
    after: Annotated[str, Meta(max_length=200)] | None = None


class ConversationEventsRequest(Request, frozen=True, kw_only=True):
    """Events of a conversation that wait (or ``all`` that are kept), after the one with the id ``after``."""

    after: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    limit: Limit | None = None
    all: bool | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None


class AckRequest(Request, frozen=True, kw_only=True):
    """Note that a conversation has consumed its events up to an id; without one, all that wait now."""

    upto: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class WakeAddRequest(Request, frozen=True, kw_only=True):
    """How a conversation is to be woken: exactly one of the channels."""

    conversation: Name
    command: Annotated[str, Meta(min_length=1, max_length=32_768)] | None = None
    argv: Annotated[list[str], Meta(min_length=1, max_length=1000)] | None = None
    webhook: Address | None = None
    secret: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    desktop: bool | None = None
    smtp: Annotated[str, Meta(min_length=3, max_length=320)] | None = None
    apprise: Address | None = None


class WakesRequest(Request, frozen=True, kw_only=True):
    """The wakes of one conversation, or all."""

    conversation: Name | None = None


class NoticesRequest(Request, frozen=True, kw_only=True):
    """Notices, newest first, before the one with the id ``before``."""

    state: Literal["pending", "delivered", "parked", "dismissed"] | None = None
    target: Name | None = None
    limit: Limit | None = None
    before: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class SystemEventRequest(Request, frozen=True, kw_only=True):
    """Tell a conversation something, now or with its next turn. The same ``key`` is heard once."""

    text: Text
    to: Name
    mode: Literal["now", "next-heartbeat"] | None = None
    key: Name | None = None
