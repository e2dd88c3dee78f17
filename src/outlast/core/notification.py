"""Who hears of what: one table of policies, and the notice a move causes. The store writes it with the move."""

from __future__ import annotations

from functools import cache

from outlast.core.lifecycle import Verb
from outlast.core.session import Cause, Status
from outlast.core.task import AGENTS, Notice, NotifyPolicy, Task

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
    return Notice(
        target=task.channel or listener_of(task),
        kind=kind,
        idempotency_key=f"{task.id}:{verb}:{task.revision}",
        body=_body_of(task, cause),
    )


def listener_of(task: Task) -> str:
    """Return the conversation that is told. The one a turn belongs to is its agent's own: whoever asked is told."""
    return task.requester if task.runtime in AGENTS else task.conversation or task.requester


def _body_of(task: Task, cause: Cause | None) -> dict[str, object]:
    """Return what is known of the move. Most tasks have few of these facts: those are added one by one."""
    body: dict[str, object] = {"taskId": task.id, "status": str(task.status)}
    if cause is not None:
        body["cause"] = str(cause)
    if task.label is not None:
        body["label"] = task.label
    if task.title is not None:
        body["title"] = task.title
    body["attempt"] = task.attempt
    if task.started_at is not None:
        body["startedAt"] = task.started_at
    if task.ended_at is not None:
        body["endedAt"] = task.ended_at
    for fact in () if task.runtime in AGENTS else ("exitCode", "exitSignal"):  # of a turn they are its runner's
        if (known := task.detail.get(fact)) is not None:
            body[fact] = known
    if task.error is not None:
        body["error"] = task.error
    if task.summary is not None:
        body["summary"] = task.summary
    if task.session_id is not None:
        body["sessionId"] = task.session_id
    if task.runtime in AGENTS:
        body |= _of_agent(task)
    return body


def _of_agent(task: Task) -> dict[str, object]:
    """Return what is told of a turn besides: whose it was, and what it used, as far as the agent said."""
    usage = task.detail.get("usage")
    used = usage if isinstance(usage, dict) else {}
    parts = [used[name] for name in ("inputTokens", "outputTokens") if isinstance(used.get(name), int)]
    facts = {
        "agent": task.ask.get("agent"), "conversation": task.conversation,
        "tokens": used.get("totalTokens") or (sum(parts) if parts else None), "costUsd": used.get("costUsd"),
    }  # fmt: skip
    return {name: fact for name, fact in facts.items() if fact is not None}
