"""Statements from their files: one statement, one ``.sql`` file, named for the act."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources
from operator import itemgetter
from typing import Any, NamedTuple

from outlast.store.agent_rows import AGENT_CONVERSATION_COLUMNS, BEAT_COLUMNS, ENTRY_COLUMNS, HEARTBEAT_COLUMNS
from outlast.store.flow_rows import (
    APPROVAL_COLUMNS,
    FLOW_COLUMNS,
    FLOW_EVENT_COLUMNS,
    FLOW_WORKER_COLUMNS,
    SIGNAL_COLUMNS,
    STEP_COLUMNS,
)
from outlast.store.rows import EVENT_COLUMNS, OUTBOX_COLUMNS, TASK_COLUMNS
from outlast.store.told_rows import FIRING_COLUMNS, SCHEDULE_COLUMNS, SYSTEM_EVENT_COLUMNS, WAKE_COLUMNS

_LISTS = {
    "{task}": ", ".join(TASK_COLUMNS),
    "{task.}": ", ".join(f"task.{name}" for name in TASK_COLUMNS),
    "{event}": ", ".join(EVENT_COLUMNS),
    "{outbox}": ", ".join(OUTBOX_COLUMNS),
    "{outbox.}": ", ".join(f"outbox.{name}" for name in OUTBOX_COLUMNS),
    "{system_event}": ", ".join(SYSTEM_EVENT_COLUMNS),
    "{wake}": ", ".join(WAKE_COLUMNS),
    "{schedule}": ", ".join(SCHEDULE_COLUMNS),
    "{firing}": ", ".join(FIRING_COLUMNS),
    "{flow}": ", ".join(FLOW_COLUMNS),
    "{flow.}": ", ".join(f"flow.{name}" for name in FLOW_COLUMNS),
    "{step}": ", ".join(STEP_COLUMNS),
    "{step.}": ", ".join(f"flow_step.{name}" for name in STEP_COLUMNS),
    "{flow_event}": ", ".join(FLOW_EVENT_COLUMNS),
    "{signal}": ", ".join(SIGNAL_COLUMNS),
    "{flow_worker}": ", ".join(FLOW_WORKER_COLUMNS),
    "{approval}": ", ".join(APPROVAL_COLUMNS),
    "{entry}": ", ".join(ENTRY_COLUMNS),
    "{agent_conversation}": ", ".join(AGENT_CONVERSATION_COLUMNS),
    "{heartbeat}": ", ".join(HEARTBEAT_COLUMNS),
    "{beat}": ", ".join(BEAT_COLUMNS),
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
            text = _one_line(file.read_text(encoding="utf-8")).removesuffix(";")
            for sign, columns in _LISTS.items():
                text = text.replace(sign, columns)
            found[name] = text
    return found


def _one_line(text: str) -> str:
    """Return a statement without its comments and line ends: it is looked up by its whole text each time it runs."""
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("--"))


def numbered(sql: str) -> Numbered:
    """Return a statement with ``?1`` in the place of the first name it uses, and so on."""
    names = list(dict.fromkeys(PARAMETER.findall(sql)))
    numbers = {name: f"?{place}" for place, name in enumerate(names, 1)}
    return Numbered(PARAMETER.sub(lambda found: numbers[found[1]], sql), _picker(names))


def _picker(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda params: ()
    [only] = names
    return lambda params: (params[only],)
