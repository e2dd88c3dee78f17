"""Single values of a flow file: each is read strictly, and what is wrong with it is noted where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from outlast.core.durations import parse_duration
from outlast.core.environment import injects_code
from outlast.core.errors import BadInput
from outlast.flows.files import fields, tree
from outlast.flows.files.expressions import BadExpression, Expression, parse_expression
from outlast.flows.files.problems import Place, Problems, shown
from outlast.flows.files.templates import Fields, Fixed, Items, Template, Value, parse_template
from outlast.flows.files.tree import Node, Scalar

_T = TypeVar("_T")


class Use(NamedTuple):
    """An expression where it stands: in which step (None: in none), and whether there is an ``item``.

    ``early``: it is looked at before the flow begins, when only the arguments are known.
    """

    expression: Expression
    place: Place
    step: str | None
    item: bool
    early: bool


class Values:
    """Reads values, and remembers every expression it has met, to be checked when all steps are known."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.uses: list[Use] = []
        self.step: str | None = None
        self.item = False
        self.early = False

    # names and their values

    def fields_of(self, node: Node, table: str) -> dict[str, Node] | None:
        """Return the fields of a mapping that its table knows; None when it is no mapping."""
        if not isinstance(node, tree.Mapping):
            self.problems.add(node, f"{_THINGS[table]} is a mapping of fields, not {kind(node)}")
            return None
        known = fields.names(table)
        for name, entry in node.entries.items():
            if name not in known:
                near = self._near(name, known)
                self.problems.add(entry.key, f"{shown(name)} is no field of {_THINGS[table]}{near}")
        for name in fields.REQUIRED.get(table, ()):
            if name not in node.entries:
                self.problems.add(node, f"{_THINGS[table]} has no {name}")
        return {name: entry.value for name, entry in node.entries.items() if name in known}

    def _near(self, name: str, known: frozenset[str]) -> str:
        """Suggest a field: what others call it, or what looks like it."""
        ours = _ELSEWHERE.get(name.lower())
        return f" (here it is {ours})" if ours in known else self.problems.suggestion(name, known)

    def named(self, node: Node, pattern: str, most: int, what: str) -> dict[str, tree.Entry]:
        """Return the entries of a mapping whose names have a form, e.g. of variables."""
        if not isinstance(node, tree.Mapping):
            self.problems.add(node, f"this is {kind(node)}: {what} are names with values")
            return {}
        if len(node.entries) > most:
            self.problems.add(node, f"there are more than {most} {what}")
            return {}
        good = {}
        for name, entry in node.entries.items():
            if re.fullmatch(pattern, name):
                good[name] = entry
            else:
                self.problems.add(entry.key, f"{shown(name)} cannot be a name here: it has the form {pattern}")
        return good

    def environment(self, node: Node) -> dict[str, Template]:
        """Read variables with their texts."""
        env = {}
        for name, entry in self.named(node, fields.VARIABLE_NAME, fields.ENV_MAX, "variables").items():
            template = self.template(entry.value)
            if template is not None and template.literal is None and injects_code(name):
                self.problems.add(entry.value, f"{name} decides which code programs run: no ${{…}} may fill it")
            elif template is not None:
                env[name] = template
        return env

    def nested(self, node: Node) -> Fields:
        """Read names with values of any kind."""
        entries = self.named(node, fields.ARGUMENT_NAME, tree.ITEMS_MAX, "values")
        read = {name: self.value(entry.value) for name, entry in entries.items()}
        return Fields({name: value for name, value in read.items() if value is not None})

    # single values

    def text(self, node: Node, most: int = fields.LINE_MAX, *, least: int = 0) -> str | None:
        """Read a text. A number or a boolean is taken as it is written."""
        if not isinstance(node, Scalar) or node.value is None:
            self.problems.add(node, f"a text is needed here, not {kind(node)}")
        elif len(node.text) > most:
            self.problems.add(node, f"a text has at most {most:,} characters here")
        elif len(node.text) < least:
            self.problems.add(node, "this text is empty")
        else:
            return node.text
        return None

    def matching(self, node: Node, pattern: str, what: str) -> str | None:
        """Read a text of a certain form."""
        text = self.text(node)
        if text is None or re.fullmatch(pattern, text):
            return text
        self.problems.add(node, f"{shown(text)} is not {what}: it has the form {pattern}")
        return None

    def boolean(self, node: Node, default: bool) -> bool:
        """Read true or false, and nothing that only looks like it."""
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.problems.add(node, f"write true or false here, not {kind(node)}")
        return default

    def integer(self, node: Node, low: int, high: int) -> int | None:
        """Read a whole number within bounds."""
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.problems.add(node, f"a whole number from {low} to {high} is needed here, not {kind(node)}")
        return None

    def span(self, node: Node) -> float | None:
        """Read a span of time as seconds."""
        if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool):
            self.problems.add(node, f"a span of time is needed here (90, 2h30m), not {kind(node)}")
            return None
        return self._tried(node, parse_duration, node.text)

    def template(self, node: Node, most: int = fields.LINE_MAX, *, least: int = 0) -> Template | None:
        """Read a text with places to be filled."""
        text = self.text(node, most, least=least)
        template = None if text is None else self._tried(node, parse_template, text)
        for expression in template.expressions if template else ():
            self.met(expression, node)
        return template

    def value(self, node: Node) -> Value | None:
        """Read any value, with places to be filled in its texts."""
        if isinstance(node, tree.Sequence):
            return Items(tuple(value for item in node.items if (value := self.value(item)) is not None))
        if isinstance(node, tree.Mapping):
            read = {name: self.value(entry.value) for name, entry in node.entries.items()}
            return Fields({name: value for name, value in read.items() if value is not None})
        return self.template(node) if isinstance(node.value, str) else Fixed(node.value)

    def expression(self, node: Node) -> Expression | None:
        """Read an expression, bare or as ``${…}``."""
        text = self.text(node, least=1)
        if text is None:
            return None
        if text.startswith("${") and text.endswith("}"):
            template = self.template(node)
            if template is not None and template.whole is None:
                self.problems.add(node, "one expression is needed here, not a text with several")
            return template.whole if template else None
        expression = self._tried(node, parse_expression, text)
        return None if expression is None else self.met(expression, node)

    def met(self, expression: Expression, place: Place) -> Expression:
        """Remember an expression that was met."""
        self.uses.append(Use(expression, place, self.step, self.item, self.early))
        return expression

    def _tried(self, node: Node, read: Callable[[str], _T], text: str) -> _T | None:
        try:
            return read(text)
        except (BadInput, BadExpression) as error:
            hint = f": {error.hint}" if isinstance(error, BadInput) and error.hint else ""
            self.problems.add(node, f"{error}{hint}")
            return None


