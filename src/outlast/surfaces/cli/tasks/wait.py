"""``tasks wait``: one call that waits in the gateway for the end of tasks, however often that is restarted."""

from __future__ import annotations

import time

from outlast.core.errors import GatewayTrouble
from outlast.surfaces.cli.context import Call, task_path
from outlast.surfaces.cli.output import note, print_json, span
from outlast.surfaces.cli.tasks.words import is_open, say_how

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

TIMED_OUT, SOME_DID_NOT = 124, 1
SLICE_SECONDS = 3_600.0
"""One call to the gateway waits at most this long; then the next one goes on."""
BREAKS_MAX, BREAKS_WITHIN_SECONDS = 5, 60.0


def run(call: Call) -> int:
    """Wait; 0 when all that were waited for succeeded, 1 when some did not, 124 when the time ran out."""
    tasks = [call.read("tasks.show", task_path(lookup), lookup) for lookup in call["tasks"]]
    result = until_ended(call, tasks, any_of_them=call["any"], seconds=call["timeout"])
    if call.json:
        print_json(result)
    else:
        _print(call, result)
    if not result["met"]:
        return TIMED_OUT if result["timedOut"] else SOME_DID_NOT
    good = all(task["status"] == "succeeded" for task in result["tasks"] if not is_open(task))
    return 0 if good else SOME_DID_NOT


def until_ended(call: Call, tasks: list[Result], *, any_of_them: bool = False, seconds: float | None = None) -> Result:
    """Wait for all of the tasks to end, or for any; ``seconds`` None: for as long as it takes."""
    met = any if any_of_them else all
    if met(not is_open(task) for task in tasks):
        return {"met": True, "timedOut": False, "tasks": tasks}
    # By id from here on: what a prefix or a conversation stands for may change while we wait.
    wanted = {"lookups": list(dict.fromkeys(task["taskId"] for task in tasks)), "mode": "any" if any_of_them else "all"}
    deadline = None if seconds is None else time.monotonic() + seconds
    breaks = _Breaks()
    while True:
        left = SLICE_SECONDS if deadline is None else min(SLICE_SECONDS, max(0.0, deadline - time.monotonic()))
        try:
            result = call.client.post("/v1/tasks/wait", {**wanted, "timeoutMs": round(left * 1000)}, seconds=left + 60)
        except GatewayTrouble:
            if not call.client.local or breaks.too_many():
                raise
            call.client.close()
            continue
        if result["met"] or (deadline is not None and time.monotonic() >= deadline):
            return result
        # Neither met nor timed out: the gateway is stopping and lets its callers go.
        if not result["timedOut"]:
            if breaks.too_many():
                return result
            call.client.close()


class _Breaks:
    """Counts how often the gateway went away: now and then is no trouble, again and again is."""

    def __init__(self) -> None:
        self._at: list[float] = []

    def too_many(self) -> bool:
        """Note one more; True when there were more than BREAKS_MAX within a minute."""
        now = time.monotonic()
        self._at = [at for at in self._at if now - at < BREAKS_WITHIN_SECONDS]
        self._at.append(now)
        return len(self._at) > BREAKS_MAX


def _print(call: Call, result: Result) -> None:
    for task in result["tasks"]:
        say_how(task)
    if result["timedOut"]:
        note(f"not within {span(call['timeout'] * 1000)}; to go on waiting: the same command again")
