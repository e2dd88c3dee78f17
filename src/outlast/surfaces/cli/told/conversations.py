"""``conversations list``, ``show`` and ``ack``: who has something to hear."""

from __future__ import annotations

from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.facts import fact, moment_fact
from outlast.surfaces.cli.moments import since
from outlast.surfaces.cli.output import brief, note, say, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

HEADS = ("CONVERSATION", "WAITING", "OLDEST", "NEWEST", "WAKES")


def conversation_path(key: str, action: str = "") -> str:
    """The path of a conversation, or of one of its actions."""
    from outlast.client import quote

    return f"/v1/conversations/{quote(key)}{'/' + action if action else ''}"


def run(call: Call) -> None:
    """Print the conversations that have something to hear."""
    query = given(transcripts=call["transcripts"] or None, limit=call["limit"], after=call["after"])
    show = _print_spoken if call["transcripts"] else _print
    call.answer(call.read("conversations.list", "/v1/conversations", None, **query), show)


def _print_spoken(page: Result) -> None:
    if not page["conversations"]:
        note("no agent has spoken yet")
        return
    rows = [(brief(row["conversation"]), row["agent"] or "-", _ago(row["spokenAt"])) for row in page["conversations"]]
    say(table(("CONVERSATION", "AGENT", "LAST"), rows))
    if page.get("next"):
        note(f"more: --after {brief(page['next'])}")


def _print(page: Result) -> None:
    rows = page["conversations"]
    if not rows:
        note("no conversations")
        return
    say(table(HEADS, [_row(row) for row in rows]))
    if page.get("next"):
        note(f"more: --after {brief(page['next'])}")


def _row(row: Result) -> tuple[str, ...]:
    return (
        brief(row["conversation"]),
        str(row["waiting"]),
        _ago(row.get("oldestAt")),
        _ago(row.get("newestAt")),
        str(row["wakes"]),
    )


def _ago(moment: str | None) -> str:
    return "-" if moment is None else f"{span(since(moment))} ago"


def show(call: Call) -> None:
    """Print what waits for one, and how it is woken."""
    key = call["key"]
    call.answer(call.read("conversations.show", conversation_path(key), key), lambda found: _print_one(call, found))


def _print_one(call: Call, found: Result) -> None:
    from outlast.surfaces.cli.told.wakes import list_wakes, print_wakes

    fact("conversation", found["conversation"])
    fact("waiting", f"{found['waiting']} event{'s' if found['waiting'] != 1 else ''}")
    moment_fact("oldest", found.get("oldestAt"))
    moment_fact("newest", found.get("newestAt"))
    if found["wakes"]:
        print_wakes(list_wakes(call, found["conversation"]))
    else:
        fact("woken by", "nothing: it hears when it asks")
        note(f"to wake it: outlast wake add {brief(found['conversation'])} --command '…'")


def ack(call: Call) -> None:
    """Note that its events are consumed."""
    answer = call.client.post(conversation_path(call["key"], "ack"), given(upto=call["upto"]))
    call.answer(answer, lambda result: say(f"{result['acked']} consumed, {result['waiting']} waiting"))
