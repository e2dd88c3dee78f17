"""YAML into a tree: the plain part of it, without anchors, aliases, tags and further documents.

The events of PyYAML's parser are read one by one, so that nothing is expanded, constructed or resolved by it, and a
document that is too deep or too large is refused while it is read.
"""

from __future__ import annotations

from typing import Any

import yaml

from outlast.flows.files.problems import Problem, Problems, Unreadable
from outlast.flows.files.tree import Budget, Entry, Mapping, Node, Scalar, Sequence, add_entry, check_text

IN_C = hasattr(yaml, "CBaseLoader")
"""Whether the parser in C is there: the same events, twenty times faster."""

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_ODD_KEY = "a name must be a text, not a list or a mapping"


def parse_yaml(text: str, problems: Problems) -> Node:
    """Read a document. What can be left out is noted in ``problems``. Raises Unreadable."""
    try:
        return _Builder(text, problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = _position(mark)
        raise Unreadable(line, column, f"this is not YAML: {_sentence(error)}{_quoting(text, line)}") from None
    except yaml.YAMLError as error:
        raise Unreadable(1, 1, f"this is not YAML: {str(error)[:200]!r}") from None


def _sentence(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(parts)[:200] or "it breaks off"


def _quoting(text: str, number: int) -> str:
    """The usual reason, where it is one: in brackets the braces of ``${…}`` begin a mapping."""
    lines = text.split("\n")
    line = lines[number - 1] if number <= len(lines) else ""
    return ": in brackets a text with ${…} needs quotes" if "${" in line and ("[" in line or "{ " in line) else ""


def _position(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


class _Builder:
    def __init__(self, text: str, problems: Problems) -> None:
        self.events = yaml.parse(text, Loader=_LOADER)
        self.problems = problems
        self.budget = Budget()

    def document(self) -> Node:
        event = next(self.events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            raise Unreadable(1, 1, "the file is empty")
        node = self.node(event, 1)
        for later in self.events:
            if isinstance(later, yaml.DocumentStartEvent):
                raise Unreadable(*_position(later.start_mark), "a second document begins here: a file holds one flow")
        return node

    def node(self, event: yaml.Event, depth: int) -> Node:
        line, column = _position(event.start_mark)
        self.budget.take(line, column, depth)
        if isinstance(event, yaml.AliasEvent):
            raise Unreadable(line, column, "an alias (*name) stands here: write the value out")
        self.refuse_marks(event, line, column)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(line, column, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(line, column, depth)
        assert isinstance(event, yaml.ScalarEvent)
        return check_text(Scalar(event.value, not event.style, line, column), self.problems)

    def refuse_marks(self, event: yaml.Event, line: int, column: int) -> None:
        place = Problem(line, column, "")
        if getattr(event, "anchor", None) is not None:
            self.problems.add(place, "an anchor (&name) stands here: write the value out where it is needed")
        if getattr(event, "tag", None) is not None:
            self.problems.add(place, "a tag (!name) stands here: a flow file has none")

    def sequence(self, line: int, column: int, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
            self.budget.check_length(len(items), line, column)
        return Sequence(items, line, column)

    def mapping(self, line: int, column: int, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.node(event, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if isinstance(key, Scalar):
                add_entry(entries, key, value, self.problems)
            else:
                self.problems.add(key, _ODD_KEY)
        return Mapping(entries, line, column)
