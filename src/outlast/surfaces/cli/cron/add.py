"""``cron add`` and ``cron edit``: a rule from the options, and what was understood of it."""

from __future__ import annotations

import os
import sys

from outlast.core.errors import BadInput, Conflict
from outlast.surfaces.cli import exec
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.cron.words import print_understood, schedule_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

RULES = ("cron", "every", "at", "in")
PAYLOADS = ("command", "event", "flow", "agent")
DELIVERIES = ("announce", "webhook", "no_deliver")
TURNS_MAX = 20
EXAMPLE = 'outlast cron add --name backup --cron "30 2 * * *" -- ./backup.sh'


def add(call: Call) -> None:
    """Add a schedule and print what was understood."""
    _one_of(call, RULES, "when? one of --cron, --every, --at and --in says it")
    _one_of(call, PAYLOADS, "what? a COMMAND after --, or --event, --flow or --agent says it")
    body = _fields(call)
    if call.gateway is None:
        body |= given(tz=call["tz"] or _zone_here())
        if call["command"] or call["flow"] or call["workdir"] is not None:
            body["workdir"] = exec.workdir(call["workdir"])
    exec.check_text(_words(body))
    call.answer(_put(call, body), _print_added)


def _put(call: Call, body: dict[str, object]) -> Result:
    """Add it under its name; without one under that of its command, with a number where that is taken."""
    if call["name"] is not None:
        return call.client.post("/v1/cron", {"name": call["name"], **body})
    words = (call["command"] or [call["flow"] or call["agent"] or "event"])[0].split() or [""]
    program = words[0].rpartition("/")[2].partition(".")[0]
    base = "".join(letter for letter in program if letter.isascii() and (letter.isalnum() or letter in "_-"))
    base = base.lstrip("_-")[:40] or "schedule"
    turn = 1
    while True:
        try:
            return call.client.post("/v1/cron", {"name": base if turn == 1 else f"{base}-{turn}", **body})
        except Conflict as conflict:
            if conflict.code != "name_taken" or turn >= TURNS_MAX:
                raise
        turn += 1


def _print_added(schedule: Result) -> None:
    print_understood(schedule)
    sys.stdout.flush()
    name = schedule["name"]
    steps = exec.steps(
        (f"outlast cron run {name} --wait", "try it now"),
        (f"outlast cron runs {name}", "what became of its instants"),
        (f"outlast cron next {name} -n 10", "when it fires"),
        (f"outlast cron remove {name}", "forget it"),
    )
    sys.stderr.write(steps + "\n")


def edit(call: Call) -> None:
    """Change a schedule and print what is understood of it now."""
    for names in (RULES, PAYLOADS):
        _one_of(call, names, None)
    if call["delete_after_run"] and call["no_delete_after_run"]:
        raise BadInput("--delete-after-run and --no-delete-after-run exclude each other", code="usage")
    body = {**_fields(call), **given(tz=call["tz"], rename=call["rename"])}
    if call["no_delete_after_run"]:
        body["deleteAfterRun"] = False
    if call["workdir"] is not None:
        body["workdir"] = exec.workdir(call["workdir"]) if call.gateway is None else call["workdir"]
    if not body:
        raise BadInput("nothing is to be changed", code="usage", hint="outlast cron edit --help")
    body |= given(revision=call["revision"])
    exec.check_text(_words(body))
    call.answer(call.client.post(schedule_path(call["schedule"], "edit"), body), print_understood)


def _one_of(call: Call, names: tuple[str, ...], question: str | None) -> None:
    """Refuse two of these options, and none of them where there is a question."""
    said = [name for name in names if call[name] not in (None, [])]
    if len(said) > 1:
        shown = [f"--{name}" if name != "command" else "a COMMAND" for name in said]
        raise BadInput(f"{shown[0]} and {shown[1]} exclude each other", code="usage")
    if not said and question is not None:
        raise BadInput(question, code="usage", hint=EXAMPLE)


def _fields(call: Call) -> dict[str, object]:
    """What adding and changing have in common."""
    words = call["command"]
    return given(
        cron=call["cron"],
        every=call["every"],
        at=call["at"],
        **{"in": call["in"]},
        command=words[0] if len(words) == 1 else None,
        argv=words if len(words) > 1 else None,
        workdir=call["workdir"] if call.gateway is not None else None,
        env=dict(call["env"]) or None,
        event=call["event"],
        to=call["to"],
        **_flow(call),
        agent=call["agent"],
        message=call["message"],
        misfire=call["misfire"],
        overlap=call["overlap"],
        jitterSeconds=call["jitter"],
        retries=call["retry"],
        timeoutSeconds=call["timeout"],
        deliver=_deliver(call),
        webhook=call["webhook"],
        conversation=call["conversation"],
        comment=call["comment"],
        deleteAfterRun=call["delete_after_run"] or None,
    )


def _flow(call: Call) -> dict[str, object]:
    """Which flow, and its arguments: a file's text goes along, a program's path becomes absolute."""
    named, arguments = call["flow"], dict(call["arg"]) or None
    if named is None:
        return given(arguments=arguments)
    from outlast.surfaces.cli.flows.run import target_of

    target = target_of(named)
    return given(flow=target.get("handler") or target.get("name"), flowFile=target.get("file"), arguments=arguments)


def _deliver(call: Call) -> str | None:
    said = [name for name in DELIVERIES if call[name] not in (None, False)]
    if len(said) > 1:
        first, second = (name.replace("_", "-") for name in said[:2])
        raise BadInput(f"--{first} and --{second} exclude each other", code="usage")
    return {"announce": "announce", "webhook": "webhook", "no_deliver": "none"}[said[0]] if said else None


def _zone_here() -> str | None:
    """The zone of whoever calls, where the environment names one: the gateway may have been started in another."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if not named:
        return None
    from outlast.scheduler.zones import zone

    try:
        return zone(named).name
    except BadInput:
        return None


def _words(body: dict[str, object]) -> list[object]:
    """Every text in a request, however deep."""
    words: list[object] = []
    for value in body.values():
        if isinstance(value, dict):
            words += [*value, *value.values()]
        elif isinstance(value, list):
            words += value
        else:
            words.append(value)
    return words
