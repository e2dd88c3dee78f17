"""The acts on schedules, as generators like those of `outlast.store.acts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from outlast.core.errors import Conflict
from outlast.core.schedule import Overlap, Schedule
from outlast.core.session import Cause
from outlast.core.task import StartClaim
from outlast.store.acts import create_task
from outlast.store.base_told import Fired, FiringRow, NewFiring
from outlast.store.calling_off import ask_cancel_flow, call_off_task
from outlast.store.flow_acts import create_flow
from outlast.store.steps import Steps
from outlast.store.told import bounded, event_params, make_due
from outlast.store.told_rows import schedule_columns


def name_taken(name: str) -> Conflict:
    """Return what a second schedule with the same name gets."""
    return Conflict(f"there is a schedule {name!r} already", code="name_taken", hint=f"outlast cron show {name}")


def add_schedule(schedule: Schedule) -> Steps[None]:
    """Put a rule on record."""
    [rows] = yield [("find_schedule", {"schedule_name": schedule.name})]
    if rows:
        raise name_taken(schedule.name)
    yield [("add_schedule", schedule_columns(schedule))]


def edit_schedule(schedule: Schedule) -> Steps[Schedule | None]:
    """Write a changed rule over the revision it was read at."""
    [found] = yield [("find_schedule", {"schedule_name": schedule.name})]
    if found and found[0][0] != schedule.id:
        raise name_taken(schedule.name)
    [rows] = yield [("edit_schedule", schedule_columns(schedule))]
    return replace(schedule, revision=schedule.revision + 1) if rows else None


def remove_schedule(schedule_id: str) -> Steps[bool]:
    """Forget a rule."""
    [rows] = yield [("remove_schedule", {"id": schedule_id})]
    yield [("remove_firings", {"schedule_id": schedule_id})]
    return bool(rows)


def fire(
    before: Schedule, after: Schedule, firings: Sequence[NewFiring], now: float, start: StartClaim | None
) -> Steps[Fired | None]:
    """Settle instants, if nobody was first."""
    cursor = {
        "id": before.id, "expected": before.next_at, "revision": before.revision, "next_at": after.next_at,
        "next_fire_at": after.next_fire_at, "last_at": after.last_at,
    }  # fmt: skip
    [rows] = yield [("advance_schedule", cursor)]
    if not rows:
        return None
    fired = Fired([], [], [])
    for firing in firings:
        yield from _settle(before, firing, now, start, fired)
    if after.delete_after_run and after.next_at is None:
        yield [("remove_schedule", {"id": before.id}), ("remove_firings", {"schedule_id": before.id})]
    return fired


def fire_manually(schedule: Schedule, firing: NewFiring, now: float, start: StartClaim | None) -> Steps[Fired]:
    """Make work of a rule now."""
    fired = Fired([], [], [])
    yield from _settle(schedule, firing, now, start, fired)
    return fired


def _settle(schedule: Schedule, firing: NewFiring, now: float, start: StartClaim | None, fired: Fired) -> Steps[None]:
    """Settle one instant: note it, and make its work as the overlap policy lets it."""
    how, note, made_id = firing.how, firing.note, None
    if firing.task is not None or firing.flow is not None:
        live = yield from _live(schedule)
        if live and schedule.overlap is Overlap.SKIP and how != "manual":
            how, note = "skipped", f"{live[0]} of an earlier instant had not ended"
        else:
            if schedule.overlap is Overlap.CANCEL:
                yield from _call_off(live, now)
            made_id = yield from _make(firing, start, fired)
    if firing.event is not None:
        yield [("add_system_event", event_params(firing.event))]
        yield from bounded(firing.event.conversation)
        yield [make_due(firing.event.conversation, now)]
    row = FiringRow(schedule_id=schedule.id, instant=firing.instant, at=now, how=how, task_id=made_id, note=note)
    yield [("add_firing", {name: getattr(row, name) for name in FiringRow.__struct_fields__})]
    fired.firings.append(row)


def _live(schedule: Schedule) -> Steps[list[str]]:
    """Return the work of a rule that has not ended, as ``task ID`` and ``flow ID``: it may have made either."""
    of = {"schedule_id": schedule.id}
    tasks, flows = yield [("live_of_schedule", of), ("live_flows_of_schedule", of)]
    return [*(f"task {row[0]}" for row in tasks), *(f"flow {row[0]}" for row in flows)]


def _call_off(live: Sequence[str], now: float) -> Steps[None]:
    """End earlier work of the same rule."""
    for work in live:
        what, _, id_ = work.partition(" ")
        if what == "task":
            yield from call_off_task(id_, now)
        else:
            yield from ask_cancel_flow(id_, now, None, Cause.PARENT)


def _make(firing: NewFiring, start: StartClaim | None, fired: Fired) -> Steps[str | None]:
    if firing.flow is not None:
        made = yield from create_flow(firing.flow, None)
        fired.flows.append(made.flow)
        return made.flow.id
    if firing.task is None:
        return None
    if start is not None and fired.tasks:
        start = None  # one claim is for one task; the others are claimed from the queue
    created = yield from create_task(firing.task, start)
    fired.tasks.append((created.task, firing.task.payload))
    return created.task.id


def disable_schedule(schedule_id: str, why: str, now: float) -> Steps[bool]:
    """Switch a rule off."""
    [rows] = yield [("disable_schedule", {"id": schedule_id, "why": why, "now": now})]
    return bool(rows)


RULE_ACTS: dict[str, Callable[..., Steps[Any]]] = {
    act.__name__: act for act in (add_schedule, edit_schedule, remove_schedule, fire, fire_manually, disable_schedule)
}
