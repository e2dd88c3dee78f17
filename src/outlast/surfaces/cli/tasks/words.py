"""What a task looks like in words: one row of a table, one line, the exit code that fits."""

from __future__ import annotations

from outlast.surfaces.cli.moments import since
from outlast.surfaces.cli.output import brief, exit_code, how_it_ended, note, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

TIMED_OUT = 124
OPEN = ("queued", "running")
HEADS = ("TASK", "STATUS", "AGE", "TIME", "DONE", "EXIT", "WHAT")


def is_open(task: Result) -> bool:
    """True while the task has not ended."""
    return task["status"] in OPEN


def is_turn(task: Result) -> bool:
    """True for a turn of an agent: its output is a journal, and what it said is in a transcript."""
    return task.get("runtime") in ("subagent", "acp")


def session_of(task: Result) -> str | None:
    """The id of its session of ours; what reported work calls its run is none."""
    return None if task.get("runtime") == "external" else task.get("sessionId")


def what(task: Result) -> str:
    """Label (or title) and command (or title, or kind), on one safe line of bounded length."""
    label, title = task.get("label"), task.get("title")
    name = label or title
    kind = "" if name and is_turn(task) else task.get("kind")
    command = task.get("command") or (title if label else None) or kind or ""
    tries = f" (try {task['attempt']} of {task['attemptsMax']})" if (task.get("attempt") or 0) > 1 else ""
    shown = f"{brief(name, 60)}: {brief(command)}" if name and command else brief(name or command)
    return shown + tries


def exit_of(task: Result) -> str | int | None:
    """The signal or exit code it ended with; None for a turn of an agent, whose runner's is of no meaning."""
    return None if is_turn(task) else task.get("exitSignal") or task.get("exitCode")


def percent(task: Result) -> str:
    """How far it is, or had come when it ended badly; ``-`` when nobody said, or nothing is left to do."""
    progress = task.get("progress")
    return "-" if progress is None or task["status"] == "succeeded" else f"{progress} %"


def row(task: Result) -> tuple[str, ...]:
    """The cells of a listing."""
    end = exit_of(task)
    return (
        task["taskId"],
        task["status"],
        span(since(task.get("createdAt"))),
        span(task.get("durationMs")),
        percent(task),
        "-" if end is None else str(end),
        what(task),
    )


def stands(task: Result) -> str:
    """One phrase about how a task stands: ``running for 12 s, 40 %``, ``failed: exit code 7 after 3 s``."""
    status = task["status"]
    if status == "queued":
        later = f", not before {task['notBeforeAt']}" if task.get("notBeforeAt") else ""
        if task.get("waitsForApproval"):
            later = f", waits for approval {task['approvalId']}"
        return f"queued for {span(since(task.get('createdAt')))}{later}"
    if status == "running":
        done = f", {percent(task)}" if task.get("progress") is not None else ""
        asked = ", asked to end" if task.get("cancelAskedAt") else ""
        return f"running for {span(task.get('durationMs'))}{done}{asked}"
    spent = f" after {span(task['durationMs'])}" if task.get("durationMs") is not None else ""
    return f"{ended(task)}{spent}"


def ended(task: Result) -> str:
    """How a task ended; an end that nothing is known of but the word is the word."""
    if exit_of(task) is None:
        cause = task.get("cause")
        said = cause if not (is_turn(task) and cause in ("exit", "error")) else None
        return f"{task['status']}: {said}" if said else str(task["status"])
    return how_it_ended(task)


def say_how(task: Result) -> None:
    """Print one line on standard error about how a task stands, and one about what went wrong."""
    note(f"{task['taskId']} {stands(task)}")
    error = str(task.get("error") or "")
    if error and error not in ended(task):
        note(brief(task["error"], 500))
    reason = (task.get("detail") or {}).get("reason")
    if reason:
        note(f"the reason: {brief(reason, 500)}")


def task_exit_code(task: Result) -> int:
    """The exit code of the task's command, as `output.exit_code` has it; work without a command has 0 or 1."""
    if exit_of(task) is None:
        if task["status"] == "succeeded":
            return 0
        if is_turn(task):
            return TIMED_OUT if task["status"] == "timed_out" else 1
        if task["status"] == "failed" and task.get("cause") != "spawn_error":
            return 1
        if task.get("cause") == "deadline":  # it passed before the task began
            return TIMED_OUT
    return exit_code(task)
