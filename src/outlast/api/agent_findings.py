"""What is wrong with agents, as far as a caller may see it."""

from __future__ import annotations

from outlast.api import approvals
from outlast.api.context import Api, Caller
from outlast.api.task_lookup import may_see
from outlast.core.agent import Beat
from outlast.core.approval import Approval
from outlast.core.findings import Finding
from outlast.core.task import Task
from outlast.ledger.agent_audit import audit_agents
from outlast.runtimes import evidence


async def agent_findings(api: Api, caller: Caller, now: float, limit: int) -> tuple[list[Finding], bool]:
    """Return the findings about agents that a caller may see, and whether a kind had more than ``limit``."""
    found, more = await audit_agents(
        api.store,
        now,
        frozenset(api.config.agents),
        limit=limit,
        last_sign=lambda task: evidence.last_sign(api.sessions, task),
    )
    return [finding for finding, about in found if _may_see(api, caller, about)], more


def _may_see(api: Api, caller: Caller, about: Task | Approval | Beat) -> bool:
    if isinstance(about, Task):
        return may_see(caller, about)
    if isinstance(about, Approval):
        return approvals.may_see(api, caller, about)
    return caller.operator or caller.requester.startswith(f"agent:{about.agent}:")  # a heartbeat is its agent's own
