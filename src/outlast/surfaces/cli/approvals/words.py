"""What an approval looks like in words: one row of a table, its question and what it shows."""

from __future__ import annotations

from outlast.core.visible import visible, visible_line
from outlast.surfaces.cli.moments import ahead, local, since
from outlast.surfaces.cli.output import DIM, colour, say, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

HEADS = ("APPROVAL", "STATUS", "AGE", "EXPIRES", "ASKED BY", "WHAT")
COLOURS = {"pending": "33", "approved": "32", "rejected": "31", "expired": DIM, "cancelled": DIM}


def approval_path(approval: str, action: str = "") -> str:
    """The path of an approval, or of one of its actions."""
    from outlast.client import quote

    return f"/v1/approvals/{quote(approval)}{'/' + action if action else ''}"


def row(approval: Result) -> tuple[str, ...]:
    """The cells of a listing."""
    open_ = approval["status"] == "pending"
    return (
        approval["approvalId"],
        approval["status"],
        span(since(approval.get("createdAt"))),
        ahead(approval.get("expiresAt")) if open_ else "-",
        visible_line(approval["requester"], 40),
        what(approval),
    )


def what(approval: Result) -> str:
    """The command that is asked about, else the question, on one line."""
    command = (approval.get("detail") or {}).get("command")
    return visible_line(command if isinstance(command, str) else approval["prompt"], 200)


def stands(approval: Result) -> str:
    """One phrase about how an approval stands, and who decided it."""
    if approval["status"] == "pending":
        left = approval.get("expiresAt")
        return f"pending, expires {ahead(left)}" if left else "pending"
    who = f" by {visible_line(approval['decidedBy'], 80)}" if approval.get("decidedBy") else ""
    way = approval.get("decidedHow")
    how = f" ({visible_line(way, 40)})" if way and way != approval.get("decidedBy") else ""
    return f"{approval['status']}{who}{how}, {local(approval.get('decidedAt'))}"


def block(name: str, text: object) -> None:
    """Print a text of somebody else as it stands: every line marked, everything spelled out that could hide."""
    say(colour(f"{name}:", DIM))
    for line in visible(str(text)).split("\n"):
        say(f"  | {line}".rstrip())
