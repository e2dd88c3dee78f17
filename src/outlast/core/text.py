"""Text that every record can hold: valid Unicode without NUL. Programs print, and names hold, other things too."""

from __future__ import annotations

from typing import Any

_PUT = "\ufffd"


def is_sound(text: str) -> bool:
    """True when a text can be put on record as it is."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text))


def sound(value: Any) -> Any:  # noqa: ANN401 — whatever JSON can hold
    """Return a value with U+FFFD in the place of every NUL and every half of a surrogate pair, in all its texts."""
    if isinstance(value, str):
        if is_sound(value):
            return value
        return "".join(_PUT if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, dict):
        return {sound(key): sound(item) for key, item in value.items()}
    return [sound(item) for item in value] if isinstance(value, list | tuple) else value
