"""Whether and when failed work is tried again: a rule and a number of attempts give a moment, or None."""

from __future__ import annotations

import msgspec

DELAY_DEFAULT = 1.0
DELAY_MAX_DEFAULT = 60.0
ATTEMPTS_MAX = 1000
FACTOR = 2.0


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Exponential backoff: ``delay_seconds`` doubled after each failure up to ``delay_max_seconds``."""

    delay_seconds: float = DELAY_DEFAULT
    delay_max_seconds: float = DELAY_MAX_DEFAULT


def pause(policy: RetryPolicy, attempt: int, luck: float) -> float:
    """Return the seconds to wait after the failed ``attempt`` (from 1).

    ``luck`` (0..1) is drawn by the caller and moves the pause by up to a quarter down, so that many failures of the
    same moment do not come back at the same moment.
    """
    doubled = policy.delay_seconds * FACTOR ** min(attempt - 1, 60)
    return min(doubled, policy.delay_max_seconds) * (1.0 - 0.25 * luck)


def again_at(
    policy: RetryPolicy | None, *, attempt: int, attempts_max: int, now: float, luck: float, deadline_at: float | None
) -> float | None:
    """Return the moment of the next attempt, or None to give up: no attempt is left, or the deadline would pass."""
    if attempt >= attempts_max:
        return None
    moment = now + pause(policy or RetryPolicy(), attempt, luck)
    return None if deadline_at is not None and moment >= deadline_at else moment
