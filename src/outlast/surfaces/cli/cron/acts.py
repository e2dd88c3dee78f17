"""``cron pause``, ``resume``, ``run`` and ``remove``: what is done to a schedule that is on record."""

from __future__ import annotations

from outlast.surfaces.cli import detached
from outlast.surfaces.cli.context import Call, task_path
from outlast.surfaces.cli.cron.words import say_stands, schedule_path
from outlast.surfaces.cli.output import brief, note, say
from outlast.surfaces.cli.tasks.words import is_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]


def pause(call: Call) -> None:
    """Let it rest."""
    call.answer(call.client.post(schedule_path(call["schedule"], "pause")), say_stands)


def resume(call: Call) -> None:
    """Let it fire again."""
    stands = call.client.post(schedule_path(call["schedule"], "resume"))
    call.answer(stands, say_stands)
    if stands["status"] == "done" and not call.json:
        note(f"its time has passed; to do it now: outlast cron run {brief(stands['name'])}")


def remove(call: Call) -> None:
    """Forget it."""
    answer = call.client.request("DELETE", schedule_path(call["schedule"]))
    call.answer(answer, lambda result: say(f"{', '.join(result['removed'])} removed"))


def run_now(call: Call) -> int:
    """Do its work now; with --wait stay for the end, and end with the command's code."""
    fired = call.client.post(schedule_path(call["schedule"], "run"))
    if call["wait"] and fired.get("flowId"):
        from outlast.surfaces.cli.flows.follow import stay

        return stay(call, {"flowId": fired["flowId"]})
    if call["wait"] and fired.get("taskId"):
        task = call.client.get(task_path(fired["taskId"]))
        if is_turn(task):
            from outlast.surfaces.cli.agents.run import stay as stay_with_turn

            return stay_with_turn(call, task)
        return detached.stay(call, task)
    call.answer(fired, _print_fired)
    return 0


def _print_fired(fired: Result) -> None:
    if fired.get("taskId"):
        detached.announce(fired)
    elif fired.get("flowId"):
        from outlast.surfaces.cli.flows.run import announce

        announce(fired)
    else:
        note(f"{fired['name']}: done, it makes no task")
