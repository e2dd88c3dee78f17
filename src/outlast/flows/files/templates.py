"""Texts with ``${…}`` in them, read once and filled later: a value that is put in is never looked at again.

``$${`` is a literal ``${``. Where a text is nothing but one ``${…}``, the value keeps its kind (a list stays a list);
in the middle of a text it becomes text: a number or a boolean as JSON writes it, a list or a mapping as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from outlast.flows.files.evaluate import TEXT_MAX, Scope, Unknown, value_of
from outlast.flows.files.expressions import BadExpression, Expression, parse_expression

_GAP = re.compile(r"\$\$\{|\$\{")
_INSIDE = re.compile(r"""(?:[^'"}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*""", re.S)


class Template(msgspec.Struct, frozen=True, tag="template"):
    """A text with places to be filled."""

    parts: tuple[str | Expression, ...]

    @property
    def whole(self) -> Expression | None:
        """The one expression it consists of, if it does."""
        first = self.parts[0] if len(self.parts) == 1 else None
        return first if isinstance(first, Expression) else None

    @property
    def expressions(self) -> Iterator[Expression]:
        """What it is filled from."""
        return (part for part in self.parts if isinstance(part, Expression))

    @property
    def literal(self) -> str | None:
        """The text, when nothing is to be filled in."""
        return None if any(self.expressions) else "".join(map(str, self.parts))


class Fixed(msgspec.Struct, frozen=True, tag="fixed"):
    """A value that is not a text, as it is."""

    value: int | float | bool | None


class Items(msgspec.Struct, frozen=True, tag="items"):
    """A list of values with places to be filled."""

    items: tuple[Value, ...]


class Fields(msgspec.Struct, frozen=True, tag="fields"):
    """A mapping of values with places to be filled."""

    fields: dict[str, Value]


Value = Template | Fixed | Items | Fields


def parse_template(text: str) -> Template:
    """Read a text with ``${…}``. Raises BadExpression."""
    parts: list[str | Expression] = []
    at = 0
    while gap := _GAP.search(text, at):
        _append(parts, text[at : gap.start()])
        if gap[0] == "$${":
            _append(parts, "${")
            at = gap.end()
            continue
        inside = _INSIDE.match(text, gap.end())
        assert inside is not None
        if not text.startswith("}", inside.end()):
            raise BadExpression("${ is not closed with }; write $${ for a literal ${")
        parts.append(parse_expression(inside[0]))
        at = inside.end() + 1
    _append(parts, text[at:])
    return Template(tuple(parts))


def _append(parts: list[str | Expression], text: str) -> None:
    if text and parts and isinstance(parts[-1], str):
        parts[-1] += text
    elif text:
        parts.append(text)


def expressions_in(value: Value) -> Iterator[Expression]:
    """Every expression in a value, however deep."""
    if isinstance(value, Template):
        yield from value.expressions
    elif not isinstance(value, Fixed):
        for inner in value.items if isinstance(value, Items) else value.fields.values():
            yield from expressions_in(inner)


def fill(value: Value, scope: Scope) -> Any:
    """Return the value with every place filled. Raises Unknown."""
    if isinstance(value, Fixed):
        return value.value
    if isinstance(value, Items):
        return [fill(item, scope) for item in value.items]
    if isinstance(value, Fields):
        return {name: fill(item, scope) for name, item in value.fields.items()}
    return value_of(value.whole, scope) if value.whole else fill_text(value, scope)


def fill_text(template: Template, scope: Scope) -> str:
    """Return the text with every place filled. Raises Unknown, for null as well."""
    parts = [part if isinstance(part, str) else _text(part, scope) for part in template.parts]
    if sum(map(len, parts)) > TEXT_MAX:
        raise Unknown(f"the text would have more than {TEXT_MAX:,} characters")
    return "".join(parts)


def _text(expression: Expression, scope: Scope) -> str:
    value = value_of(expression, scope)
    if value is None and not expression.truthy:
        raise Unknown(f"${{{expression.source}}} has no value")
    return as_text(value)


def as_text(value: object) -> str:
    """A JSON value as text: a text as it is, null as nothing, the rest as JSON. Raises Unknown when it is too deep."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (RecursionError, ValueError, UnicodeEncodeError):
        raise Unknown("a value is too deep to be written as JSON") from None
