"""Forgetting flows that ended long ago, and approvals that were decided then. Each pass is bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from outlast.core.flow import Flow, FlowEvent, StepRow
from outlast.core.task import Delivery
from outlast.ledger.maintenance import BATCH, LIMIT_DEFAULT, append_lines
from outlast.store.base import LIST_MAX, Store


class FlowsForgotten(NamedTuple):
    """What one pass did. ``prunable`` are those still to be forgotten; ``more``: it stopped at its bound."""

    pruned: int
    prunable: int
    archived: int
    more: bool


async def count_prunable_flows(store: Store, before: float, limit: int = LIST_MAX) -> int:
    """Return how many ended flows are older than that moment and may be forgotten, counted up to ``limit``."""
    return len(await _forgettable(store, before, limit))


async def _forgettable(store: Store, before: float, limit: int) -> list[Flow]:
    """Return old flows, longest ago first, but those of which somebody is still to be told."""
    old = await store.flows_ended_before(before, LIST_MAX)
    return [flow for flow in old if flow.delivery is not Delivery.PENDING][:limit]


async def prune_flows(
    store: Store,
    before: float,
    *,
    limit: int = LIMIT_DEFAULT,
    archive: str | None = None,
    forget: Callable[[list[str]], Awaitable[None]] | None = None,
) -> FlowsForgotten:
    """Forget flows that ended before that moment, oldest first; with ``archive`` write each to that file first.

    ``forget`` is told what was forgotten, so that it sees to what is kept of it elsewhere.

    What is archived is on disk before it is forgotten. A pass that dies between the two leaves lines that the next
    one writes again: a reader goes by the id. Raises BadInput (``bad_archive``), GatewayTrouble (``disk_full``).
    """
    pruned = archived = 0
    while pruned < limit:
        old = await _forgettable(store, before, min(BATCH, limit - pruned))
        if archive is not None and old:
            await append_lines(
                archive, [json.dumps(await archived_flow(store, flow), ensure_ascii=False) for flow in old]
            )
            archived += len(old)
        ids = [flow.id for flow in old]
        gone = await store.prune_flows(ids)
        if forget is not None and gone:
            await forget(ids if gone == len(ids) else [one for one in ids if await store.get_flow(one) is None])
        pruned += gone
        if gone < BATCH:
            break
        await asyncio.sleep(0)
    await store.prune_approvals(before)
    left = await count_prunable_flows(store, before)
    return FlowsForgotten(pruned, left, archived, left > 0 and pruned >= limit)


async def archived_flow(store: Store, flow: Flow) -> dict[str, object]:
    """Return what an archive keeps of a flow: all that is on record but what it ran with, times in seconds."""
    steps: list[StepRow] = []
    while page := await store.steps_of(flow.id, steps[-1].seq if steps else -1):
        steps += page
    events: list[FlowEvent] = []
    while lines := await store.flow_events(flow.id, events[-1].id if events else 0):
        events += lines
    signals = await store.signals_of(flow.id)
    parts = {"flow": flow, "steps": steps, "events": events, "signals": signals}
    return {name: msgspec.to_builtins(part) for name, part in parts.items()}
