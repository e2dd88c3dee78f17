"""Rows and records of what is told and of rules: notices in conversations, wakes, schedules, firings."""

from __future__ import annotations

from typing import Any

import msgspec

from outlast.core.conversation import Mode, SystemEvent, Wake
from outlast.core.schedule import Deliver, Kind, Misfire, Overlap, Payload, Schedule
from outlast.store.base_told import FiringRow
from outlast.store.rows import Row, json_value

SYSTEM_EVENT_COLUMNS = SystemEvent.__struct_fields__
WAKE_COLUMNS = Wake.__struct_fields__
SCHEDULE_COLUMNS = (
    "id", "name", "requester", "created_at", "updated_at", "kind", "expr", "payload", "revision", "conversation", "tz",
    "anchor_at", "misfire", "misfire_max", "overlap", "jitter_seconds", "retries", "timeout_seconds", "deliver",
    "channel", "comment", "delete_after_run", "paused_at", "disabled_at", "disabled_why", "next_at", "next_fire_at",
    "last_at", "failures",
)  # fmt: skip
FIRING_COLUMNS = FiringRow.__struct_fields__

_read_payload = msgspec.json.Decoder(Payload).decode
_write = msgspec.json.Encoder().encode


def system_event_of(row: Row) -> SystemEvent:
    """Make an event of a conversation of a row in the order of `SYSTEM_EVENT_COLUMNS`."""
    return SystemEvent(
        id=row[0], conversation=row[1], at=row[2], kind=row[3], text=row[4], data=json_value(row[5]),
        source_key=row[6], mode=Mode(row[7]), acked_at=row[8],
    )  # fmt: skip


def wake_of(row: Row) -> Wake:
    """Make a wake of a row in the order of `WAKE_COLUMNS`."""
    return Wake(**dict(zip(WAKE_COLUMNS, row, strict=True)))


def firing_of(row: Row) -> FiringRow:
    """Make a firing of a row in the order of `FIRING_COLUMNS`."""
    return FiringRow(**dict(zip(FIRING_COLUMNS, row, strict=True)))


def schedule_of(row: Row) -> Schedule:
    """Make a schedule of a row in the order of `SCHEDULE_COLUMNS`."""
    fields: dict[str, Any] = dict(zip(SCHEDULE_COLUMNS, row, strict=True))
    fields["kind"] = Kind(fields["kind"])
    fields["payload"] = _read_payload(fields["payload"])
    fields["misfire"] = Misfire(fields["misfire"])
    fields["overlap"] = Overlap(fields["overlap"])
    fields["deliver"] = Deliver(fields["deliver"])
    fields["delete_after_run"] = bool(fields["delete_after_run"])
    return Schedule(**fields)


def schedule_columns(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as the parameters that write it."""
    columns = msgspec.structs.asdict(schedule)
    columns["payload"] = _write(schedule.payload).decode()
    columns["delete_after_run"] = int(schedule.delete_after_run)
    return columns
