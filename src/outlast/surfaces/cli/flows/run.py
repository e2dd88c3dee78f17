"""``flow run``, ``start`` and ``watch``: start a flow, stay with it to its end."""

from __future__ import annotations

import os
import sys

from outlast.core.errors import BadInput, NotFound, Refused
from outlast.surfaces.cli import exec
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.flows.words import flow_path, json_of
from outlast.surfaces.cli.output import note, safe, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

FILE_MAX = 1024 * 1024
ENDINGS = (".yaml", ".yml", ".json", ".lobster")


def run(call: Call) -> int:
    """Start a flow; stay with it unless that is not wanted."""
    if call["detach"]:
        return start(call)
    flow = _started(call)
    from outlast.surfaces.cli.flows.follow import stay

    return stay(call, flow)


def start(call: Call) -> int:
    """Start a flow and print its id."""
    call.answer(_started(call), announce)
    return 0


def watch(call: Call) -> int:
    """Stay with a flow that is on record."""
    from outlast.surfaces.cli.flows.follow import stay

    lookup = call["flow"]
    flow = call.read("flow.show", flow_path(lookup), lookup)
    return stay(call, flow, seconds=call["timeout"], changes=call.json)


def announce(flow: Result) -> None:
    """Print the id alone on standard output; what else is worth knowing, and the next steps, beside it."""
    id = flow["flowId"]
    say(id)
    if flow.get("existing"):
        note("a flow with this key is on record already and has not ended: this is it")
    sys.stdout.flush()
    steps = exec.steps(
        (f"outlast flow watch {id}", "stay with it to its end"),
        (f"outlast flow show {id}", "how it stands, what it waits for"),
        (f"outlast flow show {id} --graph", "its steps, drawn"),
        (f"outlast flow cancel {id}", "call it off"),
    )
    sys.stderr.write(steps + "\n")


def _started(call: Call) -> Result:
    body = {**target_of(call["target"]), **_arguments(call), **_fields(call)}
    exec.check_text(_texts(body))
    return call.client.post("/v1/flows", body)


def target_of(target: str) -> dict[str, Any]:
    """What is to be run: a file's text goes along, a program's path becomes absolute, all else is a name."""
    source, _, name = target.rpartition(":")
    if target.lower().endswith(ENDINGS):
        return {"file": {"name": target, "text": read_file(target)}}
    if target.endswith(".py") or source.endswith(".py"):
        path = source if source.endswith(".py") else target
        absolute = path if path.startswith("/") else os.path.join(exec.workdir(None), os.path.expanduser(path))
        return {"handler": f"{absolute}:{name}" if source.endswith(".py") else absolute}
    if source:
        return {"handler": target}
    if os.path.isfile(target):
        return {"file": {"name": target, "text": read_file(target)}}
    return {"name": target}


def read_file(path: str) -> str:
    """Return the text of a flow file. Raises NotFound, Refused, BadInput."""
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_MAX + 1)
    except FileNotFoundError as error:
        raise NotFound(f"no file {path!r}") from error
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}", code="cannot_read") from error
    if len(data) > FILE_MAX:
        raise BadInput(f"{path} is longer than {FILE_MAX} bytes", code="bad_flow_file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}:{line}:1: the file is not UTF-8", code="bad_flow_file") from error


def _arguments(call: Call) -> dict[str, object]:
    words, named = call["args"], call["arg"]
    if call["json_args"] is None:
        twice = [name for i, (name, _) in enumerate(named) if name in dict(named[:i])]
        if twice:
            raise BadInput(f"--arg {safe(twice[0])} is given twice", code="usage")
        return given(args=words or None, kwargs=dict(named) or None, text=True if words or named else None)
    if words or named:
        raise BadInput("--json-args does not go with other arguments", code="usage")
    value = json_of(call["json_args"], "--json-args")
    if isinstance(value, list):
        return {"args": value}
    if isinstance(value, dict):
        return {"kwargs": value}
    raise BadInput("--json-args: must be a JSON object or list", code="bad_json")


def _fields(call: Call) -> dict[str, object]:
    local = call.gateway is None
    return given(
        env=dict(call["env"]) or None,
        callerEnv=exec.caller_env() if local else None,
        workdir=exec.workdir(call["workdir"]) if local else call["workdir"],
        goal=call["goal"],
        label=call["label"],
        conversation=call["conversation"],
        notify=call["notify"],
        priority=call["priority"],
        concurrencyKey=call["concurrency_key"],
        concurrencyMax=call["concurrency_max"],
        dedupeKey=call["dedupe"],
        deadlineSeconds=call["deadline"],
        delaySeconds=call["delay"],
        retries=call["retry"],
        retryDelaySeconds=call["retry_delay"],
        retryDelayMaxSeconds=call["retry_delay_max"],
        parentId=call["parent"],
    )


def _texts(value: object) -> list[object]:
    """Every text in a request, however deep."""
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in _texts(one))]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value]
