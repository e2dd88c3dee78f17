"""The JSON Schema of a flow file, for editors and for programs that write flow files.

Whatever outlast takes, the schema takes; what needs the whole file to be known (ids, circles, expressions) only
``outlast flow check`` finds. It is put together from the tables of `outlast.flows.files.fields`.
"""

from __future__ import annotations

import json

from outlast.flows.files.fields import ACTS, NEEDED, REQUIRED, STEP_FIELDS, TABLES, Schema

_ABOUT = {
    "flow": "Steps that are done in the order of their needs, with waits, approvals and retries between.",
    "argument": "What a run is given under this name.",
    "step": "One step: exactly one of run, agent, approval, wait, sleep, flow.",
    "for_each": "A list whose items are gone through.",
    "retry": "How often it is tried in all, and the pauses between.",
    "concurrency": "How many runs with the same key there are at once.",
    "cleanup": "A command that is run when the step has failed.",
}


def flow_schema() -> Schema:
    """Return the schema (draft 2020-12) as JSON values."""
    parts = {name: _part(name) for name in TABLES if name != "flow"}
    parts["argument"]["type"] = ["object", "null"]
    parts["step"]["oneOf"] = [_act(name) for name in ACTS]
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "outlast flow file"}
    return about | _part("flow") | {"$defs": parts}


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(flow_schema(), indent=2, ensure_ascii=False) + "\n"


def _part(name: str) -> Schema:
    fields = {field.name: {"description": _plain(field.help), **field.schema} for field in TABLES[name]}
    return {
        "description": _ABOUT[name],
        "type": "object",
        "properties": fields,
        "required": list(REQUIRED.get(name, ())),
        "additionalProperties": False,
    }


def _act(name: str) -> Schema:
    """What a step that does this must have, and must not."""
    others = [field.name for field in STEP_FIELDS if field.acts and name not in field.acts]
    needed = [name, *NEEDED.get(name, ())]
    return {"required": needed, "properties": dict.fromkeys([*others, *_other_acts(name)], False)}


def _other_acts(name: str) -> list[str]:
    return [act for act in ACTS if act != name]


def _plain(text: str) -> str:
    """A sentence of the reference page without its links."""
    while (start := text.find("](")) >= 0:
        opening, end = text.rfind("[", 0, start), text.find(")", start)
        text = text[:opening] + text[opening + 1 : start] + text[end + 1 :]
    return text
