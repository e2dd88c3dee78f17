"""What is there to be seen of a task's session, by looking only: its end, or its last sign of life."""

from __future__ import annotations

from outlast.core.agent_end import turn_end
from outlast.core.errors import NotFound
from outlast.core.outcome import Outcome, outcome_of
from outlast.core.session import Exit, Status
from outlast.core.task import AGENTS, Runtime, Task
from outlast.process import evidence
from outlast.process.keeper import record as records
from outlast.process.session import Session
from outlast.process.sessions import Sessions
from outlast.runtimes.cli import summary_of
from outlast.runtimes.journal import last_words, state_of


def session_of(sessions: Sessions, task: Task) -> Session | None:
    """Return the session that does, or did, the work of a task; None when there is none (any more)."""
    if task.session_id is None or task.runtime is Runtime.EXTERNAL:
        return None
    try:
        return sessions.get(task.session_id)
    except NotFound:
        return None


def seen_end(sessions: Sessions, task: Task, now: float) -> Outcome | None:
    """Return how the work of a task ended, as far as there is evidence; None while it runs or nothing is to be seen.

    Works without a gateway: a session nobody holds is judged by its record and the process table.
    """
    session = session_of(sessions, task)
    if session is None:
        return None
    end = session.end
    if end is None:
        if session.link is not None or session.unsupervised is not None or evidence.alive(session.started):
            return None
        record = records.read(session.folder) or {}
        end = evidence.exit_of({"lost": evidence.lost(record, session.started, now)})
        assert end is not None
    outcome = _outcome_of(session, task, end, now)
    return outcome if outcome.status is not Status.LOST or task.status is not Status.LOST else None


def _outcome_of(session: Session, task: Task, end: Exit, now: float) -> Outcome:
    if task.runtime not in AGENTS:
        return outcome_of(end, summary=summary_of(session), deadline_at=task.deadline_at)
    state = state_of(session.output, lambda: now)
    return turn_end(
        state, end, began_at=session.started_at, deadline_at=task.deadline_at, tail=last_words(session.output)
    ).outcome()


def last_sign(sessions: Sessions, task: Task) -> float | None:
    """Return when a task's session last printed something, in seconds since the epoch."""
    session = session_of(sessions, task)
    return None if session is None else session.output.last_output_at
