"""``flow create``, ``link``, ``wait``, ``finish``, ``fail`` and ``request-cancel``: what controllers do."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.exec import check_text
from outlast.surfaces.cli.flows.acts import say_stands
from outlast.surfaces.cli.flows.words import flow_path, json_of, object_of
from outlast.surfaces.cli.output import note, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]


def create(call: Call) -> None:
    """Put it on record and print its id alone, for ``FLOW=$(…)``."""
    body = given(
        name=call["name"],
        goal=call["goal"],
        state=object_of(call["state"], "--state"),
        step=call["step"],
        label=call["label"],
        conversation=call["conversation"],
        notify=call["notify"],
        dedupeKey=call["dedupe"],
        parentId=call["parent"],
    )
    check_text(body.values())
    call.answer(call.client.post("/v1/flows/managed", body), _print_created)


def _print_created(flow: Result) -> None:
    say(flow["flowId"])
    sys.stdout.flush()
    note(
        f"it is at revision {flow['revision']}"
        + (": one with this key is open already" if flow.get("existing") else "")
    )


def link(call: Call) -> None:
    """Make a task its child."""
    _move(call, "link", taskId=call["task"])


def wait(call: Call) -> None:
    """Say what it waits for, or why it cannot go on."""
    if (call["wait_for"] is None) == (call["blocked"] is None):
        raise BadInput("what for? either --for or --blocked", code="usage", hint="outlast flow wait --help")
    _move(
        call,
        "set-waiting",
        waitFor=call["wait_for"],
        until=call["until"],
        blocked=call["blocked"],
        state=object_of(call["state"], "--state"),
        step=call["step"],
    )


def finish(call: Call) -> None:
    """End it well."""
    result = None if call["result"] is None else json_of(call["result"], "--result")
    _move(call, "finish", result=result, state=object_of(call["state"], "--state"))


def fail(call: Call) -> None:
    """End it badly."""
    if call["error"] is None:
        raise BadInput("why? --error TEXT", code="usage", hint="outlast flow fail --help")
    _move(call, "fail", error=call["error"], state=object_of(call["state"], "--state"))


def request_cancel(call: Call) -> None:
    """Ask for its end."""
    _move(call, "request-cancel", reason=call["reason"])


def _move(call: Call, action: str, **fields: object) -> None:
    if call["revision"] is None:
        raise BadInput(
            "at which revision? --revision N", code="usage", hint=f"outlast flow show {call['flow']} names it"
        )
    body = {"revision": call["revision"], **given(**fields)}
    check_text(body.values())
    call.answer(call.client.post(flow_path(call["flow"], action), body), say_stands)
