"""``cron show`` and ``cron next``: everything about one schedule, and when it fires."""

from __future__ import annotations

from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.cron.words import firing_line, print_ahead, schedule_path, status, what
from outlast.surfaces.cli.facts import fact, moment_fact, quoted
from outlast.surfaces.cli.output import DIM, brief, colour, note, safe, say, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]


def run(call: Call) -> None:
    """Print everything about one schedule."""
    name = call["schedule"]
    call.answer(call.read("cron.show", schedule_path(name), name), _print)


def _print(schedule: Result) -> None:
    seen = schedule.get("understood") or {}
    fact("schedule", schedule["name"])
    fact("status", status(schedule), plain=False)
    fact("when", schedule["words"])
    if schedule["kind"] == "cron":
        fact("cron", schedule["expr"])
    fact("zone", schedule["tz"])
    fact(
        "does",
        {"command": None, "flow": None, "event": "tell a conversation", "agent": "give an agent a turn"}.get(
            schedule["payload"], schedule["payload"]
        ),
    )
    fact("command", schedule.get("command"))
    fact("flow", what(schedule).removeprefix("flow ") if schedule["payload"] == "flow" else None, plain=False)
    fact("agent", schedule.get("agent"))
    fact("in", schedule.get("workdir"))
    fact("its turns in", schedule.get("to"))
    fact("conversation", schedule.get("conversation"))
    if schedule.get("event"):
        say(colour("event:", DIM))
        quoted(schedule["event"])
    if schedule.get("message"):
        say(colour("message:", DIM))
        quoted(schedule["message"])
    _policies(schedule)
    fact("requester", schedule["requester"])
    moment_fact("added", schedule["createdAt"])
    moment_fact("changed", schedule["updatedAt"] if schedule["updatedAt"] != schedule["createdAt"] else None)
    fact("revision", schedule["revision"])
    moment_fact("last", schedule.get("lastAt"))
    if schedule.get("failures"):
        fact("failures", f"{schedule['failures']} in a row")
    print_ahead(seen)
    if schedule.get("comment"):
        say(colour("comment:", DIM))
        quoted(schedule["comment"])
    for line in schedule.get("advice") or ():
        note(safe(line))


def _policies(schedule: Result) -> None:
    fact("misfire", schedule["misfire"])
    fact("overlap", schedule["overlap"])
    if schedule.get("jitterSeconds"):
        fact("jitter", f"up to {span(schedule['jitterSeconds'] * 1000)}")
    if schedule.get("retries"):
        fact("retries", schedule["retries"])
    if schedule.get("timeoutSeconds"):
        fact("timeout", span(schedule["timeoutSeconds"] * 1000))
    fact("deliver", f"{schedule['deliver']} {brief(schedule.get('webhook') or '')}".strip(), plain=False)
    if schedule.get("deleteAfterRun"):
        fact("afterwards", "it is forgotten after its last run")


def ahead(call: Call) -> None:
    """Print the next firings, one a line."""
    name = call["schedule"]
    found = call.read("cron.next", schedule_path(name, "next"), name, **given(count=call["count"]))
    call.answer(found, _print_next)


def _print_next(found: Result) -> None:
    for firing in found["next"]:
        say(firing_line(firing))
    if not found["next"]:
        note("it does not fire any more, or not now: see outlast cron show")
    note(f"{safe(found['words'])} ({safe(found['zone'])})")
    for line in found.get("notes") or ():
        note(brief(line, 400))
