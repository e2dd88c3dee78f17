"""``cron import`` and ``cron export``: schedules from a crontab, and as one."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput, NotFound, Refused
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.output import DIM, RED, brief, colour, note, print_text, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

TEXT_MAX = 1_000_000


def take(call: Call) -> int:
    """Add the entries of a crontab; 1 when a line could not be taken over."""
    body = {"text": _read(call["file"]), **given(apply=None if call["dry_run"] else True, prefix=call["prefix"])}
    result = call.client.post("/v1/cron/import", body, seconds=None)
    call.answer(result, _print)
    return 1 if any(line.get("refused") for line in result["lines"]) else 0


def _read(file: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(TEXT_MAX + 1)
        else:
            with open(file, "rb") as opened:
                data = opened.read(TEXT_MAX + 1)
    except FileNotFoundError as error:
        raise NotFound(f"no file {file!r}") from error
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror}", code="cannot_read") from error
    if len(data) > TEXT_MAX:
        raise BadInput(f"the table is longer than {TEXT_MAX} bytes", code="bad_crontab")
    return data.decode("utf-8", "replace")


def _print(result: Result) -> None:
    refused = 0
    for line in result["lines"]:
        if line.get("refused"):
            refused += 1
            say(colour(f"line {line['line']}: not taken: {brief(line['refused'], 400)}", RED))
            say(f"  {brief(line['text'])}")
            continue
        zone = f"  ({brief(line['tz'], 60)})" if line.get("tz") else ""
        say(f"line {line['line']}: {line['name']}  {brief(line['text'])}{zone}")
        for about in (line.get("comment"), line.get("note")):
            for words in str(about or "").splitlines():
                say(f"  {colour(brief(words), DIM)}")
    for about in result["notes"]:
        note(brief(about, 400))
    added = len(result["added"])
    left = f", {refused} not taken" if refused else ""
    if result["applied"]:
        note(f"{added} added{left}")
    else:
        note(f"{added} would be added{left}; nothing was changed")


def give(call: Call) -> None:
    """Print the schedules as a crontab."""
    call.answer(call.read("cron.export", "/v1/cron/export"), lambda result: print_text(result["text"]))
