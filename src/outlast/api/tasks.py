"""Questions about the ledger; nothing here changes it. They work with a gateway and, on the same store, without one."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from functools import partial

from outlast.api import queries
from outlast.api.agent_findings import agent_findings
from outlast.api.agent_rights import is_own
from outlast.api.agent_waits import turn_wait
from outlast.api.context import Api, Caller, until
from outlast.api.flow_lookup import may_see_flow
from outlast.api.requests import LogRequest, PlainRequest
from outlast.api.results import LogResult, iso
from outlast.api.task_lookup import find_task, may_see
from outlast.api.task_requests import AuditRequest, EventsRequest, TasksRequest, TaskWaitRequest
from outlast.api.task_results import (
    AuditResult,
    EventPage,
    FindingResult,
    QueueResult,
    Queues,
    StatsResult,
    StoreCheck,
    StoreFacts,
    TaskPage,
    TaskResult,
    TasksStatus,
    TaskWaitResult,
    describe,
    describe_event,
)
from outlast.core.agent import conversation_in, only_in_a_row
from outlast.core.errors import BadInput, GatewayTrouble, NotFound
from outlast.core.findings import KINDS, PASSED, SEVERITIES, Code, Finding
from outlast.core.schedule import passed
from outlast.core.session import Span, Status
from outlast.core.task import Runtime, Task, TaskFilter
from outlast.ledger.audit import PER_CODE_MAX, audit
from outlast.ledger.flow_audit import audit_flows
from outlast.runtimes import evidence

LIST_DEFAULT = 50
EVENTS_DEFAULT = 200
WAIT_DEFAULT_MS = 600_000
MISFIRES_SECONDS = 86_400.0
"""How long an audit speaks of a missed instant."""
FREE_WARN = 1024**3
"""Bytes of free disk below which an audit says so."""


async def list_tasks(api: Api, caller: Caller, request: TasksRequest) -> TaskPage:
    """Return one page of the caller's tasks, newest first; what was dismissed only when it is asked for."""
    narrow = TaskFilter(
        statuses=statuses_of(request.status),
        runtime=None if request.runtime is None else Runtime(request.runtime),
        requester=request.owner if caller.operator else caller.requester,
        conversation=request.conversation,
        parent_id=request.parent,
        flow_id=request.flow,
        label=request.label,
        search=request.search,
        since=moment(request.since, "since"),
        dismissed=bool(request.dismissed),
    )
    if not caller.operator and request.owner not in (None, caller.requester):
        return TaskPage(tasks=[], next=None)
    page = await api.store.list_tasks(narrow, request.limit or LIST_DEFAULT, request.cursor)
    now = api.clock.now()
    return TaskPage(tasks=[describe(task, now) for task in page.tasks], next=page.next)


def statuses_of(words: str | None) -> tuple[Status, ...]:
    """Return the statuses of a list of words with commas between. Raises BadInput."""
    found = []
    for word in (words or "").replace(",", " ").split():
        if word not in set(Status):
            raise BadInput(f"status: {word!r} is none of {', '.join(Status)}")
        found.append(Status(word))
    return tuple(dict.fromkeys(found))


