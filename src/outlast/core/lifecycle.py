"""The tables of states and moves: of tasks, of flows, of approvals. Everything else asks them.

Tasks:

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

Flows:

=========  ===================================  ======================================================
verb       from                                 to
=========  ===================================  ======================================================
claim      queued, waiting, running             running (a wait is over; a lease has run out)
wait       running                              waiting
block      queued, running, waiting             blocked (nothing goes on until somebody sees to it)
resume     waiting, blocked                     running (managed), queued (blocked programs and files)
requeue    running                              queued (a failed attempt with attempts left)
succeed    running, waiting                     succeeded
fail       queued, running, waiting, blocked    failed
cancel     queued, running, waiting, blocked    cancelled
lose       queued, running, waiting, blocked    lost
retry      failed, blocked, lost                queued (somebody asks for it; finished steps stay)
=========  ===================================  ======================================================

Approvals go from *pending* to *approved*, *rejected*, *expired* or *cancelled*, once.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from outlast.core.approval import ApprovalStatus
from outlast.core.flow import FlowStatus
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
    ``never_began`` goes with ``requeue``: nothing was started, so the attempt does not count. ``result`` goes with an
    end: JSON text for the step of a flow that waits for the task; the task's own record does not keep it.
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
    result: str | None = None


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
    result: str | None = None,
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
        result=result,
    )


def verb_for(end: Status) -> Verb:
    """Return the verb that records an end of running work. Raises IllegalMove for a state that is none."""
    if end not in _VERB_FOR_END:
        raise IllegalMove(f"{end} is not an end")
    return _VERB_FOR_END[end]


class FlowVerb(StrEnum):
    """The name of a move of a flow."""

    __hash__ = str.__hash__

    CREATE = "create"
    CLAIM = "claim"
    WAIT = "wait"
    BLOCK = "block"
    RESUME = "resume"
    REQUEUE = "requeue"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    LOSE = "lose"
    RETRY = "retry"


class FlowMove(msgspec.Struct, frozen=True):
    """A verb's row: where it may start, and where it may lead."""

    verb: FlowVerb
    sources: tuple[FlowStatus, ...]
    targets: tuple[FlowStatus, ...]


_LIVE = (FlowStatus.QUEUED, FlowStatus.RUNNING, FlowStatus.WAITING, FlowStatus.BLOCKED)
FLOW_MOVES: dict[FlowVerb, FlowMove] = {
    move.verb: move
    for move in (
        FlowMove(FlowVerb.CLAIM, (FlowStatus.QUEUED, FlowStatus.WAITING, FlowStatus.RUNNING), (FlowStatus.RUNNING,)),
        FlowMove(FlowVerb.WAIT, (FlowStatus.RUNNING,), (FlowStatus.WAITING,)),
        FlowMove(FlowVerb.BLOCK, (FlowStatus.QUEUED, FlowStatus.RUNNING, FlowStatus.WAITING), (FlowStatus.BLOCKED,)),
        FlowMove(FlowVerb.RESUME, (FlowStatus.WAITING, FlowStatus.BLOCKED), (FlowStatus.RUNNING, FlowStatus.QUEUED)),
        FlowMove(FlowVerb.REQUEUE, (FlowStatus.RUNNING,), (FlowStatus.QUEUED,)),
        FlowMove(FlowVerb.SUCCEED, (FlowStatus.RUNNING, FlowStatus.WAITING), (FlowStatus.SUCCEEDED,)),
        FlowMove(FlowVerb.FAIL, _LIVE, (FlowStatus.FAILED,)),
        FlowMove(FlowVerb.CANCEL, _LIVE, (FlowStatus.CANCELLED,)),
        FlowMove(FlowVerb.LOSE, _LIVE, (FlowStatus.LOST,)),
        FlowMove(FlowVerb.RETRY, (FlowStatus.FAILED, FlowStatus.BLOCKED, FlowStatus.LOST), (FlowStatus.QUEUED,)),
    )
}
APPROVAL_ENDS = (
    ApprovalStatus.APPROVED, ApprovalStatus.REJECTED, ApprovalStatus.EXPIRED, ApprovalStatus.CANCELLED,
)  # fmt: skip


class FlowTransition(msgspec.Struct, frozen=True, kw_only=True):
    """One move of one flow, ready for the guarded statement. Made by `flow_transition` only.

    ``claim_id`` (the engine's fence) and ``revision`` (a controller's) narrow it: where one is given, the move counts
    only while it still holds. ``ready_at`` is when the flow may next be claimed; ``unless_nudged`` refuses the move
    when news has come that the holder has not looked at. Fields that are None leave what is on record as it is, but
    for ``wait``, ``blocker`` and ``ready_at``, which belong to the state that is left or entered.
    """

    flow_id: str
    verb: FlowVerb
    sources: tuple[FlowStatus, ...]
    target: FlowStatus
    at: float
    claim_id: str | None = None
    revision: int | None = None
    ready_at: float | None = None
    unless_nudged: bool = False
    step: str | None = None
    state: dict[str, object] | None = None
    wait: dict[str, object] | None = None
    blocker: dict[str, object] | None = None
    cause: Cause | None = None
    error: str | None = None
    result: str | None = None
    steps_done: int | None = None
    steps_known: int | None = None


def flow_transition(
    flow_id: str, verb: FlowVerb, at: float, *, target: FlowStatus | None = None, **fields: object
) -> FlowTransition:
    """Build a transition of a flow. ``target`` is needed where a verb has several. Raises IllegalMove."""
    move = FLOW_MOVES.get(verb)
    if move is None:
        raise IllegalMove(f"{verb} moves nothing")
    if target is None and len(move.targets) == 1:
        target = move.targets[0]
    if target not in move.targets:
        raise IllegalMove(f"{verb} does not lead to {target}")
    return FlowTransition(flow_id=flow_id, verb=verb, sources=move.sources, target=target, at=at, **fields)  # type: ignore[arg-type]


def flow_chart() -> str:
    """Return the table of flows as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> queued: create"]
    for move in FLOW_MOVES.values():
        for source in move.sources:
            lines.extend(f"    {source.value} --> {target.value}: {move.verb.value}" for target in move.targets)
    return "\n".join(lines) + "\n"


def chart() -> str:
    """Return the table as a Mermaid state diagram: what the documentation shows."""
    lines = ["stateDiagram-v2", "    [*] --> queued: create"]
    for move in TASK_MOVES.values():
        for source in move.sources:
            lines.extend(f"    {source.value} --> {target.value}: {move.verb.value}" for target in move.targets)
    return "\n".join(lines) + "\n"
