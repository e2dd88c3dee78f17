"""Detached commands: on record before they begin, started by a worker, told about when they end."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from outlast.api.agent_rights import may_have_told
from outlast.api.context import Api, Caller
from outlast.api.requests import ExecRequest
from outlast.api.task_lookup import find_task, task_around
from outlast.api.task_requests import check_text
from outlast.api.task_results import TaskResult, describe
from outlast.core.agent import conversation_in
from outlast.core.errors import BadInput
from outlast.core.ids import own_key
from outlast.core.redact import redact, redact_argv
from outlast.core.retry import DELAY_DEFAULT, DELAY_MAX_DEFAULT, RetryPolicy
from outlast.core.session import ExecSpec
from outlast.core.task import NewTask, NotifyPolicy, Runtime, Task

ONLY_DETACHED = (
    "queue", "priority", "retries", "retry_delay_seconds", "retry_delay_max_seconds", "deadline_seconds",
    "delay_seconds", "dedupe_key", "notify", "conversation", "parent_id", "node",
)  # fmt: skip
ANYWHERE = "any"
APPROVAL = "approvalId"
"""Where the record of a task that was asked about names its approval, beside what was asked."""
_REPEATED = (
    "workdir", "pty", "cols", "rows", "timeout_seconds", "idle_timeout_seconds", "grace_seconds", "leftovers",
    "streams", "deadline_seconds",
)  # fmt: skip
"""Fields of a request that are put on record as they are, so that the work can be asked for again."""


def check_fields(request: ExecRequest) -> None:
    """Raise BadInput for fields that go with ``detach`` or ``ask`` only, and for those that do not go with them."""
    if request.approval_expires_seconds is not None and not request.ask:
        raise BadInput("approvalExpiresSeconds: goes with ask only", hint="add ask: true (--ask)")
    if request.detach or request.ask:
        word = "detach" if request.detach else "ask"
        if request.ready_when is not None:
            raise BadInput(f"readyWhen: does not go with {word}", hint="outlast process wait SESSION --pattern …")
        if request.follow:
            raise BadInput(f"follow: does not go with {word}")
        check_text(None, request, *ONLY_DETACHED)
        return
    for name in ONLY_DETACHED:
        if getattr(request, name) is not None:
            raise BadInput(f"{spelled(name)}: goes with detach only", hint="add detach: true (outlast run …)")


def spelled(name: str) -> str:
    """Return the wire spelling of a field of the request."""
    return next(field.encode_name for field in msgspec.structs.fields(ExecRequest) if field.name == name)


async def detach(
    api: Api, caller: Caller, request: ExecRequest, spec: ExecSpec, advice: list[str], source: str = "exec"
) -> TaskResult:
    """Put a command on record and have it done. The same command, still queued or running, comes back instead."""
    new = await compose(api, caller, request, spec, source)
    created = await api.finish(api.books.submit(new))
    return describe(created.task, api.clock.now(), existing=created.existing, advice=advice)


async def compose(api: Api, caller: Caller, request: ExecRequest, spec: ExecSpec, source: str) -> NewTask:
    """Return the task that a request asks for, with what it is to run."""
    await may_have_told(api, caller, request.conversation)
    now = api.clock.now()
    parent = await _parent(api, caller, request)
    retries = request.retries or 0
    label = redact(spec.labels[0]) if spec.labels else None
    return NewTask(
        id=api.ledger.new_id(),
        runtime=Runtime.CLI,
        kind="exec",
        source=source,
        requester=caller.requester,
        created_at=now,
        ask=asked(request, spec),
        payload={"spec": _builtins(spec)},
        conversation=request.conversation,
        parent_id=None if parent is None else parent.id,
        node=None if request.node == ANYWHERE else request.node or api.books.node,
        label=label,
        title=None if spec.title is None else redact(spec.title),
        attempts_max=1 + retries,
        retry=_retry(request) if retries else None,
        notify=NotifyPolicy(request.notify or NotifyPolicy.DONE_ONLY),
        priority=request.priority or 0,
        queue=_queue(request),
        dedupe_key=_dedupe_key(caller, request, spec),
        deadline_at=None if request.deadline_seconds is None else now + request.deadline_seconds,
        not_before_at=None if request.delay_seconds is None else now + request.delay_seconds,
        session_id=spec.id,
    )


def _builtins(spec: ExecSpec) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(spec)
    return fields


def _retry(request: ExecRequest) -> dict[str, object]:
    """Return how long to wait between attempts. A pause longer than the usual bound is one that was asked for."""
    delay = DELAY_DEFAULT if request.retry_delay_seconds is None else request.retry_delay_seconds
    longest = request.retry_delay_max_seconds
    policy = RetryPolicy(
        delay_seconds=delay, delay_max_seconds=max(DELAY_MAX_DEFAULT, delay) if longest is None else longest
    )
    fields: dict[str, object] = msgspec.to_builtins(policy)
    return fields


def _queue(request: ExecRequest) -> str:
    """Return the queue that is named. Raises BadInput (``bad_queue``) for the row of a conversation's turns."""
    queue = request.queue or "default"
    if conversation_in(queue) is not None:
        raise BadInput(
            f"queue: {queue!r} keeps the turns of a conversation in a row, and no commands", code="bad_queue",
            hint="name another queue",
        )  # fmt: skip
    return queue


