"""Rows and records of what is told and of rules: notices in conversations, wakes, schedules, firings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from outlast.core.conversation import Mode, SystemEvent, Wake
from outlast.core.schedule import Deliver, Kind, Misfire, Overlap, Payload, Schedule, Unreadable
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


_READERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "kind": (Kind, Kind.AT),
    "payload": (_read_payload, None),
    "misfire": (Misfire, Misfire.ONCE),
    "overlap": (Overlap, Overlap.SKIP),
    "deliver": (Deliver, Deliver.NONE),
}
"""How a column is read, and what stands in its place in a row that cannot be."""


def schedule_of(row: Row) -> Schedule:
    """Make a schedule of a row in the order of `SCHEDULE_COLUMNS`.

    One that cannot be read becomes one that says so: it is not to hide the others of an answer.
    """
    fields: dict[str, Any] = dict(zip(SCHEDULE_COLUMNS, row, strict=True))
    fields["delete_after_run"] = bool(fields["delete_after_run"])
    as_it_is: dict[str, str] = {}
    why = ""
    for name, (read, stand_in) in _READERS.items():
        text = fields[name]
        try:
            fields[name] = read(text)
        except (ValueError, msgspec.MsgspecError) as wrong:
            fields[name], as_it_is[name] = stand_in, text
            why = why or f"its {name} cannot be read: {wrong}"[:300]
    if as_it_is:
        payload = row[SCHEDULE_COLUMNS.index("payload")]
        fields["payload"] = Unreadable(why=why, columns={**as_it_is, "payload": payload})
    return Schedule(**fields)


def schedule_columns(schedule: Schedule) -> dict[str, Any]:
    """Return a schedule as the parameters that write it."""
    columns = msgspec.structs.asdict(schedule)
    columns["delete_after_run"] = int(schedule.delete_after_run)
    if isinstance(schedule.payload, Unreadable):
        return columns | schedule.payload.columns
    columns["payload"] = _write(schedule.payload).decode()
    return columns
