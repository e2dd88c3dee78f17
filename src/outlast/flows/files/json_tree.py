"""JSON into a tree, with positions. The standard library reads the strings; the rest is small."""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder

from outlast.flows.files.problems import Problems, Unreadable
from outlast.flows.files.tree import Budget, Entry, Mapping, Node, Scalar, Sequence, add_entry, check_text

_BLANK = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")


def parse_json(text: str, problems: Problems) -> Node:
    """Read a document. Names that are there twice are noted in ``problems``. Raises Unreadable."""
    return _Builder(text, problems).document()


_STRING = JSONDecoder()


class _Builder:
    def __init__(self, text: str, problems: Problems) -> None:
        self.text = text
        self.problems = problems
        self.budget = Budget()
        self.at = 0
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Node:
        self.blank()
        if self.at == len(self.text):
            raise Unreadable(1, 1, "the file is empty")
        node = self.node(1)
        self.blank()
        if self.at < len(self.text):
            raise self.broken("nothing may follow the document")
        return node

    def position(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.starts, at)
        return line, at - self.starts[line - 1] + 1

    def broken(self, what: str, at: int | None = None) -> Unreadable:
        return Unreadable(*self.position(self.at if at is None else at), f"this is not JSON: {what}")

    def blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def taken(self, sign: str) -> bool:
        self.blank()
        if not self.text.startswith(sign, self.at):
            return False
        self.at += 1
        return True

    def node(self, depth: int) -> Node:
        self.blank()
        line, column = self.position(self.at)
        self.budget.take(line, column, depth)
        if self.taken("{"):
            return self.mapping(line, column, depth)
        if self.taken("["):
            return self.sequence(line, column, depth)
        return self.scalar(line, column)

    def scalar(self, line: int, column: int) -> Scalar:
        if self.text.startswith('"', self.at):
            return check_text(Scalar(self.string(), False, line, column), self.problems)
        word = _WORD.match(self.text, self.at)
        if word is None:
            raise self.broken("a value is missing here")
        self.at = word.end()
        return Scalar(word[0], True, line, column)

    def string(self) -> str:
        try:
            text, self.at = _STRING.raw_decode(self.text, self.at)
        except JSONDecodeError as error:
            raise self.broken(error.msg, error.pos) from None
        return str(text)

    def sequence(self, line: int, column: int, depth: int) -> Sequence:
        items: list[Node] = []
        if self.taken("]"):
            return Sequence(items, line, column)
        while True:
            items.append(self.node(depth + 1))
            self.budget.check_length(len(items), line, column)
            if self.taken("]"):
                return Sequence(items, line, column)
            if not self.taken(","):
                raise self.broken("a comma or ] is missing here")

    def mapping(self, line: int, column: int, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        if self.taken("}"):
            return Mapping(entries, line, column)
        while True:
            key = self.key(depth)
            if not self.taken(":"):
                raise self.broken("a colon is missing here")
            add_entry(entries, key, self.node(depth + 1), self.problems)
            if self.taken("}"):
                return Mapping(entries, line, column)
            if not self.taken(","):
                raise self.broken("a comma or } is missing here")

    def key(self, depth: int) -> Scalar:
        self.blank()
        line, column = self.position(self.at)
        self.budget.take(line, column, depth)
        if not self.text.startswith('"', self.at):
            raise self.broken("a name in double quotes is missing here")
        return check_text(Scalar(self.string(), False, line, column), self.problems)
