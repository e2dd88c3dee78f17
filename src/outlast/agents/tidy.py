"""What comes from an agent, made fit for the record: no control sequences, no secrets, and of a size that is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from outlast.core.redact import MASK, hidden_spans, redact
from outlast.core.text import sound

TEXT_MAX = 64 * 1024
"""Characters of one text in the journal; answers and pieces of messages have limits of their own."""
TITLE_MAX = 500
SESSION_MAX = 300
COUNT_MAX = 2**53
"""A count of tokens from here on is none, nor is there so much money."""
KNOWN_MIN = 8
"""Characters of a value that is known to be secret: a shorter one would hide words that are none."""
SEAM = 8 * 1024
"""Characters around a cut in which secrets are looked for: one that lies over it is left out with what is left out."""
VALUE_TEXT_MAX, VALUE_ITEMS_MAX, VALUE_DEPTH_MAX = 8 * 1024, 100, 8
"""Of a value from an agent (what a tool was given, say): characters of a text, items of a list or table, depth."""

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])?")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


_known: re.Pattern[str] | None = None


def keep_secret(env: Mapping[str, str]) -> None:
    """Mask, from now on and wherever they come, the values of these variables whose names sound secret."""
    global _known
    values = {value for name, value in env.items() if len(value) >= KNOWN_MIN and _sounds_secret(name)}
    longest_first = sorted(values, key=len, reverse=True)
    _known = re.compile("|".join(map(re.escape, longest_first))) if values else None


def redacted(text: str) -> str:
    """Return a text with its secrets masked: those that look like some, and those we know."""
    return redact(text if _known is None else _known.sub(MASK, text))


def secret_spans(text: str) -> list[tuple[int, int]]:
    """Return where `redacted` would hide something, by where it begins; they may overlap."""
    known = [] if _known is None else [found.span() for found in _known.finditer(text)]
    return sorted([*hidden_spans(text), *known])


def plain(text: str) -> str:
    """Return a text without escape sequences and control characters; tabs and line ends stay."""
    text = sound(text)
    if _CONTROL.search(text) is None:
        return text
    text = _ESCAPE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text)


def cut(text: str, limit: int) -> str:
    """Return a text of at most about ``limit`` characters; from a longer one the middle is left out, with a note."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def clean(text: str, limit: int = TEXT_MAX) -> str:
    """Return a text as it may go on record: plain, redacted, cut."""
    text = plain(text)
    if len(text) <= limit:
        return redacted(text)
    half = limit // 2
    head, tail = _part(text[: half + SEAM], 0, half), _part(text[-half - SEAM :], -half, None)
    return f"{head}\n[{len(text) - 2 * half} characters left out]\n{tail}"


def _part(text: str, start: int, end: int | None) -> str:
    """Return a slice of a text with its secrets masked, also those of which it has no more than a part."""
    at, end, _ = slice(start, end).indices(len(text))
    out: list[str] = []
    for first, last in secret_spans(text):
        if last > at and first < end:
            out += (text[at : max(at, first)], MASK)
            at = min(last, end)
    out.append(text[at:end])
    return "".join(out)


def session(given: object) -> str | None:
    """Return an agent's own name for its session, None for what cannot be one: it is shown, and handed to commands."""
    return given if isinstance(given, str) and given.isprintable() and 0 < len(given) <= SESSION_MAX else None


def count(given: object) -> int | None:
    """Return a count as agents tell it, None for what cannot be one."""
    return given if type(given) is int and 0 <= given < COUNT_MAX else None


def money(given: object) -> float | None:
    """Return a sum in US dollars, None for what cannot be one."""
    return float(given) if type(given) in (int, float) and 0 <= given < COUNT_MAX else None  # type: ignore[operator, arg-type]


def title(text: str) -> str:
    """Return a text as one line that may go on record."""
    line = " ".join(clean(text, 2 * SEAM).split())
    return line if len(line) <= TITLE_MAX else line[: TITLE_MAX - 1] + "…"


def value(given: object, depth: int = VALUE_DEPTH_MAX) -> object:
    """Return a JSON value as it may go on record. What is under a name that sounds secret is masked."""
    if isinstance(given, str):
        return clean(given, VALUE_TEXT_MAX)
    if isinstance(given, dict):
        if depth == 0:
            return "{…}"
        return dict(_pair(name, item, given, depth) for name, item in list(given.items())[:VALUE_ITEMS_MAX])
    if isinstance(given, list | tuple):
        return "[…]" if depth == 0 else [value(item, depth - 1) for item in given[:VALUE_ITEMS_MAX]]
    if given is None or isinstance(given, bool | float) or (isinstance(given, int) and abs(given) < 2**63):
        return given
    return clean(str(given), VALUE_TEXT_MAX)


def _pair(name: object, item: object, table: dict[object, object], depth: int) -> tuple[str, object]:
    label = title(str(name))
    # {"name": "API_KEY", "value": "…"} is how lists of variables are written
    said = str(table["name"]) if name == "value" and isinstance(table.get("name"), str) else label
    hidden = isinstance(item, str) and item != "" and _sounds_secret(said[:100])
    return label, MASK if hidden else value(item, depth - 1)


@lru_cache(256)
def _sounds_secret(name: str) -> bool:
    line = f"{name}: x"
    return redact(line) != line


def table(given: dict[str, object]) -> dict[str, object]:
    """Return a table as it may go on record, without what is None."""
    made = value({name: item for name, item in given.items() if item is not None})
    assert isinstance(made, dict)
    return made
