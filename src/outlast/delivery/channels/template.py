"""Argument lists with gaps: read when they are registered, filled when something is told, never near a shell.

A gap is ``{name}``; ``{{`` and ``}}`` are literal braces. A value fills its gap as it is: it is not split, not expanded
and not looked at for further gaps. What a value could be taken for is settled here:

- The program is fixed: no gap in the first item.
- An item that *is* a gap, or begins with one, could be read as an option when its value begins with ``-``. A text or
  title then gets a space in front, which changes no meaning; a name (`NAMES`) is refused instead, since a space would
  make it another name. After an item ``--`` neither happens.
- An item that an interpreter would run as code (``sh -c``, ``python -c``, ``ssh``) must not have a gap: use the
  environment (``"$OUTLAST_NOTICE_TEXT"``) or the standard input there. This is a net for the usual ones, no proof.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from outlast.core.errors import BadInput
from outlast.core.interpreters import code_items

NAMES = frozenset({"id", "kind", "at", "conversation"})
PROSE = frozenset({"title", "text"})
GAPS = NAMES | PROSE
"""Every gap there is."""

ITEMS_MAX = 200
TEMPLATE_MAX = 16_384
"""Bytes of a whole template."""

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class Gap(NamedTuple):
    """A place to be filled."""

    name: str


class Unfit(Exception):
    """A value cannot stand where the template puts it; the message says which and why."""


class Template(NamedTuple):
    """A checked argument list with gaps; each item is a run of literal texts and gaps."""

    items: tuple[tuple[str | Gap, ...], ...]

    @property
    def gaps(self) -> frozenset[str]:
        """The names of all gaps."""
        return frozenset(part.name for item in self.items for part in item if isinstance(part, Gap))

    @property
    def argv(self) -> list[str]:
        """The argument list as it is written in a template."""
        return ["".join(_source(part) for part in item) for item in self.items]

    @property
    def text(self) -> str:
        """The template as JSON, as `parse_template` reads it."""
        return written(self.argv)

    def fill(self, values: Mapping[str, str]) -> list[str]:
        """Return the argument list. ``values`` has every name in `gaps` and no NUL. Raises Unfit."""
        ended = False
        argv: list[str] = []
        for item in self.items:
            argv.append(_filled(item, values, shielded=ended))
            ended = ended or item == ("--",)
        return argv


def parse_template(text: str) -> Template:
    """Read a template from JSON, a list of strings. Raises `BadInput` with the code ``bad_target``."""
    try:
        argv = json.loads(text) if len(text) <= TEMPLATE_MAX * 2 else None
    except (ValueError, RecursionError):
        argv = None
    if not isinstance(argv, list) or not all(isinstance(item, str) for item in argv):
        raise _bad("it is not a JSON list of strings", '["claude", "-p", "--resume", "{conversation}", "{text}"]')
    return check_template(argv)


def split_template(line: str) -> Template:
    """Read a template from one line as a shell would split it, without any expansion. Raises `BadInput`."""
    try:
        argv = shlex.split(line[: TEMPLATE_MAX + 1])
    except ValueError as error:
        raise _bad(
            f"it cannot be split into words: {error}", "close every quote, or give a list of arguments"
        ) from None
    return check_template(argv)


def check_template(argv: Sequence[str]) -> Template:
    """Read a template from an argument list. Raises `BadInput` with the code ``bad_target``."""
    if not argv or not argv[0].strip():
        raise _bad("it names no program", "the first item is the program")
    if len(argv) > ITEMS_MAX or sum(len(item.encode("utf-8", "replace")) + 1 for item in argv) > TEMPLATE_MAX:
        raise _bad("it is too long", f"at most {ITEMS_MAX} items and {TEMPLATE_MAX} bytes")
    for item in argv:
        if "\0" in item or item != item.encode("utf-8", "replace").decode("utf-8"):
            raise _bad("it holds a character no argument can hold", "no NUL, no half of a surrogate pair")
    template = Template(tuple(_parse_item(item) for item in argv))
    if any(isinstance(part, Gap) for part in template.items[0]):
        raise _bad("a notice must not choose the program", "no {…} in the first item")
    _check_code(template)
    return template


def _parse_item(item: str) -> tuple[str | Gap, ...]:
    parts: list[str | Gap] = []
    for piece in _PIECE.finditer(item):
        text = piece[0]
        if text in ("{{", "}}"):
            text = text[0]
        elif text in ("{", "}") or (text[0] == "{" and piece[1] not in GAPS):
            known = " ".join(f"{{{name}}}" for name in sorted(GAPS))
            raise _bad(f"{text[:40]} is not a placeholder", f"known are {known}; write {{{{ and }}}} for braces")
        elif text[0] == "{":
            parts.append(Gap(piece[1]))
            continue
        if parts and isinstance(parts[-1], str):
            parts[-1] += text
        else:
            parts.append(text)
    return tuple(parts)


def _check_code(template: Template) -> None:
    """Refuse a gap in what an interpreter would run."""
    gaps = [any(isinstance(part, Gap) for part in item) for item in template.items]
    words = [None if gap else "".join(map(str, item)) for gap, item in zip(gaps, template.items, strict=True)]
    if any(gaps[index] for index in code_items(words)):
        raise _bad(
            "a notice must not become code: an interpreter would run the item with the placeholder",
            'read "$OUTLAST_NOTICE_TEXT" or the standard input there, or pass {text} to a script as an argument',
        )


def written(argv: Sequence[str]) -> str:
    """Return an argument list as JSON."""
    return json.dumps(argv, ensure_ascii=False, separators=(",", ":"))


def _filled(item: tuple[str | Gap, ...], values: Mapping[str, str], *, shielded: bool) -> str:
    parts = [values[part.name] if isinstance(part, Gap) else part for part in item]
    text = "".join(parts)
    first = item[0] if item else ""
    if shielded or not isinstance(first, Gap) or not text.startswith("-"):
        return text
    if first.name in NAMES or not parts[0]:
        raise Unfit(f"the {first.name} begins with '-' and would be read as an option: put -- before {{{first.name}}}")
    return " " + text


def _source(part: str | Gap) -> str:
    return f"{{{part.name}}}" if isinstance(part, Gap) else part.replace("{", "{{").replace("}", "}}")


def _bad(what: str, hint: str) -> BadInput:
    return BadInput(f"the command is refused: {what}", code="bad_target", hint=hint)
