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
        note(f"{count} tasks in {safe(target)}")


def _to_file(call: Call, target: str) -> int:
    """Write beside the file and put it in its place when it is complete; return how many tasks there were."""
    beside = f"{target}.part"
    telling = _Telling(call)
    count = 0
    try:
        # What was asked and printed is nobody else's business.
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            for task in _tasks(call):
                _write(file, task)
                count += 1
                telling.so_far(count)
        os.replace(beside, target)
    except OSError as error:
        raise Refused(f"cannot write {target}: {error.strerror}", code="cannot_write") from error
    finally:
        telling.done()
    return count


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

    def so_far(self, count: int) -> None:
        """Say it, five times a second at most."""
        now = time.monotonic()
        if self._shows and now - self._told_at >= TELL_SECONDS:
            self._told_at, self._told = now, True
            sys.stderr.write(f"\r{count} tasks")
            sys.stderr.flush()

    def done(self) -> None:
        """Take it away again."""
        if self._told:
            sys.stderr.write("\r\x1b[K")
