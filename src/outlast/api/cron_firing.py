"""What an instant of a rule brings: the work is composed when it comes, as if its requester asked for it then."""

from __future__ import annotations

from typing import Literal

import msgspec

from outlast.api import detach as detached
from outlast.api.context import LOCAL, Api, Caller
from outlast.api.cron_agents import compose_agent
from outlast.api.cron_flows import compose_flow
from outlast.api.cron_policies import SOURCE, queue_of, retry_of
from outlast.api.exec import make_plan
from outlast.api.requests import ExecRequest
from outlast.core.conversation import NewSystemEvent
from outlast.core.errors import BadInput
from outlast.core.redact import redact
from outlast.core.schedule import (
    AgentPayload,
    CommandPayload,
    Deliver,
    EventPayload,
    FlowPayload,
    Schedule,
    Unreadable,
)
from outlast.core.task import NewTask, NotifyPolicy, Runtime
from outlast.store.base_told import NewFiring

How = Literal["fired", "manual"]


async def firing_of(api: Api, schedule: Schedule, instant: float, how: How) -> NewFiring:
    """Return the work of an instant, with all that has to be there before it. Raises what `compose` raises."""
    firing = compose(api, schedule, instant, how)
    if firing.task is not None and isinstance(schedule.payload, AgentPayload):
        await api.books.agents.prepare(firing.task)
    return firing


def compose(api: Api, schedule: Schedule, instant: float, how: How) -> NewFiring:
    """Return the work of an instant. Raises BadInput or Refused where the rule can make none (any more)."""
    payload = schedule.payload
    if isinstance(payload, EventPayload):
        event = NewSystemEvent(
            conversation=payload.conversation, at=api.clock.now(), kind="cron", text=payload.text,
            data={"title": f"schedule {schedule.name}", "text": payload.text, "schedule": schedule.name},
            source_key=f"{schedule.id}:{instant!r}",
        )  # fmt: skip
        return NewFiring(instant=instant, how=how, event=event)
    if isinstance(payload, Unreadable):
        raise BadInput(
            payload.why, code="unreadable", hint=f"outlast cron remove {schedule.name}, or give it a new one"
        )
    if isinstance(payload, FlowPayload):
        return NewFiring(instant=instant, how=how, flow=compose_flow(api, schedule, payload))
    if isinstance(payload, AgentPayload):
        return NewFiring(instant=instant, how=how, task=compose_agent(api, schedule, payload, instant))
    return NewFiring(instant=instant, how=how, task=_task(api, schedule, payload))


def _task(api: Api, schedule: Schedule, payload: CommandPayload) -> NewTask:
    request = ExecRequest(
        command=payload.command,
        argv=None if payload.argv is None else list(payload.argv),
        workdir=payload.workdir,
        env=dict(payload.env) or None,
        stdin=None if payload.stdin is None else payload.stdin,
        timeout_seconds=schedule.timeout_seconds,
        labels=[schedule.name],
        background=True,
        allow_duplicate=True,
    )
    caller = Caller(schedule.requester, operator=schedule.requester == LOCAL)
    spec = make_plan(api, caller, request, scheduled=True).spec
    return NewTask(
        id=api.ledger.new_id(),
        runtime=Runtime.CLI,
        kind="exec",
        source=SOURCE,
        requester=schedule.requester,
        created_at=api.clock.now(),
        ask=detached.asked(request, spec),
        payload={"spec": msgspec.to_builtins(spec)},
        conversation=schedule.conversation,
        label=redact(schedule.name),
        attempts_max=1 + schedule.retries,
        retry=retry_of(schedule),
        notify=NotifyPolicy.SILENT if schedule.deliver is Deliver.NONE else NotifyPolicy.DONE_ONLY,
        queue=queue_of(schedule),
        session_id=spec.id,
        schedule_id=schedule.id,
        channel=schedule.channel if schedule.deliver is Deliver.WEBHOOK else None,
    )
