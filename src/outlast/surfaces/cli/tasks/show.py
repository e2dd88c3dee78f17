"""``tasks show`` and ``explain``: everything about one task, and where a piece of work stands."""

from __future__ import annotations

from outlast.core.durations import format_size
from outlast.surfaces.cli.context import Call, task_path
from outlast.surfaces.cli.facts import details, fact, moment_fact, quoted, seconds
from outlast.surfaces.cli.output import DIM, STATUS_COLOURS, brief, colour, note, safe, say
from outlast.surfaces.cli.tasks.words import ended, is_open, percent, stands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

OWN_KEYS = "start:"
"""How the keys begin that outlast makes itself, to start the same thing once."""
FACTS = (
    ("label", "label"),
    ("title", "title"),
    ("command", "command"),
    ("in", "workdir"),
    ("runtime", "runtime"),
    ("requester", "requester"),
    ("conversation", "conversation"),
    ("parent", "parentId"),
    ("flow", "flowId"),
    ("node", "node"),
    ("session", "sessionId"),
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
    fact("task", task["taskId"])
    fact("status", colour(stands(task), STATUS_COLOURS.get(task["status"], "")), plain=False)
    if task.get("error") and str(task["error"]) not in ended(task):
        fact("error", task["error"])
    for name, field in FACTS:
        fact(name, task.get(field))
    if not str(task.get("dedupeKey") or "").startswith(OWN_KEYS):
        fact("dedupe", task.get("dedupeKey"))
    if percent(task) != "-" or task.get("progressMessage"):
        fact("progress", f"{percent(task)} {task.get('progressMessage') or ''}".strip())
    if (task.get("attemptsMax") or 1) > 1 or (task.get("attempt") or 0) > 1:
        fact("try", f"{task.get('attempt')} of {task.get('attemptsMax')}")
    fact("queue", f"{task.get('queue')}, priority {task.get('priority')}")
    fact("notify", f"{task.get('notify')}, {str(task.get('delivery')).replace('_', ' ')}")
    _usage(task.get("usage") or {})
    for name, field in MOMENTS:
        moment_fact(name, task.get(field))
    for name, value in details(task.get("detail") or {}):
        fact(brief(name, 40), value)
    _summary(task)
    for line in task.get("advice") or ():
        note(safe(line))


def _usage(usage: Result) -> None:
    if usage:
        cpu = f"{seconds(usage.get('userSeconds') or 0)} user, {seconds(usage.get('systemSeconds') or 0)} system"
        memory = usage.get("maxRssBytes")
        fact("used", cpu + (f", {format_size(memory)} at most" if memory else ""))


def _summary(task: Result) -> None:
    """Print the last lines of output that the record keeps, each made safe."""
    if str(task.get("summary") or "").strip("\n"):
        say(colour("the last lines:" if not is_open(task) else "so far:", DIM))
        quoted(task["summary"], last=True)


def explain(call: Call) -> None:
    """Print the five lines, and in them the one command that moves the work up a rung."""
    from outlast.client import quote

    found = call.read("explain", f"/v1/explain/{quote(call['task'])}", call["task"])
    call.answer(found, lambda answer: say("\n".join(safe(line) for line in answer["lines"])))
