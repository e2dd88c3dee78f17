"""A shell session as data: what was asked, how it stands, how it ended.

A session is a live shell process that outlast holds. The status words are the ledger's; the cause beside the
status says why a session ended and is never guessed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Status(StrEnum):
    """Where a session or task stands. One vocabulary in every layer."""

    __hash__ = str.__hash__  # that of an enumeration is a call of Python's own, at each look into a table

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """True when nothing but late truth about a lost one may follow."""
        return self is not Status.QUEUED and self is not Status.RUNNING


class Cause(StrEnum):
    """Why something ended."""

    __hash__ = str.__hash__  # as Status has it

    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    IDLE_TIMEOUT = "idle_timeout"
    OPERATOR = "operator"
    PARENT = "parent"
    DEADLINE = "deadline"
    OUT_OF_MEMORY = "out_of_memory"
    SPAWN_ERROR = "spawn_error"
    HOST_RESTART = "host_restart"
    EVIDENCE_GONE = "evidence_gone"
    LEASE_EXPIRED = "lease_expired"
    REPORTED = "reported"
    ERROR = "error"
    REJECTED = "rejected"
    EXPIRED = "expired"


Leftovers = Literal["keep", "kill"]
Streams = Literal["apart", "merged"]

YIELD_MS_DEFAULT = 10_000
YIELD_MS_MAX = 120_000
OUTPUT_CAP_DEFAULT = 256 * 1024 * 1024
GRACE_SECONDS_DEFAULT = 5.0


class ReadyWhen(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """When a server counts as ready: a pattern seen in its output, or a TCP port on this host that accepts."""

    pattern: str | None = None
    port: int | None = None


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the keeper is asked to start. Spans are in seconds, sizes in bytes."""

    id: str
    argv: tuple[str, ...]
    command: str
    cwd: str
    env: dict[str, str]
    env_names: tuple[str, ...] = ()
    requester: str
    created_at: float
    stdin: Literal["none", "pipe"] = "none"
    stdin_text: str | None = None
    pty: bool = False
    cols: int = 80
    rows: int = 24
    streams: Streams = "apart"
    timeout_seconds: float | None = None
    idle_timeout_seconds: float | None = None
    grace_seconds: float = GRACE_SECONDS_DEFAULT
    leftovers: Leftovers = "keep"
    output_cap: int = OUTPUT_CAP_DEFAULT
    title: str | None = None
    labels: tuple[str, ...] = ()
    start_key: str = ""
    task_id: str | None = None


class ProcessRef(msgspec.Struct, frozen=True):
    """One operating-system process, named so that a reused pid is never mistaken for it."""

    pid: int
    ticks: int
    boot: str


class Span(msgspec.Struct, frozen=True, rename="camel"):
    """A half-open range of output bytes, ``start <= offset < end``."""

    start: int
    end: int


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a session's command ended, as its parent saw it. Times are seconds since the epoch (UTC)."""

    cause: Cause
    at: float | None
    code: int | None = None
    signal: int | None = None
    produced: int = 0
    user_seconds: float | None = None
    system_seconds: float | None = None
    max_rss: int | None = None
    leftovers: int = 0
    note: str | None = None


def status_of(end: Exit) -> Status:
    """Map an end to the ledger's word: an exit code other than 0 *failed*, a limit *timed_out*, a kill *cancelled*."""
    match end.cause:
        case Cause.EXIT | Cause.REPORTED:
            return Status.SUCCEEDED if end.code == 0 else Status.FAILED
        case Cause.SIGNAL | Cause.OUT_OF_MEMORY | Cause.SPAWN_ERROR | Cause.ERROR:
            return Status.FAILED
        case Cause.TIMEOUT | Cause.IDLE_TIMEOUT | Cause.DEADLINE:
            return Status.TIMED_OUT
        case Cause.OPERATOR | Cause.PARENT | Cause.REJECTED | Cause.EXPIRED:
            return Status.CANCELLED
        case Cause.HOST_RESTART | Cause.EVIDENCE_GONE | Cause.LEASE_EXPIRED:
            return Status.LOST
