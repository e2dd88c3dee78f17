"""``flow show``: everything about one flow, or its steps as a graph."""

from __future__ import annotations

from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.facts import fact, moment_fact, quoted
from outlast.surfaces.cli.flows.listing import print_flows
from outlast.surfaces.cli.flows.words import flow_path, progress, stands, step_line
from outlast.surfaces.cli.moments import ahead
from outlast.surfaces.cli.output import DIM, STATUS_COLOURS, brief, colour, note, print_json, safe, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

FACTS = (
    ("label", "label"),
    ("mode", "mode"),
    ("program", "handler"),
    ("requester", "requester"),
    ("conversation", "conversation"),
    ("parent", "parentId"),
    ("task", "taskId"),
    ("schedule", "scheduleId"),
    ("node", "node"),
    ("worker", "worker"),
)
MOMENTS = (
    ("recorded", "createdAt"),
    ("not before", "notBeforeAt"),
    ("started", "startedAt"),
    ("ended", "endedAt"),
    ("deadline", "deadlineAt"),
    ("cancel", "cancelAskedAt"),
)
RESULT_SHOWN = 80
OURS = ("outlast:file",)
"""Handlers that mean something to outlast only."""


def run(call: Call) -> None:
    """Print everything about one flow, or draw it."""
    lookup = call["flow"]
    if call["graph"] is not None:
        _draw(call, lookup)
        return
    found = call.read("flow.show", flow_path(lookup), lookup, **given(limit=call["limit"]))
    call.answer(found, _print)


def _draw(call: Call, lookup: str) -> None:
    graph = call.read("flow.graph", flow_path(lookup, "graph"), lookup, format=call["graph"])
    if call.json or call["graph"] == "json":
        print_json(graph)
    else:
        for line in str(graph["text"]).splitlines():
            say(safe(line))


def _print(flow: Result) -> None:
    fact("flow", flow["flowId"])
    fact("name", flow["name"])
    fact("status", colour(stands(flow), STATUS_COLOURS.get(flow["status"], "")), plain=False)
    fact("error", flow.get("error"))
    if flow.get("goal") != flow["name"]:
        fact("goal", flow.get("goal"))
    fact("progress", f"{progress(flow)} steps")
    _waits(flow.get("waitsFor") or [])
    if flow["status"] in ("blocked", "failed", "lost"):
        fact("to go on", flow.get("followUp"))
    for name, field in FACTS:
        if flow.get(field) not in OURS:
            fact(name, flow.get(field))
    if (flow.get("attemptsMax") or 1) > 1 or (flow.get("attempt") or 0) > 1:
        fact("try", f"{flow.get('attempt')} of {flow.get('attemptsMax')}")
    if flow.get("concurrencyKey"):
        fact("key", f"{flow['concurrencyKey']}, at most {flow.get('concurrencyMax')} at once")
    fact("notify", f"{flow.get('notify')}, {str(flow.get('delivery')).replace('_', ' ')}")
    fact("revision", flow.get("revision"))
    for name, field in MOMENTS:
        moment_fact(name, flow.get(field))
    _values(flow)
    _steps(flow)
    _others(flow)


def _waits(waits: list[Result]) -> None:
    name = "waits"
    for one in waits:
        step = f"{brief(one['step'], 80)} " if one.get("step") else ""
        until = f", {ahead(one['until'])}" if one.get("until") else ""
        fact(name, f"{step}{brief(one['words'], 400)}{until}", plain=False)
        if one.get("command"):
            fact("", colour(f"  {brief(one['command'], 400)}", DIM), plain=False)
        name = ""


def _values(flow: Result) -> None:
    for name in ("state", "result"):
        value = flow.get(name)
        if value not in (None, {}, ""):
            say(colour(f"{name}:", DIM))
            quoted(_as_text(value))


def _as_text(value: Any) -> str:  # noqa: ANN401 — whatever JSON can hold
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False, indent=2)


def _steps(flow: Result) -> None:
    steps = flow.get("steps") or []
    if not steps:
        return
    say(colour("steps:", DIM))
    for step in steps:
        code = "" if step["status"] == "running" else STATUS_COLOURS.get(step["status"], "")
        say(f"  {colour(step_line(step), code)}{_came_to(step)}")
    if flow.get("moreSteps"):
        note(f"there are more steps: outlast flow show {flow['flowId']} --limit 1000")


def _came_to(step: Result) -> str:
    """The beginning of what a step came to; a command has more to say than fits here."""
    if step["kind"] == "run" or (step.get("result") is None and not step.get("resultCut")):
        return ""
    value = step.get("resultCut") or _as_text(step["result"])
    return colour(f"  = {brief(' '.join(value.split()), RESULT_SHOWN)}", DIM)


def _others(flow: Result) -> None:
    if flow.get("signals"):
        say(colour("signals nobody has asked for yet:", DIM))
        for signal in flow["signals"]:
            say(f"  {brief(signal['name'], 80)}  {brief(_as_text(signal['payload']), 200)}")
    in_steps = {step.get("taskId") for step in flow.get("steps") or ()}
    tasks = [task for task in flow.get("tasks") or () if task["taskId"] not in in_steps]
    if tasks:
        say(colour("tasks:", DIM))
        for task in tasks:
            say(f"  {task['taskId']}  {task['status']}  {brief(task.get('label') or '', 80)}".rstrip())
    if flow.get("children"):
        say(colour("flows it has started:", DIM))
        print_flows(flow["children"], [])
