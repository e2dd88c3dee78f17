"""``agents list``, ``show`` and ``check``, ``subagents list`` and ``show``: what there is, and how it stands."""

from __future__ import annotations

import shlex

from outlast.surfaces.cli.agents.words import safe_text
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.output import brief, note, safe, say, span, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

LOOK_SECONDS = 90.0
_SEEN = {
    "acp": "answers (acp)",
    "command": "is there (command); no turn was tried",
    "model": "has what it needs (model); it was not asked",
}
"""What a look has shown, by backend: only an ACP agent says anything before it has a turn."""


def turn_path(lookup: str, action: str = "") -> str:
    """The path of a turn of an agent, or of one of its actions."""
    from outlast.client import quote

    return f"/v1/subagents/{quote(lookup)}{'/' + action if action else ''}"


def agents(call: Call) -> None:
    """List the configured agents."""
    call.answer(call.client.get("/v1/agents"), _print_agents)


def _print_agents(found: Result) -> None:
    if found.get("trouble"):
        note(f"these are as before: {safe(found['trouble'])}")
    if not found["agents"]:
        note("no agent is configured: outlast agents add NAME -- COMMAND")
        return
    rows = [
        (
            one["agent"],
            one["backend"],
            _state(one),
            "-" if one["heartbeatSeconds"] is None else span(one["heartbeatSeconds"] * 1000),
            brief(one["model"] or shlex.join(one["command"]), 60),
        )
        for one in found["agents"]
    ]
    say(table(("AGENT", "BACKEND", "STATE", "HEARTBEAT", "WHAT"), rows))


def _state(one: Result) -> str:
    return f"{one['running']} running, {one['queued']} queued" if one["running"] or one["queued"] else "idle"


def agent(call: Call) -> None:
    """Show an agent with every key that holds for it."""
    from outlast.client import quote

    call.answer(call.client.get(f"/v1/agents/{quote(call['agent'])}"), _print_agent)


def _print_agent(shown: Result) -> None:
    if shown["trouble"]:
        note(f"it is as before: {safe(shown['trouble'])}")
    one = shown["agent"]
    facts = [("agent", one["agent"]), ("state", _state(one)), ("conversation", one["conversation"])]
    facts += [(name, _setting(name, value)) for name, value in shown["settings"].items()]
    for name, value in [*facts, ("file", shown["file"])]:
        say(f"{name:<18} {safe(value)}")


def _setting(name: str, value: object) -> str:
    if isinstance(value, list):
        return shlex.join(value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_setting(key, item)}" for key, item in value.items() if item != "") or "-"
    if name in ("timeout", "permission_timeout", "every") and isinstance(value, int | float):
        return span(value * 1000) if value else "never" if name == "every" else "no limit"
    return "-" if value is None or value == "" else str(value)


def check(call: Call) -> int:
    """Have an agent say what it can do; exit code 1 when it cannot be used."""
    from outlast.client import quote

    found = call.client.post(f"/v1/agents/{quote(call['agent'])}/check", {}, seconds=LOOK_SECONDS)
    call.answer(found, _print_check)
    return 0 if found["ok"] else 1


def _print_check(found: Result) -> None:
    name = found.get("title") or found["agent"]
    if found["ok"]:
        say(f"{safe(name)} {safe(found.get('version') or '')}".rstrip() + f" {_SEEN[found['backend']]}")
    else:
        say(f"{safe(name)} cannot be used: {safe(found.get('error') or found.get('code') or 'no answer')}")
    for word in found.get("can", []):
        say(f"  can {safe(word)}")
    for line in found.get("notes", []):
        note(safe(line))
    if found.get("hint"):
        note(safe(found["hint"]))


def subagents(call: Call) -> None:
    """List spawned agents."""
    query = given(all=call["all"] or None, status=call["status"], limit=call["limit"], cursor=call["cursor"])
    none = "no agent has had a turn" if call["all"] else "no agent has been spawned; turns that were asked for: --all"
    call.answer(call.client.get("/v1/subagents", **query), lambda page: _print_turns(page, none))


def _print_turns(page: Result, none: str) -> None:
    if not page["tasks"]:
        note(none)
        return
    rows = [
        (
            task["taskId"],
            task["status"],
            span(task["durationMs"]),
            brief(task["requester"], 30),
            brief(task["title"] or task["command"], 60),
        )
        for task in page["tasks"]
    ]
    say(table(("TASK", "STATUS", "TIME", "FOR", "WHAT"), rows))
    if page["next"]:
        note(f"there are more: --cursor {page['next']}")


def show(call: Call) -> None:
    """Show one turn."""
    call.answer(call.client.get(turn_path(call["task"])), _print_turn)


def _print_turn(shown: Result) -> None:
    task = shown["task"]
    facts = [
        ("task", task["taskId"]),
        ("agent", shown["agent"]),
        ("status", task["status"] + (f" ({task['cause']})" if task["cause"] else "")),
        ("waits for", _wait(shown.get("waitsFor"))),
        ("error", task["error"]),
        ("hint", task["detail"].get("hint")),
        ("for", task["requester"]),
        ("conversation", task["conversation"]),
        ("spawned by", shown["parent"]),
        ("time", None if shown["durationMs"] is None else span(shown["durationMs"])),
        ("tokens", _tokens(shown)),
        ("cost", None if shown["costUsd"] is None else f"{shown['costUsd']:.4f} USD"),
        ("session", task["sessionId"]),
    ]
    for name, value in facts:
        if value is not None:
            say(f"{name:<13} {safe(str(value))}")
    if shown["text"]:
        say("\n" + safe_text(shown["text"]))


def _wait(wait: Result | None) -> str | None:
    return None if wait is None else f"{wait['words'].removeprefix('waits for ')}: {wait['command']}"


def _tokens(shown: Result) -> str | None:
    if shown["inputTokens"] is None and shown["outputTokens"] is None:
        return None
    return f"{shown['inputTokens'] or 0} in, {shown['outputTokens'] or 0} out"
