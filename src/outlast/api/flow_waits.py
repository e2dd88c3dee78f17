"""What holds a flow up, in words, from its record alone; and the command that gets it going again."""

from __future__ import annotations

import shlex
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
    if wait.get("kind") == "place":
        return f"a place: at most {flow.concurrency_max} of {flow.concurrency_key!r} at once"
    if flow.status is not FlowStatus.WAITING:
        return None
    steps = wait.get("steps")
    if isinstance(steps, list) and steps:
        named = [_of_step(step) for step in steps if isinstance(step, Mapping)]
        count = wait.get("count")
        more = (count if isinstance(count, int) else len(named)) - STEPS_NAMED
        return ", ".join(named[:STEPS_NAMED]) + (f" and {more} more" if more > 0 else "")
    return str(wait.get("for") or "news")


def _of_step(step: Mapping[str, object]) -> str:
    key, kind, ref = str(step.get("step") or ""), step.get("kind"), step.get("ref")
    match kind:
        case "sleep":
            return f"time ({key})"
        case "signal":
            return f"signal {signal_of(key)!r}"
        case "approval":
            return f"approval {ref}" if ref else f"an approval ({key})"
        case "run" | "agent":
            return f"task {ref} ({key})"
        case "flow":
            return f"flow {ref} ({key})"
        case "children":
            return "the end of its children"
        case _:
            return key


def why_blocked(flow: Flow) -> str:
    """Return what a blocked flow stumbled over; both names where its code and its record differ."""
    blocker = flow.blocker or {}
    match blocker.get("kind"):
        case "code_changed":
            recorded, asked = blocker.get("recorded"), blocker.get("asked")
            return f"its code was changed: on record is step {recorded!r}, the code now asks for {asked!r}"
        case "crashes":
            after = f" after step {blocker['after']!r}" if blocker.get("after") else ""
            return f"{blocker.get('crashes')} workers in a row died over it{after}"
        case "no_program":
            return f"there is no program {blocker.get('handler')!r}"
    return str(blocker.get("message") or flow.error or blocker.get("kind") or "nobody said why")


def way_on(flow: Flow) -> str:
    """Return the command that gets a blocked flow going again, once its trouble is seen to."""
    if flow.mode is FlowMode.MANAGED:
        return f"outlast flow resume {flow.id} --revision {flow.revision}"
    recorded = (flow.blocker or {}).get("recorded")
    if recorded and (flow.blocker or {}).get("kind") == "code_changed":
        return f"outlast flow retry {flow.id} --from {shlex.quote(str(recorded))}"
    return f"outlast flow resume {flow.id}"


def follow_up(flow: Flow) -> str | None:
    """Return the command that comes next for a flow as it stands."""
    if flow.status is FlowStatus.BLOCKED:
        return way_on(flow)
    if not flow.status.final:
        return f"outlast flow watch {flow.id}"
    again = flow.status in (FlowStatus.FAILED, FlowStatus.LOST) and flow.mode in (FlowMode.PROGRAM, FlowMode.FILE)
    return f"outlast flow retry {flow.id}" if again else None
