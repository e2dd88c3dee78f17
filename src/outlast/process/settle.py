"""The slow paths of the live table: knocking at supervisors, watching a command that lost its own, pruning."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from typing import Any

from outlast.process import evidence
from outlast.process.keeper import proc
from outlast.process.keeper import record as records
from outlast.process.keeper.ending import Ending
from outlast.process.keeper.pidfd import open_pidfd, status_of_ended
from outlast.process.launcher import find
from outlast.process.link import Link
from outlast.process.session import KillReport, Session

KNOCKS = 40
KNOCK_SECONDS = 0.05
"""A supervisor says that it is there within some ten milliseconds; after two seconds there is none."""
STARTED_KNOCKS = 200
"""For one that had started its command: its keeper lives and puts another in its place, however busy the machine is."""
FORESTALLED_SECONDS = 3600.0
PRUNE_MAX = 2000
"""Session folders looked at in one pass."""


def mark_told(home: str, session_id: str) -> None:
    """Note that the end of a session has been told, while its leftovers are still looked after."""
    try:
        os.truncate(f"{home}/open/{session_id}", 1)  # a length costs no block: it works on a full disk
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


async def connect(run: str, session: Session) -> Link | None:
    """Connect to the supervisor of a session; None when nobody answers.

    A supervisor younger than some milliseconds has no address yet, and one that was killed is being replaced by its
    keeper: as long as one of the two lives, a few knocks are worth it.
    """
    path = f"{run}/{session.id}.ctl"
    loop = asyncio.get_running_loop()
    knocks = 0
    while True:
        try:
            _, link = await loop.create_unix_connection(Link, path)
            return link
        except OSError:
            record, knocks = records.read(session.folder) or {}, knocks + 1
            most = STARTED_KNOCKS if "started" in record else KNOCKS
            if "end" in record or not _may_answer(run, record) or knocks >= most:
                return None
        await asyncio.sleep(KNOCK_SECONDS)


def _may_answer(run: str, record: dict[str, Any]) -> bool:
    """True while the supervisor on record lives, or the keeper that would put another in its place."""
    started = record.get("started")
    if started is None:
        return find(run).pid is not None
    supervisor = (record.get("taken_over") or started).get("supervisor", 0)
    return started["boot"] == proc.boot_id() and (
        proc.is_named(supervisor, "outlast-session") or proc.is_named(started.get("zygote", 0), "outlast-keeper")
    )


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
        status = status_of_ended(pidfd, session.started.pid, session.started.ticks)
        return None if status is None else _line_of(status, records.read(session.folder) or {})
    finally:
        os.close(pidfd)


def _line_of(status: int, record: dict[str, Any]) -> dict[str, Any]:
    signum = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    asked = (record.get("kill") or {}).get("cause")
    return {
        "cause": asked or ("exit" if signum is None else "signal"),
        "at": time.time(),
        "code": None if signum is not None else os.WEXITSTATUS(status),
        "signal": signum,
        "note": "its supervisor was killed; the status comes from the kernel, output after that was not captured",
    }


async def kill_unsupervised(session: Session, cause: str, signum: int, grace: float | None) -> KillReport:
    """End the tree of a command that lost its supervisor: by kernel session, descent and the mark it carries."""
    started = session.started
    assert started is not None
    pid, ticks, boot, _ = started
    if session.end is None:
        asked = {"cause": cause, "at": time.time(), "signal": signum}
        await asyncio.to_thread(evidence.write_line, session.folder, "kill", asked)

    def tree() -> list[int]:
        alive = proc.is_same(pid, ticks, boot)  # without its leader a kernel session may be a stranger's of that number
        found = [pid, *proc.descendants(pid), *proc.in_session(pid, ticks)] if alive else []
        return list(dict.fromkeys([*found, *proc.marked(session.id, ticks)]))

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
            _drop_forestalled(path, now)
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


def _drop_forestalled(path: str, now: float) -> None:
    """Remove the directory that kept a start from happening, once no such start can be on its way any more."""
    try:
        if now - os.stat(path).st_mtime > FORESTALLED_SECONDS:
            if os.path.islink(f"{path}/record"):
                os.unlink(f"{path}/record")
            os.rmdir(path)
    except OSError:
        pass


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
