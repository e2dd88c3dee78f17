"""How the gateway and its keeper are, and how many sessions there are."""

from __future__ import annotations

import os

from outlast.api.context import Api, Caller
from outlast.api.flow_results import FlowsStatus
from outlast.api.flows import flows_status
from outlast.api.requests import PlainRequest
from outlast.api.results import Record, iso
from outlast.api.task_results import TasksStatus
from outlast.api.tasks import tasks_status
from outlast.core.errors import GatewayTrouble


class StoreStatus(Record, frozen=True, kw_only=True):
    """Where tasks are on record; ``unavailable`` with the reason while the store cannot be used."""

    kind: str
    path: str


class GatewayStatus(Record, frozen=True, kw_only=True):
    """The process that answers. ``rss_bytes`` is its resident memory, None where the system does not say."""

    pid: int
    version: str
    protocol: int
    started_at: str | None
    uptime_seconds: float
    socket: str
    listen: str | None
    store: StoreStatus
    home: str
    rss_bytes: int | None


class KeeperFacts(Record, frozen=True, kw_only=True):
    """The keeper that starts commands; all None while there is none."""

    pid: int | None
    version: str | None
    protocol: int | None
    started_at: str | None


class AdoptedStatus(Record, frozen=True, kw_only=True):
    """What the gateway found when it started, and in how many milliseconds."""

    live: int
    ended: int
    lost: int
    ms: float


class SessionCounts(Record, frozen=True, kw_only=True):
    """How many sessions the caller can see."""

    live: int
    ended: int
    adopted: AdoptedStatus


class ToldStatus(Record, frozen=True, kw_only=True):
    """What is to come, and what is on its way: the next firing, notices that wait and those that were given up."""

    next_firing_at: str | None
    notices_pending: int
    notices_parked: int


class StatusResult(Record, frozen=True, kw_only=True):
    """The answer to "how are you"."""

    gateway: GatewayStatus
    keeper: KeeperFacts
    sessions: SessionCounts
    tasks: TasksStatus | None
    flows: FlowsStatus | None
    told: ToldStatus | None


async def status(api: Api, caller: Caller, request: PlainRequest) -> StatusResult:
    """Return how the gateway, its keeper and the caller's sessions stand."""
    facts = api.gateway.facts
    adopted = api.sessions.adopted
    return StatusResult(
        gateway=GatewayStatus(
            pid=facts.pid,
            version=facts.version,
            protocol=facts.protocol,
            started_at=iso(facts.started_at),
            uptime_seconds=round(max(0.0, api.clock.now() - facts.started_at), 3),
            socket=facts.socket,
            listen=facts.listen,
            store=await _store(api),
            home=facts.home,
            rss_bytes=_rss_bytes(),
        ),
        keeper=_keeper(api),
        sessions=SessionCounts(
            live=len(api.running(caller)),
            ended=await _count_ended(api, caller),
            adopted=AdoptedStatus(live=adopted.live, ended=adopted.ended, lost=adopted.lost, ms=adopted.ms),
        ),
        tasks=await tasks_status(api, caller),
        flows=await flows_status(api, caller),
        told=await told_status(api),
    )


async def told_status(api: Api) -> ToldStatus | None:
    """Return what is to come and what is on its way; None while the store cannot be used."""
    try:
        counts = await api.store.outbox_counts()
        due = await api.store.next_schedule_due()
    except GatewayTrouble:
        return None
    return ToldStatus(next_firing_at=iso(due), notices_pending=counts["pending"], notices_parked=counts["parked"])


async def _store(api: Api) -> StoreStatus:
    try:
        info = await api.store.info()
    except GatewayTrouble as trouble:
        return StoreStatus(kind="unavailable", path=trouble.message)
    return StoreStatus(kind=info.kind, path=info.place)


def _keeper(api: Api) -> KeeperFacts:
    keeper = api.sessions.keeper
    return KeeperFacts(
        pid=keeper.pid,
        version=keeper.version,
        protocol=keeper.protocol,
        started_at=iso(keeper.started_at),
    )


async def _count_ended(api: Api, caller: Caller) -> int:
    if not caller.operator:
        return len([None async for _ in api.ended(caller)])
    leftover = sum(1 for session in api.sessions.live() if session.end is not None)
    return api.sessions.count_ended() + leftover


def _rss_bytes() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
