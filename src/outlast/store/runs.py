"""How the run of a schedule counts for it: part of the act that ends its task or flow, and of its transaction."""

from __future__ import annotations

from outlast.core.flow import Flow
from outlast.core.schedule import FAILURES_MAX
from outlast.core.session import Status
from outlast.core.task import Notice, Task
from outlast.store.flow_steps import flow_line, notice_step
from outlast.store.rows import json_text
from outlast.store.steps import Step, Steps, line


def count_run(work: Task | Flow, at: float) -> Steps[list[Step]]:
    """Count how the run of a rule ended; too many failures in a row switch it off. Returns what is to be told of it."""
    if work.schedule_id is None or work.status == Status.CANCELLED:
        return []
    succeeded = int(work.status == Status.SUCCEEDED)
    [rows] = yield [("count_run", {"id": work.schedule_id, "succeeded": succeeded})]
    if not rows or rows[0][0] < FAILURES_MAX:
        return []
    kind = "task" if isinstance(work, Task) else "flow"
    why = f"{rows[0][0]} failures in a row, the last was {kind} {work.id}"
    [off] = yield [("disable_schedule", {"id": work.schedule_id, "now": at, "why": why})]
    if not off:
        return []
    notice = disabled_notice(work, why)
    data = json_text({"scheduleId": work.schedule_id, "why": why})
    if isinstance(work, Flow):
        return [flow_line(work.id, at, "disable", data), notice_step(work.id, at, notice)]
    return [line(work.id, at, "disable", data), (
        "append_notice",
        {
            "task_id": work.id, "verb": "disable", "at": at, "kind": notice.kind, "target": notice.target,
            "idempotency_key": notice.idempotency_key, "body": json_text(notice.body),
        },
    )]  # fmt: skip


def disabled_notice(work: Task | Flow, why: str) -> Notice:
    """Return what is told of a rule that was switched off."""
    name = work.label or work.schedule_id
    return Notice(
        target=work.channel or work.conversation or work.requester,
        kind="disabled",
        idempotency_key=f"{work.schedule_id}:disable:{work.id}",
        body={
            "title": f"schedule {name} is switched off: {why}",
            "text": f"schedule {name} is switched off: {why}.\nTo see why: outlast cron runs {name}\n"
            f"To switch it on again: outlast cron resume {name}",
            "scheduleId": work.schedule_id,
        },
    )
