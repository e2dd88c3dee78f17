"""Which flow a name means, for whom."""

from __future__ import annotations

from outlast.api.context import Api, Caller
from outlast.core.errors import BadInput, NotFound
from outlast.core.flow import Flow, FlowFilter
from outlast.core.text import is_sound
from outlast.store.base import LIST_MAX

CANDIDATES_MAX = 10


async def find_flow(api: Api, caller: Caller, lookup: str) -> Flow:
    """Return what a lookup means: the id of a flow, or a unique beginning of one.

    Raises NotFound, also for somebody else's flow, and BadInput (``ambiguous``) naming the candidates.
    """
    if not lookup.strip():
        raise BadInput("the name of a flow must not be empty")
    limit = CANDIDATES_MAX * 2 if caller.operator else LIST_MAX  # among those of others there may be many
    found = await api.store.find_flows(lookup, limit) if is_sound(lookup) else []
    own = [flow for flow in found if may_see_flow(caller, flow)]
    if not own:
        raise NotFound(
            f"no flow {lookup!r}: not an id, nor the beginning of one", hint=await _hint(api, caller, lookup)
        )
    if len(own) == 1:
        return own[0]
    lines = [f"{flow.id}  {flow.status.value}  {flow.label or flow.name}" for flow in own]
    shown = "\n".join(lines[:CANDIDATES_MAX]) + ("\n…" if len(lines) > CANDIDATES_MAX else "")
    raise BadInput(f"{lookup!r} may mean several flows", code="ambiguous", hint=shown)


async def _hint(api: Api, caller: Caller, lookup: str) -> str:
    """Point to the list; the name of a program is that of many flows."""
    requester = None if caller.operator else caller.requester
    if is_sound(lookup):
        named = await api.store.list_flows(FlowFilter(name=lookup, requester=requester), 1)
        if named.flows:
            return f"there are flows of that name: outlast flow list --name {lookup}"
    return "outlast flow list shows them"


def may_see_flow(caller: Caller, flow: Flow) -> bool:
    """True when the flow is this caller's own, or the caller is the operator."""
    return caller.operator or flow.requester == caller.requester


async def present(api: Api, flow_id: str) -> Flow:
    """Return a flow as it stands now. Raises NotFound."""
    flow = await api.store.get_flow(flow_id)
    if flow is None:
        raise NotFound(f"no flow {flow_id!r}", hint="outlast flow list shows them")
    return flow
