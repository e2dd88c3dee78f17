"""``tasks log``: the output of a task, which is that of its session; followed from try to try."""

from __future__ import annotations

from outlast.core.errors import NotFound
from outlast.surfaces.cli import log
from outlast.surfaces.cli.context import Call, task_path
from outlast.surfaces.cli.output import note
from outlast.surfaces.cli.tasks.words import is_open, say_how, session_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]


def run(call: Call) -> int:
    """Print a part of the output, and with --follow what comes after it, to the end of the last try."""
    log.check(call)
    lookup = call["task"]
    if call["follow"] and (code := _follow(call)) is not None:
        return code
    if log.wants_octets(call):
        return log.octets(call, _session(call, lookup))
    result = call.read("tasks.log", task_path(lookup, "log"), lookup, **log.query(call))
    call.answer(result, log.show)
    return 0


def _session(call: Call, lookup: str) -> str:
    task = call.read("tasks.show", task_path(lookup), lookup)
    session = session_of(task)
    if session is None:
        raise NotFound(
            f"task {task['taskId']} has no session, so there is no output of it",
            code="no_session",
            hint=f"outlast tasks show {task['taskId']}",
        )
    return session


def _follow(call: Call) -> int | None:
    """Follow session after session: a task that is tried again has one for each try.

    None for a task that has ended: there is nothing to follow, and its output may be gone but for a summary.
    """
    task = call.read("tasks.show", task_path(call["task"]), call["task"])
    if not is_open(task) and not call.json:
        return None
    followed: str | None = None
    while True:
        session = session_of(task)
        if session and session != followed:
            if followed is not None:
                note(f"try {task.get('attempt')}: session {session}")
            code = log.follow(call, session)
            if code:
                return code
            followed = session
        elif not is_open(task):
            break
        task = _news(call, task, followed)
    if followed is None:
        _session(call, task["taskId"])
    if not call.json:
        say_how(task)
    return 0


def _news(call: Call, task: Result, followed: str | None) -> Result:
    """Wait until the task has a session that was not shown yet, or has ended."""
    from outlast.surfaces.cli.tasks.news import News

    path = task_path(task["taskId"])
    with News(call) as news:
        for _ in news.each(task["taskId"]):
            task = call.client.get(path)
            if not is_open(task) or session_of(task) not in (None, followed):
                break
    return task
