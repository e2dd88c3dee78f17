"""``flow list``: a table of flows, page by page."""

from __future__ import annotations

import json
import sys
import time

from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.flows.words import HEADS, row
from outlast.surfaces.cli.moments import iso
from outlast.surfaces.cli.output import STATUS_COLOURS, note, say, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

PAGE = 500


def run(call: Call) -> None:
    """Print the flows that the filters leave, one page or all."""
    found = _pages(call)
    if not call["all"]:
        page = next(found)
        call.answer(page, lambda _: _print(page, []))
        if page.get("next") and not call.json:
            note(f"there are more: the same with --cursor {page['next']}")
    elif call.json:
        _print_all_json(found)
    else:
        widths: list[int] = []
        for page in found:
            if page["flows"] or not widths:
                _print(page, widths)


def _filters(call: Call) -> dict[str, object]:
    since = call["since"]
    if since is not None:
        kind, seconds = since
        since = iso(time.time() - seconds if kind == "ago" else seconds)
    return given(
        status=",".join(call["status"]) or None,
        mode=call["mode"],
        name=call["name"],
        owner=call["owner"],
        label=call["label"],
        conversation=call["conversation"],
        parent=call["parent"],
        since=since,
        limit=call["limit"] or (PAGE if call["all"] else None),
    )


def _pages(call: Call) -> Iterator[Result]:
    query, cursor = _filters(call), call["cursor"]
    while True:
        page = call.read("flow.list", "/v1/flows", None, **{**query, **given(cursor=cursor)})
        yield page
        cursor = page.get("next")
        if not cursor:
            return


def _print_all_json(found: Iterator[Result]) -> None:
    """Print one document, written as the pages come."""
    sys.stdout.write('{"flows":[')
    comma = ""
    for page in found:
        for flow in page["flows"]:
            sys.stdout.write(comma + json.dumps(flow, separators=(",", ":")))
            comma = ","
    say('],"next":null}')


def _print(page: Result, widths: list[int]) -> None:
    print_flows(page["flows"], widths)


def print_flows(flows: list[Result], widths: list[int]) -> None:
    """Print a table of flows."""
    if not flows:
        note("no flows")
        return
    colours = [STATUS_COLOURS.get(flow["status"], "") for flow in flows]
    say(table(HEADS, [row(flow) for flow in flows], colours, widths=widths))
