"""Flows as what a schedule does: which one is found out when the rule is made, its run is composed at each instant."""

from __future__ import annotations

from msgspec.structs import replace

from outlast.api import flow_files
from outlast.api.context import LOCAL, Api, Caller
from outlast.api.cron_policies import RETRY_DELAY, RETRY_DELAY_MAX
from outlast.api.flow_handlers import handler_of, served
from outlast.api.flow_requests import FlowStartRequest
from outlast.api.flow_starts import file_target, new_flow, program_target, require_full
from outlast.api.told_requests import ScheduleFields
from outlast.core.errors import BadInput
from outlast.core.flow import NewFlow
from outlast.core.schedule import Deliver, FlowPayload, Overlap, Schedule


async def flow_payload(api: Api, caller: Caller, request: ScheduleFields) -> FlowPayload | None:
    """Return the flow that a request wants to be run; None where it wants none. A file is kept as it is now."""
    if request.flow_file is not None:
        read = await flow_files.read(request.flow_file)
        return FlowPayload(flow=request.flow_file.name, definition=read.builtins)
    if request.flow is None:
        return None
    require_full(api, caller)
    handler = await (
        handler_of(request.flow) if ":" in request.flow or "/" in request.flow else served(api, request.flow)
    )
    return FlowPayload(flow=request.flow, handler=handler)


def compose_flow(api: Api, schedule: Schedule, payload: FlowPayload) -> NewFlow:
    """Return the flow of an instant. Raises BadInput or Refused where the rule can make none (any more)."""
    retries = schedule.retries or None
    request = FlowStartRequest(
        kwargs=dict(payload.arguments) or None,
        text=True,
        env=dict(payload.env) or None,
        workdir=payload.workdir,
        label=schedule.name,
        conversation=schedule.conversation,
        notify="silent" if schedule.deliver is Deliver.NONE else "done_only",
        deadline_seconds=schedule.timeout_seconds,
        retries=retries,
        retry_delay_seconds=None if retries is None else RETRY_DELAY,
        retry_delay_max_seconds=None if retries is None else RETRY_DELAY_MAX,
    )
    caller = Caller(schedule.requester, operator=schedule.requester == LOCAL)
    if payload.definition is not None:
        read = flow_files.from_record(payload.definition)
        target = file_target(api, caller, request, read, payload.flow, there=False)
    elif payload.handler is not None:
        require_full(api, caller)
        target = program_target(api, caller, request, payload.handler, there=False)
    else:
        raise BadInput(f"schedule {schedule.name} names a flow that is not known", code="unreadable")
    if schedule.overlap is Overlap.QUEUE:
        target = target._replace(concurrency_key=f"cron:{schedule.id}", concurrency_max=1)
    return replace(
        new_flow(api, caller, request, target), schedule_id=schedule.id,
        channel=schedule.channel if schedule.deliver is Deliver.WEBHOOK else None,
    )  # fmt: skip
