"""Questions and their answers as they go on record, and the news of what an answer does to a task."""

from __future__ import annotations

from outlast.core.approval import Approval, ApprovalStatus, Verdict
from outlast.core.errors import BadInput
from outlast.core.task import NewTask
from outlast.ledger.tasks import Ledger
from outlast.process.keeper.crash import point
from outlast.store.base_flows import Asked

NOBODY = "outlast"
"""Who decides where nobody did: time has passed."""


async def ask(ledger: Ledger, approval: Approval, task: NewTask) -> Asked:
    """Put a question on record with the work it holds back, in one commit.

    Live work with the same dedupe key stands in for it, and nothing is recorded. Raises BadInput (``not_text``).
    """
    try:
        return await ledger.store.ask_approval(approval, task)
    except UnicodeEncodeError:
        raise BadInput("what is put on record must be text in valid UTF-8", code="not_text") from None


async def decide(ledger: Ledger, verdict: Verdict) -> Approval | None:
    """Answer a pending approval; None when somebody was first. Who waits for its task hears of it."""
    point("approvals:before_decide")
    approval = await ledger.store.decide(verdict)
    point("approvals:after_decide")
    if approval is not None and approval.task_id is not None:
        task = await ledger.store.get_task(approval.task_id)
        if task is not None:
            ledger.news.moved(task)
    return approval


async def expire(ledger: Ledger, approval: Approval) -> Approval | None:
    """Write down that nobody answered in time; None when somebody was first after all, or it is not time yet."""
    now = ledger.clock.now()
    verdict = Verdict(approval_id=approval.id, status=ApprovalStatus.EXPIRED, at=now, by=NOBODY, how=NOBODY)
    return await decide(ledger, verdict)
