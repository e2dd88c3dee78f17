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
    depth = 1 + (agent_conversation_of(held[0]).depth if held else 0)
    if depth > DEPTH_MAX:
        raise too_deep(parent)
    if len(live) >= CHILDREN_MAX:
        raise too_many_children(parent)
    new = yield from _below(new, parent)
    yield [("hold_conversation", agent_conversation_columns(replace(child, depth=depth)))]
    return (yield from create_mirrored(new, flow, start))


def give_turn(new: NewTask, start: StartClaim | None) -> Steps[Created]:
    """Record a turn that a conversation gives an agent, unless live work with its key is there."""
    if new.dedupe_key is not None:
        [rows] = yield [("find_duplicate", {"dedupe_key": new.dedupe_key})]
        if rows:
            return Created(task_of(rows[0]), True)
    new = yield from _below(new, new.requester)
    return (yield from create_task(new, start))


def _below(new: NewTask, asker: str) -> Steps[NewTask]:
    """Return work with the turn as its parent from which a conversation asks for it, where it names none.

    Raises Conflict (``parent_ended``) where that turn is being called off.
    """
    [turns] = yield [("turn_in_conversation", {"conversation": asker})]
    if not turns:
        return new
    if turns[0][1] is not None:
        raise called_off(asker, turns[0][0])
    return new if new.parent_id is not None else replace(new, parent_id=turns[0][0])


def too_deep(parent: str) -> Refused:
    """Return what a conversation gets that is too far down the line of those who ask agents."""
    return Refused(
        f"{parent} was asked for {DEPTH_MAX} deep already", code="too_deep", hint="do the work in this conversation"
    )


def too_many_children(parent: str) -> Refused:
    """Return what a conversation gets that has as many live children as it may have."""
    return Refused(
        f"{CHILDREN_MAX} agents work for {parent} already", code="too_many_children",
        hint=f"wait for one (outlast subagents wait), or cancel one: outlast subagents list --as {parent}",
    )  # fmt: skip


def called_off(parent: str, task_id: str) -> Conflict:
    """Return what a turn gets that asks agents although somebody wants it to end: it could not take that along."""
    return Conflict(
        f"task {task_id} is being called off: it begins nothing more", code="parent_ended",
        hint=f"ask again when the turn of {parent} has ended",
    )  # fmt: skip


SPAWN_ACTS: dict[str, Callable[..., Steps[Any]]] = {act.__name__: act for act in (create_mirrored, spawn, give_turn)}
