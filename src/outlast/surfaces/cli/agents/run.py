"""``agent run``, ``subagents spawn``, ``steer``, ``wait``, ``cancel``: give agents work and steer it."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli import exec
from outlast.surfaces.cli.agents.listing import turn_path
from outlast.surfaces.cli.agents.transcript import INTERRUPTED, entries_after, path_of
from outlast.surfaces.cli.agents.words import safe_text
from outlast.surfaces.cli.context import Call, given, task_path
from outlast.surfaces.cli.detached import print_remarks
from outlast.surfaces.cli.output import note, print_json, safe, say
from outlast.surfaces.cli.tasks.wait import until_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

TIMED_OUT, FAILED = 124, 1


def run(call: Call) -> int:
    """Give an agent a turn; stay with it unless that is not wanted."""
    if call["detach"] and call["wait"]:
        raise BadInput("--detach and --wait exclude each other", code="usage")
    body = {"agent": call["agent"], "message": _message(call["message"]), **_given(call)}
    body |= given(conversation=call["conversation"])
    task = call.client.post("/v1/agents/run", body)
    return _announced(call, task) if call["detach"] else stay(call, task)


def spawn(call: Call) -> int:
    """Have an agent do something for a conversation."""
    body = {"agent": call["agent"], "task": _message(call["message"]), **_given(call)}
    task = call.client.post("/v1/subagents", body)
    return stay(call, task) if call["wait"] else _announced(call, task)


def _message(word: str) -> str:
    if word != "-":
        return word
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def _given(call: Call) -> dict[str, object]:
    workdir = None if call["cwd"] is None else exec.workdir(call["cwd"])
    fields = given(
        workdir=workdir, timeoutSeconds=call["timeout"], title=call["title"], label=call["label"],
        notify=call["notify"], dedupeKey=call["dedupe"], env=dict(call["env"]) or None,
    )  # fmt: skip
    return fields if call.gateway is not None else {**fields, "callerEnv": exec.caller_env()}


def _announced(call: Call, task: Result) -> int:
    call.answer(task, announce)
    return 0


def announce(task: Result) -> None:
    """Print the id alone on standard output, and the next steps beside it."""
    id = task["taskId"]
    say(id)
    print_remarks(task)
    sys.stdout.flush()
    lines = (
        (f"outlast subagents log -f {id}", "follow what it says"),
        (f"outlast subagents show {id}", "how it stands, its answer"),
        (f'outlast subagents steer {id} "…"', "say something to it"),
        (f"outlast subagents cancel {id}", "call it off"),
    )
    sys.stderr.write(exec.steps(*lines) + "\n")


def stay(call: Call, task: Result) -> int:
    """Show what the agent says until its turn has ended."""
    id, key = task["taskId"], task["conversation"]
    if not call.json:
        note(f"task {id}, conversation {safe(key)}")
        print_remarks(task)
    try:
        if not call.json:
            _follow(call, id, key)
        ended = until_ended(call, [task])["tasks"][0]
    except KeyboardInterrupt:
        note(f"interrupted: it goes on; back to it: outlast subagents log -f {id}")
        return INTERRUPTED
    if call.json:
        print_json(call.client.get(turn_path(id)))
    elif ended["status"] != "succeeded":
        note(f"task {id} {ended['status']}: {safe(ended['error'] or ended['cause'] or '')}")
        if hint := ended["detail"].get("hint"):
            note(safe(hint))
    return 0 if ended["status"] == "succeeded" else TIMED_OUT if ended["status"] == "timed_out" else FAILED


def _follow(call: Call, id: str, key: str) -> None:
    """Print the agent's text as it comes; the rest, at a terminal, beside it."""
    page = call.client.get(path_of(key), limit=1000)
    mine = [entry for entry in page["entries"] if entry["taskId"] == id]
    tail, streamed = "\n", False
    terminal = sys.stderr.isatty()
    after = (mine[0]["seq"] - 1) if mine else (page["after"] or 0)
    for entry in entries_after(call, key, after, id):
        if entry["taskId"] != id:
            continue
        if entry["kind"] == "text":
            streamed = True
            tail = safe_text(entry["text"])
            sys.stdout.write(tail)
            sys.stdout.flush()
        elif entry["kind"] == "permission" and entry["data"].get("by") is None:
            tail = _line_ended(tail)
            note(f"it waits for leave: {_line(entry)}: outlast approvals show {entry['data'].get('approvalId')}")
        elif terminal and entry["kind"] in ("tool", "permission", "note") and entry["text"]:
            tail = _line_ended(tail)
            note(_line(entry))
        if entry["kind"] == "end":
            if not streamed and entry["text"]:
                tail = safe_text(entry["text"])
                sys.stdout.write(tail)
            break
    if not tail.endswith("\n"):
        sys.stdout.write("\n")


def _line_ended(tail: str) -> str:
    """End the line an agent is in the middle of, where a note would stand behind it; return what is there now."""
    if tail.endswith("\n") or not sys.stdout.isatty():
        return tail
    say("")
    return "\n"


def _line(entry: Result) -> str:
    """What an entry is about, on one line."""
    return safe((entry["data"].get("title") or entry["text"]).split("\n")[0])


def steer(call: Call) -> None:
    """Say something to an agent that runs."""
    body = {"text": call["text"], "interrupt": bool(call["interrupt"])}
    said = call.client.post(turn_path(call["task"], "steer"), body)
    call.answer(said, _print_steered)


def _print_steered(said: Result) -> None:
    when = "it leaves what it is at and hears it" if said.get("heard") == "now" else "it hears it next"
    note(f"{when}; what became of that: outlast subagents log {said['taskId']}")


def wait(call: Call) -> int:
    """Wait for the end of turns."""
    tasks = [call.client.get(turn_path(lookup))["task"] for lookup in call["tasks"]]
    result = until_ended(call, tasks, seconds=call["timeout"])
    shown = [call.client.get(turn_path(task["taskId"])) for task in result["tasks"]]
    if call.json:
        print_json({"met": result["met"], "turns": shown})
    else:
        for one in shown:
            task = one["task"]
            say(f"{task['taskId']} {task['status']}" + (f": {safe(task['error'])}" if task["error"] else ""))
            if one["text"]:
                say(safe_text(one["text"]))
    if not result["met"]:
        return TIMED_OUT
    return 0 if all(one["task"]["status"] == "succeeded" for one in shown) else FAILED


def cancel(call: Call) -> None:
    """Call turns off."""
    ended = [call.client.post(task_path(lookup, "cancel"), {}, seconds=None) for lookup in call["tasks"]]
    if call.json:
        print_json({"tasks": ended})
        return
    for answer in ended:
        task = answer.get("task", answer)
        still = task["status"] == "running"
        say(f"{task['taskId']} {'asked to end; still running' if still else task['status']}")
