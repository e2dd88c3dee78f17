"""Starting flows: a file, a program, or the name of one that a worker serves. Checked first, then put on record."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from outlast.api import flow_files
from outlast.api.agent_rights import may_have_told
from outlast.api.context import Api, Caller
from outlast.api.exec import base_environment, workdir_at
from outlast.api.flow_handlers import handler_of, served
from outlast.api.flow_lookup import find_flow
from outlast.api.flow_requests import FlowStartRequest
from outlast.api.flow_results import FlowResult, describe_flow
from outlast.core import policy
from outlast.core.environment import check_overrides, inherited
from outlast.core.errors import BadInput, Conflict, Refused
from outlast.core.flow import FILE_HANDLER, Flow, FlowMode, NewFlow
from outlast.core.ids import own_key, timed_id
from outlast.core.redact import redact
from outlast.core.retry import DELAY_DEFAULT, DELAY_MAX_DEFAULT, RetryPolicy
from outlast.core.task import NotifyPolicy
from outlast.core.text import is_sound_value

ARGUMENTS_MAX = 1024 * 1024
"""Bytes of the arguments of one flow, as JSON."""


class Target(NamedTuple):
    """What is to be run: the name and handler of the flow, what it runs with, and what is shown of that."""

    mode: FlowMode
    name: str
    handler: str
    input: dict[str, object]
    ask: dict[str, object]
    goal: str | None = None
    timeout_seconds: float | None = None
    concurrency_key: str | None = None
    concurrency_max: int = 1


def new_flow_id(api: Api) -> str:
    """Return a fresh id of a flow: sorts by time, 17 characters."""
    return timed_id("f", api.clock.now(), secrets.randbits(40), 4)


async def start(api: Api, caller: Caller, request: FlowStartRequest) -> FlowResult:
    """Put a flow on record; whoever serves its handler takes it up. Raises BadInput with everything that is wrong."""
    await may_have_told(api, caller, request.conversation)
    target = await target_of(api, caller, request)
    parent = await parent_of(api, caller, request.parent_id)
    new = new_flow(api, caller, request, target, parent)
    created = await api.finish(api.store.create_flow(new))
    return describe_flow(created.flow, api.clock.now(), whole=True, existing=created.existing)


async def parent_of(api: Api, caller: Caller, lookup: str | None) -> Flow | None:
    """Return the flow a new one is to belong to. Raises Conflict for one that takes no children any more."""
    if lookup is None:
        return None
    parent = await find_flow(api, caller, lookup)
    if parent.status.final:
        raise Conflict(
            f"flow {parent.id} has ended: {parent.status}", code="flow_ended", hint="start it without a parent"
        )
    if parent.cancel_asked_at is not None:
        raise cancelling(parent)
    return parent


def cancelling(flow: Flow) -> Conflict:
    """Return what somebody gets who wants more of a flow that is to be cancelled."""
    return Conflict(
        f"flow {flow.id} is to be cancelled: it takes nothing new", code="cancelling",
        hint=f"outlast flow watch {flow.id}",
    )  # fmt: skip


def new_flow(
    api: Api, caller: Caller, request: FlowStartRequest, target: Target, parent: Flow | None = None
) -> NewFlow:
    """Return the record of a flow that is asked for."""
    now = api.clock.now()
    seconds = [one for one in (request.deadline_seconds, target.timeout_seconds) if one is not None]
    key = request.concurrency_key or target.concurrency_key
    if request.concurrency_max is not None and key is None:
        raise BadInput("concurrencyMax: goes with concurrencyKey only")
    retries = request.retries or 0
    return NewFlow(
        id=new_flow_id(api),
        mode=target.mode,
        name=target.name,
        requester=caller.requester,
        created_at=now,
        handler=target.handler,
        input=target.input,
        ask=target.ask,
        goal=masked(request.goal if request.goal is not None else target.goal),
        conversation=request.conversation,
        label=masked(request.label),
        parent_id=None if parent is None else parent.id,
        priority=request.priority or 0,
        notify=NotifyPolicy(request.notify or NotifyPolicy.DONE_ONLY),
        dedupe_key=None if request.dedupe_key is None else own_key(caller.requester, request.dedupe_key),
        concurrency_key=key,
        concurrency_max=request.concurrency_max or target.concurrency_max,
        attempts_max=1 + retries,
        retry=_retry(request) if retries else None,
        not_before_at=None if request.delay_seconds is None else now + request.delay_seconds,
        deadline_at=now + min(seconds) if seconds else None,
    )


def masked(text: str | None) -> str | None:
    """Return a text as it may be shown."""
    return None if text is None else redact(text)


def _retry(request: FlowStartRequest) -> dict[str, object]:
    delay = DELAY_DEFAULT if request.retry_delay_seconds is None else request.retry_delay_seconds
    longest = request.retry_delay_max_seconds
    rule = RetryPolicy(
        delay_seconds=delay, delay_max_seconds=max(DELAY_MAX_DEFAULT, delay) if longest is None else longest
    )
    fields: dict[str, object] = msgspec.to_builtins(rule)
    return fields


async def target_of(api: Api, caller: Caller, request: FlowStartRequest) -> Target:
    """Return what a request wants to be run. Raises BadInput, NotFound or Refused; nothing is changed."""
    given = [name for name in ("file", "handler", "name") if getattr(request, name) is not None]
    if len(given) != 1:
        raise BadInput(
            f"{given[1]}: does not go with {given[0]}" if given else "file: is required (or handler, or name)",
            hint="a file's text, /abs/file.py:name, package.module:name, or the name of a flow that is served",
        )
    _check_values(request)
    if request.file is not None:
        return file_target(api, caller, request, await flow_files.read(request.file), request.file.name)
    require_full(api, caller)
    named = request.handler is not None
    handler = await (handler_of(request.handler or "") if named else served(api, request.name or ""))
    return program_target(api, caller, request, handler)


def _check_values(request: FlowStartRequest) -> None:
    for name in ("args", "kwargs"):
        value = getattr(request, name)
        if value is None:
            continue
        if not is_sound_value(value):
            raise BadInput(f"{name}: must be text in valid UTF-8 without NUL", code="not_text")
        if len(msgspec.json.encode(value)) > ARGUMENTS_MAX:
            raise BadInput(f"{name}: more than {ARGUMENTS_MAX} bytes of JSON", hint="name a file instead")


def place(api: Api, caller: Caller, request: FlowStartRequest, *, there: bool = True) -> tuple[dict[str, str], str]:
    """Return the environment and the directory that a flow's commands will have."""
    base = base_environment(api, caller, request.caller_env)
    overrides = check_overrides(request.env or {}, caller.remote)
    return {**inherited(base), **overrides}, workdir_at(request.workdir, base.get("HOME"), there=there)


