"""Rows and records of agents: entries of transcripts, agents' conversations, heartbeats and beats."""

from __future__ import annotations

from typing import Any

import msgspec

from outlast.core.agent import AgentConversation, Beat, BeatState, Entry, EntryKind, NewEntry
from outlast.core.text import sound
from outlast.store.rows import Row, json_text, json_value

ENTRY_COLUMNS = Entry.__struct_fields__
AGENT_CONVERSATION_COLUMNS = AgentConversation.__struct_fields__
HEARTBEAT_COLUMNS = BeatState.__struct_fields__
BEAT_COLUMNS = Beat.__struct_fields__

_KINDS = {word.value: word for word in EntryKind}


def entry_of(row: Row) -> Entry:
    """Make an entry of a row in the order of `ENTRY_COLUMNS`."""
    conversation, seq, at, kind, text, data, *rest = row
    return Entry(conversation, seq, at, _KINDS[kind], text, json_value(data), *rest)


def entry_params(conversation: str, new: NewEntry) -> dict[str, Any]:
    """Return an entry as the parameters that write it; what an agent says may hold what no record can."""
    return {
        "conversation": conversation, "at": new.at, "kind": new.kind.value, "text": sound(new.text),
        "data": json_text(sound(new.data)), "task_id": new.task_id, "source_key": new.source_key,
        "journal_at": new.journal_at,
    }  # fmt: skip


def agent_conversation_of(row: Row) -> AgentConversation:
    """Make a conversation of a row in the order of `AGENT_CONVERSATION_COLUMNS`."""
    return AgentConversation(*row)


def agent_conversation_columns(conversation: AgentConversation) -> dict[str, Any]:
    """Return a conversation as the parameters that write it."""
    return msgspec.structs.asdict(conversation)


def beat_state_of(row: Row) -> BeatState:
    """Make the state of a heartbeat of a row in the order of `HEARTBEAT_COLUMNS`."""
    return BeatState(*row)


def beat_of(row: Row) -> Beat:
    """Make a beat of a row in the order of `BEAT_COLUMNS`."""
    return Beat(*row)


def beat_params(beat: Beat) -> dict[str, Any]:
    """Return a beat as the parameters that write it: all but its id, which the store gives."""
    columns = msgspec.structs.asdict(beat)
    del columns["id"]
    columns["reason"], columns["text"] = sound(beat.reason), sound(beat.text)
    return columns
