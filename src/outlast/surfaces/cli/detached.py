"""``run`` and ``exec --detach``: on record first, then on its own."""

from __future__ import annotations

import sys

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.surfaces.cli import exec
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.output import note, print_json, safe, say
from outlast.surfaces.cli.tasks.words import is_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

INTERRUPTED = 130


def run(call: Call, *, stays: bool = False) -> int:
    """Record the command and return with the task's id; with --wait, or where that ``stays``, stay for its end."""
    exec.check(call)
    exec.check_text(call[name] for name in ("queue", "dedupe", "parent", "conversation", "node"))
    if call["expires"] is not None and not call["ask"]:
        raise BadInput("--expires goes with --ask", code="usage", hint="outlast run --help")
    leftovers = call["leftovers"] or ("kill" if stays else "keep")
    more = given(detach=None if stays else True, ask=call["ask"] or None, approvalExpiresSeconds=call["expires"])
    body = exec.request(call, leftovers=leftovers, **more, **_task_fields(call))
    task = call.client.post("/v1/exec", body)
    if "taskId" not in task:
        raise GatewayTrouble(
            "the gateway is of a version that records no tasks", code="old_gateway", hint="outlast gateway restart"
        )
    if call["wait"] or stays:
        return stay(call, task)
    call.answer(task, announce)
    return 0


def _task_fields(call: Call) -> dict[str, object]:
    return given(
        queue=call["queue"],
        priority=call["priority"],
        retries=call["retry"],
        retryDelaySeconds=call["retry_delay"],
        retryDelayMaxSeconds=call["retry_delay_max"],
        deadlineSeconds=call["deadline"],
        delaySeconds=call["delay"],
        dedupeKey=call["dedupe"],
        notify=call["notify"],
        parentId=call["parent"],
        conversation=call["conversation"],
        node=call["node"],
    )


def announce(task: Result) -> None:
    """Print the id alone on standard output; what else is worth knowing, and the next steps, beside it."""
    id = task["taskId"]
    if is_turn(task):
        from outlast.surfaces.cli.agents.run import announce as announce_turn

        announce_turn(task)
        return
    say(id)
    print_remarks(task)
    sys.stdout.flush()
    steps = exec.steps(
        (f"outlast tasks show {id}", "how it stands"),
        (f"outlast tasks log -f {id}", "follow its output"),
        (f"outlast tasks wait {id}", "wait for its end"),
        (f"outlast tasks cancel {id}", "end it"),
    )
    sys.stderr.write(steps + "\n")


def print_remarks(task: Result) -> None:
    """Say that it is there already, where it is, and what else is worth knowing of it."""
    if task.get("existing"):
        note("the same work is on record already and has not ended: this is its task")
    for line in task.get("advice") or ():
        note(safe(line))


def stay(call: Call, task: Result) -> int:
    """Stay for the end, with the output as it comes unless JSON is wanted; the exit code is the command's own."""
    from outlast.surfaces.cli.signals import Left
    from outlast.surfaces.cli.tasks.wait import until_ended
    from outlast.surfaces.cli.tasks.words import say_how, task_exit_code

    try:
        if call.json:
            [ended] = until_ended(call, [task])["tasks"]
        else:
            from outlast.surfaces.cli.tasks.along import along

            note(f"task {task['taskId']}")
            print_remarks(task)
            ended = along(call, task)
    except (KeyboardInterrupt, Left) as left:
        why, code = (str(left), left.code) if isinstance(left, Left) else ("interrupted", INTERRUPTED)
        goes_on = "is left as it is" if task.get("approvalId") else "goes on"
        note(f"{why}: task {task['taskId']} {goes_on}; back to it: outlast tasks log -f {task['taskId']}")
        return code
    if call.json:
        print_json(ended)
    else:
        say_how(ended)
    return task_exit_code(ended)
