"""Text as it stands, for whoever must see all of it: what shows nothing is spelled out, not dropped as in a notice.

The command line imports this module too: it stays light.
"""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    """Return a text with every character that cannot be seen spelled out: ``\\x1b``, ``\\u202e``; tabs and lines stay.

    A backslash that was there stays as it is: this is for eyes, not to be read back.
    """
    return _UNSEEN.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible_line(text: str, limit: int) -> str:
    """Return a text as one visible line of at most ``limit`` characters; ``…`` at its end says that it was cut."""
    line = visible(text[: limit + 1].replace("\n", "\\n").replace("\t", " "))
    return line if len(line) <= limit and len(text) <= limit else line[: limit - 1] + "…"
