"""``conversations events``: what a conversation has yet to hear, and what comes.

Following asks one question that waits in the gateway until there is news. A gateway that crashed is started again;
one that was stopped in order is waited for a little, because it may be restarting, and then missed.
"""

from __future__ import annotations

import sys
import time

from outlast.client import NotRunning
from outlast.client import with_query as addressed
from outlast.core.errors import BadInput, GatewayTrouble
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.facts import quoted
from outlast.surfaces.cli.moments import local
from outlast.surfaces.cli.output import BOLD, DIM, brief, colour, note, print_json, say
from outlast.surfaces.cli.patience import until_readable
from outlast.surfaces.cli.told.conversations import conversation_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Result = dict[str, Any]

PAGE = 100
WAIT_SECONDS = 600.0
"""One question waits at most this long in the gateway; then the next one goes on."""
EARLY_SECONDS = 0.05
ANSWER_SECONDS = 60.0
TRY_AGAIN_AFTER = (0.0, 0.1, 0.3, 1.0, 3.0)  # seconds, while nothing comes in between
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
    left = call["limit"]
    waiting = _Waiting(call)
    while left is None or left > 0:
        events = waiting.next(PAGE if left is None else min(left, PAGE))
        if not events:
            return TIMED_OUT
        if call.json:
            for event in events:
                print_json(event)
            sys.stdout.flush()
        else:
            _print(events)
        _ack(call, events, quiet=True)
        left = None if left is None else left - len(events)
    return 0


class _Waiting:
    """One question after the other, each behind the last event that was shown."""

    def __init__(self, call: Call) -> None:
        self._path = conversation_path(call["key"], "events")
        self._all = call["all"]
        self._patience = call["timeout"]
        self._client = call.new_client()
        self._patient = call.new_client(autostart=False)
        self.after: int | None = call["after"]

    def next(self, limit: int) -> list[Result]:
        """Wait for news and return them; nothing when the time is over. Raises GatewayTrouble without a gateway."""
        deadline = None if self._patience is None else time.monotonic() + self._patience
        while True:
            left = WAIT_SECONDS if deadline is None else min(WAIT_SECONDS, max(0.0, deadline - time.monotonic()))
            events = self._persist(limit, left)
            if events:
                self.after = events[-1]["eventId"]
                return events
            if deadline is not None and time.monotonic() >= deadline:
                return []

    def _persist(self, limit: int, seconds: float) -> list[Result]:
        """Ask until there is an answer: news, or that there were none all the time."""
        client = self._client
        trouble: GatewayTrouble | None = None
        for pause in TRY_AGAIN_AFTER:
            time.sleep(pause)
            began = time.monotonic()
            try:
                events = self._ask(client, limit, seconds)
            except NotRunning as error:
                trouble = error
                client = self._patient
                continue
            except GatewayTrouble as error:  # it went away in the middle: a new one is started
                trouble = error
                client.close()
                client = self._client
                continue
            if events or time.monotonic() - began >= seconds - EARLY_SECONDS:
                return events
            # Neither news nor the time over: it is stopping and lets its callers go.
            client.close()
            client = self._patient
        if trouble is None or isinstance(trouble, NotRunning):
            raise GatewayTrouble("the gateway was stopped", code="not_running", hint="outlast gateway start")
        raise trouble

    def _ask(self, client: Any, limit: int, seconds: float) -> list[Result]:  # noqa: ANN401
        query = {"after": self.after, "limit": limit, "all": self._all, "timeoutMs": round(seconds * 1000)}
        fd = client.begin("GET", addressed(self._path, query), seconds=ANSWER_SECONDS)
        if not until_readable(fd, (seconds + ANSWER_SECONDS) * 1000):
            raise GatewayTrouble(f"nothing came from the gateway for {seconds + ANSWER_SECONDS:g} s", code="too_slow")
        events: list[Result] = client.finish()["events"]
        return events
