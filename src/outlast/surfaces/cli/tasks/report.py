"""``tasks report``: work that runs elsewhere says that it began, how far it is, and how it ended."""

from __future__ import annotations

import os

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given, task_path
from outlast.surfaces.cli.exec import check_text
from outlast.surfaces.cli.output import note, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

VARIABLE = "OUTLAST_TASK_ID"


def start(call: Call) -> None:
    """Put the work on record and print its id alone, for ``OUTLAST_TASK_ID=$(…)``."""
    body = given(
        label=call["label"],
        title=call["title"],
        command=call["text"],
        kind=call["kind"],
        dedupeKey=call["dedupe"],
        notify=call["notify"],
        parentId=call["parent"],
        conversation=call["conversation"],
        deadlineSeconds=call["deadline"],
        runId=call["run_id"],
        mirror=call["mirror"] or None,
    )
    check_text(body.values())
    call.answer(call.client.post("/v1/tasks/report", body), _print_started)


def _print_started(task: Result) -> None:
    say(task["taskId"])
    if task.get("existing"):
        note("a task with this key is open already")


def progress(call: Call) -> None:
    """Say how far the work is; silent when that was taken."""
    if call["percent"] is None and call["message"] is None:
        raise BadInput("neither a percentage nor a --message", code="usage", hint="outlast tasks report progress 40")
    _report(call, given(progress=call["percent"], message=call["message"]))


def done(call: Call) -> None:
    """Say how the work ended; silent when that was taken."""
    ended = given(status=call["status"], exitCode=call["exit_code"], error=call["error"], summary=call["summary"])
    _report(call, {"done": True, **ended})


def _report(call: Call, body: dict[str, object]) -> None:
    task = call["task"] or os.environ.get(VARIABLE)
    if not task:
        raise BadInput(f"which task? {VARIABLE} is not set", code="usage", hint=f"--task ID, or: export {VARIABLE}=ID")
    check_text(body.values())
    call.answer(call.client.post(task_path(task, "report"), body), _print_late)


def _print_late(task: Result) -> None:
    if task.get("late"):
        note(f"{task['taskId']} had {task['status']} already: the report is kept in its history")
