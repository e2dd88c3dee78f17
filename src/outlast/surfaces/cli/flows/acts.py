"""``flow signal``, ``cancel``, ``retry``, ``resume`` and ``fork``: what is done to a flow that is on record."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput, OutlastError
from outlast.surfaces.cli.context import Call, given, milliseconds
from outlast.surfaces.cli.exec import check_text
from outlast.surfaces.cli.flows.words import flow_path, json_of, object_of, stands
from outlast.surfaces.cli.output import note, print_json, safe, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]


def signal(call: Call) -> None:
    """Send it, and say whether it was heard before."""
    words = call["payload"]
    if words == "-":
        words = sys.stdin.buffer.read().decode("utf-8", "replace")
    payload = None if words is None else json_of(words, "JSON")
    body = {"name": call["name"], "payload": payload, **given(key=call["key"])}
    check_text([call["name"], call["key"]])
    call.answer(call.client.post(flow_path(call["flow"], "signal"), body), _print_sent)


def _print_sent(sent: Result) -> None:
    say(f"{sent['flowId']} signal {safe(sent['name'])}")
    if sent.get("existing"):
        note("one with this key was sent before: that one counts")


def cancel(call: Call) -> int:
    """Call flows off, also after one that could not be; the exit code is that of the first error."""
    timeout = milliseconds(call["timeout"])
    if timeout is not None and timeout > 600_000:
        raise BadInput("--timeout: at most 10m", code="bad_input")
    body = given(reason=call["reason"], force=call["force"] or None, timeoutMs=timeout)
    if len(call["flows"]) == 1:
        call.answer(_cancel(call, call["flows"][0], body), say_stands)
        return 0
    done: list[Result] = []
    failed: list[Result] = []
    code = 0
    for lookup in call["flows"]:
        try:
            done.append(_cancel(call, lookup, body))
        except OutlastError as error:
            code = code or error.exit_code
            failed.append({"lookup": lookup, **error.as_dict()["error"]})
            if not call.json:
                note(f"{safe(lookup)}: {safe(error.message)}")
        else:
            if not call.json:
                say_stands(done[-1])
    if call.json:
        print_json({"flows": done, "errors": failed})
    return code


def _cancel(call: Call, lookup: str, body: dict[str, object]) -> Result:
    return call.client.post(flow_path(lookup, "cancel"), body, seconds=None)


def retry(call: Call) -> None:
    """Take it up again."""
    body = given(fromStep=call["from_step"])
    call.answer(call.client.post(flow_path(call["flow"], "retry"), body), say_stands)


def resume(call: Call) -> None:
    """Let it go on."""
    body = given(revision=call["revision"], state=object_of(call["state"], "--state"), step=call["step"])
    call.answer(call.client.post(flow_path(call["flow"], "resume"), body), say_stands)


def fork(call: Call) -> None:
    """Make another one of it, and print its id."""
    from outlast.surfaces.cli.flows.run import announce

    if call["from_step"] is None:
        raise BadInput("from which step? --from STEP", code="usage", hint=f"outlast flow show {call['flow']}")
    body = {"fromStep": call["from_step"]}
    call.answer(call.client.post(flow_path(call["flow"], "fork"), body), announce)


def say_stands(flow: Result) -> None:
    """Print one line about how a flow stands."""
    say(f"{flow['flowId']} {stands(flow)}, revision {flow['revision']}")
    sys.stdout.flush()
