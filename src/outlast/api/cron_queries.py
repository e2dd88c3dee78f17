"""Looking at rules: lists, previews, runs, crontabs. Nothing here changes one; importing adds them."""

from __future__ import annotations

import secrets

from msgspec.structs import replace

from outlast.api import cron
from outlast.api.context import Api, Caller
from outlast.api.cron_firing import compose
from outlast.api.requests import PlainRequest
from outlast.api.told_requests import CronImportRequest, CronListRequest, CronNextRequest, CronRunsRequest
from outlast.api.told_results import (
    ExportResult,
    ImportedLine,
    ImportResult,
    RunsPage,
    SchedulePage,
    ScheduleResult,
    UnderstoodResult,
    describe_run,
    describe_schedule,
    understood,
)
from outlast.core import schedule as rules
from outlast.core.environment import check_overrides
from outlast.core.errors import BadInput, Conflict, Refused
from outlast.core.ids import is_flow, timed_id
from outlast.core.redact import redact
from outlast.core.schedule import CommandPayload, Kind, Schedule
from outlast.scheduler.crontab import Entry, parse_crontab, settings_of
from outlast.scheduler.crontab_export import entry_of, format_crontab
from outlast.scheduler.instants import following, preview

LIST_DEFAULT = 100
NEXT_DEFAULT = 5
RUNS_DEFAULT = 20
EXPORT_PAGE = 500


async def list_schedules(api: Api, caller: Caller, request: CronListRequest) -> SchedulePage:
    """Return one page of the caller's rules, by name."""
    limit = request.limit or LIST_DEFAULT
    owner = request.owner if caller.operator else caller.requester
    found = await api.store.list_schedules(limit, request.after or "", owner)
    following_page = found[-1].name if len(found) == limit else None
    return SchedulePage(schedules=[describe_schedule(one) for one in found], next=following_page)


async def show(api: Api, caller: Caller, name: str, request: PlainRequest) -> ScheduleResult:
    """Return how a rule stands, and when it fires next."""
    schedule = await cron.find(api, caller, name)
    try:
        ahead = _ahead(schedule, api.clock.now(), cron.PREVIEWED)
    except BadInput:  # its words say what is wrong with it
        return describe_schedule(schedule)
    return describe_schedule(schedule, understood=ahead)


async def next_firings(api: Api, caller: Caller, name: str, request: CronNextRequest) -> UnderstoodResult:
    """Return the next firings of a rule, with zone, offset and what changes of the clocks do."""
    schedule = await cron.find(api, caller, name)
    return _ahead(schedule, api.clock.now(), request.count or NEXT_DEFAULT)


def _ahead(schedule: Schedule, now: float, count: int) -> UnderstoodResult:
    ahead = understood(preview(schedule, now, count))
    return ahead if schedule.active else replace(ahead, next=[])


async def runs(api: Api, caller: Caller, name: str, request: CronRunsRequest) -> RunsPage:
    """Return what became of a rule's instants, newest first."""
    schedule = await cron.find(api, caller, name)
    limit = request.limit or RUNS_DEFAULT
    rows = await api.store.firings_of(schedule.id, limit, request.before)
    found = []
    for row in rows:
        found.append(describe_run(row, await _status_of(api, row.task_id)))
    return RunsPage(name=schedule.name, runs=found, next=rows[-1].instant if len(rows) == limit else None)


async def _status_of(api: Api, made_id: str | None) -> str | None:
    """Return how the task or flow stands that an instant made; None where it made none, or it is forgotten."""
    if made_id is None:
        return None
    made = await (api.store.get_flow(made_id) if is_flow(made_id) else api.store.get_task(made_id))
    return None if made is None else made.status.value


async def import_crontab(api: Api, caller: Caller, request: CronImportRequest) -> ImportResult:
    """Read a crontab and, with ``apply``, add a rule for each line that can be one. Wrong lines stop no others."""
    table = parse_crontab(request.text)
    lines = [
        ImportedLine(line=line.line, name=None, text=redact(line.text), refused=line.reason, note=None)
        for line in table.refused
    ]
    added = []
    for entry in table.entries:
        name = f"{request.prefix or ''}{entry.name}"
        try:
            schedule = _from_entry(api, caller, entry, name)
            if request.apply:
                await cron.put(api, schedule)
            elif await api.store.find_schedule(name) is not None:
                raise Conflict(f"there is a schedule {name!r} already", code="name_taken")
        except (BadInput, Conflict, Refused) as wrong:
            lines.append(_line(entry, name, refused=wrong.message))
            continue
        added.append(name)
        lines.append(_line(entry, name, note=f"MAILTO={entry.mailto}: mail is not sent" if entry.mailto else None))
    lines.sort(key=lambda line: line.line)
    return ImportResult(applied=bool(request.apply), added=added, lines=lines, notes=list(table.notes))


def _line(entry: Entry, name: str, *, refused: str | None = None, note: str | None = None) -> ImportedLine:
    return ImportedLine(
        line=entry.line, name=name, text=redact(f"{entry.expr} {entry.command}"), refused=refused, note=note,
        tz=entry.tz, comment=redact(entry.comment) or None,
    )  # fmt: skip


def _from_entry(api: Api, caller: Caller, entry: Entry, name: str) -> Schedule:
    now = api.clock.now()
    fields = settings_of(entry)
    fields["name"] = rules.check_name(name)
    fields.setdefault("tz", cron.system_zone(api.environ))
    fields["payload"] = replace(fields["payload"], workdir=api.environ.get("HOME"))
    schedule = Schedule(
        id=timed_id("r", now, secrets.randbits(40), 4), requester=caller.requester, created_at=now, updated_at=now,
        **fields,
    )  # fmt: skip
    rules.check_spans(schedule)
    check_overrides(fields["payload"].env, caller.remote)
    compose(api, schedule, now, "fired")
    return rules.begin(schedule, now, following(schedule))


async def export_crontab(api: Api, caller: Caller, request: PlainRequest) -> ExportResult:
    """Return the caller's rules as a crontab; what a crontab cannot say stands there as a comment.

    It holds the commands as they are run, secrets and all: for the operator only.
    """
    caller.needs_operator("export schedules")
    entries, unsaid, after = [], {}, ""
    while page := await api.store.list_schedules(EXPORT_PAGE, after):
        for schedule in page:
            if schedule.kind is not Kind.CRON:
                unsaid[schedule.name] = f"it is a schedule of kind {schedule.kind}"
                continue
            try:
                entries.append(entry_of(_at_home(api, schedule)))
            except BadInput as wrong:
                unsaid[schedule.name] = wrong.message
        after = page[-1].name
    return ExportResult(text=format_crontab(entries, unsaid=unsaid))


def _at_home(api: Api, schedule: Schedule) -> Schedule:
    """Return a rule as a crontab has it: there every command begins in the home directory, and none says so."""
    payload = schedule.payload
    if isinstance(payload, CommandPayload) and payload.workdir == api.environ.get("HOME"):
        return replace(schedule, payload=replace(payload, workdir=None))
    return schedule
