"""The argument list of a command-line agent: which gaps it has, and where the items for an earlier session go."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.core.argv_template import Gaps, Template, check_argv

RESUME = "{resume}"
"""An item of its own: where the items of ``resume`` go. Without it they go to the end."""
NAMES = frozenset({"conversation", "session", "workdir"})
PROSE = frozenset({"message", "system"})
_GAPS = Gaps(
    NAMES,
    PROSE,
    "a message",
    "leave {message} out: it then goes to the standard input",
    "bad_config",
)


def check_command(command: Sequence[str], resume: Sequence[str] = ()) -> Template:
    """Read the template of an agent, with the items for an earlier session in their place. Raises `BadInput`."""
    items = list(command)
    at = items.index(RESUME) if RESUME in items else len(items)
    return check_argv([*items[:at], *resume, *(item for item in items[at:] if item != RESUME)], _GAPS)
