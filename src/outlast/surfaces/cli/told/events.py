"""``conversations events``: what a conversation has yet to hear, and what comes."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.facts import quoted
from outlast.surfaces.cli.moments import local
from outlast.surfaces.cli.output import BOLD, DIM, brief, colour, note, print_json, say
from outlast.surfaces.cli.told.conversations import conversation_path
from outlast.surfaces.cli.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

PAGE = 100
TIMED_OUT = 124


def run(call: Call) -> int:
    """Print the events, and with --follow what comes; 124 when nothing came in time."""
    if call["follow"]:
        return _follow(call)
    if call["timeout"] is not None:
        raise BadInput("--timeout goes with --follow", code="usage")
    whole: Result = {}
    shown = 0
    for page in _pages(call, call["after"], call["limit"]):
        if call.json:
            whole = {**page, "events": [*whole.get("events", []), *page["events"]]}
        else:
            _print(page["events"])
        shown += len(page["events"])
        _ack(call, page["events"], quiet=True)
        if page.get("next") and call["limit"] and not call.json:
            note(f"more: --after {page['next']}")
    if call.json:
        print_json(whole)
    elif not shown:
        note("nothing waits" if not call["all"] else "no events")
    return 0


def _pages(call: Call, after: int | None, limit: int | None) -> Iterator[Result]:
    """Yield page after page of what is there; one page only when a limit is given."""
    key = call["key"]
    while True:
        query = given(after=after, limit=limit or PAGE, all=call["all"] or None)
        page = call.read("conversations.events", conversation_path(key, "events"), key, **query)
        yield page
        after = page.get("next")
        if not after or limit:
            return


def _print(events: list[Result]) -> None:
    for event in events:
        heard = ", consumed" if event.get("ackedAt") else ""
        later = ", for its next turn" if event.get("mode") == "next-heartbeat" else ""
        head = f"{event['eventId']}  {local(event.get('at'))}  {brief(event['kind'], 40)}{later}{heard}"
        say(colour(head, DIM if heard else BOLD))
        quoted(event["text"])
    sys.stdout.flush()


def _ack(call: Call, events: list[Result], *, quiet: bool = False) -> None:
    """Note that these, which were shown, are consumed."""
    if not call["ack"] or not events:
        return
    sys.stdout.flush()  # a reader that is gone has consumed nothing
    answer = call.client.post(conversation_path(call["key"], "ack"), {"upto": events[-1]["eventId"]})
    if not quiet and answer.get("waiting"):
        note(f"{answer['waiting']} more wait")


def _follow(call: Call) -> int:
    """Print what waits and then what comes, until the caller leaves, enough was shown, or nothing came in time."""
    left, after = call["limit"], call["after"]
    waiting = Waiting(call, conversation_path(call["key"], "events"), "events", call["timeout"])
    while left is None or left > 0:
        limit = PAGE if left is None else min(left, PAGE)
        events = waiting.next({"after": after, "limit": limit, "all": call["all"]})
        if not events:
            return TIMED_OUT
        after = events[-1]["eventId"]
        if call.json:
            for event in events:
                print_json(event)
            sys.stdout.flush()
        else:
            _print(events)
        _ack(call, events, quiet=True)
        left = None if left is None else left - len(events)
    return 0
