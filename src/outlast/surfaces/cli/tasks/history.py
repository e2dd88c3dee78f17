"""``tasks events``: the history of a task, and what is added to it."""

from __future__ import annotations

import sys

from outlast.surfaces.cli.context import Call, given, task_path
from outlast.surfaces.cli.facts import details
from outlast.surfaces.cli.moments import local
from outlast.surfaces.cli.output import STATUS_COLOURS, brief, colour, note, print_json, say
from outlast.surfaces.cli.tasks.words import OPEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

PAGE = 500


def pages(call: Call, lookup: str, after: int | None = None, limit: int | None = None) -> Iterator[Result]:
    """Yield page after page of a history; one page only when a limit is given."""
    while True:
        path = task_path(lookup, "events")
        page = call.read("tasks.events", path, lookup, **given(after=after, limit=limit or PAGE))
        yield page
        after = page.get("next")
        if not after or limit:
            return


def run(call: Call) -> None:
    """Print the history, and with --follow what comes, to the end of the task."""
    found = pages(call, call["task"], call["after"], call["limit"])
    if call["follow"]:
        _follow(call, found)
    elif call.json:
        _print_json(found)
    else:
        shown = 0
        for page in found:
            shown += len(page["events"])
            for event in page["events"]:
                say(line(event))
            if page.get("next") and call["limit"]:
                note(f"there are more: the same with --after {page['next']}")
        if not shown:
            note("no events")


def _print_json(found: Iterator[Result]) -> None:
    whole: Result = {}
    for page in found:
        events = whole.get("events", [])
        whole = {**page, "events": events + page["events"]}
    print_json(whole)


def line(event: Result) -> str:
    """One line: when, what happened, how the task stands since, why, and the rest."""
    status = event.get("status")
    head = f"{local(event['at'])}  {brief(event['verb'], 20):<12}"
    stands = colour(f"{status or '':<10}", STATUS_COLOURS.get(str(status), ""))
    rest = [str(event["cause"])] if event.get("cause") else []
    rest += [f"{name}: {value}" for name, value in details(event.get("data") or {})]
    return f"{head} {stands} {brief(', '.join(rest), 300)}".rstrip()


def _follow(call: Call, found: Iterator[Result]) -> None:
    from outlast.surfaces.cli.tasks.news import News

    show = _Show(call)
    task_id = None
    for page in found:
        task_id = page["taskId"]
        show.all(page["events"])
    if task_id is None or show.ended:
        return
    with News(call, None if show.last is None else str(show.last)) as news:
        for event in news.each(task_id):
            # Listening has (again) begun: what came before it is read, so that nothing is left out.
            new = [event] if event else [each for page in pages(call, task_id, show.last) for each in page["events"]]
            show.all(new)
            if show.ended:
                return


class _Show:
    """Prints events once, in order, and remembers whether the task has ended."""

    def __init__(self, call: Call) -> None:
        self._json = call.json
        self.last: int | None = call["after"]
        self.ended = False

    def all(self, events: list[Result]) -> None:
        """Print what was not printed yet."""
        for event in events:
            if self.last is not None and event["eventId"] <= self.last:
                continue
            self.last = event["eventId"]
            if event.get("status"):
                self.ended = event["status"] not in OPEN
            if self._json:
                print_json(event)
            else:
                say(line(event))
        sys.stdout.flush()
