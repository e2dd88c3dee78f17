"""The scheduler: one timer for the next instant that is due, nothing that ticks.

An instant becomes a row and its work in one act of the store, guarded by where the rule's cursor stands: of several
schedulers on one store one fires it, and a crash leaves either nothing or all of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from msgspec.structs import replace

from outlast.core import schedule as rules
from outlast.core.conversation import NewSystemEvent
from outlast.core.errors import GatewayTrouble, OutlastError
from outlast.core.notice_text import one_line
from outlast.core.schedule import Plan, Schedule
from outlast.delivery.loop import Loop
from outlast.process.clock import Clock
from outlast.process.keeper.crash import point
from outlast.scheduler.instants import following
from outlast.scheduler.steps import Steps
from outlast.store.base import Change, Store
from outlast.store.base_told import NewFiring

log = logging.getLogger("outlast.scheduler")

DUE_MAX = 500
"""Rules looked at in one go; their firings are committed together."""

AGAIN_FIRST, AGAIN_MAX = 0.05, 5.0
"""Until the next look at what is due and could not be fired: somebody else is just firing it, or the store is in
trouble. Doubled from look to look."""

AGENT_PATIENCE = 60.0
"""Seconds a rule waits for its agent to be configured again: a hand may just be in the file."""

WHY_MAX = 300
"""Characters of a reason that are told."""

Compose = Callable[[Schedule, float, Literal["fired", "manual"]], Awaitable[NewFiring]]
"""What an instant of a rule brings. Raises BadInput when the rule can make no work (any more)."""


class Scheduler:
    """Fires what is due."""

    def __init__(self, store: Store, clock: Clock, compose: Compose) -> None:
        self._store = store
        self._clock = clock
        self._compose = compose
        self._again = AGAIN_FIRST
        self._missed_at: dict[str, float] = {}
        """By the id of a rule: when its agent was first found missing."""
        self._loop = Loop("scheduler", self._round, clock)
        self._steps = Steps(self._loop.nudge)

    def start(self) -> None:
        """Begin: what passed while no gateway ran is settled at once."""
        self._store.on_change(self._changed)
        self._loop.start()
        self._steps.start()

    async def stop(self) -> None:
        """End."""
        self._steps.stop()
        await self._loop.stop()

    def _changed(self, change: Change) -> None:
        if change.schedules or change.foreign:
            self._loop.nudge()

    async def _round(self) -> float | None:
        now = self._clock.now()
        while due := await self._store.due_schedules(now, DUE_MAX):
            point("scheduler:before_fire")
            fired = await asyncio.gather(*(self._guarded(schedule, now) for schedule in due))
            point("scheduler:after_fire")
            if not any(fired):
                break  # each of them was somebody else's, or is in trouble: not again in this round
        moment = await self._store.next_schedule_due(now)
        if not due:
            self._again = AGAIN_FIRST
            return moment
        again, self._again = self._clock.now() + self._again, min(self._again * 2, AGAIN_MAX)
        return again if moment is None else min(again, moment)

    async def _guarded(self, schedule: Schedule, now: float) -> bool:
        """Fire one rule; one that cannot be read or done is switched off with the reason, and stops nobody else."""
        try:
            fired = await self._fire(schedule, now)
            self._missed_at.pop(schedule.id, None)
            return fired
        except GatewayTrouble as trouble:
            if trouble.code != "store_error":  # that is about this row: it has an instant twice, say
                log.warning("schedule %s waits: %s", schedule.name, trouble.message)
                return False
            why = trouble.message
        except OutlastError as wrong:
            if wrong.code == "no_such_agent" and self._may_come(schedule, now):
                return False
            why = wrong.message
        except Exception as error:
            log.exception("schedule %s cannot be fired", schedule.name)
            why = f"{type(error).__name__}: {error}"
        log.warning("schedule %s is switched off: %s", schedule.name, why)
        self._missed_at.pop(schedule.id, None)
        return await self._switched_off(schedule, why, now)

    def _may_come(self, schedule: Schedule, now: float) -> bool:
        """True while the agent of a rule has not been missing for long."""
        if schedule.id not in self._missed_at:
            log.warning("schedule %s waits: its agent is not configured", schedule.name)
        return now - self._missed_at.setdefault(schedule.id, now) < AGENT_PATIENCE

    async def _switched_off(self, schedule: Schedule, why: str, now: float) -> bool:
        try:
            off = await self._store.disable_schedule(schedule.id, why, now)
            if off:
                await self._store.add_system_event(_told_off(schedule, why, now))
        except GatewayTrouble as trouble:
            log.warning("schedule %s cannot be switched off: %s", schedule.name, trouble.message)
            return False
        return off

    async def _fire(self, schedule: Schedule, now: float) -> bool:
        if schedule.next_at is None or not schedule.active:
            return await self._straightened(schedule)
        plan = rules.plan(schedule, now, following(schedule))
        firings = await self._firings(schedule, plan)
        after = rules.settle(schedule, plan)
        if not firings and after == schedule:
            return False
        return await self._store.fire(schedule, after, firings, now) is not None

    async def _straightened(self, schedule: Schedule) -> bool:
        """Take a moment away from a rule that has nothing to fire: somebody's hand was in the table."""
        log.warning("schedule %s says when it fires but not what: it does not fire", schedule.name)
        return await self._store.edit_schedule(replace(schedule, next_at=None, next_fire_at=None)) is not None

    async def _firings(self, schedule: Schedule, plan: Plan) -> Sequence[NewFiring]:
        firings = [await self._compose(schedule, instant, "fired") for instant in plan.fire]
        if plan.missed is not None:
            missed = plan.missed
            about = "" if missed.exact else "at least "
            note = f"{about}{missed.count} passed unfired, {rules.format_moment(missed.first_at)} to "
            note += f"{rules.format_moment(missed.last_at)}"
            firings.insert(0, NewFiring(instant=missed.last_at, how="missed", note=note))
        return firings


def _told_off(schedule: Schedule, why: str, now: float) -> NewSystemEvent:
    """Return what whoever added a rule hears of its being switched off."""
    title = f"schedule {schedule.name} is switched off: {one_line(why, WHY_MAX)}"
    text = f"{title}.\nTo see it: outlast cron show {schedule.name}\n"
    again = "run" if rules.passed(schedule, now) else "resume"  # its only moment does not come again
    text += f"Once it is mended: outlast cron {again} {schedule.name}"
    return NewSystemEvent(
        conversation=schedule.conversation or schedule.requester, at=now, kind="disabled", text=text,
        data={"title": title, "text": text, "scheduleId": schedule.id},
        source_key=f"{schedule.id}:disable:{schedule.revision}",
    )  # fmt: skip
