"""The questions about flows and approvals, as functions of a reader like those of `outlast.store.questions`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from outlast.core.approval import Approval, ApprovalFilter
from outlast.core.flow import Flow, FlowFilter, FlowMode, FlowStatus, StepRow
from outlast.store.base_flows import ApprovalPage, FlowPage
from outlast.store.flow_rows import (
    approval_of,
    flow_event_of,
    flow_of,
    flow_worker_of,
    flows_of,
    signal_of,
    step_of,
)
from outlast.store.listing import Lane, cut
from outlast.store.questions import ABOVE_ALL, Reader
from outlast.store.rows import Row, cursor_of, json_value, read_cursor

_FLOW_LEADERS = (
    ("parent_id", "flow_parent"), ("label", "flow_label"), ("conversation", "flow_conversation"), ("name", "flow_name"),
    ("requester", "flow_requester"),
)  # fmt: skip
_RARE = (FlowStatus.QUEUED, FlowStatus.RUNNING, FlowStatus.BLOCKED, FlowStatus.LOST)


def get_flow(reader: Reader, flow_id: str) -> Flow | None:
    """Return one flow."""
    rows = reader.rows("get_flow", id=flow_id)
    return flow_of(rows[0]) if rows else None


def find_flows(reader: Reader, lookup: str, limit: int) -> list[Flow]:
    """Return what a name may mean."""
    if not lookup:
        return []
    found = reader.rows("get_flow", id=lookup)
    return flows_of(found or reader.rows("flows_by_prefix", prefix=lookup, above=lookup + ABOVE_ALL, limit=cut(limit)))


def list_flows(reader: Reader, narrow: FlowFilter, limit: int, cursor: str | None) -> FlowPage:
    """Return a page of flows, newest first."""
    limit = cut(limit)
    rows = _lanes_rows(reader, "list_flows", flow_lanes(narrow, cursor), limit)
    flows = flows_of(rows)
    if len(flows) > limit:
        return FlowPage(flows[:limit], cursor_of(flows[limit - 1].created_at, flows[limit - 1].id))
    return FlowPage(flows, None)


def flow_lanes(narrow: FlowFilter, cursor: str | None) -> list[Lane]:
    """Return the walks whose merged results are a listing of flows."""
    wanted = {name: getattr(narrow, name) for name, _ in _FLOW_LEADERS}
    params = {name: value for name, value in wanted.items() if value is not None}
    terms = [f"{name} = :{name}" for name in params]
    leader = next((index for name, index in _FLOW_LEADERS if name in params), "flow_created")
    if narrow.mode is not None:
        terms.append("mode = :mode")
        params["mode"] = narrow.mode.value
        if leader == "flow_created" and narrow.mode is not FlowMode.PROGRAM:
            terms.append("mode <> 'program'")
            leader = "flow_mode"
    if narrow.since is not None:
        terms.append("created_at >= :since")
        params["since"] = narrow.since
    rare = all(status in _RARE for status in narrow.statuses)
    if narrow.statuses and (leader == "flow_created" or (rare and "parent_id" not in params)):
        leader = "flow_status"
    return _lanes(leader, "flow_status", narrow.statuses, terms, params, cursor)


def list_approvals(reader: Reader, narrow: ApprovalFilter, limit: int, cursor: str | None) -> ApprovalPage:
    """Return a page of approvals, newest first."""
    limit = cut(limit)
    rows = _lanes_rows(reader, "list_approvals", approval_lanes(narrow, cursor), limit)
    approvals = [approval_of(row) for row in rows]
    if len(approvals) > limit:
        last = approvals[limit - 1]
        return ApprovalPage(approvals[:limit], cursor_of(last.created_at, last.id))
    return ApprovalPage(approvals, None)


def approval_lanes(narrow: ApprovalFilter, cursor: str | None) -> list[Lane]:
    """Return the walks whose merged results are a listing of approvals."""
    kind = None if narrow.kind is None else narrow.kind.value
    wanted = {"flow_id": narrow.flow_id, "requester": narrow.requester, "kind": kind}
    params = {name: value for name, value in wanted.items() if value is not None}
    terms = [f"{name} = :{name}" for name in params]
    if narrow.flow_id is not None:
        leader = "approval_flow"
    elif narrow.statuses and (narrow.requester is None or not any(status.final for status in narrow.statuses)):
        leader = "approval_status"
    else:
        leader = "approval_created" if narrow.requester is None else "approval_requester"
    return _lanes(leader, "approval_status", narrow.statuses, terms, params, cursor)


def _lanes(
    leader: str, by_status: str, statuses: Sequence[Any], terms: list[str], params: dict[str, Any], cursor: str | None
) -> list[Lane]:
    """Return one walk, or one for each status where statuses lead."""
    if cursor is not None:
        params["cursor_at"], params["cursor_id"] = read_cursor(cursor)
        terms = [*terms, "(created_at, id) < (:cursor_at, :cursor_id)"]
    among = list(dict.fromkeys(status.value for status in statuses))
    if leader == by_status:
        where = " AND ".join(["status = :status", *terms])
        return [Lane(leader, where, {**params, "status": status}) for status in among]
    if among:
        names = ", ".join(f"'{status}'" for status in among)
        terms = [*terms, f"status IN ({names})"]
    return [Lane(leader, " AND ".join(terms or ["true"]), params)]


def _lanes_rows(reader: Reader, name: str, lanes: Iterable[Lane], limit: int) -> list[Row]:
    """Return rows of all lanes, newest first, one more than ``limit`` at most of each."""
    rows: list[Row] = []
    for lane in lanes:
        rows += reader.lane(name, Lane(lane.leader, lane.where, {**lane.params, "limit": limit + 1}))
    return sorted(rows, key=_newest, reverse=True)


def _newest(row: Row) -> tuple[float, str]:
    return row[5], row[0]  # created_at is the sixth column of flows and of approvals


def steps_of(reader: Reader, flow_id: str, after: int, limit: int) -> list[StepRow]:
    """Return the steps of a flow in the order they were begun."""
    rows = reader.rows("steps_in_order", flow_id=flow_id, after=after, limit=cut(limit))
    return [step_of(row) for row in rows]


def step_counts(reader: Reader, flow_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return how many steps have succeeded, and how many were begun."""
    found = {}
    for flow_id in flow_ids:
        [(succeeded, begun)] = reader.rows("step_counts", flow_id=flow_id)
        found[flow_id] = (succeeded, begun)
    return found


