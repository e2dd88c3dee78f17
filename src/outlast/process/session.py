"""One session as the gateway sees it: what was asked, how it stands, and who waits for what."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec

from outlast.core.session import Exit, Leftovers, Status, Streams, status_of
from outlast.process import evidence
from outlast.process.link import Link
from outlast.process.output import Output


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, as the record keeps it: never a value of the environment. Spans in seconds, sizes in bytes."""

    id: str
    argv: tuple[str, ...] = ()
    command: str = ""
    cwd: str = "/"
    env_names: tuple[str, ...] = ()
    requester: str = "local"
    created_at: float = 0.0
    stdin: str = "none"
    stdin_text: str | None = None
    pty: bool = False
    cols: int = 80
    rows: int = 24
    streams: Streams = "apart"
    timeout_seconds: float | None = None
    idle_timeout_seconds: float | None = None
    grace_seconds: float = 5.0
    leftovers: Leftovers = "keep"
    title: str | None = None
    labels: tuple[str, ...] = ()
    start_key: str = ""
    task_id: str | None = None


class DamagedRecord(Exception):
    """The record of a session cannot be understood."""


class KillReport(NamedTuple):
    """Who was ended, as (pid, name, signal), and who was not, as (pid, name, why)."""

    ended: list[tuple[int, str, str]]
    survivors: list[tuple[int, str, str]]


class Probe(NamedTuple):
    """A look at a live session: does it sleep in a read of its input (None: cannot be told), how many processes."""

    waiting_for_input: bool | None
    processes: int


class Session:
    """A session. Everything but ``process.sessions`` only reads it."""

    __slots__ = (
        "__weakref__",
        "cols",
        "drained",
        "end",
        "folder",
        "info",
        "leftovers",
        "link",
        "output",
        "pid",
        "rows",
        "started",
        "unsupervised",
        "waiters",
        "watched",
    )

    def __init__(self, info: SessionInfo, folder: str) -> None:
        self.info = info
        self.folder = folder
        self.output = Output(folder)
        self.started: evidence.Started | None = None
        self.pid: int | None = None
        self.end: Exit | None = None
        self.drained = False
        self.leftovers = 0
        self.cols, self.rows = info.cols, info.rows
        self.link: Link | None = None
        self.unsupervised: str | None = None
        self.waiters: set[asyncio.Future[None]] = set()
        self.watched = False

    @classmethod
    def from_record(cls, session_id: str, folder: str, record: dict[str, Any]) -> Session:
        """Rebuild a session from its record. Unknown fields are ignored, so that older and newer keepers agree.

        Raises DamagedRecord.
        """
        try:
            spec = {**(record.get("spec") or {}), "id": session_id}
            self = cls(msgspec.convert(spec, SessionInfo), folder)
            self.learn(record)
        except (AttributeError, KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
            raise DamagedRecord(f"the record of session {session_id} is damaged: {error}") from error
        return self

    def learn(self, record: dict[str, Any]) -> None:
        """Take in what the record says."""
        self.learn_start(record)
        self.end = evidence.exit_of(record)
        self.drained = self.end is not None
        self.output.learn(evidence.report_of(record))

    def learn_start(self, record: dict[str, Any]) -> None:
        """Take in who was started, if that is not known yet."""
        if self.started is None:
            self.started = evidence.started_of(record)
            self.pid = self.started.pid if self.started else None

    @property
    def id(self) -> str:
        """The session's name."""
        return self.info.id

    @property
    def started_at(self) -> float | None:
        """When the command was started, in seconds since the epoch."""
        return self.started.at if self.started else None

    @property
    def status(self) -> Status:
        """Where it stands, in the ledger's words."""
        return Status.RUNNING if self.end is None else status_of(self.end)

    @property
    def produced(self) -> int:
        """Bytes of output so far."""
        return self.output.produced

    @property
    def last_output_at(self) -> float | None:
        """When output last arrived, in seconds since the epoch."""
        return self.output.last_output_at

    def wake(self) -> None:
        """Let everyone who waits look again."""
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
