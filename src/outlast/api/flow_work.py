"""The work of a step of a flow: a task like any other, checked as if the flow's requester asked for it now."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import msgspec

from outlast.api import detach as detached
from outlast.api.agent_rights import depth_below, is_own
from outlast.api.agent_work import TurnAsk, agent_named, compose_turn, require_agents
from outlast.api.context import LOCAL, Caller, Making
from outlast.api.exec import make_plan
from outlast.api.requests import ExecRequest, StdinText
from outlast.core.agent import AgentConversation, with_requester
from outlast.core.conversation import KEY_MAX, check_key
from outlast.core.errors import Refused
from outlast.core.flow import Flow
from outlast.core.redact import redact
from outlast.core.task import NewTask, NotifyPolicy, Runtime
from outlast.flows.waits import AgentAsk, CommandAsk
from outlast.store.base import Store

SOURCE = "flow"
"""The source of tasks that are steps of flows."""


def compose_command(making: Making, task_id: str, flow: Flow, given: dict[str, Any], ask: CommandAsk) -> NewTask:
    """Return the task of a command step. Raises BadInput or Refused, as exec does."""
    request = ExecRequest(
        command=ask.command,
        argv=ask.argv,
        workdir=_workdir(given, ask),
        env=ask.env,
        stdin=None if ask.stdin is None else StdinText(text=ask.stdin),
        timeout_seconds=ask.timeout_seconds,
        title=ask.title or f"{flow.name}: {ask.step}",
        labels=[flow.name],
        background=True,
        allow_duplicate=True,
        caller_env=given.get("env"),
    )
    caller = Caller(flow.requester, operator=flow.requester == LOCAL)
    spec = make_plan(making, caller, request, scheduled=True).spec
    spec = msgspec.structs.replace(
        spec, env={**spec.env, "OUTLAST_FLOW_ID": flow.id, "OUTLAST_STEP": ask.step}, streams="apart"
    )
    return NewTask(
        id=task_id,
        runtime=Runtime.CLI,
        kind="exec",
        source=SOURCE,
        requester=flow.requester,
        created_at=making.clock.now(),
        ask=detached.asked(request, spec),
        payload={"spec": msgspec.to_builtins(spec)},
        flow_id=flow.id,
        node=flow.node,
        label=redact(flow.name),
        title=redact(request.title or ""),
        attempts_max=ask.attempts,
        retry=ask.retry,
        notify=NotifyPolicy.SILENT,
        priority=flow.priority,
        session_id=spec.id,
    )


def compose_agent(making: Making, task_id: str, flow: Flow, given: dict[str, Any], ask: AgentAsk) -> NewTask:
    """Return the task of an agent step. Raises BadInput, and Refused where the flow's requester may not run agents."""
    require_agents(making, flow.requester)
    turn = TurnAsk(
        agent=ask.agent,
        message=ask.message,
        source=SOURCE,
        requester=flow.requester,
        conversation=ask.conversation or conversation_of(ask.agent, flow.id, ask.step),
        workdir=_workdir(given, ask) if ask.workdir or not agent_named(making, ask.agent).workdir else None,
        env={"OUTLAST_FLOW_ID": flow.id, "OUTLAST_STEP": ask.step},
        caller_env=given.get("env"),
        timeout_seconds=ask.timeout_seconds,
        title=ask.title or f"{flow.name}: {ask.step}",
        label=flow.name,
        notify=NotifyPolicy.SILENT,
        priority=flow.priority,
        flow_id=flow.id,
    )
    return compose_turn(making, task_id, turn, node=flow.node)


async def admit_agent(making: Making, store: Store, flow: Flow, ask: AgentAsk) -> None:
    """Make ready what an agent step needs: its conversation, below that of the flow's requester.

    Raises Refused where that is none of the requester's, or too far down the line (``too_deep``). What the flow
    itself is called by is its own: steps share a conversation under ``agent:NAME:flow:ID:``.
    """
    if flow.requester == LOCAL:
        return
    key, own = ask.conversation, f"agent:{ask.agent}:flow:{flow.id}:"
    if key is not None and not key.startswith(own) and not await is_own(store, flow.requester, key):
        raise Refused(
            f"{flow.requester} may not speak in {key}",
            hint=f"name none, or {with_requester(ask.agent, flow.requester)}",
        )
    key = check_key(key or conversation_of(ask.agent, flow.id, ask.step), "conversation")
    if depth := await depth_below(store, flow.requester, key):
        now, workdir = making.clock.now(), agent_named(making, ask.agent).workdir
        await store.hold_conversation(AgentConversation(key, ask.agent, now, now, workdir, depth=depth))


def conversation_of(agent: str, flow_id: str, step: str) -> str:
    """Return the conversation of an agent step that names none: its own, also where steps have long names."""
    key = f"agent:{agent}:flow:{flow_id}:{step}"
    digest = hashlib.sha256(step.encode()).hexdigest()[:16]
    return key if len(key) <= KEY_MAX else f"agent:{agent}:flow:{flow_id}:{digest}"


def _workdir(given: dict[str, Any], ask: CommandAsk | AgentAsk) -> str | None:
    """Return where the command runs: as the step says, seen from where the flow was started."""
    start = given.get("workdir")
    if ask.workdir is None or start is None or ask.workdir.startswith(("/", "~")):
        return ask.workdir or start
    return os.path.normpath(os.path.join(start, ask.workdir))
