"""Rules of work to come: adding and changing them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from outlast.api.context import Api, Caller
from outlast.api.cron_agents import agent_payload, check_change
from outlast.api.cron_firing import compose, firing_of
from outlast.api.cron_flows import flow_payload
from outlast.api.cron_policies import queue_of
from outlast.api.exec import workdir_at
from outlast.api.requests import PlainRequest
from outlast.api.results import Removed
from outlast.api.told_requests import CronAddRequest, CronEditRequest, ScheduleFields
from outlast.api.told_results import FiredResult, ScheduleResult, describe_schedule, understood
from outlast.core import schedule as rules
from outlast.core.conversation import check_key
from outlast.core.durations import parse_duration
from outlast.core.environment import check_overrides
from outlast.core.errors import BadInput, Conflict, NotFound
from outlast.core.ids import timed_id
from outlast.core.redact import redact
from outlast.core.schedule import (
    AgentPayload,
    CommandPayload,
    Deliver,
    EventPayload,
    FlowPayload,
    Kind,
    Overlap,
    Payload,
    Schedule,
    Unreadable,
)
from outlast.core.text import is_sound, sound
from outlast.delivery.channels.targets import parse_target
from outlast.scheduler.instants import following, preview
from outlast.scheduler.when import parse_when
from outlast.scheduler.zones import zone

PREVIEWED = 3
_RULES = ("cron", "every", "at", "in_")
Made = FlowPayload | AgentPayload
_PAYLOADS = ("command", "argv", "event", "flow", "flow_file", "agent")


def system_zone(environ: dict[str, str] | Any) -> str:  # noqa: ANN401
    """Return the IANA name of the zone of this machine, ``UTC`` where it names none."""
    named = str(environ.get("TZ", "")).removeprefix(":")
    for candidate in (named, _linked()):
        if candidate:
            try:
                return zone(candidate).name
            except BadInput:
                continue
    return "UTC"


def _linked() -> str:
    try:
        return os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    except OSError:
        return ""


async def find(api: Api, caller: Caller, name: str) -> Schedule:
    """Return a rule by name or id. Raises NotFound, also for somebody else's."""
    found = None
    if is_sound(name):  # no record holds another, and not every store lets itself be asked for it
        found = await api.store.find_schedule(name) or await api.store.get_schedule(name)
    if found is None or not (caller.operator or found.requester == caller.requester):
        raise NotFound(f"no schedule {name!r}", hint="outlast cron list shows them")
    return found


# ---- adding and changing


async def add(api: Api, caller: Caller, request: CronAddRequest) -> ScheduleResult:
    """Put a rule on record, and say what was understood of it."""
    now = api.clock.now()
    _check_workdir(api, request)
    kind, expr, tz = _rule(api, request, now)
    rules.check_name(request.name)
    schedule = Schedule(
        id=timed_id("r", now, secrets.randbits(40), 4),
        name=request.name,
        requester=caller.requester,
        created_at=now,
        updated_at=now,
        kind=kind,
        expr=expr,
        tz=tz,
        payload=_payload(api, caller, request, await _made(api, caller, request)),
        conversation=None if request.conversation is None else check_key(request.conversation, "conversation"),
        delete_after_run=bool(request.delete_after_run),
        comment=sound(request.comment),
    )
    schedule = _begun(api, _with_policies(schedule, request), now)
    await put(api, schedule)
    return _shown(schedule, now)


async def put(api: Api, schedule: Schedule) -> None:
    """Put a new rule on record. Raises Conflict, and then leaves nothing behind."""
    await _one_at_a_time(api, schedule)
    try:
        await api.store.add_schedule(schedule)
    except Conflict:
        await _one_at_a_time(api, replace(schedule, overlap=Overlap.SKIP), schedule)
        raise


async def _one_at_a_time(api: Api, schedule: Schedule, before: Schedule | None = None) -> None:
    """Limit the queue of a rule before anything can come into it; lift the limit of a rule that wants it no more."""
    if schedule.overlap is Overlap.QUEUE:
        await api.store.set_queue_limit(queue_of(schedule), 1)
    elif before is not None and before.overlap is Overlap.QUEUE:
        await api.store.set_queue_limit(queue_of(before), None)


