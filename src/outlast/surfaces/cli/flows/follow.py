"""Stay with a flow to its end: one call that waits in the gateway for the next change, and the steps it brought."""

from __future__ import annotations

import sys
import time

from outlast.surfaces.cli.flows.asking import Asking
from outlast.surfaces.cli.flows.words import (
    TIMED_OUT,
    flow_exit_code,
    flow_path,
    has_ended,
    print_result,
    say_how,
    step_line,
)
from outlast.surfaces.cli.output import DIM, STATUS_COLOURS, brief, colour, note, print_json
from outlast.surfaces.cli.signals import Left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from outlast.surfaces.cli.context import Call

    Result = dict[str, Any]

INTERRUPTED = 130
LIVE = ("queued", "running")


def stay(call: Call, flow: Result, *, seconds: float | None = None, changes: bool = False) -> int:
    """Show what a flow does until it ends or is blocked; return the exit code that fits.

    With ``changes`` every change is a line of JSON; else the result is all there is on standard output.
    """
    flow_id = flow["flowId"]
    show = _Show(call, changes=changes)
    show.begin(flow)
    last: Result = {"flow": flow}
    try:
        for seen in changes_of(call, flow_id, seconds):
            show.take(seen)
            last = seen
            if has_ended(seen["flow"]) or seen["flow"]["status"] == "blocked":
                break
    except (KeyboardInterrupt, Left) as left:
        why, code = (str(left), left.code) if isinstance(left, Left) else ("interrupted", INTERRUPTED)
        note(f"{why}: flow {flow_id} goes on; back to it: outlast flow watch {flow_id}")
        return code
    show.end(last["flow"])
    if not has_ended(last["flow"]) and last["flow"]["status"] != "blocked":
        note(f"flow {flow_id} has not ended; to go on watching: the same command again")
        return TIMED_OUT
    return flow_exit_code(last["flow"])


def changes_of(call: Call, flow_id: str, seconds: float | None) -> Iterator[Result]:
    """Yield how a flow stands, now and at each change, however often the gateway is restarted meanwhile."""
    deadline = None if seconds is None else time.monotonic() + seconds
    mark: str | None = None
    after = -1
    asking = Asking(call, flow_path(flow_id, "watch"), lambda answer: bool(answer["mark"] != mark))
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        seen = asking.ask({"mark": mark, "after": after}, left)
        if seen is None:
            return
        mark, after = seen["mark"], seen["after"]
        yield seen


class _Show:
    """Prints each step once as it begins to take time, and once as it ends."""

    def __init__(self, call: Call, *, changes: bool) -> None:
        self._json = call.json
        self._changes = changes
        self._steps = sys.stderr.isatty() and not call.json
        self._told: set[tuple[str, str, int]] = set()
        self._asked: set[str] = set()

    def begin(self, flow: Result) -> None:
        """Name the flow, so that it can be found again."""
        if not self._json:
            note(f"flow {flow['flowId']}")
            if flow.get("existing"):
                note("a flow with this key is on record already and has not ended: this is it")

    def take(self, seen: Result) -> None:
        """Take in one change."""
        if self._changes:
            print_json(seen)
            sys.stdout.flush()
        if self._json:
            return
        for step in seen["steps"] if self._steps else ():
            known = (step["key"], step["status"], step["attempt"])
            if known not in self._told:
                self._told.add(known)
                self._line(step)
        if seen["flow"]["status"] == "queued":
            self._held(seen["waitsFor"])
        for asked in seen["approvals"]:
            if asked["approvalId"] not in self._asked:
                self._asked.add(asked["approvalId"])
                note(f"waits for an answer: {brief(asked['prompt'], 300)}")
                note(f"  {asked['approve']}   (or: {asked['reject']})")

    def _held(self, waits: list[Result]) -> None:
        """Say once what keeps a flow from being begun, where somebody can do something about it."""
        for one in waits:
            if one.get("command") and one["words"] not in self._asked:
                self._asked.add(one["words"])
                note(f"{brief(one['words'], 500)}")
                note(f"  {brief(one['command'], 300)}")

    def _line(self, step: Result) -> None:
        code = DIM if step["status"] in LIVE else STATUS_COLOURS.get(step["status"], "")
        sys.stderr.write(f"  {colour(step_line(step), code, sys.stderr)}\n")
        sys.stderr.flush()

    def end(self, flow: Result) -> None:
        """Say how it ended, and give its result."""
        if self._json:
            if not self._changes:
                print_json(flow)
            return
        if flow["status"] != "succeeded" or self._steps:
            say_how(flow)
        if flow["status"] == "succeeded":
            print_result(flow.get("result"))
