"""What a schedule looks like in words: its rule, what it does, when it fires next."""

from __future__ import annotations

from outlast.surfaces.cli.facts import fact
from outlast.surfaces.cli.moments import ahead, epoch
from outlast.surfaces.cli.output import STATUS_COLOURS, brief, colour, say, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

NEXT = "next"


def schedule_path(name: str, action: str = "") -> str:
    """The path of a schedule, or of one of its actions."""
    from outlast.client import quote

    return f"/v1/cron/{quote(name)}{'/' + action if action else ''}"


def rule(schedule: Result) -> str:
    """The rule, short enough for a table."""
    if schedule["kind"] == "cron":
        return f"{brief(schedule['expr'], 40)} {brief(schedule['tz'], 40)}"
    return brief(schedule["words"].partition(",")[0], 40)


def what(schedule: Result) -> str:
    """What it does, on one safe line of bounded length."""
    if schedule["payload"] == "event":
        return f"tell {brief(schedule.get('conversation') or '', 60)}: {brief(schedule.get('event') or '')}"
    if schedule["payload"] == "flow":
        given = " ".join(f"{name}={value}" for name, value in (schedule.get("arguments") or {}).items())
        return f"flow {brief(schedule.get('flow') or '', 80)} {brief(given, 100)}".rstrip()
    if schedule["payload"] == "agent":
        return f"agent {brief(schedule.get('agent') or '', 60)}: {brief(schedule.get('message') or '', 100)}"
    return brief(schedule.get("command") or schedule["payload"])


def status(schedule: Result) -> str:
    """How it stands, in colour: ``active``, ``disabled: 10 failures in a row``."""
    word = schedule["status"]
    why = f": {brief(schedule['why'])}" if schedule.get("why") else ""
    return colour(brief(word, 20), STATUS_COLOURS.get(word, "")) + why


def print_understood(schedule: Result) -> None:
    """Print what was understood of a rule: in words, its zone, what it does, its next firings, what to look out for."""
    seen = schedule.get("understood") or {}
    fact("schedule", schedule["name"])
    if schedule["status"] != "active":
        fact("status", status(schedule), plain=False)
    fact("when", seen.get("words") or schedule["words"])
    fact("zone", seen.get("zone") or schedule["tz"])
    fact("does", what(schedule), plain=False)
    fact("in", schedule.get("workdir"))
    print_ahead(seen)


def print_ahead(seen: Result) -> None:
    """Print the next firings and the notes of an answer that tells them."""
    name = NEXT
    for firing in seen.get("next") or ():
        fact(name, firing_line(firing), plain=False)
        name = ""
    for line in seen.get("notes") or ():
        fact("note", line)


def firing_line(firing: Result) -> str:
    """One firing: in local time with its offset, how far it is, its jitter, and what a change of the clocks does."""
    parts = [f"{brief(firing['local'], 40)}  {brief(firing['offset'], 20)}  {ahead(firing.get('at'))}"]
    at, fires = epoch(firing.get("at")), epoch(firing.get("firesAt"))
    if at is not None and fires is not None and fires > at:
        parts.append(f"fires {span((fires - at) * 1000)} later")
    if firing.get("note"):
        parts.append(brief(firing["note"]))
    return ", ".join(parts)


def say_stands(schedule: Result) -> None:
    """Print one line about how a schedule stands."""
    coming = f", next {ahead(schedule['nextFireAt'])}" if schedule.get("nextFireAt") else ""
    say(f"{schedule['name']} {status(schedule)}{coming}")
