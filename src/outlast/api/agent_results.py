"""What is answered about agents, in the words of the wire."""

from __future__ import annotations

from typing import Any

from outlast.api.results import Record, iso
from outlast.api.task_results import TaskResult
from outlast.core.agent import AgentConversation, AgentSpec, Entry
from outlast.core.redact import redact_argv


class AgentResult(Record, frozen=True, kw_only=True):
    """A configured agent. ``command`` is its template, secrets masked, ``model`` the model it asks.

    ``conversation`` is where it goes on with who asks; ``running`` and ``queued`` are its turns, wherever they are. Who
    is no operator sees neither command nor directory, and counts his own turns.
    """

    agent: str
    backend: str
    command: list[str]
    model: str | None
    workdir: str | None
    permissions: str
    timeout_seconds: float | None
    heartbeat_seconds: float | None
    conversation: str
    running: int
    queued: int


class AgentList(Record, frozen=True, kw_only=True):
    """The agents of the configuration. ``trouble`` is why its file, as it is now, is not read: they are as before."""

    agents: list[AgentResult]
    trouble: str | None


class AgentShown(Record, frozen=True, kw_only=True):
    """One agent. ``settings`` holds each key of its backend, the defaults too; ``file`` is where its table stands."""

    agent: AgentResult
    settings: dict[str, Any]
    file: str
    trouble: str | None


class EntryResult(Record, frozen=True, kw_only=True):
    """One entry of a transcript. ``kind`` is prompt, event, text, thought, tool, plan, permission, steer, note, end."""

    seq: int
    at: str | None
    kind: str
    text: str
    data: dict[str, Any]
    task_id: str | None


class TurnWait(Record, frozen=True, kw_only=True):
    """What a turn waits for, and the command that shows it or answers it."""

    words: str
    command: str


class TranscriptPage(Record, frozen=True, kw_only=True):
    """Some entries in order. ``after`` is where the next page begins, ``before`` where the one before ends.

    ``ended`` says that the turn that was named has ended and all it said was read: nothing more comes of it.
    """

    conversation: str
    agent: str | None
    entries: list[EntryResult]
    after: int | None
    before: int | None
    ended: bool


class SubagentShown(Record, frozen=True, kw_only=True):
    """A turn of an agent with its answer in full, and what it used as far as the agent says.

    ``waitsFor`` is what it waits for, if for anything.
    """

    task: TaskResult
    agent: str | None
    parent: str | None
    depth: int
    text: str | None
    stop: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    duration_ms: int | None
    waits_for: TurnWait | None


class Steered(Record, frozen=True, kw_only=True):
    """That an agent is told something; ``steerId`` is its name in the transcript, which says what became of it.

    ``heard`` is when it is meant to hear it: ``now``, at the price of what it is at, or ``next``.
    """

    task_id: str
    steer_id: str
    heard: str


def describe_agent(spec: AgentSpec, conversation: str, live: tuple[int, int], *, whole: bool) -> AgentResult:
    """Return a configured agent, with how many turns run and wait; but for the ``whole``, without where and how."""
    beat = spec.heartbeat
    return AgentResult(
        agent=spec.name,
        backend=spec.backend,
        command=redact_argv(spec.command) if whole else [],
        model=spec.model or None,
        workdir=(spec.workdir or None) if whole else None,
        permissions=spec.permissions,
        timeout_seconds=spec.timeout_seconds,
        heartbeat_seconds=None if beat is None or beat.every_seconds == 0 else beat.every_seconds,
        conversation=conversation,
        running=live[0],
        queued=live[1],
    )


def describe_entry(entry: Entry) -> EntryResult:
    """Return one entry of a transcript."""
    return EntryResult(
        seq=entry.seq, at=iso(entry.at), kind=entry.kind.value, text=entry.text, data=entry.data, task_id=entry.task_id
    )


def describe_turn(
    task: TaskResult, held: AgentConversation | None, text: str | None, wait: TurnWait | None
) -> SubagentShown:
    """Return a turn with what is known of it."""
    usage = task.detail.get("usage")
    used: dict[str, Any] = usage if isinstance(usage, dict) else {}
    return SubagentShown(
        task=task,
        agent=None if held is None else held.agent,
        parent=None if held is None else held.parent,
        depth=0 if held is None else held.depth,
        text=text,
        stop=_text(task.detail.get("stop")),
        input_tokens=_number(used.get("inputTokens")),
        output_tokens=_number(used.get("outputTokens")),
        cost_usd=used.get("costUsd") if isinstance(used.get("costUsd"), float | int) else None,
        duration_ms=_number(task.detail.get("durationMs")),
        waits_for=wait,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
