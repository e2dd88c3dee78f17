"""``tool``: a tool call as an agent makes it, JSON in and JSON out."""

from __future__ import annotations

import json
import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.exec import caller_env, workdir
from outlast.surfaces.cli.output import print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXAMPLE = """outlast tool '{"tool":"exec","command":"npm run build","yieldMs":1000}'"""


def run(call: Call) -> None:
    """Make the call and print its result, always as JSON. Errors are printed as JSON too."""
    call.json = True
    text = call["call"]
    if text in (None, "-"):
        if sys.stdin.isatty() and text is None:
            raise BadInput("no tool call was given", code="usage", hint=EXAMPLE)
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    request = _parse(text)
    starts = request.get("tool") == "exec" or (request.get("tool"), request.get("action")) == ("flow", "start")
    if starts and call.gateway is None:
        # As `exec` and `flow start` do: it runs where and as this call was made, unless it says otherwise.
        wanted = request.get("workdir")
        if wanted is None or isinstance(wanted, str):
            request["workdir"] = workdir(wanted)
        request.setdefault("callerEnv", caller_env())
    if (request.get("tool"), request.get("action")) == ("tasks", "retry") and call.gateway is None:
        request.setdefault("callerEnv", caller_env())
    # The call names its own time limits; the gateway holds it to them.
    print_json(call.client.post("/v1/tool", request, seconds=None))


def _parse(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the tool call is not JSON: {error}", code="bad_json", hint=EXAMPLE) from error
    if not isinstance(value, dict):
        raise BadInput("a tool call is a JSON object", code="bad_json", hint=EXAMPLE)
    return value
