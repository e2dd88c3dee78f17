"""Moments of the wire (ISO 8601, UTC) as a person reads them: in local time, and how long ago.

Importing datetime costs more than all of this.
"""

from __future__ import annotations

import time

from outlast.core.durations import format_duration

_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def epoch(moment: str | None) -> float | None:
    """Seconds since 1970 of ``2026-11-23T10:00:00.123Z``; None for what is no such moment."""
    try:
        if not moment or moment[10] != "T" or not moment.endswith("Z"):
            return None
        year, month, day = int(moment[:4]), int(moment[5:7]), int(moment[8:10])
        clock = int(moment[11:13]) * 3600 + int(moment[14:16]) * 60 + float(moment[17:-1])
        days = (year - 1970) * 365 + _leap_days(year - 1) - _leap_days(1969) + _DAYS_BEFORE_MONTH[month - 1] + day - 1
    except (ValueError, IndexError):
        return None
    leap = month > 2 and _leap_days(year) > _leap_days(year - 1)
    return (days + leap) * 86_400 + clock


def _leap_days(year: int) -> int:
    return year // 4 - year // 100 + year // 400


def iso(seconds: float) -> str:
    """The moment as the wire has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


def local(moment: str | None) -> str:
    """A moment in local time; ``-`` when there is none, the text itself when it is not understood."""
    seconds = epoch(moment)
    if seconds is None:
        return str(moment or "-")
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def since(moment: str | None) -> float | None:
    """Milliseconds from a moment to now by this machine's clock, never less than 0."""
    seconds = epoch(moment)
    return None if seconds is None else max(0.0, time.time() - seconds) * 1000


def ahead(moment: str | None) -> str:
    """How far a moment is from now by this machine's clock: ``in 4m 10s``, ``now``; ``-`` when there is none."""
    seconds = epoch(moment)
    if seconds is None:
        return str(moment or "-")
    left = seconds - time.time()
    return f"in {format_duration(left)}" if left > 0 else "now"
