"""Turning bytes, JSON values and query strings into requests, and every mistake into one clear sentence.

The sentence names the field and what it may be: a caller that is a program has nothing else to go by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from outlast.core.errors import BadInput

T = TypeVar("T")

_WHERE = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.S)
_KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}


def from_json(data: bytes, type_: type[T]) -> T:
    """Decode a request body; an empty one counts as ``{}``. Raises BadInput naming the field."""
    return from_value(json_value(data) if data.strip() else {}, type_)


def json_value(data: bytes) -> object:
    """Decode any JSON value. Raises BadInput when it is not JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not re.search("surrogate|out of range", str(error)):
            raise BadInput(f"the request is not JSON: {error}", hint="send a JSON object in UTF-8") from None
    # Undecodable file names and environment values travel as lone surrogates, which only the slow decoder
    # accepts.
    try:
        value: object = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the request is not JSON: {error}", hint="send a JSON object in UTF-8") from None
    return value


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not a JSON number")


def from_value(value: object, type_: type[T], *, strict: bool = True) -> T:
    """Check a decoded JSON value. Raises BadInput naming the field and what is allowed there."""
    try:
        return msgspec.convert(value, type_, strict=strict)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _explain(str(error), type_) from None
    except UnicodeEncodeError:  # a lone half of a character, where something else than text is wanted
        raise BadInput("the request holds text that is no Unicode") from None


def from_query(pairs: Iterable[tuple[str, str]], type_: type[T]) -> T:
    """Check the parameters of a query string, where numbers and booleans are text. Raises BadInput."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise BadInput(f"{name}: given twice")
        values[name] = value
    return from_value(values, type_, strict=False)


def _explain(text: str, type_: type[Any]) -> BadInput:
    fields = _fields(type_)
    found = _WHERE.fullmatch(text)
    what, path = (found["what"], found["path"] or "") if found else (text, "")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.S)
    if unknown:
        return _unknown(path.lstrip(".") + "." if path else "", unknown[1], fields)
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        inside = f"{path.lstrip('.')}." if path else ""
        return BadInput(f"{inside}{missing[1]}: is required", hint=_allowed_hint(fields))
    name = path.lstrip(".")
    if not name:
        return BadInput(f"the request must be a JSON object: {what}")
    allowed = _describe(fields.get(re.split(r"[.\[]", name)[0], {})) if not re.search(r"[.\[]", name) else ""
    got = re.search(r"got `(\w+)`", what)
    if allowed:
        return BadInput(f"{name}: must be {allowed}" + (f", not {_json_word(got[1])}" if got else ""))
    return BadInput(f"{name}: {what[:1].lower()}{what[1:]}".replace("`", ""))


def _unknown(inside: str, name: str, fields: Mapping[str, Any]) -> BadInput:
    if inside:
        return BadInput(f"{inside}{name}: unknown field")
    import difflib

    close = difflib.get_close_matches(name, fields, n=1, cutoff=0.7)
    hint = f"did you mean {close[0]}?" if close else _allowed_hint(fields)
    return BadInput(f"{name}: unknown field", hint=hint)


def _allowed_hint(fields: Mapping[str, Any]) -> str:
    return "allowed fields: " + ", ".join(name for name in fields if name != "callerEnv")


def _fields(type_: type[Any]) -> dict[str, Any]:
    """The JSON schema of each field of a request, with references within it resolved."""
    (top,), defs = msgspec.json.schema_components([type_], ref_template="{name}")
    properties: dict[str, Any] = defs.get(top.get("$ref", ""), top).get("properties", {})
    return {name: _flat(schema, defs) for name, schema in properties.items()}


def _flat(schema: dict[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {**defs[schema["$ref"]], **{k: v for k, v in schema.items() if k != "$ref"}}
    some = [_flat(s, defs) for s in schema.get("anyOf", []) if s.get("type") != "null"]
    if len(some) == 1:
        return some[0]
    return schema


def _describe(schema: dict[str, Any]) -> str:
    """Say in words what a field may be."""
    if "description" in schema and schema.get("type") != "object":
        return str(schema["description"])
    if "enum" in schema:
        return "one of " + ", ".join(str(v) for v in schema["enum"] if v is not None)
    kind = schema.get("type")
    if kind == "array":
        return "a list" + _span(schema.get("minItems"), schema.get("maxItems"), "with", "items")
    if kind == "object":
        return "an object" + (f" with {', '.join(schema['properties'])}" if schema.get("properties") else " of texts")
    if kind == "string":
        return "text" + _span(schema.get("minLength"), schema.get("maxLength"), "of", "characters")
    if kind not in _KINDS:
        return ""
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high = schema.get("maximum")
    start = f" from {low:g}" if low is not None else f" above {above:g}" if above is not None else ""
    return f"{_KINDS[kind]}{start}" + (f" up to {high:.12g}" if high is not None else "")


def _span(low: int | None, high: int | None, word: str, unit: str) -> str:
    if low and high:
        return f" {word} {low} to {high} {unit}"
    if high:
        return f" {word} at most {high} {unit}"
    return f" {word} at least {low} {unit}" if low else ""


def _json_word(name: str) -> str:
    return {
        "str": "text",
        "int": "a number",
        "float": "a fraction",
        "bool": "true or false",
        "array": "a list",
        "object": "an object",
        "null": "null",
    }.get(name, name)
