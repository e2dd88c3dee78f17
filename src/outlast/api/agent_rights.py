"""Whose a conversation is, and how deep: who is no operator speaks in his own only, whichever way he takes."""

from __future__ import annotations

from outlast.api.context import Api, Caller
from outlast.core.agent import DEPTH_MAX, with_requester
from outlast.core.conversation import check_key
from outlast.store.base import Store
from outlast.store.spawns import too_deep

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


async def depth_below(store: Store, asker: str, conversation: str) -> int:
    """Return how far down the line a conversation is in which another has an agent do something.

    As deep as one that is spawned; 0 where who asks is no agent, or asks for another turn of his own. Raises Refused
    (``too_deep``) where it would be begun too far down: agents that ask each other come to an end.
    """
    asking = None if conversation == asker else await store.get_agent_conversation(asker)
    if asking is None:
        return 0
    if asking.depth >= DEPTH_MAX and await store.get_agent_conversation(conversation) is None:
        raise too_deep(asker)
    return min(asking.depth + 1, DEPTH_MAX)
