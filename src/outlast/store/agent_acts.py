"""The acts on transcripts, agents' conversations and heartbeats, as generators like those of `outlast.store.acts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from outlast.core.agent import AgentConversation, Beat, BeatState, NewEntry, beat_owner, main_conversation
from outlast.core.task import Notice
from outlast.core.text import sound
from outlast.store.agent_rows import agent_conversation_columns, agent_conversation_of, beat_params, entry_params
from outlast.store.flow_steps import notice_step
from outlast.store.steps import Step, Steps


def append_entries(conversation: str, entries: Sequence[NewEntry]) -> Steps[int]:
    """Add entries at the end of a transcript; each takes the number after the newest when its turn comes."""
    steps: list[Step] = [("append_entry", entry_params(conversation, new)) for new in entries]
    if entries:
        newest_at = max(new.at for new in entries)
        steps.append(("touch_conversation", {"conversation": conversation, "at": newest_at}))
    steps.append(("newest_entry", {"conversation": conversation}))
    answers = yield steps
    [(newest,)] = answers[-1]
    return int(newest)


def hold_conversation(conversation: AgentConversation) -> Steps[AgentConversation]:
    """Put a conversation on record, or find the one that is there."""
    _, [row] = yield [
        ("hold_conversation", agent_conversation_columns(conversation)),
        ("get_agent_conversation", {"key": conversation.key}),
    ]
    return agent_conversation_of(row)


def note_agent_session(key: str, agent_session: str | None, now: float) -> Steps[None]:
    """Note the agent's own session and count a turn."""
    yield [("note_agent_session", {"key": key, "agent_session": sound(agent_session), "now": now})]


def prune_transcripts(before: float, limit: int) -> Steps[int]:
    """Forget quiet conversations, the longest quiet first, each from its oldest entry on, as far as the limit goes."""
    [rows] = yield [("quiet_conversations", {"before": before, "limit": limit})]
    steps: list[Step] = []
    left = limit
    for key, oldest, newest in rows:
        count = 0 if newest is None else newest - oldest + 1
        if count:
            steps.append(("forget_entries", {"conversation": key, "upto": oldest + min(count, left) - 1}))
        if count >= left:
            left = 0
            break
        steps.append(("forget_conversation", {"key": key}))
        left -= count + 1
    yield steps
    return limit - left


def set_beat(state: BeatState, expected_next: float | None) -> Steps[bool]:
    """Write where a heartbeat stands, if nobody has moved it."""
    [rows] = yield [("set_beat", {**msgspec.structs.asdict(state), "expected_next": expected_next})]
    return bool(rows)


def add_beat(beat: Beat) -> Steps[int]:
    """Write a line of history."""
    [[(beat_id,)]] = yield [("add_beat", beat_params(beat))]
    return int(beat_id)


def take_beat(state: BeatState, expected_next: float | None, beat: Beat) -> Steps[int | None]:
    """Write where a heartbeat stands, and the beat that moved it, if nobody has moved it before.

    A beat that begins takes the conversation, as the turn of a task does: whoever has it is before it.
    """
    if beat.ended_at is None:
        found = yield [
            ("turn_in_conversation", {"conversation": main_conversation(beat.agent)}),
            ("open_beat_of", {"agent": beat.agent}),
        ]
        if any(found):
            return None
    if not (yield from set_beat(state, expected_next)):
        return None
    return (yield from add_beat(beat))


def renew_beat(beat_id: int, until: float) -> Steps[bool]:
    """Extend the lease of a beat that has not ended."""
    [rows] = yield [("renew_beat", {"id": beat_id, "until": until})]
    return bool(rows)


def end_beat(
    beat_id: int, outcome: str, reason: str, text: str | None, now: float, notice: Notice | None = None
) -> Steps[bool]:
    """Note what became of a beat, with the notice that passes its answer on."""
    params = {"id": beat_id, "outcome": outcome, "reason": sound(reason), "text": sound(text), "now": now}
    [rows] = yield [("end_beat", params)]
    if rows and notice is not None:
        yield [notice_step(beat_owner(beat_id), now, notice)]
    return bool(rows)


def prune_beats(before: float) -> Steps[None]:
    """Forget old lines of history."""
    yield [("prune_beat_notices", {"before": before})]
    yield [("prune_beats", {"before": before})]


AGENT_ACTS: dict[str, Callable[..., Steps[Any]]] = {
    act.__name__: act
    for act in (
        append_entries, hold_conversation, note_agent_session, prune_transcripts, set_beat, add_beat,
        take_beat, renew_beat, end_beat, prune_beats,
    )
}  # fmt: skip
