"""``approvals show``: the question as it stands, and all that is run where the answer is yes."""

from __future__ import annotations

from outlast.surfaces.cli.approvals.words import COLOURS, approval_path, block, stands
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.facts import fact, moment_fact
from outlast.surfaces.cli.output import colour, note, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

FACTS = (
    ("kind", "kind"), ("asked by", "requester"), ("conversation", "conversation"), ("flow", "flowId"), ("step", "step"),
    ("task", "taskId"),
)  # fmt: skip
DETAILS = (
    ("in", "workdir"), ("shell", "shell"), ("label", "label"), ("title", "title"), ("node", "node"),
    ("tries", "attempts"),
)  # fmt: skip


def run(call: Call) -> None:
    """Print everything about one approval."""
    lookup = call["approval"]
    query = given(whole=call["whole"] or None)
    call.answer(call.read("approvals.show", approval_path(lookup), lookup, **query), print_approval)


def print_approval(approval: Result) -> None:
    """Print one approval: facts, the question, what it shows, and how to answer it."""
    id = approval["approvalId"]
    detail = approval.get("detail") or {}
    fact("approval", id)
    fact("status", colour(stands(approval), COLOURS.get(approval["status"], "")), plain=False)
    for name, field in FACTS:
        fact(name, approval.get(field))
    for name, field in DETAILS:
        fact(name, detail.get(field))
    moment_fact("asked", approval.get("createdAt"))
    block("the question", approval["prompt"])
    if approval.get("preview"):
        block("it shows", approval["preview"])
    if approval.get("note"):
        block("note", approval["note"])
    _print_whole(approval.get("whole") or {})
    if detail.get("masked") and not approval.get("whole"):
        note(f"*** stands for what looks like a secret; all of it: outlast approvals show {id} --whole")
    if approval.get("mayDecide"):
        say(f"to answer: outlast approvals approve {id}, or reject {id}")


def _print_whole(whole: Result) -> None:
    for name, value in whole.items():
        if value not in (None, {}, []):
            text = "\n".join(f"{one}={value[one]}" for one in value) if isinstance(value, dict) else value
            block(f"{name}, as it is", "\n".join(map(str, text)) if isinstance(text, list) else text)
