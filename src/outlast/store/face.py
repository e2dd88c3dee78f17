"""The acts and questions as methods, the same for every store: each names itself to the store below."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, cast

from outlast.core.agent import AgentConversation
from outlast.core.flow import NewFlow
from outlast.core.lifecycle import Transition
from outlast.core.session import Status
from outlast.core.task import Event, NewTask, NotifyPolicy, StartClaim, Task, TaskFilter
from outlast.store.base import LIST_MAX, Change, Claim, Claimed, Created, OutboxRow, Page, QueueState
from outlast.store.face_agents import AgentFace
from outlast.store.face_flows import FlowFace
from outlast.store.face_told import ToldFace


class Face(ToldFace, FlowFace, AgentFace):
    """What `Store` promises, but for opening and closing. See there for what each method does."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Change], None]] = []

    @abstractmethod
    def _act(self, name: str, *args: Any) -> Awaitable[Any]:  # noqa: ANN401
        """Ask for an act of `outlast.store.acts`; its result comes after the commit."""

    @abstractmethod
    async def _ask(self, name: str, *args: Any, **params: Any) -> Any:  # noqa: ANN401
        """Run a question of `outlast.store.questions`."""

    def on_change(self, callback: Callable[[Change], None]) -> None:
        """Call back in the event loop after commits."""
        self._callbacks.append(callback)

    def _changed(self, change: Change) -> None:
        for callback in self._callbacks:
            callback(change)

    async def create_task(self, new: NewTask, start: StartClaim | None = None) -> Created:
        return cast(Created, await self._act("create_task", new, start))

    async def create_mirrored(self, new: NewTask, flow: NewFlow, start: StartClaim | None = None) -> Created:
        return cast(Created, await self._act("create_mirrored", new, flow, start))

    async def spawn(
        self, new: NewTask, child: AgentConversation, flow: NewFlow, start: StartClaim | None = None
    ) -> Created:
        return cast(Created, await self._act("spawn", new, child, flow, start))

    async def give_turn(self, new: NewTask, start: StartClaim | None = None) -> Created:
        return cast(Created, await self._act("give_turn", new, start))

    async def claim_tasks(self, claim: Claim) -> list[Claimed]:
        return cast(list[Claimed], await self._act("claim_tasks", claim))

    async def apply(self, transition: Transition) -> Task | None:
        return cast(Task | None, await self._act("apply", transition))

    async def reclaim(self, task_id: str, old_claim_id: str, start: StartClaim, now: float) -> Task | None:
        return cast(Task | None, await self._act("reclaim", task_id, old_claim_id, start, now))

    async def append_event(self, task_id: str, verb: str, at: float, data: dict[str, object]) -> Event | None:
        return cast(Event | None, await self._act("append_event", task_id, verb, at, data))

    async def renew_leases(self, claim_ids: Sequence[str], until: float) -> set[str]:
        return cast(set[str], await self._act("renew_leases", claim_ids, until))

    async def note_progress(
        self, task_id: str, now: float, *, progress: int | None, message: str | None, claim_id: str | None = None
    ) -> Task | None:
        return cast(Task | None, await self._act("note_progress", task_id, now, progress, message, claim_id))

    async def note_seen(self, task_ids: Sequence[str], now: float) -> int:
        return cast(int, await self._act("note_seen", task_ids, now))

    async def attach_session(
        self, task_id: str, session_id: str, now: float, *, claim_id: str | None = None
    ) -> Task | None:
        return cast(Task | None, await self._act("attach_session", task_id, session_id, now, claim_id))

    async def set_notify(self, task_id: str, policy: NotifyPolicy, now: float) -> Task | None:
        return cast(Task | None, await self._act("set_notify", task_id, policy, now))

    async def dismiss(self, task_id: str, now: float) -> Task | None:
        return cast(Task | None, await self._act("dismiss", task_id, now))

    async def ask_cancel(self, task_id: str, now: float) -> Task | None:
        return cast(Task | None, await self._act("ask_cancel", task_id, now))

    async def set_queue_limit(self, name: str, limit_max: int | None) -> None:
        await self._act("set_queue_limit", name, limit_max)

    async def forget_queue(self, name: str) -> None:
        await self._act("forget_queue", name)

    async def settle_notice(
        self, notice_id: int, state: Literal["delivered", "parked"], now: float, error: str | None = None
    ) -> bool:
        return cast(bool, await self._act("settle_notice", notice_id, state, now, error))

    async def drop_payloads(self, task_ids: Sequence[str]) -> int:
        return cast(int, await self._act("drop_payloads", task_ids))

    async def prune(self, task_ids: Sequence[str]) -> int:
        return cast(int, await self._act("prune", task_ids))

    async def get_task(self, task_id: str) -> Task | None:
        return cast(Task | None, await self._ask("get_task", task_id))

    async def find_tasks(self, lookup: str, limit: int = 10) -> list[Task]:
        return cast(list[Task], await self._ask("find_tasks", lookup, limit))

    async def list_tasks(self, narrow: TaskFilter, limit: int, cursor: str | None = None) -> Page:
        return cast(Page, await self._ask("list_tasks", narrow, limit, cursor))

    async def events_of(self, task_id: str, after: int = 0, limit: int = LIST_MAX) -> list[Event]:
        return cast(list[Event], await self._ask("events_of", task_id, after, limit))

    async def events_since(self, after: int, limit: int = LIST_MAX) -> list[Event]:
        return cast(list[Event], await self._ask("events_since", after, limit))

    async def last_event_id(self) -> int:
        return cast(int, await self._ask("last_event_id"))

    async def payload_of(self, task_id: str) -> dict[str, object] | None:
        return cast("dict[str, object] | None", await self._ask("payload_of", task_id))

    async def children_of(self, task_id: str, limit: int = LIST_MAX) -> list[Task]:
        return cast(list[Task], await self._ask("children_of", limit, parent_id=task_id))

    async def counts(self) -> dict[Status, int]:
        return cast(dict[Status, int], await self._ask("counts"))

    async def counts_live(self) -> dict[Status, int]:
        return cast(dict[Status, int], await self._ask("counts_live"))

    async def queues(self) -> list[QueueState]:
        return cast(list[QueueState], await self._ask("queues"))

    async def expired_leases(self, now: float, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("expired_leases", limit, now=now))

    async def running_tasks(self, node: str | None, limit: int, after: str = "") -> list[Task]:
        return cast(list[Task], await self._ask("running_tasks", limit, node=node, after=after))

    async def cancel_asked(self, node: str | None, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("cancel_asked", limit, node=node))

    async def lost_on(self, node: str, limit: int, after: str = "") -> list[Task]:
        return cast(list[Task], await self._ask("lost_on", limit, node=node, after=after))

    async def past_deadline(self, now: float, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("past_deadline", limit, now=now))

    async def next_due(self) -> float | None:
        return cast(float | None, await self._ask("next_due"))

    async def stale_queued(self, before: float, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("stale_queued", limit, before=before))

    async def stale_running(self, before: float, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("stale_running", limit, before=before))

    async def delivery_failed(self, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("delivery_failed", limit))

    async def missing_cleanup(self, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("missing_cleanup", limit))

    async def inconsistent_timestamps(self, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("inconsistent_timestamps", limit))

    async def ended_before(self, before: float, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("ended_before", limit, before=before))

    async def outbox_counts(self) -> dict[str, int]:
        return cast(dict[str, int], await self._ask("outbox_counts"))

    async def pending_outbox(self, limit: int, after: int = 0) -> list[OutboxRow]:
        return cast(list[OutboxRow], await self._ask("pending_outbox", limit, after))
