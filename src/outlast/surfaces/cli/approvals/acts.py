"""``approvals approve``, ``reject`` and ``link``: the answer, and a way for somebody else to give it."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.approvals.words import approval_path, stands, what
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.exec import check_text, steps
from outlast.surfaces.cli.moments import ahead
from outlast.surfaces.cli.output import note, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]


def approve(call: Call) -> None:
    """Say yes: what waited goes on."""
    _answer(call, "approve")


def reject(call: Call) -> None:
    """Say no."""
    _answer(call, "reject")


def _answer(call: Call, decision: str) -> None:
    body = given(note=call["note"], revision=call["revision"], via="cli")
    check_text(body.values())
    call.answer(call.client.post(approval_path(call["approval"], decision), body), _print)


def _print(approval: Result) -> None:
    say(f"{approval['approvalId']} {stands(approval)}")
    sys.stdout.flush()
    note(what(approval))
    if approval["status"] != "approved":
        return
    if approval.get("taskId"):
        task = approval["taskId"]
        group, said = ("subagents", "what it says") if approval.get("kind") == "acp" else ("tasks", "its output")
        lines = (
            (f"outlast {group} log -f {task}", f"follow {said}"),
            (f"outlast {group} show {task}", "how it stands"),
        )
        sys.stderr.write(steps(*lines) + "\n")


def link(call: Call) -> None:
    """Print a link by which somebody else may answer."""
    if call["approve"] and call["reject"]:
        raise BadInput("--approve and --reject exclude each other: without them the link is for both", code="usage")
    may = "approve" if call["approve"] else "reject" if call["reject"] else None
    body = given(may=may, expiresSeconds=call["expires"])
    call.answer(call.client.post(approval_path(call["approval"], "link"), body), _print_link)


def _print_link(made: Result) -> None:
    say(made["url"])
    sys.stdout.flush()
    word = {"both": "approve or reject", "approve": "approve", "reject": "reject"}[made["may"]]
    note(f"whoever has it may {word} {made['approvalId']}, once; it expires {ahead(made['expiresAt'])}")
