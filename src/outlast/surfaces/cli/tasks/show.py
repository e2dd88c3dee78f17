"""``tasks show`` and ``explain``: everything about one task, and where a piece of work stands."""

from __future__ import annotations

from outlast.core.durations import format_size
from outlast.surfaces.cli.context import Call, task_path
from outlast.surfaces.cli.moments import local, since
from outlast.surfaces.cli.output import DIM, STATUS_COLOURS, brief, colour, note, safe, say, span
from outlast.surfaces.cli.tasks.words import is_open, percent, stands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

LONG = 4_000
LINES_MAX = 40
FACTS = (
    ("label", "label"),
    ("title", "title"),
    ("command", "command"),
    ("in", "workdir"),
    ("error", "error"),
    ("runtime", "runtime"),
    ("requester", "requester"),
    ("conversation", "conversation"),
    ("parent", "parentId"),
    ("flow", "flowId"),
    ("node", "node"),
    ("session", "sessionId"),
    ("dedupe", "dedupeKey"),
)
MOMENTS = (
    ("recorded", "createdAt"),
    ("not before", "notBeforeAt"),
    ("started", "startedAt"),
    ("last sign", "lastSeenAt"),
    ("ended", "endedAt"),
    ("deadline", "deadlineAt"),
    ("cancel", "cancelAskedAt"),
    ("dismissed", "dismissedAt"),
)


def run(call: Call) -> None:
    """Print everything about one task."""
    call.answer(call.read("tasks.show", task_path(call["task"]), call["task"]), _print)


def _print(task: Result) -> None:
    _fact("task", task["taskId"])
    _fact("status", colour(stands(task), STATUS_COLOURS.get(task["status"], "")), plain=False)
    for name, field in FACTS:
        _fact(name, task.get(field))
    if task.get("progress") is not None or task.get("progressMessage"):
        _fact("progress", f"{percent(task)} {task.get('progressMessage') or ''}".strip())
    if (task.get("attemptsMax") or 1) > 1 or (task.get("attempt") or 0) > 1:
        _fact("try", f"{task.get('attempt')} of {task.get('attemptsMax')}")
    _fact("queue", f"{task.get('queue')}, priority {task.get('priority')}")
    _fact("notify", f"{task.get('notify')}, {str(task.get('delivery')).replace('_', ' ')}")
    _usage(task.get("usage") or {})
    for name, field in MOMENTS:
        _moment(name, task.get(field))
    for name, value in (task.get("detail") or {}).items():
        _fact(brief(name, 40), value)
    _summary(task)
    for line in task.get("advice") or ():
        note(safe(line))


def _fact(name: str, value: object, *, plain: bool = True) -> None:
    if value not in (None, ""):
        say(f"{colour(f'{name:<13}', DIM)} {brief(value, LONG) if plain else value}")


def _moment(name: str, moment: str | None) -> None:
    if moment is not None:
        ago = since(moment)
        _fact(name, local(moment) + (f" ({span(ago)} ago)" if ago else ""))


def _usage(usage: Result) -> None:
    if usage:
        cpu = f"{usage.get('userSeconds') or 0:g} s user, {usage.get('systemSeconds') or 0:g} s system"
        memory = usage.get("maxRssBytes")
        _fact("used", cpu + (f", {format_size(memory)} at most" if memory else ""))


def _summary(task: Result) -> None:
    """Print the last lines of output that the record keeps, each made safe."""
    lines = str(task.get("summary") or "").rstrip("\n").split("\n")[-LINES_MAX:]
    if lines != [""]:
        say(colour("the last lines:" if not is_open(task) else "so far:", DIM))
        for line in lines:
            say(f"  {brief(line, LONG)}")


def explain(call: Call) -> None:
    """Print the five lines, and in them the one command that moves the work up a rung."""
    from outlast.client import quote

    found = call.read("explain", f"/v1/explain/{quote(call['task'])}", call["task"])
    call.answer(found, lambda answer: say("\n".join(safe(line) for line in answer["lines"])))
