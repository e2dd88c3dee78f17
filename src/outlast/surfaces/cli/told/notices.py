"""``notifications``: notices on their way, delivered, or given up."""

from __future__ import annotations

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.moments import ahead, since
from outlast.surfaces.cli.output import STATUS_COLOURS, brief, note, say, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

HEADS = ("ID", "STATE", "AGE", "TRIES", "TARGET", "WHAT")


def run(call: Call) -> None:
    """Print notices, the newest first."""
    if call["failed"] and call["state"] not in (None, "parked"):
        raise BadInput("--failed and --state exclude each other", code="usage")
    state = "parked" if call["failed"] else call["state"]
    query = given(state=state, target=call["target"], limit=call["limit"], before=call["before"])
    call.answer(call.read("notifications.list", "/v1/notifications", None, **query), _print)


def _print(page: Result) -> None:
    notices = page["notices"]
    if not notices:
        note("no notifications")
        return
    say(table(HEADS, [_row(notice) for notice in notices], [STATUS_COLOURS.get(row["state"], "") for row in notices]))
    for notice in notices:
        if notice.get("error") and notice["state"] in ("pending", "parked"):
            later = f"; again {ahead(notice['nextAt'])}" if notice.get("nextAt") else ""
            note(f"{notice['noticeId']}: {brief(notice['error'], 400)}{later}")
    if page.get("next"):
        note(f"more: --before {page['next']}")


def _row(notice: Result) -> tuple[str, ...]:
    return (
        str(notice["noticeId"]),
        notice["state"],
        span(since(notice.get("at"))),
        str(notice["attempts"]),
        brief(notice["target"], 60),
        brief(notice["title"]),
    )


def retry(call: Call) -> None:
    """Send it again."""
    _act(call, "retry")


def dismiss(call: Call) -> None:
    """Give it up for good."""
    _act(call, "dismiss")


def _act(call: Call, action: str) -> None:
    from outlast.client import quote

    notice = call.client.post(f"/v1/notifications/{quote(call['notification'])}/{action}")
    call.answer(notice, lambda shown: say(f"{shown['noticeId']} {shown['state']}"))
