"""How each statement of the writer is run, and where its answer comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apsw

from outlast.store.statements import Numbered, numbered
from outlast.store.steps import Rows

Run = Callable[[Mapping[str, Any]], Rows]
Execute = Callable[..., Any]

_ANSWERED_BY_ROW = {
    "get_task": (
        "claim_task", "reclaim_task", "end_task", "requeue_task", "note_progress", "attach_session", "set_notify",
        "dismiss", "ask_cancel",
    ),
    "get_flow": ("claim_flow", "park_flow", "ask_cancel_flow", "close_cancelled_flow", "link_flow", "retry_flow"),
    "ended_flow": ("end_flow",),
    "get_approval": ("decide_approval",),
}  # fmt: skip
"""By which statement the row that was changed is read."""
_SILENT = frozenset(
    (
        "append_notice", "create_task", "delete_payload", "lift_queue_limit", "limit_queue", "forget_queue",
        "prune_events", "prune_outbox",
        "put_payload", "ripen_tasks", "set_delivery", "set_queue_limit", "append_flow_event", "append_flow_notice",
        "create_flow", "start_flow", "put_flow_input", "nudge_flow", "see_nudges", "note_crash", "create_approval",
        "put_flow_worker", "remove_flow_worker", "end_step", "append_entry", "touch_conversation", "hold_conversation",
        "note_agent_session", "forget_entries", "forget_conversation", "prune_beats",
        "prune_beat_notices", "close_steps",
    )
)  # fmt: skip


_WRITTEN: Rows = ((),)


def runs_of(connection: apsw.Connection, texts: Mapping[str, str]) -> dict[str, Run]:
    """Return what runs each statement over one connection."""
    known = {name: numbered(text) for name, text in texts.items()}
    execute = connection.cursor().execute
    found = {name: (_silent if name in _SILENT else _asked)(execute, one) for name, one in known.items()}
    for reading, names in _ANSWERED_BY_ROW.items():
        for name in names:
            found[name] = _by_row(execute, known[name], connection.changes, known[reading].sql)
    found["checkpoint"] = _checkpoint(execute, known["checkpoint"], connection.changes, found["held_claim"])
    for name in ("append_event", "add_beat"):
        found[name] = _numbering(execute, known[name], connection.last_insert_rowid)
    found["start_task"] = _guarded(execute, known["start_task"], found["may_start"])
    return found


def _asked(execute: Execute, one: Numbered) -> Run:
    sql, pick = one

    def run(params: Mapping[str, Any]) -> Rows:
        rows: Rows = execute(sql, pick(params)).fetchall()
        return rows

    return run


def _silent(execute: Execute, one: Numbered) -> Run:
    sql, pick = one

    def run(params: Mapping[str, Any]) -> Rows:
        execute(sql, pick(params))
        return ()

    return run


def _checkpoint(execute: Execute, one: Numbered, changes: Callable[[], int], holds: Run) -> Run:
    """Answer whether the claim holds: so it does where a row was written, and else it is asked for."""
    sql, pick = one

    def run(params: Mapping[str, Any]) -> Rows:
        execute(sql, pick(params))
        return _WRITTEN if changes() else holds(params)

    return run


def _by_row(execute: Execute, one: Numbered, changes: Callable[[], int], reading: str) -> Run:
    """Answer with the record that was changed, read by its key in the same transaction.

    RETURNING makes SQLite build a table for it and costs more than the update itself.
    """
    sql, pick = one

    def run(params: Mapping[str, Any]) -> Rows:
        execute(sql, pick(params))
        rows: Rows = execute(reading, (params["id"],)).fetchall() if changes() else ()
        return rows

    return run


def _numbering(execute: Execute, one: Numbered, newest: Callable[[], int]) -> Run:
    """Answer with the number the row was given."""
    sql, pick = one

    def run(params: Mapping[str, Any]) -> Rows:
        execute(sql, pick(params))
        return ((newest(),),)

    return run


def _guarded(execute: Execute, one: Numbered, guard: Run) -> Run:
    """Insert only where another statement allows it: an insert that reads its own table is built in memory first."""
    sql, pick = one

    def run(params: Mapping[str, Any]) -> Rows:
        if not params["force"] and not guard(params):
            return ()
        execute(sql, pick(params))
        return ((params["id"],),)

    return run
