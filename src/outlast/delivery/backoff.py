"""When a delivery that failed is tried again, and when it is given up."""

from __future__ import annotations

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 3600.0
ATTEMPTS_MAX = 15
"""Attempts before a delivery is parked: with these pauses about six hours."""


def pause(attempts: int, luck: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after ``attempts`` failures (from 1).

    Doubled each time up to `LONGEST_SECONDS`; ``luck`` (0..1) takes up to a quarter off, so that many that failed
    together do not come back together. A receiver's own wish is heeded up to the same bound.
    """
    doubled = min(FIRST_SECONDS * 2.0 ** min(attempts - 1, 30), LONGEST_SECONDS)
    wait = doubled * (1.0 - 0.25 * luck)
    return wait if retry_after is None else min(max(wait, retry_after), LONGEST_SECONDS)


def gives_up(attempts: int, *, retryable: bool) -> bool:
    """True when a delivery that failed so often, or in such a way, is parked."""
    return not retryable or attempts >= ATTEMPTS_MAX
