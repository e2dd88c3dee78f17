"""``conversations transcript`` and ``subagents log``: what was said, and what comes."""

from __future__ import annotations

import sys

from outlast.surfaces.cli.agents.words import safe_text
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.flows.asking import Asking
from outlast.surfaces.cli.output import DIM, colour, note, print_json, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

INTERRUPTED = 130
SHOWN = {
    "prompt": "> ", "event": "* ", "thought": "~ ", "tool": "$ ", "plan": "# ", "permission": "? ", "steer": "> ",
    "note": "! ", "end": "= ",
}  # fmt: skip
"""What a line begins with that is not the agent's own text."""


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
    return _show(call, task["conversation"], limit=1000, before=None, task=task["taskId"])


def _show(call: Call, key: str, *, limit: int | None, before: int | None, task: str | None = None) -> int:
    page = call.read("conversations.transcript", path_of(key), key, limit=limit, before=before)
    ended = False
    for entry in page["entries"]:
        ended = (_print(call, entry) and entry["taskId"] == task) or ended
    if not call["follow"]:
        if not page["entries"]:
            note(f"nothing has been said in {safe(key)}")
        elif page["before"] is not None:
            note(f"there is more before: --before {page['before']}")
    else:
        try:
            for entry in entries_after(call, key, page["after"] or 0, task):
                ended = (_print(call, entry) and entry["taskId"] == task) or ended
        except KeyboardInterrupt:
            return INTERRUPTED
    if task is not None and not ended:
        _say_how(call, task)
    return 0


def _say_how(call: Call, id: str) -> None:
    """Say how a turn ended that left no word of it."""
    from outlast.surfaces.cli.agents.listing import turn_path

    task = call.client.get(turn_path(id))["task"]
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


def _print(call: Call, entry: Result) -> bool:
    """Show an entry; True for the end of a turn."""
    if call.json:
        print_json(entry)
    elif entry["kind"] == "text":
        sys.stdout.write(safe_text(entry["text"]))
    elif entry["text"]:
        sign = SHOWN.get(entry["kind"], "  ")
        lines = safe_text(entry["text"]).split("\n")
        shown = "\n".join(sign + line for line in lines)
        sys.stdout.write("\n" + colour(shown, DIM, sys.stdout) + "\n")
    sys.stdout.flush()
    return bool(entry["kind"] == "end")
