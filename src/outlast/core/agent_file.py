"""The text of a config file with one agent more or less; everything else in it stays as it is, to the byte.

What a line is, the TOML reader itself says: a line begins a statement where all before it can be read. So nothing that
stands in a text of several lines is taken for a table. What comes out is read again before it is returned.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from outlast.core.agent_config import SECTION, agent_table
from outlast.core.errors import BadInput, Conflict, NotFound, Refused

_LINES = re.compile(r"[^\n]*\n|[^\n]+")


def tables_in(text: str, where: str) -> dict[str, Any]:
    """Return what a config file says. Raises BadInput (``bad_config``), which names the file (``where``) and line."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not TOML: {error}", code="bad_config", hint="correct the line it names") from None


def with_agent(text: str, name: str, table: Mapping[str, Any], where: str) -> str:
    """Return the text with the table of an agent at its end.

    Raises Conflict (``name_taken``), and Refused (``not_a_table``) where the file says its agents in a way that no
    table can be added to.
    """
    tables = tables_in(text, where)
    agents = tables.get(SECTION, {})
    if isinstance(agents, dict) and name in agents:
        raise Conflict(
            f"there is an agent {name!r} already, in {where}", code="name_taken",
            hint=f"outlast agents show {name}; outlast agents remove {name}",
        )  # fmt: skip
    more = agent_table(name, table)
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    made = f"{text}{gap}{more}"
    if _read(made) != {**tables, SECTION: {**_dict(agents), name: dict(tomllib.loads(more)[SECTION][name])}}:
        raise Refused(
            f"{where} has its agents in a way that no table can be added to", code="not_a_table",
            hint=f"add it by hand, beside the others:\n{more}",
        )  # fmt: skip
    return made


def without_agent(text: str, name: str, where: str) -> str:
    """Return the text without the tables of an agent; comments before and after them stay.

    A file that would say nothing any more gets an empty table: a gateway takes an empty file for one half written.
    Raises NotFound, and Refused (``not_a_table``) where the agent is written in another way than ``[agents.NAME]``.
    """
    tables = tables_in(text, where)
    agents = _dict(tables.get(SECTION, {}))
    if name not in agents:
        known = ", ".join(sorted(agents)) or "none"
        raise NotFound(f"there is no agent {name!r} in {where}", code="no_such_agent", hint=f"there is: {known}")
    kept = _cut(text, name)
    left = {other: fields for other, fields in agents.items() if other != name}
    rest = {section: table for section, table in tables.items() if section != SECTION}
    found = _read(kept)
    if found is None or {**found, SECTION: found.get(SECTION, {})} != {**rest, SECTION: left}:
        raise Refused(
            f"agent {name!r} is not written as [{SECTION}.{name}] in {where}", code="not_a_table",
            hint="take it out by hand",
        )  # fmt: skip
    return kept if found else f"{kept}[{SECTION}]\n"


def _cut(text: str, name: str) -> str:
    lines = _LINES.findall(text)
    starts = [at for at, line in enumerate(lines) if line.lstrip().startswith("[") and _begins(lines, at)]
    ours = [_path(lines[at])[:2] == (SECTION, name) for at in starts]
    kept: list[str] = []
    done = 0
    for number, (start, following) in enumerate(itertools.pairwise([*starts, len(lines)])):
        if not ours[number]:
            continue
        end = following
        with_next = ours[number + 1 : number + 2] == [True]  # what is between two of its tables is about it
        while not with_next and _says_nothing(lines[end - 1]) and _begins(lines, end - 1):
            end -= 1
        kept += lines[done:start]
        done = end
        if kept and not kept[-1].strip() and (end == len(lines) or not lines[end].strip()):
            kept.pop()  # the empty line that parted it from what is before
    return "".join([*kept, *lines[done:]])


def _begins(lines: list[str], at: int) -> bool:
    """True where a line begins a statement: all before it is whole."""
    return _read("".join(lines[:at])) is not None


def _says_nothing(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _path(header: str) -> tuple[str, ...]:
    """Return the name of the table that a line begins; nothing for an array of tables."""
    found: Any = _read(header)
    names = []
    while isinstance(found, dict) and found:
        [(name, found)] = found.items()
        names.append(name)
    return tuple(names) if isinstance(found, dict) else ()


def _read(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _dict(found: Any) -> dict[str, Any]:  # noqa: ANN401
    return found if isinstance(found, dict) else {}
