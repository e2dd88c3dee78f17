"""``tasks cancel``, ``retry``, ``dismiss`` and ``notify``: what is done to a task that is on record."""

from __future__ import annotations

import sys

from outlast.core.errors import OutlastError
from outlast.surfaces.cli.context import Call, given, task_path
from outlast.surfaces.cli.detached import announce
from outlast.surfaces.cli.exec import caller_env
from outlast.surfaces.cli.output import note, print_json, safe, say
from outlast.surfaces.cli.tasks.words import stands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Result = dict[str, Any]


def cancel(call: Call) -> int:
    """End tasks: queued ones leave their queue, running ones are killed with their whole tree."""
    body = given(reason=call["reason"], graceSeconds=call["grace"])
    # The answer comes when the tree is gone: no bound here that could be shorter than the grace.
    return _each(call, lambda task: call.client.post(task_path(task, "cancel"), body, seconds=None), stands)


def dismiss(call: Call) -> int:
    """Take ended tasks off the list."""
    return _each(call, lambda task: call.client.post(task_path(task, "dismiss")), lambda _: "dismissed")


def _each(call: Call, act: Callable[[str], Result], phrase: Callable[[Result], str]) -> int:
    """Do it to every task, also after one that could not be; the exit code is that of the first error."""
    if len(call["tasks"]) == 1:
        call.answer(act(call["tasks"][0]), lambda task: _say(task, phrase))
        return 0
    done: list[Result] = []
    failed: list[Result] = []
    code = 0
    for lookup in call["tasks"]:
        try:
            done.append(act(lookup))
        except OutlastError as error:
            code = code or error.exit_code
            failed.append({"lookup": lookup, **error.as_dict()["error"]})
            if not call.json:
                note(f"{safe(lookup)}: {safe(error.message)}")
        else:
            if not call.json:
                _say(done[-1], phrase)
    if call.json:
        print_json({"tasks": done, "errors": failed})
    return code


def _say(task: Result, phrase: Callable[[Result], str]) -> None:
    say(f"{task['taskId']} {phrase(task)}")
    sys.stdout.flush()


def retry(call: Call) -> None:
    """Run an ended task again and print the id of the new one."""
    body = {"callerEnv": caller_env()} if call.gateway is None else {}
    call.answer(call.client.post(task_path(call["task"], "retry"), body), announce)


def notify(call: Call) -> None:
    """Set of what the requester is told."""
    task = call.client.post(task_path(call["task"], "notify"), {"policy": call["policy"]})
    call.answer(task, lambda shown: say(f"{shown['taskId']} {shown['notify']}"))
