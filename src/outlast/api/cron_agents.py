"""Turns of agents as what a schedule does: who may is found out when the rule is made, and again at each instant."""

from __future__ import annotations

from msgspec.structs import replace

from outlast.api.agent_rights import may_speak
from outlast.api.agent_work import TurnAsk, agent_named, compose_turn, other_agent, require_agents
from outlast.api.context import Api, Caller
from outlast.api.cron_policies import SOURCE, queue_of, retry_of
from outlast.api.told_requests import ScheduleFields
from outlast.core.conversation import check_key
from outlast.core.errors import BadInput
from outlast.core.schedule import AgentPayload, Deliver, Overlap, Schedule, format_moment
from outlast.core.task import NewTask, NotifyPolicy


async def agent_payload(api: Api, caller: Caller, request: ScheduleFields) -> AgentPayload | None:
    """Return the turn that a request wants an agent to have; None where it wants none. Raises BadInput, Refused."""
    if request.agent is None:
        return None
    require_agents(api, caller.requester)
    agent = agent_named(api, request.agent)
    if request.message is None:
        raise BadInput("message: is required with agent", hint="what the agent is told")
    await check_change(api, caller, request, agent.name)
    return AgentPayload(agent=agent.name, message=request.message, conversation=request.to, workdir=request.workdir)


async def check_change(api: Api, caller: Caller, request: ScheduleFields, agent: str) -> None:
    """Raise Refused or BadInput where the caller may not have the agent speak in the conversation that is named.

    One that another agent holds (``other_agent``) would switch the rule off at its first instant.
    """
    if request.to is None:
        return
    await may_speak(api, caller, check_key(request.to, "to"))
    held = await api.store.get_agent_conversation(request.to)
    if held is not None and held.agent != agent:
        raise other_agent(held)


def compose_agent(api: Api, schedule: Schedule, payload: AgentPayload, instant: float) -> NewTask:
    """Return the turn of an instant. Raises BadInput or Refused where the rule can make none (any more)."""
    require_agents(api, schedule.requester)
    ask = TurnAsk(
        agent=payload.agent, message=payload.message, source=SOURCE, requester=schedule.requester,
        conversation=payload.conversation or conversation_at(schedule, instant), workdir=payload.workdir,
        env=dict(payload.env), timeout_seconds=schedule.timeout_seconds, label=schedule.name,
        notify=NotifyPolicy.SILENT if schedule.deliver is Deliver.NONE else NotifyPolicy.DONE_ONLY,
        channel=schedule.channel if schedule.deliver is Deliver.WEBHOOK else schedule.conversation,
        schedule_id=schedule.id,
    )  # fmt: skip
    turn = compose_turn(api, api.ledger.new_id(), ask, node=api.books.node)
    if schedule.retries:
        turn = replace(turn, attempts_max=1 + schedule.retries, retry=retry_of(schedule))
    if schedule.overlap is Overlap.QUEUE and payload.conversation is None:
        turn = replace(turn, queue=queue_of(schedule))  # a queue for each conversation would keep none waiting
    return turn


def conversation_at(schedule: Schedule, instant: float) -> str:
    """Return the conversation of an instant of its own: the agent begins afresh, and what it said can be found."""
    return f"cron:{schedule.id}:{format_moment(instant)}"
