"""Names that sort by time: a letter, the moment, and some luck. Safe as file names, in URLs and to read aloud."""

from __future__ import annotations

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_EPOCH_MS = 1_704_067_200_000


def timed_id(letter: str, now: float, luck: int, pairs: int) -> str:
    """Return ``letter``, eight characters of ``now`` (seconds since the epoch, to the millisecond), two for each pair.

    ``luck`` is a random number of 10 bits a pair: two names of the same millisecond differ by it.
    """
    value = max(0, int(now * 1000) - _EPOCH_MS)
    stamp = _PAIRS[value >> 30 & 1023] + _PAIRS[value >> 20 & 1023] + _PAIRS[value >> 10 & 1023] + _PAIRS[value & 1023]
    name = letter + stamp
    for _ in range(pairs):
        name += _PAIRS[luck & 1023]
        luck >>= 10
    return name


def is_flow(made_id: str) -> bool:
    """True for the id of a flow, where it may be that of a task."""
    return made_id.startswith("f")


def task_of_session(session_id: str) -> str:
    """Return the id of the one task that records a session which outlived its call: made twice, it is the same."""
    return "t" + session_id[1:]


def own_key(requester: str, key: str) -> str:
    """Return the dedupe key that stands for a requester's own: names may hold anything, also what parts the two."""
    name = requester.replace("%", "%25").replace(":", "%3A")
    return f"key:{name}:{key}"
