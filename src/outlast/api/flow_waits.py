"""What holds a flow up, in words, from its record alone; and the command that gets it going again."""

from __future__ import annotations

from collections.abc import Mapping

from outlast.core.flow import Flow, FlowMode, FlowStatus

STEPS_NAMED = 3


def signal_of(key: str) -> str:
    """Return the name a step waits for: its key without the number of its occurrence."""
    return key.partition("#")[0]


def held_up(flow: Flow) -> str | None:
    """Return in a few words what a live flow waits for or stumbled over; None while it works."""
    if flow.status is FlowStatus.BLOCKED:
        return why_blocked(flow)
    wait = flow.wait or {}
    if wait.get("for") == "place":
        return f"a place: at most {flow.concurrency_max} of {flow.concurrency_key!r} at once"
    if flow.status is not FlowStatus.WAITING:
        return None
    steps = wait.get("steps")
    if wait.get("for") == "several" and isinstance(steps, list):
        named = [_of_step(step) for step in steps if isinstance(step, Mapping)]
        count = wait.get("count")
        more = (count if isinstance(count, int) else len(named)) - STEPS_NAMED
        return ", ".join(named[:STEPS_NAMED]) + (f" and {more} more" if more > 0 else "")
    return _of_step(wait)


def _of_step(wait: Mapping[str, object]) -> str:
    what, step, ref = wait.get("for"), str(wait.get("step") or ""), wait.get("ref")
    match what:
        case "sleep":
            return f"time ({step})"
        case "signal":
            return f"signal {str(wait.get('name') or signal_of(step))!r}"
        case "approval" | "task" | "flow" if ref:
            return f"{what} {ref} ({step})"
        case "retry":
            return f"another try of {step}"
        case "children":
            return "the end of its children"
    return str(what or "news")


def why_blocked(flow: Flow) -> str:
    """Return what a blocked flow stumbled over."""
    blocker = flow.blocker or {}
    return str(blocker.get("message") or flow.error or blocker.get("kind") or "nobody said why")


def way_on(flow: Flow) -> str:
    """Return the command that gets a blocked flow going again, once its trouble is seen to."""
    if flow.mode is FlowMode.MANAGED:
        return f"outlast flow resume {flow.id} --revision {flow.revision}"
    named = (flow.blocker or {}).get("next")
    return named if isinstance(named, str) and named else f"outlast flow resume {flow.id}"


def follow_up(flow: Flow) -> str | None:
    """Return the command that comes next for a flow as it stands."""
    if flow.status is FlowStatus.BLOCKED:
        return way_on(flow)
    if not flow.status.final:
        return f"outlast flow watch {flow.id}"
    again = flow.status in (FlowStatus.FAILED, FlowStatus.LOST) and flow.mode in (FlowMode.PROGRAM, FlowMode.FILE)
    return f"outlast flow retry {flow.id}" if again else None
