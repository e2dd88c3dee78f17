"""Statements from their files: one statement, one ``.sql`` file, named for the act."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources
from operator import itemgetter
from typing import Any, NamedTuple

from outlast.store.rows import EVENT_COLUMNS, OUTBOX_COLUMNS, TASK_COLUMNS

_LISTS = {
    "{task}": ", ".join(TASK_COLUMNS),
    "{task.}": ", ".join(f"task.{name}" for name in TASK_COLUMNS),
    "{event}": ", ".join(EVENT_COLUMNS),
    "{outbox}": ", ".join(OUTBOX_COLUMNS),
}
PARAMETER = re.compile(r"(?<!:):([a-z_]+)")
"""A parameter as the files write it; two colons are a type of PostgreSQL's."""


class Numbered(NamedTuple):
    """A statement whose parameters have numbers, and how to pick them out of those with names.

    Binding a tuple costs half of what binding a mapping does.
    """

    sql: str
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]]


def load(package: str) -> dict[str, str]:
    """Read all statements of a store's package. ``{task}`` and its kind stand for the columns of a table."""
    found = {}
    for file in (resources.files(package) / "sql").iterdir():
        name, dot, suffix = file.name.rpartition(".")
        if dot and suffix == "sql" and name != "schema":
            text = file.read_text(encoding="utf-8").strip().removesuffix(";")
            for sign, columns in _LISTS.items():
                text = text.replace(sign, columns)
            found[name] = text
    return found


def numbered(sql: str) -> Numbered:
    """Return a statement with ``?1`` in the place of the first name it uses, and so on."""
    names = list(dict.fromkeys(PARAMETER.findall(sql)))
    numbers = {name: f"?{place}" for place, name in enumerate(names, 1)}
    return Numbered(PARAMETER.sub(lambda found: numbers[found[1]], sql), _picker(names))


def _picker(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda params: tuple(params[name] for name in names)
