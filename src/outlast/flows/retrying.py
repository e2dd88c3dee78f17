"""Whether and when a step or a flow is tried again, as authors write it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from outlast.core.durations import parse_duration
from outlast.core.retry import ATTEMPTS_MAX, DELAY_DEFAULT, DELAY_MAX_DEFAULT, RetryPolicy
from outlast.flows.errors import NonRetryable, NotStorable

Span = str | float | int | timedelta
"""A span of time as authors write it: ``"5m"``, ``"1h30m"``, seconds, or a `timedelta`."""
SPAN_MAX = 100 * 366 * 86_400.0
"""Seconds of the longest span: a hundred years."""


def seconds_of(span: Span) -> float:
    """Return a span in seconds. Raises BadInput (a ValueError for numbers) for what is none."""
    if isinstance(span, str):
        return parse_duration(span)
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if not 0 <= seconds <= SPAN_MAX:
        raise ValueError(f"{span!r} is no span of time: 0 to a hundred years")
    return seconds


class Retry:
    """Try again after a failure: at most ``attempts`` times in all, with growing pauses between.

    ``backoff`` is the first pause and the longest, ``"1s..1m"`` (or one span for both); it doubles from one to the
    other, and each is shortened by up to a quarter by chance. Exceptions of the types ``unless`` are final, and so is
    `NonRetryable`. Raises ValueError for numbers out of bounds (1 to 1,000 attempts).
    """

    __slots__ = ("_attempts", "policy", "unless")

    def __init__(
        self,
        attempts: int = 3,
        backoff: str | float | timedelta = "1s..1m",
        unless: tuple[type[BaseException], ...] = (),
    ) -> None:
        if not 1 <= attempts <= ATTEMPTS_MAX:
            raise ValueError(f"attempts: {attempts} is not from 1 to {ATTEMPTS_MAX}")
        self._attempts = attempts
        self.unless = unless if isinstance(unless, tuple) else (unless,)
        self.policy = _policy(backoff)

    @property
    def attempts(self) -> int:
        """How often in all."""
        return self._attempts

    def allows(self, attempt: int, error: BaseException) -> bool:
        """True when the failed ``attempt`` (from 1) may be followed by another one."""
        final = isinstance(error, (*self.unless, NonRetryable, NotStorable))
        return attempt < self.attempts and not final

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as it goes on record."""
        return {"delaySeconds": self.policy.delay_seconds, "delayMaxSeconds": self.policy.delay_max_seconds}


def _policy(backoff: str | float | timedelta) -> RetryPolicy:
    if isinstance(backoff, str) and ".." in backoff:
        first, _, longest = backoff.partition("..")
        low, high = seconds_of(first.strip()), seconds_of(longest.strip())
    else:
        low = high = seconds_of(backoff)
    if high < low:
        raise ValueError(f"backoff: {backoff!r} shrinks; write the shorter pause first")
    return RetryPolicy(delay_seconds=low, delay_max_seconds=high)


ONCE = Retry(1, DELAY_DEFAULT)
"""No second attempt."""
USUAL_DELAYS = (DELAY_DEFAULT, DELAY_MAX_DEFAULT)
