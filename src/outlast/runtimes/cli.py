"""Shell commands: the work of a task is a session. Everything that outlives us is the keeper's."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from outlast.core import progress
from outlast.core.errors import Conflict, GatewayTrouble, NotFound
from outlast.core.outcome import SUMMARY_MAX, Outcome, outcome_of
from outlast.core.redact import redact
from outlast.core.session import Cause, ExecSpec, Exit, Status
from outlast.core.task import Task
from outlast.process.clock import Clock
from outlast.process.plain import plain
from outlast.process.sessions import Session, Sessions
from outlast.runtimes.base import Hands
from outlast.runtimes.reattach import reattach

LOOK_SECONDS = 1.0
"""Between two looks at what a command prints: news is told at most this often, silence costs nothing."""
LOOK_BYTES = 64 * 1024
"""How much of the newest output one look reads; older progress does not matter any more."""
TAIL_BYTES, TAIL_LINES = 8192, 10
TIMEOUT_LEAST = 0.001
STDOUT_MAX = 1024 * 1024
"""Bytes of a command's output that go to the flow it is a step of; the session keeps the whole."""


class CliRuntime:
    """Runs the command of a task in a session and stays with it."""

    def __init__(self, sessions: Sessions, clock: Clock, *, umask: int) -> None:
        self._sessions = sessions
        self._clock = clock
        self._umask = umask
        self._starting: dict[str, tuple[Cause, float | None] | None] = {}

    async def run(self, task: Task, payload: dict[str, Any], hands: Hands) -> Outcome:
        """Start the command and stay. What cannot be started is an outcome with cause ``spawn_error``.

        Raises NotHeld, NeverBegan.
        """
        now = self._clock.now()
        if task.deadline_at is not None and task.deadline_at <= now:
            return Outcome(status=Status.TIMED_OUT, cause=Cause.DEADLINE, at=now, error="the deadline had passed")
        spec = msgspec.convert(payload["spec"], ExecSpec)
        session_id = task.session_id or self._sessions.new_id()
        self._starting[task.id] = None
        try:
            if task.session_id is None:
                await hands.attach(session_id)
            if (called_off := self._starting[task.id]) is not None:
                return outcome_of(Exit(cause=called_off[0], at=self._clock.now()))
            # A ledger put back from a copy may know less than the sessions: what has run is not run again.
            session = await self._sessions.take_up(session_id) or await self._sessions.start(
                _dressed(spec, task, session_id, self._clock.now()), umask=self._umask
            )
        except GatewayTrouble as trouble:
            return Outcome(
                status=Status.FAILED, cause=Cause.SPAWN_ERROR, at=self._clock.now(), error=trouble.message,
                detail={"code": trouble.code},
            )  # fmt: skip
        finally:
            called_off = self._starting.pop(task.id)
        if session.end is None:
            hands.began({"sessionId": session.id, "pid": session.pid})
        if called_off is not None:
            await self._kill(session, *called_off)
        return await self._stay(task, session, hands, 0)

    async def resume(self, task: Task, hands: Hands) -> Outcome:
        """Stay with a session that is there; settle one that has ended. Raises NeverBegan."""
        session = await reattach(self._sessions, task, hands)
        if isinstance(session, Outcome):
            return session
        percent = _progress_in(session, 0)  # said before anybody watched
        if percent is not None and percent != task.progress:
            hands.progress(percent, None)
        return await self._stay(task, session, hands, session.produced)

    async def cancel(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        """End the whole tree of the task's session; one that is just being started ends as soon as it is there."""
        if task.id in self._starting:
            self._starting[task.id] = cause, grace_seconds
            return
        session = None if task.session_id is None else self._find(task.session_id)
        if session is not None and session.end is None:
            await self._kill(session, cause, grace_seconds)

    async def _kill(self, session: Session, cause: Cause, grace_seconds: float | None) -> None:
        try:
            await self._sessions.kill(session, cause=cause, grace=grace_seconds)
        except Conflict:
            pass  # it has just ended by itself

    def _find(self, session_id: str) -> Session | None:
        try:
            return self._sessions.get(session_id)
        except NotFound:
            return None

    async def _stay(self, task: Task, session: Session, hands: Hands, since: int) -> Outcome:
        if session.end is None:
            watching = asyncio.create_task(self._watch(session, hands, since))
            try:
                await self._sessions.until_end(session)
            finally:
                watching.cancel()
        assert session.end is not None
        outcome = outcome_of(session.end, summary=summary_of(session), deadline_at=task.deadline_at)
        return (
            outcome
            if task.flow_id is None
            else msgspec.structs.replace(outcome, output=_result_of(task, session, outcome))
        )

    async def _watch(self, session: Session, hands: Hands, since: int) -> None:
        """Pass on what the command says of its progress; any output is a sign of life."""
        while True:
            await self._sessions.until_output(session, since)
            if session.end is not None:
                return
            produced = session.produced
            hands.progress(_progress_in(session, since), None)
            since = produced
            await self._clock.sleep(LOOK_SECONDS)


def _progress_in(session: Session, since: int) -> int | None:
    """Return what the output after an offset says last of progress, None where it says nothing."""
    produced = session.produced
    start = max(since - progress.SEQUENCE_MAX, produced - LOOK_BYTES, 0)
    return progress.latest(session.output.read(start, produced)) if produced else None


def summary_of(session: Session) -> str | None:
    """Return the last lines a session printed, without secrets and control codes; None when it printed nothing."""
    produced = session.produced
    if not produced:
        return None
    data = session.output.read(max(0, produced - TAIL_BYTES), produced)
    lines = redact(plain(data)[0]).rstrip().split("\n")  # before anything is cut off that tells a secret from a word
    if produced > TAIL_BYTES and len(lines) > 1:
        del lines[0]  # what it begins with was not read
    return "\n".join(lines[-TAIL_LINES:])[-SUMMARY_MAX:] or None


def _result_of(task: Task, session: Session, outcome: Outcome) -> str:
    """Return what a flow is to know of the command that was a step of it, as JSON: its output above all."""
    stdout, truncated = stdout_of(session)
    result = {
        "status": str(outcome.status), "exitCode": outcome.detail.get("exitCode"), "stdout": stdout,
        "tail": outcome.summary or "", "sessionId": session.id, "taskId": task.id, "truncated": truncated,
    }  # fmt: skip
    return msgspec.json.encode(result).decode()


def stdout_of(session: Session) -> tuple[str, bool]:
    """Return what a session printed to its standard output, at most `STDOUT_MAX` bytes, and whether there was more.

    Of a pty, and where both streams were merged, it is all there is.
    """
    output, parts, size = session.output, [], 0
    for _, data in output.blocks(output.spans(0, output.produced, 1)):
        parts.append(data[: STDOUT_MAX - size])
        size += len(data)
        if size > STDOUT_MAX:
            break
    text = b"".join(parts).decode("utf-8", "replace")
    return text.replace("\0", "\ufffd"), size > STDOUT_MAX or bool(output.omitted())


def _dressed(spec: ExecSpec, task: Task, session_id: str, now: float) -> ExecSpec:
    """Return what is started for one attempt: its own session, the task's id in its environment, its deadline a limit.

    The keeper holds the limit, so the deadline counts also while no gateway runs.
    """
    limit = spec.timeout_seconds
    if task.deadline_at is not None:
        left = max(TIMEOUT_LEAST, task.deadline_at - now)
        limit = left if limit is None else min(limit, left)
    return msgspec.structs.replace(
        spec,
        id=session_id,
        task_id=task.id,
        created_at=now,
        timeout_seconds=limit,
        env={**spec.env, "OUTLAST_SESSION_ID": session_id, "OUTLAST_TASK_ID": task.id},
    )