def flow_input(reader: Reader, flow_id: str) -> dict[str, object]:
    """Return what a flow runs with."""
    rows = reader.rows("flow_input", flow_id=flow_id)
    return json_value(rows[0][0]) if rows else {}


def next_flow_ready(reader: Reader, handlers: Sequence[str], after: float) -> float | None:
    """Return the next moment a flow of these handlers may be claimed."""
    names = handlers or [row[0] for row in reader.rows("flow_handlers")]
    found = [reader.rows("next_flow_ready", handler=name, after=after)[0][0] for name in dict.fromkeys(names)]
    return min((moment for moment in found if moment is not None), default=None)


def ready_handlers(reader: Reader, now: float) -> list[str]:
    """Return the handlers that have ready flows."""
    return [
        row[0] for row in reader.rows("flow_handlers")
        if (first := reader.rows("next_flow_ready", handler=row[0], after=-1.0)[0][0]) is not None and first <= now
    ]  # fmt: skip


def flow_counts(reader: Reader) -> dict[str, int]:
    """Return how many flows are live in each status."""
    return {row[0]: row[1] for row in reader.rows("flow_counts")}


def flows_ready_since(reader: Reader, before: float, limit: int) -> list[Flow]:
    """Return flows that have been ready since before that moment."""
    rows: list[Row] = []
    for handler in ready_handlers(reader, before):
        for (priority,) in reader.rows("flow_levels", handler=handler):
            rows += reader.rows("ready_flows", handler=handler, priority=priority, now=before, limit=cut(limit))
    longest = sorted(rows, key=lambda row: (row[1], row[2]))[: cut(limit)]
    found = [reader.rows("get_flow", id=row[2]) for row in longest]
    return [flow_of(rows[0]) for rows in found if rows]


def find_approvals(reader: Reader, lookup: str, limit: int) -> list[Approval]:
    """Return what a name may mean."""
    if not lookup:
        return []
    found = reader.rows("get_approval", id=lookup)
    found = found or reader.rows("approvals_by_prefix", prefix=lookup, above=lookup + ABOVE_ALL, limit=cut(limit))
    return [approval_of(row) for row in found]


def _many(name: str, make: Callable[[Row], Any]) -> Callable[..., list[Any]]:
    def question(reader: Reader, limit: int, **params: Any) -> list[Any]:  # noqa: ANN401
        return [make(row) for row in reader.rows(name, limit=cut(limit), **params)]

    return question


def _all(name: str, make: Callable[[Row], Any]) -> Callable[..., list[Any]]:
    def question(reader: Reader, **params: Any) -> list[Any]:  # noqa: ANN401
        return [make(row) for row in reader.rows(name, **params)]

    return question


def _first(name: str, make: Callable[[Row], Any]) -> Callable[..., Any]:
    def question(reader: Reader, **params: Any) -> Any:  # noqa: ANN401
        rows = reader.rows(name, **params)
        return make(rows[0]) if rows else None

    return question


def _value(row: Row) -> Any:  # noqa: ANN401
    return row[0]


_LISTS: Sequence[tuple[str, Callable[[Row], Any]]] = (
    ("flow_events", flow_event_of), ("signals_of", signal_of), ("child_flows", flow_of),
    ("live_tasks_of_flow", _value), ("flows_waiting_since", flow_of), ("flows_blocked_since", flow_of),
    ("flows_cancelling_since", flow_of), ("flows_missing_tasks", step_of), ("flows_ended_before", flow_of),
    ("due_approvals", approval_of),
)  # fmt: skip
_FIRSTS: Sequence[tuple[str, Callable[[Row], Any]]] = (("get_approval", approval_of), ("next_approval_due", _value))

FLOW_QUESTIONS: dict[str, Callable[..., Any]] = (
    {
        question.__name__: question
        for question in (
            get_flow, find_flows, list_flows, steps_of, step_counts, flow_input, next_flow_ready, ready_handlers,
            flow_counts, flows_ready_since, find_approvals, list_approvals,
        )
    }
    | {name: _many(name, make) for name, make in _LISTS}
    | {name: _first(name, make) for name, make in _FIRSTS}
    | {"nudged_flows": _all("nudged_flows", _value), "flow_workers": _all("flow_workers", flow_worker_of)}
)  # fmt: skip
