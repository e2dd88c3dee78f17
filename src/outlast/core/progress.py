"""Progress that a program reports by the terminal sequence OSC 9;4, as build tools and package managers print it.

``ESC ] 9 ; 4 ; STATE ; PERCENT`` ended by BEL or ``ESC \\``. States: 0 remove, 1 normal, 2 error, 3 indeterminate,
4 paused. Described by the documentation of Windows Terminal and ConEmu.
"""

from __future__ import annotations

import re

SEQUENCE_MAX = 32
"""Bytes one sequence can have: how far a reader has to step back so as not to cut one in two."""
_SEQUENCE = re.compile(rb"\x1b\]9;4;([0-4])(?:;(\d{1,3}))?(?:\x07|\x1b\\)")


def latest(data: bytes) -> int | None:
    """Return the percentage (0..100) of the last sequence in ``data`` that carries one; None without one."""
    found = None
    for match in _SEQUENCE.finditer(data):
        if match[1] in (b"1", b"2", b"4") and match[2] is not None:
            found = min(100, int(match[2]))
    return found
