"""What an agent is told at the beginning of a turn: what has happened, marked as such, and then the message."""

from __future__ import annotations

from collections.abc import Mapping

EVENTS_BEGIN, EVENTS_END = "[outlast: what has happened since your last turn]", "[end of what has happened]"


def prompt_of(message: str, told: str) -> str:
    """Return the prompt of a turn; ``told`` is what events say together, empty where there are none."""
    if not told:
        return message
    body = told.replace(EVENTS_BEGIN, "[…]").replace(EVENTS_END, "[…]")
    return f"{EVENTS_BEGIN}\n{body}\n{EVENTS_END}\n\n{message}"


def chosen(options: object, *, allow: bool) -> str | None:
    """Return the id of the option that says yes, or no; None where there is none. Once goes before always."""
    kinds = ("allow_once", "allow_always") if allow else ("reject_once", "reject_always")
    known = [option for option in options if isinstance(option, Mapping)] if isinstance(options, list) else []
    found = (str(option.get("id")) for kind in kinds for option in known if option.get("kind") == kind)
    return next(found, None)
