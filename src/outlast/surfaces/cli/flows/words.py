"""What a flow looks like in words: one row of a table, one phrase, the exit code that fits."""

from __future__ import annotations

import json

from outlast.core.errors import BadInput
from outlast.surfaces.cli.moments import ahead, since
from outlast.surfaces.cli.output import brief, note, print_json, print_text, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

ENDS = ("succeeded", "failed", "cancelled", "lost")
FAILED, BLOCKED, TIMED_OUT, UNKNOWN = 1, 4, 124, 125
HEADS = ("FLOW", "STATUS", "AGE", "TIME", "DONE", "WHAT")


def flow_path(flow: str, action: str = "") -> str:
    """The path of a flow, or of one of its actions."""
    from outlast.client import quote

    return f"/v1/flows/{quote(flow)}{'/' + action if action else ''}"


def has_ended(flow: Result) -> bool:
    """True when nothing more comes of it."""
    return flow["status"] in ENDS


def progress(flow: Result) -> str:
    """How many steps are done, of how many that are known: ``3/7``, ``3``."""
    seen = flow.get("progress") or {}
    known = seen.get("known")
    return f"{seen.get('done', 0)}" + (f"/{known}" if known is not None else "")


def what(flow: Result) -> str:
    """Name, label, goal, and what holds it up, on one safe line of bounded length."""
    name = brief(flow["name"], 60)
    label = f" [{brief(flow['label'], 60)}]" if flow.get("label") else ""
    goal = f": {brief(flow['goal'], 100)}" if flow.get("goal") and flow["goal"] != flow["name"] else ""
    held = f" ({brief(flow['heldUp'], 100)})" if flow.get("heldUp") else ""
    return name + label + goal + held


def row(flow: Result) -> tuple[str, ...]:
    """The cells of a listing."""
    return (
        flow["flowId"],
        flow["status"],
        span(since(flow.get("createdAt"))),
        span(flow.get("durationMs")),
        progress(flow),
        what(flow),
    )


def stands(flow: Result) -> str:
    """One phrase about how a flow stands: ``waiting for 3 s: signal 'go'``, ``failed: no route after 12 s``."""
    status = str(flow["status"])
    if status == "queued":
        later = f", not before {flow['notBeforeAt']}" if flow.get("notBeforeAt") else ""
        held = f": {brief(flow['heldUp'])}" if flow.get("heldUp") else ""
        return f"queued for {span(since(flow.get('createdAt')))}{held}{later}"
    asked = ", asked to end" if flow.get("cancelAskedAt") and not has_ended(flow) else ""
    if status in ("running", "waiting", "blocked"):
        held = f": {brief(flow['heldUp'], 300)}" if flow.get("heldUp") else ""
        return f"{status} since {span(since(flow.get('updatedAt')))}{held}{asked}"
    cause = flow.get("cause")
    why = f": {cause}" if cause and cause != "error" else ""
    spent = f" after {span(flow['durationMs'])}" if flow.get("durationMs") is not None else ""
    return f"{status}{why}{spent}"


def say_how(flow: Result) -> None:
    """Print one line on standard error about how a flow stands, and those about what went wrong."""
    note(f"{flow['flowId']} {stands(flow)}")
    if flow.get("error"):
        note(brief(flow["error"], 500))
    if flow.get("followUp") and (flow["status"] in ("blocked", "failed", "lost")):
        note(f"to go on: {brief(flow['followUp'])}")


def print_result(value: Any) -> None:  # noqa: ANN401 — whatever JSON can hold
    """Print the result of a flow: text as it is, everything else as JSON; nothing for nothing."""
    if isinstance(value, str):
        print_text(value)
    elif value is not None:
        print_json(value)


def flow_exit_code(flow: Result) -> int:
    """The exit code that fits a flow which has ended, or is blocked."""
    if flow["status"] == "succeeded":
        return 0
    if flow["status"] == "failed":
        return TIMED_OUT if flow.get("cause") == "deadline" else FAILED
    return BLOCKED if flow["status"] == "blocked" else UNKNOWN


def step_line(step: Result) -> str:
    """A step on one line: ``build  run  succeeded  12 s  task t0…``."""
    spent = span(step.get("durationMs"))
    tries = f", try {step['attempt']}" if (step.get("attempt") or 0) > 1 else ""
    ref = step.get("taskId") or step.get("childId") or step.get("approvalId")
    due = f", until {ahead(step['dueAt'])}" if step.get("dueAt") else ""
    error = f": {brief(step['error'], 200)}" if step.get("error") else ""
    about = f"  {brief(ref, 40)}" if ref else ""
    return f"{brief(step['key'], 80)}  {step['kind']} {step['status']} {spent}{tries}{due}{error}{about}"


def json_of(words: str, option: str) -> Any:  # noqa: ANN401 — whatever JSON can hold
    """Read the JSON of an option. Raises BadInput: text has to be in quotes of its own."""
    try:
        return json.loads(words)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{option}: not JSON: {error}", code="bad_json", hint="""text is '"in quotes"', an object '{"a": 1}'"""
        ) from error


def object_of(words: str | None, option: str) -> dict[str, Any] | None:
    """Read the JSON object of an option, where it was given."""
    if words is None:
        return None
    value = json_of(words, option)
    if not isinstance(value, dict):
        raise BadInput(f"{option}: must be a JSON object", code="bad_json")
    return value
