"""``tasks log``: the output of a task, which is that of its session; followed from try to try."""

from __future__ import annotations

from outlast.core.errors import NotFound
from outlast.surfaces.cli import log
from outlast.surfaces.cli.context import Call, session_path, task_path
from outlast.surfaces.cli.output import note
from outlast.surfaces.cli.tasks.news import News, steady
from outlast.surfaces.cli.tasks.words import is_open, is_turn, say_how, session_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]


AS_IT_IS = ("bytes", "offset", "limit", "stream")
"""Options that ask, as --raw does, for the output itself, which is the journal where the task is a turn of an agent."""


def run(call: Call) -> int:
    """Print a part of the output, and with --follow what comes after it, to the end of the last try.

    Of a turn of an agent that is what was said in it.
    """
    log.check(call)
    lookup = call["task"]
    as_it_is = call.json or call["raw"] or any(call[name] is not None for name in AS_IT_IS)
    if call["follow"] or not as_it_is:
        task = call.read("tasks.show", task_path(lookup), lookup)
        if is_turn(task) and not as_it_is:
            from outlast.surfaces.cli.agents.transcript import of_turn

            return of_turn(call, task, last=call["tail"])
        if call["follow"]:
            return _follow(call, task)
    if log.wants_octets(call):
        return log.octets(call, _session(call, lookup))
    call.answer(_read(call, lookup), log.show)
    return 0


def _read(call: Call, lookup: str) -> Result:
    return call.read("tasks.log", task_path(lookup, "log"), lookup, **log.query(call))


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


def _follow(call: Call, task: Result) -> int:
    """Follow session after session: a task that is tried again has one for each try."""
    if not is_open(task) and not call.json:
        # Nothing is left to follow, and of its output there may be nothing left but a summary.
        log.show(_read(call, task["taskId"]))
        say_how(task)
        return 0
    first = True
    for now, session in tries(call, task):
        task = now
        if session is not None:
            if not first:
                note(f"try {now.get('attempt')}: session {session}")
            first = False
            code = log.follow(call, session)
            if code:
                return code
    if not call.json:
        say_how(task)
    return 0


def tries(call: Call, task: Result) -> Iterator[tuple[Result, str | None]]:
    """Yield the task with each new session it has, waiting for the next; at last as it ended, with None."""
    sessions = _Sessions(call)
    while True:
        session = sessions.next(task)
        if session is not None:
            yield task, session
        elif not is_open(task):
            yield task, None
            return
        else:
            task = _news(call, task, sessions)


class _Sessions:
    """The sessions of a task, one after the other."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._given: str | None = None
        self._expected: str | None = None

    def next(self, task: Result) -> str | None:
        """The session to show next; None while there is none."""
        if not self.have(task):
            return None
        self._given = self._expected
        return self._given

    def have(self, task: Result) -> bool:
        """True when there is a session that was not shown yet. Its id is known before it is started."""
        # Between two tries a task has none: what is remembered is the one of a try that was over before we looked.
        self._expected = session_of(task) or self._expected
        if self._expected in (None, self._given):
            return False
        try:
            steady(self._call, session_path(str(self._expected)))
        except NotFound:
            return False
        return True


def _news(call: Call, task: Result, sessions: _Sessions) -> Result:
    """Wait until the task has a session that was not shown yet, or has ended."""
    with News(call) as news:
        for _ in news.each(task["taskId"]):
            task = steady(call, task_path(task["taskId"]))
            if not is_open(task) or sessions.have(task):
                return task
    raise AssertionError("news never end")