async def edit(api: Api, caller: Caller, name: str, request: CronEditRequest) -> ScheduleResult:
    """Change a rule. Of two changes of the same revision the second gets ``conflict``, and nothing is lost unseen."""
    now = api.clock.now()
    before = await find(api, caller, name)
    if request.revision is not None and request.revision != before.revision:
        raise _changed(before)
    made = await _made(api, caller, _payload_of(before, request))
    if made is None and isinstance(before.payload, AgentPayload):
        await check_change(api, caller, request, before.payload.agent)
    return await _written(api, before, lambda found: _edited(api, caller, found, request, made, now), now)


def _edited(
    api: Api, caller: Caller, before: Schedule, request: CronEditRequest, made: Made | None, now: float
) -> Schedule:
    _check_workdir(api, request)
    after = replace(before, updated_at=now)
    if any(getattr(request, field) is not None for field in _RULES) or request.tz is not None:
        kind, expr, tz = _rule(api, _rule_of(before, request), now)
        after = replace(after, kind=kind, expr=expr, tz=tz, anchor_at=now if kind is Kind.EVERY else None)
    if any(getattr(request, field) is not None for field in _PAYLOADS):
        after = replace(after, payload=_payload(api, caller, _payload_of(before, request), made))
    else:
        after = replace(after, payload=_dressed(after.payload, caller, request))
    if request.conversation is not None:
        check_key(request.conversation, "conversation")
    changes = {"conversation": request.conversation, "comment": sound(request.comment), "name": request.rename}
    after = replace(after, **{field: value for field, value in changes.items() if value is not None})
    rules.check_name(after.name)
    if request.delete_after_run is not None:
        after = replace(after, delete_after_run=request.delete_after_run)
    return _begun(api, _with_policies(after, request), now, before)


def _rule_of(before: Schedule, request: CronEditRequest) -> ScheduleFields:
    """Return the request with the rule that stays, where only its zone changes."""
    if any(getattr(request, field) is not None for field in _RULES):
        return request if request.tz is not None else replace(request, tz=before.tz)
    kept = {Kind.CRON: "cron", Kind.EVERY: "every", Kind.AT: "at"}[before.kind]
    expr = before.expr + "s" if before.kind is Kind.EVERY else before.expr
    return replace(request, **{kept: expr})


def _changed(schedule: Schedule) -> Conflict:
    return Conflict(
        f"schedule {schedule.name} was changed meanwhile: it is at revision {schedule.revision}", code="conflict",
        hint=f"outlast cron show {schedule.name}, then change it again",
    )  # fmt: skip


async def _written(api: Api, before: Schedule, change: Callable[[Schedule], Schedule], now: float) -> ScheduleResult:
    """Change a rule at the revision it was read at, once more when only an instant of it was settled meanwhile."""
    revision = before.revision
    while True:
        after = change(before)
        await _one_at_a_time(api, after)
        if (written := await api.store.edit_schedule(after)) is not None:
            break
        found = await api.store.get_schedule(before.id)
        if found is None:
            raise NotFound(f"schedule {before.name} was removed meanwhile", hint="outlast cron list shows them")
        if found.revision != revision:
            await _one_at_a_time(api, found, after)
            raise _changed(found)
        before = found
    await _one_at_a_time(api, written, before)
    return _shown(written, now)


def _shown(schedule: Schedule, now: float) -> ScheduleResult:
    try:
        ahead = understood(preview(schedule, now, PREVIEWED))
    except BadInput:  # its words say what is wrong with it
        return describe_schedule(schedule)
    return describe_schedule(schedule, understood=ahead)


_TIMING = ("kind", "expr", "tz", "anchor_at", "jitter_seconds")


def _begun(api: Api, schedule: Schedule, now: float, before: Schedule | None = None) -> Schedule:
    """Return the rule with its cursor set, after everything about it was checked as a firing would.

    Where a change leaves alone when it fires, the cursor stays: what is due already is due still.
    """
    rules.check_spans(schedule)
    compose(api, schedule, now, "fired")
    after = following(schedule)
    if before is not None and all(getattr(schedule, name) == getattr(before, name) for name in _TIMING):
        return schedule
    started = rules.begin(schedule, now, after)
    if started.active and started.next_at is None:
        raise BadInput(f"schedule {schedule.name} would never fire: its time has passed", code="in_the_past")
    return started


