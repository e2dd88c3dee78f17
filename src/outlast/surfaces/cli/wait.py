"""``process wait``: one call that waits in the gateway for one session or many."""

from __future__ import annotations

import time

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.output import note, print_json, safe, span
from outlast.surfaces.cli.process import say_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

DEFAULT_SECONDS, SECONDS_MAX = 600.0, 86_400.0
TIMED_OUT, CANNOT_HAPPEN = 124, 1
BREAKS_MAX = 5


def run(call: Call) -> int:
    """Wait; 0 when it happened, 124 when the time ran out, 1 when it can no longer happen."""
    if not call["sessions"]:
        raise BadInput("no session was given", code="usage", hint="outlast process list")
    seconds = DEFAULT_SECONDS if call["timeout"] is None else call["timeout"]
    if seconds > SECONDS_MAX:
        raise BadInput("--timeout: at most 24h", code="bad_input")
    result = _wait(call, seconds)
    if call.json:
        print_json(result)
    else:
        _print(call, result)
    if result["met"]:
        return 0
    return TIMED_OUT if result["timedOut"] else CANNOT_HAPPEN


def _wait(call: Call, seconds: float) -> Result:
    """Ask, and ask again with the time that is left when the gateway goes away in between."""
    deadline = time.monotonic() + seconds
    breaks = 0
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            result = call.client.post("/v1/wait", _request(call, left), seconds=left + 60)
        except GatewayTrouble:
            breaks += 1
            if breaks > BREAKS_MAX or not call.client.local:
                raise
            continue
        running = any(row["status"] == "running" for row in result["results"])
        # Neither met nor timed out, and still running: the gateway is stopping and lets its callers go.
        if result["met"] or result["timedOut"] or not running or breaks > BREAKS_MAX:
            return result
        breaks += 1
        call.client.close()


def _request(call: Call, seconds: float) -> dict[str, object]:
    conditions = [name for name in ("exit", "pattern", "port", "quiet") if call[name] not in (None, False)]
    wanted = {0: "exit", 1: conditions[0] if conditions else "exit"}.get(len(conditions), "any")
    return {
        "sessionIds": call["sessions"],
        "for": wanted,
        "timeoutMs": round(seconds * 1000),
        **given(
            pattern=call["pattern"],
            port=call["port"],
            quietSeconds=call["quiet"],
            since=call["since"],
            mode="all" if call["all"] else None,
        ),
    }


def _print(call: Call, result: Result) -> None:
    for row in result["results"]:
        matched = row.get("matched")
        if matched:
            note(f"{row['sessionId']} printed {safe(matched['text'])!r} at byte {matched['start']}")
        say_state(row)
    if result["timedOut"]:
        waited = DEFAULT_SECONDS if call["timeout"] is None else call["timeout"]
        note(f"not within {span(waited * 1000)}; to go on waiting: the same command again")
    elif not result["met"]:
        note("it can no longer happen: the session has ended")
