"""``flow log``: the history of a flow, and what is added to it."""

from __future__ import annotations

import sys

from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.facts import details
from outlast.surfaces.cli.flows.asking import Asking
from outlast.surfaces.cli.flows.words import flow_path
from outlast.surfaces.cli.moments import local
from outlast.surfaces.cli.output import STATUS_COLOURS, brief, colour, note, print_json, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

PAGE = 500


def run(call: Call) -> None:
    """Print the history, and with --follow what comes, to the end of the flow."""
    if call["follow"]:
        _follow(call)
        return
    found = _pages(call)
    if call.json:
        whole: Result = {}
        for page in found:
            whole = {**page, "events": whole.get("events", []) + page["events"]}
        print_json(whole)
        return
    shown = 0
    for page in found:
        shown += len(page["events"])
        for event in page["events"]:
            say(line(event))
        if page.get("next") and call["limit"]:
            note(f"there are more: the same with --after {page['next']}")
    if not shown:
        note("no events")


def _pages(call: Call) -> Iterator[Result]:
    """Yield page after page of a history; one page only when a limit is given."""
    lookup, after, limit = call["flow"], call["after"], call["limit"]
    while True:
        path = flow_path(lookup, "events")
        page = call.read("flow.events", path, lookup, **given(after=after, limit=limit or PAGE))
        yield page
        after = page.get("next")
        if not after or limit:
            return


def _follow(call: Call) -> None:
    asking = Asking(call, flow_path(call["flow"], "events"), lambda page: bool(page["events"] or page["ended"]))
    after, left = call["after"] or 0, call["limit"]
    while left is None or left > 0:
        page = asking.ask({"after": after, "limit": PAGE if left is None else min(PAGE, left)}, None)
        if page is None:
            return
        for event in page["events"]:
            after = event["eventId"]
            if call.json:
                print_json(event)
            else:
                say(line(event))
        sys.stdout.flush()
        left = None if left is None else left - len(page["events"])
        if page["ended"]:
            return


def line(event: Result) -> str:
    """One line: when, what happened, how the flow stands since, at which step, and the rest."""
    status = event.get("status")
    head = f"{local(event['at'])}  {brief(event['verb'], 20):<12}"
    stands = colour(f"{status or '':<10}", STATUS_COLOURS.get(str(status), ""))
    rest = [f"step {event['step']}"] if event.get("step") else []
    rest += [f"{name}: {value}" for name, value in details(event.get("data") or {})]
    return f"{head} {stands} {brief(', '.join(rest), 300)}".rstrip()