def _rule(api: Api, request: ScheduleFields, now: float) -> tuple[Kind, str, str]:
    given = [name for name in _RULES if getattr(request, name) is not None]
    if len(given) != 1:
        raise BadInput(
            f"{given[1].rstrip('_')}: does not go with {given[0]}" if given else "cron: is required (or every, at, in)",
            hint='cron "30 2 * * *", every 15m, at "2026-12-01 09:00", in 20m',
        )  # fmt: skip
    tz = zone(request.tz).name if request.tz is not None else system_zone(api.environ)
    if request.cron is not None:
        return Kind.CRON, request.cron, tz
    if request.every is not None:
        seconds = parse_duration(request.every)
        return Kind.EVERY, f"{seconds:.3f}".rstrip("0").rstrip("."), tz
    text = request.at if request.at is not None else f"in {(request.in_ or '').removeprefix('in ')}"
    return Kind.AT, rules.format_moment(parse_when(text, now=now, tz=tz).at), tz


async def _made(api: Api, caller: Caller, request: ScheduleFields) -> Made | None:
    """Return the flow or the agent's turn that a request wants, once it is known that there is such a thing."""
    if len([name for name in _PAYLOADS if getattr(request, name) is not None]) > 1:
        return None  # `_payload` says so
    return await agent_payload(api, caller, request) or await flow_payload(api, caller, request)


def _payload(api: Api, caller: Caller, request: ScheduleFields, made: Made | None) -> Payload:
    given = [name for name in _PAYLOADS if getattr(request, name) is not None]
    if len(given) != 1:
        raise BadInput(
            "command: is required (or argv, event, flow, flowFile, agent)"
            if not given
            else f"{given[1]}: does not go with {given[0]}"
        )
    for name, whose in (("arguments", ("flow", "flow_file")), ("message", ("agent",))):
        if getattr(request, name) is not None and given[0] not in whose:
            raise BadInput(f"{name}: goes with {whose[0]} only")
    env = check_overrides(request.env or {}, caller.remote)
    if isinstance(made, AgentPayload):
        return replace(made, env=env)
    if made is not None:
        workdir = request.workdir or api.environ.get("HOME")
        return replace(made, arguments=request.arguments or {}, workdir=workdir, env=env)
    if request.event is not None:
        if not request.to and not request.conversation:
            raise BadInput("to: is required with event", hint="the key of the conversation that is to hear it")
        to = request.to or request.conversation or ""
        _may_tell(caller, to)
        return EventPayload(conversation=to, text=redact(sound(request.event)))
    argv = None if request.argv is None else tuple(request.argv)
    return CommandPayload(
        command=request.command, argv=argv, workdir=request.workdir or api.environ.get("HOME"), env=env
    )


def _check_workdir(api: Api, request: ScheduleFields) -> None:
    """Raise BadInput for a directory that is named now and is not there; one that goes away later costs a run only."""
    if request.workdir is not None:
        workdir_at(request.workdir, api.environ.get("HOME"))


def _may_tell(caller: Caller, to: str | None) -> None:
    if to is not None:
        check_key(to, "to")
    if to not in (None, caller.requester):
        caller.needs_operator("speak to other conversations")


def _payload_of(before: Schedule, request: ScheduleFields) -> ScheduleFields:
    """Return the request with what stays of the payload before, where another of its kind takes its place."""
    kept: dict[str, Any] = {}
    if isinstance(before.payload, CommandPayload) and request.event is None:
        kept = {"workdir": before.payload.workdir, "env": before.payload.env}
    elif isinstance(before.payload, EventPayload) and request.event is not None:
        kept = {"to": before.payload.conversation}
    elif isinstance(before.payload, FlowPayload) and (request.flow is not None or request.flow_file is not None):
        kept = {"workdir": before.payload.workdir, "env": before.payload.env, "arguments": before.payload.arguments}
    elif isinstance(before.payload, AgentPayload) and request.agent is not None:
        held = before.payload
        kept = {"workdir": held.workdir, "env": held.env, "to": held.conversation, "message": held.message}
    return replace(request, **{name: value for name, value in kept.items() if getattr(request, name) is None})


