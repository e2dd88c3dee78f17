"""``conversations transcript`` and ``subagents log``: what was said, and what comes."""

from __future__ import annotations

import sys

from outlast.surfaces.cli.agents.entries import Shown
from outlast.surfaces.cli.context import Call, task_path
from outlast.surfaces.cli.flows.asking import Asking
from outlast.surfaces.cli.output import note, print_json, print_text, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

INTERRUPTED = 130
PAGE = 1000
"""Entries of one question."""


def path_of(conversation: str) -> str:
    """The path of a transcript."""
    from outlast.client import quote

    return f"/v1/conversations/{quote(conversation)}/transcript"


def of_conversation(call: Call) -> int:
    """Show the transcript of a conversation."""
    return _show(call, call["conversation"], limit=call["limit"], before=call["before"])


def of_task(call: Call) -> int:
    """Show the transcript of the conversation of a turn; where the turn left no word of its end, say how it ended."""
    from outlast.surfaces.cli.agents.listing import turn_path

    task = call.client.get(turn_path(call["task"]))["task"]
    return _show(call, task["conversation"], limit=PAGE, before=None, task=task["taskId"])


def of_turn(call: Call, task: Result, *, last: int | None = None) -> int:
    """Show what was said in one turn and nothing else, of that the ``last`` lines (None: all)."""
    from contextlib import redirect_stdout
    from io import StringIO

    id, key = task["taskId"], task["conversation"]
    pages = _back_to(call, key, task["createdAt"])
    mine = [entry for page in reversed(pages) for entry in page["entries"] if entry["taskId"] == id]
    shown = Shown()
    if last is None:
        ended = shown.show_all(mine)
    else:
        with redirect_stdout(StringIO()) as text:
            ended = shown.show_all(mine)
        print_text("\n".join(text.getvalue().rstrip("\n").split("\n")[-last:]))
    if not call["follow"]:
        return _finish(call, shown, None if ended else id, key, said=bool(mine))
    try:
        for entry in entries_after(call, key, pages[0]["after"] or 0, id):
            ended = (entry["taskId"] == id and shown.show(entry)) or ended
    except KeyboardInterrupt:
        shown.close()
        return INTERRUPTED
    return _finish(call, shown, None if ended else id, key)


def _back_to(call: Call, key: str, moment: str) -> list[Result]:
    """Return the pages of a transcript from its end back to a moment, the newest first."""
    pages = [call.read("conversations.transcript", path_of(key), key, limit=PAGE)]
    while pages[-1]["before"] is not None and pages[-1]["entries"][0]["at"] >= moment:
        before = pages[-1]["before"]
        pages.append(call.read("conversations.transcript", path_of(key), key, limit=PAGE, before=before))
    return pages


def _show(call: Call, key: str, *, limit: int | None, before: int | None, task: str | None = None) -> int:
    page = call.read("conversations.transcript", path_of(key), key, limit=limit, before=before)
    key = page["conversation"]
    shown = None if call.json else Shown()
    ended = False
    for entry in page["entries"]:
        ended = (_print(shown, entry) and entry["taskId"] == task) or ended
    if call["follow"]:
        try:
            for entry in entries_after(call, key, page["after"] or 0, task):
                ended = (_print(shown, entry) and entry["taskId"] == task) or ended
        except KeyboardInterrupt:
            _finish(call, shown, None, key)
            return INTERRUPTED
    elif page["before"] is not None:
        note(f"there is more before: --before {page['before']}")
    where = key if before is None else f"{key} before {before}"
    return _finish(call, shown, None if ended else task, where, said=bool(page["entries"]) or call["follow"])


def _finish(call: Call, shown: Shown | None, task: str | None, key: str, *, said: bool = True) -> int:
    """End the last line, and say what no entry says: that there is none, how a ``task`` ended that left no word."""
    if shown is not None:
        shown.close()
    if not said:
        note(f"nothing has been said in {safe(key)}")
    if task is not None:
        _say_how(call, task)
    return 0


def _say_how(call: Call, id: str) -> None:
    """Say how a turn ended that left no word of it."""
    task = call.read("tasks.show", task_path(id), id)
    if task["endedAt"] is not None:
        note(f"task {id} {task['status']}: {safe(task['error'] or task['cause'] or '')}")


def entries_after(call: Call, key: str, after: int, task: str | None = None) -> Iterator[Result]:
    """Yield entries as they come, however often the gateway is restarted; with a ``task``, to the end of that turn.

    An end need not be among the entries: a runner that dies, or never began, says nothing more.
    """
    asking = Asking(call, path_of(key), lambda answer: bool(answer["entries"] or answer["ended"]))
    of_turn = {} if task is None else {"task": task}
    while True:
        page = asking.ask({"after": after, "limit": 1000, **of_turn}, None)
        assert page is not None
        yield from page["entries"]
        if page["ended"]:
            return
        after = page["after"]


def _print(shown: Shown | None, entry: Result) -> bool:
    """Show an entry, as JSON where nothing else shows it; True for the end of a turn."""
    if shown is not None:
        return shown.show(entry)
    print_json(entry)
    sys.stdout.flush()
    return bool(entry["kind"] == "end")
