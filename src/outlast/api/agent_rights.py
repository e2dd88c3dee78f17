"""Whose a conversation is: who is no operator speaks in his own only, whichever way he takes."""

from __future__ import annotations

from outlast.api.context import LOCAL, Api, Caller
from outlast.core.agent import with_requester
from outlast.core.conversation import check_key
from outlast.core.errors import Refused
from outlast.core.flow import Flow
from outlast.flows.waits import AgentAsk
from outlast.store.base import Store

ABOVE_MAX = 32
"""Conversations that are looked at on the way up to whoever spawned one: more than may lie between."""


async def is_own(store: Store, requester: str, conversation: str) -> bool:
    """True for the conversation an agent holds with a requester, his own, and what was spawned from there."""
    key = conversation
    for _ in range(ABOVE_MAX):  # up the line of those who have spawned it
        if key == requester or _is_with(key, requester):
            return True
        held = await store.get_agent_conversation(key)
        if held is None or held.parent is None:
            return False
        key = held.parent
    return False


async def may_speak(api: Api, caller: Caller, conversation: str) -> None:
    """Raise Refused where a conversation is none of the caller's."""
    if not (caller.operator or await is_own(api.store, caller.requester, conversation)):
        caller.needs_operator(f"speak in {conversation}")


async def may_have_told(api: Api, caller: Caller, conversation: str | None) -> None:
    """Raise Refused where a conversation that is to hear of an end is none of the caller's: an agent reads it there.

    Raises BadInput (``bad_key``) for what is no conversation at all.
    """
    if conversation is not None:
        await may_speak(api, caller, check_key(conversation, "conversation"))


def _is_with(key: str, requester: str) -> bool:
    """True for a conversation an agent holds with a requester. The whole key counts: names may hold anything."""
    kind, _, rest = key.partition(":")
    agent, _, _ = rest.partition(":")
    return kind == "agent" and bool(agent) and key == with_requester(agent, requester)


async def admit_step(store: Store, flow: Flow, ask: AgentAsk) -> None:
    """Raise Refused where an agent step of a flow would speak in a conversation that is none of its requester's.

    What the flow itself is called by is its own: steps share a conversation under ``agent:NAME:flow:ID:``.
    """
    named = ask.conversation
    if named is None or flow.requester == LOCAL or named.startswith(f"agent:{ask.agent}:flow:{flow.id}:"):
        return
    if not await is_own(store, flow.requester, named):
        raise Refused(
            f"{flow.requester} may not speak in {named}",
            hint=f"name none, or {with_requester(ask.agent, flow.requester)}",
        )