def _dressed(payload: Payload | Unreadable, caller: Caller, request: ScheduleFields) -> Payload | Unreadable:
    """Return a payload that stays what it is, with another place, environment, conversation or message."""
    check_overrides(request.env or {}, caller.remote)
    fields: dict[str, str] = {}
    if isinstance(payload, CommandPayload):
        fields = {"env": "env", "workdir": "workdir"}
    elif isinstance(payload, EventPayload):
        _may_tell(caller, request.to)
        fields = {"to": "conversation"}
    elif isinstance(payload, FlowPayload):
        fields = {"env": "env", "workdir": "workdir", "arguments": "arguments"}
    elif isinstance(payload, AgentPayload):
        fields = {"env": "env", "workdir": "workdir", "to": "conversation", "message": "message"}
    changes: dict[str, Any] = {}
    for name in ("env", "workdir", "to", "arguments", "message"):
        if (value := getattr(request, name)) is None:
            continue
        if name not in fields:
            raise BadInput(f"{name}: does not go with what this schedule does")
        changes[fields[name]] = value
    return replace(payload, **changes)


def _with_policies(schedule: Schedule, request: ScheduleFields) -> Schedule:
    changes: dict[str, Any] = {
        "jitter_seconds": request.jitter_seconds,
        "retries": request.retries,
        "timeout_seconds": request.timeout_seconds,
        "overlap": None if request.overlap is None else Overlap(request.overlap),
    }
    if request.misfire is not None:
        changes["misfire"], changes["misfire_max"] = rules.parse_misfire(request.misfire)
    deliver = "webhook" if request.webhook is not None and request.deliver is None else request.deliver
    if deliver is not None:
        changes["deliver"] = Deliver(deliver)
        if deliver == "webhook" and not (request.webhook or schedule.channel):
            raise BadInput("webhook: is required when deliver is webhook")
    changed = replace(schedule, **{name: value for name, value in changes.items() if value is not None})
    if request.webhook is not None:
        return replace(changed, channel=parse_target(f"webhook:{request.webhook}").text)
    return changed if changed.deliver is Deliver.WEBHOOK else replace(changed, channel=None)


async def pause(api: Api, caller: Caller, name: str, request: PlainRequest) -> ScheduleResult:
    """Let no instant of a rule come due until it is resumed."""
    now = api.clock.now()
    before = await find(api, caller, name)
    if before.paused_at is not None:
        return _shown(before, now)
    off = {"paused_at": now, "updated_at": now, "next_at": None, "next_fire_at": None}
    return await _written(api, before, lambda found: replace(found, **off), now)


async def resume(api: Api, caller: Caller, name: str, request: PlainRequest) -> ScheduleResult:
    """Let a rule fire again from now on; what passed while it was paused or switched off stays passed.

    So one whose only moment has passed is done.
    """
    now = api.clock.now()
    before = await find(api, caller, name)
    if before.active:
        return _shown(before, now)
    on = {"paused_at": None, "disabled_at": None, "disabled_why": None, "failures": 0, "updated_at": now}
    return await _written(
        api, before, lambda found: rules.begin(replace(found, **on), now, following(found)), now
    )  # fmt: skip


async def remove(api: Api, caller: Caller, name: str, request: PlainRequest) -> Removed:
    """Forget a rule; the tasks it has made stay on record."""
    schedule = await find(api, caller, name)
    await api.store.remove_schedule(schedule.id)
    if schedule.overlap is Overlap.QUEUE:
        await api.store.set_queue_limit(queue_of(schedule), None)
    return Removed(removed=[schedule.name])


async def run_now(api: Api, caller: Caller, name: str, request: PlainRequest) -> FiredResult:
    """Do the work of a rule now, whatever its instants say; they stay as they are."""
    schedule = await find(api, caller, name)
    now = api.clock.now()
    firing = await firing_of(api, schedule, now, "manual")
    fired = await api.store.fire_manually(schedule, firing, now)
    task = fired.tasks[0][0] if fired.tasks else None
    flow = fired.flows[0] if fired.flows else None
    return FiredResult(
        name=schedule.name, task_id=None if task is None else task.id, flow_id=None if flow is None else flow.id,
        how="manual", runtime=None if task is None else task.runtime.value,
    )  # fmt: skip
