"""``flow check`` and ``flow schema``: about flow files, without a gateway."""

from __future__ import annotations

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.output import note, print_json, readable_json, safe, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from outlast.flows.files.reading import Checked


def run(call: Call) -> int:
    """Print every problem of every file; 2 when there is one."""
    from outlast.flows.files.reading import check_file

    found: list[dict[str, Any]] = []
    for path in call["files"]:
        try:
            checked = check_file(path)
        except BadInput as error:
            found.append({"file": path, "ok": False, "error": error.message, "problems": [], "notes": []})
            if not call.json:
                say(f"{safe(path)}: {safe(error.message)}")
            continue
        problems = [{"line": one.line, "column": one.column, "message": one.sentence} for one in checked.problems]
        notes = _missing(call, checked)
        found.append({"file": path, "ok": not problems, "error": None, "problems": problems, "notes": notes})
        if not call.json:
            for line in checked.lines:
                say(safe(line))
            for line in notes:
                note(f"{safe(path)}: {safe(line)}")
    good = all(one["ok"] for one in found)
    if call.json:
        print_json({"ok": good, "files": found})
    elif good:
        note(f"nothing is wrong with {'it' if len(found) == 1 else f'these {len(found)} files'}")
    return 0 if good else BadInput.exit_code


def _missing(call: Call, checked: Checked) -> list[str]:
    """Say which agents of a file are not configured here, where that can be known."""
    from outlast.flows.files.definition import unknown_agents

    if checked.definition is None or not unknown_agents(checked.definition, ()):
        return []
    try:
        return unknown_agents(checked.definition, call.config.agents)
    except BadInput:  # of a broken configuration others tell
        return []


def schema(call: Call) -> None:
    """Print the JSON Schema."""
    import json

    from outlast.flows.files.schema import flow_schema

    found = flow_schema()
    if call.json:
        print_json(found)
    else:
        say(readable_json(json.dumps(found, indent=2, ensure_ascii=False)))