# ---- programs


def program_target(api: Api, caller: Caller, request: FlowStartRequest, handler: str, *, there: bool = True) -> Target:
    """Return what a program is to be run with; ``there``: its directory has to be."""
    env, workdir = place(api, caller, request, there=there)
    args, kwargs, text = request.args or [], request.kwargs or {}, bool(request.text)
    body: dict[str, object] = {"args": args, "kwargs": kwargs, "text": text, "env": env, "workdir": workdir}
    return Target(FlowMode.PROGRAM, handler.rpartition(":")[2], handler, body, asked(handler, args, kwargs, workdir))


def require_full(api: Api, caller: Caller) -> None:
    """Raise Refused unless the requester may run whatever it likes: a program is code, which no pattern vouches for."""
    settings = api.config
    mode = policy.mode_for(caller.requester, settings.exec_mode, settings.exec_requesters)
    if mode != "full":
        raise Refused(
            f"{caller.requester} may not start programs here: exec.mode is {mode}", code="exec_denied",
            hint="ask the operator to start it, or use a flow file, whose commands are checked one by one",
        )  # fmt: skip


def asked(handler: str, args: list[Any], kwargs: Mapping[str, Any], workdir: str) -> dict[str, object]:
    """Return what goes on record of a start, with no secret that is recognised."""
    return {
        "handler": handler,
        "args": [shown(one) for one in args],
        "kwargs": shown_fields(kwargs),
        "workdir": workdir,
    }


def shown(value: Any) -> Any:  # noqa: ANN401 — whatever JSON can hold
    """Return a value with the secrets in its texts masked."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return shown_fields(value)
    return [shown(one) for one in value] if isinstance(value, list | tuple) else value


def shown_fields(fields: Mapping[str, Any]) -> dict[str, object]:
    """Return named values likewise: a name may tell that its value is a secret."""
    return {
        name: redact(f"{name}={value}")[len(name) + 1 :] if isinstance(value, str) else shown(value)
        for name, value in fields.items()
    }  # fmt: skip


# ---- files


def file_target(
    api: Api,
    caller: Caller,
    request: FlowStartRequest,
    read: flow_files.FileRead,
    name: str,
    *,
    there: bool = True,
) -> Target:
    """Return what a flow file is to be run with."""
    env, workdir = place(api, caller, request, there=there)
    values = read.arguments(request.args or [], request.kwargs or {}, text=bool(request.text))
    require_commands(api, caller, read)
    return Target(
        mode=FlowMode.FILE,
        name=read.definition.name,
        handler=FILE_HANDLER,
        input={"definition": read.builtins, "args": values, "env": env, "workdir": workdir},
        ask={"file": os.path.basename(name), "args": shown_fields(values), "workdir": workdir},
        goal=read.goal(values),
        timeout_seconds=read.definition.timeout,
        concurrency_key=read.concurrency_key(values),
        concurrency_max=read.concurrency_max,
    )


def require_commands(api: Api, caller: Caller, read: flow_files.FileRead) -> None:
    """Raise Refused where a file has a shell line that its requester may not run; the rest is checked as it comes."""
    settings = api.config
    for command in read.shell_lines:
        policy.require(
            settings.exec_mode, settings.exec_allow, settings.exec_requesters, caller.requester, command=command
        )