def moment(text: str | None, field: str) -> float | None:
    """Read a moment of a request, ISO 8601 or seconds since 1970. Raises BadInput naming the field."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            seconds = math.nan
        else:
            seconds = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise BadInput(f"{field}: {text!r} is no moment", hint="2026-01-31T12:00:00Z, or seconds since 1970")
    return seconds


async def show(api: Api, caller: Caller, task: Task, request: PlainRequest) -> TaskResult:
    """Return how one task stands."""
    wait = await turn_wait(api, task)
    return describe(task, api.clock.now(), advice=[] if wait is None else [f"it {wait.words}: {wait.command}"])


async def events(api: Api, caller: Caller, task: Task, request: EventsRequest) -> EventPage:
    """Return the history of a task, in order."""
    limit = request.limit or EVENTS_DEFAULT
    found = await api.store.events_of(task.id, request.after or 0, limit)
    following = found[-1].id if len(found) == limit else None
    return EventPage(task_id=task.id, events=[describe_event(event) for event in found], next=following)


async def children(api: Api, caller: Caller, task: Task, request: PlainRequest) -> TaskPage:
    """Return the tasks this one has started, oldest first."""
    found = await api.store.children_of(task.id)
    now = api.clock.now()
    return TaskPage(tasks=[describe(child, now) for child in found if may_see(caller, child)], next=None)


async def wait(api: Api, caller: Caller, request: TaskWaitRequest) -> TaskWaitResult:
    """Wait until all tasks, or the first of them, have ended; one call, nobody polls.

    Who sees an end by this is not told of it again.
    """
    ids = list(dict.fromkeys([(await find_task(api, caller, name)).id for name in request.lookups]))
    with api.books.holding(ids, caller.requester):
        answer = await _wait(api, ids, request)
        ended = [task.task_id for task in answer.tasks if task.ended_at is not None]
        if ended:
            await api.store.settle_seen(ended, caller.requester, api.clock.now(), "wait")
    return answer


async def _wait(api: Api, ids: list[str], request: TaskWaitRequest) -> TaskWaitResult:
    seconds = (WAIT_DEFAULT_MS if request.timeout_ms is None else request.timeout_ms) / 1000
    deadline = api.clock.monotonic() + seconds
    every = request.mode != "any"
    while True:
        moved = api.ledger.news.waiting_for(ids)  # before looking, so that nothing falls between
        try:
            tasks = [await api.ledger.require(task_id) for task_id in ids]
            met = (all if every else any)(task.status.final for task in tasks)
            left = deadline - api.clock.monotonic()
            if met or left <= 0 or api.stopping:
                now = api.clock.now()
                timed_out = not met and not api.stopping
                return TaskWaitResult(met=met, timed_out=timed_out, tasks=[describe(task, now) for task in tasks])
            await api.first(until(moved), seconds=left)
        finally:
            moved.cancel()


async def log(api: Api, caller: Caller, task: Task, request: LogRequest) -> LogResult:
    """Return the output of a task's session; once that is no longer kept, the last lines that are on record."""
    session = evidence.session_of(api.sessions, task)
    if session is not None and not session.output.pruned:
        return await queries.log(api, caller, session, request)
    if task.session_id is None and not task.summary:
        raise NotFound(
            f"task {task.id} has no output" + ("" if task.status.final else " yet"), code="no_output",
            hint=f"outlast tasks show {task.id}",
        )  # fmt: skip
    produced = task.detail.get("producedBytes")
    size = produced if isinstance(produced, int) else 0
    return LogResult(
        session_id=task.session_id or "", status=task.status.value, text=task.summary or "", lines=None,
        bytes=Span(size, size), produced_bytes=size, truncated=None, next=None,
    )  # fmt: skip


async def audit_tasks(api: Api, caller: Caller, request: AuditRequest) -> AuditResult:
    """Return what is wrong, or may be, worst first."""
    if request.code is not None and request.code not in set(Code):
        raise BadInput(f"code: {request.code!r} is none of {', '.join(Code)}")
    found, more = await findings(api, caller, request.limit or PER_CODE_MAX)
    counts = _by_severity(found)
    codes = {code.value: n for code in KINDS if (n := sum(one.code is code for one in found))}
    chosen = [
        one
        for one in found
        if request.severity in (None, one.severity) and request.code in (None, one.code.value)
    ]  # fmt: skip
    now = api.clock.now()
    return AuditResult(
        findings=[describe_finding(one, now) for one in chosen],
        counts=counts,
        codes=codes,
        more=more,
        checked_at=iso(now),
    )


async def findings(api: Api, caller: Caller, limit: int) -> tuple[list[Finding], bool]:
    """Return the findings a caller may see, worst first."""
    now = api.clock.now()
    try:
        found, more = await audit(
            api.store, now, limit=limit, last_sign=lambda task: evidence.last_sign(api.sessions, task)
        )
    except GatewayTrouble as trouble:
        if trouble.code != "store_damaged":
            raise
        return [Finding(Code.STORE_DAMAGED, "store", trouble.message)], False
    flows, more_flows = await audit_flows(
        api.store, now, limit=limit, may_see=None if caller.operator else partial(may_see_flow, caller)
    )
    agents, more_agents = await agent_findings(api, caller, now, limit)
    order = list(KINDS)
    if not caller.operator:
        own = {one.task_id for one in found if one.task_id and await _owns(api, caller, one.task_id)}
        found = [*(one for one in found if one.task_id in own), *flows, *agents]
    else:
        found = [*found, *flows, *agents, *await _told(api, now, limit), *_disk(api)]
    return sorted(found, key=lambda one: order.index(one.code)), more or more_flows or more_agents


def _by_severity(found: list[Finding]) -> dict[str, int]:
    return {severity: sum(one.severity == severity for one in found) for severity in SEVERITIES}


async def _owns(api: Api, caller: Caller, task_id: str) -> bool:
    task = await api.store.get_task(task_id)
    return task is not None and may_see(caller, task)


