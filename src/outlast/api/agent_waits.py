"""What a turn of an agent waits for: an answer, the turn before it in its conversation, a place among those at work."""

from __future__ import annotations

from outlast.api.agent_results import TurnWait
from outlast.api.context import Api
from outlast.core.agent import LANE, main_of
from outlast.core.approval import ApprovalFilter, ApprovalKind, ApprovalStatus
from outlast.core.session import Status
from outlast.core.task import AGENTS, Task, TaskFilter

LOOKED_AT = 1000


async def turn_wait(api: Api, task: Task) -> TurnWait | None:
    """Return what a turn waits for; None where it waits for nobody, or is no turn."""
    if task.runtime not in AGENTS or task.status.final:
        return None
    if task.status is Status.RUNNING:
        return await _leave(api, task)
    return await _turn_before(api, task) or await _beat(api, task) or await _place(api, task)


async def _leave(api: Api, task: Task) -> TurnWait | None:
    narrow = ApprovalFilter(statuses=(ApprovalStatus.PENDING,), kind=ApprovalKind.ACP)
    page = await api.store.list_approvals(narrow, LOOKED_AT)
    asked = next((one for one in page.approvals if one.task_id == task.id), None)
    if asked is None:
        return None
    return TurnWait(words=f"waits for leave: approval {asked.id}", command=f"outlast approvals show {asked.id}")


async def _turn_before(api: Api, task: Task) -> TurnWait | None:
    """The turn that is under way in the conversation, else the first of those that were asked for earlier."""
    for status in (Status.RUNNING, Status.QUEUED):
        narrow = TaskFilter(conversation=task.conversation, statuses=(status,))
        others = [
            one
            for one in (await api.store.list_tasks(narrow, LOOKED_AT)).tasks
            if one.runtime in AGENTS and one.id != task.id and (status is Status.RUNNING or _is_before(one, task))
        ]
        if others:
            first = others[-1].id
            return TurnWait(
                words=f"waits for turn {first}, which is before it in its conversation",
                command=f"outlast subagents log -f {first}",
            )
    return None


def _is_before(one: Task, other: Task) -> bool:
    return one.queue == other.queue and (-one.priority, one.created_at, one.id) < (
        -other.priority, other.created_at, other.id,
    )  # fmt: skip


async def _beat(api: Api, task: Task) -> TurnWait | None:
    """A beat of the heartbeat is no task, but it is a turn."""
    agent = main_of(task.conversation or "")
    if agent is None or agent not in [beat.agent for beat in await api.store.open_beats()]:
        return None
    return TurnWait(
        words="waits for a beat of the heartbeat, which is under way in its conversation",
        command=f"outlast heartbeat history {agent}",
    )


async def _place(api: Api, task: Task) -> TurnWait | None:
    if task.queue != LANE:
        return None
    lane = next((queue for queue in await api.store.queues() if queue.name == LANE), None)
    if lane is None or lane.limit_max is None or lane.running < lane.limit_max:
        return None
    return TurnWait(
        words=f"waits for a place: {lane.running} spawned agents are at work, and no more than {lane.limit_max} may be",
        command="outlast subagents list --status running",
    )
