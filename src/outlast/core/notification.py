"""Who hears of what: one table of policies, and the notice a move causes. The store writes it with the move."""

from __future__ import annotations

from functools import cache

from outlast.core.lifecycle import Verb
from outlast.core.session import Cause, Status
from outlast.core.task import Notice, NotifyPolicy, Task

_BAD = (Status.FAILED, Status.TIMED_OUT, Status.LOST)


@cache
def told(verb: Verb, target: Status) -> frozenset[NotifyPolicy]:
    """Return the policies under which a move is told. Creating is never told: whoever asked knows."""
    if verb is Verb.CREATE:
        return frozenset()
    policies = {NotifyPolicy.STATE_CHANGES}
    if target.final:
        policies.add(NotifyPolicy.DONE_ONLY)
        # A corrected end is told to whoever was told it was lost, be it good or bad.
        if target in _BAD or verb is Verb.RECOVER:
            policies.add(NotifyPolicy.FAILURES_ONLY)
    return frozenset(policies)


def notice_of(task: Task, verb: Verb, cause: Cause | None) -> Notice | None:
    """Return the notice of a move that has just led to ``task`` as it stands; None when its policy is not told.

    The key is made of what happened, so the same move can never be told twice whoever writes it.
    """
    if task.notify not in told(verb, task.status):
        return None
    kind = "corrected" if verb is Verb.RECOVER else "ended" if task.status.final else "changed"
    body: dict[str, object] = {
        "taskId": task.id,
        "status": task.status.value,
        "cause": None if cause is None else cause.value,
        "label": task.label,
        "title": task.title,
        "attempt": task.attempt,
        "startedAt": task.started_at,
        "endedAt": task.ended_at,
        "exitCode": task.detail.get("exitCode"),
        "exitSignal": task.detail.get("exitSignal"),
        "error": task.error,
        "summary": task.summary,
        "sessionId": task.session_id,
    }
    return Notice(
        target=task.conversation or task.requester,
        kind=kind,
        idempotency_key=f"{task.id}:{verb.value}:{task.revision}",
        body={name: value for name, value in body.items() if value is not None},
    )
