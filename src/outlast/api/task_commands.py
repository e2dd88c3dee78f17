"""Acts on the ledger that people and agents ask for: calling off, asking again, reporting in, upkeep."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from outlast.api import detach as detached
from outlast.api import exec as exec_
from outlast.api.agent_rights import may_have_told
from outlast.api.context import Api, Caller
from outlast.api.flow_managed import mirror_of
from outlast.api.flow_starts import new_flow_id
from outlast.api.flow_values import forget as forget_values
from outlast.api.requests import PlainRequest
from outlast.api.task_lookup import find_task, may_see
from outlast.api.task_requests import (
    BackupRequest,
    CancelRequest,
    MaintenanceRequest,
    NotifyRequest,
    QueueRequest,
    ReportRequest,
    ReportStartRequest,
    RetryRequest,
)
from outlast.api.task_results import (
    BackupResult,
    MaintenanceResult,
    MoveResult,
    Queues,
    TaskResult,
    describe,
)
from outlast.api.tasks import queues_with
from outlast.core.agent import conversation_in
from outlast.core.errors import BadInput, Conflict
from outlast.core.ids import own_key
from outlast.core.outcome import Outcome
from outlast.core.redact import redact
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, NotifyPolicy, Runtime, Task, TaskFilter
from outlast.ledger import flow_maintenance, maintenance
from outlast.ledger.news import Waiter
from outlast.runtimes import evidence
from outlast.store.base import LIST_MAX

CANCEL_SECONDS = 30.0
"""How long a cancel waits for the end before it answers that the end has been asked for."""
DAY = 86_400.0


async def cancel(api: Api, caller: Caller, task: Task, request: CancelRequest) -> TaskResult:
    """Call a task off, and what it has started; return how it stands once its command is gone.

    Work held by another gateway is asked to end: it comes back running, with ``cancelAskedAt``.
    """
    if task.status.final:
        raise Conflict(
            f"task {task.id} has ended already: {task.status}", code="already_ended",
            hint=f"outlast tasks show {task.id}",
        )  # fmt: skip
    reason = None if request.reason is None else redact(request.reason)
    call_off = partial(_cancel, api, reason=reason, grace_seconds=request.grace_seconds)
    return describe(await api.finish(_cancel_tree(api, task, call_off)), api.clock.now())


async def _cancel_tree(api: Api, task: Task, call_off: Callable[[Task, Cause], Awaitable[Task]]) -> Task:
    """Call off a task, then what it has started, then what that has: who has ended starts nothing more."""
    ended = await call_off(task, Cause.OPERATOR)
    seen, level = {task.id}, [task.id]
    while level:
        below = [child for parent in level for child in await _children(api, parent) if child.id not in seen]
        await asyncio.gather(*(call_off(child, Cause.PARENT) for child in below if not child.status.final))
        level = [child.id for child in below]
        seen.update(level)
    return ended


async def _children(api: Api, task_id: str) -> list[Task]:
    found: list[Task] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await api.store.list_tasks(TaskFilter(parent_id=task_id), LIST_MAX, cursor or None)
        found += page.tasks
        cursor = page.next
    return found


async def _cancel(api: Api, task: Task, cause: Cause, *, reason: str | None, grace_seconds: float | None) -> Task:
    moved = api.ledger.news.waiting_for([task.id])
    try:
        asked = await api.ledger.cancel(task, cause, reason)
        if not asked.status.final and api.books.holds(task.id):
            await api.first(_end(api, asked, cause, grace_seconds, moved), seconds=CANCEL_SECONDS)
    finally:
        moved.cancel()
    return await api.ledger.require(task.id)


async def _end(api: Api, task: Task, cause: Cause, grace_seconds: float | None, moved: Waiter) -> None:
    await api.finish(api.books.call_off(task, cause, grace_seconds))
    await moved


async def retry(api: Api, caller: Caller, task: Task, request: RetryRequest) -> TaskResult:
    """Do the work of an ended task again, as a new task, in the environment of whoever asks."""
    if not task.status.final:
        raise Conflict(f"task {task.id} is {task.status}", code="not_ended", hint=f"outlast tasks wait {task.id}")
    if task.runtime is not Runtime.CLI or not (task.ask.get("command") or task.ask.get("argv")):
        raise Conflict(
            f"task {task.id} cannot be repeated from its record: it is {task.runtime} work", code="not_repeatable",
            hint="ask whoever started it",
        )  # fmt: skip
    if task.ask.get("kept") is False:
        raise Conflict(
            f"task {task.id} was given secrets or input that are not kept on record", code="secrets_not_kept",
            hint="run the command again as it was",
        )  # fmt: skip
    acting = caller if caller.requester == task.requester else caller._replace(requester=task.requester)
    parent = None if task.parent_id is None else await api.store.get_task(task.parent_id)
    again = detached.again(task, request.caller_env)
    if parent is None or not may_see(acting, parent):  # forgotten by now
        again = msgspec.structs.replace(again, parent_id=None)
    result = await exec_.run_detached(api, acting, again, source="retry")
    await api.ledger.note(result.task_id, "retry_of", {"taskId": task.id})
    return result


async def dismiss(api: Api, caller: Caller, task: Task, request: PlainRequest) -> TaskResult:
    """Put an ended task out of sight: no list shows it unasked, no audit finds fault with it."""
    if not task.status.final:
        raise Conflict(f"task {task.id} is {task.status}", code="not_ended", hint=f"outlast tasks cancel {task.id}")
    dismissed = await api.store.dismiss(task.id, api.clock.now())
    return describe(dismissed or await api.ledger.require(task.id), api.clock.now())


async def notify(api: Api, caller: Caller, task: Task, request: NotifyRequest) -> TaskResult:
    """Change of what the requester is told from now on."""
    changed = await api.store.set_notify(task.id, NotifyPolicy(request.policy), api.clock.now())
    return describe(changed or await api.ledger.require(task.id), api.clock.now())


async def report_start(api: Api, caller: Caller, request: ReportStartRequest) -> TaskResult:
    """Put work on record that runs elsewhere and reports in; nobody here starts, watches or ends it."""
    await may_have_told(api, caller, request.conversation)
    now = api.clock.now()
    parent = None if request.parent_id is None else await find_task(api, caller, request.parent_id)
    new = NewTask(
        id=api.ledger.new_id(),
        runtime=Runtime.EXTERNAL,
        kind=request.kind or "report",
        source="report",
        requester=caller.requester,
        created_at=now,
        ask={} if request.command is None else {"command": redact(request.command)},
        conversation=request.conversation,
        parent_id=None if parent is None else parent.id,
        label=None if request.label is None else redact(request.label),
        title=None if request.title is None else redact(request.title),
        notify=NotifyPolicy(request.notify or NotifyPolicy.DONE_ONLY),
        queue="external",
        dedupe_key=None if request.dedupe_key is None else own_key(caller.requester, request.dedupe_key),
        deadline_at=None if request.deadline_seconds is None else now + request.deadline_seconds,
        session_id=request.run_id,
        flow_id=new_flow_id(api) if request.mirror else None,
    )
    mirror = None if new.flow_id is None else mirror_of(new, new.flow_id)
    created = await api.finish(api.ledger.record_running(new, leased=False, mirror=mirror))
    if new.deadline_at is not None:
        api.books.look()
    return describe(created.task, api.clock.now(), existing=created.existing)


async def report(api: Api, caller: Caller, task: Task, request: ReportRequest) -> TaskResult:
    """Take a report: how far the work is, or how it ended. One that comes too late becomes a line of its history."""
    if request.done:
        return await _report_end(api, task, request)
    if request.status is not None or request.exit_code is not None:
        raise BadInput("status: goes with done only", hint='add "done": true')
    if request.progress is None and not request.message:
        raise BadInput("progress: is required (or message, or done)")
    message = None if request.message is None else redact(request.message)
    moved = await api.ledger.progress(task.id, request.progress, message)
    if moved is not None:
        return describe(moved, api.clock.now())
    await api.ledger.note(task.id, "late", {"progress": request.progress, "message": message})
    return describe(await api.ledger.require(task.id), api.clock.now(), late=True)


async def _report_end(api: Api, task: Task, request: ReportRequest) -> TaskResult:
    if task.runtime is not Runtime.EXTERNAL:
        raise Conflict(
            f"task {task.id} is run here: its end is what its command comes to", code="not_external",
            hint="report progress only, and let the command exit",
        )  # fmt: skip
    status = Status(request.status or ("failed" if request.exit_code or request.error else "succeeded"))
    cause = Cause.EXIT if request.exit_code is not None and request.status is None else Cause.REPORTED
    outcome = Outcome(
        status=status,
        cause=cause,
        at=api.clock.now(),
        detail={} if request.exit_code is None else {"exitCode": request.exit_code},
        error=None if request.error is None else redact(request.error),
        summary=None if request.summary is None else redact(request.summary),
    )
    recorded = await api.ledger.finish(task, outcome)
    more = {"late": True} if recorded.how == "late" else {}
    return describe(recorded.task, api.clock.now(), **more)


async def set_queue(api: Api, caller: Caller, request: QueueRequest) -> Queues:
    """Limit how many tasks of a queue run at once; running ones go on."""
    caller.needs_operator("set the limits of queues")
    if conversation_in(request.name) is not None and (request.limit is None or request.limit > 1):
        raise BadInput(
            f"{request.name}: a conversation has one turn at a time", code="bad_limit",
            hint="limit it to 1, or to 0 to have it rest",
        )  # fmt: skip
    await api.store.set_queue_limit(request.name, request.limit)
    return await queues_with(api, request.name)


async def maintain(api: Api, caller: Caller, request: MaintenanceRequest) -> MaintenanceResult:
    """Mend what can be mended and forget what is old; without ``apply`` say what would be done."""
    caller.needs_operator("maintain the ledger")
    archive = None if request.archive is None else detached.absolute(request.archive, "archive")
    now = api.clock.now()
    before = now - api.config.tasks_keep_days * DAY

    def look(task: Task) -> Outcome | None:
        return evidence.seen_end(api.sessions, task, now)

    moves = await maintenance.plan(api.store, now, look, own=lambda task: task.node == api.books.node)
    if request.apply:
        await maintenance.mend(api.ledger, moves, look)
        await api.books.settle()
        limit = request.limit or maintenance.LIMIT_DEFAULT
        done = await maintenance.prune(api.ledger, before, limit=limit, archive=archive)
        flows = await flow_maintenance.prune_flows(
            api.store, before, limit=limit, archive=archive, forget=partial(forget_values, api.config)
        )
    else:
        prunable = await maintenance.count_prunable(api.store, before)
        done = maintenance.Upkeep(moves, 0, prunable, 0, False)
        old = await flow_maintenance.count_prunable_flows(api.store, before)
        flows = flow_maintenance.FlowsForgotten(0, old, 0, False)
    return MaintenanceResult(
        applied=bool(request.apply),
        moves=[MoveResult(task_id=move.task_id, act=move.act, why=move.why) for move in moves],
        lost=[move.task_id for move in moves if move.act == "lose"],
        cleaned=sum(move.act == "clean" for move in moves),
        pruned=done.pruned,
        prunable=done.prunable,
        flows_pruned=flows.pruned,
        flows_prunable=flows.prunable,
        archived=done.archived + flows.archived,
        archive=archive,
        more=done.more or flows.more,
    )


async def backup(api: Api, caller: Caller, request: BackupRequest) -> BackupResult:
    """Copy the live store to a new file; what was committed before the call is in it."""
    caller.needs_operator("copy the store")
    path = detached.absolute(request.path, "path")
    try:
        await api.store.backup(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", code="bad_path", hint="name a file you can write") from error
    return BackupResult(path=path, bytes=os.stat(path).st_size)