def _dedupe_key(caller: Caller, request: ExecRequest, spec: ExecSpec) -> str | None:
    """Return the key under which live work counts as the same: the caller's own, else that of start-once."""
    if request.dedupe_key is not None:
        return own_key(caller.requester, request.dedupe_key)
    return None if request.allow_duplicate else f"start:{spec.start_key}"


async def _parent(api: Api, caller: Caller, request: ExecRequest) -> Task | None:
    """Return the task this one belongs to: the one named, else the one whose command asks."""
    if request.parent_id is not None:
        return await find_task(api, caller, request.parent_id)
    return await task_around(api, caller, request.caller_env)


def asked(request: ExecRequest, spec: ExecSpec) -> dict[str, object]:
    """Return what goes on record of a request: everything it takes to ask again, and no secret that is recognised.

    ``kept`` is False when something had to be left out, so that the same work cannot be asked for from the record.
    """
    ask: dict[str, object] = {"workdir": spec.cwd}
    kept = spec.stdin_text is None
    if request.command is not None:
        ask["command"] = redact(request.command)
        kept = kept and ask["command"] == request.command
    else:
        argv = list(request.argv or ())
        ask["argv"] = redact_argv(argv)
        kept = kept and ask["argv"] == argv
    if request.env:
        shown = {name: redact(f"{name}={value}")[len(name) + 1 :] for name, value in request.env.items()}
        ask["env"] = shown
        kept = kept and shown == request.env
    for name in _REPEATED:
        value = getattr(request, name)
        if value is not None and name != "workdir":
            ask[name] = value
    if request.labels:
        ask["labels"] = [redact(label) for label in request.labels]
    if request.ask:
        ask["ask"] = True
    if not kept:
        ask["kept"] = False
    return ask


def again(task: Task, caller_env: dict[str, str] | None) -> ExecRequest:
    """Return the request that asks for a task's work once more. Raises BadInput when its record does not hold all."""
    fields = {name: value for name, value in task.ask.items() if name not in ("kept", APPROVAL)}
    request = msgspec.convert(
        {msgspec_name(name): value for name, value in fields.items()}, ExecRequest
    )  # fmt: skip
    retry = task.retry or {}
    return msgspec.structs.replace(
        request,
        detach=True,
        allow_duplicate=True,
        title=task.title,
        caller_env=caller_env,
        queue=task.queue,
        priority=task.priority,
        retries=task.attempts_max - 1,
        retry_delay_seconds=retry.get("delaySeconds"),
        retry_delay_max_seconds=retry.get("delayMaxSeconds"),
        notify=task.notify.value,
        conversation=task.conversation,
        parent_id=task.parent_id,
        node=task.node,
    )


def msgspec_name(name: str) -> str:
    """Return the wire spelling of a request's field."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def absolute(path: str, what: str) -> str:
    """Return a path a caller names on this machine. Raises BadInput unless it is absolute."""
    if not path.startswith("/") or "\0" in path:
        raise BadInput(f"{what}: {path!r} is not an absolute path", hint="start it with /")
    return os.path.normpath(path)