def kind(node: Node) -> str:
    """What a value is, in words."""
    if isinstance(node, tree.Sequence):
        return "a list"
    if isinstance(node, tree.Mapping):
        return "a mapping"
    if node.value is None:
        return "nothing"
    return f"the text {shown(node.text)}" if isinstance(node.value, str) else node.text


# What fields are called in files of other tools.
_ELSEWHERE = {
    "command": "run", "cmd": "run", "script": "run", "argv": "run", "cwd": "workdir", "working-directory": "workdir",
    "dir": "workdir", "condition": "when", "if": "when", "depends_on": "needs", "depends": "needs", "after": "needs",
    "requires": "needs", "with_items": "for_each", "foreach": "for_each", "on_error": "on_failure", "retries": "retry",
    "environment": "env", "inputs": "args", "params": "args", "parameters": "args", "jobs": "steps", "tasks": "steps",
    "prompt": "message",
    "signal": "wait", "delay": "sleep", "input": "stdin", "label": "title", "type_": "type", "choices": "enum",
}  # fmt: skip


_THINGS: Mapping[str, str] = {
    "flow": "a flow",
    "argument": "an argument",
    "step": "a step",
    "for_each": "for_each",
    "retry": "retry",
    "concurrency": "concurrency",
    "cleanup": "a cleanup",
}
