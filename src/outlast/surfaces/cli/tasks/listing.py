"""``tasks list`` and ``tasks children``: tables of tasks, page by page."""

from __future__ import annotations

import json
import sys
import time

from outlast.surfaces.cli.context import Call, given, task_path
from outlast.surfaces.cli.moments import iso
from outlast.surfaces.cli.output import STATUS_COLOURS, note, print_json, say, table
from outlast.surfaces.cli.tasks.words import HEADS, row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

PAGE = 500


def filters(call: Call) -> dict[str, object]:
    """The query that the filter options of a line mean."""
    since = call["since"]
    if since is not None:
        kind, seconds = since
        since = iso(time.time() - seconds if kind == "ago" else seconds)
    return given(
        status=",".join(call["status"]) or None,
        runtime=call["runtime"],
        owner=call["owner"],
        label=call["label"],
        conversation=call["conversation"],
        flow=call["flow"],
        search=call["search"],
        since=since,
        dismissed=call["dismissed"] or None,
    )


def pages(call: Call, query: dict[str, object], cursor: str | None = None) -> Iterator[Result]:
    """Yield page after page of what a query finds; at most one is held."""
    while True:
        page = call.read("tasks.list", "/v1/tasks", None, **{**query, **given(cursor=cursor)})
        yield page
        cursor = page.get("next")
        if not cursor:
            return


def run(call: Call) -> None:
    """Print the tasks that the filters leave, one page or all."""
    limit = call["limit"] or (PAGE if call["all"] else None)
    found = pages(call, {**filters(call), **given(limit=limit)}, call["cursor"])
    if not call["all"]:
        page = next(found)
        call.answer(page, lambda _: _print(page, []))
        if page.get("next") and not call.json:
            asked = "more:" if call["limit"] else "there are more: the same with"
            note(f"{asked} --cursor {page['next']}")
    elif call.json:
        _print_all_json(found)
    else:
        _print_all(found)


def _print_all(found: Iterator[Result]) -> None:
    widths: list[int] = []
    for page in found:
        if page["tasks"] or not widths:
            _print(page, widths)


def _print_all_json(found: Iterator[Result]) -> None:
    """Print one document, written as the pages come: a long ledger is never held whole."""
    sys.stdout.write('{"tasks":[')
    comma = ""
    for page in found:
        for task in page["tasks"]:
            sys.stdout.write(comma + json.dumps(task, separators=(",", ":")))
            comma = ","
    say('],"next":null}')


def children(call: Call) -> None:
    """Print the tasks that belong to one."""
    page = call.read("tasks.children", task_path(call["task"], "children"), call["task"])
    if call.json:
        print_json(page)
    else:
        _print(page, [])


def _print(page: Result, widths: list[int]) -> None:
    tasks = page["tasks"]
    if not tasks:
        note("no tasks")
        return
    colours = [STATUS_COLOURS.get(task["status"], "") for task in tasks]
    say(table(HEADS, [row(task) for task in tasks], colours, widths=widths))
