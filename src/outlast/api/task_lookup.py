"""Which task a name means, for whom."""

from __future__ import annotations

from outlast.api.context import Api, Caller
from outlast.core.errors import BadInput, NotFound
from outlast.core.task import Task

CANDIDATES_MAX = 10


async def find_task(api: Api, caller: Caller, lookup: str) -> Task:
    """Return what a lookup means: an id, a unique beginning of one, a session or run id, or a conversation's newest.

    Raises NotFound, also for somebody else's task, and BadInput (``ambiguous``) naming the candidates.
    """
    if not lookup.strip():
        raise BadInput("the name of a task must not be empty")
    own = [task for task in await api.store.find_tasks(lookup, CANDIDATES_MAX * 2) if may_see(caller, task)]
    if not own:
        raise NotFound(
            f"no task {lookup!r}: not an id, the beginning of one, a session, a run or a conversation",
            hint="outlast tasks lists them",
        )
    if len(own) == 1:
        return own[0]
    lines = [f"{task.id}  {task.status.value}  {task.label or task.title or ''}".rstrip() for task in own]
    shown = "\n".join(lines[:CANDIDATES_MAX]) + ("\n…" if len(lines) > CANDIDATES_MAX else "")
    raise BadInput(f"{lookup!r} may mean several tasks", code="ambiguous", hint=shown)


def may_see(caller: Caller, task: Task) -> bool:
    """True when the task is this caller's own, or the caller is the operator."""
    return caller.operator or task.requester == caller.requester
