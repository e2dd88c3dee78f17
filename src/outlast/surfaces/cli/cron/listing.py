"""``cron list``: a table of schedules, page by page."""

from __future__ import annotations

from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.cron.words import rule, what
from outlast.surfaces.cli.moments import ahead, since
from outlast.surfaces.cli.output import STATUS_COLOURS, note, print_json, say, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

PAGE = 500
HEADS = ("NAME", "STATUS", "NEXT", "LAST", "WHEN", "WHAT")


def run(call: Call) -> None:
    """Print the schedules, one page or all."""
    found = _pages(call)
    if not call["all"]:
        page = next(found)
        call.answer(page, lambda _: _print(page, []))
        if page.get("next") and not call.json:
            note(f"more: --after {page['next']}, or --all")
    elif call.json:
        print_json({"schedules": [row for page in found for row in page["schedules"]], "next": None})
    else:
        widths: list[int] = []
        for page in found:
            if page["schedules"] or not widths:
                _print(page, widths)


def _pages(call: Call) -> Iterator[Result]:
    after = call["after"]
    while True:
        query = given(limit=call["limit"] or (PAGE if call["all"] else None), after=after, owner=call["owner"])
        page = call.read("cron.list", "/v1/cron", None, **query)
        yield page
        after = page.get("next")
        if not after:
            return


def _print(page: Result, widths: list[int]) -> None:
    schedules = page["schedules"]
    if not schedules:
        note("no schedules")
        return
    colours = [STATUS_COLOURS.get(row["status"], "") if row["status"] != "active" else "" for row in schedules]
    say(table(HEADS, [_row(row) for row in schedules], colours, widths=widths))


def _row(schedule: Result) -> tuple[str, ...]:
    last = since(schedule.get("lastAt"))
    return (
        schedule["name"],
        schedule["status"],
        ahead(schedule.get("nextFireAt")),
        "-" if last is None else f"{span(last)} ago",
        rule(schedule),
        what(schedule),
    )
