"""On which rung of the ladder some work stands, in five lines: what it is, what it survives, who hears of it."""

from __future__ import annotations

import shlex

from outlast.api.agent_waits import turn_wait
from outlast.api.context import Api, Caller
from outlast.api.flow_explain import LAYERS, explain_flow
from outlast.api.flow_lookup import find_flow
from outlast.api.requests import PlainRequest
from outlast.api.task_lookup import find_task
from outlast.api.task_results import Explained, Survives, command_of, is_held
from outlast.api.told_results import channel_shown
from outlast.core.conversation import names_channel
from outlast.core.durations import format_duration
from outlast.core.errors import GatewayTrouble, NotFound
from outlast.core.flow import Flow, FlowMode
from outlast.core.ids import is_flow
from outlast.core.notification import listener_of
from outlast.core.session import Status
from outlast.core.task import OUTLIVED, NotifyPolicy, Runtime, Task
from outlast.process.sessions import Session

COMMAND_SHOWN = 60
_TOLD = {
    NotifyPolicy.DONE_ONLY: "when it ends",
    NotifyPolicy.STATE_CHANGES: "of every change",
    NotifyPolicy.FAILURES_ONLY: "only if it fails",
}


async def explain(api: Api, caller: Caller, name: str, request: PlainRequest) -> Explained:
    """Explain a task, a flow, or a session that is on no record. Raises NotFound, BadInput (``ambiguous``)."""
    if is_flow(name) and (flow := await _flow(api, caller, name)) is not None:
        return explain_flow(flow, api.clock.now())
    try:
        task = await find_task(api, caller, name)
        wait = await turn_wait(api, task)
        alone = await _is_alone(api, task)
        return _of_task(task, api.clock.now(), alone=alone, wait=None if wait is None else wait.words)
    except (NotFound, GatewayTrouble) as missing:
        try:
            session = await api.find(caller, name)
        except NotFound:
            if isinstance(missing, GatewayTrouble):
                raise missing from None
            raise NotFound(
                f"no task, flow or session {name!r}",
                hint="outlast tasks list, outlast flow list and outlast process list show them",
            ) from None
        return _of_session(session, api.clock.now(), followed=api.followed.has(session))


async def _flow(api: Api, caller: Caller, name: str) -> Flow | None:
    try:
        return await find_flow(api, caller, name)
    except NotFound:
        return None


async def _is_alone(api: Api, task: Task) -> bool:
    """True for a task that no flow coordinates: a mirrored flow merely follows its task."""
    if task.flow_id is None:
        return True
    flow = await api.store.get_flow(task.flow_id)
    return flow is not None and flow.mode is FlowMode.MIRRORED


def _of_task(task: Task, now: float, *, alone: bool, wait: str | None) -> Explained:
    silent = task.notify is NotifyPolicy.SILENT
    merely_outlived = task.source == OUTLIVED and silent
    rung = 4 if not alone else 2 if merely_outlived else 3
    runs = not task.status.final
    external = task.runtime is Runtime.EXTERNAL
    told = "nobody (policy silent)" if silent else f"{_hearer(task)} {_TOLD[task.notify]}"
    if task.status.final:
        told += f"; delivery: {task.delivery}"
    up = _task_up(task, merely_outlived)
    queued = task.status is Status.QUEUED
    return Explained(
        id=task.id,
        kind="task",
        rung=rung,
        layer=LAYERS[rung],
        lines=[
            ", ".join(filter(None, (_state(task, now), wait))),
            f"rung {rung} of 4, {LAYERS[rung]}: {_RUNG[2.5 if merely_outlived else rung]}",
            _survival(task),
            f"told: {told}",
            f"up a rung: {up or (_TOP if runs else 'nothing to do, it has ended')}",
        ],
        survives=Survives(terminal=True, gateway_restart=True, reboot=queued or external or not runs),
        told=told,
        next=up,
    )


def _hearer(task: Task) -> str:
    """Return who hears of a task: a conversation, or a channel without what may be secret in its address."""
    target = task.channel or listener_of(task)
    return channel_shown(target) if names_channel(target) else target


_TOP = "not needed, a single piece of work needs no flow"
_RUNG = {
    1: "somebody stays with the call; when he leaves it goes on, and goes on record",
    2: "a live session that can be watched and steered; it is on no record",
    2.5: "a live session on record because it outlived its call; steer it with `outlast process`",
    3: "on record: who asked, what happened, how it ended",
    4: "a step of a flow that coordinates several",
}


def _state(task: Task, now: float) -> str:
    what = task.label or task.title or _short(command_of(task)) or task.kind
    parts = [f"task {task.id} ({what}) is {task.status}"]
    if task.cause is not None and task.status.final:
        parts.append(f"cause {task.cause}")
    if task.started_at is not None:
        spent = (task.ended_at or now) - task.started_at
        parts.append(f"{'for' if task.status is Status.RUNNING else 'after'} {format_duration(max(0.0, spent))}")
    if is_held(task):
        parts.append(f"waits for approval {task.ask.get('approvalId')}")
    if task.attempts_max > 1:
        parts.append(f"attempt {task.attempt} of {task.attempts_max}")
    if task.progress is not None and task.status is not Status.SUCCEEDED:
        parts.append(f"{task.progress} % done")
    return ", ".join(parts)


def _survival(task: Task) -> str:
    if task.status.final:
        return "it has ended: the record stays until retention forgets it, its output for as long as sessions are kept"
    if task.runtime is Runtime.EXTERNAL:
        return "survives: it runs elsewhere; the record survives a closed terminal, a gateway restart and a reboot"
    if task.status is Status.QUEUED:
        return "survives: a closed terminal, a gateway restart, and a reboot (it waits on record)"
    return (
        "survives: a closed terminal and a gateway restart or kill -9 (it goes on and is found again); "
        "a reboot ends it, recorded as lost with cause host_restart"
    )


def _task_up(task: Task, merely_outlived: bool) -> str | None:
    if task.status.final:
        return None
    if merely_outlived or task.notify is NotifyPolicy.SILENT:
        return f"outlast tasks notify {task.id} done_only"
    return None


def _of_session(session: Session, now: float, *, followed: bool) -> Explained:
    runs = session.end is None
    rung = 1 if followed and runs else 2
    spent = (session.end.at if session.end and session.end.at else now) - (session.started_at or now)
    up = f"outlast run -- {_pasted(session)}" if runs else None
    return Explained(
        id=session.id,
        kind="session",
        rung=rung,
        layer=LAYERS[rung],
        lines=[
            f"session {session.id} ({_short(session.info.command)}) is {session.status}, "
            f"{'for' if runs else 'after'} {format_duration(max(0.0, spent))}",
            f"rung {rung} of 4, {LAYERS[rung]}: {_RUNG[rung]}",
            "survives: a closed terminal and a gateway restart or kill -9; a reboot ends it"
            if runs
            else "it has ended: its output is kept for as long as sessions are kept, then its record",
            "told: nobody; whoever asks: outlast process wait " + session.id if runs else "told: nobody",
            f"up a rung: {up} (next time: on record first, told at the end)"
            if up
            else "up a rung: nothing to do, it has ended",
        ],
        survives=Survives(terminal=True, gateway_restart=True, reboot=not runs),
        told="nobody",
        next=up,
    )


def _pasted(session: Session) -> str:
    """Return a command as it is given to another one: a line for the shell as one word, else the words it has."""
    info = session.info
    return shlex.quote(info.command) if info.argv[-2:] == ("-c", info.command) else info.command


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= COMMAND_SHOWN else line[: COMMAND_SHOWN - 1] + "…"
