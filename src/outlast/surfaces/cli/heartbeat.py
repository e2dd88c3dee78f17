"""``heartbeat``: when agents look around by themselves, and what became of it."""

from __future__ import annotations

from outlast.surfaces.cli.context import Call, given, milliseconds
from outlast.surfaces.cli.facts import fact, moment_fact, quoted
from outlast.surfaces.cli.moments import ahead, local, since
from outlast.surfaces.cli.output import GREEN, RED, YELLOW, brief, note, say, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

PATH = "/v1/heartbeat"
TIMED_OUT = 124
WAIT_MAX = 600.0
STATUS_HEADS = ("AGENT", "STATE", "EVERY", "NEXT", "LAST", "WAITING", "WHY NOT NOW")
HISTORY_HEADS = ("BEAT", "AT", "AGENT", "OUTCOME", "WHY", "REASON")
COLOURS = {"told": GREEN, "failed": RED, "ran": YELLOW}


def status(call: Call) -> None:
    """Print how heartbeats stand: a table, or all about one."""
    found = call.read("heartbeat.status", PATH, None, **given(agent=call["agent"]))
    call.answer(found, lambda result: _print(result, one=call["agent"] is not None))


def _print(found: Result, *, one: bool = False) -> None:
    rows = found["heartbeats"]
    if not rows:
        note('no agent has a heartbeat; in config.toml: [agents.NAME] heartbeat = { every = "30m" }')
    elif one:
        _print_one(rows[0])
    else:
        say(table(STATUS_HEADS, [_row(row) for row in rows]))


def _row(row: Result) -> tuple[str, ...]:
    last = row.get("last")
    return (
        brief(row["agent"]),
        row["state"],
        _every(row),
        _next(row),
        "-" if last is None else f"{last['outcome']}, {span(since(last['at']))} ago",
        str(row["waiting"]),
        brief(row["reason"], 80),
    )


def _every(row: Result) -> str:
    return span(row["everySeconds"] * 1000) if row["everySeconds"] else "-"


def _next(row: Result) -> str:
    return ahead(row["nextAt"]) if row.get("nextAt") else "-"


def _print_one(row: Result) -> None:
    fact("agent", row["agent"])
    fact("conversation", row["conversation"])
    fact("state", row["state"])
    fact("every", _every(row))
    fact("active hours", f"{row['activeHours']} {row['tz']}" if row.get("activeHours") else "always")
    fact("checklist", row["file"])
    fact("next", f"{local(row['nextAt'])} ({_next(row)})" if row.get("nextAt") else "-")
    fact("why not now", row["reason"])
    fact("waiting", f"{row['waiting']} event{'s' if row['waiting'] != 1 else ''}")
    fact("last hour", f"{row['turnsLastHour']} of at most {row['maxTurnsPerHour']} beats")
    moment_fact("paused", row.get("pausedAt"))
    if row.get("last"):
        fact("last", f"{local(row['last']['at'])} {_came_of(row['last'])}")


def history(call: Call) -> None:
    """Print beats, the newest first."""
    query = given(agent=call["agent"], limit=call["limit"], before=call["before"])
    call.answer(call.read("heartbeat.history", PATH + "/history", None, **query), _print_history)


def _print_history(page: Result) -> None:
    beats = page["beats"]
    if not beats:
        note("no beats")
        return
    rows = [
        (str(beat["beatId"]), local(beat["at"]), brief(beat["agent"]), beat["outcome"], brief(beat["why"], 40),
         brief(beat["reason"], 80))
        for beat in beats
    ]  # fmt: skip
    say(table(HISTORY_HEADS, rows, [COLOURS.get(beat["outcome"], "") for beat in beats]))
    if page.get("next"):
        note(f"more: --before {page['next']}")


def run(call: Call) -> int:
    """Have agents look around now; 1 when one failed, or the one named was skipped, 124 when it took too long."""
    seconds = 0.0 if call["no_wait"] else min(WAIT_MAX, call["timeout"] or WAIT_MAX)
    body = given(agent=call["agent"], timeoutMs=milliseconds(seconds))
    result = call.client.post(PATH + "/run", body, seconds=seconds + 30)
    call.answer(result, _print_beats)
    outcomes = {beat["outcome"] for beat in result["beats"]}
    if "failed" in outcomes or (call["agent"] is not None and "skipped" in outcomes):
        return 1
    return TIMED_OUT if "ran" in outcomes and not call["no_wait"] else 0


def _print_beats(result: Result) -> None:
    for beat in result["beats"]:
        say(f"{brief(beat['agent'])} {_came_of(beat)}")
        if beat["outcome"] == "ran":
            note(f"what comes of it: outlast heartbeat history {brief(beat['agent'])}")
        elif beat.get("text"):
            quoted(beat["text"])


def _came_of(beat: Result) -> str:
    said = "runs" if beat["outcome"] == "ran" else str(beat["outcome"])
    reason = brief(beat["reason"])
    if reason.startswith(f"{said} "):  # "told local" has said it
        return reason
    return f"{said}: {reason}" if reason else said


def pause(call: Call) -> None:
    """Have no beats until they are resumed."""
    _change(call, "pause")


def resume(call: Call) -> None:
    """Have beats again."""
    _change(call, "resume")


def _change(call: Call, action: str) -> None:
    call.answer(call.client.post(f"{PATH}/{action}", given(agent=call["agent"])), _print)
