"""A conversation is who asked: its queue of system events, and how it is woken. Times are seconds since the epoch."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from outlast.core.errors import BadInput

EVENTS_MAX = 500
"""Unacknowledged events a conversation holds; beyond that the oldest half is folded into one that says so."""
EVENTS_TEXT_MAX = 1_000_000
"""Characters of their texts in all, likewise."""
FOLDED = "folded"
"""The kind of the event that stands for others."""


CHANNELS = ("webhook", "command", "desktop", "smtp", "apprise")
"""The kinds of channels; a notice's target begins with one of them, a conversation's key never does."""


def names_channel(text: str) -> bool:
    """True when a text names a channel, as in ``webhook:URL``; anything else is the key of a conversation."""
    kind, colon, _ = text.partition(":")
    return bool(colon) and kind in CHANNELS


KEY_MAX = 200
"""Characters of the key of a conversation."""


def check_key(key: str, field: str) -> str:
    """Return the key of a conversation, or raise `BadInput` about the field: it is shown, and handed to commands."""
    if key.isprintable() and key.strip() and len(key) <= KEY_MAX:
        return no_channel(key, field)
    raise BadInput(f"{field}: must be 1 to {KEY_MAX} printable characters", code="bad_key")


def no_channel(key: str, field: str) -> str:
    """Return a key that cannot be taken for a channel, or raise `BadInput`.

    Which of his conversations is told of an end is a requester's to say; what runs or calls out to tell it is the
    operator's alone.
    """
    if names_channel(key):
        raise BadInput(
            f"{field}: a key must not begin with {key.partition(':')[0]}:",
            code="bad_key",
            hint="as in agent:coder:main",
        )
    return key


class Mode(StrEnum):
    """When a conversation is to hear of an event: now, or with its next turn anyway."""

    NOW = "now"
    NEXT_HEARTBEAT = "next-heartbeat"


class NewSystemEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something a conversation is to hear. ``source_key`` makes a second telling of the same thing recognisable."""

    conversation: str
    at: float
    kind: str
    text: str
    data: dict[str, object] = {}
    source_key: str
    mode: Mode = Mode.NOW


class SystemEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event in a conversation's queue; ``acked_at`` is set once it was consumed."""

    id: int
    conversation: str
    at: float
    kind: str
    text: str
    data: dict[str, object]
    source_key: str
    mode: Mode
    acked_at: float | None = None


class Wake(msgspec.Struct, frozen=True, kw_only=True):
    """How a conversation is nudged. ``channel`` is a target of `outlast.delivery.channels`; it may hold secrets.

    ``due_at`` is set while there is something to tell; ``sent_event_id`` is the newest event that was told this way.
    A wake that failed too often is parked: its conversation hears at its next turn, and an audit says so.
    """

    id: str
    conversation: str
    channel: str
    secret: str | None
    created_at: float
    due_at: float | None = None
    attempts: int = 0
    error: str | None = None
    sent_event_id: int = 0
    sent_at: float | None = None
    parked_at: float | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as the queue knows it: how much waits, since when, and how it is woken."""

    key: str
    waiting: int
    oldest_at: float | None
    newest_at: float | None
    wakes: int


def folded_text(count: int, kinds: dict[str, int]) -> str:
    """Return what stands in the place of events that were folded."""
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
    return f"{count} older events were folded into this one: {told}. The ledger has them all: outlast tasks list"
