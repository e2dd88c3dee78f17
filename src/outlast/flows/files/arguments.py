"""The arguments of a flow: how a file declares them, and how those of one run are read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import msgspec

from outlast.core.errors import BadInput
from outlast.core.text import is_sound_value
from outlast.flows.files import fields, tree
from outlast.flows.files.definition import Argument, ArgumentType, Definition
from outlast.flows.files.evaluate import NO_JSON, Scope, Unknown, kind_of, read_json, same
from outlast.flows.files.problems import Problems, shown
from outlast.flows.files.templates import Template, fill_text
from outlast.flows.files.tree import Node
from outlast.flows.files.values import Values, kind

ARGUMENTS_MAX = 1024 * 1024
"""Bytes of all arguments of one run, as JSON."""

_KINDS: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")


# declared


def read_arguments(node: Node, values: Values) -> tuple[Argument, ...]:
    """Read the arguments that a file declares."""
    entries = values.named(node, fields.ARGUMENT_NAME, fields.ENV_MAX, "arguments")
    read = [_argument(name, entry.value, values) for name, entry in entries.items()]
    return tuple(argument for argument in read if argument is not None)


def _argument(name: str, node: Node, values: Values) -> Argument:
    if isinstance(node, tree.Scalar) and node.value is None:
        return Argument(name=name)
    found = values.fields_of(node, "argument") or {}
    type_ = _type(found["type"], values) if "type" in found else "string"
    enum = _enum(found["enum"], type_, values) if "enum" in found else ()
    argument = Argument(
        name=name,
        type=type_,
        default=_default(found["default"], type_, enum, values) if "default" in found else None,
        required=values.boolean(found["required"], False) if "required" in found else False,
        enum=enum,
        description=values.text(found["description"], fields.PROSE_MAX) if "description" in found else None,
    )
    if argument.required and "default" in found:
        values.problems.add(found["default"], "an argument with a default is never missing: it cannot be required")
    return argument


def _type(node: Node, values: Values) -> ArgumentType:
    text = values.text(node)
    known = [name for name in get_args(ArgumentType) if name != "any"]
    if text in known:
        return cast("ArgumentType", text)
    if text is not None:
        near = values.problems.suggestion(text, known)
        values.problems.add(node, f"{shown(text)} is no type{near}: there are {', '.join(known)}")
    return "json"


def _enum(node: Node, type_: ArgumentType, values: Values) -> tuple[Any, ...]:
    if not isinstance(node, tree.Sequence) or not 1 <= len(node.items) <= fields.ENUM_MAX:
        values.problems.add(node, f"enum is a list of 1 to {fields.ENUM_MAX} values")
        return ()
    return tuple(_typed(item, type_, values) for item in node.items)


def _default(node: Node, type_: ArgumentType, enum: tuple[Any, ...], values: Values) -> Any:
    value = _typed(node, type_, values)
    if enum and not any(same(value, one) for one in enum):
        values.problems.add(node, f"the default is none of {_listed(enum)}")
    return value


def _typed(node: Node, type_: ArgumentType, values: Values) -> Any:
    value = tree.to_plain(node)
    if not _fits(value, type_):
        values.problems.add(node, f"{kind(node)} is no {type_}{_quoting(value, type_)}")
    return value


def _quoting(value: object, type_: ArgumentType) -> str:
    plain = isinstance(value, int | float | bool)
    return ": put it in quotes, or say its type" if plain and type_ == "string" else ""


def _fits(value: object, type_: ArgumentType) -> bool:
    kinds = _KINDS.get(type_)
    return kinds is None or (isinstance(value, kinds) and isinstance(value, bool) == (type_ == "boolean"))


# given


def parse_args(
    definition: Definition, texts: Sequence[str] = (), given: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Return every argument of a run, from texts ``NAME=VALUE`` and from JSON values; a text wins over a value.

    What is not given has its default, or is null. Raises `BadInput` (``bad_args``) that names everything that is
    wrong: unknown names, wrong types, what is missing.
    """
    problems = Problems()
    known = {argument.name: argument for argument in definition.args}
    wrong: list[str] = []
    read: dict[str, Any] = {}
    for name, value in (given or {}).items():
        _take(name, value, known, problems, read, wrong, text=False)
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            wrong.append(f"{shown(text)} is not NAME=VALUE")
        else:
            _take(name, value, known, problems, read, wrong, text=True)
    for argument in definition.args:
        if argument.name not in read:
            read[argument.name] = argument.default
            if argument.required:
                wrong.append(f"{argument.name} is missing")
    _refuse(wrong, definition)
    ordered = {name: read[name] for name in known}
    _check_size(ordered)
    return ordered


