"""Words for tests of the store of agents: entries, conversations and beats whose moments follow from numbers."""

from __future__ import annotations

from outlast.core.agent import AgentConversation, Beat, BeatState, EntryKind, NewEntry
from outlast.core.flow import FlowMode, NewFlow
from outlast.core.task import NotifyPolicy, Runtime
from store.store_fakes import make, new

MAIN = "agent:main:main"


def entry(number: int, source: str = "s", **given) -> NewEntry:
    """The entry made of a line of a journal; a line is ten bytes long."""
    made = {
        "at": 1000.0 + number, "kind": EntryKind.TEXT, "text": f"line {number}", "source_key": f"{source}:{number}",
        "task_id": "t1", "journal_at": 10 * number,
    }  # fmt: skip
    return NewEntry(**{**made, **given})


def entries(first: int, last: int, source: str = "s", **given) -> list[NewEntry]:
    return [entry(number, source, **given) for number in range(first, last + 1)]


def conversation(key: str = MAIN, **given) -> AgentConversation:
    made = {"key": key, "agent": "main", "created_at": 1000.0, "updated_at": 1000.0, "workdir": "/work"}
    return AgentConversation(**{**made, **given})


async def hold(store, key: str = MAIN, **given) -> AgentConversation:
    return await store.hold_conversation(conversation(key, **given))


async def spawn(store, parent: str, key: str, depth: int = 1) -> str:
    """A conversation that another has spawned."""
    return (await hold(store, key, agent="coder", parent=parent, depth=depth)).key


async def turn(store, key: str) -> str:
    """The id of a queued task of a conversation."""
    return (await make(store, conversation=key)).id


def heartbeat(agent: str = "main", **given) -> BeatState:
    made = {"next_at": None, "paused_at": None, "last_at": None, "last_text_hash": None, "last_text_at": None}
    return BeatState(agent=agent, **{**made, **given})


def beat(number: int, agent: str = "main", outcome: str = "ran", **given) -> Beat:
    made = {"at": 1000.0 + number, "why": "due", "reason": "", "session_id": f"s{number}", "ended_at": None}
    return Beat(id=0, agent=agent, outcome=outcome, text=None, **{**made, **given})


def child(number: int, parent: str = MAIN):
    """The conversation that is spawned with a number."""
    return conversation(f"agent:coder:subagent:{number}", agent="coder", parent=parent)


def wish(number: int, parent: str = MAIN, **given):
    """What an act of spawning takes: a task, its conversation, its flow."""
    held = child(number, parent)
    task = new(
        number, runtime=Runtime.SUBAGENT, kind="spawn", requester=parent, conversation=held.key, queue="subagents",
        flow_id=f"f{number}", **given,
    )  # fmt: skip
    return task, held, flow_of(task)


def flow_of(task) -> NewFlow:
    return NewFlow(
        id=task.flow_id, mode=FlowMode.MIRRORED, name="agent coder", requester=task.requester,
        created_at=task.created_at, task_id=task.id, notify=NotifyPolicy.SILENT,
    )  # fmt: skip
