"""The argument lists of channels that run a command: which gaps they have, and how they are written down.

`outlast.core.argv_template` says what becomes of the values.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from outlast.core.argv_template import ITEMS_MAX, TEMPLATE_MAX, Gap, Gaps, Template, Unfit, check_argv, refused

__all__ = [
    "GAPS", "ITEMS_MAX", "NAMES", "PROSE", "TEMPLATE_MAX", "Gap", "Template", "Unfit", "check_template",
    "parse_template", "split_template", "written",
]  # fmt: skip

NAMES = frozenset({"id", "kind", "at", "conversation"})
PROSE = frozenset({"title", "text"})
GAPS = NAMES | PROSE
"""Every gap there is."""
_GAPS = Gaps(
    NAMES,
    PROSE,
    "a notice",
    'read "$OUTLAST_NOTICE_TEXT" or the standard input there, or pass {text} to a script as an argument',
    "bad_target",
)


def parse_template(text: str) -> Template:
    """Read a template from JSON, a list of strings. Raises `BadInput` with the code ``bad_target``."""
    try:
        argv = json.loads(text) if len(text) <= TEMPLATE_MAX * 2 else None
    except (ValueError, RecursionError):
        argv = None
    if not isinstance(argv, list) or not all(isinstance(item, str) for item in argv):
        raise refused(
            "it is not a JSON list of strings", '["claude", "-p", "--resume", "{conversation}", "{text}"]', _GAPS
        )
    return check_template(argv)


def split_template(line: str) -> Template:
    """Read a template from one line as a shell would split it, without any expansion. Raises `BadInput`."""
    try:
        argv = shlex.split(line[: TEMPLATE_MAX + 1])
    except ValueError as error:
        raise refused(
            f"it cannot be split into words: {error}", "close every quote, or give a list of arguments", _GAPS
        ) from None
    return check_template(argv)


def check_template(argv: Sequence[str]) -> Template:
    """Read a template from an argument list. Raises `BadInput` with the code ``bad_target``."""
    return check_argv(argv, _GAPS)


def written(argv: Sequence[str]) -> str:
    """Return an argument list as JSON, as `parse_template` reads it."""
    return json.dumps(argv, ensure_ascii=False, separators=(",", ":"))
