"""What is wrong with agents, or may be. One bounded pass of indexed questions; nothing is changed.

What an agent has said of itself is shown as one line in which every character can be seen.
"""

from __future__ import annotations

from collections.abc import Collection

from outlast.core.agent import Beat
from outlast.core.approval import Approval
from outlast.core.durations import format_duration
from outlast.core.findings import KINDS, Code, Finding
from outlast.core.task import Task
from outlast.core.visible import visible_line
from outlast.ledger.audit import LastSign
from outlast.store.base import LIST_MAX, Store

SAID_MAX, HINT_MAX = 200, 300
"""Characters of what an agent, or who speaks with it, said of its trouble, and of how it is logged in."""


async def audit_agents(
    store: Store, now: float, agents: Collection[str], *, limit: int, last_sign: LastSign | None = None
) -> tuple[list[tuple[Finding, Task | Approval | Beat]], bool]:
    """Return the findings about agents, each with what it is about, and whether a kind had more than ``limit``.

    ``agents`` are the names of those that are configured: that others have failed is of no use to anybody.
    """
    wanted = await store.login_wanted(LIST_MAX)
    quiet = await store.silent_agents(now - KINDS[Code.SILENT_AGENT].after_seconds, limit + 1)
    parked = await store.parked_permissions(now - KINDS[Code.PARKED_PERMISSION].after_seconds, limit + 1)
    beats = await store.failing_beats(LIST_MAX)
    known = [task for task in wanted if task.ask.get("agent") in agents]
    failing = [beat for beat in beats if beat.agent in agents]
    found: list[tuple[Finding, Task | Approval | Beat]] = [(_login(task), task) for task in known[:limit]]
    found += [(finding, task) for task in quiet[:limit] if (finding := _silent(task, now, last_sign)) is not None]
    found += [(_parked(one, now), one) for one in parked[:limit] if one.expires_at is None or one.expires_at > now]
    found += [(_failing(beat), beat) for beat in failing[:limit]]
    return found, any(len(rows) > limit for rows in (known, quiet, parked, failing))


def _login(task: Task) -> Finding:
    agent, hint = str(task.ask["agent"]), task.detail.get("hint")
    said = f": {visible_line(task.error, SAID_MAX)}" if task.error else ""
    mend = visible_line(hint, HINT_MAX) if isinstance(hint, str) and hint.strip() else f"outlast agents check {agent}"
    message = f"agent {agent} wants a login{said}"
    return Finding(Code.LOGIN_WANTED, agent, message, task.id, since=task.ended_at, about=mend)


def _silent(task: Task, now: float, last_sign: LastSign | None) -> Finding | None:
    """Return what there is to say; None when a closer look shows a sign of life."""
    signs = [task.seen_at, task.started_at, None if last_sign is None else last_sign(task)]
    since = max((sign for sign in signs if sign is not None), default=now)
    if now - since <= KINDS[Code.SILENT_AGENT].after_seconds:
        return None
    agent = visible_line(str(task.ask.get("agent")), SAID_MAX)
    message = f"agent {agent} has said nothing and done nothing for {format_duration(now - since)}"
    return Finding(Code.SILENT_AGENT, task.label or task.title or agent, message, task.id, since)


def _parked(approval: Approval, now: float) -> Finding:
    age = format_duration(max(0.0, now - approval.created_at))
    message = f"nobody has answered for {age}: {visible_line(approval.prompt, SAID_MAX)}"
    return Finding(
        Code.PARKED_PERMISSION, approval.id, message, approval.task_id, since=approval.created_at, about=approval.id
    )


def _failing(beat: Beat) -> Finding:
    message = f"the last 3 beats that ran have failed; the newest: {visible_line(beat.reason, SAID_MAX)}"
    return Finding(Code.FAILING_HEARTBEAT, beat.agent, message, since=beat.ended_at, about=beat.agent)
