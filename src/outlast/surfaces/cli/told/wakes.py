"""``wake``: how a conversation is woken."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.exec import check_text, steps
from outlast.surfaces.cli.moments import ahead, since
from outlast.surfaces.cli.output import STATUS_COLOURS, brief, note, say, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

HEADS = ("WAKE", "STATUS", "LAST", "CONVERSATION", "BY")
CHANNELS = ("words", "command", "webhook", "desktop", "smtp", "apprise")
EXAMPLE = "outlast wake add KEY --command 'claude -p --resume {conversation} {text}'"


def wake_path(wake: str, action: str = "") -> str:
    """The path of a wake, or of one of its actions."""
    from outlast.client import quote

    return f"/v1/wakes/{quote(wake)}{'/' + action if action else ''}"


def add(call: Call) -> None:
    """Register a wake and print its id, and once the secret that was made for it."""
    said = [name for name in CHANNELS if call[name] not in (None, False, [])]
    if len(said) != 1:
        shown = ["a COMMAND after --" if name == "words" else f"--{name}" for name in said]
        wrong = f"{shown[0]} and {shown[1]} exclude each other" if said else "how? by --command, --webhook or another"
        raise BadInput(wrong, code="usage", hint=EXAMPLE)
    words = call["words"]
    body = given(
        conversation=call["key"],
        command=call["command"] if not words else words[0] if len(words) == 1 else None,
        argv=words if len(words) > 1 else None,
        webhook=call["webhook"],
        secret=_secret(call),
        desktop=call["desktop"] or None,
        smtp=call["smtp"],
        apprise=call["apprise"],
    )
    check_text([*body.values(), *words])
    call.answer(call.client.post("/v1/wakes", body), _print_added)


def _secret(call: Call) -> str | None:
    given_: str | None = call["secret"]
    return sys.stdin.readline().strip() if given_ == "-" else given_


def _print_added(wake: Result) -> None:
    say(wake["wakeId"])
    sys.stdout.flush()
    note(f"{brief(wake['conversation'])} is woken by {brief(wake['channel'])}")
    if wake.get("secret"):
        note(f"the secret it signs with, shown this once: {wake['secret']}")
    lines = (
        (f"outlast wake test {wake['wakeId']}", "send a real one"),
        (f"outlast wake remove {wake['wakeId']}", "forget it"),
    )
    sys.stderr.write(steps(*lines) + "\n")


def run(call: Call) -> None:
    """Print the wakes of a conversation, or all."""
    call.answer(list_wakes(call, call["key"]), print_wakes)


def list_wakes(call: Call, key: str | None) -> Result:
    """Ask for the wakes of a conversation, or for all."""
    return call.read("wake.list", "/v1/wakes", None, **given(conversation=key))


def print_wakes(found: Result) -> None:
    """Print a table of wakes, and what went wrong with those that failed."""
    wakes = found["wakes"]
    if not wakes:
        note("no wakes")
        return
    say(table(HEADS, [_row(wake) for wake in wakes], [STATUS_COLOURS.get(wake["status"], "") for wake in wakes]))
    for wake in wakes:
        if wake.get("error"):
            later = f"; again {ahead(wake['dueAt'])}" if wake.get("dueAt") and wake["status"] != "parked" else ""
            note(f"{wake['wakeId']}: {brief(wake['error'], 400)}{later}")


def _row(wake: Result) -> tuple[str, ...]:
    sent = since(wake.get("sentAt"))
    return (
        wake["wakeId"],
        wake["status"],
        "-" if sent is None else f"{span(sent)} ago",
        brief(wake["conversation"], 60),
        brief(wake["channel"]),
    )


def test(call: Call) -> int:
    """Send a real one; 1 when it did not arrive."""
    # A command may take its ten minutes: the answer comes when it has ended.
    result = call.client.post(wake_path(call["wake"], "test"), seconds=None)
    call.answer(result, _print_tested)
    return 0 if result["delivered"] else 1


def _print_tested(result: Result) -> None:
    took = span(result["tookMs"])
    if result["delivered"]:
        say(f"{result['wakeId']} delivered in {took}")
    else:
        say(f"{result['wakeId']} not delivered: {brief(result.get('error') or 'unknown', 1000)} ({took})")


def remove(call: Call) -> None:
    """Forget it."""
    answer = call.client.request("DELETE", wake_path(call["wake"]))
    call.answer(answer, lambda result: say(f"{', '.join(result['removed'])} removed"))
