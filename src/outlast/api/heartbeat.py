"""Heartbeats: how they stand, what became of them, a beat now, pause and resume."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from outlast.api.agent_work import agent_named, main_conversation, require_agents
from outlast.api.context import Api, Caller
from outlast.api.heartbeat_requests import BeatHistoryRequest, BeatRequest, BeatRunRequest
from outlast.api.heartbeat_results import (
    BeatPage,
    BeatsResult,
    HeartbeatResult,
    HeartbeatsResult,
    describe_beat,
)
from outlast.api.results import iso
from outlast.core.agent import AgentSpec, Beat, BeatState
from outlast.core.errors import BadInput, OutlastError, Refused
from outlast.core.heartbeat import Run, Skip, decide, why_stopped
from outlast.scheduler.heartbeat_look import local_of, look, spec_of
from outlast.scheduler.zones import system_zone

HISTORY_DEFAULT = 50
LOOK_BACK = 100
"""How many of the newest beats are looked through for one that ran."""
SKIPPED = "skipped"


def _meant(api: Api, caller: Caller, named: str | None) -> list[AgentSpec]:
    """Return the agent of that name, or all with a heartbeat. Raises BadInput, Refused for another one's agent.

    Whoever is no operator may ask about the agent he is, by the key of its conversation.
    """
    agents = api.config.agents
    if not caller.operator:
        own = [agent for agent in agents.values() if caller.requester.startswith(f"agent:{agent.name}:")]
        if not own or named not in (None, own[0].name):
            raise Refused("a heartbeat is its agent's own and the operator's", hint="ask on the local socket")
        return own
    if named is not None:
        return [agent_named(api, named)]
    found = [agent for agent in agents.values() if agent.heartbeat is not None]
    return sorted(found, key=lambda agent: agent.name)


def _meant_one(api: Api, caller: Caller, named: str | None) -> list[AgentSpec]:
    """Return those agents. Raises BadInput when there are none, or the one that is named has no heartbeat."""
    found = _meant(api, caller, named)
    if not found:
        raise _none("no agent has a heartbeat", "NAME")
    for agent in found:
        if agent.heartbeat is None:
            raise _none(f"agent {agent.name} has no heartbeat", agent.name)
    return found


def _none(message: str, agent: str) -> BadInput:
    return BadInput(
        message, code="no_heartbeat", hint=f'in config.toml: [agents.{agent}] heartbeat = {{ every = "30m" }}'
    )


async def status(api: Api, caller: Caller, request: BeatRequest) -> HeartbeatsResult:
    """Return how heartbeats stand: when the next beat is, and why not now."""
    states = {state.agent: state for state in await api.store.beat_states()}
    agents = _meant(api, caller, request.agent)
    return HeartbeatsResult(heartbeats=[await _status(api, agent, states.get(agent.name)) for agent in agents])


async def _status(api: Api, agent: AgentSpec, known: BeatState | None) -> HeartbeatResult:
    spec, now = spec_of(agent), api.clock.now()
    state = known or BeatState(agent.name, None, None, None, None, None)
    stopped = why_stopped(spec, state)
    seen, _ = await look(api.store, agent, api.config.paths.home, now)
    last = await api.store.beats_of(agent.name, LOOK_BACK)
    next_at, reason = state.next_at, stopped or ""
    if stopped is None:
        try:
            decision = decide(spec, state, now, local_of(spec), seen)
        except OutlastError as wrong:
            next_at, reason = None, wrong.message
        else:
            if isinstance(decision, Run):
                next_at, reason = now, f"due now: {decision.why}"
            elif isinstance(decision, Skip):
                next_at, reason = decision.next_at, decision.reason
            else:
                next_at, reason = decision.until, decision.reason
    return HeartbeatResult(
        agent=agent.name,
        conversation=main_conversation(agent.name),
        state="on" if stopped is None else "paused" if state.paused_at is not None else "off",
        every_seconds=spec.every_seconds,
        active_hours=f"{spec.active_from}-{spec.active_until}" if spec.active_from else None,
        tz=spec.tz or system_zone(),
        file=spec.file,
        next_at=iso(next_at),
        reason=reason,
        waiting=len(seen.events),
        paused_at=iso(state.paused_at),
        last=describe_beat(next((beat for beat in last if beat.outcome != SKIPPED), last[0])) if last else None,
        turns_last_hour=len(seen.past),
        max_turns_per_hour=spec.turns_max_per_hour,
    )


async def history(api: Api, caller: Caller, request: BeatHistoryRequest) -> BeatPage:
    """Return beats, the newest first: why each was, and what became of it."""
    limit = request.limit or HISTORY_DEFAULT
    agent = request.agent
    if agent is not None or not caller.operator:
        agent = _meant(api, caller, agent)[0].name
    found = await api.store.beats_of(agent, limit, request.before)
    return BeatPage(
        beats=[describe_beat(beat) for beat in found], next=found[-1].id if len(found) == limit else None
    )  # fmt: skip


async def run(api: Api, caller: Caller, request: BeatRunRequest) -> BeatsResult:
    """Have agents look around now, whatever the hour; a busy conversation and the limits still hold one up."""
    agents = _meant_one(api, caller, request.agent)
    if not caller.operator:
        require_agents(api, caller.requester)
    heartbeats = api.books.heartbeats
    beats = [await heartbeats.run(agent, caller.requester) for agent in agents]
    under_way = [beat.id for beat in beats if beat.ended_at is None]
    if under_way and request.timeout_ms:
        ends = asyncio.gather(*(heartbeats.ended(beat_id) for beat_id in under_way))
        await api.first(_until(ends), seconds=request.timeout_ms / 1000)
        ends.cancel()
        beats = [await _present(api, beat) for beat in beats]
    return BeatsResult(beats=[describe_beat(beat) for beat in beats])


async def _until(ends: Awaitable[object]) -> None:
    await ends


async def _present(api: Api, beat: Beat) -> Beat:
    """Return a beat as it stands now."""
    found = await api.store.beats_of(beat.agent, 1, beat.id + 1)
    return found[0] if found and found[0].id == beat.id else beat


async def pause(api: Api, caller: Caller, request: BeatRequest) -> HeartbeatsResult:
    """Have no beats until they are resumed."""
    caller.needs_operator("pause a heartbeat")
    return await _changed(api, caller, request, api.books.heartbeats.pause)


async def resume(api: Api, caller: Caller, request: BeatRequest) -> HeartbeatsResult:
    """Have beats again."""
    caller.needs_operator("resume a heartbeat")
    return await _changed(api, caller, request, api.books.heartbeats.resume)


async def _changed(
    api: Api, caller: Caller, request: BeatRequest, change: Callable[[AgentSpec], Awaitable[BeatState]]
) -> HeartbeatsResult:
    agents = _meant_one(api, caller, request.agent)
    after = [(agent, await change(agent)) for agent in agents]
    return HeartbeatsResult(heartbeats=[await _status(api, agent, state) for agent, state in after])
