"""The acts that put work on record together with what belongs to it, as generators like those of `outlast.store.acts`.

What is spawned is a conversation, the task of its first turn and the flow that follows that: one act, so that no crash
leaves a part of it, and whoever spawns at the same moment is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from outlast.core.agent import CHILDREN_MAX, DEPTH_MAX, AgentConversation
from outlast.core.errors import Conflict, Refused
from outlast.core.flow import NewFlow
from outlast.core.task import NewTask, StartClaim
from outlast.store.acts import create_task
from outlast.store.agent_rows import agent_conversation_columns, agent_conversation_of
from outlast.store.base import Created
from outlast.store.flow_acts import put_flow
from outlast.store.rows import task_of
from outlast.store.steps import Steps

ABOVE_MAX = 64
"""Tasks that are looked at on the way up from one: more than may lie between, and an end where they go in a ring."""


def create_mirrored(new: NewTask, flow: NewFlow, start: StartClaim | None) -> Steps[Created]:
    """Record new work and the flow that follows it, unless live work with its key is there."""
    created = yield from create_task(new, start)
    if not created.existing:
        yield from put_flow(flow, None, may_go=True)
    return created


def spawn(new: NewTask, child: AgentConversation, flow: NewFlow, start: StartClaim | None) -> Steps[Created]:
    """Record a conversation that another spawns, its first turn and its flow, where the other may have one more."""
    parent = child.parent
    assert parent is not None
    if new.dedupe_key is not None:
        [rows] = yield [("find_duplicate", {"dedupe_key": new.dedupe_key})]
        if rows:  # asked once more: that needs no place of its own
            return Created(task_of(rows[0]), True)
    held, live = yield [
        ("get_agent_conversation", {"key": parent}),
        ("live_children", {"parent": parent, "limit": CHILDREN_MAX}),
    ]
    new, above = yield from _below(new, parent)
    depth = max(above, 1 + (agent_conversation_of(held[0]).depth if held else 0))
    if depth > DEPTH_MAX:
        raise too_deep(parent)
    if len(live) >= CHILDREN_MAX:
        raise too_many_children(parent)
    yield [("hold_conversation", agent_conversation_columns(replace(child, depth=depth)))]
    return (yield from create_mirrored(new, flow, start))


def give_turn(new: NewTask, start: StartClaim | None) -> Steps[Created]:
    """Record a turn that a conversation gives an agent, where turns that give turns do not go too deep by it."""
    if new.dedupe_key is not None:
        [rows] = yield [("find_duplicate", {"dedupe_key": new.dedupe_key})]
        if rows:
            return Created(task_of(rows[0]), True)
    new, above = yield from _below(new, new.requester)
    if above > DEPTH_MAX:
        raise too_deep(new.requester)
    return (yield from create_task(new, start))


def _below(new: NewTask, asker: str) -> Steps[tuple[NewTask, int]]:
    """Return work with the turn as its parent from which a conversation asks for it, and how many turns are above it.

    Raises Conflict (``parent_ended``) where that turn is being called off.
    """
    [turns] = yield [("turn_in_conversation", {"conversation": asker})]
    if turns and turns[0][1] is not None:
        raise called_off(asker, turns[0][0])
    if new.parent_id is None and turns:
        new = replace(new, parent_id=turns[0][0])
    if new.parent_id is None:
        return new, 0
    [above] = yield [("turns_above", {"task_id": new.parent_id, "steps_max": ABOVE_MAX})]
    return new, int(above[0][0])


def too_deep(parent: str) -> Refused:
    """Return what a conversation gets that is too deep to have others work for it."""
    return Refused(
        f"{parent} is {DEPTH_MAX} deep already: so many agents have asked one another", code="too_deep",
        hint="do the work in this conversation",
    )  # fmt: skip


def too_many_children(parent: str) -> Refused:
    """Return what a conversation gets that has as many live children as it may have."""
    return Refused(
        f"{CHILDREN_MAX} agents work for {parent} already", code="too_many_children",
        hint=f"wait for one (outlast subagents wait), or cancel one: outlast subagents list --as {parent}",
    )  # fmt: skip


def called_off(parent: str, task_id: str) -> Conflict:
    """Return what a turn gets that spawns although somebody wants it to end: it could not take that along any more."""
    return Conflict(
        f"task {task_id} is being called off: it begins nothing more", code="parent_ended",
        hint=f"spawn it when the turn of {parent} has ended",
    )  # fmt: skip


SPAWN_ACTS: dict[str, Callable[..., Steps[Any]]] = {act.__name__: act for act in (create_mirrored, spawn, give_turn)}
