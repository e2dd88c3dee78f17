"""The slow paths of the live table: knocking at supervisors, watching a command that lost its own, pruning."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from typing import Any

from outlast.process.keeper import proc
from outlast.process.keeper import record as records
from outlast.process.keeper.ending import Ending
from outlast.process.link import Link
from outlast.process.pidfd import open_pidfd, status_of_reaped
from outlast.process.session import KillReport, Session

KNOCKS = 40
KNOCK_SECONDS = 0.05
"""A replacement supervisor answers within some ten milliseconds; after two seconds there is none."""
PRUNE_MAX = 2000
"""Session folders looked at in one pass."""


def mark_told(home: str, session_id: str) -> None:
    """Note that the end of a session has been told, while its leftovers are still looked after."""
    try:
        with open(f"{home}/open/{session_id}", "r+b") as file:
            file.write(b"told")
    except OSError:
        pass


def was_told(home: str, session_id: str) -> bool:
    """True when an earlier gateway already told the end of this session."""
    try:
        return os.stat(f"{home}/open/{session_id}").st_size > 0
    except OSError:
        return True


def mark_settled(home: str, session_id: str) -> None:
    """Note that nothing more will come of a session: a starting gateway need not look at it again."""
    try:
        os.unlink(f"{home}/open/{session_id}")
    except OSError:
        pass


async def connect(run: str, session: Session, *, patient: bool = False) -> Link | None:
    """Connect to the supervisor of a session; None when nobody answers.

    A supervisor younger than some milliseconds has no address yet, and one that was killed is being replaced, so a
    process that may have a supervisor is worth a few knocks.
    """
    path = f"{run}/{session.id}.ctl"
    loop = asyncio.get_running_loop()
    for knock in range(KNOCKS):
        try:
            _, link = await loop.create_unix_connection(Link, path)
            return link
        except OSError:
            record = records.read(session.folder) or {}
            supervisor = record.get("taken_over") or record.get("started") or {}
            expected = patient or proc.state_of(supervisor.get("supervisor", 0)) not in ("", "Z", "X")
            if "end" in record or not expected or knock == KNOCKS - 1:
                return None
        await asyncio.sleep(KNOCK_SECONDS)
    return None


async def end_of_stranger(session: Session) -> dict[str, Any] | None:
    """Wait for the end of a command that is nobody's child any more; its exit line where the kernel still tells."""
    assert session.started is not None
    pidfd = open_pidfd(session.started.pid)
    if pidfd is None:
        return None
    try:
        if not proc.is_same(*session.started[:3]):
            return None
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_reader(pidfd, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(pidfd)
        for _ in range(20):  # whoever inherited it reaps it in a moment, and only then is the status told
            status = status_of_reaped(pidfd)
            if status is not None:
                return _line_of(status)
            await asyncio.sleep(0.01)
        return None
    finally:
        os.close(pidfd)


def _line_of(status: int) -> dict[str, Any]:
    signum = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return {
        "cause": "exit" if signum is None else "signal",
        "at": time.time(),
        "code": None if signum is not None else os.WEXITSTATUS(status),
        "signal": signum,
        "note": "its supervisor was killed; the status comes from the kernel, output after that was not captured",
    }


async def kill_unsupervised(session: Session, signum: int, grace: float | None) -> KillReport:
    """End the tree of a command that lost its supervisor: by kernel session, descent and the mark it carries."""
    started = session.started
    assert started is not None
    pid, ticks, boot, _ = started

    def tree() -> list[int]:
        found = [pid, *proc.descendants(pid)] if proc.is_same(pid, ticks, boot) else []
        found += proc.in_session(pid, ticks) + proc.marked(session.id, ticks)
        return list(dict.fromkeys(found))

    def end() -> dict[str, Any]:
        wait = session.info.grace_seconds if grace is None else grace
        ending = Ending(tree, signum, wait, time.monotonic(), told=False)
        while not ending.step(time.monotonic()):
            time.sleep(max(0.0, ending.deadline - time.monotonic()) + 0.001)
        return ending.report()

    report = await asyncio.to_thread(end)
    return KillReport([tuple(row) for row in report["ended"]], [tuple(row) for row in report["survivors"]])


def prune(
    folder: str,
    names: list[str],
    now: float,
    keep_seconds: float,
    keep_bytes: int,
    keep_records_seconds: float,
) -> list[str]:
    """Drop old output and older records, oldest first. Returns the names that were touched."""
    touched: list[str] = []
    sizes: list[tuple[str, int]] = []
    for name in names[:PRUNE_MAX]:
        path = f"{folder}/{name}"
        try:
            age = now - os.stat(f"{path}/record").st_mtime
        except OSError:
            continue
        if age > keep_records_seconds:
            shutil.rmtree(path, ignore_errors=True)
            touched.append(name)
        elif age > keep_seconds and _drop_output(path):
            touched.append(name)
        else:
            sizes.append((name, _disk_bytes(path)))
    total = sum(size for _, size in sizes)
    for name, size in sizes:
        if total <= keep_bytes:
            break
        if _drop_output(f"{folder}/{name}"):
            touched.append(name)
        total -= size
    return touched


def _drop_output(path: str) -> bool:
    dropped = False
    for name in ("out", "seg", "gaps", "cursors.json"):
        try:
            os.unlink(f"{path}/{name}")
            dropped = True
        except OSError:
            pass
    return dropped


def _disk_bytes(path: str) -> int:
    try:
        return os.stat(f"{path}/out").st_blocks * 512
    except OSError:
        return 0
