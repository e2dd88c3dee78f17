"""All acts and questions there are, by name: what both stores run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from outlast.core.errors import Conflict
from outlast.store.acts import ACTS as TASK_ACTS
from outlast.store.acts import taken
from outlast.store.agent_acts import AGENT_ACTS
from outlast.store.agent_questions import AGENT_QUESTIONS
from outlast.store.approvals import APPROVAL_ACTS, approval_taken
from outlast.store.base_flows import Child
from outlast.store.flow_acts import FLOW_ACTS, flow_taken, is_tied
from outlast.store.flow_moves import MOVE_ACTS
from outlast.store.flow_questions import FLOW_QUESTIONS
from outlast.store.questions import QUESTIONS as TASK_QUESTIONS
from outlast.store.rules import RULE_ACTS
from outlast.store.spawns import SPAWN_ACTS
from outlast.store.steps import Steps
from outlast.store.told import TOLD_ACTS
from outlast.store.told_questions import TOLD_QUESTIONS

ACTS: dict[str, Callable[..., Steps[Any]]] = {
    **TASK_ACTS,
    **TOLD_ACTS,
    **RULE_ACTS,
    **FLOW_ACTS,
    **MOVE_ACTS,
    **APPROVAL_ACTS,
    **AGENT_ACTS,
    **SPAWN_ACTS,
}
QUESTIONS: dict[str, Callable[..., Any]] = {**TASK_QUESTIONS, **TOLD_QUESTIONS, **FLOW_QUESTIONS, **AGENT_QUESTIONS}


_COUNTING = frozenset(
    ACTS[name]
    for name in (
        "claim_tasks",
        "claim_flows",
        "ask_cancel_flow",
        "retry_flow",
        "fork_flow",
        "prune_transcripts",
        "spawn",
        "give_turn",
        "take_beat",
        "forget_queue",
    )
)


def runs_alone(act: Callable[..., Steps[Any]], args: Sequence[Any]) -> bool:
    """True for an act that looks at rows other acts may write before it writes its own: no two such steps may mix."""
    if act is ACTS["create_flow"]:
        return is_tied(args[0])
    if act is ACTS["start_child"]:
        child: Child = args[3]
        return child.flow is not None and child.flow.concurrency_key is not None
    return act in _COUNTING


class Taken(NamedTuple):
    """What it means that an id is there already."""

    column: str
    constraint: str
    error: Callable[[str], Conflict]


_TASK = Taken("task.id", "task_pkey", taken)
_FLOW = Taken("flow.id", "flow_pkey", flow_taken)
_APPROVAL = Taken("approval.id", "approval_pkey", approval_taken)
TAKEN = {
    "create_task": _TASK, "start_task": _TASK, "create_flow": _FLOW, "start_flow": _FLOW, "create_approval": _APPROVAL,
}  # fmt: skip
"""By statement."""
