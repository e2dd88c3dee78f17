"""A flight: what many acts want at once goes out together, one statement for all rows of the same kind.

A statement that takes ``:rows`` reads them from JSON. It answers with the key of each row it took, so what a guard
refused is known by its absence; where the server makes the key (events) it answers every row in its order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from outlast.store.postgres.connection import Connection, spelled
from outlast.store.steps import Rows, Step

_ASKS = re.compile(r"^(SELECT|WITH)\b", re.MULTILINE)
_RETURNING = re.compile(r"\bRETURNING\s+(?:\w+\.)?(\w+)")
_encode = msgspec.json.Encoder().encode


class Statement(NamedTuple):
    """A statement with psycopg's parameters; ``key`` is the name of the first column that RETURNING answers."""

    sql: str
    takes_rows: bool
    answers: bool
    key: str


def statement(text: str) -> Statement:
    """Read off a statement's text how it is to be flown."""
    takes_rows = ":rows" in text
    returning = _RETURNING.search(text)
    answers = returning is not None or (not takes_rows and _ASKS.search(text) is not None)
    return Statement(spelled(text), takes_rows, answers, "" if returning is None else returning[1])


def fly(
    connection: Connection, pipeline: psycopg.Pipeline, known: Mapping[str, Statement], steps: Sequence[Step]
) -> list[Rows]:
    """Run the steps of a round and return the answer of each. Raises psycopg.Error.

    A name's steps go where the first of them stands, so two of one act keep their order if they do in every act.
    """
    places: dict[str, list[int]] = {}
    for place, (name, _) in enumerate(steps):
        places.setdefault(name, []).append(place)
    sent = []
    for name, of_name in places.items():
        wanted = known[name]
        for group in _groups(wanted, steps, of_name):
            params = steps[group[0]][1]
            if wanted.takes_rows:
                params = {"rows": _encode([steps[place][1] for place in group]).decode()}
            cursor = connection.execute(wanted.sql, params)
            if wanted.answers:
                sent.append((wanted, group, cursor))
    pipeline.sync()  # else the server waits for more, and by its clock nobody is idle: see `_OPTIONS`
    answers: list[Rows] = [()] * len(steps)
    for wanted, group, cursor in sent:
        for place, rows in zip(group, _answers(wanted, steps, group, cursor.fetchall()), strict=True):
            answers[place] = rows
    return answers


def _groups(wanted: Statement, steps: Sequence[Step], places: list[int]) -> list[list[int]]:
    """Return which steps share a statement: a row that is wanted twice is changed once, and then once more."""
    if not wanted.takes_rows:
        return [[place] for place in places]
    groups: list[list[int]] = []
    seen: dict[Any, int] = {}
    for place in places:
        key = steps[place][1].get(wanted.key, place)
        times = seen[key] = seen.get(key, 0) + 1
        if times > len(groups):
            groups.append([])
        groups[times - 1].append(place)
    return groups


def _answers(wanted: Statement, steps: Sequence[Step], group: list[int], rows: list[Any]) -> Iterator[Rows]:
    if not wanted.takes_rows:
        yield rows
        return
    if wanted.key not in steps[group[0]][1]:
        yield from ((row,) for row in rows)
        return
    by_key = {row[0]: (row,) for row in rows}
    for place in group:
        yield by_key.get(steps[place][1][wanted.key], ())
