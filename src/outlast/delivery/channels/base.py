"""What a channel is: something that takes one message at a time, and says why when it could not."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from outlast.core.notice_text import one_line, plain_lines
from outlast.core.redact import redact

REASON_MAX = 300
"""Characters of a reason."""
TITLE_MAX, TEXT_MAX = 200, 65_536
"""Characters of a title and of a text as they are sent; a channel may have to send less."""
NAME_MAX = 200
"""Characters of a kind or of the key of a conversation."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,127}", re.ASCII)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told.

    ``id`` is the idempotency key: a second sending of the same message carries the same one. ``at`` is when the thing
    told of happened, in seconds since the epoch. ``kind`` is what happened, one word or several joined by dots.
    ``conversation`` is who is told, where it is one. ``data`` is JSON for machines.
    """

    id: str
    at: float
    kind: str
    title: str
    text: str
    conversation: str | None = None
    data: dict[str, object] = {}


class SendFailed(Exception):
    """A message was not delivered, as far as is known.

    ``retryable``: the same message may go through later. ``retry_after``: the receiver asked to be left alone for that
    many seconds. ``gone``: the receiver wants nothing from us any more, this message or another. ``reason`` is one
    harmless line of at most `REASON_MAX` characters, without secrets.
    """

    def __init__(self, reason: str, *, retryable: bool, retry_after: float | None = None, gone: bool = False) -> None:
        self.reason = one_line(redact(reason[: REASON_MAX * 4]), REASON_MAX)
        self.retryable = retryable
        self.retry_after = retry_after
        self.gone = gone
        super().__init__(self.reason)


class Channel(Protocol):
    """A way to tell somebody."""

    async def send(self, message: Message) -> None:
        """Deliver a message; returns when the receiver has taken it. Raises SendFailed and nothing else.

        Every channel has a time limit of its own. A cancelled call leaves nothing running but what is recorded
        elsewhere; whether the message arrived is then not known.
        """


def readable(message: Message) -> Message:
    """Return a message with harmless, bounded texts: no control characters, no half of a surrogate pair."""
    return msgspec.structs.replace(
        message,
        kind=one_line(message.kind, NAME_MAX),
        title=one_line(message.title, TITLE_MAX),
        text=plain_lines(message.text, TEXT_MAX),
        conversation=None if message.conversation is None else one_line(message.conversation, NAME_MAX),
    )


def safe_id(message: Message) -> str:
    """Return the id of a message as it may stand in a header: itself where possible, else a digest of it."""
    if _ID.fullmatch(message.id):
        return message.id
    return "n_" + hashlib.sha256(message.id.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def moment(at: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC with milliseconds; what is no moment shows as the epoch."""
    try:
        shown = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        shown = datetime.fromtimestamp(0, UTC)
    return shown.isoformat(timespec="milliseconds").replace("+00:00", "Z")
