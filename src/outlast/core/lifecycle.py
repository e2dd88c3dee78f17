"""The one table of states and moves for tasks. Everything else asks it.

=========  =======================  ==================================================
verb       from                     to
=========  =======================  ==================================================
claim      queued                   running
succeed    running                  succeeded
fail       running                  failed
time_out   running                  timed_out
requeue    running                  queued (a failed attempt with attempts left; a start that never was)
cancel     queued, running          cancelled
lose       queued, running          lost
recover    lost                     succeeded, failed, timed_out, cancelled
=========  =======================  ==================================================

Whether a state is final depends on the state alone. *lost* is final too, but it is a statement about us, not about
the work: when evidence of the true end turns up, ``recover`` replaces it. Nothing else overturns an end.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from outlast.core.session import Cause, Status


class Verb(StrEnum):
    """The name of a move."""

    __hash__ = str.__hash__  # that of an enumeration is a call of Python's own, at each look into a table

    CREATE = "create"
    CLAIM = "claim"
    SUCCEED = "succeed"
    FAIL = "fail"
    TIME_OUT = "time_out"
    REQUEUE = "requeue"
    CANCEL = "cancel"
    LOSE = "lose"
    RECOVER = "recover"


class Move(msgspec.Struct, frozen=True):
    """A verb's row: where it may start, and where it may lead."""

    verb: Verb
    sources: tuple[Status, ...]
    targets: tuple[Status, ...]


_ENDS = (Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED)
TASK_MOVES: dict[Verb, Move] = {
    move.verb: move
    for move in (
        Move(Verb.CLAIM, (Status.QUEUED,), (Status.RUNNING,)),
        Move(Verb.SUCCEED, (Status.RUNNING,), (Status.SUCCEEDED,)),
        Move(Verb.FAIL, (Status.RUNNING,), (Status.FAILED,)),
        Move(Verb.TIME_OUT, (Status.RUNNING,), (Status.TIMED_OUT,)),
        Move(Verb.REQUEUE, (Status.RUNNING,), (Status.QUEUED,)),
        Move(Verb.CANCEL, (Status.QUEUED, Status.RUNNING), (Status.CANCELLED,)),
        Move(Verb.LOSE, (Status.QUEUED, Status.RUNNING), (Status.LOST,)),
        Move(Verb.RECOVER, (Status.LOST,), _ENDS),
    )
}
FINAL: frozenset[Status] = frozenset((*_ENDS, Status.LOST))
_VERB_FOR_END = {
    Status.SUCCEEDED: Verb.SUCCEED,
    Status.FAILED: Verb.FAIL,
    Status.TIMED_OUT: Verb.TIME_OUT,
    Status.CANCELLED: Verb.CANCEL,
    Status.LOST: Verb.LOSE,
}


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One move of one task, ready for the guarded statement. Made by the constructors below only.

    ``claim_id`` is the fence: when it is given, the move counts only while that claim still holds the task.
    ``never_began`` goes with ``requeue``: nothing was started, so the attempt does not count.
    """

    task_id: str
    verb: Verb
    sources: tuple[Status, ...]
    target: Status
    at: float
    cause: Cause | None = None
    claim_id: str | None = None
    detail: dict[str, object] = {}
    error: str | None = None
    summary: str | None = None
    not_before_at: float | None = None
    never_began: bool = False


class IllegalMove(Exception):
    """A verb was asked for a target the table does not give it: a mistake in the code, never an answer to a user."""


def transition(
    task_id: str,
    verb: Verb,
    at: float,
    *,
    target: Status | None = None,
    cause: Cause | None = None,
    claim_id: str | None = None,
    detail: dict[str, object] | None = None,
    error: str | None = None,
    summary: str | None = None,
    not_before_at: float | None = None,
    never_began: bool = False,
) -> Transition:
    """Build a transition from the table. ``target`` is needed where a verb has several. Raises IllegalMove."""
    move = TASK_MOVES.get(verb)
    if move is None:
        raise IllegalMove(f"{verb} moves nothing")
    if target is None and len(move.targets) == 1:
        target = move.targets[0]
    if target not in move.targets:
        raise IllegalMove(f"{verb} does not lead to {target}")
    return Transition(
        task_id=task_id,
        verb=verb,
        sources=move.sources,
        target=target,
        at=at,
        cause=cause,
        claim_id=claim_id,
        detail=detail or {},
        error=error,
        summary=summary,
        not_before_at=not_before_at,
        never_began=never_began,
    )


def verb_for(end: Status) -> Verb:
    """Return the verb that records an end of running work. Raises IllegalMove for a state that is none."""
    if end not in _VERB_FOR_END:
        raise IllegalMove(f"{end} is not an end")
    return _VERB_FOR_END[end]


def chart() -> str:
    """Return the table as a Mermaid state diagram: what the documentation shows."""
    lines = ["stateDiagram-v2", "    [*] --> queued: create"]
    for move in TASK_MOVES.values():
        for source in move.sources:
            lines.extend(f"    {source.value} --> {target.value}: {move.verb.value}" for target in move.targets)
    return "\n".join(lines) + "\n"
