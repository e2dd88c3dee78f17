"""Agents as data: how a configured agent is started, what a turn is, and what a runner says of it."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Literal

import msgspec

from outlast.core.conversation import KEY_MAX

Backend = Literal["acp", "command", "model"]
OutputFormat = Literal["text", "json", "claude-stream-json", "codex-jsonl"]
Permissions = Literal["ask", "allow", "deny"]

DEPTH_MAX, CHILDREN_MAX, LANE_MAX = 5, 5, 8
"""How deep agents may spawn and ask agents, how many live children a conversation may have, how many run at once."""
NAME_MAX = 64
"""Characters of an agent's name: letters, digits, ``-`` and ``_``."""
LANE = "subagents"
"""The queue of spawned agents: its limit is the lane."""


class HeartbeatSpec(msgspec.Struct, frozen=True, kw_only=True):
    """When an agent looks around by itself. ``every_seconds`` 0 is never; hours are local to ``tz`` ("" is always)."""

    every_seconds: float = 1800.0
    active_from: str = ""
    active_until: str = ""
    tz: str = ""
    file: str = "HEARTBEAT.md"
    ack_max: int = 300
    turns_max_per_hour: int = 12


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of the config file (``[agents.NAME]``).

    ``command`` starts an ACP agent, or is the template of a command-line agent, where ``{message}``,
    ``{conversation}``, ``{session}`` and ``{workdir}`` are filled item by item. ``resume`` are the items that are added
    when the agent has a session of its own to go on with. ``permission_seconds`` is how long a question of the agent
    waits; ``timeout_seconds`` bounds a turn, and for a model also ``requests_max`` and ``tokens_max`` do.
    """

    name: str
    backend: Backend
    command: tuple[str, ...] = ()
    output: OutputFormat = "text"
    resume: tuple[str, ...] = ()
    model: str = ""
    system: str = ""
    tools: tuple[str, ...] = ()
    workdir: str = ""
    env: dict[str, str] = {}
    permissions: Permissions = "ask"
    permission_seconds: float = 3600.0
    timeout_seconds: float | None = 3600.0
    requests_max: int = 100
    tokens_max: int = 2_000_000
    heartbeat: HeartbeatSpec | None = None

    @property
    def steerable(self) -> bool:
        """False where it cannot hear anything in mid-turn: a command that has no way to go on with its session."""
        return self.backend != "command" or bool(self.resume)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner is told to do, the first line of its standard input. It may hold secrets."""

    agent: AgentSpec
    conversation: str
    prompt: str
    workdir: str
    env: dict[str, str]
    task_id: str | None = None
    agent_session: str | None = None
    socket: str | None = None


class EventKind(StrEnum):
    """What a line of a runner's journal tells."""

    __hash__ = str.__hash__

    READY = "ready"
    BEGUN = "begun"
    TEXT = "text"
    THOUGHT = "thought"
    TOOL = "tool"
    PLAN = "plan"
    PERMISSION = "permission"
    PERMITTED = "permitted"
    STEERED = "steered"
    USAGE = "usage"
    NOTE = "note"
    END = "end"


class Usage(msgspec.Struct, frozen=True, rename="camel"):
    """What a turn used, as far as the agent says. ``cost_usd`` in US dollars."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None


class AgentEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One line of a runner's journal (its standard output). Texts are redacted by the runner.

    ``stop`` (of the end) is ``end_turn``, ``cancelled``, ``refusal``, ``max_tokens``, ``max_turns``, ``login_wanted``
    or ``error``; ``text`` is then the agent's last answer.
    """

    ev: EventKind
    at: float
    id: str | None = None
    text: str | None = None
    title: str | None = None
    status: str | None = None
    data: dict[str, object] = {}
    stop: str | None = None
    code: str | None = None
    error: str | None = None
    usage: Usage | None = None
    agent_session: str | None = None


class EntryKind(StrEnum):
    """What an entry of a transcript is."""

    __hash__ = str.__hash__

    PROMPT = "prompt"
    EVENT = "event"
    TEXT = "text"
    THOUGHT = "thought"
    TOOL = "tool"
    PLAN = "plan"
    PERMISSION = "permission"
    STEER = "steer"
    NOTE = "note"
    END = "end"


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry to be added. ``source_key`` makes a second adding of the same thing recognisable.

    ``journal_at`` is the offset in the runner's output after the line it was made of.
    """

    at: float
    kind: EntryKind
    text: str
    data: dict[str, object] = {}
    task_id: str | None = None
    source_key: str
    journal_at: int | None = None


class Entry(msgspec.Struct, frozen=True):
    """An entry of a conversation's transcript; ``seq`` counts from 1 and has no gaps."""

    conversation: str
    seq: int
    at: float
    kind: EntryKind
    text: str
    data: dict[str, object]
    task_id: str | None
    source_key: str
    journal_at: int | None


class AgentConversation(msgspec.Struct, frozen=True):
    """What is known of a conversation an agent holds: the agent, the agent's own session, who spawned it.

    ``depth`` is 0 for one that no agent has begun, neither by spawning it nor by giving another agent a turn.
    """

    key: str
    agent: str
    created_at: float
    updated_at: float
    workdir: str
    agent_session: str | None = None
    parent: str | None = None
    depth: int = 0
    turns: int = 0


class BeatState(msgspec.Struct, frozen=True):
    """Where the heartbeat of an agent stands: when it is next due, and whether somebody has paused it."""

    agent: str
    next_at: float | None
    paused_at: float | None
    last_at: float | None
    last_text_hash: str | None
    last_text_at: float | None


class Beat(msgspec.Struct, frozen=True):
    """One beat: why it was, what became of it, and why. ``outcome`` is ran, silent, told, skipped or failed.

    Until ``lease_until`` it is in the hands of the gateway that began it; None where no other one may take it up.
    """

    id: int
    agent: str
    at: float
    why: str
    outcome: str
    reason: str
    session_id: str | None
    ended_at: float | None
    text: str | None
    lease_until: float | None = None


def main_conversation(agent: str) -> str:
    """Return the conversation in which an agent has its turns where nobody names another."""
    return f"agent:{agent}:main"


def with_requester(agent: str, requester: str) -> str:
    """Return the conversation an agent holds with somebody who is not the operator.

    A name too long to be part of a key stands in it by its digest.
    """
    key = f"agent:{agent}:with:{requester}"
    if len(key) <= KEY_MAX:
        return key
    return f"agent:{agent}:with:sha256-{hashlib.sha256(requester.encode('utf-8', 'replace')).hexdigest()}"


def main_of(conversation: str) -> str | None:
    """Return the agent whose `main_conversation` this is; None where it is nobody's."""
    agent = conversation.removeprefix("agent:").removesuffix(":main")
    return agent if main_conversation(agent) == conversation else None


_QUEUE = "conv:"


def queue_of(conversation: str) -> str:
    """Return the queue that keeps the turns of a conversation in a row."""
    return _QUEUE + conversation


def conversation_in(queue: str) -> str | None:
    """Return the conversation whose turns a queue keeps in a row; None for any other queue."""
    return queue[len(_QUEUE) :] if queue.startswith(_QUEUE) else None


def only_in_a_row(queue: str, limit: int | None) -> bool:
    """Return whether a queue does nothing but keep the turns of a conversation in a row; one that rests has 0."""
    return limit == 1 and conversation_in(queue) is not None


def beat_owner(beat_id: int) -> str:
    """Return what stands for a beat where a notice names the task it is about."""
    return f"beat:{beat_id}"


def own_folder(home: str, agent: str) -> str:
    """Return where an agent works that names no ``workdir``."""
    return f"{home}/agents/{agent}"