def _take(
    name: str,
    value: object,
    known: Mapping[str, Argument],
    problems: Problems,
    read: dict[str, Any],
    wrong: list[str],
    *,
    text: bool,
) -> None:
    argument = known.get(name)
    if argument is None:
        wrong.append(f"there is no argument {shown(name)}{problems.suggestion(name, known)}")
        return
    try:
        read[name] = _checked(argument, _from_text(argument, str(value)) if text else value)
    except ValueError as error:
        read[name] = None
        wrong.append(f"{name}: {error}")


def _from_text(argument: Argument, text: str) -> object:
    match argument.type:
        case "string" | "any":
            return text
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case "integer":
            return int(text) if _WHOLE.fullmatch(text) else text
        case _:
            value = read_json(text)
            if value is NO_JSON:
                raise ValueError(f"{shown(text)} is no {'JSON' if argument.type == 'json' else argument.type}")
            return value


def _checked(argument: Argument, value: object) -> object:
    if not _fits(value, argument.type) and not (value is None and not argument.required):
        what = shown(value) if isinstance(value, str) else kind_of(value)
        raise ValueError(f"{what} is no {argument.type}")
    if isinstance(value, int) and abs(value) > tree.INTEGER_MAX:
        raise ValueError("the number is too large")
    if argument.enum and value is not None and not any(same(value, one) for one in argument.enum):
        raise ValueError(f"it is none of {_listed(argument.enum)}")
    try:
        sound = is_sound_value(value)
    except RecursionError:
        raise ValueError("it is too deep") from None
    if not sound:
        raise ValueError("it holds a NUL or half of a surrogate pair")
    return value


def _listed(values: Sequence[object]) -> str:
    texts = [value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in values[:20]]
    return ", ".join(text[:60] for text in texts)


def _check_size(args: Mapping[str, Any]) -> None:
    try:
        size = len(msgspec.json.encode(args))
    except (RecursionError, ValueError, TypeError):
        raise BadInput("the arguments are not JSON, or too deep", code="bad_args") from None
    if size > ARGUMENTS_MAX:
        raise BadInput("the arguments are larger than 1 MiB", code="bad_args", hint="pass the name of a file")


def _refuse(wrong: list[str], definition: Definition) -> None:
    if wrong:
        names = ", ".join(argument.name for argument in definition.args) or "none"
        hint = f"the arguments of {definition.name} are: {names}"
        raise BadInput("; ".join(wrong[:20]), code="bad_args", hint=hint)


def goal_of(definition: Definition, args: Mapping[str, Any]) -> str:
    """Return what one run is for, as lists show it. Raises `BadInput` when that needs an argument that is null."""
    return _from_args(definition.goal, args, "goal") if definition.goal else definition.name


def concurrency_key(definition: Definition, args: Mapping[str, Any]) -> str | None:
    """Return the key of which only so many run at once. Raises `BadInput` when it needs an argument that is null."""
    rule = definition.concurrency
    return _from_args(rule.key, args, "concurrency") if rule else None


def _from_args(template: Template, args: Mapping[str, Any], what: str) -> str:
    try:
        return fill_text(template, Scope(args, {}, {}))
    except Unknown as unknown:
        raise BadInput(f"{what}: {unknown}", code="bad_args", hint="give that argument") from None
