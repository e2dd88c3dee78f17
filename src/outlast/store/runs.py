"""How the run of a schedule counts for it: part of the act that ends the task, and of its transaction."""

from __future__ import annotations

from outlast.core.schedule import FAILURES_MAX
from outlast.core.session import Status
from outlast.core.task import Notice, Task
from outlast.store.rows import json_text
from outlast.store.steps import Step, Steps, line


def count_run(task: Task, at: float) -> Steps[list[Step]]:
    """Count how the run of a rule ended; too many failures in a row switch it off. Returns what is to be told of it."""
    if task.schedule_id is None or task.status is Status.CANCELLED:
        return []
    succeeded = int(task.status is Status.SUCCEEDED)
    [rows] = yield [("count_run", {"id": task.schedule_id, "succeeded": succeeded})]
    if not rows or rows[0][0] < FAILURES_MAX:
        return []
    why = f"{rows[0][0]} failures in a row, the last was task {task.id}"
    [off] = yield [("disable_schedule", {"id": task.schedule_id, "now": at, "why": why})]
    if not off:
        return []
    notice = disabled_notice(task, why)
    return [line(task.id, at, "disable", json_text({"scheduleId": task.schedule_id, "why": why})), (
        "append_notice",
        {
            "task_id": task.id, "verb": "disable", "at": at, "kind": notice.kind, "target": notice.target,
            "idempotency_key": notice.idempotency_key, "body": json_text(notice.body),
        },
    )]  # fmt: skip


def disabled_notice(task: Task, why: str) -> Notice:
    """Return what is told of a rule that was switched off."""
    name = task.label or task.schedule_id
    return Notice(
        target=task.channel or task.conversation or task.requester,
        kind="disabled",
        idempotency_key=f"{task.schedule_id}:disable:{task.id}",
        body={
            "title": f"schedule {name} is switched off: {why}",
            "text": f"schedule {name} is switched off: {why}.\nTo see why: outlast cron runs {name}\n"
            f"To switch it on again: outlast cron resume {name}",
            "scheduleId": task.schedule_id,
        },
    )
