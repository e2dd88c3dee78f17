"""Text that every record can hold: valid Unicode without NUL. Programs print, and names hold, other things too."""

from __future__ import annotations

from typing import Any

_PUT = "\ufffd"


def is_sound(text: str) -> bool:
    """True when a text can be put on record as it is."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text))


def is_sound_value(value: Any) -> bool:  # noqa: ANN401 — whatever JSON can hold
    """True when a value can be put on record as it is, with all its texts: `sound` would only make a copy of it."""
    if isinstance(value, str):
        return is_sound(value)
    if isinstance(value, dict):
        for key, item in value.items():
            if not is_sound(key) or not (item is None or item.__class__ is int or is_sound_value(item)):
                return False
        return True
    return all(map(is_sound_value, value)) if isinstance(value, list) else not isinstance(value, tuple)


def sound(value: Any) -> Any:  # noqa: ANN401 — whatever JSON can hold
    """Return a value with U+FFFD in the place of every NUL and every half of a surrogate pair, in all its texts."""
    if isinstance(value, str):
        if is_sound(value):
            return value
        return "".join(_PUT if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, dict):
        return {sound(key): sound(item) for key, item in value.items()}
    return [sound(item) for item in value] if isinstance(value, list | tuple) else value
