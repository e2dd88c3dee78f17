"""Taking up what an earlier worker began: the session of a task, or what can be said without one."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import OUTLIVED, Task
from outlast.process.sessions import Session, Sessions
from outlast.runtimes.base import Hands, NeverBegan


async def reattach(sessions: Sessions, task: Task, hands: Hands) -> Session | Outcome:
    """Return the session of a task; the outcome *lost* where it was started and left no record. Raises NeverBegan."""
    if task.session_id is None:
        raise NeverBegan
    session = await sessions.take_up(task.session_id)
    if session is not None:
        return session
    if task.status is Status.LOST:
        return evidence_gone(task, [])  # as was said before
    traces = sessions.traces(task.session_id)
    began = bool(traces) or task.source == OUTLIVED or await hands.has_begun()
    if not began and await sessions.forestall(task.session_id):
        raise NeverBegan
    return await sessions.take_up(task.session_id) or evidence_gone(task, traces)


def evidence_gone(task: Task, traces: Sequence[int] = ()) -> Outcome:
    """Return the outcome of work that was started and left no record; ``traces`` are processes with its mark."""
    found = "no process carries its mark"
    if traces:
        found = f"process {traces[0]} carries its mark and still runs, with nobody to see its end"
    error = f"the record of session {task.session_id} is gone, and {found}"
    return Outcome(status=Status.LOST, cause=Cause.EVIDENCE_GONE, error=error)
