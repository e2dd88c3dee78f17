"""The tool-call form: ``{"tool": "exec", …}``, ``{"tool": "process", "action": …, "sessionId": …, …}``,
``{"tool": "tasks", "action": …, "taskId": …, …}``, ``{"tool": "flow", "action": …, "flowId": …, …}``,
``{"tool": "cron", "action": …, "name": …, …}``, ``{"tool": "approvals", "action": …, "approvalId": …, …}``,
``{"tool": "agents", "action": …, "agent": …, …}``, ``{"tool": "subagents", "action": …, "taskId": …, …}`` and
``{"tool": "heartbeat", "action": …, "agent": …, …}``.

The same words and answers as everywhere; only the envelope differs.
"""

from __future__ import annotations

import difflib
from typing import Any

from outlast.api import decode
from outlast.api.acts import ACTS, Act, perform
from outlast.api.context import Api, Caller
from outlast.core.errors import BadInput

TOOLS = ("exec", "process", "tasks", "flow", "cron", "approvals", "agents", "subagents", "heartbeat")
ACTIONS = (
    "list",
    "poll",
    "log",
    "write",
    "send-keys",
    "submit",
    "paste",
    "screen",
    "resize",
    "wait",
    "signal",
    "kill",
    "clear",
    "remove",
    "show",
)
TASK_ACTIONS = (
    "list",
    "show",
    "events",
    "children",
    "log",
    "wait",
    "cancel",
    "retry",
    "dismiss",
    "notify",
    "report-start",
    "report",
    "audit",
    "maintenance",
    "stats",
    "queues",
    "set-queue",
    "explain",
)
FLOW_ACTIONS = (
    "start",
    "check",
    "list",
    "show",
    "steps",
    "children",
    "graph",
    "events",
    "wait",
    "watch",
    "signal",
    "cancel",
    "retry",
    "resume",
    "fork",
    "create",
    "link",
    "set-waiting",
    "finish",
    "fail",
    "request-cancel",
)
CRON_ACTIONS = (
    "add",
    "list",
    "show",
    "next",
    "runs",
    "edit",
    "pause",
    "resume",
    "run",
    "remove",
    "import",
    "export",
)
AGENT_ACTIONS = ("list", "show", "check", "run")
SUBAGENT_ACTIONS = ("spawn", "list", "show", "wait", "steer", "cancel")
HEARTBEAT_ACTIONS = ("status", "run", "pause", "resume", "history")
APPROVAL_ACTIONS = ("list", "show", "approve", "reject", "link")


async def call(api: Api, caller: Caller, value: object) -> object:
    """Answer one tool call. Raises BadInput naming the field that is wrong, and the errors of the act."""
    if not isinstance(value, dict):
        raise BadInput("a tool call must be a JSON object", hint='{"tool": "exec", "command": "npm run build"}')
    fields: dict[str, Any] = dict(value)
    tool = _word(fields, "tool", TOOLS)
    if tool == "exec":
        act = ACTS["exec"]
        return await perform(api, caller, act, None, decode.from_value(fields, act.request))
    if tool == "tasks":
        return await _task_call(api, caller, fields)
    if tool == "flow":
        return await _flow_call(api, caller, fields)
    if tool == "approvals":
        return await _approval_call(api, caller, fields)
    if tool in _NAMED_BY:
        return await _named_call(api, caller, tool, fields)
    if tool == "heartbeat":
        act = ACTS[f"heartbeat.{_word(fields, 'action', HEARTBEAT_ACTIONS)}"]
        return await perform(api, caller, act, None, decode.from_value(fields, act.request))
    action = _word(fields, "action", ACTIONS)
    act = ACTS[action]
    name = None
    if action == "wait":
        _spread_ids(fields, "sessionId", "sessionIds")
    elif act.of_session:
        name = fields.pop("sessionId", None)
        if not isinstance(name, str):
            raise BadInput("sessionId: is required" if name is None else "sessionId: must be text")
    return await perform(api, caller, act, name, decode.from_value(fields, act.request))


def _word(fields: dict[str, Any], name: str, words: tuple[str, ...]) -> str:
    given = fields.pop(name, None)
    word = given.replace("_", "-") if isinstance(given, str) else given
    if word in words:
        return str(word)
    if given is None:
        raise BadInput(f"{name}: is required", hint=f"one of {', '.join(words)}")
    close = difflib.get_close_matches(str(word), words, n=1)
    hint = f"did you mean {close[0]}?" if close else None
    raise BadInput(f"{name}: must be one of {', '.join(words)}", hint=hint)


def _spread_ids(fields: dict[str, Any], one_name: str, many_name: str) -> None:
    """One id is a list of one."""
    one = fields.pop(one_name, None)
    if one is None:
        return
    if many_name in fields:
        raise BadInput(f"{one_name}: does not go with {many_name}")
    fields[many_name] = [one]


_NAMED_BY = {
    "cron": (CRON_ACTIONS, "name"), "agents": (AGENT_ACTIONS, "agent"), "subagents": (SUBAGENT_ACTIONS, "taskId"),
}  # fmt: skip
"""Tools whose actions are acts of the same name: those, and the field that says what an action is about."""


async def _named_call(api: Api, caller: Caller, tool: str, fields: dict[str, Any]) -> object:
    """Answer a call about schedules (``name``), agents (``agent``) or turns (``taskId``, any lookup of a task)."""
    actions, field = _NAMED_BY[tool]
    action = _word(fields, "action", actions)
    act = ACTS[f"{tool}.{action}"]
    name = _named(act, action, fields, field)
    return await perform(api, caller, act, name, decode.from_value(fields, act.request))


async def _task_call(api: Api, caller: Caller, fields: dict[str, Any]) -> object:
    """Answer a call about tasks. ``taskId`` is any lookup: an id, a beginning of one, a session, a conversation."""
    action = _word(fields, "action", TASK_ACTIONS)
    act = ACTS[action if action == "explain" else f"tasks.{action}"]
    name = _named(act, action, fields, "taskId")
    return await perform(api, caller, act, name, decode.from_value(fields, act.request))


async def _flow_call(api: Api, caller: Caller, fields: dict[str, Any]) -> object:
    """Answer a call about flows. ``flowId`` is an id or the beginning of one."""
    action = _word(fields, "action", FLOW_ACTIONS)
    act = ACTS[f"flow.{action}"]
    name = _named(act, action, fields, "flowId")
    return await perform(api, caller, act, name, decode.from_value(fields, act.request))


async def _approval_call(api: Api, caller: Caller, fields: dict[str, Any]) -> object:
    """Answer a call about approvals. ``approvalId`` is an id or a unique beginning of one."""
    action = _word(fields, "action", APPROVAL_ACTIONS)
    act = ACTS[f"approvals.{action}"]
    name = _named(act, action, fields, "approvalId")
    if action in ("approve", "reject"):
        fields.setdefault("via", "tool")
    return await perform(api, caller, act, name, decode.from_value(fields, act.request))


def _named(act: Act, action: str, fields: dict[str, Any], field: str) -> str | None:
    """Take what a call is about out of its fields; a wait may be about several."""
    if action == "wait":
        _spread_ids(fields, field, f"{field}s")
        if f"{field}s" in fields:
            fields["lookups"] = fields.pop(f"{field}s")
        return None
    if not act.of:
        return None
    name = fields.pop(field, None)
    if not isinstance(name, str):
        raise BadInput(f"{field}: is required" if name is None else f"{field}: must be text")
    return name
