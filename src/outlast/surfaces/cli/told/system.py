"""``system event``: tell a conversation something by hand."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.exec import check_text
from outlast.surfaces.cli.output import brief, note, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]


def event(call: Call) -> None:
    """Queue it."""
    if not call["to"]:
        raise BadInput("--to: which conversation?", code="usage", hint="outlast conversations list")
    text = call["text"]
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    body = {"text": text, **given(to=call["to"], mode=call["mode"], key=call["key"])}
    check_text(body.values())
    call.answer(call.client.post("/v1/system/event", body), _print)


def _print(told: Result) -> None:
    if told["queued"]:
        say(f"queued for {brief(told['conversation'])}")
    else:
        note(f"{brief(told['conversation'])} was told under this key already")
