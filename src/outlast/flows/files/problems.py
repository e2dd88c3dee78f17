"""What is wrong with a flow file, each with the line and column where it stands.

A reader goes on after a problem, so that one look shows them all; `Unreadable` is for what leaves nothing to go on
with. Texts of a file are shown shortened and with everything unprintable escaped, so that none can speak to a terminal.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Protocol

import msgspec

PROBLEMS_MAX = 100
"""How many problems of one file are kept; more are only counted."""

_SHOWN_MAX = 60
_SUGGESTIONS_MAX = 20


class Place(Protocol):
    """Something with a position in a file: line and column, both from 1."""

    @property
    def line(self) -> int:
        """The line, from 1."""

    @property
    def column(self) -> int:
        """The column in characters, from 1."""


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong: where (line and column from 1), and a sentence."""

    line: int
    column: int
    sentence: str

    def shown(self, name: str) -> str:
        """The problem as one line, ``name:line:column: sentence``."""
        return f"{name}:{self.line}:{self.column}: {self.sentence}"


class Unreadable(Exception):
    """Nothing more can be read after this problem."""

    def __init__(self, line: int, column: int, sentence: str) -> None:
        super().__init__(sentence)
        self.problem = Problem(line, column, sentence)


class Problems:
    """The problems found so far."""

    def __init__(self) -> None:
        self._found: set[Problem] = set()
        self._left_out = 0
        self._suggestions = 0

    def add(self, place: Place, sentence: str) -> None:
        """Note a problem. One that is noted twice counts once."""
        problem = Problem(place.line, place.column, sentence)
        if len(self._found) < PROBLEMS_MAX:
            self._found.add(problem)
        elif problem not in self._found:
            self._left_out += 1

    def __bool__(self) -> bool:
        return bool(self._found)

    def listed(self) -> list[Problem]:
        """All problems in the order of the file, at most `PROBLEMS_MAX` and one line that counts the rest."""
        found = sorted(self._found)
        if self._left_out:
            found.append(Problem(found[-1].line, found[-1].column, f"and {self._left_out} more problems"))
        return found

    def suggestion(self, word: str, known: Collection[str]) -> str:
        """Return `` (did you mean X?)`` when a known word is near, else nothing.

        Only the first few are looked for: comparing is slow, and a hostile file has room for thousands.
        """
        if self._suggestions >= _SUGGESTIONS_MAX or len(word) > _SHOWN_MAX:
            return ""
        self._suggestions += 1
        close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
        return f" (did you mean {close[0]}?)" if close else ""


def shown(text: str) -> str:
    """A text of a file, in quotes, shortened and escaped."""
    return repr(text) if len(text) <= _SHOWN_MAX else repr(text[:_SHOWN_MAX]) + "…"
