"""``tasks export``: the ledger as JSON lines, page by page; memory does not grow with it."""

from __future__ import annotations

import json
import os
import sys
import time

from outlast.core.errors import Refused
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.output import note, print_json, safe
from outlast.surfaces.cli.tasks import history
from outlast.surfaces.cli.tasks.listing import PAGE, filters, pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

    Result = dict[str, Any]

TELL_SECONDS = 0.2


def run(call: Call) -> None:
    """Write every task that the filters leave, one a line."""
    target = call["output"]
    if target in (None, "-"):
        for task in _tasks(call):
            _write(sys.stdout, task)
        return
    count = _to_file(call, target)
    if call.json:
        print_json({"path": os.path.abspath(target), "tasks": count})
    else:
        note(f"{count} task{'s' if count != 1 else ''} in {safe(target)}")


def _to_file(call: Call, target: str) -> int:
    """Write the tasks to a file; return how many there were."""
    # Beside it first, so that half an export is never taken for a whole one; a device or pipe is written to itself.
    beside = target if os.path.exists(target) and not os.path.isfile(target) else f"{target}.part"
    telling = _Telling(call)
    try:
        # What was asked and printed is nobody else's business.
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            for task in _tasks(call):
                _write(file, task)
                telling.one_more()
        if beside != target:
            os.replace(beside, target)
    except OSError as error:
        raise Refused(f"cannot write {target}: {error.strerror}", code="cannot_write") from error
    finally:
        telling.done()
        if beside != target and os.path.exists(beside):
            os.unlink(beside)
    return telling.count


def _write(file: TextIO, task: Result) -> None:
    file.write(json.dumps(task, separators=(",", ":")) + "\n")


def _tasks(call: Call) -> Iterator[Result]:
    query = {**filters(call), "limit": PAGE}
    # The ledger tells the dismissed from the others; an export leaves neither out.
    for more in ({},) if call["dismissed"] else ({}, {"dismissed": True}):
        for page in pages(call, {**query, **more}):
            for task in page["tasks"]:
                yield _with_events(call, task) if call["events"] else task


def _with_events(call: Call, task: Result) -> Result:
    found = history.pages(call, task["taskId"])
    return {**task, "events": [event for page in found for event in page["events"]]}


class _Telling:
    """Shows on a terminal how far a long export is."""

    def __init__(self, call: Call) -> None:
        self._shows = sys.stderr.isatty() and not call.json
        self._told_at = time.monotonic()
        self._told = False
        self.count = 0

    def one_more(self) -> None:
        """Count a task, and say so five times a second at most."""
        self.count += 1
        now = time.monotonic()
        if self._shows and now - self._told_at >= TELL_SECONDS:
            self._told_at, self._told = now, True
            sys.stderr.write(f"\r{self.count} tasks")
            sys.stderr.flush()

    def done(self) -> None:
        """Take it away again."""
        if self._told:
            sys.stderr.write("\r\x1b[K")
