"""The acts and questions of telling and rules as methods, the same for every store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from outlast.core.conversation import Conversation, NewSystemEvent, SystemEvent, Wake
from outlast.core.schedule import Schedule
from outlast.core.task import StartClaim
from outlast.store.base_told import EVER, Fired, FiringRow, NewFiring, NoticeRow


class ToldFace(ABC):
    """What `ToldActs`, `ScheduleActs` and `ToldQuestions` promise. See there for what each method does."""

    @abstractmethod
    def _act(self, name: str, *args: Any) -> Awaitable[Any]:  # noqa: ANN401
        """Ask for an act; its result comes after the commit."""

    @abstractmethod
    async def _ask(self, name: str, *args: Any, **params: Any) -> Any:  # noqa: ANN401
        """Run a question."""

    async def claim_notice(self, notice_id: int, expected: float, until: float) -> bool:
        return cast(bool, await self._act("claim_notice", notice_id, expected, until))

    async def retry_notice(self, notice_id: int, next_at: float, error: str) -> bool:
        return cast(bool, await self._act("retry_notice", notice_id, next_at, error))

    async def revive_notice(self, notice_id: int, now: float) -> bool:
        return cast(bool, await self._act("revive_notice", notice_id, now))

    async def dismiss_notice(self, notice_id: int, now: float) -> bool:
        return cast(bool, await self._act("dismiss_notice", notice_id, now))

    async def settle_seen(self, task_ids: Sequence[str], target: str, now: float, how: str) -> int:
        return cast(int, await self._act("settle_seen", task_ids, target, now, how))

    async def deliver_to_conversation(self, target: str, now: float, limit: int = 200) -> int:
        return cast(int, await self._act("deliver_to_conversation", target, now, limit))

    async def add_system_event(self, new: NewSystemEvent) -> bool:
        return cast(bool, await self._act("add_system_event", new))

    async def ack_events(self, conversation: str, upto: int, now: float) -> int:
        return cast(int, await self._act("ack_events", conversation, upto, now))

    async def prune_system_events(self, before: float) -> None:
        await self._act("prune_system_events", before)

    async def prune_firings(self, before: float) -> None:
        await self._act("prune_firings", before)

    async def add_wake(self, wake: Wake) -> None:
        await self._act("add_wake", wake)

    async def remove_wake(self, wake_id: str) -> bool:
        return cast(bool, await self._act("remove_wake", wake_id))

    async def settle_wake(self, wake: Wake, sent_event_id: int, now: float) -> bool:
        return cast(bool, await self._act("settle_wake", wake, sent_event_id, now))

    async def claim_wake(self, wake_id: str, expected: float, until: float) -> bool:
        return cast(bool, await self._act("claim_wake", wake_id, expected, until))

    async def retry_wake(self, wake_id: str, due_at: float, error: str) -> bool:
        return cast(bool, await self._act("retry_wake", wake_id, due_at, error))

    async def delay_wake(self, wake_id: str, due_at: float) -> bool:
        return cast(bool, await self._act("delay_wake", wake_id, due_at))

    async def park_wake(self, wake_id: str, now: float, error: str) -> bool:
        return cast(bool, await self._act("park_wake", wake_id, now, error))

    async def revive_wake(self, wake_id: str, now: float) -> bool:
        return cast(bool, await self._act("revive_wake", wake_id, now))

    async def add_schedule(self, schedule: Schedule) -> None:
        await self._act("add_schedule", schedule)

    async def edit_schedule(self, schedule: Schedule) -> Schedule | None:
        return cast(Schedule | None, await self._act("edit_schedule", schedule))

    async def remove_schedule(self, schedule_id: str) -> bool:
        return cast(bool, await self._act("remove_schedule", schedule_id))

    async def fire(
        self,
        before: Schedule,
        after: Schedule,
        firings: Sequence[NewFiring],
        now: float,
        start: StartClaim | None = None,
    ) -> Fired | None:
        return cast(Fired | None, await self._act("fire", before, after, firings, now, start))

    async def fire_manually(
        self, schedule: Schedule, firing: NewFiring, now: float, start: StartClaim | None = None
    ) -> Fired:
        return cast(Fired, await self._act("fire_manually", schedule, firing, now, start))

    async def disable_schedule(self, schedule_id: str, why: str, now: float) -> bool:
        return cast(bool, await self._act("disable_schedule", schedule_id, why, now))

    async def due_heads(self, now: float, limit: int) -> list[NoticeRow]:
        return cast(list[NoticeRow], await self._ask("due_heads", limit, now=now))

    async def next_notice_due(self, after: float = EVER) -> float | None:
        return cast(float | None, await self._ask("next_notice_due", after=after))

    async def pending_of(self, target: str, limit: int) -> list[NoticeRow]:
        return cast(list[NoticeRow], await self._ask("pending_of", limit, target=target))

    async def get_notice(self, notice_id: int) -> NoticeRow | None:
        return cast(NoticeRow | None, await self._ask("get_notice", id=notice_id))

    async def list_notices(
        self, state: str | None, target: str | None, limit: int, before: int | None = None
    ) -> list[NoticeRow]:
        return cast(list[NoticeRow], await self._ask("list_notices", state, target, limit, before))

    async def conversations(self, limit: int, after: str = "") -> list[Conversation]:
        return cast(list[Conversation], await self._ask("conversations", limit, after))

    async def system_events(
        self, conversation: str, after: int, limit: int, *, waiting: bool = True
    ) -> list[SystemEvent]:
        return cast(list[SystemEvent], await self._ask("system_events", conversation, after, limit, waiting))

    async def last_system_event(self, conversation: str) -> int:
        return cast(int, await self._ask("last_system_event", conversation=conversation))

    async def get_wake(self, wake_id: str) -> Wake | None:
        return cast(Wake | None, await self._ask("get_wake", id=wake_id))

    async def wakes_of(self, conversation: str) -> list[Wake]:
        return cast(list[Wake], await self._ask("wakes_of", conversation))

    async def list_wakes(self, limit: int) -> list[Wake]:
        return cast(list[Wake], await self._ask("list_wakes", limit))

    async def due_wakes(self, now: float, limit: int) -> list[Wake]:
        return cast(list[Wake], await self._ask("due_wakes", limit, now=now))

    async def parked_wakes(self, limit: int) -> list[Wake]:
        return cast(list[Wake], await self._ask("parked_wakes", limit))

    async def next_wake_due(self, after: float = EVER) -> float | None:
        return cast(float | None, await self._ask("next_wake_due", after=after))

    async def get_schedule(self, schedule_id: str) -> Schedule | None:
        return cast(Schedule | None, await self._ask("get_schedule", id=schedule_id))

    async def find_schedule(self, name: str) -> Schedule | None:
        return cast(Schedule | None, await self._ask("find_schedule", schedule_name=name))

    async def list_schedules(self, limit: int, after: str = "", requester: str | None = None) -> list[Schedule]:
        return cast(list[Schedule], await self._ask("list_schedules", limit, after, requester))

    async def due_schedules(self, now: float, limit: int) -> list[Schedule]:
        return cast(list[Schedule], await self._ask("due_schedules", limit, now=now))

    async def next_schedule_due(self, after: float = EVER) -> float | None:
        return cast(float | None, await self._ask("next_schedule_due", after=after))

    async def firings_of(self, schedule_id: str, limit: int, before: float | None = None) -> list[FiringRow]:
        return cast(list[FiringRow], await self._ask("firings_of", schedule_id, limit, before))

    async def disabled_schedules(self, limit: int) -> list[Schedule]:
        return cast(list[Schedule], await self._ask("disabled_schedules", limit))

    async def missed_firings(self, since: float, limit: int) -> list[FiringRow]:
        return cast(list[FiringRow], await self._ask("missed_firings", limit, since=since))
