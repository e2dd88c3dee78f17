"""What the disk and the process table say of a session, without guessing.

Used when a gateway starts, and when the connection to a supervisor breaks.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from outlast.core.session import Cause, Exit
from outlast.process.keeper import proc
from outlast.process.keeper.record import RecordFile

Record = dict[str, Any]


class Started(NamedTuple):
    """The command's process as its supervisor noted it."""

    pid: int
    ticks: int
    boot: str
    at: float


def started_of(record: Record) -> Started | None:
    """Return who was started, from the record or, failing that, from the mark every command carries."""
    line = record.get("started")
    if line is not None:
        return Started(line["pid"], line["ticks"], line["boot"], line["at"])
    spec = record.get("spec") or {}
    if spec.get("boot") != proc.boot_id():
        return None
    leaders: list[tuple[int, int]] = []
    for pid in proc.marked(spec.get("id", ""), 0):
        try:
            leads = os.getsid(pid) == pid
        except OSError:
            continue
        ticks = proc.start_ticks(pid)
        if leads and ticks is not None:
            leaders.append((ticks, pid))
    if not leaders:
        return None
    ticks, pid = min(leaders)  # whatever else leads a kernel session and carries the mark was started by it, later
    return Started(pid, ticks, proc.boot_id(), float(spec.get("created_at") or 0.0))


def alive(started: Started | None) -> bool:
    """True when that very process still runs."""
    return started is not None and proc.is_same(started.pid, started.ticks, started.boot)


def exit_of(record: Record) -> Exit | None:
    """Return the end that is on record; a note of *lost* counts only as long as no true end is there."""
    line = record.get("exit") or record.get("lost")
    if line is None:
        return None
    return Exit(
        cause=_cause_of(line),
        at=line.get("at"),
        code=line.get("code"),
        signal=line.get("signal"),
        produced=line.get("produced", 0),
        user_seconds=line.get("user"),
        system_seconds=line.get("system"),
        max_rss=line.get("maxrss"),
        leftovers=line.get("leftovers", 0),
        note=line.get("note"),
    )


def _cause_of(line: Record) -> Cause:
    try:
        return Cause(line["cause"])
    except ValueError:  # a newer keeper's word: how the process ended is true whatever the word for why
        return Cause.EXIT if line.get("code") is not None else Cause.SIGNAL


def report_of(record: Record) -> Record:
    """Return the newest word on what was produced and what of it was lost."""
    return {**(record.get("exit") or {}), **(record.get("end") or {})}


def lost(record: Record, started: Started | None, now: float) -> Record:
    """Compose the line for a session whose end nobody saw, with what was looked for."""
    if started is None:
        cause, why = (
            Cause.EVIDENCE_GONE,
            "no process was ever recorded and none carries its mark: it may never have started",
        )
        if (record.get("spec") or {}).get("boot") != proc.boot_id():
            cause, why = Cause.HOST_RESTART, "the machine was restarted before a start was recorded"
    elif started.boot != proc.boot_id():
        cause, why = Cause.HOST_RESTART, f"the machine was restarted while process {started.pid} ran"
    else:
        cause, why = (
            Cause.EVIDENCE_GONE,
            (
                f"its supervisor and keeper were killed; process {started.pid} (start {started.ticks}) is gone "
                "and left no exit status"
            ),
        )
    return {"cause": cause.value, "at": None, "noticedAt": now, "note": why, "produced": 0}


def forestall(folder: str) -> bool:
    """Take the place of a record, which only one can have, so that no supervisor can make it any more.

    False when one has made it. A name that leads nowhere takes no room, and nobody can read half of it.
    """
    path = f"{folder}/record"
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        os.symlink("forestalled", path)
    except FileExistsError:
        return os.path.islink(path)
    except FileNotFoundError:  # a supervisor that failed has just removed the folder
        return False
    return True


def write_line(folder: str, kind: str, line: Record) -> None:
    """Append what a gateway found out to a record whose supervisor is gone. A full disk is no reason to fail."""
    try:
        record = RecordFile.resume(folder)
        record.add(kind, line)
    except OSError:
        return
    record.close()
