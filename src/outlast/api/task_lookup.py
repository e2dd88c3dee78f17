"""Which task a name means, for whom."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.api.context import Api, Caller
from outlast.core.errors import BadInput, NotFound
from outlast.core.task import AGENTS, Task, TaskFilter
from outlast.store.base import LIST_MAX

CANDIDATES_MAX = 10


async def find_task(api: Api, caller: Caller, lookup: str) -> Task:
    """Return what a lookup means: an id, a unique beginning of one, a session or run id, or a conversation's newest.

    Raises NotFound, also for somebody else's task, and BadInput (``ambiguous``) naming the candidates.
    """
    if not lookup.strip():
        raise BadInput("the name of a task must not be empty")
    # Among those of others there may be many before one's own.
    limit = CANDIDATES_MAX * 2 if caller.operator else LIST_MAX
    own = [task for task in await api.store.find_tasks(lookup, limit) if may_see(caller, task)]
    if not own and not caller.operator:
        own = await _of_conversation(api, caller, lookup)
    if not own:
        raise NotFound(
            f"no task {lookup!r}: not an id, the beginning of one, a session, a run or a conversation",
            hint=await _hint(api, caller, lookup),
        )
    if len(own) == 1:
        return own[0]
    lines = [f"{task.id}  {task.status.value}  {task.label or task.title or ''}".rstrip() for task in own]
    shown = "\n".join(lines[:CANDIDATES_MAX]) + ("\n…" if len(lines) > CANDIDATES_MAX else "")
    raise BadInput(f"{lookup!r} may mean several tasks", code="ambiguous", hint=shown)


async def _of_conversation(api: Api, caller: Caller, lookup: str) -> list[Task]:
    """Return the caller's own newest task in a conversation whose newest is somebody else's."""
    narrow = TaskFilter(requester=caller.requester, conversation=lookup)
    return (await api.store.list_tasks(narrow, 1)).tasks


async def _hint(api: Api, caller: Caller, lookup: str) -> str:
    """Point to the list; a label is no name, as many tasks may have it."""
    narrow = TaskFilter(label=lookup, requester=None if caller.operator else caller.requester)
    labelled = (await api.store.list_tasks(narrow, 1)).tasks
    return (
        f"there are tasks with that label: outlast tasks list --label {lookup}"
        if labelled
        else "outlast tasks lists them"
    )


def may_see(caller: Caller, task: Task) -> bool:
    """True when the task is this caller's own, or the caller is the operator. A turn is its agent's own, too."""
    turn_of = task.conversation if task.runtime in AGENTS else None
    return caller.operator or caller.requester in (task.requester, turn_of)


async def task_around(api: Api, caller: Caller, env: Mapping[str, str] | None) -> Task | None:
    """Return the task from whose work a request comes, by the environment it was made in; None where there is none."""
    inside = (env or {}).get("OUTLAST_TASK_ID")
    if not inside:
        return None
    try:
        return await find_task(api, caller, inside)
    except (NotFound, BadInput):
        return None  # another home's task
