"""``cron runs``: what became of the instants of a schedule."""

from __future__ import annotations

from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.cron.words import schedule_path
from outlast.surfaces.cli.moments import epoch, local
from outlast.surfaces.cli.output import STATUS_COLOURS, brief, note, say, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

HEADS = ("INSTANT", "HOW", "LATE", "WORK", "STATUS", "NOTE")


def run(call: Call) -> None:
    """Print settled instants, the latest first."""
    name = call["schedule"]
    query = given(limit=call["limit"], before=call["before"])
    page = call.read("cron.runs", schedule_path(name, "runs"), name, **query)
    call.answer(page, _print)


def _print(page: Result) -> None:
    if not page["runs"]:
        note("nothing of it has come due yet")
        return
    colours = [STATUS_COLOURS.get(row.get("status") or row["how"], "") for row in page["runs"]]
    say(table(HEADS, [_row(row) for row in page["runs"]], colours))
    if page.get("next") is not None:
        note(f"more: --before {page['next']!r}")


def _row(row: Result) -> tuple[str, ...]:
    instant, at = epoch(row.get("instant")), epoch(row.get("at"))
    late = span(max(0.0, at - instant) * 1000) if row["how"] == "fired" and instant and at else "-"
    return (
        local(row.get("instant")),
        row["how"],
        late,
        row.get("taskId") or row.get("flowId") or "-",
        row.get("status") or "-",
        brief(row.get("note") or ""),
    )
