"""What can be seen of a task's session by looking only: its end, that it lives, or that nothing is left of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from api_fakes import FakeClock, FakeSession, FakeSessions, asynchronous

from outlast.core.session import Cause, ExecSpec, Status
from outlast.core.task import Runtime, Task
from outlast.process.evidence import Started
from outlast.process.keeper import proc
from outlast.runtimes.evidence import last_sign, seen_end, session_of

NOW = 1_800_000_000.0


def task(**fields: Any) -> Task:
    given = {
        "id": "t1", "runtime": Runtime.CLI, "kind": "exec", "source": "detach", "requester": "local",
        "status": "running", "created_at": NOW, "revision": 1, "session_id": "s0000001",
    }  # fmt: skip
    return msgspec.convert({**given, **fields}, Task)


async def started(home: Path) -> tuple[Any, FakeSession]:
    sessions = FakeSessions(home, FakeClock(NOW))
    spec = ExecSpec(
        id="s0000001", argv=("make",), command="make", cwd="/tmp", env={}, requester="local", created_at=NOW
    )
    return sessions, await sessions.start(spec)


@asynchronous
async def test_a_live_session_has_no_end(tmp_path: Path) -> None:
    sessions, session = await started(tmp_path)
    assert seen_end(sessions, task(), NOW) is None
    session.link, session.unsupervised = None, "its supervisor was killed"
    assert seen_end(sessions, task(), NOW) is None


@asynchronous
async def test_an_end_that_was_seen_is_the_outcome(tmp_path: Path) -> None:
    sessions, session = await started(tmp_path)
    session.prints(b"built\n")
    session.ends(0)
    outcome = seen_end(sessions, task(status="lost"), NOW)
    assert outcome is not None
    assert (outcome.status, outcome.summary, outcome.at) == (Status.SUCCEEDED, "built", NOW)


@asynchronous
async def test_the_deadline_is_told_from_a_limit(tmp_path: Path) -> None:
    sessions, session = await started(tmp_path)
    session.ends(None, cause=Cause.TIMEOUT, signal=15)
    outcome = seen_end(sessions, task(deadline_at=NOW), NOW)
    assert outcome is not None and outcome.cause is Cause.DEADLINE


@asynchronous
async def test_without_a_gateway_the_process_itself_is_looked_for(tmp_path: Path) -> None:
    """Nobody holds the session; its process is known by pid, start and boot, so a reused pid is not taken for it."""
    sessions, session = await started(tmp_path)
    me, boot = os.getpid(), proc.boot_id()
    ticks = proc.start_ticks(me)
    assert ticks is not None
    session.link = None
    session.started = Started(me, ticks, boot, NOW)  # type: ignore[assignment]
    assert seen_end(sessions, task(), NOW) is None
    session.started = Started(me, ticks + 1, boot, NOW)  # type: ignore[assignment]
    gone = seen_end(sessions, task(), NOW)
    assert gone is not None
    assert (gone.status, gone.cause, gone.at) == (Status.LOST, Cause.EVIDENCE_GONE, None)
    session.started = Started(me, ticks, "another boot", NOW)  # type: ignore[assignment]
    restarted = seen_end(sessions, task(), NOW)
    assert restarted is not None and restarted.cause is Cause.HOST_RESTART


@asynchronous
async def test_losing_what_is_lost_is_no_news(tmp_path: Path) -> None:
    sessions, session = await started(tmp_path)
    session.link = None
    assert seen_end(sessions, task(), NOW) is not None
    assert seen_end(sessions, task(status="lost"), NOW) is None


@asynchronous
async def test_without_a_session_nothing_is_seen(tmp_path: Path) -> None:
    sessions, _ = await started(tmp_path)
    for other in (task(session_id=None), task(session_id="s9999999"), task(runtime=Runtime.EXTERNAL)):
        assert session_of(sessions, other) is None
        assert seen_end(sessions, other, NOW) is None
        assert last_sign(sessions, other) is None


@asynchronous
async def test_the_last_output_is_a_sign_of_life(tmp_path: Path) -> None:
    sessions, session = await started(tmp_path)
    session.prints(b"x")
    sign = last_sign(sessions, task())
    assert sign is not None and abs(sign - os.stat(f"{session.folder}/out").st_mtime) < 1
