"""What can be asked of agents, as typed records: bounds beside each field, as in `outlast.api.requests`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from outlast.api.flow_requests import Environment
from outlast.api.requests import Request
from outlast.core.agent import NAME_MAX

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Agent = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=512 * 1024)]
Seconds = Annotated[float, Meta(ge=1, le=31_536_000)]
Policy = Literal["done_only", "state_changes", "failures_only", "silent"]


class AgentRunRequest(Request, frozen=True, kw_only=True):
    """Give an agent a turn. ``conversation`` is where it goes on (default: its main one, or one for who asks)."""

    agent: Agent
    message: Text
    conversation: Name | None = None
    workdir: Annotated[str, Meta(max_length=4096)] | None = None
    env: Environment | None = None
    caller_env: Environment | None = None
    timeout_seconds: Seconds | None = None
    title: Name | None = None
    label: Name | None = None
    notify: Policy | None = None
    priority: Annotated[int, Meta(ge=-1000, le=1000)] | None = None
    dedupe_key: Name | None = None


class SpawnRequest(Request, frozen=True, kw_only=True):
    """Have an agent do something in a conversation of its own. ``as`` is the conversation that spawns it.

    While one lives that was spawned from there with the same ``dedupeKey``, that one is returned.
    """

    agent: Agent
    task: Text
    as_: Name | None = field(default=None, name="as")
    workdir: Annotated[str, Meta(max_length=4096)] | None = None
    env: Environment | None = None
    caller_env: Environment | None = None
    timeout_seconds: Seconds | None = None
    title: Name | None = None
    label: Name | None = None
    notify: Policy | None = None
    dedupe_key: Name | None = None


class SubagentsRequest(Request, frozen=True, kw_only=True):
    """Spawned agents, newest first; ``as`` narrows to those of one conversation. ``cursor`` is ``next`` of a page.

    With ``all`` every turn of an agent, whoever asked for it and how.
    """

    as_: Name | None = field(default=None, name="as")
    all: bool | None = None
    status: Annotated[str, Meta(max_length=100)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class SteerRequest(Request, frozen=True, kw_only=True):
    """Say something to an agent that runs. With ``interrupt`` it leaves what it is at, else it hears it next."""

    text: Text
    interrupt: bool | None = None


class TranscriptRequest(Request, frozen=True, kw_only=True):
    """Entries of a transcript: those after ``after``, or the newest before ``before`` (neither: the newest of all).

    With ``timeoutMs`` and ``after`` the call waits for the next entry, and where ``task`` names a turn of the
    conversation no longer than to its end.
    """

    after: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None
    task: Name | None = None
