"""The care of the ledger: ``tasks audit``, ``maintenance``, ``stats``, ``queues``, and ``backup``."""

from __future__ import annotations

import os
import sys

from outlast.client import NotRunning
from outlast.core.durations import format_size
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.exec import workdir
from outlast.surfaces.cli.output import DIM, STATUS_COLOURS, brief, colour, note, print_json, safe, say, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

SUMS = ("pruned", "flowsPruned", "cleaned", "archived")


def audit(call: Call) -> int:
    """Print the findings; exit code 1 when one is an error."""
    query = given(severity=call["severity"], code=call["code"], limit=call["limit"])
    result = call.read("tasks.audit", "/v1/tasks/audit", None, **query)
    call.answer(result, _print_audit)
    return 1 if result["counts"].get("error") else 0


def _print_audit(result: Result) -> None:
    for finding in result["findings"]:
        severity = finding["severity"]
        mark = colour(f"{severity:<5}", STATUS_COLOURS.get(severity, ""))
        seconds = finding.get("ageSeconds")
        age = "" if seconds is None else f" ({span(seconds * 1000)})"
        subject = finding.get("taskId") or finding.get("flowId") or finding.get("subject") or ""
        say(f"{mark}  {finding['code']:<20}  {brief(subject, 60)}  {brief(finding['message'], 400)}{age}")
        if finding.get("fix"):
            say(f"       {colour(brief(finding['fix'], 400), DIM)}")
    counts = [f"{number} {severity}" for severity, number in result["counts"].items() if number]
    note(", ".join(counts) if counts else "nothing to mend")
    if sum(result["counts"].values()) > len(result["findings"]):
        note(f"{len(result['findings'])} are shown")


def maintenance(call: Call) -> None:
    """Say what would be mended and forgotten; with --apply do it, pass after pass until nothing is left."""
    archive = call["archive"]
    if archive is not None and call.gateway is None:
        archive = workdir(archive)
    if not call["apply"]:
        result = _look(call, given(archive=archive))
    else:
        result = _apply(call, given(apply=True, archive=archive))
    call.answer(result, _print_maintenance)


def _look(call: Call, body: dict[str, object]) -> Result:
    """Ask what a pass would do, of the gateway when one runs."""
    try:
        return call.new_client(autostart=False).post("/v1/tasks/maintenance", body, seconds=None)
    except NotRunning:
        if call.gateway is not None or call.answer_offline is None:
            raise
    return call.offline("tasks.maintenance", None, **body)


def _apply(call: Call, body: dict[str, object]) -> Result:
    whole: Result = {}
    while True:
        result = call.client.post("/v1/tasks/maintenance", body, seconds=None)
        whole = _added(whole, result)
        progress = any(result.get(name) for name in SUMS) or result["lost"] or result["moves"]
        if not result["more"] or not progress:
            return {**whole, "more": result["more"]}
        if sys.stderr.isatty() and not call.json:
            note(f"{whole['pruned']} forgotten so far")


def _added(whole: Result, result: Result) -> Result:
    """One result for several passes: numbers are added, lists are joined, the rest is the last pass's."""
    sums = {name: (whole.get(name) or 0) + (result.get(name) or 0) for name in SUMS}
    lists = {name: whole.get(name, []) + result[name] for name in ("lost", "moves")}
    return {**result, **sums, **lists}


def _print_maintenance(result: Result) -> None:
    for move in result["moves"]:
        say(f"{move['taskId']}  {brief(move['act'], 60)}: {brief(move['why'], 300)}")
    if result["applied"]:
        say(f"{len(result['moves'])} mended, {result['cleaned']} cleaned, {_forgotten(result, 'pruned')} forgotten")
    else:
        say(f"{len(result['moves'])} to mend, {result['cleaned']} to clean, {_forgotten(result, 'prunable')} to forget")
        note("nothing was changed: outlast tasks maintenance --apply does it")
    if result.get("archive"):
        note(f"{result['archived']} written to {safe(result.get('archive') or '')} first")


def _forgotten(result: Result, what: str) -> str:
    """How many tasks, and how many flows where there are some."""
    flows = result.get("flows" + what.capitalize())
    return f"{result[what]} tasks and {flows} flows" if flows else str(result[what])


def stats(call: Call) -> None:
    """Print counts by status and queue, and where the ledger is."""
    call.answer(call.read("tasks.stats", "/v1/tasks/stats"), _print_stats)


def _print_stats(result: Result) -> None:
    say(f"tasks     {result['total']}{_counts(result['byStatus'])}")
    outbox = result["outbox"]
    say(f"outbox    {outbox['pending']} waiting, {outbox['parked']} parked")
    store = result["store"]
    size = f", {format_size(store['bytes'])}" if store.get("bytes") is not None else ""
    say(f"store     {store['kind']}, {safe(store['place'])}{size}")
    _print_queues(result)


def _counts(numbers: Result) -> str:
    shown = ", ".join(f"{number} {name}" for name, number in numbers.items() if number)
    return f": {shown}" if shown else ""


def queues(call: Call) -> None:
    """Set limits, then print the queues."""
    result = None
    for name, limit in call["set"]:
        result = call.client.post("/v1/tasks/queues", {"name": name, "limit": limit})
    if result is None:
        result = call.read("tasks.queues", "/v1/tasks/queues")
    call.answer(result, _print_queues)


def _print_queues(result: Result) -> None:
    rows = [
        (
            brief(row["name"], 60),
            "none" if row.get("limit") is None else str(row["limit"]),
            str(row["queued"]),
            str(row["running"]),
        )
        for row in result["queues"]
    ]
    if rows:
        say(table(("QUEUE", "LIMIT", "QUEUED", "RUNNING"), rows))
    else:
        note("no queues")


def backup(call: Call) -> None:
    """Copy the ledger: by the gateway when one runs, else straight from the store."""
    path = call["file"] if call.gateway is not None else os.path.normpath(workdir(call["file"]))
    try:
        result = call.new_client(autostart=False).post("/v1/backup", {"path": path}, seconds=None)
    except NotRunning:
        if call.gateway is not None or call.answer_offline is None:
            raise
        result = call.offline("backup", None, path=path)
    if call.json:
        print_json(result)
        return
    size = f", {format_size(result['bytes'])}" if result.get("bytes") is not None else ""
    say(f"{safe(result.get('path') or path)}{size}")
