"""What a heartbeat looks at before it decides: the queue of events, the checklist, whether somebody is at work."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from outlast.core.agent import AgentSpec, Beat, HeartbeatSpec, main_conversation, own_folder
from outlast.core.conversation import EVENTS_MAX, SystemEvent
from outlast.core.heartbeat import HOUR, Local, Seen
from outlast.core.heartbeat_answer import CHECKLIST_MAX, is_empty
from outlast.core.task import AGENTS
from outlast.scheduler.zones import system_zone, zone
from outlast.store.base import LIST_MAX, Store


class Checklist(NamedTuple):
    """The checklist of an agent as it was read: None where there is none that can be."""

    text: str | None

    @property
    def empty(self) -> bool:
        """True when it asks for nothing."""
        return is_empty(self.text)


def spec_of(agent: AgentSpec) -> HeartbeatSpec:
    """Return when an agent looks around; one without a table of it never does."""
    return agent.heartbeat or HeartbeatSpec(every_seconds=0.0)


def local_of(spec: HeartbeatSpec) -> Local:
    """Return the clocks of a heartbeat's zone. Raises BadInput (``bad_zone``), GatewayTrouble."""
    return zone(spec.tz or system_zone()).local


def read_checklist(agent: AgentSpec, home: str) -> Checklist:
    """Return the checklist below where an agent works."""
    return Checklist(_read(f"{agent.workdir or own_folder(home, agent.name)}/{spec_of(agent).file}"))


def _read(path: str) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold anybody up
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read(4 * CHECKLIST_MAX).decode("utf-8", "replace").replace("\0", "\ufffd")
    except OSError:
        return None
    finally:
        os.close(fd)


async def waiting(store: Store, agent: str) -> list[SystemEvent]:
    """Return what waits for an agent's main conversation."""
    conversation = main_conversation(agent)
    if not await store.last_system_event(conversation):
        return []
    return await store.system_events(conversation, 0, EVENTS_MAX)


async def past_beats(store: Store, agent: str, now: float) -> list[Beat]:
    """Return the beats of an agent in the last hour that ran, newest first."""
    found: list[Beat] = []
    before: int | None = None
    while page := await store.beats_of(agent, LIST_MAX, before):
        found += [beat for beat in page if beat.outcome != "skipped" and now - HOUR < beat.at]
        if len(page) < LIST_MAX or page[-1].at <= now - HOUR:
            break
        before = page[-1].id
    return found


async def turns_in(store: Store, agent: str) -> list[str]:
    """Return the turns of an agent's main conversation that run or wait to."""
    live = [await store.get_task(task_id) for task_id in await store.live_in_conversation(main_conversation(agent))]
    return [task.id for task in live if task is not None and task.runtime in AGENTS and not task.status.final]


async def busy_with(store: Store, agent: str) -> str | None:
    """Say with what an agent's main conversation is occupied; None when it is free."""
    if turns := await turns_in(store, agent):
        more = f" and {len(turns) - 1} more" if len(turns) > 1 else ""
        return f"busy: task {turns[0]}{more} has its turn"
    beats = [beat for beat in await store.open_beats() if beat.agent == agent]
    return f"busy: beat {beats[0].id} runs" if beats else None


async def look(
    store: Store, agent: AgentSpec, home: str, now: float, *, asked: str | None = None,
    events: list[SystemEvent] | None = None,
) -> tuple[Seen, Checklist]:  # fmt: skip
    """Look at everything that decides about a beat."""
    checklist = read_checklist(agent, home)
    seen = Seen(
        events=await waiting(store, agent.name) if events is None else events,
        checklist_empty=checklist.empty,
        busy=await busy_with(store, agent.name),
        past=await past_beats(store, agent.name, now),
        asked=asked,
    )
    return seen, checklist
