"""Go along with a task to its end: the output of every try byte for byte as it comes."""

from __future__ import annotations

from outlast.core.errors import GatewayTrouble, NotFound
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.output import note
from outlast.surfaces.cli.tasks.log import tries
from outlast.surfaces.cli.tasks.wait import until_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

DAY_MS = 86_400_000


def along(call: Call, task: Result) -> Result:
    """Show the output and return the task as it ended. Raises Left when the caller leaves; the task goes on."""
    from outlast.surfaces.cli.follow import Follower

    watcher = _Watcher(call, task)
    tried = 0
    for now, session in tries(call, task):
        if session is None:
            break
        tried += 1
        if tried > 1:
            note(f"try {now.get('attempt')}: session {session}")
        follower = Follower(call, session, 0)
        follower.interrupt_leaves = True
        try:
            follower.run()
        except NotFound:  # it has ended, and its output is cleared away already
            continue
    return watcher.ended()


class _Watcher:
    """A wait for the task that is open all the time: whoever sees the end by it is not told of it again."""

    def __init__(self, call: Call, task: Result) -> None:
        self._call = call
        self._task = task
        self._client = call.new_client()
        body = {"lookups": [task["taskId"]], "mode": "all", "timeoutMs": DAY_MS}
        try:
            self._client.begin("POST", "/v1/tasks/wait", body, seconds=None)
        except GatewayTrouble:
            self._client.close()

    def ended(self) -> Result:
        """Return the task, which has ended; asks again where the gateway went away meanwhile."""
        try:
            result = self._client.finish()
        except GatewayTrouble:
            result = {"met": False}
        if not result["met"]:
            self._client.close()
            result = until_ended(self._call, [self._task])
        [task] = result["tasks"]
        return dict(task)
