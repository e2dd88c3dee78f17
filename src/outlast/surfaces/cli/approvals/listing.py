"""``approvals list``: what waits for an answer and what was answered; -f goes on with what is asked."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.approvals.words import COLOURS, HEADS, row
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.output import brief, note, print_json, say, table
from outlast.surfaces.cli.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

PATH = "/v1/approvals"
TIMED_OUT = 124
FIRST = "a"
"""Before every id there is: where to go on from when nothing waits yet."""


def run(call: Call) -> int:
    """Print approvals, those that wait first; with --follow those that wait, and then each that is asked."""
    if call["follow"]:
        return _follow(call)
    if call["timeout"] is not None:
        raise BadInput("--timeout goes with --follow", code="usage")
    call.answer(call.read("approvals.list", PATH, None, **_narrowed(call)), _print)
    return 0


def _narrowed(call: Call, status: str | None = None) -> dict[str, object]:
    return given(
        status=status or ",".join(call["status"]) or None, kind=call["kind"], owner=call["owner"], flow=call["flow"],
        limit=call["limit"], cursor=call["cursor"],
    )  # fmt: skip


def _print(page: Result) -> None:
    approvals = page["approvals"]
    if not approvals:
        note("no approvals")
        return
    _print_rows(approvals, [])
    if page.get("next"):
        note(f"more: --cursor {brief(page['next'])}")


def _print_rows(approvals: list[Result], widths: list[int]) -> None:
    colours = [COLOURS.get(one["status"], "") for one in approvals]
    say(table(HEADS, [row(one) for one in approvals], colours, widths=widths))
    sys.stdout.flush()


def _follow(call: Call) -> int:
    """Print what waits, then what is asked, until the caller leaves or nothing was asked in time."""
    if call["status"] or call["cursor"]:
        raise BadInput("--follow shows what waits: --status and --cursor do not go with it", code="usage")
    query = _narrowed(call, "pending")
    found = call.client.get(PATH, **query)["approvals"]
    query.pop("limit", None)
    waiting = Waiting(call, PATH, "approvals", call["timeout"])
    widths: list[int] = []
    after = FIRST
    while True:
        _show(call, found[::-1], widths)  # the newest last: it stays in sight
        after = max([after, *(one["approvalId"] for one in found)])
        found = waiting.next({**query, "after": after})
        if not found:
            return TIMED_OUT


def _show(call: Call, approvals: list[Result], widths: list[int]) -> None:
    if call.json:
        for one in approvals:
            print_json(one)
        sys.stdout.flush()
    elif approvals:
        _print_rows(approvals, widths)
