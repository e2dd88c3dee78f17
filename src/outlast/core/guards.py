"""Guards against three habits that waste a session.

They are: starting the same thing twice, keeping time with a shell (`fake_timer`), and polling in a tight
loop. All of it is arithmetic here; acting on the answer is the caller's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from outlast.core.fake_timers import Advice, fake_timer

__all__ = [
    "NERVOUS_POLLS",
    "Advice",
    "NervousReader",
    "fake_timer",
    "poll_advice",
    "poll_answered",
    "poll_arrives",
    "poll_hint",
    "start_key",
]

NERVOUS_POLLS = 3
"""So many empty polls in a row before their hint had passed, and the next one is held."""

_HINTS_MS = (1_000, 2_000, 5_000, 10_000, 30_000)


class NervousReader(NamedTuple):
    """What is known of one reader of one session. The moments are readings of a monotonic clock, in seconds.

    ``empty`` counts its polls without news in a row, ``early`` those of them that came before their hint
    had passed; ``hint_at`` is when the last hint passes, None while there is none.
    """

    empty: int = 0
    early: int = 0
    hint_at: float | None = None


def start_key(command: str | None, argv: Sequence[str] | None, cwd: str, requester: str) -> str:
    """Return the key under which a running session counts as the same start: 32 hex digits.

    Two starts are the same when command (or argument list), directory and requester are equal to the letter.
    """
    parts = [requester, cwd, "shell", command] if command is not None else [requester, cwd, "argv", *(argv or ())]
    digest = hashlib.sha256()
    for part in parts:
        octets = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(octets))
        digest.update(octets)
    return digest.hexdigest()[:32]


def poll_hint(empty_polls: int) -> int:
    """Return after how many milliseconds to poll again, given how many empty polls came before this one."""
    return _HINTS_MS[min(max(empty_polls, 0), len(_HINTS_MS) - 1)]


def poll_arrives(reader: NervousReader, now: float, wait_seconds: float = 0.0) -> tuple[NervousReader, float]:
    """Return the reader's new state and for how many seconds to hold this poll unless news comes first.

    ``wait_seconds`` is how long the poll is willing to wait by itself: one that waits past its hint is not
    nervous.
    """
    if reader.hint_at is None or now + wait_seconds >= reader.hint_at:
        return reader._replace(early=0), 0.0
    hold = reader.hint_at - now if reader.early >= NERVOUS_POLLS else 0.0
    return reader._replace(early=reader.early + 1), hold


def poll_answered(reader: NervousReader, now: float, news: bool) -> tuple[NervousReader, int]:
    """Return the reader's new state and the hint to send along, in milliseconds (`poll_hint`).

    News (output, or the end) makes a calm reader of anyone.
    """
    if news:
        return NervousReader(), poll_hint(0)
    hint = poll_hint(reader.empty)
    return NervousReader(reader.empty + 1, reader.early, now + hint / 1000), hint


def poll_advice(reader: NervousReader, session_id: str) -> str | None:
    """Return the sentence for a reader whose polls are being held, None for a calm one."""
    if reader.early <= NERVOUS_POLLS:
        return None
    return (
        f"{reader.early} polls in a row came early and found nothing new, so they are held. "
        f"One call waits for you: `outlast process wait {session_id} --exit` (or --pattern RE, --port N, "
        "--quiet 5s), or a poll with timeoutMs."
    )
