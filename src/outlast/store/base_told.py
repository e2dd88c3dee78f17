"""What a store can do beside tasks: tell conversations, wake them, and keep rules of work to come.

The same promises hold as in `outlast.store.base`: named acts, each one transaction; None where somebody was first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from outlast.core.conversation import Conversation, NewSystemEvent, SystemEvent, Wake
from outlast.core.flow import Flow, NewFlow
from outlast.core.schedule import Schedule
from outlast.core.task import NewTask, StartClaim, Task

How = Literal["fired", "skipped", "missed", "manual"]
EVER = -1.0
"""Before every moment."""
WAKE_WINDOW_SECONDS = 0.25
"""What comes within so much of a wake is told together, at its end."""


class NoticeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A notice on its way: ``state`` is pending, delivered, parked or dismissed; ``next_at`` when it is tried again."""

    id: int
    task_id: str
    event_id: int
    at: float
    kind: str
    target: str
    state: str
    idempotency_key: str
    body: dict[str, object]
    attempts: int = 0
    next_at: float = 0.0
    error: str | None = None
    settled_at: float | None = None


class FiringRow(msgspec.Struct, frozen=True, kw_only=True):
    """One settled instant of a schedule: what became of it, and the id of the task, or of the flow, that it made."""

    schedule_id: str
    instant: float
    at: float
    how: str
    task_id: str | None = None
    note: str | None = None


class NewFiring(msgspec.Struct, frozen=True, kw_only=True):
    """An instant to be settled: with a task, a flow or an event for a conversation, or with none (``missed``)."""

    instant: float
    how: How
    task: NewTask | None = None
    flow: NewFlow | None = None
    event: NewSystemEvent | None = None
    note: str | None = None


class Fired(msgspec.Struct, frozen=True):
    """What a firing brought: the tasks that were made, with what they run, the flows, how each instant was settled."""

    tasks: list[tuple[Task, dict[str, object] | None]]
    firings: list[FiringRow]
    flows: list[Flow]


class ToldActs(Protocol):
    """The acts of telling."""

    async def claim_notice(self, notice_id: int, expected: float, until: float) -> bool:
        """Keep a pending notice for oneself until a moment; False when it is not due at ``expected`` any more."""

    async def retry_notice(self, notice_id: int, next_at: float, error: str) -> bool:
        """Note that a notice could not be delivered and when it is tried again; False when it is settled."""

    async def revive_notice(self, notice_id: int, now: float) -> bool:
        """Try a parked or dismissed notice again from the start."""

    async def dismiss_notice(self, notice_id: int, now: float) -> bool:
        """Give a notice up for good; False when it is delivered."""

    async def settle_seen(self, task_ids: Sequence[str], target: str, now: float, how: str) -> int:
        """Settle what is pending of tasks whose end the target has just seen by itself; return how many there were."""

    async def deliver_to_conversation(self, target: str, now: float, limit: int = 200) -> int:
        """Move pending notices into the queue of the conversation they are for, in order; its wakes come due."""

    async def add_system_event(self, new: NewSystemEvent) -> bool:
        """Put an event into a conversation's queue; False when its ``source_key`` is there already."""

    async def ack_events(self, conversation: str, upto: int, now: float) -> int:
        """Note that a conversation has consumed its events up to that id."""

    async def prune_system_events(self, before: float) -> None:
        """Forget events that were consumed before that moment."""

    async def prune_firings(self, before: float) -> None:
        """Forget instants that were settled before that moment."""

    async def add_wake(self, wake: Wake) -> None:
        """Register a way to wake a conversation."""

    async def remove_wake(self, wake_id: str) -> bool:
        """Forget a wake; False when there is none."""

    async def settle_wake(self, wake: Wake, sent_event_id: int, now: float) -> bool:
        """Note that a wake went out: what it told is consumed; newer events make it due again. False: it is gone."""

    async def claim_wake(self, wake_id: str, expected: float, until: float) -> bool:
        """Keep a wake for oneself until a moment; False when it is not due at ``expected`` any more."""

    async def retry_wake(self, wake_id: str, due_at: float, error: str) -> bool:
        """Note that a wake failed and when it is tried again."""

    async def delay_wake(self, wake_id: str, due_at: float) -> bool:
        """Put a wake off without having tried it."""

    async def park_wake(self, wake_id: str, now: float, error: str) -> bool:
        """Give a wake up until somebody revives it; its conversation keeps its events."""

    async def revive_wake(self, wake_id: str, now: float) -> bool:
        """Try a parked wake again."""


