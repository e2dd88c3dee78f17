"""How each statement of the writer is run, and where its answer comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apsw

from outlast.store.statements import Numbered, numbered
from outlast.store.steps import Rows

Run = Callable[[Mapping[str, Any]], Rows]
Execute = Callable[..., Any]

_ANSWERED_BY_ROW = frozenset(
    (
        "claim_task", "reclaim_task", "end_task", "requeue_task", "note_progress", "attach_session", "set_notify",
        "dismiss", "ask_cancel",
    )
)  # fmt: skip
_SILENT = frozenset(
    (
        "append_notice", "create_task", "delete_payload", "lift_queue_limit", "prune_events", "prune_outbox",
        "put_payload", "ripen_tasks", "set_delivery", "set_queue_limit",
    )
)  # fmt: skip


def runs_of(connection: apsw.Connection, texts: Mapping[str, str]) -> dict[str, Run]:
    """Return what runs each statement over one connection."""
    known = {name: numbered(text) for name, text in texts.items()}
    execute = connection.cursor().execute
    found = {name: (_silent if name in _SILENT else _asked)(execute, one) for name, one in known.items()}
    for name in _ANSWERED_BY_ROW:
        found[name] = _by_row(execute, known[name], connection.changes, known["get_task"].sql)
    found["append_event"] = _numbering(execute, known["append_event"], connection.last_insert_rowid)
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


def _by_row(execute: Execute, one: Numbered, changes: Callable[[], int], get_task: str) -> Run:
    """Answer with the task that was changed, read by its key in the same transaction.

    RETURNING makes SQLite build a table for it and costs more than the update itself.
    """
    sql, pick = one

    def run(params: Mapping[str, Any]) -> Rows:
        execute(sql, pick(params))
        rows: Rows = execute(get_task, (params["id"],)).fetchall() if changes() else ()
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