async def _told(api: Api, now: float, limit: int) -> list[Finding]:
    """What is wrong with rules and wakes."""
    found = [
        Finding(
            Code.AUTO_DISABLED, one.name, f"it is switched off: {one.disabled_why}", since=one.disabled_at,
            about=one.name, mend=PASSED if passed(one, now) else None,
        )
        for one in await api.store.disabled_schedules(limit)
    ]  # fmt: skip
    for row in await api.store.missed_firings(now - MISFIRES_SECONDS, limit):
        schedule = await api.store.get_schedule(row.schedule_id)
        if schedule is not None:
            found.append(
                Finding(Code.MISFIRED, schedule.name, row.note or "it was missed", since=row.at, about=schedule.name)
            )
    for wake in await api.store.parked_wakes(limit):
        found.append(
            Finding(
                Code.WAKE_PARKED, wake.conversation, f"its wake was given up: {wake.error}", since=wake.parked_at,
                about=wake.id,
            )
        )  # fmt: skip
    return found


def _disk(api: Api) -> list[Finding]:
    stat = os.statvfs(api.config.paths.home)
    free = stat.f_bavail * stat.f_frsize
    if free >= FREE_WARN:
        return []
    return [
        Finding(Code.LOW_DISK, api.config.paths.home, f"only {free // 1024**2} MiB are free on the disk of the home")
    ]


def describe_finding(finding: Finding, now: float) -> FindingResult:
    """Return a finding as it is answered."""
    age = None if finding.since is None else max(0.0, now - finding.since)
    return FindingResult(
        code=finding.code.value,
        severity=finding.severity,
        age_seconds=None if age is None else round(age, 3),
        at=iso(finding.since),
        task_id=finding.task_id,
        flow_id=finding.flow_id,
        subject=finding.subject,
        message=finding.message,
        fix=finding.fix,
    )


async def stats(api: Api, caller: Caller, request: PlainRequest) -> StatsResult:
    """Return how many tasks there are of each kind. Counts all records: the one question that grows with them."""
    caller.needs_operator("count everybody's tasks")
    counts = await api.store.counts()
    return StatsResult(
        total=sum(counts.values()),
        by_status={status.value: count for status, count in counts.items()},
        queues=(await queues(api, caller, PlainRequest())).queues,
        outbox=await api.store.outbox_counts(),
        store=await store_facts(api),
    )


async def queues(api: Api, caller: Caller, request: PlainRequest) -> Queues:
    """Return the queues that have a limit or live tasks, but those of conversations in which nothing is under way.

    Of conversations a requester sees his own.
    """
    found = await queues_with(api)
    if caller.operator:
        return found
    own = [one for one in found.queues if await _is_for(api, caller, one.name)]
    return Queues(queues=own)


async def _is_for(api: Api, caller: Caller, queue: str) -> bool:
    conversation = conversation_in(queue)
    return conversation is None or await is_own(api.store, caller.requester, conversation)


async def queues_with(api: Api, named: str | None = None) -> Queues:
    """Return those queues, and the one named. Each instant of a schedule may have made one, so they are many."""
    found = [
        QueueResult(name=one.name, limit=one.limit_max, queued=one.queued, running=one.running)
        for one in await api.store.queues()
        if one.name == named or one.queued or one.running or not only_in_a_row(one.name, one.limit_max)
    ]
    return Queues(queues=found)


async def store_facts(api: Api) -> StoreFacts:
    """Return which store this is."""
    info = await api.store.info()
    return StoreFacts(kind=info.kind, place=info.place, bytes=size_of(info.kind, info.place))


def size_of(kind: str, place: str) -> int | None:
    """Return the bytes of a store on disk, its write-ahead log included; None for a server."""
    if kind != "sqlite":
        return None
    total = 0
    for path in (place, f"{place}-wal"):
        try:
            total += os.stat(path).st_size
        except OSError:
            pass
    return total


async def check_store(api: Api, caller: Caller, request: PlainRequest) -> StoreCheck:
    """Check the whole store; this reads all of it."""
    caller.needs_operator("check the store")
    facts = await store_facts(api)
    problems = await api.store.check()
    fix = "restore a backup: stop the gateway and put the copy in its place" if problems else None
    return StoreCheck(
        ok=not problems, kind=facts.kind, place=facts.place, bytes=facts.bytes, problems=problems, fix=fix
    )


async def tasks_status(api: Api, caller: Caller) -> TasksStatus | None:
    """Return the ledger at a glance, by the indexes of what is live; None while it cannot be asked."""
    try:
        if caller.operator:
            live = await api.store.counts_live()
        else:
            live = await _own_live(api, caller)
        found, _ = await findings(api, caller, PER_CODE_MAX)
    except GatewayTrouble:
        return None
    counts = _by_severity(found)
    return TasksStatus(queued=live[Status.QUEUED], running=live[Status.RUNNING], findings=counts)


async def _own_live(api: Api, caller: Caller) -> dict[Status, int]:
    found = {}
    for status in (Status.QUEUED, Status.RUNNING):
        page = await api.store.list_tasks(TaskFilter(statuses=(status,), requester=caller.requester), 1000)
        found[status] = len(page.tasks)
    return found
