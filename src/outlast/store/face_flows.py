"""The acts and questions of flows and approvals as methods, the same for every store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from outlast.core.approval import Approval, ApprovalFilter, Verdict
from outlast.core.flow import Flow, FlowEvent, FlowFilter, FlowWorker, NewFlow, SignalRow, StepRow
from outlast.core.lifecycle import FlowTransition
from outlast.core.task import NewTask, Notice
from outlast.store.base_flows import ApprovalPage, Asked, Child, FlowClaim, FlowCreated, FlowPage, HeldFlow


class FlowFace(ABC):
    """What `FlowActs`, `ApprovalActs` and `FlowQuestions` promise. See there for what each method does."""

    @abstractmethod
    def _act(self, name: str, *args: Any) -> Awaitable[Any]:  # noqa: ANN401
        """Ask for an act; its result comes after the commit."""

    @abstractmethod
    async def _ask(self, name: str, *args: Any, **params: Any) -> Any:  # noqa: ANN401
        """Run a question."""

    async def create_flow(self, new: NewFlow, start: FlowClaim | None = None) -> FlowCreated:
        return cast(FlowCreated, await self._act("create_flow", new, start))

    async def claim_flows(self, claim: FlowClaim) -> list[HeldFlow]:
        return cast(list[HeldFlow], await self._act("claim_flows", claim))

    def checkpoint(
        self, flow_id: str, claim_id: str, rows: Sequence[StepRow], renew_until: float | None = None
    ) -> Awaitable[bool]:
        return self._act("checkpoint", flow_id, claim_id, rows, renew_until)

    async def start_child(self, flow_id: str, claim_id: str, row: StepRow, child: Child) -> bool:
        return cast(bool, await self._act("start_child", flow_id, claim_id, row, child))

    async def take_signal(self, flow_id: str, claim_id: str, row: StepRow, name: str, now: float) -> StepRow | None:
        return cast(StepRow | None, await self._act("take_signal", flow_id, claim_id, row, name, now))

    async def look_at_flow(self, flow_id: str, claim_id: str) -> HeldFlow | None:
        return cast(HeldFlow | None, await self._act("look_at_flow", flow_id, claim_id))

    async def move_flow(self, move: FlowTransition) -> Flow | None:
        return cast(Flow | None, await self._act("move_flow", move))

    async def renew_flow_leases(self, claim_ids: Sequence[str], until: float) -> set[str]:
        return cast(set[str], await self._act("renew_flow_leases", claim_ids, until))

    async def release_flows_of(self, worker: str, now: float, *, died: bool = True) -> int:
        return cast(int, await self._act("release_flows_of", worker, now, died))

    async def send_signal(
        self, flow_id: str, name: str, payload: str, at: float, by: str, key: str | None
    ) -> SignalRow | None:
        return cast(SignalRow | None, await self._act("send_signal", flow_id, name, payload, at, by, key))

    async def ask_cancel_flow(self, flow_id: str, now: float, reason: str | None) -> Flow | None:
        return cast(Flow | None, await self._act("ask_cancel_flow", flow_id, now, reason))

    async def link_task(self, flow_id: str, task_id: str, now: float, revision: int | None) -> Flow | None:
        return cast(Flow | None, await self._act("link_task", flow_id, task_id, now, revision))

    async def retry_flow(self, flow_id: str, from_key: str | None, now: float) -> Flow | None:
        return cast(Flow | None, await self._act("retry_flow", flow_id, from_key, now))

    async def fork_flow(self, flow_id: str, new_id: str, from_key: str, now: float) -> Flow | None:
        return cast(Flow | None, await self._act("fork_flow", flow_id, new_id, from_key, now))

    async def flow_worker(self, worker: FlowWorker) -> None:
        await self._act("flow_worker", worker)

    async def remove_flow_worker(self, worker_id: str) -> None:
        await self._act("remove_flow_worker", worker_id)

    async def prune_flows(self, flow_ids: Sequence[str]) -> int:
        return cast(int, await self._act("prune_flows", flow_ids))

    async def ask_approval(self, approval: Approval, task: NewTask | None = None) -> Asked:
        return cast(Asked, await self._act("ask_approval", approval, task))

    async def decide(self, verdict: Verdict) -> Approval | None:
        return cast(Approval | None, await self._act("decide", verdict))

    async def tell_approval(self, approval_id: str, notice: Notice, now: float) -> bool:
        return cast(bool, await self._act("tell_approval", approval_id, notice, now))

    async def prune_approvals(self, before: float) -> int:
        return cast(int, await self._act("prune_approvals", before))

    async def get_flow(self, flow_id: str) -> Flow | None:
        return cast(Flow | None, await self._ask("get_flow", flow_id))

    async def find_flows(self, lookup: str, limit: int = 10) -> list[Flow]:
        return cast(list[Flow], await self._ask("find_flows", lookup, limit))

    async def list_flows(self, narrow: FlowFilter, limit: int, cursor: str | None = None) -> FlowPage:
        return cast(FlowPage, await self._ask("list_flows", narrow, limit, cursor))

    async def steps_of(self, flow_id: str, after: int = -1, limit: int = 1000) -> list[StepRow]:
        return cast(list[StepRow], await self._ask("steps_of", flow_id, after, limit))

    async def step_counts(self, flow_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        return cast(dict[str, tuple[int, int]], await self._ask("step_counts", flow_ids))

    async def flow_input(self, flow_id: str) -> dict[str, object]:
        return cast(dict[str, object], await self._ask("flow_input", flow_id))

    async def flow_events(self, flow_id: str, after: int = 0, limit: int = 1000) -> list[FlowEvent]:
        return cast(list[FlowEvent], await self._ask("flow_events", limit, flow_id=flow_id, after=after))

    async def signals_of(self, flow_id: str, limit: int = 1000) -> list[SignalRow]:
        return cast(list[SignalRow], await self._ask("signals_of", limit, flow_id=flow_id))

    async def child_flows(self, flow_id: str, limit: int = 1000) -> list[Flow]:
        return cast(list[Flow], await self._ask("child_flows", limit, parent_id=flow_id))

    async def live_tasks_of_flow(self, flow_id: str, limit: int = 1000) -> list[str]:
        return cast(list[str], await self._ask("live_tasks_of_flow", limit, flow_id=flow_id))

    async def nudged_flows(self, worker: str) -> list[str]:
        return cast(list[str], await self._ask("nudged_flows", worker=worker))

    async def next_flow_ready(self, handlers: Sequence[str], after: float = -1.0) -> float | None:
        return cast(float | None, await self._ask("next_flow_ready", handlers, after))

    async def ready_handlers(self, now: float) -> list[str]:
        return cast(list[str], await self._ask("ready_handlers", now))

    async def flow_workers(self) -> list[FlowWorker]:
        return cast(list[FlowWorker], await self._ask("flow_workers"))

    async def flow_counts(self) -> dict[str, int]:
        return cast(dict[str, int], await self._ask("flow_counts"))

    async def flows_waiting_since(self, before: float, limit: int) -> list[Flow]:
        return cast(list[Flow], await self._ask("flows_waiting_since", limit, before=before))

    async def flows_blocked_since(self, before: float, limit: int) -> list[Flow]:
        return cast(list[Flow], await self._ask("flows_blocked_since", limit, before=before))

    async def flows_cancelling_since(self, before: float, limit: int) -> list[Flow]:
        return cast(list[Flow], await self._ask("flows_cancelling_since", limit, before=before))

    async def flows_missing_tasks(self, limit: int) -> list[StepRow]:
        return cast(list[StepRow], await self._ask("flows_missing_tasks", limit))

    async def flows_ready_since(self, before: float, limit: int) -> list[Flow]:
        return cast(list[Flow], await self._ask("flows_ready_since", before, limit))

    async def flows_ended_before(self, before: float, limit: int) -> list[Flow]:
        return cast(list[Flow], await self._ask("flows_ended_before", limit, before=before))

    async def get_approval(self, approval_id: str) -> Approval | None:
        return cast(Approval | None, await self._ask("get_approval", id=approval_id))

    async def find_approvals(self, lookup: str, limit: int = 10) -> list[Approval]:
        return cast(list[Approval], await self._ask("find_approvals", lookup, limit))

    async def list_approvals(self, narrow: ApprovalFilter, limit: int, cursor: str | None = None) -> ApprovalPage:
        return cast(ApprovalPage, await self._ask("list_approvals", narrow, limit, cursor))

    async def due_approvals(self, now: float, limit: int) -> list[Approval]:
        return cast(list[Approval], await self._ask("due_approvals", limit, now=now))

    async def next_approval_due(self, after: float = -1.0) -> float | None:
        return cast(float | None, await self._ask("next_approval_due", after=after))
