"""The OpenAPI description, made from the same tables and records that serve the requests."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from outlast.api import (
    approval_results,
    flow_results,
    heartbeat_results,
    requests,
    results,
    status,
    task_requests,
    task_results,
    told_results,
)
from outlast.api.acts import ACTS
from outlast.core.approval import NOTE_MAX
from outlast.surfaces.http.routes import ROUTES, Row

_REF = "#/components/schemas/{name}"
_ANSWERS: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "exec": (results.SessionResult, task_results.TaskResult),
    "poll": results.SessionResult,
    "show": results.SessionResult,
    "kill": results.SessionResult,
    "list": results.SessionPage,
    "status": status.StatusResult,
    "log": results.LogResult,
    "wait": results.WaitResult,
    "write": results.Accepted,
    "send-keys": results.Accepted,
    "submit": results.Accepted,
    "paste": results.Accepted,
    "screen": results.ScreenResult,
    "resize": results.Resized,
    "signal": results.Signalled,
    "remove": results.Removed,
    "clear": results.Removed,
    "stop": results.Stopping,
    "tasks.list": task_results.TaskPage,
    "tasks.children": task_results.TaskPage,
    "tasks.events": task_results.EventPage,
    "tasks.wait": task_results.TaskWaitResult,
    "tasks.log": results.LogResult,
    "tasks.audit": task_results.AuditResult,
    "tasks.maintenance": task_results.MaintenanceResult,
    "tasks.stats": task_results.StatsResult,
    "tasks.queues": task_results.Queues,
    "tasks.set-queue": task_results.Queues,
    "flow.list": flow_results.FlowPageResult,
    "flow.children": flow_results.FlowPageResult,
    "flow.show": flow_results.FlowShown,
    "flow.steps": flow_results.StepPage,
    "flow.graph": flow_results.FlowGraph,
    "flow.events": flow_results.FlowEventPage,
    "flow.wait": flow_results.FlowWaitResult,
    "flow.watch": flow_results.FlowWatchResult,
    "flow.check": flow_results.FlowChecked,
    "flow.signal": flow_results.SignalResult,
    **dict.fromkeys(
        (
            "flow.start",
            "flow.cancel",
            "flow.retry",
            "flow.resume",
            "flow.fork",
            "flow.create",
            "flow.link",
            "flow.set-waiting",
            "flow.finish",
            "flow.fail",
            "flow.request-cancel",
        ),
        flow_results.FlowResult,
    ),
    "cron.list": told_results.SchedulePage,
    "cron.next": told_results.UnderstoodResult,
    "cron.run": told_results.FiredResult,
    "cron.runs": told_results.RunsPage,
    "cron.remove": results.Removed,
    "cron.import": told_results.ImportResult,
    "cron.export": told_results.ExportResult,
    **dict.fromkeys(("cron.add", "cron.show", "cron.edit", "cron.pause", "cron.resume"), told_results.ScheduleResult),
    "conversations.list": told_results.ConversationPage,
    "conversations.show": told_results.ConversationResult,
    "conversations.events": told_results.SystemEventPage,
    "conversations.ack": told_results.Acked,
    "wake.add": told_results.WakeResult,
    "wake.list": told_results.WakeList,
    "wake.test": told_results.WakeTested,
    "wake.remove": results.Removed,
    "notifications.list": told_results.NoticePage,
    "notifications.retry": told_results.NoticeResult,
    "notifications.dismiss": told_results.NoticeResult,
    "system.event": told_results.Told,
    "heartbeat.history": heartbeat_results.BeatPage,
    "heartbeat.run": heartbeat_results.BeatsResult,
    **dict.fromkeys(("heartbeat.status", "heartbeat.pause", "heartbeat.resume"), heartbeat_results.HeartbeatsResult),
    "approvals.list": approval_results.ApprovalPage,
    "approvals.link": approval_results.LinkResult,
    **dict.fromkeys(("approvals.show", "approvals.approve", "approvals.reject"), approval_results.ApprovalResult),
    "explain": task_results.Explained,
    "backup": task_results.BackupResult,
    "store": task_results.StoreCheck,
    **dict.fromkeys(
        (
            "tasks.show",
            "tasks.cancel",
            "tasks.retry",
            "tasks.dismiss",
            "tasks.notify",
            "tasks.report",
            "tasks.report-start",
        ),
        task_results.TaskResult,
    ),
}
_MEDIA = {
    "output": "application/octet-stream",
    "stream": "application/octet-stream",
    "session-events": "text/event-stream",
    "events": "text/event-stream",
    "approval-page": "text/html",
    "approval-answer": "text/html",
}
_FORM = {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {
    "decision": {"type": "string", "enum": ["approve", "reject"]}, "note": {"type": "string", "maxLength": NOTE_MAX},
}}}}  # fmt: skip
_TOKEN = {"name": "t", "in": "query", "required": True, "schema": {"type": "string"}}
_REQUESTS: dict[str, type[requests.Request]] = {
    **{word: act.request for word, act in ACTS.items()},
    "stream": requests.StreamRequest,
    "session-events": requests.StreamRequest,
    "events": task_requests.EventStreamRequest,
}


@cache
def document(version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    answers = [kind for kinds in _ANSWERS.values() for kind in (kinds if isinstance(kinds, tuple) else (kinds,))]
    types = [*dict.fromkeys((*_REQUESTS.values(), *answers))]
    refs, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(types, refs, strict=True))
    components["Error"] = _ERROR
    paths: dict[str, dict[str, Any]] = {}
    for row in ROUTES:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schema_of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "outlast",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": ["string", "null"]},
            },
        }
    },
}


def _answer_schema(answer: type[Any] | tuple[type[Any], ...], schema_of: dict[type[Any], Any]) -> dict[str, Any]:
    if isinstance(answer, tuple):
        return {"anyOf": [schema_of[kind] for kind in answer]}
    schema: dict[str, Any] = schema_of[answer]
    return schema


def _operation(row: Row, schema_of: dict[type[Any], Any], components: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", row.path)
    ]
    operation: dict[str, Any] = {
        "operationId": f"{row.method.lower()}_{row.act.replace('-', '_').replace('.', '_')}",
        "summary": row.summary,
    }
    request = _REQUESTS.get(row.act)
    if row.method == "POST":
        schema = {"type": "object"} if request is None else schema_of[request]
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    elif request is not None:
        properties = components[schema_of[request]["$ref"].rpartition("/")[2]]["properties"]
        parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    if row.act in ("approval-page", "approval-answer"):
        parameters.append(_TOKEN)
        operation["security"] = []
    if row.act == "approval-answer":
        operation["requestBody"] = {"content": _FORM}
    answer = _ANSWERS.get(row.act)
    media = _MEDIA.get(row.act, "application/json")
    good = _answer_schema(answer, schema_of) if answer else {} if media == "application/json" else {"type": "string"}
    operation["parameters"] = parameters
    operation["responses"] = {
        "200": {"description": "The answer.", "content": {media: {"schema": good}}},
        "default": {
            "description": "400 wrong, 403 refused, 404 not there, 409 in conflict, 503 in trouble.",
            "content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}},
        },
    }
    return operation
