"""A small reader of the JSON Schema our OpenAPI document uses: does a value fit, and is a schema one."""

from __future__ import annotations

from typing import Any

KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip
KEYWORDS = {
    "$ref", "type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "default", "title",
    "description", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems",
}  # fmt: skip


def misfits(value: Any, schema: dict[str, Any], document: dict[str, Any], path: str = "$") -> list[str]:
    """Return where a value does not fit a schema, as ``path: what``. Fields a schema does not name are misfits, too."""
    if "$ref" in schema:
        return misfits(value, resolve(schema["$ref"], document), document, path)
    if "anyOf" in schema:
        tried = [misfits(value, one, document, path) for one in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: {value!r} is none of {schema['enum']}"]
    kind = schema.get("type")
    names = kind if isinstance(kind, list) else [kind] if kind else []
    if names and not any(isinstance(value, KINDS[name]) and fits_bool(value, name) for name in names):
        return [f"{path}: {value!r} is no {kind}"]
    if isinstance(value, dict):
        return _object_misfits(value, schema, document, path)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [bad for n, item in enumerate(value) for bad in misfits(item, schema["items"], document, f"{path}[{n}]")]
    return []


def fits_bool(value: Any, name: str) -> bool:
    """In Python a bool is an int; in JSON it is not."""
    return isinstance(value, bool) == (name == "boolean")


def _object_misfits(value: dict[str, Any], schema: dict[str, Any], document: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}: {name} is missing" for name in schema.get("required", ()) if name not in value]
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", "properties" not in schema)
    for name, item in value.items():
        if name in properties:
            found += misfits(item, properties[name], document, f"{path}.{name}")
        elif isinstance(others, dict):
            found += misfits(item, others, document, f"{path}.{name}")
        elif not others:
            found.append(f"{path}: {name} is not described")
    return found


def resolve(ref: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference within the document means."""
    found: Any = document
    assert ref.startswith("#/"), ref
    for part in ref[2:].split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def schemas_in(node: Any) -> list[dict[str, Any]]:
    """Return every object below a node that is used as a schema."""
    if isinstance(node, list):
        return [one for item in node for one in schemas_in(item)]
    if not isinstance(node, dict):
        return []
    found = [node] if {"type", "$ref", "anyOf", "enum"} & set(node) else []
    for name, item in node.items():
        if name == "properties":
            found += [one for schema in item.values() for one in schemas_in(schema)]
        elif name in ("items", "anyOf", "additionalProperties"):
            found += schemas_in(item)
    return found
