"""A document as a tree in which every value knows where it stands.

YAML and JSON are read into the same tree. A plain scalar means what YAML 1.2 and JSON say: only ``true`` and ``false``
are booleans (``no`` and ``on`` are texts), ``null`` and ``~`` are null, and a number is decimal, ``0x…`` or ``0o…``.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from outlast.core.text import is_sound
from outlast.flows.files.problems import Problems, Unreadable

SIZE_MAX = 1024 * 1024
"""Bytes of a whole file."""

DEPTH_MAX = 32
"""How deep lists and mappings may stand in each other."""

VALUES_MAX = 100_000
"""How many values one file may hold, keys included."""

ITEMS_MAX = 1000
"""Items of one list: also the most steps of a flow."""

INTEGER_MAX = 2**63 - 1
"""The largest whole number that is one; a larger one is read as the text it is."""

_INTEGER = re.compile(r"[-+]?[0-9]+")
_DIGITS_MAX = 20
_BASED = re.compile(r"0(?:x[0-9a-fA-F]{1,16}|o[0-7]{1,22})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

Primitive = str | int | float | bool | None


class Scalar(msgspec.Struct, frozen=True):
    """A value without parts: the text as it is written, and whether it stands without quotes."""

    text: str
    plain: bool
    line: int
    column: int

    @property
    def value(self) -> Primitive:
        """What the text means: a text in quotes is a text, whatever it looks like."""
        return _meaning(self.text) if self.plain else self.text


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    items: list[Node]
    line: int
    column: int


class Mapping(msgspec.Struct, frozen=True):
    """Names and their values, in the order of the file."""

    entries: dict[str, Entry]
    line: int
    column: int


class Entry(msgspec.Struct, frozen=True):
    """A name where it stands, and its value."""

    key: Scalar
    value: Node


Node = Scalar | Sequence | Mapping


class Budget:
    """How much one document may still hold; the builders of a tree ask it for every value."""

    def __init__(self) -> None:
        self.left = VALUES_MAX

    def take(self, line: int, column: int, depth: int) -> None:
        """Count one value. Raises Unreadable past `VALUES_MAX` values or `DEPTH_MAX` levels."""
        self.left -= 1
        if self.left < 0:
            raise Unreadable(line, column, f"the file holds more than {VALUES_MAX:,} values")
        if depth > DEPTH_MAX:
            raise Unreadable(line, column, f"lists and mappings stand more than {DEPTH_MAX} levels deep in each other")

    def check_length(self, count: int, line: int, column: int) -> None:
        """Raise Unreadable past `ITEMS_MAX` items of one list."""
        if count > ITEMS_MAX:
            what = f"more than {ITEMS_MAX:,} items in one list: a flow has at most {ITEMS_MAX:,} steps"
            raise Unreadable(line, column, what)


def check_text(scalar: Scalar, problems: Problems) -> Scalar:
    """Return the scalar; a text that no record can hold is noted."""
    if not is_sound(scalar.text):
        problems.add(scalar, "this text holds a NUL or half of a surrogate pair")
    return scalar


def add_entry(entries: dict[str, Entry], key: Scalar, value: Node, problems: Problems) -> None:
    """Put a name and its value into a mapping; the first of two stays, and the second is a problem."""
    first = entries.setdefault(key.text, Entry(key, value))
    if first.key is not key:
        problems.add(key, f"{key.text[:60]!r} is there twice: first in line {first.key.line}")


def to_plain(node: Node) -> Any:
    """Return the tree as dicts, lists and primitives."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [to_plain(item) for item in node.items]
    return {name: to_plain(entry.value) for name, entry in node.entries.items()}


def _meaning(text: str) -> Primitive:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return _bounded(int(text), text) if len(text) <= _DIGITS_MAX else text
    if _BASED.fullmatch(text):
        return _bounded(int(text, 0), text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def _bounded(number: int, text: str) -> int | str:
    return number if -INTEGER_MAX <= number <= INTEGER_MAX else text
