"""What the session of a turn has on record beside its journal: whose turn it is, and what its prompt tells of."""

from __future__ import annotations

from outlast.core.agent_journal import TurnRef
from outlast.core.task import Task
from outlast.process.sessions import Session, SessionInfo

LABEL = "agent"
"""The first label of the sessions of turns."""
_EVENTS = "events:"


def conversation_of(task: Task) -> str:
    """Return the conversation a turn belongs to."""
    return task.conversation or f"task:{task.id}"


def turn_of(task: Task, session_id: str) -> TurnRef:
    """Return the turn that is the work of a task."""
    return TurnRef(conversation_of(task), str(task.ask.get("agent")), session_id, task.requester, task.id)


def command_of(agent: str) -> str:
    """Return what the session of a turn shows as its command."""
    return f"agent {agent}"


def labels_of(turn: TurnRef, upto: int) -> tuple[str, ...]:
    """Return the labels of a turn's session: they also say up to which system event its prompt tells."""
    return (LABEL, turn.agent, *([f"{_EVENTS}{upto}"] if upto else []))


def events_of(session: Session) -> int:
    """Return up to which system event the prompt of a session tells; 0 where it tells of none."""
    found = [label.removeprefix(_EVENTS) for label in session.info.labels if label.startswith(_EVENTS)]
    return int(found[0]) if found and found[0].isdecimal() else 0


def is_alone(info: SessionInfo) -> bool:
    """True for the session of a turn that is no task: whoever began it keeps its record."""
    if info.task_id is not None or len(info.labels) < 2:
        return False
    return info.labels[0] == LABEL and info.command == command_of(info.labels[1])
