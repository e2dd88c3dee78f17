"""Argument lists with gaps: read when they are set, filled when something is to be run, never near a shell.

A gap is ``{name}``; ``{{`` and ``}}`` are literal braces. A value fills its gap as it is: it is not split, not expanded
and not looked at for further gaps. What a value could be taken for is settled here:

- The program is fixed: no gap in the first item.
- An item that *is* a gap, or begins with one, could be read as an option when its value begins with ``-``. Prose then
  gets a space in front, which changes no meaning; a name is refused instead, since a space would make it another name.
  After an item ``--`` neither happens.
- An item that an interpreter would run as code (``sh -c``, ``python -c``, ``ssh``) must not have a gap. This is a net
  for the usual ones, no proof.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from outlast.core.errors import BadInput
from outlast.core.interpreters import code_items

ITEMS_MAX = 200
TEMPLATE_MAX = 16_384
"""Bytes of a whole template."""

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class Gaps(NamedTuple):
    """Which gaps a kind of template has. ``subject`` fills them, ``instead`` says how code gets at its text."""

    names: frozenset[str]
    prose: frozenset[str]
    subject: str
    instead: str
    code: str

    @property
    def all(self) -> frozenset[str]:
        """Every gap there is."""
        return self.names | self.prose


class Gap(NamedTuple):
    """A place to be filled; ``name_like`` for a value that must stay as it is to the letter."""

    name: str
    name_like: bool


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

    def fill(self, values: Mapping[str, str]) -> list[str]:
        """Return the argument list. ``values`` has every name in `gaps` and no NUL. Raises Unfit."""
        ended = False
        argv: list[str] = []
        for item in self.items:
            argv.append(_filled(item, values, shielded=ended))
            ended = ended or item == ("--",)
        return argv


def check_argv(argv: Sequence[str], gaps: Gaps) -> Template:
    """Read a template from an argument list. Raises `BadInput`, whose code is that of the gaps."""
    if not argv or not argv[0].strip():
        raise refused("it names no program", "the first item is the program", gaps)
    if len(argv) > ITEMS_MAX or sum(len(item.encode("utf-8", "replace")) + 1 for item in argv) > TEMPLATE_MAX:
        raise refused("it is too long", f"at most {ITEMS_MAX} items and {TEMPLATE_MAX} bytes", gaps)
    for item in argv:
        if "\0" in item or item != item.encode("utf-8", "replace").decode("utf-8"):
            raise refused("it holds a character no argument can hold", "no NUL, no half of a surrogate pair", gaps)
    template = Template(tuple(_parse_item(item, gaps) for item in argv))
    if any(isinstance(part, Gap) for part in template.items[0]):
        raise refused(f"{gaps.subject} must not choose the program", "no {…} in the first item", gaps)
    _check_code(template, gaps)
    return template


def _parse_item(item: str, gaps: Gaps) -> tuple[str | Gap, ...]:
    parts: list[str | Gap] = []
    for piece in _PIECE.finditer(item):
        text = piece[0]
        if text in ("{{", "}}"):
            text = text[0]
        elif text in ("{", "}") or (text[0] == "{" and piece[1] not in gaps.all):
            known = " ".join(f"{{{name}}}" for name in sorted(gaps.all))
            raise refused(
                f"{text[:40]} is not a placeholder", f"known are {known}; write {{{{ and }}}} for braces", gaps
            )
        elif text[0] == "{":
            parts.append(Gap(piece[1], piece[1] in gaps.names))
            continue
        if parts and isinstance(parts[-1], str):
            parts[-1] += text
        else:
            parts.append(text)
    return tuple(parts)


def _check_code(template: Template, gaps: Gaps) -> None:
    """Refuse a gap in what an interpreter would run."""
    has_gap = [any(isinstance(part, Gap) for part in item) for item in template.items]
    words = [None if gap else "".join(map(str, item)) for gap, item in zip(has_gap, template.items, strict=True)]
    if any(has_gap[index] for index in code_items(words)):
        raise refused(
            f"{gaps.subject} must not become code: an interpreter would run the item with the placeholder",
            gaps.instead,
            gaps,
        )


def _filled(item: tuple[str | Gap, ...], values: Mapping[str, str], *, shielded: bool) -> str:
    parts = [values[part.name] if isinstance(part, Gap) else part for part in item]
    text = "".join(parts)
    first = item[0] if item else ""
    if shielded or not isinstance(first, Gap) or not text.startswith("-"):
        return text
    if first.name_like or not parts[0]:
        raise Unfit(f"the {first.name} begins with '-' and would be read as an option: put -- before {{{first.name}}}")
    return " " + text


def _source(part: str | Gap) -> str:
    return f"{{{part.name}}}" if isinstance(part, Gap) else part.replace("{", "{{").replace("}", "}}")


def refused(what: str, hint: str, gaps: Gaps) -> BadInput:
    """Return the error that says what is wrong with a template."""
    return BadInput(f"the command is refused: {what}", code=gaps.code, hint=hint)
