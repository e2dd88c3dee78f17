"""Names that sort by time: a letter, the moment, and some luck. Safe as file names, in URLs and to read aloud."""

from __future__ import annotations

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH_MS = 1_704_067_200_000
_SHIFTS = range(35, -1, -5)


def timed_id(letter: str, now: float, luck: bytes) -> str:
    """Return ``letter``, eight characters of ``now`` (seconds since the epoch, to the millisecond), one per octet."""
    value = max(0, int(now * 1000) - _EPOCH_MS)
    stamp = "".join([_DIGITS[value >> shift & 31] for shift in _SHIFTS])
    return letter + stamp + "".join([_DIGITS[octet & 31] for octet in luck])


def task_of_session(session_id: str) -> str:
    """Return the id of the one task that records a session which outlived its call: made twice, it is the same."""
    return "t" + session_id[1:]
