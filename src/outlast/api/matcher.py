"""Finding a pattern in output as it arrives, across the boundaries of its chunks.

The text searched is the output without terminal escape sequences and with CRLF as LF, so that a pattern means
the same for a pipe and for a pty; the offsets reported are those of the raw bytes. RE2 is used because its
time is linear in the output whatever the pattern. ``^`` and ``$`` are the start and end of a line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple, Protocol

from outlast.core.errors import BadInput

CARRY = 64 * 1024
"""Bytes kept from earlier chunks: a match may start at most this far back."""
PATTERN_MAX = 4096
"""Characters in a pattern."""
_MEMORY = 8 * 1024 * 1024
_HELD_MAX = 4096
_TEXT_MAX = 4096

_NOISE = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-OQ-WYZ\\`-~])"
    rb"|(?<!\r)\r++(?=\n)"
)
# What may still become noise when more bytes arrive.
_UNFINISHED = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?|(?<!\r)\r++)\Z")


class Found(Protocol):
    """A match, as RE2 reports it."""

    def span(self) -> tuple[int, int]:
        """Where it is in the searched text."""

    def start(self) -> int:
        """Where it begins."""


class Regexp(Protocol):
    """A compiled expression."""

    def search(self, text: bytes, pos: int = 0) -> Found | None:
        """Find the leftmost match from ``pos`` on; what stands before it still counts as context."""


class Match(NamedTuple):
    """Where a pattern was found: raw byte offsets of the whole output, and the matched text."""

    text: str
    start: int
    end: int


def compile_pattern(pattern: str) -> Regexp:
    """Return a compiled RE2 expression. Raises BadInput (``bad_pattern``) with RE2's own reason."""
    import re2  # costs 15 ms and is needed only by those who wait for a pattern

    if len(pattern) > PATTERN_MAX:
        raise BadInput(
            f"pattern: {len(pattern)} characters are too many, at most {PATTERN_MAX} are allowed",
            code="bad_pattern",
        )
    if not pattern:
        raise BadInput("pattern: an empty pattern would match at once", code="bad_pattern")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        compiled: Regexp = re2.compile(f"(?m){pattern}", options)
    except (re2.error, UnicodeEncodeError) as error:
        raise BadInput(
            f"pattern: {pattern!r} is not a regular expression: {_reason(error)}",
            code="bad_pattern",
            hint="RE2 syntax applies: no look-ahead, no look-behind, no back-references; write \\( for a literal (",
        ) from None
    finally:
        re2.purge()  # its cache of 128 patterns may hold 8 MiB each
    return compiled


def _reason(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(error)


class Matcher:
    """Searches one growing output for one pattern; remembers what an earlier chunk may have begun.

    A match that depends on where the chunk happened to end (``ready$``, ``port \\d+`` at the very end) is
    *pending*: taken when the next bytes confirm it, or by `settle` once the output has paused.
    """

    __slots__ = ("_at", "_clean", "_from", "_held", "_marks", "_offsets", "_pending", "_regexp")

    def __init__(self, regexp: Regexp, start: int = 0) -> None:
        self._regexp = regexp
        self._reset(start)

    def _reset(self, start: int) -> None:
        self._at = start
        self._held = b""
        self._clean = b""
        self._from = 0
        self._marks = [0]
        self._offsets = [start]
        self._pending: Match | None = None

    @property
    def at(self) -> int:
        """The raw offset up to which the output was searched: feed from here."""
        return self._at

    @property
    def pending(self) -> bool:
        """True when a match waits for more output or a pause to be certain."""
        return self._pending is not None

    def feed(self, offset: int, data: bytes) -> Match | None:
        """Search ``data``, which begins at raw ``offset``. A jump ahead (left-out bytes) starts afresh there."""
        if offset != self._at:
            self._reset(offset)
        self._at = offset + len(data)
        self._pending = None
        self._take(self._held + data, offset - len(self._held))
        found = self._search()
        if found is None:
            self._trim()
        return found

    def settle(self) -> Match | None:
        """Return the pending match, if any: the output has paused or ended, so its end is an end."""
        return self._pending

    def _take(self, raw: bytes, offset: int) -> None:
        """Append ``raw`` to the searched text, without noise, and note where text and raw offsets part."""
        if b"\x1b" not in raw and b"\r" not in raw:
            self._held = b""
            parts = [self._clean]
            self._part(parts, raw, offset, len(self._clean))
            self._clean = b"".join(parts)
            return
        unfinished = _UNFINISHED.search(raw, max(0, len(raw) - _HELD_MAX))
        keep = unfinished.start() if unfinished else len(raw)
        self._held = raw[keep:]
        parts = [self._clean]
        size = len(self._clean)
        at = 0
        for noise in _NOISE.finditer(raw, 0, keep):
            if noise.start() > at:
                size = self._part(parts, raw[at : noise.start()], offset + at, size)
            at = noise.end()
        if keep > at:
            self._part(parts, raw[at:keep], offset + at, size)
        self._clean = b"".join(parts)

    def _part(self, parts: list[bytes], text: bytes, offset: int, size: int) -> int:
        self._marks.append(size)
        self._offsets.append(offset)
        parts.append(text)
        return size + len(text)

    def _search(self) -> Match | None:
        found = self._regexp.search(self._clean, self._from)
        if found is None:
            return None
        start, end = found.span()
        match = Match(
            self._clean[start : min(end, start + _TEXT_MAX)].decode("utf-8", "replace"),
            self._raw(start),
            self._raw(end - 1) + 1 if end > start else self._raw(start),
        )
        if end == len(self._clean) and not self._holds(start, end):
            self._pending = match
            return None
        return match

    def _holds(self, start: int, end: int) -> bool:
        """True when the match would be the same whatever came next: a word character, or a new line."""
        word = self._regexp.search(self._clean + b"0", start)
        line = self._regexp.search(self._clean + b"\n", start)
        return word is not None and word.span() == (start, end) and line is not None and line.start() == start

    def _raw(self, position: int) -> int:
        i = bisect_right(self._marks, position) - 1
        return self._offsets[i] + position - self._marks[i]

    def _trim(self) -> None:
        """Forget all but the last `CARRY` bytes of the text, and one more that tells whether a line begins there."""
        cut = len(self._clean) - CARRY - 1
        if cut <= 0:
            return
        self._from = 1
        first = self._raw(cut)
        i = bisect_right(self._marks, cut)
        self._marks = [0, *(mark - cut for mark in self._marks[i:])]
        self._offsets = [first, *self._offsets[i:]]
        self._clean = self._clean[cut:]