class ScheduleActs(Protocol):
    """The acts on rules of work to come."""

    async def add_schedule(self, schedule: Schedule) -> None:
        """Put a rule on record. Raises Conflict (``name_taken``)."""

    async def edit_schedule(self, schedule: Schedule) -> Schedule | None:
        """Write a changed rule over the revision it was read at.

        None when that is not the present one any more, or when an instant of it was settled meanwhile.
        """

    async def remove_schedule(self, schedule_id: str) -> bool:
        """Forget a rule and its firings; the tasks it made stay."""

    async def fire(
        self,
        before: Schedule,
        after: Schedule,
        firings: Sequence[NewFiring],
        now: float,
        start: StartClaim | None = None,
    ) -> Fired | None:
        """Settle instants of a rule: move its cursor, note each, make its work, all or nothing.

        None when its cursor is not where ``before`` has it: somebody was first, or the rule was changed meanwhile.
        """

    async def fire_manually(
        self, schedule: Schedule, firing: NewFiring, now: float, start: StartClaim | None = None
    ) -> Fired:
        """Make work of a rule now, whatever its instants say."""

    async def disable_schedule(self, schedule_id: str, why: str, now: float) -> bool:
        """Switch a rule off; False when it is off already."""


class ToldQuestions(Protocol):
    """The questions about telling and rules."""

    async def due_heads(self, now: float, limit: int) -> list[NoticeRow]:
        """Return the oldest pending notice of each target, where it is due."""

    async def next_notice_due(self, after: float = EVER) -> float | None:
        """Return when the next of those is due that is not due by ``after``; without it, it may have passed."""

    async def pending_of(self, target: str, limit: int) -> list[NoticeRow]:
        """Return what is pending for a target, oldest first."""

    async def get_notice(self, notice_id: int) -> NoticeRow | None:
        """Return one notice."""

    async def list_notices(
        self, state: str | None, target: str | None, limit: int, before: int | None = None
    ) -> list[NoticeRow]:
        """Return notices newest first, before that id."""

    async def conversations(self, limit: int, after: str = "") -> list[Conversation]:
        """Return conversations that have events, by key, after that key."""

    async def system_events(
        self, conversation: str, after: int, limit: int, *, waiting: bool = True
    ) -> list[SystemEvent]:
        """Return a conversation's events in order, those that wait or all that are kept."""

    async def last_system_event(self, conversation: str) -> int:
        """Return the id of the newest event that waits; 0 when none does."""

    async def get_wake(self, wake_id: str) -> Wake | None:
        """Return one wake."""

    async def wakes_of(self, conversation: str) -> list[Wake]:
        """Return the wakes of a conversation."""

    async def list_wakes(self, limit: int) -> list[Wake]:
        """Return all wakes, by conversation."""

    async def due_wakes(self, now: float, limit: int) -> list[Wake]:
        """Return wakes whose time has come."""

    async def parked_wakes(self, limit: int) -> list[Wake]:
        """Return wakes that were given up."""

    async def next_wake_due(self, after: float = EVER) -> float | None:
        """Return when the next wake is due that is not due by ``after``; without it, it may have passed."""

    async def get_schedule(self, schedule_id: str) -> Schedule | None:
        """Return one rule."""

    async def find_schedule(self, name: str) -> Schedule | None:
        """Return a rule by its name."""

    async def list_schedules(self, limit: int, after: str = "", requester: str | None = None) -> list[Schedule]:
        """Return rules by name, after that name."""

    async def due_schedules(self, now: float, limit: int) -> list[Schedule]:
        """Return rules with an instant that is due, longest ago first."""

    async def next_schedule_due(self, after: float = EVER) -> float | None:
        """Return when the next rule fires that is not due by ``after``; without it, it may have passed."""

    async def firings_of(self, schedule_id: str, limit: int, before: float | None = None) -> list[FiringRow]:
        """Return settled instants of a rule, newest first."""

    async def disabled_schedules(self, limit: int) -> list[Schedule]:
        """Return rules that were switched off."""

    async def missed_firings(self, since: float, limit: int) -> list[FiringRow]:
        """Return instants that were missed since that moment."""


__all__ = [
    "EVER",
    "WAKE_WINDOW_SECONDS",
    "Fired",
    "FiringRow",
    "How",
    "NewFiring",
    "NoticeRow",
    "ScheduleActs",
    "ToldActs",
    "ToldQuestions",
]
