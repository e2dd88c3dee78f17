"""What an expression is worth, given what is known: how steps ended, the arguments, the item of a list.

A value that is missing is an error that names the expression, never an empty text. Of a step that did not run, all
parts are null (``approved`` is false), with whatever path behind them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from outlast.flows.files import expressions
from outlast.flows.files.expressions import (
    Comparison,
    Constant,
    Every,
    Expression,
    Length,
    Node,
    Not,
    Reference,
    Some,
    Sum,
)

TEXT_MAX = 1024 * 1024
"""Characters of a text that is put together."""

StepStatus = Literal["succeeded", "failed", "timed_out", "cancelled", "lost", "skipped", "rejected", "expired"]
STATUSES: tuple[str, ...] = get_args(StepStatus)
FAILURES: frozenset[str] = frozenset({"failed", "timed_out", "cancelled", "lost"})
REFUSALS: frozenset[str] = frozenset({"rejected", "expired"})


class Unknown(Exception):
    """An expression has no value, or none that can stand where it stands; the message names it."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended, for the expressions of others.

    ``value`` is the result of a step that is no command; ``closed_by`` are the steps whose failure or refusal holds
    back whatever comes after; ``error`` is why it failed.
    """

    status: StepStatus
    stdout: str | None = None
    truncated: bool = False
    exit_code: int | None = None
    approved: bool = False
    value: Any = None
    error: str | None = None
    closed_by: frozenset[str] = frozenset()

    @property
    def ran(self) -> bool:
        """False for a step that was left out."""
        return self.status != "skipped"


class Scope(msgspec.Struct, frozen=True):
    """Everything an expression may look at. ``item`` and ``index`` are those of a ``for_each``."""

    args: Mapping[str, Any]
    env: Mapping[str, str]
    ends: Mapping[str, End]
    item: Any = None
    index: int | None = None


def value_of(expression: Expression, scope: Scope) -> Any:
    """Return what an expression is worth: a JSON value. Raises Unknown."""
    try:
        return _value(expression.root, scope)
    except _Wrong as wrong:
        raise Unknown(f"${{{expression.source}}}: {wrong}") from None
    except RecursionError:
        raise Unknown(f"${{{expression.source}}}: the values are too deep") from None


def holds(expression: Expression, scope: Scope) -> bool:
    """Return whether a condition is met; null is not. Raises Unknown for a value that is neither true nor false."""
    value = value_of(expression, scope)
    if expression.truthy:
        return value is not None and value is not False and value != 0 and value != ""
    if value is None or isinstance(value, bool):
        return value is True
    raise Unknown(f"${{{expression.source}}} is {kind_of(value)}, and a condition is true or false")


def kind_of(value: object) -> str:
    """What sort of JSON value something is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds: tuple[tuple[Any, str], ...] = (((int, float), "a number"), (str, "a text"), (list, "a list"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "a mapping")


class _Wrong(Exception):
    """Like Unknown, before the expression is named."""


def _value(node: Node, scope: Scope) -> Any:
    match node:
        case Constant():
            return node.value
        case Reference():
            return _looked_up(node, scope)
        case Not():
            return not _condition(node.value, scope)
        case Every():
            return all(_condition(value, scope) for value in node.values)
        case Some():
            return any(_condition(value, scope) for value in node.values)
        case Comparison():
            return _compare(node, scope)
        case Sum():
            return _sum([_value(value, scope) for value in node.values])
        case Length():
            return _length(_value(node.value, scope))


def _condition(node: Node, scope: Scope) -> bool:
    value = _value(node, scope)
    if value is None or isinstance(value, bool):
        return value is True
    if isinstance(node, Reference) and node.lenient:
        return value not in (0, "")
    raise _Wrong(f"'and', 'or' and 'not' take true and false, not {kind_of(value)}")


def _compare(node: Comparison, scope: Scope) -> bool:
    left, right = _value(node.left, scope), _value(node.right, scope)
    if node.operator == "in":
        return _contains(right, left)
    if node.operator in ("==", "!="):
        return same(left, right) == (node.operator == "==")
    numbers = _is_number(left) and _is_number(right)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise _Wrong(f"{kind_of(left)} and {kind_of(right)} have no order")
    if node.operator[0] == "<":
        return bool(left < right or (len(node.operator) > 1 and left == right))
    return bool(left > right or (len(node.operator) > 1 and left == right))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(left: object, right: object) -> bool:
    """True when two values are the same JSON: in Python ``True == 1``, in JSON not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


def _contains(whole: object, part: object) -> bool:
    if isinstance(whole, list):
        return any(same(item, part) for item in whole)
    if isinstance(whole, str | dict) and isinstance(part, str):
        return part in whole
    raise _Wrong(f"{kind_of(part)} cannot be in {kind_of(whole)}")


def _sum(values: list[Any]) -> int | float | str:
    if all(isinstance(value, str) for value in values):
        if sum(map(len, values)) > TEXT_MAX:
            raise _Wrong(f"the text would have more than {TEXT_MAX:,} characters")
        return "".join(values)
    if all(map(_is_number, values)):
        total: int | float = sum(values)
        if abs(total) <= sys.float_info.max:
            return total
        raise _Wrong("the sum is too large")
    raise _Wrong(f"{' and '.join(map(kind_of, values))} cannot be added up")


def _length(value: object) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    raise _Wrong(f"{kind_of(value)} has no length")


def _looked_up(reference: Reference, scope: Scope) -> Any:
    if reference.root == "item":
        return _at(scope.item, reference)
    if reference.root == "index":
        return scope.index
    if reference.root == "env":
        return _named(scope.env, reference)
    if reference.root == "args":
        return _at(_named(scope.args, reference) if reference.name else dict(scope.args), reference)
    end = scope.ends[reference.name]
    return _part(end, reference) if end.ran or reference.part == "status" else _left_out(reference)


def _left_out(reference: Reference) -> bool | None:
    return False if reference.part == "approved" else None


def _named(known: Mapping[str, Any], reference: Reference) -> Any:
    if reference.name not in known and not reference.lenient:
        raise _Wrong(f"there is no {reference.root}.{reference.name}")
    return known.get(reference.name)


def _part(end: End, reference: Reference) -> Any:
    if reference.part in ("status", "approved", "exit_code"):
        return getattr(end, reference.part)
    if end.truncated:
        raise _Wrong(f"the output of {reference.name} was too long to be kept whole: let it write a file")
    if reference.part == "stdout":
        return end.stdout
    if end.stdout is None:
        return _at(end.value, reference)
    if reference.part == "output" and not reference.path:
        return end.stdout.rstrip("\r\n")
    return _at(_json(end.stdout, reference), reference)


def _json(text: str, reference: Reference) -> Any:
    value = read_json(text)
    if value is NO_JSON:
        if reference.lenient:
            return None
        raise _Wrong(f"the output of {reference.name} is not JSON")
    return value


class _NoJson:
    pass


NO_JSON = _NoJson()


def read_json(text: str) -> Any:
    """Return the JSON value that a text is, or `NO_JSON`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError, ValueError):
        return NO_JSON


def _at(value: Any, reference: Reference) -> Any:
    """Follow a path into a value."""
    for position, key in enumerate(reference.path):
        inside = value.get(key, NO_JSON) if isinstance(value, dict) else _item(value, key)
        if inside is NO_JSON:
            if reference.lenient:
                return None
            raise _Wrong(f"{_path(reference, position)} is {kind_of(value)} without {_step(key)}")
        value = inside
    return value


def _item(value: object, key: str | int) -> Any:
    usable = isinstance(value, list) and isinstance(key, int) and key < len(value)
    return value[key] if usable else NO_JSON  # type: ignore[index]


def _path(reference: Reference, upto: int) -> str:
    names = [reference.root, reference.name, reference.part]
    return ".".join(filter(None, names)) + "".join(map(_step, reference.path[:upto]))


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if expressions.FIELD.fullmatch(key) else f"[{key[:60]!r}]"
