"""The acts on approvals, as generators like those of `outlast.store.acts`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from outlast.core.approval import HELD_UNTIL, Approval
from outlast.core.errors import Conflict
from outlast.core.flow_notice import asked_notice
from outlast.core.task import NewTask, Notice, Task
from outlast.store.acts import create_task
from outlast.store.base_flows import Asked
from outlast.store.ends import decide
from outlast.store.flow_rows import approval_columns, approval_of
from outlast.store.flow_steps import notice_step
from outlast.store.steps import Steps


def approval_taken(approval_id: str) -> Conflict:
    """Return what a second approval with the same id gets."""
    return Conflict(f"there is an approval {approval_id} already", code="approval_exists", hint="use a new id")


def ask_approval(approval: Approval, task: NewTask | None) -> Steps[Asked]:
    """Put a question on record, with the work that is held until it is answered."""
    held: Task | None = None
    if task is not None:
        ask = {"approvalId": approval.id, **task.ask}
        created = yield from create_task(replace(task, not_before_at=HELD_UNTIL, ask=ask), None)
        held = created.task
        if created.existing:
            return Asked((yield from _pending_of(held.id)), held, True)
        approval = replace(approval, task_id=held.id)
    yield [
        ("create_approval", approval_columns(approval)),
        notice_step(approval.id, approval.created_at, asked_notice(approval)),
    ]
    return Asked(approval, held, False)


def _pending_of(task_id: str) -> Steps[Approval | None]:
    """Return the question a task waits for."""
    [found] = yield [("pending_of_task", {"task_id": task_id})]
    if not found:
        return None
    [rows] = yield [("get_approval", {"id": found[0][0]})]
    return approval_of(rows[0])


def tell_approval(approval_id: str, notice: Notice, now: float) -> Steps[bool]:
    """Tell somebody else of an approval."""
    [rows] = yield [("has_notice", {"idempotency_key": notice.idempotency_key})]
    if rows:
        return False
    yield [notice_step(approval_id, now, notice)]
    return True


def prune_approvals(before: float) -> Steps[int]:
    """Forget answers nobody needs any more."""
    [rows] = yield [("prune_approvals", {"before": before})]
    yield [("prune_outbox", {"task_id": row[0]}) for row in rows]
    return len(rows)


APPROVAL_ACTS: dict[str, Callable[..., Steps[Any]]] = {
    act.__name__: act for act in (ask_approval, decide, tell_approval, prune_approvals)
}
